//! The time that is asked for, as people write it: `--since 7d`, or from a time
//! to a time.

use std::time::Duration;

use super::Error;
use crate::model::Moment;
use crate::replay::{Past, Span};

/// A stretch of the calendar.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Range {
    /// The last so long, such as 7d, up to the last sample that there is.
    #[arg(long, value_name = "TIME", value_parser = length, conflicts_with_all = ["from", "to"])]
    since: Option<Duration>,
    /// From this time on: 2026-11-21, or 2026-11-21T08:30:00Z; in UTC where it
    /// says no more.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    from: Option<Moment>,
    /// Up to this time.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    to: Option<Moment>,
}

impl Range {
    /// Whether a time is asked for.
    pub(super) fn is_given(&self) -> bool {
        self.since.is_some() || self.from.is_some() || self.to.is_some()
    }

    /// Between times that stand for themselves.
    pub(super) fn fixed(&self) -> Result<Span, Error> {
        let Span { from, to } = Span::ALL;
        let span = Span {
            from: self.from.unwrap_or(from),
            to: self.to.unwrap_or(to),
        };
        if span.from > span.to {
            return Err(Error::usage("--from is later than --to"));
        }
        Ok(span)
    }

    /// Before a time that nothing is later than: it takes a beginning.
    pub(super) fn before(&self, end: Moment) -> Result<Span, Error> {
        let to = self.to.map_or(end, |to| to.min(end));
        let from = self.from.or_else(|| Some(to - self.since?));
        let Some(from) = from else {
            return Err(Error::usage("--prometheus needs --since or --from")
                .hint("a week is a good beginning: --since 7d"));
        };
        if from >= to {
            return Err(Error::usage("--from is not before --to"));
        }
        Ok(Span { from, to })
    }

    /// In this past.
    pub(super) fn of(&self, past: &Past) -> Result<Span, Error> {
        let mut span = self.fixed()?;
        if let Some(since) = self.since {
            let end = past.end().map_err(|e| Error::of(&e))?;
            span.from = end.map_or(span.from, |end| end - since);
        }
        Ok(span)
    }
}

fn length(text: &str) -> Result<Duration, String> {
    // What humantime takes these for depends on the month that it is.
    let calendar = ["M", "month", "months", "y", "yr", "yrs", "year", "years"];
    let mut units = text.split(|c: char| !c.is_alphabetic());
    if units.any(|unit| calendar.contains(&unit)) {
        return Err("months and years are not fixed; minutes are `m`, days `d`".to_owned());
    }
    match humantime::parse_duration(text.trim()) {
        Ok(length) if !length.is_zero() => Ok(length),
        _ => Err("write it like 45m, 12h or 7d".to_owned()),
    }
}

pub(super) fn when(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    let utc = |civil: jiff::civil::DateTime| {
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    };
    let timestamp = text
        .parse::<jiff::Timestamp>()
        .ok()
        .or_else(|| utc(text.parse().ok()?));
    timestamp
        .and_then(|t| u64::try_from(t.as_millisecond()).ok())
        .map(Moment::from_millis)
        .ok_or_else(|| "write it like 2026-11-21 or 2026-11-21T08:30:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_utc() {
        let ms = |text| when(text).map(Moment::as_millis);
        assert_eq!(ms("2026-11-21"), Ok(1_795_219_200_000));
        assert_eq!(ms("2026-11-21T08:30"), Ok(1_795_249_800_000));
        assert_eq!(ms("2026-11-21T08:30:00.5Z"), Ok(1_795_249_800_500));
        assert_eq!(ms("2026-11-21T09:30:00+01:00"), Ok(1_795_249_800_000));
        for bad in ["yesterday", "1795249800", "2026-13-01", "1969-01-01", ""] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_length_is_one_that_is_fixed() {
        assert_eq!(length("7d"), Ok(Duration::from_hours(168)));
        for bad in ["1M", "1y", "7", "0s", "soon"] {
            assert!(length(bad).is_err(), "{bad}");
        }
    }
}
