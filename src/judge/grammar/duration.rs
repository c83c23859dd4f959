//! Durations as people write them: `90s`, `15m`, `1h30m`.

use std::ops::Range;
use std::time::Duration;

use super::Fault;

/// Parses a duration as conditions and policies write it: `90s`, `15m`,
/// `1h30m`; longer than nothing, in whole milliseconds.
///
/// # Errors
///
/// What is wrong and where, relative to `text`.
pub fn duration(text: &str) -> Result<Duration, Fault> {
    let parsed = duration_or_zero(text)?;
    if parsed.is_zero() {
        return Err(Fault {
            offset: 0,
            len: text.len(),
            message: "a duration of nothing".to_owned(),
            hint: None,
        });
    }
    Ok(parsed)
}

/// Parses a duration that may be `0s`, in whole milliseconds.
///
/// # Errors
///
/// What is wrong and where, relative to `text`.
pub fn duration_or_zero(text: &str) -> Result<Duration, Fault> {
    // No time that anybody means has so many digits, and close to 2^64 s
    // humantime's sum panics.
    const MOST_DIGITS: usize = 10;
    let fault = |place: Range<usize>, message: String, hint: Option<String>| Fault {
        offset: place.start,
        len: place.len(),
        message,
        hint,
    };
    let whole = 0..text.len();
    if let Some(place) = calendar_unit(text) {
        let unit = &text[place.clone()];
        return Err(fault(
            place,
            format!("`{unit}` is a month or a year, which is no fixed time"),
            Some(if unit == "M" {
                "minutes are `m`".to_owned()
            } else {
                "write it in days, `30d`".to_owned()
            }),
        ));
    }
    if text
        .split(|c: char| !(c.is_ascii_digit() || c.is_whitespace()))
        .any(|run| run.chars().filter(char::is_ascii_digit).count() > MOST_DIGITS)
    {
        return Err(fault(whole, format!("`{text}` is too long"), None));
    }
    let parsed = humantime::parse_duration(text).map_err(|error| {
        use humantime::DurationError as E;
        match error {
            E::InvalidCharacter(at) => {
                let len = text[at..].chars().next().map_or(0, char::len_utf8);
                fault(
                    at..at + len,
                    format!("`{text}` is not a duration"),
                    Some("write it as `90s`, `15m` or `1h30m`".to_owned()),
                )
            }
            E::UnknownUnit { start, end, .. } if start < end => fault(
                start..end,
                format!("`{}` is not a unit of time", &text[start..end]),
                Some("units are ms, s, m, h and d".to_owned()),
            ),
            E::UnknownUnit { .. } => fault(
                whole.clone(),
                format!("`{text}` has no unit of time"),
                Some(format!("write `{text}s` or `{text}m`")),
            ),
            E::NumberOverflow => fault(whole.clone(), format!("`{text}` is too long"), None),
            _ => fault(
                whole.clone(),
                format!("`{text}` is not a duration"),
                Some("write it as `90s`, `15m` or `1h30m`".to_owned()),
            ),
        }
    })?;
    if parsed.subsec_nanos() % 1_000_000 != 0 {
        Err(fault(
            whole,
            format!("`{text}` is finer than a millisecond"),
            None,
        ))
    } else {
        Ok(parsed)
    }
}

/// Where a duration names months or years, in any of humantime's spellings.
fn calendar_unit(text: &str) -> Option<Range<usize>> {
    let mut start = None;
    for (i, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_alphabetic(), start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                let unit = &text[from..i];
                if ["M", "month", "months", "y", "yr", "yrs", "year", "years"].contains(&unit) {
                    return Some(from..i);
                }
                start = None;
            }
            _ => {}
        }
    }
    None
}
