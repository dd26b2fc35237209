//! Tests that cannot run here say so by name, and CI prints the list.

use std::io::Write as _;

/// Notes that a test was skipped: a line on standard error, and one in the file named by
/// `ESPALIER_SKIP_LOG`, which `cargo xtask test` prints at its end.
pub fn skipped(test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
    let Some(log) = std::env::var_os("ESPALIER_SKIP_LOG") else {
        return;
    };
    let written = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log)
        // In one write: other tests append to it, too.
        .and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes()));
    if let Err(error) = written {
        eprintln!("the skip log {} cannot be written: {error}", log.display());
    }
}
