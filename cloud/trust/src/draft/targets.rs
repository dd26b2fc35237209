//! The draft of the next targets: a new release, other deployer keys, or the same content for a longer time or under
//! a new root.

use std::collections::BTreeMap;

use espalier_protocol::Digest;
use espalier_protocol::release::ReleaseDocument;
use espalier_protocol::trust::{DEPLOYER_TARGET, DeployerKeys, KeyId, PublicKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tough::schema::{Signed, Targets};

use super::{DraftError, FORMAT, Requirement, fingerprint, must_sign, shorts, sign, signers};
use crate::keys::KeySource;
use crate::tuf::{
    RoleHolders, SignedFile, TargetFile, TrustedRoot, TrustedTargets, TufError, accept_root,
    lay_out, malformed, parse, read_targets, targets,
};

/// The word by which the file says what it is.
const KIND: &str = "targets";

/// A file that the targets name for the first time, with its bytes: signers see what they sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The target's name.
    pub name: String,
    /// Exactly the bytes to be named.
    pub text: String,
}

/// Targets that are being signed.
#[derive(Debug, Clone)]
pub struct TargetsDraft {
    root: TrustedRoot,
    /// Where the root is new: the one under which the current targets are signed.
    previous_root: Option<TrustedRoot>,
    current: Option<TrustedTargets>,
    documents: Vec<Document>,
    next: Signed<Targets>,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftFile {
    format: u32,
    draft: String,
    says: Vec<String>,
    fingerprint: Digest,
    root: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_root: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    documents: BTreeMap<String, String>,
    next: Value,
}

/// What a draft stands on: the root that its signers answer to, and the edition before.
struct Ground {
    root: TrustedRoot,
    previous_root: Option<TrustedRoot>,
    current: Option<TrustedTargets>,
}

impl Ground {
    /// The current targets hold under the root, or under the one right before it.
    fn new(
        root: TrustedRoot,
        previous_root: Option<TrustedRoot>,
        current: Option<&[u8]>,
    ) -> Result<Self, DraftError> {
        if let Some(previous) = &previous_root {
            accept_root(previous, root.bytes(), Timestamp::MIN)?;
        }
        let under = previous_root.as_ref().unwrap_or(&root);
        let current = current
            .map(|bytes| read_targets(under, bytes))
            .transpose()?;
        Ok(Self {
            root,
            previous_root,
            current,
        })
    }
}

impl TargetsDraft {
    /// The next edition: all that `current` names, with these documents. `previous_root` is needed when the current
    /// targets were signed under the root before this one.
    ///
    /// # Errors
    /// [`DraftError::Tuf`] when the current targets do not hold, a name is none, or a document is another one than the
    /// current targets name so; [`DraftError::Chain`] when `root` does not follow `previous_root`.
    pub fn next(
        root: TrustedRoot,
        previous_root: Option<TrustedRoot>,
        current: Option<&[u8]>,
        documents: Vec<Document>,
        expires: Timestamp,
    ) -> Result<Self, DraftError> {
        let ground = Ground::new(root, previous_root, current)?;
        let files = documents
            .iter()
            .map(|document| TargetFile::new(&document.name, document.text.as_bytes()))
            .collect::<Result<Vec<_>, _>>()?;
        let signed = draw_up(ground.current.as_ref(), &files, expires)?;
        let known = |file: &TargetFile| ground.current.as_ref().is_some_and(|now| now.names(file));
        let news = documents
            .into_iter()
            .zip(&files)
            .filter(|(_, file)| !known(file));
        let documents = news.map(|(document, _)| document).collect();
        let next = Signed {
            signed,
            signatures: Vec::new(),
        };
        Ok(Self::on(ground, documents, next))
    }

    fn on(ground: Ground, documents: Vec<Document>, next: Signed<Targets>) -> Self {
        Self {
            root: ground.root,
            previous_root: ground.previous_root,
            current: ground.current,
            documents,
            next,
        }
    }

