//! Signed reports: written, kept until they are acknowledged, and handed to the uplink.

use bytes::Bytes;
use espalier_protocol::Incarnation;
use espalier_protocol::cbor::CborError;
use espalier_protocol::envelope;
use espalier_protocol::inventory::Inventory;
use espalier_protocol::report::{
    AssignmentProgress, MAX_DETAIL_BYTES, ModelState, Refusal, Report,
};
use jiff::Timestamp;
use rand::RngCore;
use rand::rngs::StdRng;

use crate::Identity;
use crate::outbox::{Outbox, OutboxError, ReportId, Worth};

/// Refusals that wait for the next report; more in one second are a flood, and its first ones tell enough.
const MAX_REFUSALS: usize = 16;
/// Bytes of randomness in a report.
const NONCE_BYTES: usize = 16;

/// Whether a report is kept until it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is: the planner needs it.
    UntilAcknowledged,
    /// It is only sent if there is a connection now: a newer one says more.
    No,
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It does not fit into a message.
    #[error("the report cannot be written")]
    Cbor(#[from] CborError),
    /// It cannot be kept.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// What a report says beside its own numbers.
pub(super) struct Words {
    pub(super) at: Timestamp,
    pub(super) desired_sequence: u64,
    pub(super) models: Vec<ModelState>,
    pub(super) progress: Option<AssignmentProgress>,
    pub(super) traceparent: Option<String>,
}

/// Writes and keeps reports.
pub(super) struct Reporter {
    identity: Identity,
    incarnation: Incarnation,
    outbox: Outbox,
    random: StdRng,
    /// Said once for each start, in its first report.
    inventory: Option<Inventory>,
    refusals: Vec<Refusal>,
    outgoing: Vec<Bytes>,
}

impl Reporter {
    pub(super) fn new(
        identity: Identity,
        incarnation: Incarnation,
        outbox: Outbox,
        inventory: Inventory,
        random: StdRng,
    ) -> Self {
        Self {
            identity,
            incarnation,
            outbox,
            random,
            inventory: Some(inventory),
            refusals: Vec::new(),
            outgoing: Vec::new(),
        }
    }

    /// Notes a refusal for the next report.
    pub(super) fn refuse(&mut self, mut refusal: Refusal) {
        shorten(&mut refusal.detail);
        if self.refusals.len() < MAX_REFUSALS && !self.refusals.contains(&refusal) {
            self.refusals.push(refusal);
        }
    }

    pub(super) fn has_refusals(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// Writes, signs and keeps a report.
    ///
    /// # Errors
    /// Also when it cannot be kept: it is then sent once, if there is a connection now.
    pub(super) fn write(&mut self, words: Words, keep: Keep) -> Result<(), ReportError> {
        let ReportId { boot, seq } = self.outbox.next_id();
        let worth = match words.progress {
            Some(_) => Worth::Progress,
            None => Worth::State,
        };
        let mut nonce = vec![0; NONCE_BYTES];
        self.random.fill_bytes(&mut nonce);
        let report = Report {
            device: self.identity.device().clone(),
            boot,
            seq,
            incarnation: Some(self.incarnation),
            nonce,
            at: words.at,
            class: self.identity.facts().class.clone(),
            desired_sequence: words.desired_sequence,
            models: words.models,
            progress: words.progress,
            refused: self.refusals.clone(),
            inventory: self.inventory.clone(),
            traceparent: words.traceparent,
        };
        let bytes = Bytes::from(envelope::seal(&report, self.identity.key())?);
        self.outgoing.push(bytes.clone());
        if keep == Keep::UntilAcknowledged {
            self.outbox.keep(ReportId { boot, seq }, bytes, worth)?;
            self.refusals.clear();
            self.inventory = None;
        }
        Ok(())
    }

    /// Reports that were written since the last call.
    pub(super) fn take_outgoing(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.outgoing)
    }

    /// Everything that waits for its acknowledgement, to be sent again.
    pub(super) fn waiting(&self) -> Vec<Bytes> {
        self.outbox
            .waiting()
            .map(|(_, report)| report.clone())
            .collect()
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.outbox.len()
    }

    pub(super) fn acknowledge(&mut self, id: ReportId) -> Result<(), OutboxError> {
        self.outbox.acknowledge(id)
    }

    /// The start that the reports are numbered by.
    pub(super) fn boot(&self) -> u64 {
        self.outbox.boot()
    }
}

/// Cuts a detail to what a report may carry, between characters.
pub(super) fn shorten(detail: &mut String) {
    if detail.len() > MAX_DETAIL_BYTES {
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
    }
}
