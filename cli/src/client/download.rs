//! Bytes from the server, never more of them than were promised.

use std::io::Write;
use std::path::Path;

use espalier_protocol::digest::Hasher;
use espalier_protocol::manifest::FileEntry;
use futures::StreamExt;
use reqwest::{Method, Response};

use super::Client;
use crate::failure::Failure;

impl Client {
    /// Reads a small file, of at most `cap` bytes.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or sends more.
    pub async fn bytes(&self, path: &str, cap: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let answer = self.send(self.request(Method::GET, path)).await?;
        self.drain(answer, cap as u64, |piece| bytes.extend_from_slice(piece))
            .await?;
        Ok(bytes)
    }

    /// Downloads a file that must be exactly `promised`, and writes it to a new file.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or sends other bytes; when the file cannot be written.
    pub async fn download(
        &self,
        path: &str,
        file: &Path,
        promised: &FileEntry,
    ) -> Result<(), Failure> {
        let mut out = std::fs::File::create_new(file).map_err(Failure::writing(file))?;
        let mut hasher = Hasher::new();
        let mut written = Ok(());
        let answer = self.send(self.request(Method::GET, path)).await?;
        self.drain(answer, promised.size, |piece| {
            hasher.update(piece);
            if written.is_ok() {
                written = out.write_all(piece);
            }
        })
        .await?;
        written
            .and_then(|()| out.sync_all())
            .map_err(Failure::writing(file))?;
        match hasher.finish() == promised.sha256 {
            true => Ok(()),
            false => Err(other_bytes(path, "they have another digest")),
        }
    }

    async fn drain(
        &self,
        answer: Response,
        cap: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let path = answer.url().path().to_owned();
        let mut pieces = answer.bytes_stream();
        let mut received = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|err| self.lost(&err))?;
            received += piece.len() as u64;
            if received > cap {
                return Err(other_bytes(&path, &format!("there are more than {cap}")));
            }
            take(&piece);
        }
        Ok(())
    }
}

fn other_bytes(path: &str, why: &str) -> Failure {
    Failure::untrusted(
        format!("the server sent other bytes for {path} than those that were signed: {why}"),
        "do not use them; look into what answers at the server's address, and into its disk",
    )
}
