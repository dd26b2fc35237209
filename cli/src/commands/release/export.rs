//! `espalier release export`: a bundle as a folder that anybody can verify.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_api::release::ReleaseView;
use espalier_protocol::id::ReleaseId;
use espalier_protocol::manifest::{
    FileEntry, MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, SIGNATURE_FILE,
};
use espalier_protocol::proof::signature::MAX_SIGNATURE_BYTES;
use espalier_protocol::proof::{BundleKey, BundleSignature, Statement};
use espalier_protocol::{BundlePath, DeviceClassName, Digest};
use espalier_trust::keys::KeyFolder;
use jiff::Timestamp;
use serde::Serialize;

use crate::client::Client;
use crate::commands::{Context, inspect};
use crate::failure::Failure;
use crate::format::bytes;
use crate::output::{Shown, facts};

/// Download a bundle of a signed release as a folder that anybody can verify.
///
/// The folder holds manifest.json, every file that it lists (bom.cdx.json among them) and the bundle's own signature,
/// model.sig. All of it is verified while it is written: the signature by the key that you name, every file by its
/// digest. What does not verify leaves no folder behind.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    espalier release export RELEASE --class device-x86 bundle\n  \
    espalier inspect bundle --key STATE/keys/bundle.pub.pem\n  \
    model_signing verify key bundle --signature bundle/model.sig --public_key STATE/keys/bundle.pub.pem")]
pub struct Export {
    /// The release's id
    id: ReleaseId,
    /// The folder to make; it must not exist yet
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The device class whose bundle is wanted
    #[arg(long)]
    class: DeviceClassName,
    /// The public key (PEM) of whoever signs bundles [default: bundle.pub.pem in the state folder's keys]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Export {
    /// Downloads, verifies and shows.
    ///
    /// # Errors
    /// When the folder exists, the server has no such bundle, or something does not verify.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        if self.folder.symlink_metadata().is_ok() {
            return Err(Failure::usage(
                format!("{} is already there", self.folder.display()),
                "name a folder that does not exist yet",
            ));
        }
        let key = self.trusted_key(&context)?;
        let client = context.client()?;
        let source = self.source(&client).await?;
        let unfinished = Unfinished::beside(&self.folder)?;
        let exported = tokio::select! {
            exported = source.fetch(&unfinished.0, &key) => exported?,
            _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
        };
        unfinished.become_folder(&self.folder)?;
        context.output.show(&Exported {
            folder: self.folder,
            ..exported
        })
    }

    fn trusted_key(&self, context: &Context) -> Result<BundleKey, Failure> {
        let here = KeyFolder::new(context.connection.state_folder().join("keys"));
        let path = match &self.key {
            Some(path) => path.clone(),
            None => here.bundle_public_key(),
        };
        if self.key.is_none() && !path.is_file() {
            return Err(Failure::usage(
                format!(
                    "there is no key to verify with: {} does not exist",
                    path.display()
                ),
                "name the signer's public key with --key; the server is not asked for it",
            ));
        }
        inspect::read_bundle_key(&path)
    }

    async fn source<'a>(&self, client: &'a Client) -> Result<Source<'a>, Failure> {
        let release: ReleaseView = client.get(&format!("/releases/{}", self.id)).await?;
        let mut builds = release.builds.into_iter();
        let build = builds.find(|build| build.device_class == self.class);
        let build = build.ok_or_else(|| Failure::Absent {
            what: format!("release {} has no bundle for class {}", self.id, self.class),
            advice: format!("`espalier release show {}` lists its classes", self.id),
        })?;
        if build.signature.is_none() {
            return Err(Failure::usage(
                format!("the bundle for {} has no signature", self.class),
                format!("sign the release first: espalier release sign {}", self.id),
            ));
        }
        Ok(Source {
            client,
            path: format!("/releases/{}/bundles/{}", self.id, self.class),
            bundle: build.bundle,
        })
    }
}

