//! Enrolment: one transaction that counts the claim, writes the device and remembers its certificate.

use espalier_domain::claim::{Claim, ClaimRefusal};
use espalier_protocol::enrol::Role;
use espalier_protocol::inventory::Inventory;
use espalier_protocol::trust::PublicKey;
use espalier_protocol::{DeviceClassName, DeviceIdentity, DeviceName, Digest};
use jiff::Timestamp;
use sqlx::{Postgres, Transaction};

use super::row::role_name;
use super::{CertificateRecord, Devices, certificates_of};
use crate::StoreError;
use crate::claims::ClaimRow;
use crate::moment::Moment;
use crate::row::{Row, to_json};

/// A device that asks to come in, with the certificate that was made for it.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The digest of the claim's secret.
    pub token: Digest,
    /// Who the device will be.
    pub identity: DeviceIdentity,
    /// What it is in its site.
    pub role: Role,
    /// Its class.
    pub class: DeviceClassName,
    /// The gateway that it came through, if it did.
    pub gateway: Option<DeviceName>,
    /// Its key.
    pub public_key: PublicKey,
    /// Its certificate.
    pub certificate: CertificateRecord,
    /// Its own facts.
    pub inventory: Inventory,
    /// When.
    pub now: Timestamp,
}

/// What became of an enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum EnrolOutcome {
    /// The device is in.
    Enrolled,
    /// It was in already, with this key, and holds this certificate: the answer was lost. The claim has no new use.
    Again(CertificateRecord),
    /// It was in already, with this key, and its certificate ended: it has a new one, and the claim a new use.
    Anew,
    /// There is no such claim for this tenant.
    UnknownClaim,
    /// The claim does not admit it.
    Refused(ClaimRefusal),
    /// Another key holds the name, or another name the key.
    NameTaken,
    /// It was in already, as a device of this other class.
    OtherClass(DeviceClassName),
    /// The gateway is not one of this tenant's.
    UnknownGateway,
    /// The device was revoked, or is in quarantine.
    Barred,
}

impl Devices<'_> {
    /// Lets a device in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrol(&self, enrolment: &Enrolment) -> Result<EnrolOutcome, StoreError> {
        let mut transaction = self.store.begin().await?;
        let outcome = decide(&mut transaction, enrolment).await?;
        match outcome {
            EnrolOutcome::Enrolled => {
                use_claim(&mut transaction, enrolment).await?;
                insert_device(&mut transaction, enrolment).await?;
                let (identity, certificate) = (&enrolment.identity, &enrolment.certificate);
                insert_certificate(&mut transaction, identity, certificate).await?;
                transaction.commit().await?;
            }
            EnrolOutcome::Anew => {
                use_claim(&mut transaction, enrolment).await?;
                let (identity, certificate) = (&enrolment.identity, &enrolment.certificate);
                insert_certificate(&mut transaction, identity, certificate).await?;
                transaction.commit().await?;
            }
            _ => transaction.rollback().await?,
        }
        Ok(outcome)
    }
}

async fn decide(
    transaction: &mut Transaction<'static, Postgres>,
    enrolment: &Enrolment,
) -> Result<EnrolOutcome, StoreError> {
    let Some(claim) = lock_claim(transaction, enrolment).await? else {
        return Ok(EnrolOutcome::UnknownClaim);
    };
    if claim.tenant != enrolment.identity.tenant {
        return Ok(EnrolOutcome::UnknownClaim);
    }
    let acquaintance = acquaintance(transaction, enrolment).await?;
    match acquaintance {
        Acquaintance::Refused(outcome) => return Ok(outcome),
        Acquaintance::Holds(certificate) if enrolment.now <= certificate.expires_at => {
            return Ok(EnrolOutcome::Again(certificate));
        }
        Acquaintance::Holds(_) | Acquaintance::Stranger => {}
    }
    if let Err(refusal) = claim.admits(&enrolment.class, enrolment.now) {
        return Ok(EnrolOutcome::Refused(refusal));
    }
    if matches!(acquaintance, Acquaintance::Holds(_)) {
        return Ok(EnrolOutcome::Anew);
    }
    match gateway_is_known(transaction, enrolment).await? {
        true => Ok(EnrolOutcome::Enrolled),
        false => Ok(EnrolOutcome::UnknownGateway),
    }
}