    /// Reads a draft that came from somebody else, and checks all that can be checked of it.
    ///
    /// # Errors
    /// [`DraftError::NoDraft`], [`DraftError::OtherWords`], [`DraftError::ChangedAfter`], [`DraftError::Stranger`];
    /// [`DraftError::Tuf`] for targets that forget or change what the current ones name.
    pub fn read(bytes: &[u8]) -> Result<Self, DraftError> {
        let no_draft = |reason: String| DraftError::NoDraft { kind: KIND, reason };
        let file: DraftFile = parse(bytes, KIND).map_err(|error| no_draft(error.to_string()))?;
        if file.format != FORMAT || file.draft != KIND {
            let reason = format!("format {}, draft of a `{}`", file.format, file.draft);
            return Err(no_draft(reason));
        }
        let read_root = |text: String| TrustedRoot::read(text.as_bytes());
        let ground = Ground::new(
            read_root(file.root)?,
            file.previous_root.map(read_root).transpose()?,
            file.current.as_ref().map(String::as_bytes),
        )?;
        let next: Signed<Targets> =
            serde_json::from_value(file.next).map_err(|error| no_draft(error.to_string()))?;
        let documents = file
            .documents
            .into_iter()
            .map(|(name, text)| Document { name, text })
            .collect();
        let draft = Self::on(ground, documents, next);
        draft.check_content()?;
        draft.signers()?;
        match draft.says() == file.says && draft.fingerprint()? == file.fingerprint {
            true => Ok(draft),
            false => Err(DraftError::OtherWords),
        }
    }

    /// The next edition of the current one, and each file that it names for the first time is shown.
    fn check_content(&self) -> Result<(), DraftError> {
        let mut shown = Vec::new();
        for document in &self.documents {
            shown.push(TargetFile::new(&document.name, document.text.as_bytes())?);
        }
        let honest = draw_up(self.current.as_ref(), &shown, self.next.signed.expires)?;
        match honest == self.next.signed {
            true => Ok(()),
            false => Err(DraftError::OtherWords),
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`DraftError::Tuf`] when they cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DraftError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let documents = self.documents.iter().cloned();
        let file = DraftFile {
            format: FORMAT,
            draft: KIND.to_owned(),
            says: self.says(),
            fingerprint: self.fingerprint()?,
            root: text(self.root.bytes()),
            previous_root: self.previous_root.as_ref().map(|root| text(root.bytes())),
            current: self.current.as_ref().map(|targets| text(targets.bytes())),
            documents: documents
                .map(|document| (document.name, document.text))
                .collect(),
            next: serde_json::to_value(&self.next).map_err(|error| malformed(KIND, error))?,
        };
        let mut bytes = serde_json::to_vec_pretty(&file).map_err(|error| malformed(KIND, error))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Adds one holder's signature.
    ///
    /// # Errors
    /// [`DraftError::NotAsked`], [`DraftError::SignedAlready`], [`DraftError::Key`].
    pub fn sign(&mut self, key: &dyn KeySource) -> Result<(), DraftError> {
        let holders = self.holders()?.keys;
        sign(&mut self.next, &holders, key)
    }

    /// The finished targets, once enough holders have signed; none before.
    ///
    /// # Errors
    /// As [`TargetsDraft::requirement`].
    pub fn finished(&self) -> Result<Option<SignedFile>, DraftError> {
        if self.requirement()?.missing() > 0 {
            return Ok(None);
        }
        Ok(Some(SignedFile {
            version: self.next.signed.version,
            expires: self.next.signed.expires,
            bytes: lay_out(&self.next, KIND)?,
        }))
    }

    /// The threshold that has to be reached.
    ///
    /// # Errors
    /// [`DraftError::Tuf`].
    pub fn requirement(&self) -> Result<Requirement, DraftError> {
        let signed = self.signers()?;
        Ok(Requirement::new(self.of(), &self.holders()?, &signed))
    }

    /// The digest of what is signed: what holders compare by voice before they sign.
    ///
    /// # Errors
    /// [`DraftError::Tuf`].
    pub fn fingerprint(&self) -> Result<Digest, DraftError> {
        Ok(fingerprint(&self.next.signed)?)
    }

    /// The root that its signers answer to.
    #[must_use]
    pub fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// The root under which its current targets are signed, where that is the one before. It comes with the draft: whoever
    /// signs compares it with his own, because it decides which targets are taken for the current ones.
    #[must_use]
    pub fn previous_root(&self) -> Option<&TrustedRoot> {
        self.previous_root.as_ref()
    }

    /// The version that it would have.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.next.signed.version.get()
    }

