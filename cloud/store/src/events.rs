//! Events for the live console: appended in order, followed by id.

use espalier_protocol::id::RolloutId;
use espalier_protocol::{DeviceIdentity, Tenant};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::moment::Moment;
use crate::row::{Row, signed};
use crate::{Signal, Store, StoreError};

/// Most events that are deleted in one statement: others must not wait long for it.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

/// What the console shows live.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a> {
    pub(crate) store: &'a Store,
}

/// An event to be appended.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// When it happened.
    pub at: Timestamp,
    /// What kind: `assignment.active`, `rollout.paused`, `device.refused`.
    pub kind: String,
    /// What it is about: an id or a name.
    pub subject: String,
    /// The rest.
    pub payload: serde_json::Value,
}

/// An event with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Grows with every event; followers go on after the last one that they saw.
    pub id: u64,
    /// The event.
    pub event: NewEvent,
}

impl Events<'_> {
    /// Appends events and tells followers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append(&self, tenant: &Tenant, events: &[NewEvent]) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        append(&mut transaction, tenant, events).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Events after an id, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn after(
        &self,
        tenant: &Tenant,
        id: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query_as!(
            EventRow,
            r#"SELECT event_id, at AS "at: Moment", kind, subject, payload
               FROM events WHERE tenant_id = $1 AND event_id > $2 ORDER BY event_id LIMIT $3"#,
            tenant.as_str(),
            signed(id),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// Deletes a tenant's events from before `since`, and the oldest of more than `most`; gives how many. Takes a bounded
    /// number at a time: none is left to delete when it gives 0.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget(
        &self,
        tenant: &Tenant,
        since: Timestamp,
        most: u32,
    ) -> Result<u64, StoreError> {
        let deleted = sqlx::query!(
            "WITH oldest AS (
                 SELECT event_id, at FROM events WHERE tenant_id = $1 ORDER BY event_id LIMIT $4
             ), too_many AS (
                 SELECT event_id FROM events WHERE tenant_id = $1 ORDER BY event_id DESC OFFSET $3 LIMIT 1
             )
             DELETE FROM events e USING oldest o
             WHERE e.event_id = o.event_id
                 AND (o.at < $2 OR o.event_id <= (SELECT event_id FROM too_many))",
            tenant.as_str(),
            Moment(since) as _,
            i64::from(most),
            FORGOTTEN_AT_ONCE,
        )
        .execute(&self.store.pool)
        .await?;
        Ok(deleted.rows_affected())
    }

    /// What happened in a rollout after an event, oldest first: to itself, and to its assignments.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_rollout(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query_as!(
            EventRow,
            r#"(SELECT event_id AS "event_id!", at AS "at!: Moment", kind AS "kind!", subject AS "subject!",
                       payload AS "payload!"
                FROM events WHERE tenant_id = $1 AND subject = $2 AND event_id > $3 ORDER BY event_id LIMIT $4)
               UNION
               (SELECT event_id, at, kind, subject, payload
                FROM events WHERE tenant_id = $1 AND payload ->> 'rollout' = $2 AND event_id > $3
                ORDER BY event_id LIMIT $4)
               ORDER BY 1 LIMIT $4"#,
            tenant.as_str(),
            rollout.to_string(),
            signed(after),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// What happened with a device after an event, oldest first: to itself, and to its assignments.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_device(
        &self,
        device: &DeviceIdentity,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query_as!(
            EventRow,
            r#"(SELECT event_id AS "event_id!", at AS "at!: Moment", kind AS "kind!", subject AS "subject!",
                       payload AS "payload!"
                FROM events WHERE tenant_id = $1 AND subject IN ($2, $3) AND event_id > $4 ORDER BY event_id LIMIT $5)
               UNION
               (SELECT event_id, at, kind, subject, payload
                FROM events WHERE tenant_id = $1 AND payload ->> 'device' = $2 AND event_id > $4
                ORDER BY event_id LIMIT $5)
               ORDER BY 1 LIMIT $5"#,
            device.tenant.as_str(),
            device.device.as_str(),
            device.to_string(),
            signed(after),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// The id of the newest event; 0 where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_id(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        let id = sqlx::query_scalar!(
            r#"SELECT COALESCE(max(event_id), 0) AS "id!" FROM events WHERE tenant_id = $1"#,
            tenant.as_str(),
        )
        .fetch_one(&self.store.pool)
        .await?;
        Row::of("events", id).unsigned("event_id", id)
    }
}

/// Appends within a transaction, as its last act.
///
/// Appending is one transaction's at a time: ids are handed out at once but seen at commit, and a follower that has
/// seen 8 would never come back for a 7 that commits later.
pub(crate) async fn append(
    transaction: &mut PgConnection,
    tenant: &Tenant,
    events: &[NewEvent],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('espalier events'))")
        .execute(&mut *transaction)
        .await?;
    let at: Vec<_> = events.iter().map(|event| Moment(event.at)).collect();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
    let subjects: Vec<_> = events.iter().map(|event| event.subject.clone()).collect();
    let payloads: Vec<_> = events.iter().map(|event| event.payload.clone()).collect();
    sqlx::query!(
        "INSERT INTO events (tenant_id, at, kind, subject, payload)
         SELECT $1, new.at, new.kind, new.subject, new.payload
         FROM UNNEST($2::timestamptz[], $3::text[], $4::text[], $5::jsonb[]) AS new (at, kind, subject, payload)",
        tenant.as_str(),
        &at as _,
        &kinds,
        &subjects,
        &payloads,
    )
    .execute(&mut *transaction)
    .await?;
    Signal::Events(tenant.clone()).send(transaction).await
}

struct EventRow {
    event_id: i64,
    at: Moment,
    kind: String,
    subject: String,
    payload: serde_json::Value,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(columns: EventRow) -> Result<Self, StoreError> {
        let event = NewEvent {
            at: columns.at.0,
            kind: columns.kind,
            subject: columns.subject,
            payload: columns.payload,
        };
        Ok(Self {
            id: Row::of("events", columns.event_id).unsigned("event_id", columns.event_id)?,
            event,
        })
    }
}
