//! What differs between two policies of a service, as far as evidence goes:
//! what was gathered under the one counts under the other, or is forgotten.

use super::condition;
use super::ledger::Ledger;
use super::source::SourceState;
use crate::model::{Condition, Expr, Policy, Test};

/// Whether nothing that decides when a trigger fires differs between two
/// policies: its evidence under the one is evidence under the other.
#[must_use]
pub fn same_trigger(old: &Policy, new: &Policy, name: &str) -> bool {
    Change { old, new }.same_trigger(name)
}

/// What differs between two policies, as far as evidence goes.
pub(super) struct Change<'a> {
    pub(super) old: &'a Policy,
    pub(super) new: &'a Policy,
}

impl<'a> Change<'a> {
    /// Timeouts do not change what a sample says; everything else does.
    pub(super) fn same_source(&self, name: &str) -> bool {
        match (self.old.sources.get(name), self.new.sources.get(name)) {
            (Some(a), Some(b)) => {
                a.kind.says_the_same(&b.kind)
                    && a.interval == b.interval
                    && a.fail_after == b.fail_after
                    && a.pass_after == b.pass_after
            }
            _ => false,
        }
    }

    pub(super) fn same_signal(&self, name: &str) -> bool {
        match (self.old.signals.get(name), self.new.signals.get(name)) {
            (Some(a), Some(b)) => a == b && self.same_source(&a.source),
            _ => false,
        }
    }

    pub(super) fn same_condition(&self, a: &Condition, b: &Condition) -> bool {
        let mut used = true;
        condition::each(&a.expr, &mut |test| {
            used &= match test {
                Test::Compare { signal, .. } => self.same_signal(signal),
                Test::Source { source, .. } => self.same_source(source),
            };
        });
        used && self.old.interval == self.new.interval
            && a.hold == b.hold
            && untexted(&a.expr) == untexted(&b.expr)
    }

    pub(super) fn same_trigger(&self, name: &str) -> bool {
        let find = |policy: &'a Policy| policy.triggers.iter().find(|t| t.name == name);
        match (find(self.old), find(self.new)) {
            (Some(a), Some(b)) => {
                self.same_condition(&a.when, &b.when)
                    && a.min_events == b.min_events
                    && a.confidence.to_bits() == b.confidence.to_bits()
                    && a.coverage.to_bits() == b.coverage.to_bits()
                    && a.max_gap == b.max_gap
            }
            _ => false,
        }
    }

    pub(super) fn carry(
        &self,
        ledger: &mut Ledger,
        old: Ledger,
        old_sources: &[SourceState],
        sources: &[SourceState],
    ) {
        let names: Vec<_> = old_sources.iter().map(|s| s.name.clone()).collect();
        ledger.adopt(
            old,
            &names,
            sources,
            |name| self.same_signal(name),
            |name| self.same_source(name),
        );
    }
}

/// The expression without how it was spelled: spaces are no change.
pub(super) fn untexted(expr: &Expr) -> Expr {
    match expr {
        Expr::Any(parts) => Expr::Any(parts.iter().map(untexted).collect()),
        Expr::All(parts) => Expr::All(parts.iter().map(untexted).collect()),
        Expr::Test(test) => {
            let mut test = test.clone();
            let (Test::Compare { text, .. } | Test::Source { text, .. }) = &mut test;
            text.clear();
            Expr::Test(test)
        }
    }
}
