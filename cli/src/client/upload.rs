//! Sending a file to the server without holding it in memory.

use std::fs::File;

use futures::StreamExt;
use reqwest::{Body, Method, header::CONTENT_LENGTH};
use serde::de::DeserializeOwned;
use tokio_util::io::ReaderStream;

use super::Client;
use crate::failure::Failure;
use crate::watch::Bar;

impl Client {
    /// Streams `content` (of `size` bytes) to `path` and reads the view it answers with.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content: File,
        size: u64,
        bar: Bar,
    ) -> Result<T, Failure> {
        let pieces = ReaderStream::new(tokio::fs::File::from_std(content)).inspect(move |piece| {
            if let Ok(piece) = piece {
                bar.advance(piece.len() as u64);
            }
        });
        let request = self
            .request(Method::PUT, path)
            .header(CONTENT_LENGTH, size)
            .body(Body::wrap_stream(pieces));
        self.json(request).await
    }
}
