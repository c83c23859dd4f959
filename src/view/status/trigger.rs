//! One row of the decision matrix: what its tests see, how far its hold is, and
//! what to know about it now.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::source::health;
use super::{Desk, ShadowStatus, TEXT, number, rounded};
use crate::judge::{Judgement, SourceHealth};
use crate::model::{Finding, Hold, NoReading, Response, Trigger, Unit, Verdict, millis};
use crate::view::notice::{mode, pair};
use crate::view::{note, value};

/// One row of the decision matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerStatus {
    /// Its name.
    pub trigger: String,
    /// `clear`, `suspecting`, `fired` or `blind`.
    pub state: String,
    /// At the last tick: `clear`, `breach` or `blind`.
    pub verdict: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// `rollback`, `approve` or `alert`.
    pub response: String,
    /// `shadow` or `enforce`.
    pub mode: String,
    /// Its condition as the policy has it.
    pub condition: String,
    /// The test that decides, with what it sees.
    pub finding: Option<FindingStatus>,
    /// Every test, in the condition's order.
    pub findings: Vec<FindingStatus>,
    /// Since when it has been breached.
    pub since: Option<String>,
    /// How far the hold is: `4m10s of 15m`; absent without a hold.
    pub hold: Option<String>,
    /// How far the hold is, in milliseconds.
    pub held_ms: u64,
    /// How much it needs, in milliseconds.
    pub hold_ms: u64,
    /// The share of judged ticks in the hold's length, 0 to 1.
    pub coverage: f64,
    /// The share that it needs.
    pub coverage_needed: f64,
    /// Whether the counts prove the breach, as far as they have to.
    pub proven: bool,
    /// The proof in words, where there is one to give.
    pub proof: Option<String>,
    /// Since when it cannot judge.
    pub blind_since: Option<String>,
    /// It cannot judge, and only for want of traffic.
    #[serde(default)]
    pub quiet: bool,
    /// When it fired.
    pub fired: Option<String>,
    /// Fired and dealt with: it opens no new incident until it is resolved.
    pub dealt_with: bool,
    /// What it would have done; null for one that enforces.
    #[serde(default)]
    pub shadow: Option<ShadowStatus>,
    /// What to know about it now, in a sentence.
    pub why: String,
}

impl TriggerStatus {
    pub(super) fn new(desk: &Desk<'_>, trigger: &Trigger, judgement: &Judgement) -> Self {
        let findings: Vec<FindingStatus> = judgement
            .findings
            .iter()
            .map(|f| FindingStatus::new(desk, f))
            .collect();
        let decides = deciding(judgement).filter(|_| !is_stale(judgement));
        let finding = decides.and_then(|i| findings.get(i).cloned());
        let proof = decides
            .map(|i| &judgement.findings[i])
            .filter(|_| judgement.verdict.is_breach())
            .and_then(|f| Some(value::proof(f.proof.as_ref()?, f.unit)));
        let dealt_with = desk.service.spent.contains(&trigger.name);
        let hold_ms = millis(match trigger.when.hold {
            Hold::None => Duration::ZERO,
            Hold::For(d) | Hold::ForOf(d, _) => d,
        });
        let mut status = Self {
            trigger: trigger.name.clone(),
            state: state(judgement).into(),
            verdict: verdict(&judgement.verdict).into(),
            severity: trigger.severity.name().into(),
            response: Response::name(&trigger.response).into(),
            mode: mode(trigger.mode).into(),
            condition: trigger.when.text.clone(),
            finding,
            findings,
            since: judgement.since.map(|s| desk.time(s)),
            hold: hold(trigger.when.hold, judgement.held_ms),
            held_ms: judgement.held_ms,
            hold_ms,
            coverage: judgement.coverage,
            coverage_needed: trigger.coverage,
            proven: judgement.proven,
            proof,
            blind_since: judgement.blind_since.map(|s| desk.time(s)),
            quiet: match &judgement.verdict {
                Verdict::Blind { why, .. } => why.is_quiet(),
                Verdict::Clear | Verdict::Breach => false,
            },
            fired: judgement.fired.map(|f| desk.time(f)),
            dealt_with,
            shadow: ShadowStatus::new(desk, trigger),
            why: String::new(),
        };
        status.why = why(desk, trigger, judgement, &status);
        status
    }
}

/// One test of a condition as it stood at the last tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingStatus {
    /// The test as the policy has it.
    pub test: String,
    /// The signal or source.
    pub subject: String,
    /// `clear`, `breach` or `blind`.
    pub verdict: String,
    /// The value with its unit; `up` or `down` for a source.
    pub value: Option<String>,
    /// The limit with its unit.
    pub limit: Option<String>,
    /// The value in its base unit.
    pub value_number: Option<f64>,
    /// The limit in its base unit.
    pub limit_number: Option<f64>,
    /// What the value rests on.
    pub evidence: Option<String>,
    /// What the limit is a multiple of: `2x baseline 1% (12 of 1,200 events of
    /// v41)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Why it cannot be judged.
    pub blind: Option<String>,
}

