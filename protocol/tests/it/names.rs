//! Names, paths, digests and topics: what they accept they give back unchanged, and nothing that
//! could escape is accepted.

use espalier_protocol::{
    BundlePath, DeviceIdentity, DeviceName, Digest,
    topic::{Channel, Topic},
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn accepted_names_need_no_escaping(text in ".{0,80}") {
        if let Ok(name) = text.parse::<DeviceName>() {
            prop_assert_eq!(name.as_str(), text.as_str());
            prop_assert!(text.len() <= 63 && !text.is_empty());
            prop_assert!(!text.contains(['/', '+', '#', '.', ' ', '\\']));
        }
    }

    #[test]
    fn names_of_the_grammar_are_accepted(text in "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?") {
        prop_assert!(text.parse::<DeviceName>().is_ok());
    }

    #[test]
    fn path_escape(text in "[a-zA-Z0-9./_\\\\ -]{0,40}") {
        if let Ok(path) = text.parse::<BundlePath>() {
            let root = std::path::Path::new("/bundle");
            let full = path.under(root);
            prop_assert!(full.starts_with(root) && full != root);
            prop_assert!(full.components().all(|c| !matches!(c, std::path::Component::ParentDir)));
        }
    }

    #[test]
    fn topics_round_trip(tenant in "[a-z0-9]{1,20}", device in "[a-z0-9]{1,20}", channel in 0..3usize) {
        let identity: DeviceIdentity = format!("{tenant}/{device}").parse().unwrap();
        let topic = Topic::new(identity, Channel::ALL[channel]);
        prop_assert_eq!(topic.to_string().parse::<Topic>().unwrap(), topic);
    }

    #[test]
    fn no_text_breaks_the_topic_parser(text in ".{0,120}") {
        if let Ok(topic) = text.parse::<Topic>() {
            prop_assert_eq!(topic.to_string(), text);
        }
    }
}

#[test]
fn wildcard_topics_are_refused() {
    for text in [
        "espalier/v1/+/a/down/desired",
        "espalier/v1/a/b/#",
        "#",
        "espalier/v1/a/b/down/+",
    ] {
        assert!(text.parse::<Topic>().is_err(), "{text}");
    }
}

#[test]
fn path_escapes_by_name() {
    for text in [
        "../x",
        "/etc/passwd",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "a\\b",
        "C:x",
        "a/./b",
        "",
        "-rf",
    ] {
        assert!(text.parse::<BundlePath>().is_err(), "{text}");
    }
    assert!("golden/000/input.png".parse::<BundlePath>().is_ok());
}

#[test]
fn a_digest_has_one_spelling() {
    let digest = Digest::of(b"abc");
    let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest.to_string(), text);
    assert_eq!(text.parse(), Ok(digest));
    assert!(text.to_uppercase().parse::<Digest>().is_err());
    assert!(text[1..].parse::<Digest>().is_err());
}
