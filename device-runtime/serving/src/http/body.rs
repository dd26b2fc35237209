//! Bodies: read as a stream, and never past their limit.

use actix_web::web::{Bytes, BytesMut};
use futures::{Stream, StreamExt};

use crate::problem::{Code, Problem};

/// Room for a request's body or one of its parts.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    left: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, left: limit }
    }

    /// Reads a whole stream, or as much as there is room for.
    pub(super) async fn read<S, E>(&mut self, mut stream: S) -> Result<BytesMut, Problem>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let mut body = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| {
                Problem::new(Code::MalformedBody, format!("the body broke off: {error}"))
            })?;
            self.left = self
                .left
                .checked_sub(chunk.len())
                .ok_or_else(|| Problem::too_large(self.limit))?;
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
