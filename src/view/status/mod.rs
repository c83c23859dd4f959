//! What each trigger sees, how far into its hold it is, what blocks it, and
//! why: one shape for JSON, with stable names, that `text` renders for
//! terminals and the page for browsers. One file for each noun of it.
//!
//! Durations are in words and, where a program may want to count, in
//! milliseconds beside them. What is absent is null.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notice::mode;
use super::value;
use crate::guard::{Phase, Service, Snapshot};
use crate::model::{Moment, Trigger, Value};

mod drill;
mod incident;
mod release;
mod shadow;
mod source;
mod text;
mod trigger;

pub use drill::DrillStatus;
pub use incident::{HeldStatus, IncidentBrief, QuestionStatus, RunStatus};
pub use release::{FreezeStatus, PlanStatus, ReleaseStatus, SaidStatus};
pub use shadow::{PromoteStatus, ShadowStatus};
pub use source::{SignalStatus, SourceStatus};
pub use trigger::{FindingStatus, TriggerStatus};

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
    /// Keys of the agent's config that changed since its start, and take a
    /// restart.
    #[serde(default)]
    pub restart: Vec<String>,
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
    /// The last drill; null when there was none.
    #[serde(default)]
    pub drill: Option<DrillStatus>,
    /// The decision matrix, in the policy's order.
    pub triggers: Vec<TriggerStatus>,
    /// The sources by name.
    pub sources: Vec<SourceStatus>,
    /// The signals by name.
    pub signals: Vec<SignalStatus>,
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

/// A trigger's row of the shadow ledger; `None` when it is not in shadow.
pub(super) fn shadow_of(service: &Service, now: Moment, trigger: &Trigger) -> Option<ShadowStatus> {
    ShadowStatus::new(&Desk { service, now }, trigger)
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
            incident: IncidentBrief::new(&desk),
            held: HeldStatus::new(&desk),
            question: QuestionStatus::new(&desk),
            run: match &service.phase {
                Phase::Acting(run) => Some(RunStatus::new(&desk, run)),
                _ => None,
            },
            release: ReleaseStatus::new(&desk),
            freeze: FreezeStatus::new(&desk),
            distrust: service
                .distrust
                .as_ref()
                .map(|why| value::one_line(why, TEXT)),
            plans: policy
                .plans
                .iter()
                .map(|(name, plan)| PlanStatus::new(&desk, name, plan))
                .collect(),
            drill: DrillStatus::new(&desk),
            triggers: policy
                .triggers
                .iter()
                .filter_map(|trigger| {
                    let judgement = service.judge.trigger(&trigger.name)?;
                    Some(TriggerStatus::new(&desk, trigger, judgement))
                })
                .collect(),
            sources: source::sources(service),
            signals: source::signals(service),
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
            let run = RunStatus::new(desk, run);
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
            let judgement = judged(t).filter(|j| trigger::state(j) == "suspecting")?;
            let held = trigger::hold(t.when.hold, judgement.held_ms);
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

const fn number(value: Value) -> f64 {
    match value {
        Value::Exactly(x) | Value::AboveTop(x) => x,
    }
}
