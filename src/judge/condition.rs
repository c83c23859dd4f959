//! What a condition says at a tick: each test by itself, then *and* and *or*
//! in three values. SPEC 3, *Conditions* and *Proof*.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BASELINE;
use super::baseline::Baseline;
use super::ledger::Ledger;
use super::signal::{Line, Tally};
use super::source::SourceState;
use super::statistics::is_above;
use crate::model::{
    Condition, Expr, Finding, Limit, Moment, NoReading, Op, Policy, Proof, SignalKind, Test, Unit,
    Value, Verdict, millis,
};

/// What a test reads: places in the ledger, found once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Wire {
    /// A line, and the line of the whole hold's counts if it needs proof.
    Signal { line: usize, hold: Option<usize> },
    /// A source.
    Source(usize),
    /// Nothing of that name.
    Nothing,
}

/// What it takes to prove a breach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Burden {
    pub(super) min_events: u64,
    pub(super) confidence: f64,
}

/// A condition's tests, wired to a ledger, with what each found last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tests {
    wires: Vec<Wire>,
}

/// What tests are judged by at a tick.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) now: Moment,
    pub(super) ledger: &'a Ledger,
    pub(super) sources: &'a [SourceState],
    pub(super) before: &'a BTreeMap<String, Baseline>,
}

/// What a condition says; *blind* names the test that is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    Clear,
    Breach { proven: bool },
    Blind(usize),
}

impl Tests {
    /// Wires a condition's tests, with the findings that they will fill.
    /// `proof` is whether a breach has to be proven.
    pub(super) fn new(
        condition: &Condition,
        proof: bool,
        policy: &Policy,
        sources: &mut [SourceState],
        ledger: &mut Ledger,
    ) -> (Self, Vec<Finding>) {
        let mut tests = 0;
        each(&condition.expr, &mut |_| tests += 1);
        // Most conditions have one, and there may be thousands of triggers.
        let mut wires = Vec::with_capacity(tests);
        let mut findings = Vec::with_capacity(tests);
        each(&condition.expr, &mut |test| {
            let (wire, span, unit) = match test {
                Test::Compare {
                    signal, over, op, ..
                } => {
                    let rule = policy.signals.get(signal);
                    let span = over.or(rule.map(|r| r.window)).unwrap_or_default();
                    let mut line = |span, reads| ledger.line(policy, sources, signal, span, reads);
                    let read = line(span, true);
                    let whole = span.max(condition.hold.span());
                    let proves = proof
                        && matches!(op, Op::Greater | Op::GreaterOrEqual)
                        && rule.is_some_and(|r| needs_proof(&r.kind));
                    let hold = if proves { line(whole, false) } else { None };
                    let wire = read.map_or(Wire::Nothing, |line| Wire::Signal { line, hold });
                    let unit = rule.map_or(Unit::Plain, |r| r.unit);
                    // A flag is set or not, and looks back over nothing.
                    let span = if unit == Unit::Flag {
                        Duration::ZERO
                    } else {
                        span
                    };
                    (wire, span, unit)
                }
                Test::Source { source, .. } => {
                    let place = sources.iter().position(|s| s.name == *source);
                    let wire = place.map_or(Wire::Nothing, Wire::Source);
                    (wire, Duration::ZERO, Unit::Plain)
                }
            };
            wires.push(wire);
            findings.push(unheard(test, span, unit));
        });
        (Self { wires }, findings)
    }

    /// Judges every test and the condition. Returns its verdict, and whether a
    /// breach is proven as far as it has to be.
    pub(super) fn judge(
        &self,
        condition: &Condition,
        findings: &mut [Finding],
        burden: Option<Burden>,
        bench: &Bench<'_>,
    ) -> (Verdict, bool) {
        let mut i = 0;
        each(&condition.expr, &mut |test| {
            if let (Some(wire), Some(finding)) = (self.wires.get(i), findings.get_mut(i)) {
                hear(test, *wire, finding, burden, bench);
            }
            i += 1;
        });
        match combine(&condition.expr, findings, &mut 0) {
            Said::Clear => (Verdict::Clear, false),
            Said::Breach { proven } => (Verdict::Breach, proven),
            Said::Blind(i) => (findings[i].verdict.clone(), false),
        }
    }
}

/// Whether `>` and `>=` on a signal of this kind need proof.
const fn needs_proof(kind: &SignalKind) -> bool {
    match kind {
        SignalKind::Ratio { .. } | SignalKind::Histogram { .. } | SignalKind::Latency { .. } => {
            true
        }
        SignalKind::Rate(_)
        | SignalKind::Increase(_)
        | SignalKind::Value { .. }
        | SignalKind::Age { .. }
        | SignalKind::Query { .. }
        | SignalKind::Count(_)
        | SignalKind::Flag { .. } => false,
    }
}

