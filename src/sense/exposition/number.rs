//! Numbers as an exposition writes them: Go's `strconv.ParseFloat`, without
//! hexadecimal and underscores, which Prometheus refuses as well.
//!
//! Most values are plain integers or short decimals. Up to fifteen digits and a
//! power of ten up to 22 both fit a double exactly, so one multiplication or
//! division of the two rounds once and is exact (Clinger, *How to read floating
//! point numbers accurately*, 1990). Everything else is left to the standard
//! library, which accepts the same grammar.

/// Powers of ten that a double holds exactly and that fifteen digits can need.
const POWERS: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// Most digits whose integer is certainly below 2^53.
const EXACT_DIGITS: usize = 15;

/// The number that `token` is as a whole.
#[must_use]
pub fn float(token: &[u8]) -> Option<f64> {
    match plain(token) {
        Some((value, len)) if len == token.len() => Some(value),
        _ => std::str::from_utf8(token).ok()?.parse().ok(),
    }
}

/// A plain integer or decimal at the start of `bytes` and its length; `None`
/// where there is none, or one that needs the long way.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut at = start;
    let mut digits: u64 = 0;
    let mut point = None;
    while let Some(&byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // Wraps only past fifteen digits, which are refused below.
            digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            break;
        }
        at += 1;
    }
    let count = at - start - usize::from(point.is_some());
    if count == 0 || count > EXACT_DIGITS {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "fifteen digits are below 2^53: no precision is lost"
    )]
    let value = digits as f64;
    let value = match point {
        None => value,
        Some(point) => value / POWERS[at - point - 1],
    };
    Some((if negative { -value } else { value }, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_floats_are_read_and_other_words_are_not() {
        for (text, expected) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("1", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("-.5", -0.5),
            ("+1", 1.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            ("123456789012345", 123_456_789_012_345.0),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            ("0.000000000000001", 1e-15),
            ("4.9e-324", 4.9e-324),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
        ] {
            let value = float(text.as_bytes()).unwrap();
            assert_eq!(value.to_bits(), expected.to_bits(), "{text}");
        }
        assert!(float(b"NaN").unwrap().is_nan());
        for text in [
            "", "-", ".", "-.", "e", "1e", "1.2.3", "0x10", "1_000", "1 ", "1,5", "\u{661}", "--1",
        ] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_and_the_long_way_agree_to_the_bit(
            text in "-?[0-9]{0,17}(\\.[0-9]{0,17})?(e-?[0-9]{1,3})?"
        ) {
            let long = text.parse::<f64>().ok().map(f64::to_bits);
            prop_assert_eq!(float(text.as_bytes()).map(f64::to_bits), long);
        }
    }
}
