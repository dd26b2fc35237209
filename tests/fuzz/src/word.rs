//! Single words: topics, names, digests and paths. Each has one spelling. And selectors, which have several.

use std::path::{Component, Path};
use std::str::FromStr;

use espalier_domain::Percent;
use espalier_domain::labels::LabelWord;
use espalier_domain::selector::{MAX_SELECTOR_BYTES, Selector};
use espalier_protocol::topic::Topic;
use espalier_protocol::trust::PublicKey;
use espalier_protocol::{
    BundlePath, DeviceClassName, DeviceIdentity, DeviceName, Digest, ModelName, Tenant,
};

/// A topic as a broker hands it on.
pub fn topic(bytes: &[u8]) {
    let Some(topic) = one_spelling::<Topic>(bytes) else {
        return;
    };
    let text = topic.to_string();
    assert!(!text.contains(['+', '#', '\0']), "a topic holds a wildcard");
    assert_eq!(text.split('/').count(), 6, "a name grew a level");
    assert_eq!(
        Topic::new(topic.identity.clone(), topic.channel),
        topic,
        "a topic is more than its parts"
    );
}

/// Names, identities, digests and keys in text.
pub fn name(bytes: &[u8]) {
    for plain in [
        one_spelling::<Tenant>(bytes).map(|name| name.to_string()),
        one_spelling::<DeviceName>(bytes).map(|name| name.to_string()),
        one_spelling::<ModelName>(bytes).map(|name| name.to_string()),
        one_spelling::<DeviceClassName>(bytes).map(|name| name.to_string()),
    ]
    .into_iter()
    .flatten()
    {
        stays_in(Path::new(&plain));
    }
    if let Some(identity) = one_spelling::<DeviceIdentity>(bytes) {
        let dns = espalier_protocol::claim::gateway_dns_name(&identity);
        assert!(dns.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    one_spelling::<Digest>(bytes);
    if let Some(key) = read::<PublicKey>(bytes) {
        assert_eq!(String::from(key).parse(), Ok(key));
    }
}

/// A file's path inside a bundle: it stays below its folder, on every file system.
pub fn path(bytes: &[u8]) {
    if let Some(path) = one_spelling::<BundlePath>(bytes) {
        inside(&path);
    }
}

/// Which devices an operator means, a label, and a share of a fleet. What is kept as text is read from there again.
pub fn selector(bytes: &[u8]) {
    if let Some(selector) = read::<Selector>(bytes) {
        let kept = selector.to_string();
        assert!(kept.len() <= MAX_SELECTOR_BYTES);
        assert_eq!(
            kept.parse(),
            Ok(selector),
            "a selector means something else later"
        );
    }
    one_spelling::<LabelWord>(bytes);
    if let Some(share) = read::<Percent>(bytes) {
        assert!(share <= Percent::ALL);
        assert_eq!(share.to_string().parse(), Ok(share));
    }
}

/// Panics when a path leaves the folder that it is put below, or could be read in two ways.
pub fn inside(path: &BundlePath) {
    let folder = Path::new("/store/bundle");
    let placed = path.under(folder);
    let below = placed.strip_prefix(folder);
    stays_in(below.expect("an accepted path leaves its folder"));
    let text = path.as_str();
    assert!(text.is_ascii(), "a path could be normalised into another");
    assert!(
        !text.contains(['\\', ':', '\0', ' ', '~', '*', '?']),
        "a path means something else on another system"
    );
    assert!(
        text.split('/').all(|part| !part.ends_with('.')),
        "some systems drop a name's last dot"
    );
}

fn stays_in(path: &Path) {
    assert!(
        path.components()
            .all(|part| matches!(part, Component::Normal(_))),
        "an accepted path leaves its folder"
    );
}

fn read<T: FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads a word and sees that it is written as it was read.
fn one_spelling<T: FromStr + ToString>(bytes: &[u8]) -> Option<T> {
    let word: T = read(bytes)?;
    assert_eq!(
        word.to_string().as_bytes(),
        bytes,
        "a word has two spellings"
    );
    Some(word)
}