/// Visits the tests of a condition in the order in which they are written.
pub(super) fn each(expr: &Expr, visit: &mut impl FnMut(&Test)) {
    match expr {
        Expr::Any(parts) | Expr::All(parts) => parts.iter().for_each(|part| each(part, visit)),
        Expr::Test(test) => visit(test),
    }
}

/// Makes a finding say what it said before the first tick.
pub(super) fn unhear(finding: &mut Finding) {
    finding.value = None;
    finding.limit = None;
    finding.baseline = None;
    finding.evidence = None;
    finding.proof = None;
    finding.verdict = blind(&finding.subject, NoReading::NotSampled(None));
}

/// A finding before the first tick.
fn unheard(test: &Test, span: Duration, unit: Unit) -> Finding {
    let subject = match test {
        Test::Compare { signal, .. } => signal,
        Test::Source { source, .. } => source,
    };
    Finding {
        test: test.text().to_owned(),
        subject: subject.clone(),
        value: None,
        unit,
        limit: None,
        baseline: None,
        window_ms: millis(span),
        evidence: None,
        verdict: blind(subject, NoReading::NotSampled(None)),
        proof: None,
    }
}

fn blind(subject: &str, why: NoReading) -> Verdict {
    Verdict::Blind {
        subject: subject.to_owned(),
        why,
    }
}

const fn verdict(breach: bool) -> Verdict {
    if breach {
        Verdict::Breach
    } else {
        Verdict::Clear
    }
}

/// Judges one test.
fn hear(test: &Test, wire: Wire, finding: &mut Finding, burden: Option<Burden>, bench: &Bench<'_>) {
    finding.proof = None;
    finding.value = None;
    finding.limit = None;
    finding.baseline = None;
    finding.evidence = None;
    finding.verdict = match (test, wire) {
        (Test::Compare { op, limit, .. }, Wire::Signal { line, hold }) => {
            let line = &bench.ledger.lines()[line];
            let burden = burden.zip(hold);
            let limit = limited(*limit, line, burden.map(|b| b.0), bench);
            if let Ok(limit) = &limit {
                finding.limit = Some(limit.at);
                finding.baseline = limit.before.map(|(b, factor)| {
                    let value = line.over_window(b.value, BASELINE);
                    b.shown(factor, value)
                });
            }
            match (&line.said, limit) {
                (Some(Ok(reading)), limit) => {
                    finding.value = Some(reading.value);
                    finding.evidence = Some(reading.evidence);
                    let compared = limit.and_then(|limit| {
                        let breach = compare(reading.value, *op, limit.at)?;
                        Ok((limit, breach))
                    });
                    match compared {
                        Ok((limit, breach)) => {
                            if let (true, Some((burden, hold))) = (breach, burden) {
                                finding.proof = Some(prove(hold, *op, limit, burden, bench));
                            }
                            verdict(breach)
                        }
                        Err(why) => blind(&line.signal, why),
                    }
                }
                (Some(Err(why)), _) => blind(&line.signal, why.clone()),
                (None, _) => blind(&line.signal, NoReading::NotSampled(None)),
            }
        }
        (Test::Source { up, .. }, Wire::Source(source)) => {
            let state = &bench.sources[source];
            match bench.ledger.streak(source).is_up(state, bench.now) {
                Ok(is_up) => verdict(is_up == *up),
                Err(why) => blind(&state.name, why),
            }
        }
        _ => blind(&finding.subject, NoReading::NotSampled(None)),
    };
}

/// A limit as a number, with the baseline that it is so many times of.
#[derive(Clone, Copy)]
struct Limited<'a> {
    at: f64,
    before: Option<(&'a Baseline, f64)>,
}

/// The limit of a test on a line, or why there is none.
fn limited<'a>(
    limit: Limit,
    line: &Line,
    burden: Option<Burden>,
    bench: &Bench<'a>,
) -> Result<Limited<'a>, NoReading> {
    match limit {
        Limit::Fixed(at) => Ok(Limited { at, before: None }),
        Limit::Baseline(factor) => {
            let baseline = bench.before.get(&line.signal);
            let baseline = baseline.ok_or(NoReading::NoBaseline)?;
            if let Some(why) = baseline.fault(burden) {
                return Err(why);
            }
            let at = factor * line.over_window(baseline.value, BASELINE);
            let before = Some((baseline, factor));
            // Of a number near the largest there is no multiple.
            at.is_finite()
                .then_some(Limited { at, before })
                .ok_or(NoReading::NoBaseline)
        }
    }
}

