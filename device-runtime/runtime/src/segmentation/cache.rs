//! Embeddings of pictures that were asked about lately, so that a second click costs only the decoder.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use espalier_protocol::Digest;

use super::Embedding;

/// The picture file's digest and the bundle's: another build of the model must not see this embedding.
type Key = (Digest, Digest);

/// A cache with a budget in bytes; the longest unused embedding goes first.
#[derive(Debug)]
pub struct EmbeddingCache {
    budget: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    bytes: usize,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    embedding: Arc<Embedding>,
    last_use: u64,
}

impl EmbeddingCache {
    /// An empty cache of at most so many bytes; 0 keeps nothing.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            entries: Mutex::default(),
        }
    }

    /// Bytes held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Forgets the embeddings of a bundle that is not served any more.
    pub fn forget_bundle(&self, bundle: Digest) {
        let forgotten = self.lock().take_bundle(bundle);
        // Freed when nobody waits for the lock any more: it may be much.
        drop(forgotten);
    }

    pub(super) fn get(&self, content: Digest, bundle: Digest) -> Option<Arc<Embedding>> {
        let mut entries = self.lock();
        entries.uses += 1;
        let now = entries.uses;
        let entry = entries.by_key.get_mut(&(content, bundle))?;
        entry.last_use = now;
        Some(Arc::clone(&entry.embedding))
    }

    /// Keeps the embedding if it fits the budget, and hands it back.
    pub(super) fn put(
        &self,
        content: Digest,
        bundle: Digest,
        embedding: Embedding,
    ) -> Arc<Embedding> {
        let embedding = Arc::new(embedding);
        let bytes = embedding.bytes();
        if bytes <= self.budget {
            let mut entries = self.lock();
            entries.remove((content, bundle));
            entries.make_room(self.budget - bytes);
            entries.uses += 1;
            let entry = Entry {
                embedding: Arc::clone(&embedding),
                last_use: entries.uses,
            };
            entries.by_key.insert((content, bundle), entry);
            entries.bytes += bytes;
        }
        embedding
    }

    // Every change under the lock is whole before anything can panic.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.by_key.remove(&key) {
            self.bytes -= entry.embedding.bytes();
        }
    }

    fn take_bundle(&mut self, bundle: Digest) -> Vec<Entry> {
        let taken: Vec<Entry> = self
            .by_key
            .extract_if(|(_, of), _| *of == bundle)
            .map(|(_, entry)| entry)
            .collect();
        let bytes: usize = taken.iter().map(|entry| entry.embedding.bytes()).sum();
        self.bytes -= bytes;
        taken
    }

    fn make_room(&mut self, most: usize) {
        while self.bytes > most {
            let oldest = self
                .by_key
                .iter()
                .min_by_key(|(_, entry)| entry.last_use)
                .map(|(key, _)| *key);
            let Some(oldest) = oldest else { return };
            self.remove(oldest);
        }
    }
}
