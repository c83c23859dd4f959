//! What each signal read, tick by tick, in as much detail as a plot can show: of
//! the ticks of one column the lowest and the highest, however long the time.

use std::time::Duration;

use super::{Onlooker, Recording};
use crate::judge::Judge;
use crate::model::{Moment, Policy, Value};
use crate::view::{Bound, Curve};

/// Columns of the finest plot that is drawn.
const COLUMNS: u32 = 1500;

/// Follows the signals of a replay.
#[derive(Clone, Debug)]
pub struct Curves {
    width: Duration,
    /// The end of the column that is being filled.
    end: Moment,
    /// In the order of their names, as the judge has them.
    signals: Vec<Followed>,
}

#[derive(Clone, Debug)]
struct Followed {
    curve: Curve,
    low: Option<(Moment, f64)>,
    high: Option<(Moment, f64)>,
}

impl Curves {
    /// For a replay of this recording.
    #[must_use]
    pub fn new(policy: &Policy, recording: &Recording) -> Self {
        let (from, to) = recording.span;
        let width = (to.since(from) / COLUMNS).max(policy.interval);
        let signals = policy.signals.iter().map(|(name, signal)| Followed {
            curve: Curve {
                signal: name.clone(),
                unit: signal.unit,
                limit: Bound::of(policy, name, |_| true),
                points: Vec::new(),
                counted: None,
            },
            low: None,
            high: None,
        });
        Self {
            width,
            end: from + width,
            signals: signals.collect(),
        }
    }

    /// The curves, by the signals' names.
    pub(super) fn finish(mut self) -> Vec<Curve> {
        for one in &mut self.signals {
            one.turn(self.end);
        }
        self.signals.into_iter().map(|one| one.curve).collect()
    }
}

impl Onlooker for Curves {
    fn ticked(&mut self, tick: Moment, judge: &Judge) {
        if tick >= self.end {
            for one in &mut self.signals {
                one.turn(self.end);
            }
            while tick >= self.end {
                self.end = self.end + self.width;
            }
        }
        for (one, (_, reading)) in self.signals.iter_mut().zip(judge.signals()) {
            if let Ok(reading) = reading {
                let (Value::Exactly(value) | Value::AboveTop(value)) = reading.value;
                one.take(tick, value);
            }
        }
    }
}

impl Followed {
    fn take(&mut self, tick: Moment, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.low.is_none_or(|(_, low)| value < low) {
            self.low = Some((tick, value));
        }
        if self.high.is_none_or(|(_, high)| value > high) {
            self.high = Some((tick, value));
        }
    }

    /// A column is full: one point or two, or that there was no reading.
    fn turn(&mut self, end: Moment) {
        let points = &mut self.curve.points;
        match (self.low.take(), self.high.take()) {
            (Some(low), Some(high)) => {
                let (first, second) = if low.0 <= high.0 {
                    (low, high)
                } else {
                    (high, low)
                };
                points.push((first.0, Some(first.1)));
                if second.0 != first.0 {
                    points.push((second.0, Some(second.1)));
                }
            }
            _ => points.push((end - Duration::from_millis(1), None)),
        }
    }
}
