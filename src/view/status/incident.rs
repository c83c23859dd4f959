//! The open incident: what holds it, what it asks, what it runs.

use serde::{Deserialize, Serialize};

use super::{Desk, TEXT, rounded};
use crate::guard::{Gate, Loss, Run, RunRecord, StepState};
use crate::model::Risk;
use crate::view::notice::mode;
use crate::view::value;

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
    /// How far a rollback came that was broken off: `done: …; failed: …; not
    /// run: …`. People have to finish or undo it.
    pub halfway: Option<String>,
    /// It was opened for a drill.
    #[serde(default)]
    pub drill: bool,
    /// What was lost, as it was counted last: `orders: 12 orders`.
    #[serde(default)]
    pub lost: Vec<String>,
}

impl IncidentBrief {
    /// What it was opened for.
    pub(super) fn lead(&self) -> &str {
        match &self.trigger {
            Some(trigger) => trigger,
            None if self.drill => "a drill",
            None => "a person's order",
        }
    }

    pub(super) fn new(desk: &Desk<'_>) -> Option<Self> {
        let incident = desk.service.incident.as_ref()?;
        Some(Self {
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
            halfway: incident
                .runs
                .last()
                .filter(|run| run.is_halfway())
                .map(|run| value::one_line(&RunRecord::halfway(run), TEXT))
                .filter(|text| !text.is_empty()),
            drill: incident.drill,
            lost: lost(&incident.losses),
        })
    }
}

/// The last count of each name, in their order.
fn lost(losses: &[Loss]) -> Vec<String> {
    let later = |i: usize, loss: &Loss| losses[i + 1..].iter().any(|l| l.name == loss.name);
    let last = losses.iter().enumerate().filter(|(i, l)| !later(*i, l));
    last.map(|(_, loss)| {
        let said = format!("{}: {}", loss.name, loss.in_words());
        value::one_line(&said, TEXT)
    })
    .collect()
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

impl HeldStatus {
    pub(super) fn new(desk: &Desk<'_>) -> Option<Self> {
        let held = desk.service.incident.as_ref()?.held.as_ref()?;
        Some(Self {
            gate: Gate::name(held.gate).into(),
            reason: value::one_line(&held.reason, TEXT),
            since: desk.time(held.since),
            lasting: desk.ago(held.since),
        })
    }
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
    /// Roles that somebody still has to speak for, where one of each is asked.
    pub missing: Option<String>,
    /// Who agreed so far.
    pub approvals: Vec<String>,
}

impl QuestionStatus {
    pub(super) fn new(desk: &Desk<'_>) -> Option<Self> {
        let question = desk.service.phase.question()?;
        Some(Self {
            deadline: desk.time(question.deadline),
            left: desk.left(question.deadline),
            roles: question.approve.roles.clone(),
            quorum: question.approve.quorum,
            missing: question.missing(),
            approvals: question
                .approvals
                .iter()
                .map(|p| value::one_line(&p.name, TEXT))
                .collect(),
        })
    }
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
    /// `ordered`, `started`, `waiting`, `checking` or `asking`.
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
    /// How long it has taken so far.
    pub taken: Option<String>,
    /// How long people expect the plan to take.
    pub expect: Option<String>,
    /// `low`, `medium` or `high`, as people said of the plan.
    pub risk: Option<String>,
}

impl RunStatus {
    pub(super) fn new(desk: &Desk<'_>, run: &Run) -> Self {
        let steps = run.plan.steps.len();
        Self {
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
                StepState::Asking(_) => "asking",
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
            taken: desk
                .service
                .runs
                .iter()
                .rfind(|record| record.ticket == run.ticket)
                .map(|record| desk.ago(record.started)),
            expect: run.plan.expect.map(value::span),
            risk: run.plan.risk.map(|risk| Risk::name(risk).into()),
        }
    }
}
