//! What a bundle asks of the machine, before it is fetched and before it is tried.

use espalier_protocol::inventory::Inventory;
use espalier_protocol::manifest::Requirements;
use espalier_protocol::report::{Failure, FailureKind};

const MIB: u64 = 1024 * 1024;

/// Refuses a bundle that this machine cannot run. What is not known of the machine is left to the trial.
///
/// # Errors
/// [`FailureKind::Unsupported`], with what is needed and what is there.
pub(super) fn check(needs: &Requirements, has: &Inventory) -> Result<(), Failure> {
    let unsupported = |detail| Failure {
        kind: FailureKind::Unsupported,
        detail,
    };
    if has.memory_bytes > 0 && needs.memory_bytes > has.memory_bytes {
        return Err(unsupported(format!(
            "the bundle needs {} MiB of memory, and this device has {} MiB: release a smaller build for its class",
            needs.memory_bytes.div_ceil(MIB),
            has.memory_bytes / MIB
        )));
    }
    let Some(installed) = &has.onnxruntime else {
        return Ok(());
    };
    match (version(&needs.onnxruntime), version(installed)) {
        (Some(needed), Some(found)) if found < needed => Err(unsupported(format!(
            "the bundle needs ONNX Runtime {}, and this device has {installed}: update the runtime",
            needs.onnxruntime
        ))),
        _ => Ok(()),
    }
}

/// Major and minor; `None` when it is written in another way.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let mut part = || parts.next()?.parse().ok();
    Some((part()?, part()?))
}
