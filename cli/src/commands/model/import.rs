//! `espalier model import`.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use espalier_api::model::{BlobView, CreateModelVersion, ModelVersionView, NamedBlob};
use espalier_protocol::{
    BundlePath, Digest, ModelName,
    manifest::{MAX_FILES, MODEL_FILE, ModelDescription},
};
use url::Url;

use crate::client::Client;
use crate::commands::Context;
use crate::digest;
use crate::failure::Failure;
use crate::output::Output;
use crate::watch::Bar;

/// Import a full model from a folder or an address.
///
/// The folder holds `model.json` (what the model is and how its task is served) and the ONNX graphs
/// that it names; without one, the server recognises the official SAM and MobileSAM export by its
/// tensor names. An address is that of a `model.json`; the server fetches what stands beside it.
#[derive(Debug, Args)]
pub struct Import {
    /// A folder with ONNX graphs (and a model.json), or https://…/model.json
    #[arg(value_name = "PATH|URL")]
    from: String,
    /// The model's name; needed with an address or without a model.json, which says it
    #[arg(long)]
    name: Option<ModelName>,
}

impl Import {
    /// Uploads the files, and has the server inspect the graphs and keep the version.
    ///
    /// # Errors
    /// When the files cannot be read, are no model, or the server refuses them.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (model, request) = match address(&self.from) {
            Some(url) => (self.name_for_address()?, CreateModelVersion::Url { url }),
            None => self.upload(&client, context.output).await?,
        };
        let version: ModelVersionView = client
            .post(&format!("/models/{model}/versions"), &request)
            .await?;
        context.output.show(&version)
    }

    fn name_for_address(&self) -> Result<ModelName, Failure> {
        self.name.clone().ok_or_else(|| {
            Failure::usage(
                "the model's name is missing",
                "say with --name what the model at that address is called",
            )
        })
    }

    async fn upload(
        &self,
        client: &Client,
        output: Output,
    ) -> Result<(ModelName, CreateModelVersion), Failure> {
        let folder = Path::new(&self.from);
        let name = self.name_for(folder)?;
        let files = upload(client, read_folder(folder)?, output).await?;
        Ok((name, CreateModelVersion::Files { files }))
    }

    /// The name that the folder gives itself, or the one that it is given.
    fn name_for(&self, folder: &Path) -> Result<ModelName, Failure> {
        match (read_description(folder)?, &self.name) {
            (Some(said), Some(name)) if said.model != *name => Err(Failure::usage(
                format!("{MODEL_FILE} calls the model `{}`", said.model),
                "leave --name out, or change `model` in the file",
            )),
            (Some(said), _) => Ok(said.model),
            (None, Some(name)) => Ok(name.clone()),
            (None, None) => Err(Failure::usage(
                format!("{} has no {MODEL_FILE}", folder.display()),
                "say with --name what the model is called, or name the folder that holds model.json beside its ONNX graphs",
            )),
        }
    }
}

/// An address has a scheme of the web; everything else is a path, also one with a colon.
fn address(text: &str) -> Option<Url> {
    text.parse::<Url>()
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
}

async fn upload(
    client: &Client,
    files: Vec<ModelFile>,
    output: Output,
) -> Result<Vec<NamedBlob>, Failure> {
    let bar = Bar::of_bytes(output, "upload", files.iter().map(|file| file.size).sum());
    let mut named = Vec::new();
    for file in files {
        bar.say(file.name.as_str());
        let content = File::open(&file.path).map_err(Failure::reading(&file.path))?;
        let path = format!("/blobs/{}", file.digest);
        let blob: BlobView = client
            .upload(&path, content, file.size, bar.clone())
            .await?;
        named.push(NamedBlob {
            path: file.name,
            digest: blob.digest,
        });
    }
    bar.finish();
    Ok(named)
}

/// One file of a model folder.
#[derive(Debug)]
struct ModelFile {
    name: BundlePath,
    path: PathBuf,
    size: u64,
    digest: Digest,
}

/// All files of a model folder, digested.
fn read_folder(folder: &Path) -> Result<Vec<ModelFile>, Failure> {
    let mut found = Vec::new();
    walk(folder, "", &mut found)?;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
        .into_iter()
        .map(|(name, path)| digested(name, path))
        .collect()
}

/// What the folder says that it is, if it says so. Read before anything is sent, so that a folder that
/// is no model costs nothing.
fn read_description(folder: &Path) -> Result<Option<ModelDescription>, Failure> {
    if !folder.is_dir() {
        return Err(Failure::usage(
            format!("{} is no folder", folder.display()),
            "name a folder with ONNX graphs and their model.json",
        ));
    }
    let path = folder.join(MODEL_FILE);
    let bytes = match std::fs::read(&path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Failure::reading(&path))?,
    };
    let description = ModelDescription::parse(&bytes).map_err(|err| {
        Failure::usage(
            format!("{}: {err}", path.display()),
            "see the description of model.json in the documentation",
        )
    })?;
    match description
        .serving
        .graphs()
        .into_iter()
        .find(|graph| !graph.under(folder).is_file())
    {
        None => Ok(Some(description)),
        Some(graph) => Err(Failure::usage(
            format!(
                "{} names the graph `{graph}`, which is not there",
                path.display()
            ),
            "put the file beside model.json, or correct the name in it",
        )),
    }
}

/// Collects plain files below `folder`. Hidden files are left out; links are not followed, so that a
/// model folder cannot pull in what lies outside of it.
fn walk(
    folder: &Path,
    prefix: &str,
    found: &mut Vec<(BundlePath, PathBuf)>,
) -> Result<(), Failure> {
    for entry in std::fs::read_dir(folder).map_err(Failure::reading(folder))? {
        let entry = entry.map_err(Failure::reading(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(Failure::reading(&entry.path()))?;
        if name.starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            walk(&entry.path(), &format!("{prefix}{name}/"), found)?;
        } else if kind.is_file() {
            let name = format!("{prefix}{name}").parse().map_err(|err| {
                Failure::usage(
                    format!("{}: {err}", entry.path().display()),
                    "rename the file, or take it out of the folder",
                )
            })?;
            found.push((name, entry.path()));
        }
        if found.len() > MAX_FILES {
            return Err(Failure::usage(
                format!("{} holds more than {MAX_FILES} files", folder.display()),
                "name a folder that holds the model and nothing else",
            ));
        }
    }
    Ok(())
}

fn digested(name: BundlePath, path: PathBuf) -> Result<ModelFile, Failure> {
    let (size, digest) = digest::of_file(&path).map_err(Failure::reading(&path))?;
    Ok(ModelFile {
        name,
        path,
        size,
        digest,
    })
}

#[cfg(test)]
mod tests {
    use super::{Import, address};

    #[test]
    fn a_path_with_a_colon_is_a_path() {
        assert!(address("C:\\models\\link").is_none() && address("models/a:b").is_none());
        assert!(address("https://example.org/model.json").is_some());
    }

    #[test]
    fn a_folder_that_says_no_name_needs_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("encoder.onnx"), b"x").unwrap();
        let import = |name: Option<&str>| Import {
            from: folder.path().display().to_string(),
            name: name.map(|name| name.parse().unwrap()),
        };
        let err = import(None).name_for(folder.path()).unwrap_err();
        assert!(err.to_string().contains("has no model.json"), "{err}");
        let given = import(Some("mobile-sam")).name_for(folder.path()).unwrap();
        assert_eq!(given.as_str(), "mobile-sam");
        let err = import(Some("a")).name_for(&folder.path().join("b"));
        assert!(err.is_err(), "a folder that is not there");
    }
}
