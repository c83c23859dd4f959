//! Whole numbers in as few bytes as they need: LEB128, as Protocol Buffers
//! (Encoding, *Base 128 Varints*) have it, and its zigzag form for signed ones.

/// Appends a number.
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(crate) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Small numbers of either sign to small numbers without one.
pub(crate) const fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) const fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -((n & 1).cast_signed())
}

/// Bytes that are read from the front. Reading past the end, or a number that
/// no `u64` holds, is `None`: never a panic.
#[derive(Clone, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut n = u64::from(first & 0x7f);
        for shift in (7..=63).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return None;
            }
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    /// A count of things that take at least one byte each: never more than what
    /// is left, so that a made-up count allocates nothing.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let n = usize::try_from(self.varint()?).ok()?;
        (n <= self.left()).then_some(n)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let n = self.count()?;
        std::str::from_utf8(self.take(n)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_is_read_back(n: u64, m: i64) {
            let mut out = Vec::new();
            put(&mut out, n);
            put(&mut out, zigzag(m));
            let mut bytes = Bytes(&out);
            prop_assert_eq!(bytes.varint(), Some(n));
            prop_assert_eq!(bytes.signed(), Some(m));
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let mut bytes = Bytes(&bytes);
            while bytes.varint().is_some() {}
            let _ = bytes.text();
        }
    }

    #[test]
    fn extremes_take_ten_bytes_and_no_more() {
        for n in [0, 127, 128, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, n);
            assert_eq!(Bytes(&out).varint(), Some(n));
        }
        assert_eq!(Bytes(&[0xff; 10]).varint(), None, "larger than any u64");
        assert_eq!(unzigzag(zigzag(i64::MIN)), i64::MIN);
    }
}
