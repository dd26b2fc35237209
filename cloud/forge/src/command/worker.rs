//! The hidden subcommand of a confined worker: order in on standard input, JSON lines out.

use std::io::{Read, Write};
use std::process::ExitCode;

use espalier_forge::sandbox::spawn::{Failure, NO_SANDBOX, Order, Progress, Said};
use espalier_forge::stages::{Errand, perform};

/// The longest order in bytes; the recipe is the largest part of it.
const MAX_ORDER: u64 = 1 << 20;

/// Runs the command. Called before any thread exists, so that the walls are around all of the process.
pub fn run() -> ExitCode {
    match work() {
        Ok(answer) => {
            say(&Said::Done { answer });
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(&Said::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<serde_json::Value, Failure> {
    let mut order = Vec::new();
    std::io::stdin()
        .take(MAX_ORDER)
        .read_to_end(&mut order)
        .map_err(|error| failed("invalid-order", &error))?;
    let Order { walls, errand }: Order<Errand> =
        serde_json::from_slice(&order).map_err(|error| failed("invalid-order", &error))?;
    if let Some(walls) = walls {
        let protections = walls
            .enclose()
            .map_err(|error| failed(NO_SANDBOX, &error))?;
        say(&Said::Enclosed { protections });
    }
    let answer = perform(errand, &mut |step: Progress| say(&Said::Progress(step)))?;
    serde_json::to_value(answer).map_err(|error| failed("storage", &error))
}

fn failed(code: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure {
        code: code.to_owned(),
        detail: error.to_string(),
    }
}

/// A supervisor that has gone hears nothing, and the kernel ends the worker with it.
fn say(said: &Said) {
    let Ok(mut line) = serde_json::to_vec(said) else {
        return;
    };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).ok();
}
