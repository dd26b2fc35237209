//! Forbids a second way to set up, run and check the project: whatever a person or the CI needs is
//! a command here.

mod args;
mod arrows;
mod cache;
mod console;
mod demo;
mod failure;
mod fuzz;
mod generate;
mod interop;
mod lint;
mod npm;
mod onnxruntime;
mod postgres;
mod process;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use args::Args;
use failure::{Failure, Result};

const HELP: &str = "\
Sets up, runs and checks Espalier.

Usage: cargo xtask <command> [options]

Commands:
  setup   fetch ONNX Runtime and PostgreSQL, build the console (done by the others when needed)
  demo    build everything and watch a full model become a signed edge build that a fleet runs
  test    run every test of the workspace
  fuzz    throw hostile bytes at every parser of bytes from outside
  lint    check formatting and lints
  gen     make the derived files again (.sqlx, OpenAPI document, TypeScript client, arrows)
  arrows  print which crate depends on which
  bench   measure, and print figures
  help    this text, or `cargo xtask help <command>`

Needed on the machine: git, Rust, a C compiler and Node.js 20 or newer. Nothing else.";

fn main() -> ExitCode {
    match run(Args::from_command_line()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: Args) -> Result<()> {
    let command = args.command().unwrap_or_else(|| "help".to_owned());
    if args.asks_for_help() {
        println!("{}", help(&command)?);
        return Ok(());
    }
    match command.as_str() {
        "setup" => setup::command(args),
        "demo" => demo::command(args),
        "bench" => demo::bench(args),
        "test" => test::command(args),
        "fuzz" => fuzz::command(args),
        "lint" => lint::command(args),
        "gen" => generate::command(args),
        "arrows" => arrows::command(args),
        "help" | "-h" | "--help" => {
            let topic = args.command().unwrap_or_else(|| "help".to_owned());
            println!("{}", help(&topic)?);
            Ok(())
        }
        unknown => Err(unknown_command(unknown)),
    }
}

fn help(command: &str) -> Result<&'static str> {
    Ok(match command {
        "help" | "-h" | "--help" => HELP,
        "setup" => setup::HELP,
        "demo" => demo::HELP,
        "bench" => demo::BENCH_HELP,
        "test" => test::HELP,
        "fuzz" => fuzz::HELP,
        "lint" => lint::HELP,
        "gen" => generate::HELP,
        "arrows" => arrows::HELP,
        unknown => return Err(unknown_command(unknown)),
    })
}

fn unknown_command(name: &str) -> Failure {
    Failure::new(format!(
        "`{name}` is not a command of xtask; see `cargo xtask help`"
    ))
}
