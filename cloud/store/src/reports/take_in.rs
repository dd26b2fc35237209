//! One batch of reports in one transaction.
//!
//! A device's own row takes the newest report only. An assignment takes every report that is news to it: a newer
//! report about one model must not hide an older one about another.

use std::collections::{BTreeMap, BTreeSet};

use espalier_domain::Assignment;
use espalier_domain::assignment::Applied;
use espalier_domain::observation::{Freshness, Observation, Position};
use espalier_protocol::id::AssignmentId;
use espalier_protocol::{DeviceName, Incarnation, Tenant};
use sqlx::{Postgres, Transaction};

use super::TakenIn;
use crate::assignments::{Selection, load_for_update, phase_event, save};
use crate::devices::refusals;
use crate::events::NewEvent;
use crate::moment::Moment;
use crate::row::{Row, signed, to_json};
use crate::{Signal, Store, StoreError, events};

pub(super) async fn take_in(
    store: &Store,
    observations: &[Observation],
) -> Result<Vec<TakenIn>, StoreError> {
    if observations.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = store.begin().await?;
    let mut by_tenant: BTreeMap<&Tenant, Vec<(usize, &Observation)>> = BTreeMap::new();
    for (index, observation) in observations.iter().enumerate() {
        by_tenant
            .entry(&observation.device.tenant)
            .or_default()
            .push((index, observation));
    }
    let mut outcomes: BTreeMap<usize, TakenIn> = BTreeMap::new();
    let mut news = Vec::new();
    for (tenant, reports) in by_tenant {
        let mut batch = Batch {
            transaction: &mut transaction,
            tenant,
            events: Vec::new(),
        };
        outcomes.extend(batch.take_in(&reports).await?);
        news.push((tenant, batch.events));
    }
    // Last of all, because appending holds a lock that every writer of events takes after its rows.
    for (tenant, events) in news {
        tell(&mut transaction, tenant, &events).await?;
    }
    transaction.commit().await?;
    Ok(outcomes.into_values().collect())
}

/// What is known of a device from its last report.
#[derive(Clone, Copy, Default)]
struct Known {
    position: Option<Position>,
    incarnation: Option<Incarnation>,
}

impl Known {
    fn is_contradicted_by(self, report: &Observation) -> bool {
        self.position
            .is_some_and(|last| report.contradicts(last.boot, self.incarnation))
    }
}

struct Batch<'a> {
    transaction: &'a mut Transaction<'static, Postgres>,
    tenant: &'a Tenant,
    events: Vec<NewEvent>,
}

