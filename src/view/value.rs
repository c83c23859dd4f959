//! Numbers, spans and times as people read them: `7.4%`, `1.93 s`, `12.3/s`,
//! `1.2 GiB`, `74 of 1,000 events`, `4m10s of 15m`, `2026-11-21T08:30:00Z`.
//!
//! Three significant digits are enough to see how bad something is, but never
//! enough to see why 5.003% is more than 5%: [`pair`] shows as many digits as
//! it takes to tell a value from its limit.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use crate::judge::{bound, least_factor};
use crate::model::{Against, Baseline, Evidence, Moment, Moved, Proof, Short, Unit, Value};

/// Digits shown when nothing asks for more.
const DIGITS: usize = 3;

/// Most digits shown to tell two numbers apart.
const MOST_DIGITS: usize = 9;

/// Longest version of a release that is shown within a sentence.
const RELEASE: usize = 60;

/// A number in its unit, three significant digits: `7.4%`, `640 ms`.
#[must_use]
pub fn number(x: f64, unit: Unit) -> String {
    with_digits(x, unit, DIGITS)
}

/// A reading's value in its unit; a quantile beyond a histogram's last bound is
/// `above 2.5 s`.
#[must_use]
pub fn value(value: Value, unit: Unit) -> String {
    value_with_digits(value, unit, DIGITS)
}

/// A value and its limit, with as many digits as it takes to see them differ.
#[must_use]
pub fn pair(value: Value, limit: f64, unit: Unit) -> (String, String) {
    let mut digits = DIGITS;
    loop {
        let said = (
            value_with_digits(value, unit, digits),
            with_digits(limit, unit, digits),
        );
        let same = matches!(value, Value::Exactly(x) if x.total_cmp(&limit).is_eq());
        if said.0 != said.1 || same || digits == MOST_DIGITS {
            return said;
        }
        digits += 1;
    }
}

/// A count of events, grouped by thousands: `12,345`.
#[must_use]
pub fn count(n: f64) -> String {
    if n.abs() < 1000.0 {
        significant(n, DIGITS)
    } else {
        significant(n.round(), 15)
    }
}

/// What a reading rests on: `74 of 1,000 events`, `1,200 events`, `12 samples`.
#[must_use]
pub fn evidence(evidence: &Evidence) -> String {
    let events = count(evidence.events);
    match evidence.hits {
        Some(hits) => format!("{} of {events} events", count(hits)),
        None if evidence
            .events
            .total_cmp(&f64::from(evidence.scrapes))
            .is_eq() =>
        {
            format!("{events} {}", noun(evidence.events, "sample"))
        }
        None => format!("{events} {}", noun(evidence.events, "event")),
    }
}

/// A baseline and what it rests on: `1% (12 of 1,200 events of v41)`.
#[must_use]
pub fn baseline(baseline: &Baseline, unit: Unit) -> String {
    let value = number(baseline.value, unit);
    let release = one_line(&baseline.release, RELEASE);
    match (baseline.hits, baseline.events) {
        (Some(hits), Some(events)) => {
            let (hits, events) = (count(hits), count(events));
            format!("{value} ({hits} of {events} events of {release})")
        }
        (_, Some(events)) => {
            let noun = noun(events, "event");
            format!("{value} ({} {noun} of {release})", count(events))
        }
        (_, None) => format!("{value} (of {release})"),
    }
}

/// How many times something is: `2x`, `2.32x`.
#[must_use]
pub fn fold(factor: f64) -> String {
    format!("{}x", number(factor, Unit::Plain))
}

/// What the proof over the whole hold says of a signal in this unit, with the
/// numbers it rests on.
#[must_use]
pub fn proof(proof: &Proof, unit: Unit) -> String {
    let said = if proof.proven {
        "proven"
    } else {
        "not proven yet"
    };
    let events = count(proof.events);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a least number of events is small"
    )]
    if proof.events < proof.min_events as f64 {
        return format!(
            "{said}: {events} {}, {} needed",
            noun(proof.events, "event"),
            proof.min_events
        );
    }
    let counted = format!("{} of {events} events", count(proof.hits));
    if let Some(against) = &proof.against {
        return format!("{said}: {counted} {}", compared(proof, against, unit));
    }
    let (least, above) = pair(Value::Exactly(bound(proof)), proof.above, Unit::Ratio);
    format!("{said}: {counted} mean at least {least}, more than {above} is needed")
}

/// By how much a signal is more than its baseline for certain: `at least 2.32x
/// at 95%`. `None` of a proof against a fixed limit, and where nothing is known.
#[must_use]
pub fn at_least(proof: &Proof) -> Option<String> {
    let against = proof.against.as_ref()?;
    let least = least_factor(proof).filter(|least| *least > 0.0)?;
    let (least, _) = pair(Value::Exactly(least), against.factor, Unit::Plain);
    Some(format!("at least {least}x at {}", sure(proof)))
}

/// What a proof's counts say against those of the baseline.
fn compared(proof: &Proof, against: &Against, unit: Unit) -> String {
    let before = format!("{} of {}", count(against.hits), count(against.events));
    let factor = fold(against.factor);
    let Some(moved) = &against.moved else {
        let least = at_least(proof).unwrap_or_else(|| "nothing".to_owned());
        return format!("against {before} before mean {least}, more than {factor} is needed");
    };
    let &Moved {
        from_at_most,
        to_above,
        cut,
    } = moved;
    let was = match from_at_most {
        Some(from) => format!("it was at most {}", number(from, unit)),
        None => "nothing bounds what it was".to_owned(),
    };
    let is = match to_above {
        Some(to) => format!("is above {} now", number(to, unit)),
        None => "nothing bounds what it is".to_owned(),
    };
    let cut = number(cut, unit);
    let sure = sure(proof);
    format!(
        "above {cut} against {before} before: at {sure} {was} and {is}, more than {factor} is needed"
    )
}

