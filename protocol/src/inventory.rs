//! What a device says about itself: facts, signed within its reports.

use serde::{Deserialize, Serialize};

/// Facts about a device and its runtime.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// The agent's version.
    pub agent: String,
    /// Processor architecture as Rust names it (`x86_64`, `aarch64`).
    pub architecture: String,
    /// Operating system as Rust names it.
    pub os: String,
    /// Logical processors.
    pub cpus: u32,
    /// Installed memory in bytes.
    pub memory_bytes: u64,
    /// Room on the disk of the state folder in bytes.
    pub disk_free_bytes: u64,
    /// ONNX Runtime's version, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onnxruntime: Option<String>,
    /// Execution providers that can be used, best first.
    #[serde(default)]
    pub providers: Vec<String>,
}
