//! The outbox: nothing is lost by a kill, and nothing is freed but by an acknowledgement.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use espalier_link::outbox::{MAX_KEPT, Outbox, ReportId, Worth};
use espalier_slots::Disk;
use tempfile::TempDir;

fn open(folder: &TempDir) -> Outbox {
    Outbox::open(Arc::new(Disk), &folder.path().join("outbox")).unwrap()
}

fn keep(outbox: &mut Outbox, text: &'static str) -> ReportId {
    keep_worth(outbox, text, Worth::Progress)
}

fn keep_worth(outbox: &mut Outbox, text: &'static str, worth: Worth) -> ReportId {
    let id = outbox.next_id();
    let report = Bytes::from_static(text.as_bytes());
    outbox.keep(id, report, worth).unwrap();
    id
}

fn waiting(outbox: &Outbox) -> Vec<(ReportId, Bytes)> {
    outbox
        .waiting()
        .map(|(id, report)| (id, report.clone()))
        .collect()
}

#[test]
fn killed_agent_finds_its_reports_again_in_order() {
    let folder = TempDir::new().unwrap();
    let mut outbox = open(&folder);
    keep(&mut outbox, "one");
    keep(&mut outbox, "two");
    let before = waiting(&outbox);
    drop(outbox);
    let mut outbox = open(&folder);
    assert_eq!(waiting(&outbox), before);
    let next = keep(&mut outbox, "three");
    assert_eq!(next, ReportId { boot: 2, seq: 1 });
    assert_eq!(outbox.waiting().last().unwrap().0, next);
}

#[test]
fn acknowledgement_frees_the_report_that_it_names_and_none_that_was_lost_before_it() {
    let folder = TempDir::new().unwrap();
    let mut outbox = open(&folder);
    let first = keep(&mut outbox, "one");
    let second = keep(&mut outbox, "two");
    let third = keep(&mut outbox, "three");
    outbox.acknowledge(second).unwrap();
    drop(outbox);
    let mut outbox = open(&folder);
    let left = [
        (first, Bytes::from_static(b"one")),
        (third, Bytes::from_static(b"three")),
    ];
    assert_eq!(waiting(&outbox), left);
    // Twice, or of a report that was sent once and not kept.
    outbox.acknowledge(second).unwrap();
    outbox.acknowledge(ReportId { boot: 1, seq: 99 }).unwrap();
    assert_eq!(waiting(&outbox), left);
}

#[test]
fn starts_are_counted_for_ever() {
    let folder = TempDir::new().unwrap();
    for boot in 1..5 {
        assert_eq!(open(&folder).boot(), boot);
    }
}

#[test]
fn damaged_count_of_starts_is_not_a_first_start() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder));
    for name in ["boot", "boot.copy"] {
        fs::write(folder.path().join("outbox").join(name), b"").unwrap();
    }
    assert!(Outbox::open(Arc::new(Disk), &folder.path().join("outbox")).is_err());
}

#[test]
fn full_outbox_drops_what_newer_reports_say_too_before_news_of_an_assignment() {
    let folder = TempDir::new().unwrap();
    let mut outbox = open(&folder);
    let news = keep(&mut outbox, "failed");
    for _ in 0..MAX_KEPT + 3 {
        keep_worth(&mut outbox, "refused", Worth::State);
    }
    // What each is worth outlives the agent.
    drop(outbox);
    let mut outbox = open(&folder);
    keep_worth(&mut outbox, "refused", Worth::State);
    assert_eq!(outbox.len(), MAX_KEPT);
    let oldest: Vec<_> = outbox.waiting().take(2).map(|(id, _)| id).collect();
    assert_eq!(oldest, [news, ReportId { boot: 1, seq: 7 }]);
}

#[test]
fn outbox_full_of_news_drops_its_oldest() {
    let folder = TempDir::new().unwrap();
    let mut outbox = open(&folder);
    for _ in 0..MAX_KEPT + 3 {
        keep(&mut outbox, "report");
    }
    assert_eq!(outbox.len(), MAX_KEPT);
    let oldest = outbox.waiting().next().unwrap().0;
    assert_eq!(oldest, ReportId { boot: 1, seq: 4 });
}
