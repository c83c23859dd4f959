//! A condition beside the triggers: what verifies a rollback, or what a step
//! waits for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::change::Change;
use super::condition::{Bench, Tests, each};
use super::hold::Measure;
use super::ledger::Ledger;
use super::source::SourceState;
use super::trigger::{Judgement, Rules, Tracked};
use crate::model::{Condition, Moment, Policy, Test};

/// The share of judged ticks that a hold needs, as for a trigger that does not
/// say.
const COVERAGE: f64 = 0.8;

/// A condition with evidence of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    condition: Condition,
    max_gap: Duration,
    /// Whether it goes on when evidence starts anew: it is about what users see,
    /// whichever release is to blame.
    #[serde(default)]
    lasting: bool,
    pub(super) ledger: Ledger,
    tracked: Tracked,
}

impl Watched {
    pub(super) fn new(
        policy: &Policy,
        sources: &mut [SourceState],
        condition: Condition,
        from: Option<Moment>,
    ) -> Self {
        let mut ledger = Ledger::new(sources.len(), from);
        let tests = Tests::new(&condition, false, policy, sources, &mut ledger);
        Self {
            max_gap: max_gap(policy, &condition),
            condition,
            lasting: false,
            ledger,
            tracked: Tracked::new("", tests),
        }
    }

    /// It goes on when evidence starts anew.
    pub(super) const fn lasting(mut self) -> Self {
        self.lasting = true;
        self
    }

    pub(super) const fn condition(&self) -> &Condition {
        &self.condition
    }

    pub(super) const fn judgement(&self) -> &Judgement {
        &self.tracked.judgement
    }

    /// Takes over what `old` gathered and how it stood, where that still means
    /// the same.
    pub(super) fn adopt(
        &mut self,
        old: Self,
        old_sources: &[SourceState],
        sources: &[SourceState],
        change: &Change<'_>,
    ) {
        self.lasting = old.lasting;
        change.carry(&mut self.ledger, old.ledger, old_sources, sources);
        if change.same_condition(&old.condition, &self.condition) {
            self.tracked.adopt(old.tracked);
        }
    }

    pub(super) fn restart(&mut self, at: Moment) {
        if self.lasting {
            return;
        }
        self.ledger.restart(at);
        self.tracked.restart();
    }

    pub(super) fn judge(
        &mut self,
        policy: &Policy,
        now: Moment,
        unix_ms: Option<i64>,
        sources: &[SourceState],
        before: &BTreeMap<String, Baseline>,
    ) {
        self.ledger.read(now, unix_ms, sources);
        let rules = Rules {
            measure: Measure {
                hold: self.condition.hold,
                interval: policy.interval,
                max_gap: self.max_gap,
                coverage: COVERAGE,
            },
            burden: None,
            clear_for: Duration::ZERO,
            blind_after: Duration::MAX,
        };
        let bench = Bench {
            now,
            ledger: &self.ledger,
            sources,
            before,
        };
        self.tracked.judge(&self.condition, &rules, &bench, |_| ());
    }
}

/// SPEC 3's default: a fifth of the hold, at least 4 intervals of the slowest
/// source and 15 s.
fn max_gap(policy: &Policy, condition: &Condition) -> Duration {
    let mut slowest = policy.interval;
    each(&condition.expr, &mut |test| {
        let source = match test {
            Test::Compare { signal, .. } => policy.signals.get(signal).map(|s| &s.source),
            Test::Source { source, .. } => Some(source),
        };
        if let Some(source) = source.and_then(|name| policy.sources.get(name)) {
            slowest = slowest.max(source.interval);
        }
    });
    (condition.hold.span() / 5)
        .max(slowest.saturating_mul(4))
        .max(Duration::from_secs(15))
}
