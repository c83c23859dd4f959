//! What each trigger sees, how far into its hold it is, what blocks it, and
//! why: one shape for JSON, with stable names, that `status_text` renders for
//! terminals and the page for browsers.
//!
//! Durations are in words and, where a program may want to count, in
//! milliseconds beside them. What is absent is null.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notice::{mode, pair};
use super::value;
use crate::guard::{Gate, Phase, Run, Service, Snapshot, StepState};
use crate::judge::{Judgement, SourceHealth};
use crate::model::{
    Finding, Hold, Mode, Moment, NoReading, Plan, Release, Response, Trigger, Unit, Value, Verdict,
};

/// Longest text from outside, in characters.
const TEXT: usize = 400;

/// The state of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The latest moment that the agent's engine has seen.
    pub at: String,
    /// The host it runs on.
    pub host: String,
    /// The guarded services by name.
    pub services: Vec<ServiceStatus>,
    /// What the agent knows of itself, if it was told.
    pub agent: Option<AgentStatus>,
}

/// What the agent knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Its version.
    pub version: String,
    /// When it started.
    pub started: String,
    /// When it last read its policies.
    pub reloaded: String,
    /// Files that were refused then, each as rendered for people. Where a
    /// service is guarded by an older reading of such a file, that goes on.
    pub refused: Vec<String>,
    /// Steps that could not be done as things are, in words.
    pub preflight: Vec<String>,
    /// Why nothing is journaled, if so.
    pub journal_broken: Option<String>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub service: String,
    /// `shadow` or `enforce`.
    pub mode: String,
    /// Identifies the policy's content.
    pub policy: String,
    /// `watching`, `telling`, `held`, `asking`, `acting`, `verifying`,
    /// `cooling` or `escalated`.
    pub phase: String,
    /// The same in a sentence, with its times.
    pub doing: String,
    /// The last judged tick.
    pub last_tick: Option<String>,
    /// The open incident.
    pub incident: Option<IncidentBrief>,
    /// What keeps the incident from acting.
    pub held: Option<HeldStatus>,
    /// The question that people are asked.
    pub question: Option<QuestionStatus>,
    /// The plan that runs.
    pub run: Option<RunStatus>,
    /// The releases, where the policy has a rule or one was seen.
    pub release: Option<ReleaseStatus>,
    /// The freeze.
    pub freeze: Option<FreezeStatus>,
    /// Why the agent does not trust its own record.
    pub distrust: Option<String>,
    /// Cooldown and budget of each plan.
    pub plans: Vec<PlanStatus>,
    /// The decision matrix, in the policy's order.
    pub triggers: Vec<TriggerStatus>,
    /// The sources by name.
    pub sources: Vec<SourceStatus>,
    /// The signals by name.
    pub signals: Vec<SignalStatus>,
}

/// The open incident in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentBrief {
    /// Its number.
    pub number: u64,
    /// The trigger that leads it; absent for a person's order.
    pub trigger: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// `shadow` or `enforce`.
    pub mode: String,
    /// When it opened.
    pub opened: String,
    /// How long that is ago.
    pub lasting: String,
    /// Who said that they look after it.
    pub acknowledged_by: Option<String>,
    /// Other triggers that fired in it.
    pub joined: Vec<String>,
}

/// What keeps an incident from acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldStatus {
    /// The gate's name.
    pub gate: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Since when this gate has been the first that holds.
    pub since: String,
    /// How long that is.
    pub lasting: String,
}

/// A question to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionStatus {
    /// Until when it can be answered.
    pub deadline: String,
    /// How long that is.
    pub left: String,
    /// The roles that may answer; empty means anybody.
    pub roles: Vec<String>,
    /// How many must agree.
    pub quorum: u32,
    /// Who agreed so far.
    pub approvals: Vec<String>,
}

