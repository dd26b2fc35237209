//! `espalier keys root new`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;
use espalier_trust::Lifetimes;
use espalier_trust::draft::RootDraft;
use espalier_trust::tuf::{RoleHolders, RootPlan};
use jiff::Timestamp;

use super::show::draft_view;
use crate::commands::Context;
use crate::commands::keys::files::{fresh, moment, public_half, refused, write};
use crate::failure::Failure;

/// Draft the first root of a new installation.
///
/// Every key is named by its public half (`espalier keys public`): no private key is needed here, and root and
/// targets keys never come near the server. Snapshot and timestamp are the server's.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: espalier keys root new --root alice.pub.json --root bob.pub.json --root carol.pub.json --root-threshold 2 \
    --targets alice-targets.pub.json --snapshot snapshot.pub.json --timestamp timestamp.pub.json"
)]
pub struct New {
    /// A holder of root, who may name other holders; once for each
    #[arg(long, value_name = "PUBLIC", required = true)]
    root: Vec<PathBuf>,
    /// How many holders of root must sign
    #[arg(long, value_name = "COUNT", default_value = "1")]
    root_threshold: NonZeroU64,
    /// A holder of targets, who signs releases and names deployer keys; once for each
    #[arg(long, value_name = "PUBLIC", required = true)]
    targets: Vec<PathBuf>,
    /// How many holders of targets must sign
    #[arg(long, value_name = "COUNT", default_value = "1")]
    targets_threshold: NonZeroU64,
    /// The server's snapshot key
    #[arg(long, value_name = "PUBLIC", required = true)]
    snapshot: Vec<PathBuf>,
    /// The server's timestamp key
    #[arg(long, value_name = "PUBLIC", required = true)]
    timestamp: Vec<PathBuf>,
    /// When devices stop following it, like 2028-01-01 [default: in 540 days]
    #[arg(long, value_name = "DATE", value_parser = moment)]
    expires: Option<Timestamp>,
    /// Where to write the draft
    #[arg(long, value_name = "FILE", default_value = "1.root.draft.json")]
    into: PathBuf,
}

impl New {
    /// Drafts it.
    ///
    /// # Errors
    /// When a file is no public half, or no device could follow such a root.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.output.now();
        let into = fresh(self.into)?;
        let plan = RootPlan {
            version: NonZeroU64::MIN,
            expires: self.expires.unwrap_or(now + Lifetimes::default().root),
            root: holders(&self.root, self.root_threshold)?,
            targets: holders(&self.targets, self.targets_threshold)?,
            snapshot: holders(&self.snapshot, NonZeroU64::MIN)?,
            timestamp: holders(&self.timestamp, NonZeroU64::MIN)?,
        };
        let draft = RootDraft::first(plan, now).map_err(refused)?;
        write(&into, &draft.to_bytes().map_err(refused)?)?;
        context.output.show(&draft_view(&draft)?.written(into))
    }
}

fn holders(files: &[PathBuf], threshold: NonZeroU64) -> Result<RoleHolders, Failure> {
    let keys = files.iter().map(|file| public_half(file));
    Ok(RoleHolders::several(
        keys.collect::<Result<_, _>>()?,
        threshold,
    ))
}
