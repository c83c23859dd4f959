//! What a service's guard is doing. Freeze is a gate beside the phases, not a
//! phase; *suspecting* is read off the triggers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Person;
use crate::model::{Approve, Moment, Plan, Short, StepAction, Unchecked};

/// What a service's guard is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing fired; no incident is open.
    #[default]
    Watching,
    /// An incident is open that only tells: nothing is to be decided.
    Telling,
    /// An incident is open whose rollback, or question, a gate holds back.
    Held,
    /// People are asked whether to roll back at all.
    Asking(Question),
    /// A plan runs, or waits for consent to its next step.
    Acting(Box<Run>),
    /// The plan ran; fresh samples must show the cure.
    Verifying(Verification),
    /// Cured; quiet is awaited before the incident closes.
    Cooling {
        /// When the incident closes if it stays quiet.
        until: Moment,
    },
    /// A person has been called; nothing more is done in this incident.
    Escalated {
        /// Since when all triggers have been clear; it closes after a quiet
        /// `watch`.
        quiet_since: Option<Moment>,
    },
}

impl Phase {
    /// Stable name, as JSON and metrics have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::Telling => "telling",
            Self::Held => "held",
            Self::Asking(_) => "asking",
            Self::Acting(_) => "acting",
            Self::Verifying(_) => "verifying",
            Self::Cooling { .. } => "cooling",
            Self::Escalated { .. } => "escalated",
        }
    }
}

impl Phase {
    /// The question that people are asked, about a rollback or one of its
    /// steps.
    #[must_use]
    pub const fn question(&self) -> Option<&Question> {
        match self {
            Self::Asking(question) => Some(question),
            Self::Acting(run) => match &run.state {
                StepState::Asking(question) => Some(question),
                StepState::Ordered { .. }
                | StepState::Started { .. }
                | StepState::Waiting { .. }
                | StepState::Checking { .. } => None,
            },
            Self::Watching
            | Self::Telling
            | Self::Held
            | Self::Verifying(_)
            | Self::Cooling { .. }
            | Self::Escalated { .. } => None,
        }
    }

    pub(crate) fn question_mut(&mut self) -> Option<&mut Question> {
        match self {
            Self::Asking(question) => Some(question),
            Self::Acting(run) => match &mut run.state {
                StepState::Asking(question) => Some(question),
                StepState::Ordered { .. }
                | StepState::Started { .. }
                | StepState::Waiting { .. }
                | StepState::Checking { .. } => None,
            },
            Self::Watching
            | Self::Telling
            | Self::Held
            | Self::Verifying(_)
            | Self::Cooling { .. }
            | Self::Escalated { .. } => None,
        }
    }
}

/// A question to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Which of its incident's questions it is, from 1.
    #[serde(default)]
    pub number: u32,
    /// When it was asked.
    pub asked: Moment,
    /// Until when it can be answered.
    pub deadline: Moment,
    /// Who may answer, and how many must agree.
    pub approve: Approve,
    /// Who agreed so far: distinct people.
    pub approvals: Vec<Person>,
}

/// A plan that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run's number.
    pub ticket: u64,
    /// The plan's name.
    pub plan_name: String,
    /// The plan as it was when the run was decided: a reload changes nothing
    /// under way.
    pub plan: Plan,
    /// What the placeholders stand for.
    pub values: BTreeMap<String, String>,
    /// When the whole run must be over.
    pub deadline: Moment,
    /// The step that is next or under way; the number of steps when it is over.
    pub step: usize,
    /// What that step is doing.
    pub state: StepState,
    /// Why the run will not succeed, once that is so. Only steps with `always`
    /// run after it.
    pub broken: Option<Broken>,
    /// Sources that were up when it began: none of them may be down afterwards.
    pub were_up: Vec<String>,
    /// Steps that needed consent and have it, and who gave it; nobody where the
    /// policy goes on without an answer.
    #[serde(default)]
    pub agreed: BTreeMap<usize, Vec<Person>>,
    /// What follows when the first step, the check of the target, fails; `None`
    /// where there is no such step.
    #[serde(default)]
    pub unchecked: Option<Unchecked>,
    /// Targets that failed that check, in order.
    #[serde(default)]
    pub failed_targets: Vec<String>,
}

impl Run {
    /// What people call the step that is next or under way.
    #[must_use]
    pub fn step_name(&self) -> &str {
        self.plan.steps.get(self.step).map_or("", |s| &s.name)
    }

    /// Whether only queries are left: what they find out is worth waiting for,
    /// and nothing waits for them that heals.
    pub(super) fn only_counts(&self) -> bool {
        let step = self.plan.steps.get(self.step);
        step.is_some_and(|step| step.measures.is_some())
    }

    /// Whether it goes well so far, and has had all the time it has.
    pub(super) fn is_out_of_time(&self, now: Moment) -> bool {
        self.broken.is_none() && !self.only_counts() && self.deadline <= now
    }

    /// What there is to say of a run that is out of time.
    pub(super) fn overrun(&self) -> String {
        format!("the plan did not end within {}", Short(self.plan.timeout))
    }

    /// Whether nothing outside has been touched before this step: there were
    /// only waits and checks.
    #[must_use]
    pub fn begins_at(&self, step: usize) -> bool {
        self.plan.steps.iter().take(step).all(|s| match s.action {
            StepAction::Wait(_) | StepAction::Check(_) => true,
            StepAction::Run(_)
            | StepAction::Systemd { .. }
            | StepAction::Http(_)
            | StepAction::Symlink { .. } => false,
        })
    }
}

/// What a step is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Ordered, not known to have started: safe to order again.
    Ordered {
        /// From 0.
        attempt: u32,
        /// When.
        at: Moment,
    },
    /// Its start was recorded: after a crash its end is unknown.
    Started {
        /// From 0.
        attempt: u32,
        /// When.
        at: Moment,
    },
    /// A `wait` step.
    Waiting {
        /// Until when.
        until: Moment,
    },
    /// A `check` step.
    Checking {
        /// From 0.
        attempt: u32,
        /// The latest at which its condition must hold.
        until: Moment,
    },
    /// It needs people's consent before it begins.
    Asking(Question),
}

/// Why a run will not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Failed, timed out, aborted or lost track.
    pub outcome: super::Outcome,
    /// In words.
    pub reason: String,
}

/// The proof of cure under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The run.
    pub ticket: u64,
    /// The end of the last step: only samples after it count.
    pub since: Moment,
    /// When it counts as not cured.
    pub deadline: Moment,
    /// The plan's name.
    pub plan_name: String,
    /// What verifies, as it was when the run was decided.
    pub verify: crate::model::Verify,
    /// The release that the run went to.
    pub target: Option<String>,
    /// Whether its steps say where that release goes.
    #[serde(default)]
    pub puts_target: bool,
    /// Sources that were up before the run: none of them may be down.
    pub were_up: Vec<String>,
}