/// A plan that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStatus {
    /// The run's number.
    pub ticket: u64,
    /// The plan's name.
    pub plan: String,
    /// The step under way, from 1.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// The step's name.
    pub name: String,
    /// `ordered`, `started`, `waiting` or `checking`.
    pub state: String,
    /// The release that is left.
    pub from: Option<String>,
    /// The release that is gone to.
    pub to: Option<String>,
    /// When the whole run must be over.
    pub deadline: String,
    /// How long that is.
    pub left: String,
    /// Why it will not succeed, once that is so.
    pub broken: Option<String>,
}

/// The releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// The version that runs, once known.
    pub running: Option<String>,
    /// `good`, `bad` or `unproven`.
    pub standing: Option<String>,
    /// Since when it has been running.
    pub since: Option<String>,
    /// How long that is.
    pub lasting: Option<String>,
    /// The version that a rollback would go to.
    pub target: Option<String>,
    /// Why there is none.
    pub no_target: Option<String>,
    /// Good releases, the oldest first.
    pub good: Vec<String>,
    /// Bad releases, the oldest first.
    pub bad: Vec<String>,
}

/// A freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeStatus {
    /// Who holds it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// When it ends by itself.
    pub until: Option<String>,
    /// How long that is.
    pub left: Option<String>,
}

/// Cooldown and budget of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStatus {
    /// The plan's name.
    pub plan: String,
    /// What is left of the cooldown; null when it is over.
    pub cooldown_left: Option<String>,
    /// The same in milliseconds; 0 when it is over.
    pub cooldown_left_ms: u64,
    /// Runs of the budget's period.
    pub budget_used: u32,
    /// The most runs in that period.
    pub budget: u32,
    /// That period.
    pub budget_period: String,
}

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
    /// When it fired.
    pub fired: Option<String>,
    /// Fired and dealt with: it opens no new incident until it is resolved.
    pub dealt_with: bool,
    /// What to know about it now, in a sentence.
    pub why: String,
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
    /// Why it cannot be judged.
    pub blind: Option<String>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub source: String,
    /// Its type, as policies write it.
    pub kind: String,
    /// `up`, `down`, `undecided` or `own` (the agent's side is at fault).
    pub state: String,
    /// Why the last sample was not good.
    pub failure: Option<String>,
}

/// One signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalStatus {
    /// Its name.
    pub signal: String,
    /// Its value with its unit.
    pub value: Option<String>,
    /// Its value in its base unit.
    pub value_number: Option<f64>,
    /// What it rests on.
    pub evidence: Option<String>,
    /// Why it has no reading.
    pub no_reading: Option<String>,
    /// Its selector has never matched a series.
    pub never_matched: bool,
}

impl Status {
    /// The state of every service, or of the one named.
    #[must_use]
    pub fn new(snapshot: &Snapshot, only: Option<&str>, agent: Option<AgentStatus>) -> Self {
        let ahead = snapshot
            .services
            .values()
            .max_by_key(|s| s.last_tick)
            .map_or(0, |s| s.wall_ahead_ms);
        Self {
            at: value::time(snapshot.now, ahead),
            host: value::one_line(&snapshot.host, TEXT),
            services: snapshot
                .services
                .iter()
                .filter(|(name, _)| only.is_none_or(|only| only == name.as_str()))
                .map(|(_, service)| ServiceStatus::new(service, snapshot.now))
                .collect(),
            agent,
        }
    }
}

/// What every part of a service's status is made with.
struct Desk<'a> {
    service: &'a Service,
    now: Moment,
}

impl Desk<'_> {
    fn time(&self, at: Moment) -> String {
        value::time(at, self.service.wall_ahead_ms)
    }

    fn ago(&self, at: Moment) -> String {
        rounded(self.now.since(at))
    }

    fn left(&self, until: Moment) -> String {
        rounded(until.since(self.now))
    }
}

/// Whole seconds: a status is read by people.
fn rounded(d: Duration) -> String {
    let d = if d >= Duration::from_secs(1) {
        Duration::from_secs(d.as_secs())
    } else {
        d
    };
    value::span(d)
}

