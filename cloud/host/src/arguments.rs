//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser};
use espalier_protocol::ModelName;
use espalier_runtime::ProviderPolicy;
use url::Url;

/// Serves full models with the same endpoints as a gateway; answers say that the cloud computed them.
#[derive(Debug, Parser)]
#[command(name = "espalier-host", version, group(ArgGroup::new("source").args(["models", "cloud"]).required(true)))]
pub struct Arguments {
    /// A folder with model.json and its graphs; may be given several times
    #[arg(long = "model", value_name = "DIR")]
    pub models: Vec<PathBuf>,
    /// The cloud's operator API, whose newest model versions are fetched, served and followed
    #[arg(long, value_name = "URL", requires = "token_file")]
    pub cloud: Option<Url>,
    /// The file with the operator's token
    #[arg(long, value_name = "FILE", requires = "cloud")]
    pub token_file: Option<PathBuf>,
    /// Serve only this model of the cloud; may be given several times [default: all]
    #[arg(long = "only", value_name = "NAME", requires = "cloud")]
    pub only: Vec<ModelName>,
    /// Seconds between two looks for newer versions
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "cloud")]
    pub follow: u64,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7080")]
    pub listen: SocketAddr,
    /// Listen on other addresses than this machine's own, although everybody there may ask and listen in
    #[arg(long)]
    pub allow_plain_http: bool,
    /// Write the address into this file when all models are loaded
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
    /// Execution providers in the order in which they are tried; without `cpu`, nothing runs there
    #[arg(long, value_name = "LIST", default_value = "cpu")]
    pub providers: ProviderPolicy,
    /// Requests that are computed at once
    #[arg(long, value_name = "N", default_value = "1")]
    pub workers: NonZeroUsize,
    /// Threads of each computation [default: the processors, shared by the workers]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Requests that may wait for a worker
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub queue: usize,
    /// Seconds that a request may take in all
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub time_limit: u64,
    /// MiB of memory for embeddings of pictures that were asked about lately
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub embedding_cache: usize,
    /// How this host is called in its answers
    #[arg(long, value_name = "NAME", default_value = "host")]
    pub name: String,
}

impl Arguments {
    /// Threads of each computation.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(|| {
            let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            NonZeroUsize::new(processors / self.workers).unwrap_or(NonZeroUsize::MIN)
        })
    }

    /// How long a request may take.
    pub fn time_limit(&self) -> Duration {
        Duration::from_secs(self.time_limit)
    }
}
