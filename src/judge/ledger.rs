//! The evidence of a set of conditions: their lines, and whether their sources
//! are up, all counted from one moment.
//!
//! The triggers share one ledger, which a change of release starts anew. A
//! condition that verifies a rollback has one of its own, because it may only
//! use what came after the last step.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::signal::Line;
use super::source::{SourceState, Streak, Taken};
use crate::model::{Moment, Outcome, Policy};

/// Lines and streaks since a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// Samples stamped at or before this are no evidence; nor are counts that
    /// began before it.
    from: Option<Moment>,
    lines: Vec<Line>,
    /// One for each source.
    streaks: Vec<Streak>,
}

impl Ledger {
    pub(super) fn new(sources: usize, from: Option<Moment>) -> Self {
        Self {
            from,
            lines: Vec::new(),
            streaks: vec![Streak::default(); sources],
        }
    }

    /// The line of a signal over a window, made where there is none yet. `None`
    /// when the policy has no such signal.
    pub(super) fn line(
        &mut self,
        policy: &Policy,
        sources: &mut [SourceState],
        signal: &str,
        span: Duration,
        reads: bool,
    ) -> Option<usize> {
        let same = |line: &Line| line.span == span && line.signal == signal;
        if let Some(i) = self.lines.iter().position(same) {
            self.lines[i].reads |= reads;
            return Some(i);
        }
        let line = Line::new(policy, sources, signal, span, reads)?;
        self.lines.push(line);
        Some(self.lines.len() - 1)
    }

    /// There are all lines that there will be.
    pub(super) fn fit(&mut self) {
        self.lines.shrink_to_fit();
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(super) fn streak(&self, source: usize) -> &Streak {
        &self.streaks[source]
    }

    pub(super) const fn from(&self) -> Option<Moment> {
        self.from
    }

    /// Takes a sample of a source whose pages have it already.
    pub(super) fn take(
        &mut self,
        source: usize,
        state: &SourceState,
        at: Moment,
        outcome: &Outcome,
        taken: Taken,
    ) {
        if self.from.is_some_and(|from| at <= from) {
            return;
        }
        self.streaks[source].take(at, outcome);
        for line in self.lines.iter_mut().filter(|l| l.source == source) {
            line.take(at, taken, &state.page, self.from);
        }
    }

    /// Reads every line at a tick. `unix_ms` is the wall clock's time, `None`
    /// when it has just been set.
    pub(super) fn read(&mut self, now: Moment, unix_ms: Option<i64>, sources: &[SourceState]) {
        for line in &mut self.lines {
            line.evict(now);
            if line.reads {
                line.said = Some(line.read(now, unix_ms, &sources[line.source], self.from));
            }
        }
    }

    /// Forgets all evidence of the time up to `at`, which is all there is.
    pub(super) fn restart(&mut self, at: Moment) {
        self.from = self.from.max(Some(at));
        self.streaks.fill(Streak::default());
        for line in &mut self.lines {
            line.clear();
        }
    }

    /// Takes over what `old` gathered, for the signals and sources that are the
    /// `same` under both policies.
    pub(super) fn adopt(
        &mut self,
        old: Self,
        old_sources: &[String],
        sources: &[SourceState],
        same_signal: impl Fn(&str) -> bool,
        same_source: impl Fn(&str) -> bool,
    ) {
        self.from = old.from;
        for (streak, source) in self.streaks.iter_mut().zip(sources) {
            let known = old_sources.iter().position(|name| *name == source.name);
            if let Some(i) = known.filter(|_| same_source(&source.name)) {
                *streak = old.streaks[i];
            }
        }
        for mut known in old.lines {
            let same = |line: &&mut Line| line.span == known.span && line.signal == known.signal;
            if same_signal(&known.signal)
                && let Some(line) = self.lines.iter_mut().find(same)
            {
                known.said.take_if(|_| !line.reads);
                line.adopt(known);
            }
        }
    }
}
