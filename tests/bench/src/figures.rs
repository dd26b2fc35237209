//! Figures with their limit, the bar that they must reach, and the one that they aim at.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

/// The figures of one run.
#[derive(Debug, Serialize)]
pub struct Figures {
    machine: String,
    load: String,
    rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its stable name.
    pub id: &'static str,
    /// What was measured.
    pub value: f64,
    /// In what.
    pub unit: &'static str,
    /// The best that this machine could have reached in the same run, where there is such a thing.
    pub limit: Option<f64>,
    /// The bar in words; none for a figure that is only printed.
    pub must: Option<&'static str>,
    /// What is aimed at, in words.
    pub aim: Option<&'static str>,
    /// Whether the bar is reached.
    pub holds: bool,
}

impl Row {
    /// A figure without a bar.
    #[must_use]
    pub fn printed(id: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            id,
            value,
            unit,
            limit: None,
            must: None,
            aim: None,
            holds: true,
        }
    }

    /// The same beside its limit.
    #[must_use]
    pub fn beside(self, limit: f64) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// The same with a bar.
    #[must_use]
    pub fn must(self, bar: &'static str, holds: bool) -> Self {
        Self {
            must: Some(bar),
            holds,
            ..self
        }
    }
}

impl Figures {
    /// Rows with a description of this machine and how busy it is.
    #[must_use]
    pub fn of_this_machine(rows: Vec<Row>) -> Self {
        Self {
            machine: machine(),
            load: load(),
            rows,
        }
    }

    /// Whether every bar is reached.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.rows.iter().all(|row| row.holds)
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["id", "value", "unit", "limit", "must", "holds"]);
        for row in &self.rows {
            table.add_row([
                row.id.to_owned(),
                short(row.value),
                row.unit.to_owned(),
                row.limit.map_or_else(String::new, short),
                row.must.unwrap_or_default().to_owned(),
                if row.holds { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        format!("{} (load {})\n{table}", self.machine, self.load)
    }
}

fn short(value: f64) -> String {
    if value == 0.0 || value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "{} × {cpus}",
        name.map_or(std::env::consts::ARCH, |(_, name)| name)
    )
}

/// The load averages of 1, 5 and 15 minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The q-quantile of measurements, by nearest rank; 0 for none.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}
