//! Devices that two hold the key of, on their way into quarantine.
//!
//! Whoever notices is on a connection's path, where nobody may wait for the database.

use std::sync::Arc;

use espalier_protocol::DeviceIdentity;
use tokio::sync::mpsc;

use crate::{cloud::Cloud, usecase};

/// Devices that may wait: a clone that is not heard now shows itself again.
const WAITING: usize = 256;

/// Raised about a device.
#[derive(Clone)]
pub struct Alarm(mpsc::Sender<Suspicion>);

/// What was noticed, and of whom.
#[derive(Debug)]
pub struct Suspicion {
    device: DeviceIdentity,
    sign: CloneSign,
}

/// How two agents with one key give themselves away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneSign {
    /// They take one another's connection.
    TakesTurns,
    /// They count the same start.
    SameStart,
    /// One heard the cloud answer the other.
    OwnWord,
}

impl CloneSign {
    /// The words, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::TakesTurns => "two live agents take turns with one identity",
            Self::SameStart => "two agents reported the same start with one key",
            Self::OwnWord => "the device was answered to a report that it never made",
        }
    }
}

/// Alarms that wait.
pub type Alarms = mpsc::Receiver<Suspicion>;

impl Alarm {
    /// An alarm, and where it is heard.
    #[must_use]
    pub fn new() -> (Self, Alarms) {
        let (raise, heard) = mpsc::channel(WAITING);
        (Self(raise), heard)
    }

    /// Two hold this device's key.
    pub fn raise(&self, device: &DeviceIdentity, sign: CloneSign) {
        let suspicion = Suspicion {
            device: device.clone(),
            sign,
        };
        if self.0.try_send(suspicion).is_err() {
            tracing::warn!(%device, "too many clones at once: this one is dealt with when it shows itself again");
        }
    }
}

/// Puts devices into quarantine until the server drains.
pub async fn quarantine_clones(cloud: Arc<Cloud>, mut alarms: Alarms) {
    loop {
        let suspicion = tokio::select! {
            suspicion = alarms.recv() => suspicion,
            () = cloud.stopping.cancelled() => return,
        };
        let Some(Suspicion { device, sign }) = suspicion else {
            return;
        };
        if let Err(refusal) = usecase::quarantine_device(&cloud, &device, sign).await {
            let causes = refusal.causes();
            tracing::warn!(%device, problem = %refusal, causes, "a clone could not be put into quarantine; it will show itself again");
        }
    }
}
