//! What is known of a source: when it last answered, why it last did not,
//! whether it is up, and its pages.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counter::Page;
use crate::model::{Gap, GapKind, Moment, NoReading, Outcome, Source};

/// Whether a source is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceHealth {
    /// The last `pass_after` samples were good, or more.
    Up,
    /// The last `fail_after` samples failed, or more.
    Down,
    /// Too few samples agree.
    Undecided {
        /// The samples in a row that do.
        agree: u32,
        /// How many would have to.
        needed: u32,
    },
    /// The last sample failed for a reason of the agent's own host or network,
    /// or was a check that did not check.
    Own,
}

/// The last samples that agree. One each for the triggers and for every watched
/// condition, because each counts from a moment of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Streak {
    good: bool,
    agree: u32,
    /// The last sample of any kind.
    at: Option<Moment>,
    own: bool,
}

impl Streak {
    /// A failure of the agent's own side neither continues nor ends a streak.
    pub(super) fn take(&mut self, at: Moment, outcome: &Outcome) {
        let gap = outcome.gap();
        self.at = Some(at);
        self.own = gap.is_some_and(Gap::is_blindness);
        if self.own {
            return;
        }
        if self.good == gap.is_none() {
            self.agree = self.agree.saturating_add(1);
        } else {
            self.good = gap.is_none();
            self.agree = 1;
        }
    }

    pub(super) fn health(&self, source: &SourceState) -> SourceHealth {
        let needed = if self.good {
            source.pass_after
        } else {
            source.fail_after
        };
        if self.own {
            SourceHealth::Own
        } else if self.agree < needed || self.agree == 0 {
            SourceHealth::Undecided {
                agree: self.agree,
                needed,
            }
        } else if self.good {
            SourceHealth::Up
        } else {
            SourceHealth::Down
        }
    }

    /// Whether the source is up at a tick, or why that cannot be said.
    pub(super) fn is_up(&self, source: &SourceState, now: Moment) -> Result<bool, NoReading> {
        if self.at.is_none_or(|at| at + source.interval <= now) {
            return Err(NoReading::NotSampled(None));
        }
        match self.health(source) {
            SourceHealth::Up => Ok(true),
            SourceHealth::Down => Ok(false),
            SourceHealth::Undecided { agree, needed } => {
                Err(NoReading::Undecided { agree, needed })
            }
            SourceHealth::Own => Err(source.no_sample()),
        }
    }
}

/// What one sample gave the signals of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing that a signal could use.
    Nothing,
    /// A page.
    Page,
    /// A latency, and the answer before it.
    Latency {
        took: Duration,
        before: Option<Moment>,
    },
}

/// One source's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SourceState {
    pub(super) name: String,
    pub(super) interval: Duration,
    fail_after: u32,
    pass_after: u32,
    /// The last sample of any kind.
    at: Option<Moment>,
    /// The last sample that signals can use.
    good: Option<Moment>,
    /// Why the last sample was not good.
    gap: Option<Gap>,
    /// Why signals that ask got no number in the last sample.
    #[serde(default)]
    faults: BTreeMap<String, Gap>,
    pub(super) page: Page,
}

impl SourceState {
    pub(super) fn new(name: &str, source: &Source) -> Self {
        Self {
            name: name.to_owned(),
            interval: source.interval,
            fail_after: source.fail_after,
            pass_after: source.pass_after,
            at: None,
            good: None,
            gap: None,
            faults: BTreeMap::new(),
            page: Page::default(),
        }
    }

    /// Takes over what `old`, the same source under another policy, knows.
    pub(super) fn adopt(&mut self, old: Self) {
        self.at = old.at;
        self.good = old.good;
        self.gap = old.gap;
        self.faults = old.faults;
        self.page.adopt(old.page);
    }

    /// Takes a sample. `None` when it is not later than the one before.
    pub(super) fn take(&mut self, at: Moment, outcome: &Outcome) -> Option<Taken> {
        if self.at.is_some_and(|last| at <= last) {
            return None;
        }
        self.at = Some(at);
        self.gap = outcome.gap().cloned();
        self.faults.clear();
        let before = self.good;
        let taken = match outcome {
            Outcome::Answered { samples, faults } => {
                self.faults.clone_from(faults);
                // Without a number it is no page: nobody counts from it.
                if samples.is_empty() || !self.page.take(at, samples) {
                    Taken::Nothing
                } else {
                    Taken::Page
                }
            }
            Outcome::Scraped(samples) => {
                if self.page.take(at, samples) {
                    Taken::Page
                } else {
                    self.gap = Some(Gap::new(
                        GapKind::Malformed,
                        "the page has none of the series that it had before",
                    ));
                    Taken::Nothing
                }
            }
            Outcome::Probed { latency, .. } => Taken::Latency {
                took: *latency,
                before,
            },
            Outcome::Failed(_) => Taken::Nothing,
        };
        if taken != Taken::Nothing {
            self.good = Some(at);
        }
        Some(taken)
    }

    /// Why the last sample has no number for this signal.
    pub(super) fn fault(&self, signal: &str) -> Option<&Gap> {
        self.faults.get(signal)
    }

    /// Why the last sample was not good.
    pub(super) const fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// Whether there was a page at all.
    pub(super) const fn was_good(&self) -> bool {
        self.good.is_some()
    }

    /// Whether the signals of this source may be read at a tick: it was sampled
    /// in (now − interval, now], and after `from`.
    pub(super) fn fresh(&self, now: Moment, from: Option<Moment>) -> Result<(), NoReading> {
        let fresh = |at: Moment| at + self.interval > now && from.is_none_or(|from| at > from);
        if self.good.is_some_and(fresh) {
            Ok(())
        } else if self.at.is_some_and(fresh) {
            Err(self.no_sample())
        } else {
            Err(NoReading::NotSampled(None))
        }
    }

    fn no_sample(&self) -> NoReading {
        match &self.gap {
            Some(gap) if gap.kind != GapKind::Unknown && gap.is_blindness() => {
                NoReading::Own(gap.detail.clone())
            }
            gap => NoReading::NotSampled(gap.as_ref().map(|gap| gap.detail.clone())),
        }
    }
}
