//! The corpus, replayed; and by hazard what is too large to keep as a file.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod cbor_bombs;
mod corpus;
mod json_bombs;
mod mutate;
mod oversized;
mod path_escapes;
