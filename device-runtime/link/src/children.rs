//! A gateway's side of its children: the newest messages for each, and the way up for their reports.
//!
//! The gateway understands none of it. It passes on bytes that are signed end to end, and whatever it loses is sent again:
//! desired states are retained, and reports are kept by the child until the cloud's signed word frees them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use espalier_protocol::DeviceIdentity;
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use espalier_protocol::topic::Channel;
use tokio::sync::watch;

use crate::relay::Down;
use crate::uplink::{NotConnected, Uplink};

/// The most children that a gateway serves; stops one tenant's device certificates from filling its memory.
pub const MAX_CHILDREN: usize = 1024;

/// Why a child is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// Of another tenant than the gateway.
    #[error("this gateway belongs to another tenant")]
    OtherTenant,
    /// [`MAX_CHILDREN`] are served already.
    #[error("this gateway serves {MAX_CHILDREN} devices already")]
    TooMany,
    /// A report that is larger than a signed message may be.
    #[error("the report is larger than {MAX_ENVELOPE_BYTES} bytes")]
    TooLarge,
    /// The gateway is not connected, or its queue is full: try again later.
    #[error("the gateway has no connection to its cloud now: try again later")]
    NotConnected,
}

impl From<NotConnected> for ChildError {
    fn from(NotConnected: NotConnected) -> Self {
        Self::NotConnected
    }
}

/// The children of a gateway.
pub struct Children {
    gateway: DeviceIdentity,
    uplink: Arc<dyn Uplink>,
    /// Mailboxes count from here, so that a child that remembers another boot's number sees news.
    first: u64,
    mailboxes: Mutex<BTreeMap<DeviceIdentity, watch::Sender<Down>>>,
}

impl Children {
    pub(crate) fn new(gateway: DeviceIdentity, boot: u64, uplink: Arc<dyn Uplink>) -> Self {
        Self {
            gateway,
            uplink,
            first: boot << 32,
            mailboxes: Mutex::default(),
        }
    }

    /// The newest messages for a child, as soon as they differ from what it saw at `after`, or after `wait`.
    ///
    /// The first call for a child makes the gateway listen to its topics. The caller has verified its certificate.
    ///
    /// # Errors
    /// When the child cannot be served.
    pub async fn next_down(
        &self,
        child: &DeviceIdentity,
        after: u64,
        wait: Duration,
    ) -> Result<Down, ChildError> {
        let mut mailbox = self.mailbox(child)?;
        let news = mailbox.wait_for(|down| down.at != after);
        // Both a passed time and a closed mailbox mean: nothing new.
        let _nothing_new = tokio::time::timeout(wait, news)
            .await
            .map(|found| found.map(drop));
        Ok(mailbox.borrow().clone())
    }

    /// Passes a child's signed report up, unread. It may be lost on the way: the child keeps it until it is acknowledged.
    ///
    /// # Errors
    /// When the child cannot be served, or the report cannot be sent now.
    pub fn submit(&self, child: &DeviceIdentity, report: Bytes) -> Result<(), ChildError> {
        if report.len() > MAX_ENVELOPE_BYTES {
            return Err(ChildError::TooLarge);
        }
        let _listening = self.mailbox(child)?;
        Ok(self.uplink.send(child, report)?)
    }

    /// Gives a child up that may not be heard; whatever waits for its news is answered. It is served again when it asks
    /// again.
    pub(crate) fn forget(&self, child: &DeviceIdentity) {
        tracing::warn!(%child, "the broker lets this gateway hear nothing for a child: is it enrolled behind another?");
        self.lock().remove(child);
    }

    pub(crate) fn deliver(&self, child: &DeviceIdentity, channel: Channel, bytes: Bytes) {
        let mailboxes = self.lock();
        let Some(mailbox) = mailboxes.get(child) else {
            return;
        };
        mailbox.send_modify(|down| {
            down.at += 1;
            match channel {
                Channel::Desired => down.desired = Some(bytes),
                Channel::Ack => down.add_ack(bytes),
                Channel::Report => {}
            }
        });
    }

    fn mailbox(&self, child: &DeviceIdentity) -> Result<watch::Receiver<Down>, ChildError> {
        if child.tenant != self.gateway.tenant {
            return Err(ChildError::OtherTenant);
        }
        let mut mailboxes = self.lock();
        if let Some(mailbox) = mailboxes.get(child) {
            return Ok(mailbox.subscribe());
        }
        if mailboxes.len() >= MAX_CHILDREN {
            return Err(ChildError::TooMany);
        }
        let (sender, receiver) = watch::channel(Down {
            at: self.first,
            ..Down::default()
        });
        mailboxes.insert(child.clone(), sender);
        drop(mailboxes);
        self.uplink.listen(child);
        Ok(receiver)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<DeviceIdentity, watch::Sender<Down>>> {
        self.mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
