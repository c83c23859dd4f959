//! A queue of small numbers in as few bytes as they need.
//!
//! An hour of scrapes is 720 entries for each signal, and nearly all of what an
//! agent that guards a hundred services has to keep. What one scrape adds is a
//! time a few seconds after the one before and two or three small whole counts:
//! 8 bytes here, where a struct of them takes 32. Numbers are LEB128, seven
//! bits a byte; a float that is not a whole count of up to 53 bits is kept as
//! its eight bytes, so that every value comes back to the last bit.
//!
//! A snapshot has the bytes as they are, in base64 (RFC 4648): as numbers in
//! JSON they would be four times as long, and a start would be as much later.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// What can be kept in bytes, and comes back equal.
pub(super) trait Pack: Sized {
    /// Writes this behind what is there.
    fn pack(&self, into: &mut Packed);
    /// Reads what [`pack`](Self::pack) wrote.
    fn unpack(from: &mut Unpacking<'_>) -> Self;
}

/// The bytes: written at the end, dropped from the front.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Packed(VecDeque<u8>);

/// Reads from somewhere in the bytes onward.
#[derive(Debug)]
pub(super) struct Unpacking<'p> {
    bytes: std::collections::vec_deque::Iter<'p, u8>,
}

/// The first float above which whole numbers are no longer told apart.
const WHOLE: f64 = 9_007_199_254_740_992.0;

impl Packed {
    /// Reads from the front.
    pub(super) fn read(&self) -> Unpacking<'_> {
        Unpacking {
            bytes: self.0.iter(),
        }
    }

    /// Drops what a reader from the front has read.
    pub(super) fn drop_front(&mut self, len: usize) {
        self.0.drain(..len.min(self.0.len()));
    }

    /// A whole number.
    pub(super) fn whole(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.byte(n & 0x7f | 0x80);
            n >>= 7;
        }
        self.byte(n);
    }

    /// Any float: twice a whole count, or 1 and its bits.
    pub(super) fn float(&mut self, x: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "compared bit by bit with what it came from"
        )]
        let n = x as u64;
        if x < WHOLE && (n as f64).to_bits() == x.to_bits() {
            self.whole(n << 1);
        } else {
            self.whole(1);
            for byte in x.to_le_bytes() {
                self.byte(byte.into());
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven or eight bits")]
    fn byte(&mut self, byte: u64) {
        if self.0.len() == self.0.capacity() {
            // Doubling would leave half of all windows' memory unused.
            self.0.reserve_exact((self.0.len() / 8).max(32));
        }
        self.0.push_back(byte as u8);
    }
}

impl TryFrom<String> for Packed {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self(BASE64_STANDARD.decode(text)?.into()))
    }
}

impl From<Packed> for String {
    fn from(packed: Packed) -> Self {
        BASE64_STANDARD.encode(Vec::from(packed.0))
    }
}

impl Unpacking<'_> {
    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    /// A whole number; 0 at the end.
    pub(super) fn whole(&mut self) -> u64 {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        n
    }

    /// A float.
    pub(super) fn float(&mut self) -> f64 {
        let n = self.whole();
        if n & 1 == 0 {
            return (n >> 1) as f64;
        }
        f64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_number_comes_back_to_the_last_bit(
            numbers in prop::collection::vec(
                (any::<u64>(), prop_oneof![
                    any::<u64>().prop_map(f64::from_bits),
                    any::<u32>().prop_map(f64::from),
                    Just(-0.0), Just(WHOLE - 1.0), Just(WHOLE), Just(WHOLE + 2.0),
                ]),
                0..20,
            ),
        ) {
            let mut packed = Packed::default();
            for &(n, x) in &numbers {
                packed.whole(n);
                packed.float(x);
            }
            let mut left = packed.read().left();
            for &(n, x) in &numbers {
                let mut reading = packed.read();
                prop_assert_eq!(reading.whole(), n);
                prop_assert_eq!(reading.float().to_bits(), x.to_bits());
                let len = left - reading.left();
                packed.drop_front(len);
                left -= len;
            }
            prop_assert_eq!(left, 0);
            prop_assert_eq!(packed.read().whole(), 0);
        }
    }

    #[test]
    fn a_usual_count_takes_two_bytes() {
        let mut packed = Packed::default();
        packed.float(700.0);
        assert_eq!(packed.read().left(), 2);
    }
}
