//! `espalier completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::args::Cli;
use crate::failure::Failure;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "bash: espalier completions bash > ~/.local/share/bash-completion/completions/espalier\n\
    zsh:  espalier completions zsh > ~/.zfunc/_espalier\n\
    fish: espalier completions fish > ~/.config/fish/completions/espalier.fish"
)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// Never; the signature is that of every command.
    pub fn run(self) -> Result<(), Failure> {
        generate(
            self.shell,
            &mut Cli::command(),
            "espalier",
            &mut std::io::stdout(),
        );
        Ok(())
    }
}
