//! An incident: opened when a trigger fires, one per service at a time, with a
//! number, a timeline and an outcome.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Cause, Detail, Gate, Loss, Note, Person};
use crate::model::{Level, Mode, Moment, Severity, Step};

/// An open or closed incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number, unique in the state directory, from 1.
    pub number: u64,
    /// The service.
    pub service: String,
    /// When it opened.
    pub opened: Moment,
    /// When it closed; `None` while it is open.
    pub closed: Option<Moment>,
    /// The mode in which it is handled.
    pub mode: Mode,
    /// The trigger whose response is followed; empty for a person's order.
    pub trigger: String,
    /// That trigger's severity.
    pub severity: Severity,
    /// What was found when it opened, or was overtaken. A person's order has
    /// none.
    pub cause: Option<Cause>,
    /// Triggers that fired while it was open, the first one included.
    pub triggers: Vec<String>,
    /// The running release when it opened.
    pub release: Option<String>,
    /// What keeps it from acting, as last told.
    pub held: Option<Held>,
    /// People's consent to act, once given.
    pub approval: Option<Approval>,
    /// Runs made in it, finished or not.
    pub runs: Vec<RunRecord>,
    /// What was lost, as it was counted.
    #[serde(default)]
    pub losses: Vec<Loss>,
    /// Who said that they look after it.
    pub acknowledged: Option<Acknowledgement>,
    /// How it ended, once that is known.
    pub outcome: Option<Outcome>,
    /// What happened, in order. Bounded: see [`Incident::TIMELINE`].
    pub timeline: Vec<Note>,
    /// Notes that the bounded timeline had no room for.
    pub left_out: u64,
    /// The escalation chain in force when it opened, and how far it is.
    pub levels: Vec<LevelState>,
    /// When the next regular update is due.
    pub update_due: Moment,
    /// Notices made so far: the last part of a notice's id.
    pub notices: u64,
    /// Questions asked so far.
    #[serde(default)]
    pub questions: u32,
    /// It was opened for a drill: a person ordered the plan to be run, and
    /// nothing is the matter.
    #[serde(default)]
    pub drill: bool,
}

impl Incident {
    /// Most notes that a timeline keeps: the first half and the last.
    pub const TIMELINE: usize = 256;

    /// Adds a note. When the timeline is full the oldest note of its second
    /// half goes, so that both how it began and what happened last stay.
    pub(crate) fn note(&mut self, note: Note) {
        if self.timeline.len() >= Self::TIMELINE {
            self.timeline.remove(Self::TIMELINE / 2);
            self.left_out += 1;
        }
        self.timeline.push(note);
    }

    /// What its closing says to whoever recalls it.
    pub(crate) fn closing(&self) -> Detail {
        Detail::Closed(Self {
            timeline: Vec::new(),
            // That of the closing itself is still to come.
            notices: self.notices + 1,
            ..self.clone()
        })
    }

    /// From its opening to its end, or to `now`.
    #[must_use]
    pub fn lasted(&self, now: Moment) -> Duration {
        self.closed.unwrap_or(now).since(self.opened)
    }
}

/// What keeps an incident from acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The first gate that holds.
    pub gate: Gate,
    /// Since when this gate has been the first.
    pub since: Moment,
    /// In words, with times where it has them.
    pub reason: String,
}

/// Consent to act, for as long as the question could have been answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who agreed: distinct people. Empty when nobody answered and the policy
    /// says to roll back then.
    pub by: Vec<Person>,
    /// Consent ends here; after that people are asked again.
    pub until: Option<Moment>,
}

/// Somebody looks after an incident: escalation pauses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: Person,
    /// When escalation goes on.
    pub until: Moment,
}

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A rollback cured it.
    Cured,
    /// It went away without a rollback.
    Recovered,
    /// A person said no, or nobody answered and the policy dismisses then.
    Dismissed,
    /// A rollback did not cure it; a person was called.
    NotCured,
    /// A step failed; a person was called.
    Failed,
    /// A run did not end in time; a person was called.
    TimedOut,
    /// A person stopped the run.
    Aborted,
    /// A step's end is unknown after a crash; a person was called.
    LostTrack,
    /// Nobody decided in time; a person was called.
    Undecided,
    /// In shadow: it would have rolled back.
    WouldHaveRolledBack,
    /// The policy was removed while it was open.
    Unguarded,
}

