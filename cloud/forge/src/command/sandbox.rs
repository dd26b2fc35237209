//! `espalier-forge sandbox`: do this machine's walls hold?

use std::process::ExitCode;

use anyhow::Context;
use espalier_forge::sandbox::doors::Outcome;
use espalier_forge::trial;
use serde_json::json;

use super::workshop::{Confinement, on_this_thread};

/// Lets a hostile job try every way out of the walls, and says which held on this machine.
#[derive(clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confinement: Confinement,
}

/// Runs the command; fails when a door is open.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let scratch = tempfile::tempdir().context("no scratch folder")?;
    let workshop = args.confinement.workshop()?;
    let outcomes = on_this_thread(trial::try_all(&workshop, scratch.path()))??;
    let open = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Open { .. }))
        .count();
    if args.json {
        let rows: Vec<_> = outcomes
            .iter()
            .map(|(door, outcome)| json!({ "attempt": door, "outcome": outcome }))
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        for (door, outcome) in &outcomes {
            let (verdict, why) = match outcome {
                Outcome::Shut { reason } => ("shut", reason),
                Outcome::Open { gained } => ("OPEN", gained),
            };
            println!("{verdict}  {:<55} {why}", door.words());
        }
    }
    Ok(if open == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
