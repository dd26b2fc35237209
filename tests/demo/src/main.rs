//! Forbids a demo that differs from the product: the same binaries, started and watched.
//!
//! `cargo xtask demo` ends here. One control plane, one gateway, two devices that speak with the
//! cloud and two that know only the gateway; a full model becomes two signed edge builds, the fleet
//! takes them in stages, segments a picture, and refuses what an attacker offers.

mod attacks;
mod fleet;
mod picture;
mod record;
mod show;
mod stages;
mod table;
mod up;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::record::Record;

/// From a full model to a fleet that runs its edge builds, on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask demo", version)]
struct Arguments {
    /// End by itself instead of staying up until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Write the record of all that was done (JSON)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Segment this picture (JPEG or PNG) instead of a rendered one, with a click on its middle
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Where the picture with the mask over it goes
    #[arg(long, value_name = "FILE", default_value = "espalier-demo.png")]
    overlay: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    // Children die with the thread that started them, so all are started from this one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut record = Record::default();
        let result = tokio::select! {
            result = show::show(&arguments, &mut record) => result,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("it was interrupted")),
        };
        record.ok = result.is_ok();
        if let Some(file) = &arguments.json {
            let text = serde_json::to_string_pretty(&record)?;
            std::fs::write(file, text)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let stack = result?;
        table::print(&record);
        if !arguments.once {
            stack.stay(&record).await;
        }
        stack.stop().await
    })
}
