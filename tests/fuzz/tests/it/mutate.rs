//! Seeded damage to bytes: what a fuzzer without eyes does.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Bytes and words at which parsers turn: signs, ends, lengths, brackets, CBOR's heads.
const TELLING: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x9f",
    b"\xbf",
    b"\x5f",
    b"\xc2",
    b"\xf9\x7e\0",
    b"\xf6",
    b"\"",
    b"{",
    b"[",
    b"]",
    b"}",
    b"\\u0000",
    b"-0",
    b"1e400",
    b"18446744073709551616",
    b"null",
    b"../",
    b"/",
    b".",
    b" ",
    b"\n",
];

/// An endless row of damaged versions of `seeds`, the same for the same number.
pub struct Mutations<'a> {
    seeds: &'a [Vec<u8>],
    random: StdRng,
}

impl<'a> Mutations<'a> {
    pub fn new(seeds: &'a [Vec<u8>], number: u64) -> Self {
        Self {
            seeds,
            random: StdRng::seed_from_u64(number),
        }
    }

    pub fn next(&mut self) -> Vec<u8> {
        let mut bytes = self
            .seeds
            .choose(&mut self.random)
            .cloned()
            .unwrap_or_default();
        for _ in 0..self.random.random_range(1..=4) {
            self.damage(&mut bytes);
        }
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let random = &mut self.random;
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len().min(at + 32));
        match random.random_range(0..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            3 => {
                let telling = TELLING.choose(random).copied().unwrap_or_default();
                bytes.splice(at..end, telling.iter().copied());
            }
            4 => bytes.truncate(at),
            _ => {
                let other = self.seeds.choose(random).map_or(&[][..], Vec::as_slice);
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len().min(from + 64));
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
}
