//! A device's row with its last report.

use espalier_domain::device::{Device, LastReport, Standing};
use espalier_domain::observation::Position;
use espalier_protocol::DeviceIdentity;
use espalier_protocol::enrol::Role;
use espalier_protocol::trust::PublicKey;

use crate::StoreError;
use crate::moment::Moment;
use crate::row::Row;

pub(super) struct DeviceRow {
    pub(super) tenant_id: String,
    pub(super) device: String,
    pub(super) role: String,
    pub(super) class: String,
    pub(super) gateway: Option<String>,
    pub(super) labels: serde_json::Value,
    pub(super) public_key: Vec<u8>,
    pub(super) enrolled_at: Moment,
    pub(super) revoked_at: Option<Moment>,
    pub(super) revoked_reason: Option<String>,
    pub(super) quarantined_at: Option<Moment>,
    pub(super) quarantined_reason: Option<String>,
    pub(super) inventory: Option<serde_json::Value>,
    pub(super) boot: Option<i64>,
    pub(super) seq: Option<i64>,
    pub(super) received_at: Option<Moment>,
    pub(super) desired_sequence: Option<i64>,
    pub(super) models: Option<serde_json::Value>,
}

impl TryFrom<DeviceRow> for Device {
    type Error = StoreError;

    fn try_from(mut columns: DeviceRow) -> Result<Self, StoreError> {
        let row = Row::of(
            "devices",
            format_args!("{}/{}", columns.tenant_id, columns.device),
        );
        let last = last_report(&row, &mut columns)?;
        let standing = standing(&row, &mut columns)?;
        Ok(Self {
            identity: DeviceIdentity {
                tenant: row.parse("tenant_id", &columns.tenant_id)?,
                device: row.parse("device", &columns.device)?,
            },
            role: role_from(&row, &columns.role)?,
            class: row.parse("class", &columns.class)?,
            gateway: row.parse_some("gateway", columns.gateway.as_deref())?,
            labels: row.json("labels", columns.labels)?,
            standing,
            public_key: PublicKey::from_bytes(row.bytes32("public_key", &columns.public_key)?),
            enrolled_at: columns.enrolled_at.0,
            inventory: row.json_some("inventory", columns.inventory)?,
            last,
        })
    }
}

/// A revocation is for good, also of a device that was in quarantine.
fn standing(row: &Row, columns: &mut DeviceRow) -> Result<Standing, StoreError> {
    Ok(match (&columns.revoked_at, &columns.quarantined_at) {
        (Some(at), _) => Standing::Revoked {
            at: at.0,
            reason: row.need("revoked_reason", columns.revoked_reason.take())?,
        },
        (None, Some(at)) => Standing::Quarantined {
            at: at.0,
            reason: row.need("quarantined_reason", columns.quarantined_reason.take())?,
        },
        (None, None) => Standing::Enrolled,
    })
}

fn last_report(row: &Row, columns: &mut DeviceRow) -> Result<Option<LastReport>, StoreError> {
    let Some(received_at) = columns.received_at else {
        return Ok(None);
    };
    let position = Position {
        boot: row.unsigned("boot", row.need("boot", columns.boot)?)?,
        seq: row.unsigned("seq", row.need("seq", columns.seq)?)?,
    };
    let desired = row.need("desired_sequence", columns.desired_sequence)?;
    Ok(Some(LastReport {
        position,
        received_at: received_at.0,
        desired_sequence: row.unsigned("desired_sequence", desired)?,
        models: row.json("models", row.need("models", columns.models.take())?)?,
    }))
}

pub(super) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Device => "device",
        Role::Gateway => "gateway",
    }
}

fn role_from(row: &Row, text: &str) -> Result<Role, StoreError> {
    match text {
        "device" => Ok(Role::Device),
        "gateway" => Ok(Role::Gateway),
        other => Err(row.wrong("role", format!("`{other}` is no role"))),
    }
}
