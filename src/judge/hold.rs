//! The hold: how long a condition has been met, on ticks that were judged.
//!
//! Ticks are kept as runs (first tick, how many, breach or clear), so an hour
//! of breach costs as much as a minute. Everything is asked of nominal times:
//! what fires at 15 minutes fires at the tick of 15 minutes, on a loaded host
//! as in replay.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::window::left_by;
use crate::model::{Hold, Moment, millis};

/// Ticks of one kind at the judging interval's distance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    first: Moment,
    ticks: u32,
    breach: bool,
}

/// The ticks of a hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Holding {
    /// Those in (t − span, t].
    runs: VecDeque<Run>,
    judged: u32,
    breaches: u32,
    /// The first breach tick after the last clear one, or after a gap.
    since: Option<Moment>,
    /// The last judged tick.
    last: Option<Moment>,
}

/// What a hold is measured by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measure {
    pub(super) hold: Hold,
    /// Judging interval.
    pub(super) interval: Duration,
    /// Judged ticks further apart than this start the hold anew.
    pub(super) max_gap: Duration,
    /// Least share of judged ticks.
    pub(super) coverage: f64,
}

/// How far a hold is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Progress {
    pub(super) held: Duration,
    pub(super) judged: u32,
    pub(super) expected: u32,
    /// Long enough, on enough ticks. Only ever at a breach tick.
    pub(super) met: bool,
}

impl Holding {
    /// Takes a judged tick, later than all before. Returns whether a stretch of
    /// breach begins with it.
    pub(super) fn judged(&mut self, now: Moment, breach: bool, by: &Measure) -> bool {
        let gap = self.gap(now, by.max_gap);
        self.last = Some(now);
        let begins = breach && (self.since.is_none() || gap);
        if !breach {
            self.since = None;
        } else if begins {
            self.since = Some(now);
        }
        if by.hold != Hold::None {
            self.push(now, breach, by.interval);
        }
        begins
    }

    /// Takes clear ticks, the first of them later than all before, an interval
    /// from each other: as [`Self::judged`] of each.
    pub(super) fn rested(&mut self, first: Moment, ticks: u32, by: &Measure) {
        let Some(further) = ticks.checked_sub(1) else {
            return;
        };
        self.since = None;
        self.last = Some(first + by.interval.saturating_mul(further));
        if by.hold != Hold::None {
            self.push(first, false, by.interval);
            if let Some(run) = self.runs.back_mut() {
                run.ticks += further;
                self.judged = self.judged.saturating_add(further);
            }
        }
    }

    /// Takes a judged tick of which only its time will be asked.
    pub(super) const fn stands(&mut self, now: Moment) {
        self.last = Some(now);
    }

    /// Whether the last judged tick is further away than neighbours may be.
    pub(super) fn gap(&self, now: Moment, max_gap: Duration) -> bool {
        self.last.is_some_and(|last| now.since(last) > max_gap)
    }

    pub(super) const fn since(&self) -> Option<Moment> {
        self.since
    }

    /// Where the hold stands at a tick, judged or not.
    pub(super) fn progress(&mut self, now: Moment, by: &Measure) -> Progress {
        let span = by.hold.span();
        self.evict(now, span, by.interval);
        let expected = ticks(span, by.interval);
        let at_breach = self.since.is_some() && self.last == Some(now);
        let enough = f64::from(self.judged) + 1e-9 >= by.coverage * f64::from(expected);
        let since = self.since.map_or(Duration::ZERO, |since| now.since(since));
        match by.hold {
            Hold::None => Progress {
                held: since,
                judged: 1,
                expected: 1,
                met: at_breach,
            },
            Hold::For(d) => Progress {
                held: since,
                judged: self.judged,
                expected,
                met: at_breach && since >= d && enough,
            },
            Hold::ForOf(x, _) => {
                let held = by.interval.saturating_mul(self.breaches);
                Progress {
                    held,
                    judged: self.judged,
                    expected,
                    met: at_breach && held >= x && enough,
                }
            }
        }
    }

    fn push(&mut self, now: Moment, breach: bool, interval: Duration) {
        self.judged = self.judged.saturating_add(1);
        self.breaches = self.breaches.saturating_add(u32::from(breach));
        match self.runs.back_mut() {
            Some(run)
                if run.breach == breach
                    && run.first + interval.saturating_mul(run.ticks) == now =>
            {
                run.ticks += 1;
            }
            _ => self.runs.push_back(Run {
                first: now,
                ticks: 1,
                breach,
            }),
        }
    }

    fn evict(&mut self, now: Moment, span: Duration, interval: Duration) {
        let Some(left) = left_by(now, span) else {
            return;
        };
        while let Some(run) = self.runs.front_mut()
            && run.first <= left
        {
            let gone = ticks_up_to(left.since(run.first), interval).min(run.ticks);
            self.judged -= gone;
            if run.breach {
                self.breaches -= gone;
            }
            run.ticks -= gone;
            run.first = run.first + interval.saturating_mul(gone);
            if run.ticks == 0 {
                self.runs.pop_front();
            }
        }
    }
}

