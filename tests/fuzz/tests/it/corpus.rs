//! Every file of the corpus, and seeded mutations of them, through its target.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use espalier_fuzz_targets::{TARGETS, Target};

use crate::mutate::Mutations;

/// The most bytes of all files of the corpus: it is cloned with the repository.
const MOST_BYTES: usize = 1 << 20;
/// Mutations of each target; twenty times as many in a long run.
const MUTATIONS: usize = 5000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The files of a target, by name.
fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join(target.name);
    names(&folder)
        .into_iter()
        .map(|name| {
            let bytes = fs::read(folder.join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

#[test]
fn every_target_has_seeds_and_every_seed_a_target() {
    let targets: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(names(&folder()), targets);
    let mut whole = 0;
    for target in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        for (name, bytes) in seeds {
            assert!(bytes.len() <= target.longest, "{}/{name}", target.name);
            whole += bytes.len();
        }
    }
    assert!(whole <= MOST_BYTES, "the corpus has {whole} bytes");
}

#[test]
fn every_target_is_in_the_threat_model() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/threat-model.md");
    let page = fs::read_to_string(page).unwrap();
    for target in TARGETS {
        let name = format!("`{}`", target.name);
        let row = |line: &str| line.starts_with('|') && line.contains(&name);
        assert!(page.lines().any(row), "no row names {name}");
    }
}

#[test]
fn no_file_of_the_corpus_breaks_its_parser() {
    let mut broken = Vec::new();
    for target in TARGETS {
        for (name, bytes) in seeds(target) {
            broken.extend(holds(target, &bytes, &name).err());
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_seeded_mutation_breaks_a_parser() {
    let long = std::env::var_os("ESPALIER_TEST_LONG").is_some();
    let count = if long { 20 * MUTATIONS } else { MUTATIONS };
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            mutate(target, count);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

fn mutate(target: &Target, count: usize) {
    let seeds: Vec<_> = seeds(target).into_iter().map(|(_, bytes)| bytes).collect();
    let mut mutations = Mutations::new(&seeds, 1);
    for number in 0..count {
        let bytes = mutations.next();
        if bytes.len() <= target.longest {
            let held = holds(target, &bytes, &format!("mutation {number}"));
            held.unwrap_or_else(|broken| panic!("{broken}"));
        }
    }
}

/// Whether all that must hold does; otherwise which target broke, and where the bytes are kept.
fn holds(target: &Target, bytes: &[u8], name: &str) -> Result<(), String> {
    let check = AssertUnwindSafe(|| (target.check)(bytes));
    panic::catch_unwind(check).map_err(|_| {
        let kept = std::env::temp_dir().join(format!("espalier-fuzz-{}", target.name));
        fs::write(&kept, bytes).unwrap();
        let (target, kept) = (target.name, kept.display());
        format!("{target} does not hold for {name}; its bytes are in {kept}")
    })
}
