//! When a device's certificate may be followed.

use espalier_domain::certificate::may_be_followed;
use jiff::{SignedDuration, Timestamp};

#[test]
fn certificate_is_followed_in_the_second_half_of_its_life() {
    let issued: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let day = |day: i64| issued + SignedDuration::from_hours(24 * day);
    // The first day of a clock that was set back, and the last of a device that was away.
    for (now, may) in [
        (-400, false),
        (0, false),
        (182, false),
        (183, true),
        (365, true),
        (900, true),
    ] {
        assert_eq!(
            may_be_followed(issued, day(365), day(now)),
            may,
            "day {now}"
        );
    }
}