/// Nominal ticks in a span that is open at its beginning.
fn ticks(span: Duration, interval: Duration) -> u32 {
    let n = millis(span).div_ceil(millis(interval).max(1));
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Ticks at 0, 1, 2, … intervals that are not later than `late`.
fn ticks_up_to(late: Duration, interval: Duration) -> u32 {
    let n = millis(late) / millis(interval).max(1);
    u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const I: Duration = Duration::from_secs(5);

    /// SPEC 3, *The hold*, on the list of all judged ticks.
    fn naive(all: &[(Moment, bool)], now: Moment, by: &Measure) -> (Option<Moment>, bool) {
        let mut since = None;
        let mut before: Option<Moment> = None;
        for &(at, breach) in all {
            if !breach {
                since = None;
            } else if since.is_none() || before.is_some_and(|b| at.since(b) > by.max_gap) {
                since = Some(at);
            }
            before = Some(at);
        }
        let span = by.hold.span();
        let within: Vec<_> = all.iter().filter(|(at, _)| *at + span > now).collect();
        let expected = span.as_millis().div_ceil(by.interval.as_millis());
        let enough = within.len() as f64 >= by.coverage * expected as f64;
        let breach = all.last().is_some_and(|&(at, breach)| at == now && breach);
        let met = match by.hold {
            Hold::None => true,
            Hold::For(d) => since.is_some_and(|s| now.since(s) >= d) && enough,
            Hold::ForOf(x, _) => {
                let breaches = within.iter().filter(|(_, breach)| *breach);
                breaches.map(|_| by.interval).sum::<Duration>() >= x && enough
            }
        };
        (since, met && breach)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn holds_equal_a_naive_recomputation_and_survive_writing(
            // Nine ticks in ten are regular; some are missed, some blind.
            steps in prop::collection::vec(
                (prop_oneof![9 => Just(5_u64), 1 => 1_u64..60], prop_oneof![
                    6 => Just(Some(true)), 2 => Just(Some(false)), 1 => Just(None),
                ]),
                0..80,
            ),
            span in 1_u64..120,
            part in 0.01_f64..1.0,
            kind in 0..3,
            max_gap in 5_u64..60,
        ) {
            let span = Duration::from_secs(span);
            let hold = match kind {
                0 => Hold::None,
                1 => Hold::For(span),
                _ => Hold::ForOf(span.mul_f64(part), span),
            };
            let by = Measure { hold, interval: I, max_gap: Duration::from_secs(max_gap), coverage: 0.8 };
            let mut holding = Holding::default();
            let mut all = Vec::new();
            let mut now = Moment::from_millis(1_000_000);
            for (s, breach) in steps {
                now = now + Duration::from_secs(s);
                if let Some(breach) = breach {
                    holding.judged(now, breach, &by);
                    all.push((now, breach));
                }
                let progress = holding.progress(now, &by);
                let (since, met) = naive(&all, now, &by);
                prop_assert_eq!(holding.since(), since);
                prop_assert_eq!(progress.met, met);
                if all.len() % 16 == 9 {
                    let text = serde_json::to_string(&holding).unwrap();
                    holding = serde_json::from_str(&text).unwrap();
                }
            }
        }
    }

    #[test]
    fn clear_ticks_taken_together_are_clear_ticks_taken_one_by_one() {
        let span = Duration::from_mins(2);
        for hold in [Hold::None, Hold::For(span), Hold::ForOf(span / 2, span)] {
            let by = Measure {
                hold,
                interval: I,
                max_gap: Duration::from_secs(20),
                coverage: 0.8,
            };
            let at = |n: u32| Moment::from_millis(1_000_000) + I * n;
            for (bad, quiet) in [(0, 1), (1, 7), (3, 40), (9, 0)] {
                let mut one_by_one = Holding::default();
                for n in 0..bad {
                    one_by_one.judged(at(n), n != 1, &by);
                }
                let mut together = one_by_one.clone();
                for n in bad..bad + quiet {
                    one_by_one.judged(at(n), false, &by);
                }
                together.rested(at(bad), quiet, &by);
                assert_eq!(together, one_by_one, "{hold:?} {bad} {quiet}");
                let now = at(bad + quiet);
                assert_eq!(
                    together.judged(now, true, &by),
                    one_by_one.judged(now, true, &by)
                );
                assert_eq!(together.progress(now, &by), one_by_one.progress(now, &by));
            }
        }
    }

    #[test]
    fn an_hour_of_breach_is_one_run() {
        let hour = Duration::from_hours(1);
        let by = Measure {
            hold: Hold::For(hour),
            interval: I,
            max_gap: Duration::from_mins(12),
            coverage: 0.8,
        };
        let mut holding = Holding::default();
        let mut fired = None;
        for i in 0..2000_u32 {
            let now = Moment::ZERO + I * i;
            holding.judged(now, true, &by);
            if holding.progress(now, &by).met {
                fired.get_or_insert(now);
            }
            assert!(holding.runs.len() <= 1);
        }
        assert_eq!(fired, Some(Moment::ZERO + hour));
    }
}
