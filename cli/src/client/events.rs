//! Server-sent events (WHATWG HTML, section 9.2) read from an answer's body.

use futures::{Stream, StreamExt, stream::BoxStream};
use reqwest::Response;

/// The longest event that is kept: a server that never ends one must not fill this machine.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name; `message` when the server gave none.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// The events of one answer.
pub struct Events {
    bytes: BoxStream<'static, Result<bytes::Bytes, reqwest::Error>>,
    parser: Parser,
}

impl Events {
    /// The events in this answer's body.
    pub fn of(answer: Response) -> Self {
        Self::from_stream(answer.bytes_stream())
    }

    fn from_stream(
        bytes: impl Stream<Item = Result<bytes::Bytes, reqwest::Error>> + Send + 'static,
    ) -> Self {
        Self {
            bytes: bytes.boxed(),
            parser: Parser::default(),
        }
    }

    /// The next event; none when the connection ended, for whatever reason: the caller connects again
    /// and reads the state anew, so nothing is lost.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.parser.take() {
                return Some(event);
            }
            let bytes = self.bytes.next().await?.ok()?;
            self.parser.feed(&bytes)?;
        }
    }
}

/// Cuts a byte stream into events. No I/O.
#[derive(Debug, Default)]
struct Parser {
    pending: Vec<u8>,
}

impl Parser {
    /// Takes the next bytes; none when an event grows past all reason.
    fn feed(&mut self, bytes: &[u8]) -> Option<()> {
        self.pending.extend(bytes.iter().filter(|b| **b != b'\r'));
        (self.pending.len() <= MAX_EVENT_BYTES).then_some(())
    }

    /// The next whole event with data; comments (keep-alives) are passed over.
    fn take(&mut self) -> Option<Event> {
        loop {
            let end = self.pending.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.pending.drain(..end + 2).collect();
            if let Some(event) = parse_block(&String::from_utf8_lossy(&block)) {
                return Some(event);
            }
        }
    }
}

fn parse_block(block: &str) -> Option<Event> {
    let mut name = "message".to_owned();
    let mut data: Vec<&str> = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| Event {
        name,
        data: data.join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Event, MAX_EVENT_BYTES, Parser};

    fn event(name: &str, data: &str) -> Event {
        Event {
            name: name.into(),
            data: data.into(),
        }
    }

    #[test]
    fn an_event_cut_anywhere_is_put_together() {
        let bytes = b": keep-alive\n\nevent: rollout\ndata: {\"a\":\ndata: 1}\n\ndata: x\r\n\r\n";
        for cut in 0..bytes.len() {
            let mut parser = Parser::default();
            let mut seen = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                parser.feed(part).unwrap();
                seen.extend(std::iter::from_fn(|| parser.take()));
            }
            assert_eq!(
                seen,
                [event("rollout", "{\"a\":\n1}"), event("message", "x")],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn an_endless_event_ends_the_stream() {
        let mut parser = Parser::default();
        assert!(parser.feed(&vec![b'a'; MAX_EVENT_BYTES + 1]).is_none());
    }
}