impl ServiceStatus {
    fn new(service: &Service, now: Moment) -> Self {
        let desk = Desk { service, now };
        let policy = &service.policy;
        Self {
            service: policy.service.clone(),
            mode: mode(policy.mode).into(),
            policy: service.policy_hash.clone(),
            phase: service.phase.name().into(),
            doing: doing(&desk),
            last_tick: service.last_tick.map(|t| desk.time(t)),
            incident: incident(&desk),
            held: held(&desk),
            question: question(&desk),
            run: match &service.phase {
                Phase::Acting(run) => Some(running(&desk, run)),
                _ => None,
            },
            release: release(&desk),
            freeze: freeze(&desk),
            distrust: service
                .distrust
                .as_ref()
                .map(|why| value::one_line(why, TEXT)),
            plans: policy
                .plans
                .iter()
                .map(|(name, plan)| plan_status(&desk, name, plan))
                .collect(),
            triggers: policy
                .triggers
                .iter()
                .filter_map(|trigger| {
                    let judgement = service.judge.trigger(&trigger.name)?;
                    Some(trigger_status(&desk, trigger, judgement))
                })
                .collect(),
            sources: policy
                .sources
                .iter()
                .map(|(name, source)| SourceStatus {
                    source: name.clone(),
                    kind: source.kind.name().into(),
                    state: health(service.judge.source_up(name)).into(),
                    failure: service
                        .judge
                        .last_gap(name)
                        .map(|gap| value::one_line(&gap.to_string(), TEXT)),
                })
                .collect(),
            signals: signals(service),
        }
    }
}

/// What the guard is doing, in a sentence.
fn doing(desk: &Desk<'_>) -> String {
    match &desk.service.phase {
        Phase::Watching => watching(desk),
        Phase::Telling => "telling: an incident is open, and nothing is to be decided".into(),
        Phase::Held => "held: a gate keeps the rollback back".into(),
        Phase::Asking(question) => format!(
            "asking: {} of {} agreed, {} left",
            question.approvals.len(),
            question.approve.quorum,
            desk.left(question.deadline)
        ),
        Phase::Acting(run) => {
            let run = running(desk, run);
            format!(
                "rolling back: step {} of {}, {} ({}), {} left",
                run.step, run.steps, run.name, run.state, run.left
            )
        }
        Phase::Verifying(v) => format!(
            "verifying for {}: {} left to show the cure",
            desk.ago(v.since),
            desk.left(v.deadline)
        ),
        Phase::Cooling { until } => format!(
            "cured: the incident closes after {} more of quiet",
            desk.left(*until)
        ),
        Phase::Escalated { quiet_since: None } => {
            "escalated: a person is needed, nothing more is done".into()
        }
        Phase::Escalated {
            quiet_since: Some(since),
        } => format!(
            "escalated: a person is needed; quiet for {}",
            desk.ago(*since)
        ),
    }
}

/// *Suspecting* is read off the triggers, and so is what cannot be judged.
fn watching(desk: &Desk<'_>) -> String {
    let triggers = || desk.service.policy.triggers.iter();
    let judged = |t: &Trigger| desk.service.judge.trigger(&t.name);
    let suspects: Vec<String> = triggers()
        .filter_map(|t| {
            let judgement = judged(t).filter(|j| state(j) == "suspecting")?;
            let held = hold(t.when.hold, judgement.held_ms);
            Some(held.map_or_else(|| t.name.clone(), |held| format!("{}, {held}", t.name)))
        })
        .collect();
    if !suspects.is_empty() {
        return format!("suspecting {}", suspects.join("; "));
    }
    let blind: Vec<&str> = triggers()
        .filter(|t| judged(t).is_some_and(|j| j.blind_told))
        .map(|t| t.name.as_str())
        .collect();
    if !blind.is_empty() {
        return format!("watching, but cannot judge {}", blind.join(", "));
    }
    "watching".into()
}

fn incident(desk: &Desk<'_>) -> Option<IncidentBrief> {
    let incident = desk.service.incident.as_ref()?;
    Some(IncidentBrief {
        number: incident.number,
        trigger: Some(incident.trigger.clone()).filter(|t| !t.is_empty()),
        severity: incident.severity.name().into(),
        mode: mode(incident.mode).into(),
        opened: desk.time(incident.opened),
        lasting: rounded(incident.lasted(desk.now)),
        acknowledged_by: incident
            .acknowledged
            .as_ref()
            .map(|a| value::one_line(&a.by.name, TEXT)),
        joined: incident
            .triggers
            .iter()
            .filter(|t| **t != incident.trigger)
            .cloned()
            .collect(),
    })
}

