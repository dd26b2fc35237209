//! What is asked: a picture's file and a prompt, as one JSON object carries them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use espalier_protocol::manifest::Prompt;
use serde::Deserialize;

/// Digits of base64 that are decoded at a time; a multiple of four.
const BASE64_BLOCK: usize = 16 * 1024;

/// A picture's file and what is asked about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The picture's file, not decoded yet.
    pub picture: Bytes,
    /// The prompt, not checked against the picture yet.
    pub prompt: Prompt,
}

/// Why bytes are not a question.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not the JSON of one.
    #[error("the request cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The picture is not base64.
    #[error("`image` is not base64 between its bytes {begin} and {end}")]
    Base64 {
        /// Where the block begins that could not be decoded.
        begin: usize,
        /// Where it ends.
        end: usize,
    },
}

#[derive(Deserialize)]
struct JsonQuestion<'a> {
    /// Borrowed from the body unless it has escapes: it may be most of it.
    #[serde(borrow)]
    image: Cow<'a, str>,
    #[serde(flatten)]
    prompt: Prompt,
}

impl Question {
    /// Reads an object with the prompt's members and `image` in base64. How long `body` may be is its receiver's business;
    /// the picture is decoded where it lies.
    ///
    /// # Errors
    /// What is wrong with it; see [`Unreadable`].
    pub fn from_json(body: Bytes) -> Result<Self, Unreadable> {
        let JsonQuestion { image, prompt } = serde_json::from_slice(&body)?;
        let image = match image {
            Cow::Borrowed(text) => body.slice_ref(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        drop(body);
        Ok(Self {
            picture: decoded(image.into())?,
            prompt,
        })
    }
}

/// Decodes base64 where it lies, so that a picture is in memory once, however it came.
fn decoded(mut text: BytesMut) -> Result<Bytes, Unreadable> {
    let mut block = [0; BASE64_BLOCK / 4 * 3];
    let mut written = 0;
    for begin in (0..text.len()).step_by(BASE64_BLOCK) {
        let end = text.len().min(begin + BASE64_BLOCK);
        let bytes = STANDARD
            .decode_slice(&text[begin..end], &mut block)
            .ok()
            // Padding belongs to the end of the whole.
            .filter(|bytes| end == text.len() || *bytes == block.len())
            .ok_or(Unreadable::Base64 { begin, end })?;
        text[written..written + bytes].copy_from_slice(&block[..bytes]);
        written += bytes;
    }
    text.truncate(written);
    Ok(text.freeze())
}
