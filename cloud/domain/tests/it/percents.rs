//! Shares are exact.

use espalier_domain::Percent;
use proptest::prelude::*;

#[test]
fn texts_and_numbers() {
    for (text, shown) in [
        ("2.5", "2.5"),
        ("100", "100"),
        ("0", "0"),
        ("12.34%", "12.34"),
        ("0.05", "0.05"),
    ] {
        assert_eq!(text.parse::<Percent>().unwrap().to_string(), shown);
    }
    for text in ["-1", "100.01", "1.234", "NaN", "inf", "", "x", "1e9"] {
        assert!(text.parse::<Percent>().is_err(), "{text}");
    }
    assert_eq!(
        serde_json::to_string(&"2.5".parse::<Percent>().unwrap()).unwrap(),
        "2.5"
    );
    assert!(serde_json::from_str::<Percent>("101").is_err());
}

proptest! {
    #[test]
    fn a_share_rounded_up_reaches_itself_and_one_less_does_not(share in 1_u16..=10_000, whole in 1_u64..=u64::MAX) {
        let share = Percent::from_hundredths(share).unwrap();
        let part = share.of_rounded_up(whole);
        prop_assert!((1..=whole).contains(&part));
        prop_assert!(share.reached_by(part, whole));
        prop_assert!(!share.reached_by(part - 1, whole));
        prop_assert!(!share.exceeded_by(part - 1, whole));
    }

    #[test]
    fn shown_shares_read_back(share in 0_u16..=10_000) {
        let share = Percent::from_hundredths(share).unwrap();
        prop_assert_eq!(share.to_string().parse::<Percent>().unwrap(), share);
        prop_assert_eq!(Percent::try_from(f64::from(share)).unwrap(), share);
    }
}
