//! Facts about this machine, for the first report of each start.

use std::path::Path;

use espalier_protocol::inventory::Inventory;
use espalier_runtime::{ProviderPolicy, engine};

/// Looks around. What cannot be found out is zero or absent, never guessed.
#[must_use]
pub fn look(state: &Path, providers: &ProviderPolicy) -> Inventory {
    Inventory {
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        os: std::env::consts::OS.to_owned(),
        cpus: std::thread::available_parallelism()
            .map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory_bytes(),
        disk_free_bytes: disk_free_bytes(state),
        onnxruntime: onnxruntime_version(),
        providers: providers.order().iter().map(ToString::to_string).collect(),
    }
}

/// `MemTotal` of `/proc/meminfo`, which says kB and means KiB.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1024)
}

fn disk_free_bytes(folder: &Path) -> u64 {
    let existing = folder.ancestors().find(|path| path.exists());
    let facts = existing.and_then(|path| rustix::fs::statvfs(path).ok());
    facts.map_or(0, |disk| disk.f_bavail * disk.f_frsize)
}

/// The version in the library's own file name (`libonnxruntime.so.1.30.0`), or in its folder's (`onnxruntime-1.30.0`).
fn onnxruntime_version() -> Option<String> {
    let library = engine::find_library().ok()?.canonicalize().ok()?;
    let name = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .map(ToOwned::to_owned)
    };
    let own = name(&library)?
        .split_once(".so.")
        .map(|(_, version)| version.to_owned());
    own.or_else(|| {
        Some(
            name(library.parent()?)?
                .strip_prefix("onnxruntime-")?
                .to_owned(),
        )
    })
}
