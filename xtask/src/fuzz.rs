//! Fuzzing with libFuzzer: every target of `tests/fuzz` for some time, from its committed corpus on.
//!
//! Built for a stable compiler, without a sanitizer: our own code has no unsafe blocks to be watched, and what libFuzzer is
//! to find are panics, broken promises, and time or memory without end.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Args;
use crate::failure::{Failure, Result, While};
use crate::{process, workspace};

pub const HELP: &str = "\
Fuzzes the parsers of bytes from outside with libFuzzer, each from its corpus in tests/fuzz/corpus on.

Usage: cargo xtask fuzz [--seconds N] [-- TARGET…]

A line is printed for each target. What breaks one is kept below target/fuzz/found: mend the parser, and commit the
bytes as tests/fuzz/corpus/TARGET/WHAT-THEY-DO. Needs `cargo fuzz` (`cargo install cargo-fuzz --locked`) and a C++
compiler; no nightly one of Rust.

Options:
  --seconds N   how long each target is run [default: 600]";

/// How long each target is run unless said otherwise.
pub const SECONDS: u64 = 600;

const CORPUS: &str = "tests/fuzz/corpus";
const WORKSPACE: &str = "tests/fuzz/cargo-fuzz";
/// The one program, which the environment tells its target.
const PROGRAM: &str = "parser";
const TARGET: &str = "ESPALIER_FUZZ_TARGET";
/// Seconds that one input may take, and MiB that the program may: time and memory without end are crashes, too.
const LIMITS: [&str; 2] = ["-timeout=25", "-rss_limit_mb=4096"];
const INSTALL: &str = "cargo install cargo-fuzz --locked";

pub fn command(mut args: Args) -> Result<()> {
    let seconds = seconds(&mut args, "--seconds")?.unwrap_or(SECONDS);
    let chosen = args.into_handed_on("fuzz")?;
    let targets = targets()?;
    if let Some(unknown) = chosen.iter().find(|name| !targets.contains(name)) {
        let known = targets.join(", ");
        return Err(Failure::new(format!(
            "`{unknown}` is no fuzz target: {known}"
        )));
    }
    if !is_installed() {
        return Err(Failure::new(format!(
            "`cargo fuzz` is not here; `{INSTALL}` installs it"
        )));
    }
    run(if chosen.is_empty() { targets } else { chosen }, seconds)
}

/// Takes an option that is a number of seconds.
pub fn seconds(args: &mut Args, option: &str) -> Result<Option<u64>> {
    let number = |text: String| {
        text.parse()
            .map_err(|_| Failure::new(format!("`{option} {text}` is no number of seconds")))
    };
    args.value(option)?.map(number).transpose()
}

/// Runs every target for `seconds`, and prints a line for each. Where `cargo fuzz` is missing, all are noted as skipped in
/// the file `skipped`.
pub fn all(seconds: u64, skipped: &Path) -> Result<()> {
    let targets = targets()?;
    if is_installed() {
        run(targets, seconds)
    } else {
        skip(&targets, skipped)
    }
}

fn is_installed() -> bool {
    process::output(&mut process::cargo(["fuzz", "--version"])).is_ok()
}

fn run(targets: Vec<String>, seconds: u64) -> Result<()> {
    build()?;
    println!("fuzzing {} targets, {seconds} s each", targets.len());
    let mut crashed = Vec::new();
    for target in targets {
        let run = Run::of(&target, seconds)?;
        println!("{}", run.line(&target));
        crashed.extend(run.crash.map(|_| target));
    }
    if crashed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "fuzzing broke {}; mend the parser, and commit the bytes as {CORPUS}/TARGET/WHAT-THEY-DO",
        crashed.join(", ")
    )))
}

/// The targets are the folders of the corpus; a test compares them with the code's own list.
fn targets() -> Result<Vec<String>> {
    let folder = workspace::root().join(CORPUS);
    let reading = || format!("read {}", folder.display());
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).while_trying(reading)? {
        let name = entry.while_trying(reading)?.file_name();
        targets.push(name.to_string_lossy().into_owned());
    }
    targets.sort_unstable();
    Ok(targets)
}

