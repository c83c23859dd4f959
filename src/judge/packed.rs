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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Packed {
    bytes: Vec<u8>,
    /// How many of them, from the front, are dropped.
    dropped: usize,
}

/// Reads from somewhere in the bytes onward.
#[derive(Debug)]
pub(super) struct Unpacking<'p> {
    bytes: &'p [u8],
}

/// Bytes for which there is room when there was none.
const ROOM: usize = 32;

/// The first float above which whole numbers are no longer told apart.
const WHOLE: f64 = 9_007_199_254_740_992.0;

impl Packed {
    /// Reads from the front.
    pub(super) fn read(&self) -> Unpacking<'_> {
        Unpacking {
            bytes: &self.bytes[self.dropped..],
        }
    }

    /// Drops what a reader from the front has read.
    pub(super) fn drop_front(&mut self, len: usize) {
        self.dropped = self.bytes.len().min(self.dropped + len);
    }

    /// A whole number.
    #[expect(clippy::inline_always, reason = "most numbers are a byte or two")]
    #[inline(always)]
    pub(super) fn whole(&mut self, n: u64) {
        match n {
            0..0x80 => self.put([low(n)]),
            0x80..0x4000 => self.put([low(n) | 0x80, low(n >> 7)]),
            _ => self.long(n),
        }
    }

    /// A whole number of any length.
    fn long(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.put([low(n) | 0x80]);
            n >>= 7;
        }
        self.put([low(n)]);
    }

    /// Any float: twice a whole count, or 1 and its bits.
    #[expect(clippy::inline_always, reason = "most floats are small counts")]
    #[inline(always)]
    pub(super) fn float(&mut self, x: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "compared bit by bit with what it came from"
        )]
        let n = x as i64;
        if n >= 0 && x < WHOLE && (n as f64).to_bits() == x.to_bits() {
            self.whole(n.cast_unsigned() << 1);
        } else {
            self.bits(x);
        }
    }

    /// A float that is no count.
    fn bits(&mut self, x: f64) {
        self.put([1]);
        self.put(x.to_le_bytes());
    }

    #[expect(clippy::inline_always, reason = "a call costs more than the bytes")]
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        const { assert!(N <= ROOM) };
        if self.bytes.capacity() - self.bytes.len() < N {
            self.make_room();
        }
        for byte in bytes {
            self.bytes.push(byte);
        }
    }

    /// For [`ROOM`] bytes: that of what was dropped, if that is some; so a queue
    /// whose length stays the same moves each byte a few times and never grows.
    #[cold]
    fn make_room(&mut self) {
        if self.dropped > (self.bytes.len() / 16).max(ROOM) {
            self.bytes.drain(..self.dropped);
            self.dropped = 0;
        } else {
            // Doubling would leave half of all windows' memory unused.
            self.bytes.reserve_exact((self.bytes.len() / 8).max(ROOM));
        }
    }
}

/// The lowest seven bits.
const fn low(n: u64) -> u8 {
    (n & 0x7f) as u8
}

impl TryFrom<String> for Packed {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self {
            bytes: BASE64_STANDARD.decode(text)?,
            dropped: 0,
        })
    }
}

impl From<Packed> for String {
    fn from(packed: Packed) -> Self {
        BASE64_STANDARD.encode(packed.read().bytes)
    }
}

impl Unpacking<'_> {
    /// How many bytes are left.
    pub(super) const fn left(&self) -> usize {
        self.bytes.len()
    }

    /// A whole number; 0 at the end.
    #[expect(clippy::inline_always, reason = "most numbers are a byte or two")]
    #[inline(always)]
    pub(super) fn whole(&mut self) -> u64 {
        match *self.bytes {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.bytes = rest;
                byte.into()
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.bytes = rest;
                u64::from(low & 0x7f) | u64::from(high) << 7
            }
            _ => self.long(),
        }
    }

    /// A whole number of any length.
    fn long(&mut self) -> u64 {
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
    #[expect(clippy::inline_always, reason = "most floats are whole counts")]
    #[inline(always)]
    pub(super) fn float(&mut self) -> f64 {
        let n = self.whole();
        if n & 1 == 0 {
            return (n >> 1).cast_signed() as f64;
        }
        self.bits()
    }

    /// A float's eight bytes.
    fn bits(&mut self) -> f64 {
        f64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn byte(&mut self) -> u8 {
        match *self.bytes {
            [byte, ref rest @ ..] => {
                self.bytes = rest;
                byte
            }
            [] => 0,
        }
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