fn held(desk: &Desk<'_>) -> Option<HeldStatus> {
    let held = desk.service.incident.as_ref()?.held.as_ref()?;
    Some(HeldStatus {
        gate: Gate::name(held.gate).into(),
        reason: value::one_line(&held.reason, TEXT),
        since: desk.time(held.since),
        lasting: desk.ago(held.since),
    })
}

fn question(desk: &Desk<'_>) -> Option<QuestionStatus> {
    let Phase::Asking(question) = &desk.service.phase else {
        return None;
    };
    Some(QuestionStatus {
        deadline: desk.time(question.deadline),
        left: desk.left(question.deadline),
        roles: question.approve.roles.clone(),
        quorum: question.approve.quorum,
        approvals: question
            .approvals
            .iter()
            .map(|p| value::one_line(&p.name, TEXT))
            .collect(),
    })
}

fn running(desk: &Desk<'_>, run: &Run) -> RunStatus {
    let steps = run.plan.steps.len();
    RunStatus {
        ticket: run.ticket,
        plan: run.plan_name.clone(),
        step: (run.step + 1).min(steps),
        steps,
        name: run
            .plan
            .steps
            .get(run.step)
            .map_or_else(String::new, |s| value::one_line(&s.name, TEXT)),
        state: match run.state {
            StepState::Ordered { .. } => "ordered",
            StepState::Started { .. } => "started",
            StepState::Waiting { .. } => "waiting",
            StepState::Checking { .. } => "checking",
        }
        .into(),
        from: run.values.get("current").cloned(),
        to: run.values.get("target").cloned(),
        deadline: desk.time(run.deadline),
        left: desk.left(run.deadline),
        broken: run
            .broken
            .as_ref()
            .map(|b| value::one_line(&b.reason, TEXT)),
    }
}

fn release(desk: &Desk<'_>) -> Option<ReleaseStatus> {
    use crate::model::Standing;
    let releases = &desk.service.releases;
    let rule = desk.service.policy.release.as_ref();
    if rule.is_none() && releases.seen.is_empty() {
        return None;
    }
    let of = |standing: Standing| -> Vec<String> {
        releases
            .seen
            .iter()
            .filter(|r| r.standing == standing)
            .map(|r| value::one_line(&r.version, TEXT))
            .collect()
    };
    let running = releases.running();
    let target = rule.map(|rule| releases.target(rule));
    Some(ReleaseStatus {
        running: running.map(|r| value::one_line(&r.version, TEXT)),
        standing: running.map(|r| r.standing.name().into()),
        since: running.map(|r| desk.time(r.deployed)),
        lasting: running.map(|r| desk.ago(r.deployed)),
        target: target
            .as_ref()
            .and_then(|t| t.as_ref().ok())
            .map(|r: &&Release| value::one_line(&r.version, TEXT)),
        no_target: target
            .and_then(Result::err)
            .map(|why| value::one_line(&why, TEXT)),
        good: of(Standing::Good),
        bad: of(Standing::Bad),
    })
}

fn freeze(desk: &Desk<'_>) -> Option<FreezeStatus> {
    let freeze = desk.service.freeze.as_ref()?;
    Some(FreezeStatus {
        owner: value::one_line(&freeze.owner, TEXT),
        reason: value::one_line(&freeze.reason, TEXT),
        since: desk.time(freeze.since),
        until: freeze.until.map(|u| desk.time(u)),
        left: freeze.until.map(|u| desk.left(u)),
    })
}