    /// The release that it names for the first time, if it names one.
    #[must_use]
    pub fn release(&self) -> Option<ReleaseDocument> {
        let mut documents = self.documents.iter();
        documents.find_map(|document| ReleaseDocument::parse(document.text.as_bytes()).ok())
    }

    /// The list of deployer keys that it names, where that is another one than before.
    #[must_use]
    pub fn deployer_json(&self) -> Option<&str> {
        let mut documents = self.documents.iter();
        documents
            .find(|document| document.name == DEPLOYER_TARGET)
            .map(|document| document.text.as_str())
    }

    /// What changes and who must sign, in plain words, a line each.
    #[must_use]
    pub fn says(&self) -> Vec<String> {
        let before = self.current.as_ref().map_or_else(
            || "the first".to_owned(),
            |current| format!("after version {}", current.version()),
        );
        let mut lines = vec![format!(
            "targets version {}, {before}, under root version {}",
            self.version(),
            self.root.version()
        )];
        if let Some(previous) = &self.previous_root {
            lines.push(format!(
                "the current targets are signed under root version {}",
                previous.version()
            ));
        }
        lines.extend(self.documents.iter().flat_map(document_says));
        if self.deployer_json().is_none() {
            lines.push("keeps the deployer's keys".to_owned());
        }
        if self.documents.is_empty() {
            lines.push("names exactly what the current targets name".to_owned());
        }
        lines.push(format!("ends: {}", self.next.signed.expires));
        lines.push(format!("trust: {} keys", self.root.trust()));
        if let Ok(holders) = self.holders() {
            lines.push(must_sign(&self.of(), &holders));
        }
        lines
    }

    fn of(&self) -> String {
        format!("targets, root version {}", self.root.version())
    }

    fn signers(&self) -> Result<Vec<KeyId>, DraftError> {
        signers(&self.next, &self.holders()?.keys)
    }

    fn holders(&self) -> Result<RoleHolders, TufError> {
        Ok(self.root.plan()?.targets)
    }
}

/// All that the current targets name, as they name it, and these files.
fn draw_up(
    current: Option<&TrustedTargets>,
    files: &[TargetFile],
    expires: Timestamp,
) -> Result<Targets, TufError> {
    let next = targets::draw_up(current, files, expires)?;
    targets::refuse_changes(current, &next)?;
    Ok(next)
}

fn document_says(document: &Document) -> Vec<String> {
    let bytes = document.text.as_bytes();
    if document.name == DEPLOYER_TARGET {
        let keys = serde_json::from_slice(bytes).map(|list: DeployerKeys| list.keys);
        let ids: Vec<_> = keys.unwrap_or_default().iter().map(PublicKey::id).collect();
        return vec![format!("names these deployer keys: {}", shorts(&ids))];
    }
    let Ok(release) = ReleaseDocument::parse(bytes) else {
        let digest = Digest::of(bytes);
        return vec![format!("adds {} (SHA-256 {digest})", document.name)];
    };
    let mut lines = vec![format!(
        "adds release {} of {}, number {} (SHA-256 {})",
        release.id,
        release.model,
        release.counter,
        Digest::of(bytes)
    )];
    let builds = release.builds.iter();
    lines.extend(builds.map(|build| {
        format!(
            "  {}: bundle {}, {} bytes",
            build.device_class, build.bundle, build.files_bytes
        )
    }));
    lines
}
