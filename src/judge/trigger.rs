//! One condition, followed from tick to tick: suspecting, fired, resolved,
//! blind. SPEC 3, *The hold*.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::condition::{Bench, Burden, Tests, unhear};
use super::course::{Course, Heard};
use super::hold::{Holding, Measure};
use crate::model::{Condition, Finding, Moment, NoReading, Trigger, Verdict, millis};

/// Something that changed about a trigger at a tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The trigger's name.
    pub trigger: String,
    /// What changed.
    pub what: TurnKind,
}

/// What can change about a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnKind {
    /// The first breach tick of a stretch, while it has not fired. Comes again
    /// when a gap starts the hold anew.
    Suspecting,
    /// The whole hold was met, and proven.
    Fired,
    /// Was suspecting, had not fired, and is clear.
    Cleared,
    /// Had fired and has been clear for `clear_for`.
    Resolved,
    /// Blind for longer than `blind_after`. Once until it sees again.
    Blind,
    /// Sees again, after [`TurnKind::Blind`].
    SeesAgain,
}

/// How a condition stands: what status, gates and notices show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The condition's verdict at the last tick; blind before the first.
    pub verdict: Verdict,
    /// Every test of the condition, in its order.
    pub findings: Vec<Finding>,
    /// The first breach tick after the last clear one, or after a gap. Stays
    /// through blind ticks, ends with a clear one, also while fired.
    pub since: Option<Moment>,
    /// How far the hold is, in milliseconds: the time since `since`, or the
    /// breach ticks' time for a hold of the form *X of Y*.
    pub held_ms: u64,
    /// Judged ticks in the hold's length up to now; 1 without a hold.
    pub judged_ticks: u32,
    /// Ticks that the hold's length has; 1 without a hold.
    pub expected_ticks: u32,
    /// The share of judged ticks, 0 to 1.
    pub coverage: f64,
    /// Whether this tick is a breach that the counts prove, as far as they
    /// have to.
    pub proven: bool,
    /// Whether the whole hold, its coverage and its proof are met at this very
    /// tick.
    pub hold_met: bool,
    /// When it fired; `None` when it has not, or was resolved.
    pub fired: Option<Moment>,
    /// The first clear tick after the last breach, or after a gap.
    pub clear_since: Option<Moment>,
    /// The first tick of the blindness that lasts.
    pub blind_since: Option<Moment>,
    /// Whether [`TurnKind::Blind`] was said of it.
    pub blind_told: bool,
    /// The last tick that was a breach or clear.
    pub last_judged: Option<Moment>,
    /// Time in breach, ever: breach ticks times the interval.
    pub breach_ms: u64,
    /// Time blind, ever.
    pub blind_ms: u64,
    /// How often it fired, ever.
    pub fired_count: u64,
}

impl Judgement {
    fn new(findings: Vec<Finding>) -> Self {
        Self {
            verdict: unjudged(&findings),
            findings,
            since: None,
            held_ms: 0,
            judged_ticks: 0,
            expected_ticks: 0,
            coverage: 0.0,
            proven: false,
            hold_met: false,
            fired: None,
            clear_since: None,
            blind_since: None,
            blind_told: false,
            last_judged: None,
            breach_ms: 0,
            blind_ms: 0,
            fired_count: 0,
        }
    }
}

/// The verdict before the first tick: that of the first test.
fn unjudged(findings: &[Finding]) -> Verdict {
    findings.first().map_or_else(
        || Verdict::Blind {
            subject: String::new(),
            why: NoReading::NotSampled(None),
        },
        |first| first.verdict.clone(),
    )
}

/// By what a condition is followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rules {
    pub(super) measure: Measure,
    /// `None` where nothing has to be proven.
    pub(super) burden: Option<Burden>,
    pub(super) clear_for: Duration,
    pub(super) blind_after: Duration,
}

impl Rules {
    /// A trigger's.
    pub(super) const fn of(trigger: &Trigger, interval: Duration) -> Self {
        Self {
            measure: Measure {
                hold: trigger.when.hold,
                interval,
                max_gap: trigger.max_gap,
                coverage: trigger.coverage,
            },
            burden: Some(Burden {
                min_events: trigger.min_events,
                confidence: trigger.confidence,
            }),
            clear_for: trigger.clear_for,
            blind_after: trigger.blind_after,
        }
    }
}

