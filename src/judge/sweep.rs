//! Choices of limit, window and hold, tried beside each other on the same
//! readings: what `tune` counts.
//!
//! Each choice is a trigger as the policy could have it. Those with the same
//! tests share a row: the tests are judged once a tick, by the code that judges
//! a trigger's, and each hold is moved by the code that moves a trigger's. Only
//! what nobody can see is spared: a hold takes the ticks of a quiet stretch when
//! the stretch ends, none while it stands as fired and is breached on, and a
//! breach is proven when its whole hold is met.

use std::time::Duration;

use super::change::untexted;
use super::condition::{Bench, Tests};
use super::course::{Course, Heard};
use super::hold::Holding;
use super::ledger::Ledger;
use super::source::SourceState;
use super::trigger::{Rules, TurnKind};
use crate::model::{Condition, Expr, Finding, Moment, Policy, Trigger, Verdict};

/// A time for which a choice stood as fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    /// The first breach tick of the stretch that fired.
    pub since: Moment,
    /// When it fired.
    pub at: Moment,
    /// When it was resolved, or taken back because another release ran; `None`
    /// while it stands.
    pub until: Option<Moment>,
}

/// What became of a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// In the order of time.
    pub fires: Vec<Fire>,
    /// Ticks judged, and how many of them were a breach or blind.
    pub ticks: u64,
    /// Ticks in breach.
    pub breaches: u64,
    /// Ticks at which it could not judge.
    pub blind: u64,
}

/// Choices and how each stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sweep {
    rows: Vec<Row>,
    /// By choice: its row, and its place there.
    places: Vec<(usize, usize)>,
}

/// Choices with the same tests.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// Without how it was spelled.
    expr: Expr,
    condition: Condition,
    tests: Tests,
    findings: Vec<Finding>,
    cells: Vec<Cell>,
    /// The clear ticks of now: the first, and how many, an interval from each
    /// other.
    quiet: Option<(Moment, u32)>,
    interval: Duration,
    /// Cells that do not rest.
    awake: usize,
    ticks: u64,
    breaches: u64,
    blind: u64,
}

/// One choice.
#[derive(Clone, Debug, PartialEq)]
struct Cell {
    rules: Rules,
    /// Wired to the counts of its whole hold.
    tests: Tests,
    holding: Holding,
    fired: Option<Moment>,
    clear_since: Option<Moment>,
    /// Neither suspecting nor fired: clear ticks change nothing but the ticks
    /// that its hold has seen.
    rests: bool,
    /// Ticks of the quiet stretch that the hold has seen.
    seen: u32,
    fires: Vec<Fire>,
}

impl Sweep {
    pub(super) fn new(
        choices: &[Trigger],
        policy: &Policy,
        sources: &mut [SourceState],
        ledger: &mut Ledger,
    ) -> Self {
        let mut sweep = Self::default();
        for choice in choices {
            let expr = untexted(&choice.when.expr);
            let known = sweep.rows.iter().position(|row| row.expr == expr);
            let row = known.unwrap_or_else(|| {
                let (tests, findings) = Tests::new(&choice.when, false, policy, sources, ledger);
                sweep.rows.push(Row {
                    expr,
                    condition: choice.when.clone(),
                    tests,
                    findings,
                    cells: Vec::new(),
                    quiet: None,
                    interval: policy.interval,
                    awake: 0,
                    ticks: 0,
                    breaches: 0,
                    blind: 0,
                });
                sweep.rows.len() - 1
            });
            let (tests, _) = Tests::new(&choice.when, true, policy, sources, ledger);
            let cells = &mut sweep.rows[row].cells;
            sweep.places.push((row, cells.len()));
            cells.push(Cell {
                rules: Rules::of(choice, policy.interval),
                tests,
                holding: Holding::default(),
                fired: None,
                clear_since: None,
                rests: true,
                seen: 0,
                fires: Vec::new(),
            });
        }
        sweep
    }

    /// Judges a tick, later than all before.
    pub(super) fn judge(&mut self, bench: &Bench<'_>) {
        for row in &mut self.rows {
            row.judge(bench);
        }
    }

