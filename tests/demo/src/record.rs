//! What a demo leaves behind for machines: the record of `--json FILE`.

use std::path::PathBuf;

use serde::Serialize;

/// The whole record.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// Every stage ended well.
    pub ok: bool,
    /// The stages in their order.
    pub stages: Vec<StageRecord>,
    /// The full model.
    pub full_model: Option<ModelRecord>,
    /// The edge builds made from it.
    pub builds: Vec<ModelRecord>,
    /// The signed release.
    pub release: Option<ReleaseRecord>,
    /// The fleet at the end.
    pub devices: Vec<DeviceRecord>,
    /// The picture that was segmented.
    pub segmentation: Option<SegmentationRecord>,
    /// The attacks that were tried, with what the gateway said of them.
    pub refused: Vec<RefusedRecord>,
}

/// One stage.
#[derive(Debug, Serialize)]
pub struct StageRecord {
    /// Its name.
    pub name: String,
    /// Whether it ended well.
    pub ok: bool,
    /// How long it took.
    pub seconds: f64,
}

/// The full model or a build.
#[derive(Debug, Clone, Serialize)]
pub struct ModelRecord {
    /// What it is for; `cloud` for the full model.
    pub device_class: String,
    /// Bytes of the graphs.
    pub bytes: u64,
    /// Elements of the weights.
    pub params: u64,
    /// Median milliseconds of one whole inference on this machine.
    pub latency_ms_p50: f64,
    /// Mean IoU with the full model on held-out pairs of picture and prompt.
    pub agreement_iou: f64,
    /// `passed` or `failed`.
    pub gate: String,
}

/// The release.
#[derive(Debug, Clone, Serialize)]
pub struct ReleaseRecord {
    /// Its id.
    pub id: String,
    /// SHA-256 of its document.
    pub digest: String,
    /// The keys that signed the targets which name it.
    pub signatures: Vec<String>,
}

/// One agent of the fleet.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceRecord {
    /// Its name.
    pub id: String,
    /// `gateway` or `device`.
    pub kind: &'static str,
    /// `cloud` or `gateway`.
    pub via: &'static str,
    /// The release that it signed to run.
    pub release_digest: String,
    /// Where its assignment stands.
    pub state: String,
    /// Bytes that it fetched for the release.
    pub bytes_downloaded: u64,
    /// The release whose bundle computed the answer that it served.
    pub served_digest: String,
    /// That bundle.
    pub bundle_digest: String,
}

/// The segmented picture.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentationRecord {
    /// The picture.
    pub image: PathBuf,
    /// The picture with the mask over it.
    pub overlay_png: PathBuf,
    /// The mask.
    pub mask_rle: serde_json::Value,
    /// IoU with the exact mask; none for a person's own picture.
    pub iou_with_truth: Option<f64>,
    /// The answer's own total time.
    pub latency_ms: f64,
}

/// One attack.
#[derive(Debug, Clone, Serialize)]
pub struct RefusedRecord {
    /// What was tried.
    pub attack: String,
    /// What the gateway's signed report says of it.
    pub reason: String,
}