impl Outcome {
    /// Stable name, as JSON and metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cured => "cured",
            Self::Recovered => "recovered",
            Self::Dismissed => "dismissed",
            Self::NotCured => "not_cured",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Aborted => "aborted",
            Self::LostTrack => "lost_track",
            Self::Undecided => "undecided",
            Self::WouldHaveRolledBack => "would_have_rolled_back",
            Self::Unguarded => "unguarded",
        }
    }
}

/// A rollback, kept raw: budget and cooldown are asked of these at decision
/// time, so a reload to a longer period forgets no run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's number; rises over all services.
    pub ticket: u64,
    /// The incident.
    pub incident: u64,
    /// The plan's name.
    pub plan: String,
    /// When it was decided.
    pub started: Moment,
    /// When its last step ended; `None` while it runs.
    pub ended: Option<Moment>,
    /// The release that ran.
    pub from: Option<String>,
    /// The release that it went to.
    pub to: Option<String>,
    /// The person who ordered it, if it was not decided by a trigger.
    pub ordered_by: Option<Person>,
    /// Recorded in shadow: nothing was run.
    pub shadow: bool,
    /// Whether its plan was a rollback.
    #[serde(default = "crate::model::yes")]
    pub goes_back: bool,
    /// How it ended, once that is known.
    pub outcome: Option<Outcome>,
    /// What became of each step, in the plan's order. Only an incident's own
    /// record has them: budgets do not ask.
    #[serde(default)]
    pub steps: Vec<StepRecord>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// What people call it.
    pub name: String,
    /// How far it came.
    pub fate: Fate,
}

impl StepRecord {
    /// A step that is still to come.
    pub(crate) fn not_run(step: &Step) -> Self {
        Self {
            name: step.name.clone(),
            fate: Fate::NotRun,
        }
    }
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was not begun.
    NotRun,
    /// It was begun, and has not ended as far as is known.
    Begun,
    /// It did what it should.
    Done,
    /// It failed, or was ended: part of it may have been done.
    Failed,
}

impl Fate {
    /// As a person reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotRun => "not run",
            Self::Begun => "begun, end unknown",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl RunRecord {
    /// How far it came, in a sentence: `done: stop, link; failed: start; not
    /// run: warm up`. Empty when nothing is known of its steps.
    #[must_use]
    pub fn halfway(&self) -> String {
        if self.steps.iter().all(|s| s.fate == Fate::NotRun) {
            return if self.steps.is_empty() {
                String::new()
            } else {
                "no step was run".to_owned()
            };
        }
        let parts = [Fate::Done, Fate::Failed, Fate::Begun, Fate::NotRun].map(|fate| {
            let steps = self.steps.iter().filter(|s| s.fate == fate);
            let names: Vec<&str> = steps.map(|s| s.name.as_str()).collect();
            (!names.is_empty()).then(|| format!("{}: {}", fate.name(), names.join(", ")))
        });
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// Whether it was broken off before its last step was done: people have to
    /// finish or undo it.
    #[must_use]
    pub fn is_halfway(&self) -> bool {
        let broken = matches!(
            self.outcome,
            Some(Outcome::Failed | Outcome::TimedOut | Outcome::Aborted | Outcome::LostTrack)
        );
        broken && self.steps.iter().any(|s| s.fate != Fate::Done)
    }
}

/// One level of the escalation chain and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelState {
    /// As the policy had it when the incident opened.
    pub level: Level,
    /// When it is due next; `None` when it is not waiting for a time.
    pub due: Option<Moment>,
    /// How often it was told.
    pub told: u32,
}
