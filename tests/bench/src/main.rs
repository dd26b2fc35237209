//! Forbids figures without their limit: every row stands beside what the same run could reach at best.

mod figures;
mod load;
mod trust;
mod update;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

/// Measures, and prints figures beside the limit of the same run.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", version)]
struct Arguments {
    /// What to measure
    #[arg(value_enum)]
    name: Name,
    /// Write the figures (JSON)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// A revocation until the device is out; the metadata of one update until they are believed
    Trust,
    /// A release on its way to devices: bytes, seconds, verification, requests while switching
    Update,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("the bench failed: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every row that has a bar holds.
fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rows = match arguments.name {
        Name::Trust => runtime.block_on(trust::measure())?,
        Name::Update => runtime.block_on(update::measure())?,
    };
    let figures = figures::Figures::of_this_machine(rows);
    println!("{}", figures.table());
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&figures)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(figures.hold())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bench's wiring is where the clock comes from"
)]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
