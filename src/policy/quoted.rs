//! A string of a TOML file, and where each of its bytes stands in the file.
//!
//! Conditions, selectors and durations are little languages inside strings; their
//! faults know an offset into the string's value. Escapes and the newline that
//! opens a multi-line string make that differ from the offset into the file.

use std::ops::Range;

/// A string value and the range of its raw text, quotes included.
#[derive(Clone, Debug)]
pub(super) struct Quoted<'t> {
    pub(super) value: &'t str,
    pub(super) at: Range<usize>,
}

impl Quoted<'_> {
    /// The range in the file of `len` bytes of the value from `offset`; the
    /// whole string where that cannot be told.
    pub(super) fn inside(&self, file: &str, offset: usize, len: usize) -> Range<usize> {
        let Some(raw) = file.get(self.at.clone()) else {
            return self.at.clone();
        };
        let end = offset.saturating_add(len);
        let (Some(from), Some(to)) = (raw_offset(raw, offset), raw_offset(raw, end)) else {
            return self.at.clone();
        };
        self.at.start + from..self.at.start + to.max(from)
    }
}

/// The offset into the raw text of the value's byte `offset`.
fn raw_offset(raw: &str, offset: usize) -> Option<usize> {
    let quote = raw.chars().next().filter(|&c| c == '"' || c == '\'')?;
    let triple: String = [quote; 3].iter().collect();
    let multi_line = raw.len() >= 6 && raw.starts_with(&triple);
    let mut at = if multi_line { 3 } else { 1 };
    let close = raw.len().checked_sub(at)?;
    if multi_line {
        let body = &raw[at..];
        at += if body.starts_with("\r\n") {
            2
        } else {
            usize::from(body.starts_with('\n'))
        };
    }
    let mut value = 0;
    while value < offset {
        let rest = raw.get(at..close).filter(|rest| !rest.is_empty())?;
        let (raw_len, value_len) = if quote == '"' && rest.starts_with('\\') {
            escape(rest)?
        } else {
            let c = rest.chars().next()?;
            (c.len_utf8(), c.len_utf8())
        };
        at += raw_len;
        value += value_len;
    }
    Some(at)
}

/// Raw and decoded length of the escape that `rest` starts with (TOML 1.1,
/// *String*).
fn escape(rest: &str) -> Option<(usize, usize)> {
    let digits = match rest.as_bytes().get(1)? {
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        b' ' | b'\t' | b'\n' | b'\r' => {
            let blank = rest[1..].len() - rest[1..].trim_start().len();
            return Some((1 + blank, 0));
        }
        _ => return Some((2, 1)),
    };
    let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_of_a_value_is_found_in_the_file() {
        for (raw, value) in [
            (r#""error_rate > 5""#, "error_rate > 5"),
            (r"'error_rate > 5'", "error_rate > 5"),
            (r#""a \"b\" > 5""#, "a \"b\" > 5"),
            ("\"\"\"\nab > 5\"\"\"", "ab > 5"),
            ("'''\r\nab > 5'''", "ab > 5"),
            ("\"\"\"a \\\n   b > 5\"\"\"", "a b > 5"),
            (r#""\u00e9t\u00E9 > 5""#, "été > 5"),
        ] {
            let parsed = toml::de::DeValue::parse(raw).unwrap();
            assert_eq!(parsed.get_ref().as_str(), Some(value), "{raw}");
            let file = format!("x = {raw}\n");
            let quoted = Quoted {
                value,
                at: 4..4 + raw.len(),
            };
            let offset = value.find("> 5").unwrap();
            assert_eq!(&file[quoted.inside(&file, offset, 3)], "> 5", "{raw}");
        }
    }
}
