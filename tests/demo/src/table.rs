//! The demo's last words: a table for people.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use crate::record::Record;

/// Prints builds, fleet, picture and attacks.
pub fn print(record: &Record) {
    println!("\n{}", models(record));
    println!("\n{}", fleet(record));
    if let Some(picture) = &record.segmentation {
        let iou = picture.iou_with_truth.map_or_else(String::new, |iou| {
            format!(", IoU with the exact mask {iou:.3}")
        });
        println!(
            "\nsegmented in {:.1} ms{iou}: {}",
            picture.latency_ms,
            picture.overlay_png.display()
        );
    }
    for refused in &record.refused {
        println!("refused: {} ({})", refused.attack, refused.reason);
    }
    let seconds: f64 = record.stages.iter().map(|stage| stage.seconds).sum();
    println!("all in {seconds:.0} s");
}

fn models(record: &Record) -> Table {
    let mut table = titled([
        "model",
        "for",
        "size",
        "of full",
        "p50 here",
        "agreement",
        "gate",
    ]);
    let full = record
        .full_model
        .as_ref()
        .map_or(1, |model| model.bytes.max(1));
    for (name, model) in record
        .full_model
        .iter()
        .map(|model| ("full", model))
        .chain(record.builds.iter().map(|b| ("build", b)))
    {
        table.add_row([
            name.to_owned(),
            model.device_class.clone(),
            megabytes(model.bytes),
            format!("{:.0} %", 100.0 * model.bytes as f64 / full as f64),
            format!("{:.1} ms", model.latency_ms_p50),
            format!("{:.3}", model.agreement_iou),
            model.gate.clone(),
        ]);
    }
    table
}

fn fleet(record: &Record) -> Table {
    let mut table = titled(["device", "via", "state", "downloaded", "release", "bundle"]);
    for device in &record.devices {
        table.add_row([
            device.id.clone(),
            device.via.to_owned(),
            device.state.clone(),
            megabytes(device.bytes_downloaded),
            short(&device.served_digest),
            short(&device.bundle_digest),
        ]);
    }
    table
}

fn titled<const N: usize>(titles: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(titles);
    table
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}
