//! Digests of files on this machine.

use std::io::Read;
use std::path::Path;

use espalier_protocol::{Digest, digest::Hasher};

/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// A file's size and digest, without holding it in memory.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> std::io::Result<(u64, Digest)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Hasher::new();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((size, hasher.finish())),
            read => {
                hasher.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
}