/// Whether the comparison is true; an error when the histogram cannot tell.
fn compare(value: Value, op: Op, limit: f64) -> Result<bool, NoReading> {
    match value {
        #[expect(clippy::float_cmp, reason = "`==` is what the policy asks for")]
        Value::Exactly(x) => Ok(match op {
            Op::Greater => x > limit,
            Op::GreaterOrEqual => x >= limit,
            Op::Less => x < limit,
            Op::LessOrEqual => x <= limit,
            Op::Equal => x == limit,
            Op::NotEqual => x != limit,
        }),
        Value::AboveTop(top) if limit <= top => Ok(matches!(
            op,
            Op::Greater | Op::GreaterOrEqual | Op::NotEqual
        )),
        Value::AboveTop(top) => Err(NoReading::AboveTop(top)),
    }
}

/// Proves a breach on the counts of the whole hold.
fn prove(hold: usize, op: Op, limit: Limited<'_>, burden: Burden, bench: &Bench<'_>) -> Proof {
    let line = &bench.ledger.lines()[hold];
    let page = &bench.sources[line.source].page;
    let Limited { at: limit, before } = limit;
    if let Some((baseline, factor)) = before
        && burden.confidence > 0.0
    {
        return baseline.prove(&line.counted(page), factor, limit, burden);
    }
    let nothing = Tally {
        hits: 0.0,
        events: 0.0,
        above: limit,
    };
    let tally = line.tally(limit, op == Op::GreaterOrEqual, page);
    let Tally {
        hits,
        events,
        above,
    } = tally.unwrap_or(nothing);
    let Burden {
        min_events,
        confidence,
    } = burden;
    Proof {
        hits,
        events,
        confidence,
        above,
        min_events,
        proven: events > 0.0
            && hits <= events
            && events >= min_events as f64
            && (confidence <= 0.0 || is_above(hits, events, confidence, above)),
        against: None,
    }
}

/// Kleene's three values: a side that is blind decides nothing, and what the
/// other sides decide without it stands.
fn combine(expr: &Expr, findings: &[Finding], next: &mut usize) -> Said {
    match expr {
        Expr::Test(_) => {
            let i = *next;
            *next += 1;
            match findings.get(i).map(|f| (&f.verdict, &f.proof)) {
                Some((Verdict::Breach, proof)) => Said::Breach {
                    proven: proof.is_none_or(|p| p.proven),
                },
                Some((Verdict::Clear, _)) | None => Said::Clear,
                Some((Verdict::Blind { .. }, _)) => Said::Blind(i),
            }
        }
        Expr::All(parts) => {
            let mut all = Said::Breach { proven: true };
            for part in parts {
                // Every part is visited: each has its place among the findings.
                all = match (all, combine(part, findings, next)) {
                    (Said::Clear, _) | (_, Said::Clear) => Said::Clear,
                    (Said::Blind(i), Said::Blind(j)) => Said::Blind(worse(findings, i, j)),
                    (Said::Blind(i), _) | (_, Said::Blind(i)) => Said::Blind(i),
                    (Said::Breach { proven: a }, Said::Breach { proven: b }) => {
                        Said::Breach { proven: a && b }
                    }
                };
            }
            all
        }
        Expr::Any(parts) => {
            let mut any = Said::Clear;
            for part in parts {
                any = match (any, combine(part, findings, next)) {
                    (Said::Breach { proven: a }, Said::Breach { proven: b }) => {
                        Said::Breach { proven: a || b }
                    }
                    (breach @ Said::Breach { .. }, _) | (_, breach @ Said::Breach { .. }) => breach,
                    (Said::Blind(i), Said::Blind(j)) => Said::Blind(worse(findings, i, j)),
                    (Said::Blind(i), _) | (_, Said::Blind(i)) => Said::Blind(i),
                    (Said::Clear, Said::Clear) => Said::Clear,
                };
            }
            any
        }
    }
}

/// Of two blind tests the one that somebody should hear of: a source that does
/// not answer is not excused by a signal that merely saw no traffic.
fn worse(findings: &[Finding], i: usize, j: usize) -> usize {
    let is_quiet =
        |i: usize| matches!(&findings[i].verdict, Verdict::Blind { why, .. } if why.is_quiet());
    if is_quiet(i) && !is_quiet(j) { j } else { i }
}
