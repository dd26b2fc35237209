//! Selectors: what they mean, and where they are wrong.

use espalier_domain::selector::{Condition, Subject};
use espalier_domain::{Labels, Selector};
use espalier_protocol::{DeviceClassName, DeviceName};
use proptest::prelude::*;

fn matches(selector: &str, labels: &[&str]) -> bool {
    let device: DeviceName = "press-1".parse().unwrap();
    let class: DeviceClassName = "x86-int8".parse().unwrap();
    let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
    let selector: Selector = selector.parse().unwrap();
    selector.matches(Subject {
        device: &device,
        class: &class,
        labels: &labels,
    })
}

#[test]
fn conditions_mean_what_they_say() {
    assert!(matches("all", &[]));
    assert!(matches("site=berlin", &["site=berlin"]));
    assert!(!matches("site=berlin", &["site=bonn"]));
    assert!(!matches("site=berlin", &[]));
    assert!(
        matches("tier!=lab", &[]),
        "a device without the label passes"
    );
    assert!(!matches("tier!=lab", &["tier=lab"]));
    assert!(matches("site", &["site=x"]));
    assert!(matches("!site", &[]));
    assert!(!matches("!site", &["site=x"]));
    assert!(matches("site in (berlin, bonn)", &["site=bonn"]));
    assert!(!matches("site in (berlin)", &[]));
    assert!(matches(
        "site=berlin,tier!=lab,!old",
        &["site=berlin", "tier=line"]
    ));
    assert!(!matches(
        "site=berlin,tier!=lab",
        &["site=berlin", "tier=lab"]
    ));
    assert!(matches("device=press-1,class=x86-int8", &[]));
    assert!(
        matches("in=1", &["in=1"]),
        "a key may be called like a word of the grammar"
    );
    assert!(matches("all=1", &["all=1"]));
}

#[test]
fn errors_say_where_and_what() {
    let wrong = |text: &str| text.parse::<Selector>().unwrap_err().to_string();
    assert_eq!(
        wrong(""),
        "the selector is wrong at character 1: a label's key should stand here, not the end"
    );
    assert_eq!(
        wrong("site="),
        "the selector is wrong at character 6: a value should stand here, not the end"
    );
    assert_eq!(
        wrong("site=berlin tier"),
        "the selector is wrong at character 13: `,` or the end should stand here, not `t`"
    );
    assert_eq!(
        wrong("site=Berlin"),
        "the selector is wrong at character 6: a value should stand here, not `B`"
    );
    assert_eq!(
        wrong("site in berlin"),
        "the selector is wrong at character 9: `(` should stand here, not `b`"
    );
    assert_eq!(
        wrong("site in (a;b)"),
        "the selector is wrong at character 11: `,` or `)` should stand here, not `;`"
    );
    assert!(
        wrong("a=-x").starts_with("the selector is wrong at character 3: `-x` is no label word")
    );
    assert!(wrong(&"a,".repeat(2000)).contains("longer than"));
    // Short enough as it is given, and not as it is kept.
    assert!(wrong(&["a in(b)"; 255].join(",")).contains("longer than"));
    assert!(wrong("a=\u{1F600}").contains("character 3"));
}

#[test]
fn labels_are_bounded() {
    assert!(Labels::from_pairs(["a"]).is_err());
    assert!(Labels::from_pairs(["a=B"]).is_err());
    let many: Vec<_> = (0..33).map(|number| format!("k{number}=v")).collect();
    assert!(Labels::from_pairs(many.iter().map(String::as_str)).is_err());
}

fn condition() -> impl Strategy<Value = Condition> {
    let word = || "[a-z0-9][a-z0-9._-]{0,8}".prop_map(|text| text.parse().unwrap());
    prop_oneof![
        (word(), word()).prop_map(|(key, value)| Condition::Is(key, value)),
        (word(), word()).prop_map(|(key, value)| Condition::IsNot(key, value)),
        word().prop_map(Condition::Has),
        word().prop_map(Condition::HasNot),
        (word(), proptest::collection::vec(word(), 1..4))
            .prop_map(|(key, values)| Condition::OneOf(key, values)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(conditions in proptest::collection::vec(condition(), 1..6)) {
        // A lone key `all` is written like everything; both read as everything, which is why the word is reserved.
        let alone = matches!(&conditions[..], [Condition::Has(key)] if key.as_str() == "all");
        prop_assume!(!alone);
        let selector = Selector::Where(conditions);
        prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
    }

    #[test]
    fn no_text_makes_it_fall_over(text in "\\PC{0,60}") {
        if let Err(error) = text.parse::<Selector>() {
            prop_assert!(error.position <= text.chars().count());
        }
    }

    #[test]
    fn nor_does_one_that_is_almost_right(text in "[a-c=!,() in]{0,40}") {
        if let Ok(selector) = text.parse::<Selector>() {
            prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
        }
    }
}