/// A proof's confidence: `95%`, `99.99%`.
fn sure(proof: &Proof) -> String {
    with_digits(proof.confidence, Unit::Ratio, MOST_DIGITS)
}

/// A span of time: `640ms`, `1.5s`, `15m`, `1h30m`.
#[must_use]
pub fn span(d: Duration) -> String {
    Short(d).to_string()
}

/// A long span, to its two largest units: `14d`, `3d4h`, `4h10m`, `42s`.
#[must_use]
pub fn days(d: Duration) -> String {
    let s = d.as_secs();
    let unit = match s {
        86_400.. => 3600,
        3600.. => 60,
        _ => 1,
    };
    span(Duration::from_secs(s - s % unit))
}

/// A moment as RFC 3339 in UTC, to the second: `2026-11-21T08:30:00Z`.
/// Moments beyond the years that a calendar has are shown as its last one.
#[must_use]
pub fn time(at: Moment, wall_ahead_ms: i64) -> String {
    timestamp(at, wall_ahead_ms)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// The day of a moment in UTC: `Sat 2026-11-21`.
#[must_use]
pub fn day(at: Moment, wall_ahead_ms: i64) -> String {
    let at = timestamp(at, wall_ahead_ms);
    at.strftime("%a %Y-%m-%d").to_string()
}

/// The time of day of a moment in UTC, to the second: `08:30:00`.
#[must_use]
pub fn clock(at: Moment, wall_ahead_ms: i64) -> String {
    let at = timestamp(at, wall_ahead_ms);
    at.strftime("%H:%M:%S").to_string()
}

/// How often something was: `never`, `once`, `twice`, `12 times`.
#[must_use]
pub fn times(n: u64) -> String {
    match n {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{} times", count(n as f64)),
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond, for machines.
#[must_use]
pub fn exact_time(at: Moment, wall_ahead_ms: i64) -> String {
    timestamp(at, wall_ahead_ms)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// Text from outside on one line: control characters become spaces, and what is
/// longer than `most` characters is cut with an ellipsis. A version or a reason
/// can never forge a second line.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::with_capacity(text.len().min(most));
    for (i, c) in text.trim().chars().enumerate() {
        if i == most {
            line.push('…');
            break;
        }
        line.push(if is_unprintable(c) { ' ' } else { c });
    }
    line.truncate(line.trim_end().len());
    line
}

/// Control characters, and those that reorder or hide text on a terminal.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A noun in the number that fits: `1 event`, `2 events`.
fn noun(n: f64, singular: &str) -> String {
    if n.total_cmp(&1.0).is_eq() {
        singular.to_owned()
    } else {
        format!("{singular}s")
    }
}

fn timestamp(at: Moment, wall_ahead_ms: i64) -> Timestamp {
    let ms = at.unix_millis(wall_ahead_ms);
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

fn value_with_digits(value: Value, unit: Unit, digits: usize) -> String {
    match value {
        Value::Exactly(x) => with_digits(x, unit, digits),
        Value::AboveTop(top) => format!("above {}", with_digits(top, unit, digits)),
    }
}

fn with_digits(x: f64, unit: Unit, digits: usize) -> String {
    match unit {
        Unit::Ratio => format!("{}%", significant(x * 100.0, digits)),
        Unit::PerSecond => format!("{}/s", significant(x, digits)),
        Unit::Seconds => seconds(x, digits),
        Unit::Bytes => bytes(x, digits),
        Unit::Plain => significant(x, digits),
        Unit::Flag if x == 0.0 => "clear".to_owned(),
        Unit::Flag => "set".to_owned(),
    }
}

fn seconds(x: f64, digits: usize) -> String {
    let size = x.abs();
    if size < 0.9995 {
        return format!("{} ms", significant(x * 1000.0, digits));
    }
    if size < 100.0 || digits > DIGITS {
        return format!("{} s", significant(x, digits));
    }
    match Duration::try_from_secs_f64(size) {
        Ok(d) => format!("{}{}", if x < 0.0 { "-" } else { "" }, Short(d)),
        Err(_) => format!("{} s", significant(x, digits)),
    }
}

fn bytes(x: f64, digits: usize) -> String {
    let mut x = x;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if x.abs() < 1023.5 {
            return format!("{} {unit}", significant(x, digits));
        }
        x /= 1024.0;
    }
    format!("{} TiB", significant(x, digits))
}

/// At least `digits` significant digits without trailing zeros, whole thousands
/// grouped: `0.0123`, `7.4`, `12,345`.
fn significant(x: f64, digits: usize) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if !x.is_finite() || x.abs() >= 1e15 || x.abs() < 1e-9 {
        return format!("{x:.2e}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the logarithm of a number between 1e-9 and 1e15"
    )]
    let magnitude = x.abs().log10().floor() as i32;
    let decimals = usize::try_from(i32::try_from(digits).unwrap_or(0) - 1 - magnitude).unwrap_or(0);
    let fixed = format!("{x:.decimals$}");
    let (whole, fraction) = fixed.split_once('.').unwrap_or((&fixed, ""));
    let mut text = grouped(whole);
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        let _ = write!(text, ".{fraction}");
    }
    text
}

fn grouped(whole: &str) -> String {
    let (sign, digits) = whole.split_at(whole.len() - whole.trim_start_matches('-').len());
    let mut text = sign.to_owned();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