/// Locked, so that two devices cannot take the last use at once.
async fn lock_claim(
    transaction: &mut Transaction<'static, Postgres>,
    enrolment: &Enrolment,
) -> Result<Option<Claim>, StoreError> {
    let row = sqlx::query_as!(
        ClaimRow,
        r#"SELECT tenant_id, claim_id, class, max_uses, uses, expires_at AS "expires_at: Moment",
                  revoked_at IS NOT NULL AS "revoked!"
           FROM claims WHERE token_digest = $1 FOR UPDATE"#,
        enrolment.token.as_bytes(),
    )
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(Claim::try_from).transpose()
}

/// What is known of who asks.
enum Acquaintance {
    /// Nothing.
    Stranger,
    /// It is the same device; this is its newest certificate.
    Holds(CertificateRecord),
    /// It cannot come in.
    Refused(EnrolOutcome),
}

/// A name and a key belong together for good; whoever asks again with both is the same device.
async fn acquaintance(
    transaction: &mut Transaction<'static, Postgres>,
    enrolment: &Enrolment,
) -> Result<Acquaintance, StoreError> {
    let key = enrolment.public_key.as_bytes();
    let known = sqlx::query!(
        r#"SELECT (tenant_id = $1 AND device = $2) AS "same_name!", public_key = $3 AS "same_key!",
                  class, barred AS "barred!"
           FROM devices WHERE (tenant_id = $1 AND device = $2) OR public_key = $3"#,
        enrolment.identity.tenant.as_str(),
        enrolment.identity.device.as_str(),
        &key[..],
    )
    .fetch_all(&mut **transaction)
    .await?;
    let itself = match known.as_slice() {
        [] => return Ok(Acquaintance::Stranger),
        [one] if one.same_name && one.same_key => one,
        _ => return Ok(Acquaintance::Refused(EnrolOutcome::NameTaken)),
    };
    if itself.barred {
        return Ok(Acquaintance::Refused(EnrolOutcome::Barred));
    }
    let row = Row::of("devices", &enrolment.identity);
    let class: DeviceClassName = row.parse("class", &itself.class)?;
    if class != enrolment.class {
        return Ok(Acquaintance::Refused(EnrolOutcome::OtherClass(class)));
    }
    let mut held = certificates_of(&mut **transaction, &enrolment.identity).await?;
    if held.is_empty() {
        let row = Row::of("certificates", &enrolment.identity);
        return Err(row.wrong("serial", "an enrolled device has none"));
    }
    Ok(Acquaintance::Holds(held.swap_remove(0)))
}

async fn gateway_is_known(
    transaction: &mut Transaction<'static, Postgres>,
    enrolment: &Enrolment,
) -> Result<bool, StoreError> {
    let Some(gateway) = &enrolment.gateway else {
        return Ok(true);
    };
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM devices
               WHERE tenant_id = $1 AND device = $2 AND role = 'gateway' AND NOT barred
           ) AS "known!""#,
        enrolment.identity.tenant.as_str(),
        gateway.as_str(),
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(known)
}

async fn use_claim(
    transaction: &mut Transaction<'static, Postgres>,
    enrolment: &Enrolment,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE claims SET uses = uses + 1 WHERE token_digest = $1",
        enrolment.token.as_bytes()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn insert_device(
    transaction: &mut Transaction<'static, Postgres>,
    enrolment: &Enrolment,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO devices (tenant_id, device, role, class, gateway, public_key, enrolled_at, inventory)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        enrolment.identity.tenant.as_str(),
        enrolment.identity.device.as_str(),
        role_name(enrolment.role),
        enrolment.class.as_str(),
        enrolment.gateway.as_ref().map(DeviceName::as_str),
        &enrolment.public_key.as_bytes()[..],
        Moment(enrolment.now) as _,
        to_json(&enrolment.inventory)?,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn insert_certificate(
    transaction: &mut Transaction<'static, Postgres>,
    identity: &DeviceIdentity,
    certificate: &CertificateRecord,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO certificates (tenant_id, serial, device, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        identity.tenant.as_str(),
        certificate.serial,
        identity.device.as_str(),
        Moment(certificate.issued_at) as _,
        Moment(certificate.expires_at) as _,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
