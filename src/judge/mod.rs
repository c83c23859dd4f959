//! Samples in, verdicts out: the pure half of every decision.
//!
//! ```text
//! sample ──source──▶ page (growth per selector) ──▶ line (a signal over a window)
//!                     └▶ streak (up or down)              │ reading
//!                                 condition ◀─────────────┘
//!                                     │ verdict, proof
//!                                  tracked (hold, fired, blind) ──▶ turns
//! ```
//!
//! A [`Judge`] guards one service. It is told of samples and ticks, in the
//! order of time; what comes late or twice is ignored. It has no clock, cannot
//! fail, and its state is plain data: written, read back and carried on, it
//! says what it would have said.
//!
//! What it refuses: to count what it cannot attribute (the first scrape, the
//! scrape that straddles a change of release), to call a missing number zero,
//! and to call a share of few events proven.

mod baseline;
mod cache;
mod change;
mod condition;
mod counter;
mod course;
mod earliest;
mod gauge;
pub mod grammar;
mod histogram;
mod hold;
mod latency;
mod ledger;
mod packed;
mod regression;
mod signal;
mod source;
mod spread;
mod statistics;
mod sweep;
mod trigger;
mod watched;
mod window;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::baseline::Baseline;
use self::change::Change;
use self::condition::{Bench, Tests};
use self::ledger::Ledger;
use self::source::SourceState;
use self::sweep::Sweep;
use self::trigger::{Rules, Tracked};
use self::watched::Watched;
use crate::model::{
    Condition, Gap, Limit, Moment, NoReading, Outcome, Policy, Reading, StepAction, Test, Trigger,
    Value,
};

pub use self::change::same_trigger;
pub use self::earliest::holds_after;
pub use self::regression::least_factor;
pub use self::source::SourceHealth;
pub use self::statistics::bound;
pub use self::sweep::{Fire, Swept};
pub use self::trigger::{Judgement, Turn, TurnKind};

/// How far a baseline looks back.
const BASELINE: Duration = Duration::from_hours(1);

/// The wall clock was set when it moves by more than this against our own.
const CLOCK_SLACK_MS: u64 = 2000;

/// One service's judge, with its whole state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// By name, rising.
    sources: Vec<SourceState>,
    /// What the triggers share. Its first lines are the signals, in the order
    /// of their names, each over its own window.
    ledger: Ledger,
    /// How many signals there are.
    signals: usize,
    /// In the policy's order.
    triggers: Vec<Tracked>,
    watched: BTreeMap<String, Watched>,
    /// What signals were over the last hour of the last good release.
    #[serde(default)]
    before: BTreeMap<String, Baseline>,
    last_tick: Option<Moment>,
    /// How far the wall clock was ahead at the last tick.
    wall_ahead_ms: Option<i64>,
    /// Choices that are tried beside the triggers; no part of what is kept.
    #[serde(skip)]
    sweep: Option<Box<Sweep>>,
}