fn skip(targets: &[String], skipped: &Path) -> Result<()> {
    println!("nothing was fuzzed: `cargo fuzz` is not here; `{INSTALL}` installs it");
    let lines: String = targets
        .iter()
        .map(|target| format!("fuzz target {target}: `cargo fuzz` is not installed\n"))
        .collect();
    File::options()
        .create(true)
        .append(true)
        .open(skipped)
        .and_then(|mut log| log.write_all(lines.as_bytes()))
        .while_trying(|| format!("write {}", skipped.display()))
}

fn output() -> PathBuf {
    workspace::target().join("fuzz")
}

fn build() -> Result<()> {
    let root = workspace::root();
    // The same versions as everywhere else; cargo adds libFuzzer to them.
    fs::copy(
        root.join("Cargo.lock"),
        root.join(WORKSPACE).join("Cargo.lock"),
    )
    .while_trying(|| format!("copy Cargo.lock to {WORKSPACE}"))?;
    process::run(&mut cargo_fuzz("build"))
        .map_err(|_| Failure::new("the fuzz targets do not build; the compiler's message is above"))
}

fn cargo_fuzz(action: &str) -> Command {
    let mut fuzz = process::cargo(["fuzz", action, "--fuzz-dir", WORKSPACE]);
    // Without `cfg(fuzzing)`, under which libraries skip checksums: what is fuzzed is what is shipped, and what breaks it
    // breaks the test that replays the corpus.
    fuzz.args(["--sanitizer", "none", "--no-cfg-fuzzing", "--target-dir"])
        .arg(output())
        .arg(PROGRAM);
    fuzz
}

/// What became of one target.
struct Run {
    executions: String,
    added: String,
    seconds: u64,
    /// Where the bytes are that broke it.
    crash: Option<String>,
}

impl Run {
    fn of(target: &str, seconds: u64) -> Result<Self> {
        let [grown, found] = ["corpus", "found"].map(|kind| output().join(kind).join(target));
        for folder in [&grown, &found] {
            fs::create_dir_all(folder).while_trying(|| format!("make {}", folder.display()))?;
        }
        let log = output().join(format!("{target}.log"));
        let file = File::create(&log).while_trying(|| format!("make {}", log.display()))?;
        let copy = file
            .try_clone()
            .while_trying(|| format!("open {}", log.display()))?;
        let status = cargo_fuzz("run")
            .env(TARGET, target)
            .arg(grown)
            .arg(workspace::root().join(CORPUS).join(target))
            .args(["--", "-print_final_stats=1"])
            .args(LIMITS)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", found.display()))
            .stdout(file)
            .stderr(copy)
            .status()
            .while_trying(|| "start `cargo fuzz run`")?;
        let text = fs::read(&log).while_trying(|| format!("read {}", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        let crash = after(&text, "Test unit written to ");
        if !status.success() && crash.is_none() {
            return Err(Failure::new(format!(
                "`cargo fuzz run` of {target} failed ({status}); see {}",
                log.display()
            )));
        }
        let number = |name| after(&text, name).unwrap_or_else(|| "?".to_owned());
        Ok(Self {
            executions: number("stat::number_of_executed_units:"),
            added: number("stat::new_units_added:"),
            seconds,
            crash,
        })
    }

    fn line(&self, target: &str) -> String {
        let Self {
            executions,
            added,
            seconds,
            crash,
        } = self;
        match crash {
            None => format!(
                "fuzz {target}: {executions} runs in {seconds} s, {added} new inputs, no crash"
            ),
            Some(bytes) => {
                format!("fuzz {target}: BROKEN after {executions} runs by the bytes in {bytes}")
            }
        }
    }
}

/// The rest of the line after `mark`.
fn after(text: &str, mark: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once(mark)?;
    Some(rest.lines().next().unwrap_or_default().trim().to_owned())
}
