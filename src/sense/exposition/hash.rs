//! A keyed hash of a series' bytes: eight bytes stand for a series that no
//! signal selects.
//!
//! Folded 64 × 64 → 128 bit multiplications over 32 bytes at a time, the
//! construction of wyhash. The key is random for each process, so that nobody
//! who chooses label values can choose collisions. It must be wide rather than
//! cryptographic: among 100,000 series the odds that any two collide are 3 in
//! 10^10, and what a collision could do is bounded, because selected series are
//! also compared byte by byte (see `known`).
//!
//! `rustc-hash` was rejected: its hash of bytes is only keyed after the bytes
//! were folded with constants, so collisions can be prepared.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The secret of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key([u64; 4]);

impl Key {
    /// A fresh key, from the standard library's source of hash seeds.
    pub(super) fn random() -> Self {
        Self(std::array::from_fn(|_| {
            RandomState::new().build_hasher().finish()
        }))
    }

    /// The hash of `bytes` under this key.
    #[inline]
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let [k0, k1, k2, k3] = self.0;
        let mut a = k0 ^ bytes.len() as u64;
        let mut b = k1;
        let (blocks, tail) = bytes.as_chunks::<32>();
        for block in blocks {
            let [w0, w1, w2, w3] = words(block);
            a = fold(w0 ^ k2, w1 ^ a);
            b = fold(w2 ^ k3, w3 ^ b);
        }
        if !tail.is_empty() {
            let mut block = [0; 32];
            block[..tail.len()].copy_from_slice(tail);
            let [w0, w1, w2, w3] = words(&block);
            a = fold(w0 ^ k2, w1 ^ a);
            b = fold(w2 ^ k3, w3 ^ b);
        }
        fold(a ^ k1, b ^ k0)
    }
}

#[inline]
fn words(block: &[u8; 32]) -> [u64; 4] {
    let (words, _) = block.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of the product are what is folded"
)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn neighbouring_series_and_zero_padding_do_not_collide() {
        let key = Key::random();
        let mut seen = BTreeSet::new();
        for i in 0..100_000 {
            assert!(seen.insert(key.hash(format!("m{{path=\"/a/{i}\"}}").as_bytes())));
        }
        for len in 0..200 {
            assert!(seen.insert(key.hash(&vec![0; len])), "{len} zero bytes");
        }
    }

    #[test]
    fn another_key_gives_another_hash() {
        let text = b"http_requests_total{code=\"200\"}";
        assert_ne!(Key::random().hash(text), Key::random().hash(text));
    }
}