/// A condition and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tracked {
    pub(super) name: String,
    tests: Tests,
    holding: Holding,
    pub(super) judgement: Judgement,
    /// Since when it has been blind for a reason that somebody should hear of.
    unable_since: Option<Moment>,
}

impl Tracked {
    pub(super) fn new(name: &str, (tests, findings): (Tests, Vec<Finding>)) -> Self {
        Self {
            name: name.to_owned(),
            tests,
            holding: Holding::default(),
            judgement: Judgement::new(findings),
            unable_since: None,
        }
    }

    /// Takes over how `old`, the same condition under another policy, stands.
    pub(super) fn adopt(&mut self, old: Self) {
        let texts = std::mem::take(&mut self.judgement.findings);
        self.holding = old.holding;
        self.judgement = old.judgement;
        self.unable_since = old.unable_since;
        for (finding, new) in self.judgement.findings.iter_mut().zip(texts) {
            finding.test = new.test;
        }
    }

    /// Starts the hold anew, and takes back what it said and that it fired.
    /// How long it has been blind, and the totals, stay.
    pub(super) fn restart(&mut self) {
        self.holding = Holding::default();
        let j = &mut self.judgement;
        j.findings.iter_mut().for_each(unhear);
        j.verdict = unjudged(&j.findings);
        j.since = None;
        j.held_ms = 0;
        j.judged_ticks = 0;
        j.coverage = 0.0;
        j.proven = false;
        j.hold_met = false;
        j.fired = None;
        j.clear_since = None;
        j.last_judged = None;
    }

    /// Judges a tick, later than all before.
    pub(super) fn judge(
        &mut self,
        condition: &Condition,
        rules: &Rules,
        bench: &Bench<'_>,
        mut turn: impl FnMut(TurnKind),
    ) {
        let now = bench.now;
        let j = &mut self.judgement;
        let interval_ms = millis(rules.measure.interval);
        (j.verdict, j.proven) = self
            .tests
            .judge(condition, &mut j.findings, rules.burden, bench);
        let sees = match &j.verdict {
            Verdict::Blind { why, .. } => {
                j.blind_ms = j.blind_ms.saturating_add(interval_ms);
                j.blind_since.get_or_insert(now);
                why.is_quiet()
            }
            Verdict::Breach | Verdict::Clear => {
                j.blind_since = None;
                true
            }
        };
        if sees {
            self.unable_since = None;
            if std::mem::take(&mut j.blind_told) {
                turn(TurnKind::SeesAgain);
            }
        } else {
            let since = *self.unable_since.get_or_insert(now);
            if now.since(since) > rules.blind_after && !j.blind_told {
                j.blind_told = true;
                turn(TurnKind::Blind);
            }
        }
        let heard = match j.verdict {
            Verdict::Blind { .. } => Heard::Blind,
            Verdict::Breach => {
                j.breach_ms = j.breach_ms.saturating_add(interval_ms);
                Heard::Breach
            }
            Verdict::Clear => Heard::Clear,
        };
        if heard != Heard::Blind {
            j.last_judged = Some(now);
        }
        let course = Course {
            holding: &mut self.holding,
            fired: &mut j.fired,
            clear_since: &mut j.clear_since,
        };
        let (proven, fired_count) = (j.proven, &mut j.fired_count);
        let turn = |what| {
            *fired_count = fired_count.saturating_add(u64::from(what == TurnKind::Fired));
            turn(what);
        };
        let clear_for = rules.clear_for;
        let (progress, met) = course.take(now, heard, &rules.measure, clear_for, || proven, turn);
        j.since = self.holding.since();
        j.held_ms = millis(progress.held);
        j.judged_ticks = progress.judged;
        j.expected_ticks = progress.expected;
        j.coverage = (f64::from(progress.judged) / f64::from(progress.expected.max(1))).min(1.0);
        j.hold_met = met;
    }
}
