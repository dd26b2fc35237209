//! `espalier keys root next`.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_trust::Lifetimes;
use espalier_trust::draft::{RootChange, RootDraft};
use espalier_trust::tuf::TufRole;
use jiff::Timestamp;

use super::show::draft_view;
use crate::commands::Context;
use crate::commands::keys::files::{fresh, moment, public_half, refused, root, write};
use crate::failure::Failure;

/// Draft the root that follows: add and revoke keys, change thresholds, renew.
///
/// Without any change it only renews the time until which devices follow it. Enough holders of the current root
/// and enough of the new one must sign. Revoke a key that may be in other hands, and add its successor, in one
/// draft.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: espalier keys root next 1.root.json --add timestamp new-timestamp.pub.json --revoke timestamp 3f9a04c1"
)]
pub struct Next {
    /// The root that devices follow now
    #[arg(value_name = "CURRENT")]
    current: PathBuf,
    /// Let one more key hold a role: root, targets, snapshot or timestamp
    #[arg(long, num_args = 2, value_names = ["ROLE", "PUBLIC"])]
    add: Vec<String>,
    /// Let a key hold a role no longer; eight digits of its id are enough
    #[arg(long, num_args = 2, value_names = ["ROLE", "KEYID"])]
    revoke: Vec<String>,
    /// Have another number of a role's holders sign
    #[arg(long, num_args = 2, value_names = ["ROLE", "COUNT"])]
    threshold: Vec<String>,
    /// When devices stop following it, like 2028-01-01 [default: in 540 days]
    #[arg(long, value_name = "DATE", value_parser = moment)]
    expires: Option<Timestamp>,
    /// Where to write the draft [default: N.root.draft.json]
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

impl Next {
    /// Drafts it.
    ///
    /// # Errors
    /// When a change makes no sense, or no device could follow such a root.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.output.now();
        let current = root(&self.current)?;
        let expires = self.expires.unwrap_or(now + Lifetimes::default().root);
        let draft = RootDraft::next(current, &self.changes()?, expires, now).map_err(refused)?;
        let name = format!("{}.root.draft.json", draft.plan().version);
        let into = fresh(self.into.unwrap_or_else(|| name.into()))?;
        write(&into, &draft.to_bytes().map_err(refused)?)?;
        context.output.show(&draft_view(&draft)?.written(into))
    }

    fn changes(&self) -> Result<Vec<RootChange>, Failure> {
        let mut changes = Vec::new();
        for (role, file) in pairs(&self.add) {
            let (role, key) = (named(role)?, public_half(Path::new(file))?);
            changes.push(RootChange::Add { role, key });
        }
        for (role, key) in pairs(&self.revoke) {
            let (role, key) = (named(role)?, key.clone());
            changes.push(RootChange::Revoke { role, key });
        }
        for (role, count) in pairs(&self.threshold) {
            let wrong = |error: std::num::ParseIntError| {
                Failure::usage(
                    format!("`{count}` is no number of holders: {error}"),
                    "write it like --threshold root 2",
                )
            };
            let (role, threshold) = (named(role)?, count.parse().map_err(wrong)?);
            changes.push(RootChange::Threshold { role, threshold });
        }
        Ok(changes)
    }
}

/// Each option takes two values, so there are never an odd number of them.
fn pairs(values: &[String]) -> impl Iterator<Item = (&String, &String)> {
    values
        .iter()
        .step_by(2)
        .zip(values.iter().skip(1).step_by(2))
}

fn named(role: &str) -> Result<TufRole, Failure> {
    role.parse().map_err(|error: espalier_trust::tuf::NoRole| {
        Failure::usage(
            error.to_string(),
            "the deployer's keys are named by the targets: see `espalier keys targets next`",
        )
    })
}
