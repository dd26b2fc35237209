//! The commands, one file each.

mod broker;
mod build;
mod claim;
mod completions;
mod device;
mod inspect;
mod keys;
mod model;
mod release;
mod rollout;
mod status;
mod up;

use clap::Subcommand;
use ring::rand::SystemRandom;

use crate::client::Client;
use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::Output;

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// How to reach the server.
    pub connection: ConnectionArgs,
    /// Where results go.
    pub output: Output,
    /// What new keys are made from.
    pub random: SystemRandom,
}

impl Context {
    /// A client for the server that was named.
    ///
    /// # Errors
    /// When none is known.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.connection)
    }
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: database, broker, server, model host
    Up(up::Up),
    /// Say what the server is and whether all its parts are up
    Status(status::Status),
    /// Import and look at full models
    #[command(subcommand)]
    Model(model::Command),
    /// Make builds of a model for a class of devices
    #[command(subcommand)]
    Build(build::Command),
    /// Draft, sign and export releases
    #[command(subcommand)]
    Release(release::Command),
    /// Bring a release to devices, in stages
    #[command(subcommand)]
    Rollout(rollout::Command),
    /// Look at gateways and devices
    #[command(subcommand)]
    Device(device::Command),
    /// Let new devices in
    #[command(subcommand)]
    Claim(claim::Command),
    /// Set up an external broker
    #[command(subcommand)]
    Broker(broker::Command),
    /// Make, exchange and change the keys that devices believe
    #[command(subcommand)]
    Keys(keys::Command),
    /// Print and verify a bundle, signed message, manifest, release, claim or TUF file
    Inspect(inspect::Inspect),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done, with what to do next.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Up(command) => command.run(context).await,
            Self::Status(command) => command.run(context).await,
            Self::Model(command) => command.run(context).await,
            Self::Build(command) => command.run(context).await,
            Self::Release(command) => command.run(context).await,
            Self::Rollout(command) => command.run(context).await,
            Self::Device(command) => command.run(context).await,
            Self::Claim(command) => command.run(context).await,
            Self::Broker(command) => command.run(context).await,
            Self::Keys(command) => command.run(context).await,
            Self::Inspect(command) => command.run(context),
            Self::Completions(command) => command.run(),
        }
    }
}
