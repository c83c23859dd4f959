//! Conditions: the judge's grammar, with what only a whole policy can check.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::fault::Draft;
use super::item::Item;
use super::keys::{LONGEST, Reader};
use super::signals::fits;
use super::{MOST_INTERVALS, show};
use crate::judge::grammar::{self, Scope};
use crate::model::{Condition, Expr, Signal, Source, Test, Unit};

/// Bytes of a condition. Nobody understands a longer one at night.
const LONGEST_CONDITION: usize = 4096;

/// What a policy's conditions may speak of.
#[derive(Debug)]
pub(super) struct Known {
    /// The policy's interval.
    pub(super) tick: Duration,
    pub(super) sources: BTreeMap<String, Option<Source>>,
    pub(super) signals: BTreeMap<String, Option<Signal>>,
    units: BTreeMap<String, Unit>,
    able: BTreeMap<String, bool>,
}

impl Known {
    pub(super) fn new(
        tick: Duration,
        sources: BTreeMap<String, Option<Source>>,
        signals: BTreeMap<String, Option<Signal>>,
    ) -> Self {
        let units = signals
            .iter()
            .map(|(name, signal)| {
                let unit = signal.as_ref().map_or(Unit::Plain, |signal| signal.unit);
                (name.clone(), unit)
            })
            .collect();
        let able = sources
            .iter()
            .map(|(name, source)| {
                let able = source.as_ref().is_none_or(|s| s.kind.has_health());
                (name.clone(), able)
            })
            .collect();
        Self {
            tick,
            sources,
            signals,
            units,
            able,
        }
    }

    /// Reads a condition; every fault is underlined inside the string.
    pub(super) fn condition(&self, item: &Item<'_>, r: &mut Reader) -> Option<Condition> {
        let quoted = item.string(r)?;
        if r.faults.full() {
            return None;
        }
        if quoted.value.len() > LONGEST_CONDITION {
            let message = format!(
                "a condition of {} bytes: at most {LONGEST_CONDITION} go",
                quoted.value.len()
            );
            r.add(
                item.fault("size", message)
                    .hint("make several triggers of it"),
            );
            return None;
        }
        let scope = Scope {
            signals: &self.units,
            sources: &self.able,
        };
        match grammar::parse(quoted.value, &scope) {
            Ok(condition) => self.checked(condition, item, r),
            Err(faults) => {
                if self.speaks_of_a_faulty_one(quoted.value) {
                    // Its unit is not known: mending that comes first.
                    return None;
                }
                for fault in faults {
                    if r.faults.full() {
                        break;
                    }
                    let at = r.inside(&quoted, fault.offset, fault.len);
                    let code = if fault.message.contains("is not defined") {
                        "undefined"
                    } else {
                        "condition"
                    };
                    r.add(Draft::error(code, at, fault.message).maybe_hint(fault.hint));
                }
                None
            }
        }
    }

    fn speaks_of_a_faulty_one(&self, text: &str) -> bool {
        text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .any(|word| matches!(self.signals.get(word), Some(None)))
    }

    /// Windows and holds against the intervals of what is tested.
    fn checked(&self, condition: Condition, item: &Item<'_>, r: &mut Reader) -> Option<Condition> {
        let mut good = true;
        for test in tests(&condition.expr) {
            let Test::Compare {
                signal,
                over: Some(over),
                text,
                ..
            } = test
            else {
                continue;
            };
            let at = |r: &mut Reader| place_of(item, text, r);
            let source = self.source_of(signal);
            if *over > LONGEST {
                good = false;
                let message = format!(
                    "a window of {} is longer than {}",
                    show(*over),
                    show(LONGEST)
                );
                let at = at(r);
                r.add(Draft::error("window", at, message));
            } else if let Some(source) = source {
                good &= fits(*over, source.interval, "a window", at, r);
            }
        }
        if condition.hold.span() > LONGEST {
            good = false;
            let message = format!("a hold is at most {}", show(LONGEST));
            r.add(item.fault("hold", message));
        }
        let ticks = condition.hold.span().as_millis() / self.tick.as_millis().max(1);
        if good && ticks > MOST_INTERVALS {
            good = false;
            r.add(
                item.fault(
                    "hold",
                    format!(
                        "a hold of {} is {ticks} ticks of {}: at most {MOST_INTERVALS} go",
                        show(condition.hold.span()),
                        show(self.tick)
                    ),
                )
                .hint("shorten it, or judge less often with `interval`")
                .by_interval(),
            );
        }
        good.then_some(condition)
    }

    fn source_of(&self, signal: &str) -> Option<&Source> {
        let signal = self.signals.get(signal)?.as_ref()?;
        self.sources.get(&signal.source)?.as_ref()
    }

    /// The longest interval among the sources that a condition reads; the
    /// policy's where none is known.
    pub(super) fn slowest(&self, condition: &Condition) -> Duration {
        sources_of(condition, |name| self.signals.get(name)?.as_ref())
            .iter()
            .filter_map(|name| self.sources.get(*name)?.as_ref())
            .map(|source| source.interval)
            .max()
            .unwrap_or(self.tick)
    }

    /// The longest window that a condition reads.
    pub(super) fn longest_window(&self, condition: &Condition) -> Duration {
        tests(&condition.expr)
            .into_iter()
            .filter_map(|test| window_of(test, |name| self.signals.get(name)?.as_ref()))
            .max()
            .unwrap_or_default()
    }
}

/// The window of a test on a signal; `None` for one on a source.
pub(super) fn window_of<'a>(
    test: &Test,
    signal: impl Fn(&str) -> Option<&'a Signal>,
) -> Option<Duration> {
    match test {
        Test::Compare {
            signal: name, over, ..
        } => over.or_else(|| signal(name).map(|signal| signal.window)),
        Test::Source { .. } => None,
    }
}

/// All tests of an expression, in the order of the text.
pub(super) fn tests(expr: &Expr) -> Vec<&Test> {
    expr.tests()
}

/// The sources that a condition reads, directly or through signals.
pub(super) fn sources_of<'a>(
    condition: &'a Condition,
    signal: impl Fn(&str) -> Option<&'a Signal>,
) -> BTreeSet<&'a str> {
    tests(&condition.expr)
        .into_iter()
        .filter_map(|test| match test {
            Test::Compare { signal: name, .. } => signal(name).map(|s| s.source.as_str()),
            Test::Source { source, .. } => Some(source.as_str()),
        })
        .collect()
}

/// Where a test stands in its condition; the whole condition if its spacing was
/// unusual.
fn place_of(item: &Item<'_>, test: &str, r: &mut Reader) -> std::ops::Range<usize> {
    item.string(r)
        .and_then(|quoted| {
            let offset = quoted.value.find(test)?;
            Some(r.inside(&quoted, offset, test.len()))
        })
        .unwrap_or_else(|| item.at.clone())
}
