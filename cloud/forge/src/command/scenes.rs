//! `espalier-forge scenes`: rendered scenes with exact masks, as files.

use std::path::PathBuf;

use espalier_forge::scenes;
use indicatif::{ProgressBar, ProgressStyle};

/// Renders scenes with exact masks and writes them with an index.jsonl.
#[derive(clap::Args)]
pub struct Args {
    /// Folder to write to; made if it is not there.
    #[arg(long)]
    out: PathBuf,
    /// How many scenes.
    #[arg(long, default_value_t = 16)]
    count: u64,
    /// Seed of the first scene; the others follow.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Width in pixels.
    #[arg(long, default_value_t = 640, value_parser = clap::value_parser!(u32).range(64..=4096))]
    width: u32,
    /// Height in pixels.
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u32).range(64..=4096))]
    height: u32,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} scenes")?;
    let bar = ProgressBar::new(args.count).with_style(style);
    scenes::write_index(
        &args.out,
        args.seed,
        args.count,
        (args.width, args.height),
        || bar.inc(1),
    )?;
    bar.finish();
    println!("{} scenes in {}", args.count, args.out.display());
    Ok(())
}