fn plan_status(desk: &Desk<'_>, name: &str, plan: &Plan) -> PlanStatus {
    let shadow = desk.service.policy.mode == Mode::Shadow;
    let runs = || {
        let all = desk.service.runs.iter();
        all.filter(move |run| shadow || !run.shadow)
    };
    let left = runs()
        .filter_map(|run| run.ended)
        .max()
        .map_or(Duration::ZERO, |ended| {
            (ended + plan.cooldown).since(desk.now)
        });
    let used = runs()
        .filter(|run| desk.now.since(run.started) < plan.budget.period)
        .count();
    PlanStatus {
        plan: name.to_owned(),
        cooldown_left: (!left.is_zero()).then(|| rounded(left)),
        cooldown_left_ms: millis(left),
        budget_used: u32::try_from(used).unwrap_or(u32::MAX),
        budget: plan.budget.runs,
        budget_period: value::span(plan.budget.period),
    }
}

fn trigger_status(desk: &Desk<'_>, trigger: &Trigger, judgement: &Judgement) -> TriggerStatus {
    let findings: Vec<FindingStatus> = judgement
        .findings
        .iter()
        .map(|f| finding_status(desk, f))
        .collect();
    let decides = deciding(judgement).filter(|_| !is_stale(judgement));
    let finding = decides.and_then(|i| findings.get(i).cloned());
    let proof = decides
        .and_then(|i| judgement.findings[i].proof.as_ref())
        .filter(|_| judgement.verdict.is_breach())
        .map(value::proof);
    let dealt_with = desk.service.spent.contains(&trigger.name);
    let hold_ms = millis(match trigger.when.hold {
        Hold::None => Duration::ZERO,
        Hold::For(d) | Hold::ForOf(d, _) => d,
    });
    let mut status = TriggerStatus {
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
        fired: judgement.fired.map(|f| desk.time(f)),
        dealt_with,
        why: String::new(),
    };
    status.why = why(desk, trigger, judgement, &status);
    status
}

/// A trigger in a word.
fn state(judgement: &Judgement) -> &'static str {
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
        let counted = status.finding.as_ref().and_then(|f| f.evidence.clone());
        parts.extend(counted);
    }
    parts.join("; ")
}

fn finding_status(desk: &Desk<'_>, finding: &Finding) -> FindingStatus {
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
    FindingStatus {
        test: finding.test.clone(),
        subject: finding.subject.clone(),
        verdict: verdict(&finding.verdict).into(),
        value: said,
        limit,
        value_number: finding.value.map(number),
        limit_number: finding.limit,
        evidence: finding.evidence.as_ref().map(|e| {
            if finding.window_ms > 0 {
                let window = Duration::from_millis(finding.window_ms);
                format!("{} in {}", value::evidence(e), value::span(window))
            } else {
                value::evidence(e)
            }
        }),
        blind: match &finding.verdict {
            Verdict::Blind { why, .. } => Some(value::one_line(&why.to_string(), TEXT)),
            Verdict::Clear | Verdict::Breach => None,
        },
    }
}

fn signals(service: &Service) -> Vec<SignalStatus> {
    let never = service.judge.never_matched();
    service
        .judge
        .signals()
        .map(|(name, reading)| {
            let unit = service
                .policy
                .signals
                .get(name)
                .map_or(Unit::Plain, |s| s.unit);
            SignalStatus {
                signal: name.to_owned(),
                value: reading.ok().map(|r| value::value(r.value, unit)),
                value_number: reading.ok().map(|r| number(r.value)),
                evidence: reading.ok().map(|r| value::evidence(&r.evidence)),
                no_reading: reading
                    .err()
                    .map(|why| value::one_line(&why.to_string(), TEXT)),
                never_matched: never.iter().any(|(signal, _)| *signal == name),
            }
        })
        .collect()
}

/// `4m10s of 15m`; `3m of 5m in 15m`.
fn hold(hold: Hold, held_ms: u64) -> Option<String> {
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

const fn health(health: SourceHealth) -> &'static str {
    match health {
        SourceHealth::Up => "up",
        SourceHealth::Down => "down",
        SourceHealth::Undecided { .. } => "undecided",
        SourceHealth::Own => "own",
    }
}

const fn number(value: Value) -> f64 {
    match value {
        Value::Exactly(x) | Value::AboveTop(x) => x,
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
