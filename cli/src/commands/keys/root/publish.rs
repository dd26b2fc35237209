//! `espalier keys root publish`.

use std::path::PathBuf;

use clap::Args;
use espalier_api::tuf::{PublishRoot, TufTargetsView};

use crate::commands::Context;
use crate::commands::keys::files::read;
use crate::commands::keys::targets::{Published, publication, text};
use crate::failure::Failure;

/// Hand a finished root to the server, which brings it to all devices.
///
/// The server must hold the snapshot and timestamp keys that the root names: make them on the server first. When
/// the root revokes the targets key by which the current targets are signed, give the targets that its new
/// holders signed, too: both are published together, or neither.
#[derive(Debug, Args)]
pub struct Publish {
    /// The finished root, N.root.json
    #[arg(value_name = "ROOT")]
    root: PathBuf,
    /// The finished draft of targets under this root (`espalier keys targets next`)
    #[arg(long, value_name = "DRAFT")]
    targets: Option<PathBuf>,
}

impl Publish {
    /// Hands it in.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let root_json = text(read(&self.root)?, &self.root)?;
        let targets = self.targets.as_deref().map(publication).transpose()?;
        let view: TufTargetsView = context
            .client()?
            .post("/tuf/root", &PublishRoot { root_json, targets })
            .await?;
        context.output.show(&Published::of(&view))
    }
}
