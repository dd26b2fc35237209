//! What a build is worth: bytes, latency, memory, and its agreement with the full model on inputs that
//! neither training nor calibration saw. The recipe's gate judges these figures; nothing is typed in.

pub mod agreement;
pub mod cases;
pub mod measure;

use std::cmp::Ordering;

use espalier_protocol::job::{Evaluation, GateVerdict};

use crate::recipe::Gate;

/// Judges an evaluation by the conditions of a gate.
#[must_use]
pub fn judge(gate: &Gate, found: &Evaluation) -> GateVerdict {
    let ratio = found.bytes as f64 / (found.full_bytes.max(1)) as f64;
    let memory_mib = found.peak_memory_bytes.div_ceil(1 << 20);
    let speed_up = found.full_latency_ms_p50 / found.latency_ms_p50.max(f64::MIN_POSITIVE);
    let conditions = [
        at_least(
            "agreement with the full model",
            found.agreement_iou,
            gate.agreement_iou.map(Into::into),
        ),
        at_most(
            "bytes, as a share of the full model's",
            ratio,
            gate.bytes_ratio.map(Into::into),
        ),
        at_most(
            "bytes",
            found.bytes as f64,
            gate.bytes.map(|bytes| bytes as f64),
        ),
        at_most(
            "median latency in ms",
            found.latency_ms_p50,
            gate.latency_ms,
        ),
        at_most(
            "peak memory in MiB",
            memory_mib as f64,
            gate.memory_mib.map(|memory| memory as f64),
        ),
        at_least("speed against the full model", speed_up, gate.speed_up),
    ];
    let reasons: Vec<String> = conditions.into_iter().flatten().collect();
    if reasons.is_empty() {
        GateVerdict::Passed
    } else {
        GateVerdict::Failed { reasons }
    }
}

fn at_least(what: &str, found: f64, demanded: Option<f64>) -> Option<String> {
    // A figure that is no number compares with nothing, and fails.
    let short = |least: &f64| found.partial_cmp(least).is_none_or(Ordering::is_lt);
    demanded
        .filter(short)
        .map(|least| format!("{what} is {found:.4}: at least {least} is demanded"))
}

fn at_most(what: &str, found: f64, demanded: Option<f64>) -> Option<String> {
    let over = |most: &f64| found.partial_cmp(most).is_none_or(Ordering::is_gt);
    demanded
        .filter(over)
        .map(|most| format!("{what} is {found:.4}: at most {most} is demanded"))
}
