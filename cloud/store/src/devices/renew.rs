//! Renewal: a certificate gets one successor, once it is old enough.

use espalier_domain::certificate::may_be_followed;
use espalier_protocol::DeviceIdentity;
use jiff::Timestamp;
use sqlx::{Postgres, Transaction};

use super::enrol::insert_certificate;
use super::{CertificateRecord, Devices, certificates_of, lock};
use crate::StoreError;

/// A device that asks for its next certificate.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// Who asks.
    pub identity: DeviceIdentity,
    /// The serial number of the certificate that it holds.
    pub follows: String,
    /// The certificate that it gets, if it is time.
    pub next: CertificateRecord,
    /// When.
    pub now: Timestamp,
}

/// What became of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum RenewOutcome {
    /// The next certificate is on record.
    Renewed,
    /// Nothing new is on record; this is the device's newest certificate. The one that it holds is too young to be
    /// followed, or it was followed and the answer was lost.
    Newest(CertificateRecord),
    /// The certificate that it holds is not one of its own.
    UnknownCertificate,
    /// The device is unknown, revoked or in quarantine.
    Barred,
}

impl Devices<'_> {
    /// Puts a device's next certificate on record, if the one that it holds is the newest and old enough.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew(&self, renewal: &Renewal) -> Result<RenewOutcome, StoreError> {
        let mut transaction = self.store.begin().await?;
        let outcome = decide(&mut transaction, renewal).await?;
        if outcome == RenewOutcome::Renewed {
            insert_certificate(&mut transaction, &renewal.identity, &renewal.next).await?;
        }
        transaction.commit().await?;
        Ok(outcome)
    }
}

async fn decide(
    transaction: &mut Transaction<'static, Postgres>,
    renewal: &Renewal,
) -> Result<RenewOutcome, StoreError> {
    // Locked, so that a certificate cannot be followed twice at once.
    let bars = lock(transaction, &renewal.identity).await?;
    if bars.is_none_or(|bars| bars.any()) {
        return Ok(RenewOutcome::Barred);
    }
    let mut held = certificates_of(&mut **transaction, &renewal.identity).await?;
    if !held.iter().any(|held| held.serial == renewal.follows) {
        return Ok(RenewOutcome::UnknownCertificate);
    }
    let newest = held.swap_remove(0);
    let old_enough = may_be_followed(newest.issued_at, newest.expires_at, renewal.now);
    Ok(if newest.serial == renewal.follows && old_enough {
        RenewOutcome::Renewed
    } else {
        RenewOutcome::Newest(newest)
    })
}
