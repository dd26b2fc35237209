//! `espalier keys public`.

use std::path::PathBuf;

use clap::Args;
use espalier_trust::keys::{KeyFile, PublicHalf};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::commands::Context;
use crate::failure::Failure;
use crate::output::Shown;

/// Print the public half of a key, to be given to others.
///
/// What is printed is the file that `espalier keys root` takes. It is no secret; but whoever names it in a root
/// should hear its key id from its holder.
#[derive(Debug, Args)]
#[command(after_help = "Example: espalier keys public alice.key.json > alice.pub.json")]
pub struct Public {
    /// The key file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The file as it is printed, for people and programs alike.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct PublicView(Value);

impl Public {
    /// Reads the key file and prints its public half.
    ///
    /// # Errors
    /// When it is no key file.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let advice = "name a file that `espalier keys generate` made";
        let wrong = |error: espalier_trust::keys::KeyError| {
            Failure::usage(error.of(&self.file).to_string(), advice)
        };
        let half: PublicHalf = KeyFile::read(&self.file).map_err(wrong)?.public_half();
        let json = half.to_json().map_err(wrong)?;
        // It was written by us a moment ago.
        let value = serde_json::from_slice(&json).unwrap_or_default();
        context.output.show(&PublicView(value))
    }
}

impl Shown for PublicView {
    fn text(&self, _now: Timestamp) -> String {
        format!("{:#}", self.0)
    }
}
