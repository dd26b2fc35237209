//! What devices refused: kept apart from the log of events, which is for who looks on, and in no report's shadow: a
//! refusal that comes late is as true as one that comes first.

use std::collections::{BTreeMap, BTreeSet};

use espalier_domain::device::Refused;
use espalier_domain::observation::Observation;
use espalier_protocol::report::Refusal;
use espalier_protocol::{DeviceIdentity, DeviceName, Tenant};
use sqlx::PgConnection;

use super::Devices;
use crate::StoreError;
use crate::events::NewEvent;
use crate::moment::Moment;
use crate::row::{Row, names, signed, to_json};

/// Most refusals that are kept of a device. Stops one that is lied to, or lies, from filling the database.
const KEPT: i64 = 20;

impl Devices<'_> {
    /// The last refusals of each of these devices, newest first; at most 20 of one are kept. A device that refused
    /// nothing is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refused(
        &self,
        tenant: &Tenant,
        devices: &[DeviceName],
    ) -> Result<BTreeMap<DeviceName, Vec<Refused>>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT device, received_at AS "received_at: Moment", refusal FROM device_refusals
               WHERE tenant_id = $1 AND device = ANY($2) ORDER BY device, boot DESC, seq DESC, ordinal DESC"#,
            tenant.as_str(),
            &names(devices),
        )
        .fetch_all(&self.store.pool)
        .await?;
        let mut refused: BTreeMap<DeviceName, Vec<Refused>> = BTreeMap::new();
        for columns in rows {
            let row = Row::of(
                "device_refusals",
                format_args!("{tenant}/{}", columns.device),
            );
            let refusal = Refused {
                at: columns.received_at.0,
                refusal: row.json("refusal", columns.refusal)?,
            };
            refused
                .entry(row.parse("device", &columns.device)?)
                .or_default()
                .push(refusal);
        }
        Ok(refused)
    }
}

/// A refusal's place among those of a tenant: device, boot, seq, and its number in the report.
type Place = (String, i64, i64, i32);

/// Keeps what reports of known devices say that was refused; gives what was not known before: one event for each report,
/// whatever it lists. Stops a device that lies from crowding the others' news out.
pub(crate) async fn keep(
    transaction: &mut PgConnection,
    tenant: &Tenant,
    reports: impl Iterator<Item = &Observation>,
) -> Result<Vec<NewEvent>, StoreError> {
    let columns = Columns::of(reports)?;
    if columns.devices.is_empty() {
        return Ok(Vec::new());
    }
    let mut news = columns.insert(transaction, tenant).await?;
    let dropped = drop_oldest(transaction, tenant, &columns.devices).await?;
    // One that was dropped long ago and is delivered again is no news.
    news.retain(|place, _| !dropped.contains(place));
    let mut reports: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ((device, boot, seq, _), refused) in news {
        reports
            .entry((device, boot, seq))
            .or_default()
            .push(refused);
    }
    let told = reports
        .into_iter()
        .filter_map(|((device, ..), refused)| told(tenant, &device, &refused));
    told.collect()
}

/// The first refusal of a report speaks for all of them.
fn told(
    tenant: &Tenant,
    device: &str,
    refused: &[(Moment, Refusal)],
) -> Option<Result<NewEvent, StoreError>> {
    let (at, Refusal { attack, detail }) = refused.first()?;
    let device = Row::of("device_refusals", device).parse("device", device);
    Some(device.map(|device: DeviceName| NewEvent {
        at: at.0,
        kind: "device.refused".to_owned(),
        subject: DeviceIdentity::new(tenant.clone(), device).to_string(),
        payload: serde_json::json!({ "attack": attack, "detail": detail, "refusals": refused.len() }),
    }))
}

#[derive(Default)]
struct Columns {
    devices: Vec<String>,
    boots: Vec<i64>,
    seqs: Vec<i64>,
    ordinals: Vec<i32>,
    received: Vec<Moment>,
    refusals: Vec<serde_json::Value>,
}

impl Columns {
    fn of<'o>(reports: impl Iterator<Item = &'o Observation>) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for report in reports {
            for (ordinal, refusal) in (0..).zip(&report.refused) {
                columns.devices.push(report.device.device.to_string());
                columns.boots.push(signed(report.position.boot));
                columns.seqs.push(signed(report.position.seq));
                columns.ordinals.push(ordinal);
                columns.received.push(Moment(report.received_at));
                columns.refusals.push(to_json(refusal)?);
            }
        }
        Ok(columns)
    }

    async fn insert(
        &self,
        transaction: &mut PgConnection,
        tenant: &Tenant,
    ) -> Result<BTreeMap<Place, (Moment, Refusal)>, StoreError> {
        let rows = sqlx::query!(
            r#"INSERT INTO device_refusals (tenant_id, device, boot, seq, ordinal, received_at, refusal)
               SELECT $1, new.device, new.boot, new.seq, new.ordinal, new.received_at, new.refusal
               FROM UNNEST($2::text[], $3::bigint[], $4::bigint[], $5::integer[], $6::timestamptz[], $7::jsonb[])
                   AS new (device, boot, seq, ordinal, received_at, refusal)
               ON CONFLICT DO NOTHING
               RETURNING device, boot, seq, ordinal, received_at AS "received_at: Moment", refusal"#,
            tenant.as_str(),
            &self.devices,
            &self.boots,
            &self.seqs,
            &self.ordinals,
            &self.received as _,
            &self.refusals,
        )
        .fetch_all(transaction)
        .await?;
        rows.into_iter()
            .map(|columns| {
                let row = Row::of("device_refusals", &columns.device);
                let refusal = row.json("refusal", columns.refusal)?;
                let place = (columns.device, columns.boot, columns.seq, columns.ordinal);
                Ok((place, (columns.received_at, refusal)))
            })
            .collect()
    }
}

async fn drop_oldest(
    transaction: &mut PgConnection,
    tenant: &Tenant,
    devices: &[String],
) -> Result<BTreeSet<Place>, StoreError> {
    let rows = sqlx::query!(
        "DELETE FROM device_refusals r USING (
             SELECT device, boot, seq, ordinal,
                 row_number() OVER (PARTITION BY device ORDER BY boot DESC, seq DESC, ordinal DESC) AS place
             FROM device_refusals WHERE tenant_id = $1 AND device = ANY($2)
         ) ranked
         WHERE r.tenant_id = $1 AND ranked.place > $3
             AND (r.device, r.boot, r.seq, r.ordinal)
                 = (ranked.device, ranked.boot, ranked.seq, ranked.ordinal)
         RETURNING r.device, r.boot, r.seq, r.ordinal",
        tenant.as_str(),
        devices,
        KEPT,
    )
    .fetch_all(transaction)
    .await?;
    let places = rows
        .into_iter()
        .map(|row| (row.device, row.boot, row.seq, row.ordinal));
    Ok(places.collect())
}
