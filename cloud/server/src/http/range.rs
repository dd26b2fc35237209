//! One byte range of one blob (RFC 9110 §14). Several ranges in one request are answered with all
//! bytes, as the standard allows: it stops requests for thousands of tiny pieces.

use std::ops::Range;

/// What part of the content is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    All,
    /// These bytes, inside the content.
    Part(Range<u64>),
    /// Bytes outside the content: 416.
    Outside,
}

impl Wanted {
    /// Reads the `Range` and `If-Range` headers of a request for `size` bytes tagged `etag`.
    #[must_use]
    pub fn read(range: Option<&str>, if_range: Option<&str>, etag: &str, size: u64) -> Self {
        if if_range.is_some_and(|known| known != etag) {
            return Self::All;
        }
        match range
            .and_then(|text| text.strip_prefix("bytes="))
            .map(|spec| part(spec.trim(), size))
        {
            Some(Some(wanted)) => wanted,
            // A range that is not understood is ignored, as the standard asks.
            Some(None) | None => Self::All,
        }
    }
}

fn part(spec: &str, size: u64) -> Option<Wanted> {
    if spec.contains(',') {
        return None;
    }
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let length: u64 = last.parse().ok()?;
        return Some(inside(size.saturating_sub(length)..size, size));
    }
    let first: u64 = first.parse().ok()?;
    let end = if last.is_empty() {
        size
    } else {
        last.parse::<u64>().ok()?.saturating_add(1).min(size)
    };
    Some(inside(first..end, size))
}

fn inside(range: Range<u64>, size: u64) -> Wanted {
    if range.is_empty() || range.end > size {
        Wanted::Outside
    } else {
        Wanted::Part(range)
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    fn read(range: &str) -> Wanted {
        Wanted::read(Some(range), None, "\"a\"", 100)
    }

    #[test]
    fn resumed_download_gets_the_rest() {
        assert_eq!(read("bytes=40-"), Wanted::Part(40..100));
    }

    #[test]
    fn end_past_the_content_is_cut() {
        assert_eq!(read("bytes=90-18446744073709551615"), Wanted::Part(90..100));
    }

    #[test]
    fn last_bytes_are_counted_from_the_end() {
        assert_eq!(read("bytes=-10"), Wanted::Part(90..100));
        assert_eq!(read("bytes=-1000"), Wanted::Part(0..100));
    }

    #[test]
    fn start_past_the_content_is_refused() {
        assert_eq!(read("bytes=100-"), Wanted::Outside);
        assert_eq!(read("bytes=9-3"), Wanted::Outside);
    }

    #[test]
    fn many_ranges_and_nonsense_get_everything() {
        for range in ["bytes=0-1,2-3", "bytes=x-", "lines=1-2", "bytes"] {
            assert_eq!(read(range), Wanted::All, "{range}");
        }
    }

    #[test]
    fn changed_content_is_sent_whole() {
        assert_eq!(
            Wanted::read(Some("bytes=40-"), Some("\"b\""), "\"a\"", 100),
            Wanted::All
        );
    }
}