    /// Starts every hold anew, and takes back what fired.
    pub(super) fn restart(&mut self, at: Moment) {
        for row in &mut self.rows {
            row.quiet = None;
            row.awake = 0;
            for cell in &mut row.cells {
                cell.restart(at);
            }
        }
    }

    pub(super) fn swept(&self) -> impl Iterator<Item = Swept> {
        self.places.iter().map(|&(row, cell)| {
            let row = &self.rows[row];
            Swept {
                fires: row.cells[cell].fires.clone(),
                ticks: row.ticks,
                breaches: row.breaches,
                blind: row.blind,
            }
        })
    }
}

impl Row {
    fn judge(&mut self, bench: &Bench<'_>) {
        let now = bench.now;
        let (verdict, _) = self
            .tests
            .judge(&self.condition, &mut self.findings, None, bench);
        self.ticks += 1;
        match verdict {
            // Nothing that a hold keeps changes.
            Verdict::Blind { .. } => self.blind += 1,
            Verdict::Clear => {
                self.rest(now);
                if self.awake > 0 {
                    self.wake(Heard::Clear, bench);
                }
            }
            Verdict::Breach => {
                self.breaches += 1;
                self.end_quiet();
                self.wake(Heard::Breach, bench);
            }
        }
    }

    /// Another clear tick.
    fn rest(&mut self, now: Moment) {
        match &mut self.quiet {
            Some((first, ticks)) if *first + self.interval.saturating_mul(*ticks) == now => {
                *ticks += 1;
            }
            _ => {
                self.end_quiet();
                self.quiet = Some((now, 1));
            }
        }
    }

    /// Tells the holds that rest of the clear ticks that they have not seen.
    fn end_quiet(&mut self) {
        let Some((first, ticks)) = self.quiet.take() else {
            return;
        };
        for cell in &mut self.cells {
            let seen = std::mem::take(&mut cell.seen);
            let first = first + self.interval.saturating_mul(seen);
            cell.holding
                .rested(first, ticks.saturating_sub(seen), &cell.rules.measure);
        }
    }

    /// Moves the cells that a tick concerns: all at a breach, else those that do
    /// not rest.
    fn wake(&mut self, heard: Heard, bench: &Bench<'_>) {
        let Self {
            cells,
            condition,
            findings,
            quiet,
            awake,
            ..
        } = self;
        let seen = quiet.map_or(0, |(_, ticks)| ticks);
        for cell in cells {
            if cell.rests && heard == Heard::Clear {
                continue;
            }
            *awake -= usize::from(!cell.rests);
            cell.take(heard, condition, findings, bench);
            cell.seen = seen;
            *awake += usize::from(!cell.rests);
        }
    }
}

impl Cell {
    fn take(
        &mut self,
        heard: Heard,
        condition: &Condition,
        findings: &mut [Finding],
        bench: &Bench<'_>,
    ) {
        let now = bench.now;
        if self.fired.is_some() && heard == Heard::Breach {
            // It only says that it is not clear: what the hold has seen is
            // forgotten when it is resolved.
            self.clear_since = None;
            self.holding.stands(now);
            return;
        }
        let Rules {
            measure, clear_for, ..
        } = self.rules;
        let course = Course {
            holding: &mut self.holding,
            fired: &mut self.fired,
            clear_since: &mut self.clear_since,
        };
        let burden = self.rules.burden;
        let proven = || self.tests.judge(condition, findings, burden, bench).1;
        let mut turned = None;
        course.take(now, heard, &measure, clear_for, proven, |turn| {
            turned = Some(turn);
        });
        match (turned, self.fires.last_mut()) {
            (Some(TurnKind::Fired), _) => self.fires.push(Fire {
                since: self.holding.since().unwrap_or(now),
                at: now,
                until: None,
            }),
            (Some(TurnKind::Resolved), Some(fire)) => fire.until = Some(now),
            _ => {}
        }
        self.rests = self.fired.is_none() && self.holding.since().is_none();
    }

    fn restart(&mut self, at: Moment) {
        if self.fired.take().is_some()
            && let Some(fire) = self.fires.last_mut()
        {
            fire.until = Some(at);
        }
        self.holding = Holding::default();
        self.clear_since = None;
        self.rests = true;
        self.seen = 0;
    }
}