impl Judge {
    /// A judge that knows nothing yet.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let mut sources: Vec<_> = policy
            .sources
            .iter()
            .map(|(name, source)| SourceState::new(name, source))
            .collect();
        let mut ledger = Ledger::new(sources.len(), None);
        let mut signals = 0;
        for (name, signal) in &policy.signals {
            let line = ledger.line(policy, &mut sources, name, signal.window, true);
            signals += usize::from(line.is_some());
        }
        for name in with_baseline(policy) {
            ledger.line(policy, &mut sources, &name, BASELINE, false);
        }
        let triggers = policy
            .triggers
            .iter()
            .map(|trigger| {
                let tests = Tests::new(&trigger.when, true, policy, &mut sources, &mut ledger);
                Tracked::new(&trigger.name, tests)
            })
            .collect();
        ledger.fit();
        Self {
            sources,
            ledger,
            signals,
            triggers,
            watched: BTreeMap::new(),
            before: BTreeMap::new(),
            last_tick: None,
            wall_ahead_ms: None,
            sweep: None,
        }
    }

    /// Tries other limits, windows and holds of triggers beside the policy's
    /// own, from now on: each choice is a trigger as it would stand in the
    /// policy. They share what is read at a tick, and the lines of code that
    /// judge it; nothing is said of them but [`Self::swept`]. Ends with the
    /// choices before, if there were any, and with the policy.
    pub fn sweep(&mut self, policy: &Policy, choices: &[Trigger]) {
        let sweep = Sweep::new(choices, policy, &mut self.sources, &mut self.ledger);
        self.sweep = Some(Box::new(sweep));
    }

    /// What became of each choice, in their order.
    #[must_use]
    pub fn swept(&self) -> Vec<Swept> {
        self.sweep.iter().flat_map(|sweep| sweep.swept()).collect()
    }

    /// Takes what came of sampling a source for a tick. A source that the
    /// policy does not have, and a tick that is not later than the source's
    /// last, are ignored.
    pub fn sampled(&mut self, policy: &Policy, source: &str, tick: Moment, outcome: &Outcome) {
        if !policy.sources.contains_key(source) {
            return;
        }
        let Some(place) = self.place(source) else {
            return;
        };
        let Some(taken) = self.sources[place].take(tick, outcome) else {
            return;
        };
        let state = &self.sources[place];
        self.ledger.take(place, state, tick, outcome, taken);
        for watched in self.watched.values_mut() {
            watched.ledger.take(place, state, tick, outcome, taken);
        }
    }

    /// Judges a tick: every signal, trigger and watched condition once, on the
    /// samples that have been told. `wall_ahead_ms` is how far the wall clock
    /// is ahead of the agent's own. A tick that is not later than the last one
    /// is ignored.
    ///
    /// Returns what changed, in the policy's order of triggers.
    pub fn judge(&mut self, policy: &Policy, tick: Moment, wall_ahead_ms: i64) -> Vec<Turn> {
        if self.last_tick.is_some_and(|last| tick <= last) {
            return Vec::new();
        }
        self.last_tick = Some(tick);
        let was = self.wall_ahead_ms.replace(wall_ahead_ms);
        let set = was.is_some_and(|was| was.abs_diff(wall_ahead_ms) > CLOCK_SLACK_MS);
        let unix_ms = (!set).then(|| tick.unix_millis(wall_ahead_ms));
        self.ledger.read(tick, unix_ms, &self.sources);
        let bench = Bench {
            now: tick,
            ledger: &self.ledger,
            sources: &self.sources,
            before: &self.before,
        };
        let mut turns = Vec::new();
        for (tracked, trigger) in self.triggers.iter_mut().zip(&policy.triggers) {
            if tracked.name == trigger.name {
                let rules = Rules::of(trigger, policy.interval);
                tracked.judge(&trigger.when, &rules, &bench, |what| {
                    turns.push(Turn {
                        trigger: trigger.name.clone(),
                        what,
                    });
                });
            }
        }
        if let Some(sweep) = &mut self.sweep {
            sweep.judge(&bench);
        }
        for watched in self.watched.values_mut() {
            watched.judge(policy, tick, unix_ms, &self.sources, &self.before);
        }
        turns
    }

    /// How a trigger stands.
    #[must_use]
    pub fn trigger(&self, name: &str) -> Option<&Judgement> {
        let tracked = self.triggers.iter().find(|t| t.name == name)?;
        Some(&tracked.judgement)
    }

    /// Every trigger with how it stands, in the policy's order.
    pub fn triggers(&self) -> impl Iterator<Item = (&str, &Judgement)> {
        self.triggers
            .iter()
            .map(|tracked| (tracked.name.as_str(), &tracked.judgement))
    }

    /// Every signal, over its own window, with what it read at the last tick.
    pub fn signals(&self) -> impl Iterator<Item = (&str, Result<&Reading, &NoReading>)> {
        const BEFORE_THE_FIRST_TICK: NoReading = NoReading::NotSampled(None);
        self.ledger.lines()[..self.signals].iter().map(|line| {
            let said = line.said.as_ref().map(Result::as_ref);
            (
                line.signal.as_str(),
                said.unwrap_or(Err(&BEFORE_THE_FIRST_TICK)),
            )
        })
    }

    /// Whether a source is up, by its last samples. Undecided when there is no
    /// such source.
    #[must_use]
    pub fn source_up(&self, name: &str) -> SourceHealth {
        match self.place(name) {
            Some(place) => self.ledger.streak(place).health(&self.sources[place]),
            None => SourceHealth::Undecided {
                agree: 0,
                needed: 1,
            },
        }
    }

    /// Since when there is evidence: what came at or before this moment is none
    /// any more. `None` when all there is counts.
    #[must_use]
    pub const fn evidence_from(&self) -> Option<Moment> {
        self.ledger.from()
    }

    /// Why the last sample of a source was not good; `None` when it was, or
    /// there was none.
    #[must_use]
    pub fn last_gap(&self, name: &str) -> Option<&Gap> {
        self.sources[self.place(name)?].gap()
    }

    /// Signals whose selector has never matched a series on any page, with the
    /// selector. A ratio's `of` is not among them: no errors is no fault.
    #[must_use]
    pub fn never_matched(&self) -> Vec<(&str, &str)> {
        self.ledger.lines()[..self.signals]
            .iter()
            .filter_map(|line| {
                let source = &self.sources[line.source];
                let selector = line.never_matched(source).filter(|_| source.was_good())?;
                Some((line.signal.as_str(), selector))
            })
            .collect()
    }

    /// Starts all evidence anew, because another release runs since `at`:
    /// windows, holds, fired triggers and watched conditions, and whether
    /// sources are up. Samples stamped at or before `at` are no evidence any
    /// more. The counters' last values stay known, so that what grows after the
    /// first scrape behind `at` counts; that scrape itself, when it covers time
    /// before `at`, counts nothing, because nobody can tell which release its
    /// events belong to.
    pub fn restart(&mut self, _policy: &Policy, at: Moment) {
        self.ledger.restart(at);
        for tracked in &mut self.triggers {
            tracked.restart();
        }
        if let Some(sweep) = &mut self.sweep {
            sweep.restart(at);
        }
        for watched in self.watched.values_mut() {
            watched.restart(at);
        }
    }

    /// Goes on under another policy of the same service. A trigger keeps its
    /// hold, its windows and whether it fired if nothing that decides when it
    /// fires has changed: its condition, the signals and sources in it, what
    /// its proof and coverage need, `max_gap` and the interval. A selector that
    /// was not in force before counts nothing from its first scrape.
    pub fn revise(&mut self, old: &Policy, new: &Policy) {
        let next = Self::new(new);
        let before = std::mem::replace(self, next);
        let change = Change { old, new };
        self.last_tick = before.last_tick;
        self.wall_ahead_ms = before.wall_ahead_ms;
        self.before = before.before;
        self.before.retain(|name, _| change.same_signal(name));
        for (key, watched) in before.watched {
            let from = watched.ledger.from();
            let condition = watched.condition().clone();
            let mut fresh = Watched::new(new, &mut self.sources, condition, from);
            fresh.adopt(watched, &before.sources, &self.sources, &change);
            self.watched.insert(key, fresh);
        }
        change.carry(
            &mut self.ledger,
            before.ledger,
            &before.sources,
            &self.sources,
        );
        for source in before.sources {
            if change.same_source(&source.name)
                && let Some(place) = self.place(&source.name)
            {
                self.sources[place].adopt(source);
            }
        }
        for tracked in before.triggers {
            if change.same_trigger(&tracked.name)
                && let Some(next) = self.triggers.iter_mut().find(|t| t.name == tracked.name)
            {
                next.adopt(tracked);
            }
        }
    }

    /// Watches a further condition, judged like a trigger's but without proof,
    /// and only on samples and counts that began after `from`. Under a `key`
    /// that is taken, the former condition is forgotten.
    pub fn watch(&mut self, policy: &Policy, key: &str, condition: &Condition, from: Moment) {
        let watched = Watched::new(policy, &mut self.sources, condition.clone(), Some(from));
        self.watched.insert(key.to_owned(), watched);
    }

    /// As [`Self::watch`], for a condition that goes on when evidence starts
    /// anew. One of that key that is there already goes on.
    pub fn watch_lasting(
        &mut self,
        policy: &Policy,
        key: &str,
        condition: &Condition,
        from: Moment,
    ) {
        if !self.watched.contains_key(key) {
            let watched = Watched::new(policy, &mut self.sources, condition.clone(), Some(from));
            self.watched.insert(key.to_owned(), watched.lasting());
        }
    }

    /// The keys of what is watched.
    pub fn watched_keys(&self) -> impl Iterator<Item = &str> {
        self.watched.keys().map(String::as_str)
    }

    /// Forgets a watched condition.
    pub fn unwatch(&mut self, key: &str) {
        self.watched.remove(key);
    }

    /// How a watched condition stands: [`Judgement::hold_met`] says that it
    /// holds.
    #[must_use]
    pub fn watched(&self, key: &str) -> Option<&Judgement> {
        self.watched.get(key).map(Watched::judgement)
    }

    /// Remembers, for every signal that is compared with its baseline, what it
    /// reads over the last hour, and what that was counted from. To be called
    /// when a good release, of this version, stops being the running one, before
    /// [`Judge::restart`]. A signal whose hour is not covered, or without a
    /// number, keeps the baseline of the good release before.
    pub fn capture_baselines(&mut self, release: &str) {
        for line in self.ledger.lines().iter().filter(|l| l.span == BASELINE) {
            let now = self.last_tick.unwrap_or_default();
            let source = &self.sources[line.source];
            let unix_ms = self.wall_ahead_ms.map(|ahead| now.unix_millis(ahead));
            if line.never_matched(source).is_none()
                && let Ok(Reading {
                    value: Value::Exactly(value),
                    ..
                }) = line.value(unix_ms, source)
            {
                let counted = line.counted(&source.page);
                let baseline = Baseline::new(value, counted, release);
                self.before.insert(line.signal.clone(), baseline);
            }
        }
    }

    fn place(&self, source: &str) -> Option<usize> {
        self.sources
            .binary_search_by(|s| s.name.as_str().cmp(source))
            .ok()
    }
}

/// Signals that a condition anywhere in the policy compares with their
/// baseline.
fn with_baseline(policy: &Policy) -> Vec<String> {
    let plans = policy.plans.values();
    let checks = plans.clone().flat_map(|plan| {
        plan.steps.iter().filter_map(|step| match &step.action {
            StepAction::Check(condition) => Some(condition),
            _ => None,
        })
    });
    let conditions = policy
        .triggers
        .iter()
        .map(|trigger| &trigger.when)
        .chain(plans.flat_map(|plan| &plan.verify.require))
        .chain(checks);
    let mut names = Vec::new();
    for condition in conditions {
        condition::each(&condition.expr, &mut |test| {
            if let Test::Compare {
                signal,
                limit: Limit::Baseline(_),
                ..
            } = test
            {
                names.push(signal.clone());
            }
        });
    }
    names
}
