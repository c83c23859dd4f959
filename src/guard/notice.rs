//! A message to people: what, where, since when, value and limit, evidence,
//! what happens next and how to stop it.
//!
//! The engine says what is to be told and to whom; `view` puts it into words
//! and `tell` delivers it.

use serde::{Deserialize, Serialize};

use super::Cause;
use crate::model::{Mode, Moment, Severity};

/// A message to people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The same notice always has the same id, over restarts too: delivery is
    /// deduplicated by it. `checkout/12/7`: service, incident, running number.
    pub id: String,
    /// When it was made.
    pub at: Moment,
    /// How far the wall clock was ahead then, in milliseconds: for display.
    pub wall_ahead_ms: i64,
    /// What it says.
    pub kind: NoticeKind,
    /// The service.
    pub service: String,
    /// The host the agent runs on.
    pub host: String,
    /// The mode under which it was decided; texts mark shadow.
    pub mode: Mode,
    /// The incident, if any.
    pub incident: Option<u64>,
    /// How bad it is, where a trigger is concerned.
    pub severity: Option<Severity>,
    /// The trigger, if one is concerned.
    pub trigger: Option<String>,
    /// What was found.
    pub cause: Option<Cause>,
    /// The release that runs, when known.
    pub current: Option<String>,
    /// The release that would be or is gone back to, when known.
    pub target: Option<String>,
    /// What exactly happened, in a sentence.
    pub reason: String,
    /// What happens next, in a sentence; may be empty.
    pub next: String,
    /// How a person stops it or takes part: a command line; may be empty.
    pub stop: String,
    /// The question that it asks, if it asks one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Box<Asked>>,
    /// Names of the notifiers to use.
    pub notify: Vec<String>,
    /// It belongs to a drill: texts mark it.
    #[serde(default)]
    pub drill: bool,
}

/// What is asked, as far as an answer needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Which of the incident's questions it is, from 1.
    pub number: u32,
    /// Until when it can be answered.
    pub deadline: Moment,
    /// The roles that may answer; empty means anybody who may use the socket.
    pub roles: Vec<String>,
}

/// The kinds of notice. A `Test` is made by a person who tries a notifier, never
/// by the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum NoticeKind {
    Opened,
    Asked,
    Decided,
    Held,
    RollingBack,
    StepDone,
    Cured,
    NotCured,
    Failed,
    Blind,
    SeesAgain,
    Frozen,
    FreezeEnding,
    Update,
    Escalated,
    Acknowledged,
    Closed,
    Fit,
    Test,
}

impl NoticeKind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 19] = [
        Self::Opened,
        Self::Asked,
        Self::Decided,
        Self::Held,
        Self::RollingBack,
        Self::StepDone,
        Self::Cured,
        Self::NotCured,
        Self::Failed,
        Self::Blind,
        Self::SeesAgain,
        Self::Frozen,
        Self::FreezeEnding,
        Self::Update,
        Self::Escalated,
        Self::Acknowledged,
        Self::Closed,
        Self::Fit,
        Self::Test,
    ];

    /// Stable name, as JSON and templates have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Asked => "asked",
            Self::Decided => "decided",
            Self::Held => "held",
            Self::RollingBack => "rolling_back",
            Self::StepDone => "step_done",
            Self::Cured => "cured",
            Self::NotCured => "not_cured",
            Self::Failed => "failed",
            Self::Blind => "blind",
            Self::SeesAgain => "sees_again",
            Self::Frozen => "frozen",
            Self::FreezeEnding => "freeze_ending",
            Self::Update => "update",
            Self::Escalated => "escalated",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Fit => "fit",
            Self::Test => "test",
        }
    }
}
