//! Numbers and times as people read them.

use jiff::{Timestamp, Unit};

/// Bytes with three figures at most: `6.42 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" {
        format!("{count} B")
    } else {
        format!("{} {unit}", significant(value))
    }
}

/// Milliseconds, or seconds from one second up.
pub fn milliseconds(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{} ms", significant(ms))
    } else {
        format!("{} s", significant(ms / 1000.0))
    }
}

/// A fraction of one as a percentage.
pub fn percent(fraction: f64) -> String {
    format!("{} %", significant(fraction * 100.0))
}

fn significant(value: f64) -> String {
    let decimals = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// How long ago, in the largest unit that says something.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        ..5 => "just now".into(),
        5..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A moment to the second, with how long ago it was.
pub fn moment(then: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", to_the_second(then), ago(then, now))
}

/// A moment to the second, UTC.
pub fn to_the_second(moment: Timestamp) -> String {
    // Rounding to a whole unit only fails at the very ends of time.
    moment.round(Unit::Second).unwrap_or(moment).to_string()
}

/// `a=1,b=2`, or `-` for none.
pub fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    or_dash(Some(pairs.join(",")).filter(|text| !text.is_empty()))
}

/// The text, or `-` where there is none: an empty cell reads like a mistake.
pub fn or_dash(text: Option<impl Into<String>>) -> String {
    text.map_or_else(|| "-".to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_figures_are_enough_for_people() {
        let shown = [0, 1023, 1024, 6_731_000, 1 << 40].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.00 KiB", "6.42 MiB", "1.00 TiB"]);
        assert_eq!(
            [0.4, 41.52, 999.0, 1240.0].map(milliseconds),
            ["0.40 ms", "41.5 ms", "999 ms", "1.24 s"]
        );
        assert_eq!(
            [0.9345, 1.0, 0.0].map(percent),
            ["93.5 %", "100 %", "0.00 %"]
        );
    }

    #[test]
    fn a_clock_that_runs_ahead_never_gives_a_negative_age() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(ago(later, now), "just now");
        assert_eq!(ago(now, later), "1 min ago");
    }
}
