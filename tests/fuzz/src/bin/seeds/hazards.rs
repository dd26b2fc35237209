//! Hostile forms of an honest message or document. Each is named after what it does to a parser that does not expect it.

use std::io;

use super::Corpus;

/// An honest document in JSON, and its hostile forms.
pub fn json(corpus: &Corpus, target: &str, name: &str, honest: &str) -> io::Result<()> {
    corpus.put(target, name, honest)?;
    let hostile =
        |hazard: &str, text: String| corpus.put(target, &format!("{name}-{hazard}"), text);
    hostile("cut-off", honest.chars().take(honest.len() / 2).collect())?;
    hostile("followed-by-another", format!("{honest}{honest}"))?;
    hostile("among-whitespace", format!("{}{honest}\n", " ".repeat(500)))?;
    hostile("of-depth", "[".repeat(300))?;
    hostile(
        "with-a-deep-stranger",
        with(
            honest,
            &format!("\"x\":{}1{}", "[".repeat(200), "]".repeat(200)),
        ),
    )?;
    hostile(
        "with-a-stranger",
        with(honest, "\"x\":{\"y\":[1,null,true]}"),
    )?;
    hostile(
        "with-a-giant-number",
        with(honest, &format!("\"x\":1{}", "0".repeat(400))),
    )?;
    if let Some(first) = first_member(honest) {
        hostile("with-a-key-twice", with(honest, first))?;
    }
    if let Some(number) = honest.find(":1") {
        let (before, after) = honest.split_at(number + 1);
        hostile("with-infinity", format!("{before}1e400{}", &after[1..]))?;
        hostile("with-a-negative-number", format!("{before}-{after}"))?;
    }
    Ok(())
}

/// The object with one more member in front.
fn with(object: &str, member: &str) -> String {
    object.replacen('{', &format!("{{{member},"), 1)
}

fn first_member(object: &str) -> Option<&str> {
    let inner = object.strip_prefix('{')?;
    Some(&inner[..inner.find(',')?])
}

/// An honest payload in CBOR, which is a map, and its hostile forms.
pub fn cbor(corpus: &Corpus, target: &str, name: &str, honest: &[u8]) -> io::Result<()> {
    corpus.put(target, name, honest)?;
    let hostile =
        |hazard: &str, bytes: Vec<u8>| corpus.put(target, &format!("{name}-{hazard}"), bytes);
    let (head, body) = (honest[0], &honest[1..]);
    hostile("cut-off", honest[..honest.len() / 2].to_vec())?;
    hostile("followed-by-another", honest.repeat(2))?;
    hostile("of-depth", vec![0x81; 64])?;
    hostile("under-tags", [&[0xc1; 64], honest].concat())?;
    hostile("self-described", [&[0xd9, 0xd9, 0xf7], honest].concat())?;
    hostile("of-indefinite-length", [&[0xbf], body, &[0xff]].concat())?;
    hostile("without-an-end", [&[0xbf], body].concat())?;
    hostile("twice-in-one-map", [&[0xbf], body, body, &[0xff]].concat())?;
    hostile(
        "that-promises-members",
        [
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            body,
        ]
        .concat(),
    )?;
    hostile(
        "with-a-stranger",
        [&[head + 1, 0x61, b'x', 0x9f, 1, 0xf6, 0xff], body].concat(),
    )?;
    hostile(
        "with-a-key-that-is-no-text",
        [&[head + 1, 0xf5, 1], body].concat(),
    )
}
