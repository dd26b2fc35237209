//! What serves now, and how something else takes its place while requests are in flight.
//!
//! A new bundle is loaded and warmed up beside the old one. The switch is one exchange of a pointer:
//! a request holds the instance that it began with until it is answered, and an instance that nobody
//! holds any more is unloaded.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use espalier_protocol::id::ModelVersionId;
use espalier_protocol::manifest::Prompt;
use espalier_protocol::{Digest, ModelName};
use espalier_runtime::golden::{self, GoldenError, GoldenReport};
use espalier_runtime::segmentation::{LoadError, SegmentError, Segmentation};
use espalier_runtime::{
    EmbeddingCache, GraphOptions, ModelFolder, Placement, Segmenter, Statistics,
};

use crate::computing::Computing;

/// Settings of a host.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// How graphs are loaded.
    pub graphs: GraphOptions,
    /// Memory for embeddings of pictures that were asked about lately, in bytes.
    pub embedding_bytes: usize,
}

impl Default for HostOptions {
    /// One CPU session, and room for a few dozen embeddings.
    fn default() -> Self {
        Self {
            graphs: GraphOptions::default(),
            embedding_bytes: 128 << 20,
        }
    }
}

/// How a bundle came to be here; part of every answer it gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The release that it was installed from.
    pub release: Option<Digest>,
    /// The full model's version, where the folder itself does not say.
    pub model_version: Option<ModelVersionId>,
}

/// A loaded bundle or full model.
#[derive(Debug)]
pub struct Instance {
    model: ModelName,
    origin: RwLock<Origin>,
    segmenter: Segmenter,
    statistics: Statistics,
}

impl Instance {
    /// The line of work.
    #[must_use]
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// The digest of the manifest, or of a full model's description.
    #[must_use]
    pub fn bundle(&self) -> Digest {
        self.segmenter.digest()
    }

    /// How it came to be here.
    #[must_use]
    pub fn origin(&self) -> Origin {
        *self.origin.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same bundle came by another release: from now on its answers name that one. Nothing is loaded.
    pub fn came_by(&self, release: Digest) {
        let mut origin = self.origin.write().unwrap_or_else(PoisonError::into_inner);
        origin.release = Some(release);
    }

    /// The model itself.
    #[must_use]
    pub fn segmenter(&self) -> &Segmenter {
        &self.segmenter
    }

    /// What it has answered so far.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}

/// An instance that is loaded and serves nobody yet.
#[derive(Debug)]
pub struct Candidate {
    model: ModelName,
    model_version: Option<ModelVersionId>,
    segmenter: Segmenter,
    golden: Option<GoldenReport>,
}

impl Candidate {
    /// The digest of what was loaded.
    #[must_use]
    pub fn bundle(&self) -> Digest {
        self.segmenter.digest()
    }

    /// Who computes its encoder and its decoder.
    #[must_use]
    pub fn placements(&self) -> [&Placement; 2] {
        self.segmenter.placements()
    }

    /// Runs the golden inputs of the folder that it was loaded from, which also warms it up; before each it calls
    /// `pause`. A full model has none, and passes. Blocks while it computes.
    ///
    /// # Errors
    /// When it does not answer as it did where it was built.
    pub fn check_golden(self, folder: &ModelFolder, pause: impl Fn()) -> Result<Self, GoldenError> {
        let golden = match folder.golden() {
            Some(_) => Some(golden::check(folder, &self.segmenter, pause)?),
            None => None,
        };
        Ok(Self { golden, ..self })
    }

    /// How its golden inputs went; none for a full model, and for one that was not checked.
    #[must_use]
    pub fn golden(&self) -> Option<&GoldenReport> {
        self.golden.as_ref()
    }
}

/// The models that one process serves.
#[derive(Debug)]
pub struct ModelHost {
    options: HostOptions,
    embeddings: EmbeddingCache,
    serving: RwLock<BTreeMap<ModelName, Arc<Instance>>>,
    computing: Computing,
}

impl ModelHost {
    /// A host that serves nothing yet.
    #[must_use]
    pub fn new(options: HostOptions) -> Self {
        let embeddings = EmbeddingCache::new(options.embedding_bytes);
        Self {
            options,
            embeddings,
            serving: RwLock::default(),
            computing: Computing::default(),
        }
    }

    /// Threads that one inference takes.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        self.options.graphs.threads
    }

    /// Loads a folder beside whatever serves. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When it does not load; what serves is untouched.
    pub fn load(&self, folder: &ModelFolder) -> Result<Candidate, LoadError> {
        Ok(Candidate {
            model: folder.model().clone(),
            model_version: folder.model_version(),
            segmenter: Segmenter::load(folder, &self.options.graphs)?,
            golden: None,
        })
    }

    /// Makes the candidate the one that answers for its model. What served before keeps the requests
    /// that it has; the handle tells when it is gone.
    pub fn switch(&self, candidate: Candidate, origin: Origin) -> Retired {
        let origin = Origin {
            model_version: candidate.model_version.or(origin.model_version),
            ..origin
        };
        let instance = Instance {
            model: candidate.model.clone(),
            origin: RwLock::new(origin),
            segmenter: candidate.segmenter,
            statistics: Statistics::default(),
        };
        let bundle = instance.bundle();
        let before = self
            .serving
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(candidate.model, Arc::new(instance));
        self.retire(before, Some(bundle))
    }

    /// Serves this model no longer.
    pub fn withdraw(&self, model: &ModelName) -> Retired {
        let before = self
            .serving
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(model);
        self.retire(before, None)
    }

    fn retire(&self, before: Option<Arc<Instance>>, successor: Option<Digest>) -> Retired {
        if let Some(instance) = before
            .as_ref()
            .filter(|instance| Some(instance.bundle()) != successor)
        {
            self.embeddings.forget_bundle(instance.bundle());
        }
        Retired(before.as_ref().map(Arc::downgrade))
    }

    /// What answers for a model now.
    #[must_use]
    pub fn instance(&self, model: &str) -> Option<Arc<Instance>> {
        let serving = self.read();
        serving
            .iter()
            .find(|(name, _)| name.as_str() == model)
            .map(|(_, instance)| Arc::clone(instance))
    }

    /// All that serves now.
    #[must_use]
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        self.read().values().cloned().collect()
    }

    /// Memory that embeddings take now, in bytes.
    #[must_use]
    pub fn embedding_bytes(&self) -> usize {
        self.embeddings.bytes()
    }

    /// Answers with one instance and counts it. Blocks while it computes.
    ///
    /// # Errors
    /// When the picture, the prompt or the model is at fault.
    pub fn segment(
        &self,
        instance: &Instance,
        picture: &[u8],
        prompt: &Prompt,
    ) -> Result<Segmentation, SegmentError> {
        let _counted = self.computing.one_more();
        let outcome = instance
            .segmenter
            .segment(picture, prompt, &self.embeddings);
        match &outcome {
            Ok(answer) => instance.statistics.answered(answer.timings.total),
            Err(error) => instance.statistics.failed(error.kind()),
        }
        outcome
    }

    /// Blocks until no request is being computed, but for `longest` at most: requests may never end.
    pub fn wait_for_a_pause(&self, longest: Duration) {
        self.computing.wait_for_none(longest);
    }

    // One exchange of a pointer is all that happens under this lock, so a poisoned one is whole.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ModelName, Arc<Instance>>> {
        self.serving.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance that was replaced: it lives until its last request is answered.
#[derive(Clone, Debug)]
pub struct Retired(Option<Weak<Instance>>);

impl Retired {
    /// Whether nothing is held by it any more, or there was nothing before.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|instance| instance.strong_count() == 0)
    }
}