/// Where a bundle comes from.
struct Source<'a> {
    client: &'a Client,
    /// Where its files lie in the API.
    path: String,
    bundle: Digest,
}

impl Source<'_> {
    /// Fills a folder. The signature comes first, so that nothing large is fetched for a bundle that is not trusted.
    async fn fetch(&self, folder: &Path, key: &BundleKey) -> Result<Exported, Failure> {
        let manifest_json = self.small(MANIFEST_FILE, MAX_MANIFEST_BYTES).await?;
        let model_sig = self.small(SIGNATURE_FILE, MAX_SIGNATURE_BYTES).await?;
        let manifest = self.verify(&manifest_json, &model_sig, key)?;
        for (path, entry) in &manifest.files {
            self.file(folder, path, entry).await?;
        }
        for (name, content) in [
            (MANIFEST_FILE, &manifest_json),
            (SIGNATURE_FILE, &model_sig),
        ] {
            let file = folder.join(name);
            std::fs::write(&file, content).map_err(Failure::writing(&file))?;
        }
        Ok(Exported {
            folder: folder.to_owned(),
            bundle: self.bundle,
            files: manifest.files.len(),
            bytes: manifest.total_bytes(),
            signed_by: key.fingerprint(),
        })
    }

    fn verify(
        &self,
        manifest_json: &[u8],
        model_sig: &[u8],
        key: &BundleKey,
    ) -> Result<Manifest, Failure> {
        if Digest::of(manifest_json) != self.bundle {
            return Err(untrusted("the manifest is not the release's"));
        }
        let signature = BundleSignature::parse(model_sig).map_err(untrusted)?;
        let signed = signature.verify(key).map_err(untrusted)?;
        let here = Statement::of(manifest_json).map_err(untrusted)?;
        signed.compare(here.files()).map_err(untrusted)?;
        Manifest::parse(manifest_json).map_err(untrusted)
    }

    async fn small(&self, name: &str, cap: usize) -> Result<Vec<u8>, Failure> {
        let path = format!("{}/{name}", self.path);
        self.client.bytes(&path, cap).await
    }

    async fn file(
        &self,
        folder: &Path,
        path: &BundlePath,
        entry: &FileEntry,
    ) -> Result<(), Failure> {
        let file = path.under(folder);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent).map_err(Failure::writing(parent))?;
        }
        let from = format!("{}/{path}", self.path);
        self.client.download(&from, &file, entry).await
    }
}

fn untrusted(why: impl std::fmt::Display) -> Failure {
    Failure::untrusted(
        format!("the bundle does not verify: {why}"),
        "nothing was kept; name the signer's key with --key, or look into what answers at the server's address",
    )
}

/// A folder that nobody has seen yet; removed unless it becomes the one that was asked for.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(folder: &Path) -> Result<Self, Failure> {
        let mut name = folder.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let path = folder.with_file_name(name);
        if path.symlink_metadata().is_ok() {
            return Err(Failure::usage(
                format!(
                    "{} was left by an export that was killed, or another one is at work",
                    path.display()
                ),
                "if none is, remove it and run the command again",
            ));
        }
        std::fs::create_dir(&path).map_err(Failure::writing(&path))?;
        Ok(Self(path))
    }

    fn become_folder(self, folder: &Path) -> Result<(), Failure> {
        std::fs::rename(&self.0, folder).map_err(Failure::writing(folder))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Once it was renamed there is nothing under this name.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What was written.
#[derive(Debug, Serialize)]
struct Exported {
    folder: PathBuf,
    bundle: Digest,
    files: usize,
    bytes: u64,
    signed_by: Digest,
}

impl Shown for Exported {
    fn text(&self, _now: Timestamp) -> String {
        facts(vec![
            ("folder", self.folder.display().to_string()),
            ("bundle", self.bundle.to_string()),
            ("files", format!("{}, {}", self.files, bytes(self.bytes))),
            ("signed by", self.signed_by.to_string()),
        ])
    }
}