impl FindingStatus {
    fn new(desk: &Desk<'_>, finding: &Finding) -> Self {
        let is_source = desk.service.policy.sources.contains_key(&finding.subject)
            && finding.limit.is_none()
            && finding.window_ms == 0;
        let (mut said, limit) = pair(finding.value, finding.limit, finding.unit);
        if is_source && said.is_none() {
            let state = desk.service.judge.source_up(&finding.subject);
            said = match state {
                SourceHealth::Up | SourceHealth::Down => Some(health(state).into()),
                SourceHealth::Undecided { .. } | SourceHealth::Own => None,
            };
        }
        Self {
            test: finding.test.clone(),
            subject: finding.subject.clone(),
            verdict: verdict(&finding.verdict).into(),
            value: said,
            limit,
            value_number: finding.value.map(number),
            limit_number: finding.limit,
            evidence: finding.evidence.as_ref().map(|e| {
                let told = desk.service.told_of(&finding.subject);
                if finding.unit == Unit::Flag {
                    // Nobody has said anything of a flag that was never set.
                    return told.map_or_else(|| "not set by anybody".to_owned(), note::said);
                }
                if finding.window_ms > 0 {
                    let window = Duration::from_millis(finding.window_ms);
                    format!("{} in {}", value::evidence(e), value::span(window))
                } else {
                    value::evidence(e)
                }
            }),
            baseline: finding.baseline.as_ref().map(|b| {
                let said = value::baseline(b, finding.unit);
                format!("{} baseline {said}", value::fold(b.factor))
            }),
            blind: match &finding.verdict {
                Verdict::Blind { why, .. } => Some(value::one_line(&why.to_string(), TEXT)),
                Verdict::Clear | Verdict::Breach => None,
            },
        }
    }
}

/// A trigger in a word.
pub(super) fn state(judgement: &Judgement) -> &'static str {
    match (&judgement.verdict, judgement.fired) {
        (_, Some(_)) => "fired",
        _ if is_stale(judgement) => "blind",
        (Verdict::Breach, None) => "suspecting",
        (Verdict::Clear, None) => "clear",
        (Verdict::Blind { .. }, None) => "blind",
    }
}

/// Whether nothing has been judged since evidence started anew: an earlier
/// verdict says nothing about the release that runs now.
fn is_stale(judgement: &Judgement) -> bool {
    let unseen = match &judgement.verdict {
        Verdict::Clear | Verdict::Breach => true,
        Verdict::Blind { why, .. } => *why == NoReading::NotSampled(None),
    };
    unseen && judgement.last_judged.is_none() && judgement.fired.is_none()
}

/// The test that decides: the first that has the condition's own verdict, else
/// the first that breaches, else the first.
fn deciding(judgement: &Judgement) -> Option<usize> {
    let find = |wanted: &dyn Fn(&Finding) -> bool| judgement.findings.iter().position(wanted);
    find(&|f| f.verdict == judgement.verdict)
        .or_else(|| find(&|f| f.verdict.is_breach()))
        .or_else(|| (!judgement.findings.is_empty()).then_some(0))
}

/// What to know about a trigger now.
fn why(
    desk: &Desk<'_>,
    trigger: &Trigger,
    judgement: &Judgement,
    status: &TriggerStatus,
) -> String {
    if is_stale(judgement) {
        return "evidence starts anew".into();
    }
    let mut parts = Vec::new();
    if let Some(fired) = judgement.fired {
        parts.push(format!("fired {} ago", desk.ago(fired)));
        if status.dealt_with {
            parts.push("dealt with until it is resolved".into());
        }
        if let Some(clear) = judgement.clear_since {
            parts.push(format!(
                "clear for {} of {}",
                desk.ago(clear),
                value::span(trigger.clear_for)
            ));
        }
    }
    if let Verdict::Blind { why, .. } = &judgement.verdict {
        let since = judgement
            .blind_since
            .map_or_else(String::new, |s| format!(" for {}", desk.ago(s)));
        parts.push(format!("cannot judge{since}: {why}"));
    }
    if judgement.verdict.is_breach() && judgement.fired.is_none() {
        let thin = judgement.coverage + 1e-9 < trigger.coverage;
        let long = status.hold_ms > 0 && status.held_ms >= status.hold_ms;
        if thin && long {
            parts.push(format!(
                "too few ticks are judged: {} of {} needed",
                value::number(judgement.coverage, Unit::Ratio),
                value::number(trigger.coverage, Unit::Ratio)
            ));
        }
        parts.extend(status.proof.clone());
    } else if !matches!(judgement.verdict, Verdict::Blind { .. }) {
        let finding = status.finding.as_ref();
        parts.extend(finding.and_then(|f| f.evidence.clone()));
        parts.extend(finding.and_then(|f| f.baseline.clone()));
    }
    parts.join("; ")
}

/// `4m10s of 15m`; `3m of 5m in 15m`.
pub(super) fn hold(hold: Hold, held_ms: u64) -> Option<String> {
    let so_far = rounded(Duration::from_millis(held_ms));
    match hold {
        Hold::None => None,
        Hold::For(d) => Some(format!("{so_far} of {}", value::span(d))),
        Hold::ForOf(x, y) => Some(format!(
            "{so_far} of {} in {}",
            value::span(x),
            value::span(y)
        )),
    }
}

const fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Clear => "clear",
        Verdict::Breach => "breach",
        Verdict::Blind { .. } => "blind",
    }
}
