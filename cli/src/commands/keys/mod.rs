//! `espalier keys …`: the key ceremony. Runs on any machine, without a server; only `publish` speaks to one.

mod bundle;
mod files;
mod generate;
mod list;
mod passphrase;
mod public;
mod root;
mod signers;
mod targets;

pub use files::fresh;
pub use passphrase::PassphraseArgs;
pub use targets::{draft_view as targets_draft_view, write_draft};

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Make, exchange and change the keys that devices believe.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make new keys, each in an encrypted file
    Generate(generate::Generate),
    /// Make the key that signs bundles for other people's tools
    Bundle(bundle::Bundle),
    /// List the keys in folders and files
    List(list::List),
    /// Print the public half of a key, to be given to others
    Public(public::Public),
    /// Say which keys hold which role: the root
    #[command(subcommand)]
    Root(root::Command),
    /// Sign the list of releases and deployer keys with several holders, or anew
    #[command(subcommand)]
    Targets(targets::Command),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Generate(command) => command.run(&context),
            Self::Bundle(command) => command.run(&context),
            Self::List(command) => command.run(&context),
            Self::Public(command) => command.run(&context),
            Self::Root(command) => command.run(context).await,
            Self::Targets(command) => command.run(context).await,
        }
    }
}
