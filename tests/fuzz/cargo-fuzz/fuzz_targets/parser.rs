//! libFuzzer over one of the targets, chosen by `ESPALIER_FUZZ_TARGET`: one program to build, and one list of targets.
#![no_main]

use std::sync::LazyLock;

use espalier_fuzz_targets::{TARGETS, Target, find};

/// Which target is run.
const VARIABLE: &str = "ESPALIER_FUZZ_TARGET";

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    find(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("set {VARIABLE} to one of: {}", names.join(", "));
        std::process::exit(2)
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if bytes.len() <= TARGET.longest {
        (TARGET.check)(bytes);
    }
});
