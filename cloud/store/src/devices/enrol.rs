//! Enrolment: one transaction that counts the claim, writes the device and remembers its certificate.

use espalier_domain::claim::{Claim, ClaimRefusal};
use espalier_protocol::enrol::Role;
use espalier_protocol::inventory::Inventory;
use espalier_protocol::trust::PublicKey;
use espalier_protocol::{DeviceClassName, DeviceIdentity, DeviceName, Digest};
use jiff::Timestamp;
use sqlx::{Postgres, Transaction};

use super::row::role_name;
use super::{CertificateRecord, Devices};
use crate::StoreError;
use crate::claims::ClaimRow;
use crate::moment::Moment;
use crate::row::to_json;

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
    /// It was in already, with this key: its answer was lost. It has a new certificate, and the claim no new use.
    Again,
    /// There is no such claim for this tenant.
    UnknownClaim,
    /// The claim does not admit it.
    Refused(ClaimRefusal),
    /// Another key holds the name, or another name the key.
    NameTaken,
    /// The gateway is not one of this tenant's.
    UnknownGateway,
    /// The device was revoked; an operator must forget it first.
    Revoked,
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
                insert_certificate(&mut transaction, enrolment).await?;
                transaction.commit().await?;
            }
            EnrolOutcome::Again => {
                insert_certificate(&mut transaction, enrolment).await?;
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
    if let Some(known) = known_device(transaction, enrolment).await? {
        return Ok(known);
    }
    if let Err(refusal) = claim.admits(&enrolment.class, enrolment.now) {
        return Ok(EnrolOutcome::Refused(refusal));
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

/// A name and a key belong together for good; whoever asks again with both is the same device.
async fn known_device(
    transaction: &mut Transaction<'static, Postgres>,
    enrolment: &Enrolment,
) -> Result<Option<EnrolOutcome>, StoreError> {
    let key = enrolment.public_key.as_bytes();
    let known = sqlx::query!(
        r#"SELECT (tenant_id = $1 AND device = $2) AS "same_name!", public_key = $3 AS "same_key!",
                  revoked_at IS NOT NULL AS "revoked!"
           FROM devices WHERE (tenant_id = $1 AND device = $2) OR public_key = $3"#,
        enrolment.identity.tenant.as_str(),
        enrolment.identity.device.as_str(),
        &key[..],
    )
    .fetch_all(&mut **transaction)
    .await?;
    Ok(match known.as_slice() {
        [] => None,
        [one] if one.same_name && one.same_key && one.revoked => Some(EnrolOutcome::Revoked),
        [one] if one.same_name && one.same_key => Some(EnrolOutcome::Again),
        _ => Some(EnrolOutcome::NameTaken),
    })
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
               WHERE tenant_id = $1 AND device = $2 AND role = 'gateway' AND revoked_at IS NULL
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

async fn insert_certificate(
    transaction: &mut Transaction<'static, Postgres>,
    enrolment: &Enrolment,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO certificates (tenant_id, serial, device, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        enrolment.identity.tenant.as_str(),
        enrolment.certificate.serial,
        enrolment.identity.device.as_str(),
        Moment(enrolment.certificate.issued_at) as _,
        Moment(enrolment.certificate.expires_at) as _,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
