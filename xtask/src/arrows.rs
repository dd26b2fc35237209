//! `cargo xtask arrows`: which room of the house depends on which.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::args::Args;
use crate::failure::{Failure, Result, While};
use crate::process;

pub const HELP: &str = "\
Prints which crate of the workspace depends on which, one arrow a line. `docs/arrows.txt` is this
list: a test fails when they differ, so that a new arrow is seen in review.

Usage: cargo xtask arrows";

pub fn command(args: Args) -> Result<()> {
    args.finish("arrows")?;
    print!("{}", text()?);
    Ok(())
}

/// One `from -> to` a line, sorted. Dependencies of tests, examples and build scripts are no
/// arrows.
pub fn text() -> Result<String> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps"];
    let answer = process::output(&mut process::cargo(arguments))?;
    let metadata: Value =
        serde_json::from_str(&answer).while_trying(|| "read the output of `cargo metadata`")?;
    let packages = list(&metadata["packages"])?;
    let rooms: BTreeSet<&str> = packages
        .iter()
        .filter_map(|room| room["name"].as_str())
        .collect();
    let mut arrows = BTreeSet::new();
    for room in packages {
        let dependencies = list(&room["dependencies"])?.iter();
        // `kind` is null for ordinary dependencies.
        let names = dependencies
            .filter(|to| to["kind"].is_null())
            .filter_map(|to| to["name"].as_str());
        let from = room["name"].as_str().unwrap_or_default();
        arrows.extend(
            names
                .filter(|to| rooms.contains(to))
                .map(|to| format!("{from} -> {to}\n")),
        );
    }
    Ok(arrows.into_iter().collect())
}

fn list(value: &Value) -> Result<&[Value]> {
    let list = value.as_array().map(Vec::as_slice);
    list.ok_or_else(|| Failure::new("`cargo metadata` answered in a way that is not known here"))
}
