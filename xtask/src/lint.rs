//! `cargo xtask lint`: formatting and lints, as the CI asks for them.

use crate::args::Args;
use crate::failure::{Failure, Result};
use crate::process;

pub const HELP: &str = "\
Checks formatting (`cargo fmt`) and lints (`cargo clippy`) of every crate, tests included.

Usage: cargo xtask lint";

pub fn command(args: Args) -> Result<()> {
    args.finish("lint")?;
    process::run(&mut process::cargo(["fmt", "--all", "--check"]))
        .map_err(|_| Failure::new("some files are not formatted; run `cargo fmt --all`"))?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ];
    process::run(&mut process::cargo(clippy))
        .map_err(|_| Failure::new("there are lints; each is explained above"))
}
