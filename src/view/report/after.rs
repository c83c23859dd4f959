//! Afterwards: what a machine can see to be well again, and what no machine
//! knows, and by when it is wanted.

use std::time::Duration;

use super::page::{Mark, Page, plain};
use super::{Curve, Report, Signals, value};
use crate::model::{Moment, Unit};

/// How long errors must stay below their limit to count as normal.
const ERRORS: Duration = Duration::from_mins(15);
/// How long response times are compared with those before.
const TIMES: Duration = Duration::from_mins(30);
/// By how much a response time may be above the one before and still be normal.
const SLOWER: f64 = 1.25;

impl Report<'_> {
    /// What can be verified by the recorded samples.
    pub(super) fn checklist(&self, page: &mut Page) {
        page.heading(2, "Checklist");
        let mut points = Vec::new();
        match self.signals {
            Some(signals) => {
                self.responds(signals, &mut points);
                for curve in &signals.curves {
                    points.extend(self.is_normal(curve, signals.until));
                }
            }
            None => {
                for what in [
                    "The sources answer",
                    "Errors are normal",
                    "Times are normal",
                ] {
                    let text = format!("{what}: there are no samples to tell");
                    points.push((Mark::Open, plain(text)));
                }
            }
        }
        for what in [
            "People can use what matters most: one try by hand",
            "No data is missing",
            "Everybody who was told is told that it is over",
        ] {
            points.push((Mark::Open, plain(what)));
        }
        page.checks(points);
    }

    fn responds(&self, signals: &Signals, points: &mut Vec<(Mark, super::Line)>) {
        let until = self.time(signals.until);
        for (source, up) in &signals.sources {
            let (mark, state) = match up {
                Some(true) => (Mark::Done, "answers"),
                Some(false) => (Mark::Not, "does not answer"),
                None => (Mark::Open, "is undecided"),
            };
            points.push((mark, plain(format!("{source} {state}, at {until}"))));
        }
    }

    /// A signal with a limit, for a while after the cure; a time, beside what it
    /// was before.
    fn is_normal(&self, curve: &Curve, until: Moment) -> Option<(Mark, super::Line)> {
        let bound = curve.limit.as_ref()?;
        let times = curve.unit == Unit::Seconds;
        let long = if times { TIMES } else { ERRORS };
        let name = &curve.signal;
        let Some(from) = self.cured().or(self.incident.closed) else {
            let text = format!("{name} is normal for {}: not cured yet", value::span(long));
            return Some((Mark::Open, plain(text)));
        };
        let to = from + long;
        let seen = until.min(to);
        let after = || {
            let within = curve
                .points
                .iter()
                .filter(|(at, _)| *at > from && *at <= to);
            within.filter_map(|(at, value)| Some((*at, (*value)?)))
        };
        if let Some((at, worst)) = after().find(|(_, value)| bound.is_breached_by(*value)) {
            let text = format!(
                "{name} is within its limit for {} after the cure: it was {} at {}",
                value::span(long),
                value::number(worst, curve.unit),
                self.time(at)
            );
            return Some((Mark::Not, plain(text)));
        }
        if seen < to || after().next().is_none() {
            let text = format!(
                "{name} is within its limit for {} after the cure: seen for {}",
                value::span(long),
                value::span(seen.since(from))
            );
            return Some((Mark::Open, plain(text)));
        }
        if times {
            let first = self.began().unwrap_or(self.incident.opened);
            let before = curve.points.iter().filter(|(at, _)| *at < first);
            let before = mean(before.filter_map(|(_, value)| *value));
            let now = mean(after().map(|(_, value)| value));
            if let (Some(before), Some(now)) = (before, now) {
                let mark = if now <= before * SLOWER {
                    Mark::Done
                } else {
                    Mark::Not
                };
                let text = format!(
                    "{name} is as before: {} on average in the {} after the cure, {} before",
                    value::number(now, curve.unit),
                    value::span(long),
                    value::number(before, curve.unit)
                );
                return Some((mark, plain(text)));
            }
        }
        let text = format!("{name} was within its limit for {}", value::span(long));
        Some((Mark::Done, plain(text)))
    }

    /// What no machine knows.
    pub(super) fn left_to_people(&self, page: &mut Page) {
        let from = self.incident.closed.unwrap_or(self.incident.opened);
        page.heading(2, "To fill in");
        for (name, hours, hint) in [
            (
                "Root cause",
                24,
                "What broke, and why was it not found before?",
            ),
            (
                "Prevention",
                48,
                "What is changed so that it cannot come back?",
            ),
            (
                "Lessons",
                72,
                "What went well, what did not, what was luck?",
            ),
        ] {
            let by = self.time(from + Duration::from_hours(hours));
            page.heading(3, format!("{name} (within {hours} h, by {by})"));
            page.hint(hint);
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}