impl Batch<'_> {
    async fn take_in(
        &mut self,
        reports: &[(usize, &Observation)],
    ) -> Result<Vec<(usize, TakenIn)>, StoreError> {
        let known = self.known_devices(reports).await?;
        let mut last: BTreeMap<&DeviceName, Known> = known
            .iter()
            .map(|(device, known)| (device, *known))
            .collect();

        let mut accepted = Vec::new();
        let mut clones = BTreeSet::new();
        let mut newest: BTreeMap<&DeviceName, &Observation> = BTreeMap::new();
        let mut freshness: BTreeMap<usize, Freshness> = BTreeMap::new();
        for told @ (index, report) in reports {
            let Some(known) = last.get_mut(&report.device.device) else {
                continue;
            };
            if known.is_contradicted_by(report) {
                clones.insert(*index);
                continue;
            }
            let fresh = report.position.after(known.position);
            if fresh == Freshness::New {
                *known = Known {
                    position: Some(report.position),
                    incarnation: report.incarnation,
                };
                newest.insert(&report.device.device, report);
            }
            freshness.insert(*index, fresh);
            accepted.push(told);
        }
        self.store_newest(newest.values().copied()).await?;
        let mut applied = self.apply_progress(&accepted).await?;
        self.keep_refusals(&accepted).await?;

        let outcome = |(index, report): &(usize, &Observation)| {
            let outcome = match freshness.get(index) {
                Some(fresh) => TakenIn::Stored {
                    freshness: *fresh,
                    applied: applied.remove(index),
                },
                None if clones.contains(index) => TakenIn::Cloned,
                None => TakenIn::NotADevice(report.device.clone()),
            };
            (*index, outcome)
        };
        Ok(reports.iter().map(outcome).collect())
    }

    /// Devices that may speak, with their last reports' places; locked, so that two batches do not race.
    async fn known_devices(
        &mut self,
        reports: &[(usize, &Observation)],
    ) -> Result<BTreeMap<DeviceName, Known>, StoreError> {
        let names: Vec<_> = reports
            .iter()
            .map(|(_, report)| report.device.device.as_str().to_owned())
            .collect();
        let rows = sqlx::query!(
            r#"SELECT d.device, r.boot AS "boot?", r.seq AS "seq?", r.incarnation AS "incarnation?"
               FROM devices d LEFT JOIN device_reports r USING (tenant_id, device)
               WHERE d.tenant_id = $1 AND d.device = ANY($2) AND NOT d.barred
               ORDER BY d.device FOR NO KEY UPDATE OF d"#,
            self.tenant.as_str(),
            &names,
        )
        .fetch_all(&mut **self.transaction)
        .await?;
        rows.into_iter()
            .map(|columns| {
                let row = Row::of(
                    "device_reports",
                    format_args!("{}/{}", self.tenant, columns.device),
                );
                let position = match (columns.boot, columns.seq) {
                    (Some(boot), Some(seq)) => Some(Position {
                        boot: row.unsigned("boot", boot)?,
                        seq: row.unsigned("seq", seq)?,
                    }),
                    _ => None,
                };
                let incarnation = columns
                    .incarnation
                    .map(|bytes| row.bytes16("incarnation", &bytes));
                let known = Known {
                    position,
                    incarnation: incarnation.transpose()?.map(Incarnation::from_bytes),
                };
                Ok((row.parse("device", &columns.device)?, known))
            })
            .collect()
    }

    async fn store_newest<'o>(
        &mut self,
        newest: impl Iterator<Item = &'o Observation> + Clone,
    ) -> Result<(), StoreError> {
        let devices: Vec<_> = newest
            .clone()
            .map(|report| report.device.device.as_str().to_owned())
            .collect();
        let boots: Vec<_> = newest
            .clone()
            .map(|report| signed(report.position.boot))
            .collect();
        let seqs: Vec<_> = newest
            .clone()
            .map(|report| signed(report.position.seq))
            .collect();
        let incarnations: Vec<_> = newest
            .clone()
            .map(|report| report.incarnation.map(|start| start.as_bytes().to_vec()))
            .collect();
        let received: Vec<_> = newest
            .clone()
            .map(|report| Moment(report.received_at))
            .collect();
        let sequences: Vec<_> = newest
            .clone()
            .map(|report| signed(report.desired_sequence))
            .collect();
        let models: Vec<_> = newest
            .clone()
            .map(|report| to_json(&report.models))
            .collect::<Result<_, _>>()?;
        sqlx::query!(
            "INSERT INTO device_reports AS r
                 (tenant_id, device, boot, seq, incarnation, received_at, desired_sequence, models)
             SELECT $1, new.device, new.boot, new.seq, new.incarnation, new.received_at, new.desired_sequence, new.models
             FROM UNNEST($2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::timestamptz[], $7::bigint[], $8::jsonb[])
                 AS new (device, boot, seq, incarnation, received_at, desired_sequence, models)
             ON CONFLICT (tenant_id, device) DO UPDATE
             SET boot = excluded.boot, seq = excluded.seq, incarnation = excluded.incarnation,
                 received_at = excluded.received_at,
                 desired_sequence = excluded.desired_sequence, models = excluded.models
             WHERE (excluded.boot, excluded.seq) > (r.boot, r.seq)",
            self.tenant.as_str(),
            &devices,
            &boots,
            &seqs,
            &incarnations as _,
            &received as _,
            &sequences,
            &models,
        )
        .execute(&mut **self.transaction)
        .await?;
        self.learn_floors(&devices, &sequences).await?;
        self.store_inventories(newest).await
    }

    /// A device that accepted a higher sequence than was ever signed here has met a newer database than this one:
    /// it was restored from a copy. The device must be told again, with a sequence above what it knows.
    async fn learn_floors(
        &mut self,
        devices: &[String],
        sequences: &[i64],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE desired_states s SET wanted = s.wanted + 1
             FROM UNNEST($2::text[], $3::bigint[]) AS seen (device, sequence)
             WHERE s.tenant_id = $1 AND s.device = seen.device AND s.sequence < seen.sequence
                 AND s.composed = s.wanted",
            self.tenant.as_str(),
            devices,
            sequences,
        )
        .execute(&mut **self.transaction)
        .await?;
        Ok(())
    }

    async fn store_inventories<'o>(
        &mut self,
        newest: impl Iterator<Item = &'o Observation>,
    ) -> Result<(), StoreError> {
        let mut devices = Vec::new();
        let mut inventories = Vec::new();
        for report in newest {
            if let Some(inventory) = &report.inventory {
                devices.push(report.device.device.as_str().to_owned());
                inventories.push(to_json(inventory)?);
            }
        }
        if devices.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "UPDATE devices d SET inventory = new.inventory
             FROM UNNEST($2::text[], $3::jsonb[]) AS new (device, inventory)
             WHERE d.tenant_id = $1 AND d.device = new.device",
            self.tenant.as_str(),
            &devices,
            &inventories,
        )
        .execute(&mut **self.transaction)
        .await?;
        Ok(())
    }

    async fn apply_progress(
        &mut self,
        reports: &[&(usize, &Observation)],
    ) -> Result<BTreeMap<usize, Applied>, StoreError> {
        let mut ids: Vec<AssignmentId> = reports
            .iter()
            .filter_map(|(_, report)| Some(report.progress.as_ref()?.assignment))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let loaded = load_for_update(self.transaction, self.tenant, Selection::These(&ids)).await?;
        let mut assignments: BTreeMap<AssignmentId, (Assignment, Assignment)> = loaded
            .into_iter()
            .map(|before| (before.id, (before.clone(), before)))
            .collect();
        let mut applied = BTreeMap::new();
        for (index, report) in reports {
            let Some(progress) = &report.progress else {
                continue;
            };
            // A device speaks of its own assignments only; of others' there is nothing to tell it.
            let own = assignments
                .get_mut(&progress.assignment)
                .filter(|(_, a)| a.device == report.device.device);
            if let Some((_, assignment)) = own {
                applied.insert(*index, assignment.apply(progress, report.position));
            }
        }
        let received_at = reports
            .iter()
            .map(|(_, report)| report.received_at)
            .max()
            .unwrap_or_default();
        let changed = assignments
            .into_values()
            .filter(|(before, after)| before != after);
        let changed: Vec<_> = changed
            .inspect(|(before, after)| {
                if before.phase() != after.phase() {
                    self.events.push(phase_event(after, received_at));
                }
            })
            .map(|(_, after)| after)
            .collect();
        save(&mut **self.transaction, self.tenant, &changed).await?;
        Ok(applied)
    }

    /// Refusals count from late reports, too, and are told once: a duplicate tells nothing new.
    async fn keep_refusals(
        &mut self,
        reports: &[&(usize, &Observation)],
    ) -> Result<(), StoreError> {
        let reports = reports.iter().map(|(_, report)| *report);
        let news = refusals::keep(self.transaction, self.tenant, reports).await?;
        self.events.extend(news);
        Ok(())
    }
}

async fn tell(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    news: &[NewEvent],
) -> Result<(), StoreError> {
    if news.is_empty() {
        return Ok(());
    }
    Signal::Rollouts(tenant.clone())
        .send(&mut **transaction)
        .await?;
    events::append(transaction, tenant, news).await
}
