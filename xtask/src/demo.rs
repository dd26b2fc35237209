//! `cargo xtask demo` and `cargo xtask bench`: build everything, then become `espalier-demo` or `espalier-bench`.

use crate::args::Args;
use crate::failure::{Failure, Result};
use crate::setup::{self, Setup};
use crate::{process, workspace};

pub const HELP: &str = "\
Shows the whole product on this machine, with nothing else running: a cloud, a gateway, and four
devices.

Usage: cargo xtask demo [--postgres npm] [demo options]

A full model is imported, made into signed int8 edge builds, rolled out to every device, and used
there. It stays up, with its addresses printed, until Ctrl-C.

Demo options:
  --once         end by itself when everything was shown
  --json FILE    write a record of every step and figure
  --image FILE   segment your own picture
  --overlay FILE where the picture with its mask goes (espalier-demo.png)";

pub const BENCH_HELP: &str = "\
Measures, and prints figures.

Usage: cargo xtask bench NAME [--json FILE] [--postgres npm]

Names:
  update   a release on its way to devices: bytes, seconds, verification, requests while switching";

pub fn command(args: Args) -> Result<()> {
    start(args, "espalier-demo")
}

pub fn bench(args: Args) -> Result<()> {
    start(args, "espalier-bench")
}

fn start(mut args: Args, program: &str) -> Result<()> {
    let setup = Setup::ensure(setup::choice(&mut args)?)?;
    build()?;
    let mut program = process::command(workspace::program(program));
    setup.apply(&mut program).args(args.into_rest());
    // Files that a person names are meant from where the person stands.
    if let Ok(here) = std::env::current_dir() {
        program.current_dir(here);
    }
    Err(process::become_program(&mut program))
}

/// The whole workspace at once: each selection of packages would have its own set of features, and
/// its own build.
fn build() -> Result<()> {
    process::run(&mut process::cargo(["build", "--workspace", "--bins"]))
        .map_err(|_| Failure::new("the build failed; its own message is above"))
}
