//! The command line as a whole.

use clap::Parser;

use crate::commands::Command;
use crate::connection::ConnectionArgs;
use crate::output::OutputArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the work was carried out and ended badly (build failed, rollout paused or reverted, a part died)
  2    wrong use, or a file that makes no sense
  3    the server cannot be reached, or its address or token is not known
  4    the token is not accepted, or may not do this
  5    the server knows nothing of that name
  6    the server refused: wrong state, wrong input, a gate that did not pass
  7    a signature, digest or chain of trust did not verify
  8    a local file cannot be read or written
  70   the server failed, or what answered is not Espalier
  130  stopped by Ctrl-C

The server is found by --url and --token-file, else by the state folder named with --state, else by
~/.config/espalier/config.toml (`url`, `token_file`, `ca`), else by ./.espalier as `espalier up` leaves it.";

/// Keeps AI models on fleets of gateways and devices fresh, small, signed and reversible
///
/// A full model is imported, built for each class of device, released with a signature, and rolled
/// out to devices in stages that stop by themselves when devices fail.
#[derive(Debug, Parser)]
#[command(name = "espalier", version, after_long_help = EXIT_CODES, after_help = "See `espalier --help` for exit codes.")]
#[command(
    propagate_version = true,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
