//! What the engine decided, saw or refused, as one flat record: the audit
//! trail, the source of `replay`'s events and of an incident's timeline.

use serde::{Deserialize, Serialize};

use super::{Incident, Loss, Told};
use crate::model::{Baseline, Evidence, Finding, Moment, Proof, Unit, Value};

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// When: the nominal tick for what a tick brought, else when it happened.
    pub at: Moment,
    /// The service.
    pub service: String,
    /// The incident it belongs to, if any.
    pub incident: Option<u64>,
    /// What.
    pub what: What,
    /// The trigger, if one is concerned.
    pub trigger: Option<String>,
    /// What was found, when a trigger's condition is concerned.
    pub cause: Option<Cause>,
    /// In words, for people: why, or what exactly. Never empty.
    pub reason: String,
    /// The same for programs, where it is more than the rest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<Detail>>,
}

/// What a note is about, whole: nobody should have to read it off its words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "it is boxed as a whole, and rare"
)]
pub enum Detail {
    /// An incident was closed. As it is from then on, but for its timeline, which
    /// its notes are.
    Closed(Incident),
    /// Something was lost.
    Lost(Loss),
}

/// The signal, value, limit, window and evidence behind a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The condition as the policy has it.
    pub condition: String,
    /// The signal or source that decides.
    pub subject: String,
    /// Its value.
    pub value: Option<Value>,
    /// The limit.
    pub limit: Option<f64>,
    /// What the limit is a multiple of, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// The unit of both.
    pub unit: Unit,
    /// The signal's window in milliseconds; zero for sources.
    pub window_ms: u64,
    /// What the value rests on.
    pub evidence: Option<Evidence>,
    /// The proof over the hold, where one was needed.
    pub proof: Option<Proof>,
    /// Since when the condition has been breached.
    pub since: Option<Moment>,
    /// Who said so, where the value was told and not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// Identifies the policy's content.
    pub policy: String,
}

impl Cause {
    /// From a trigger's finding.
    #[must_use]
    pub fn new(condition: &str, since: Option<Moment>, finding: &Finding, policy: &str) -> Self {
        Self {
            condition: condition.to_owned(),
            subject: finding.subject.clone(),
            value: finding.value,
            limit: finding.limit,
            baseline: finding.baseline.clone(),
            unit: finding.unit,
            window_ms: finding.window_ms,
            evidence: finding.evidence,
            proof: finding.proof,
            since,
            told: None,
            policy: policy.to_owned(),
        }
    }
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum What {
    Suspecting,
    Fired,
    Cleared,
    Resolved,
    Blind,
    SeesAgain,
    WouldRollBack,
    WouldAsk,
    WouldTell,
    Held,
    Release,
    Declared,
    Counted,
    Judged,
    Opened,
    Asked,
    Answered,
    AnswerIgnored,
    Withdrawn,
    Overtaken,
    Dismissed,
    Told,
    RollingBack,
    StepStarted,
    StepDone,
    StepFailed,
    StepSkipped,
    Verifying,
    Cured,
    NotCured,
    Failed,
    TimedOut,
    Aborted,
    LostTrack,
    Escalated,
    Acknowledged,
    Ordered,
    Refused,
    Frozen,
    Unfrozen,
    FreezeEnded,
    Closed,
    Pushed,
    Drilled,
    Revised,
    Restarted,
    Distrusted,
    Fit,
}

impl What {
    /// Stable name, as JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspecting => "suspecting",
            Self::Fired => "fired",
            Self::Cleared => "cleared",
            Self::Resolved => "resolved",
            Self::Blind => "blind",
            Self::SeesAgain => "sees_again",
            Self::WouldRollBack => "would_roll_back",
            Self::WouldAsk => "would_ask",
            Self::WouldTell => "would_tell",
            Self::Held => "held",
            Self::Release => "release",
            Self::Declared => "declared",
            Self::Counted => "counted",
            Self::Judged => "judged",
            Self::Opened => "opened",
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::AnswerIgnored => "answer_ignored",
            Self::Withdrawn => "withdrawn",
            Self::Overtaken => "overtaken",
            Self::Dismissed => "dismissed",
            Self::Told => "told",
            Self::RollingBack => "rolling_back",
            Self::StepStarted => "step_started",
            Self::StepDone => "step_done",
            Self::StepFailed => "step_failed",
            Self::StepSkipped => "step_skipped",
            Self::Verifying => "verifying",
            Self::Cured => "cured",
            Self::NotCured => "not_cured",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Aborted => "aborted",
            Self::LostTrack => "lost_track",
            Self::Escalated => "escalated",
            Self::Acknowledged => "acknowledged",
            Self::Ordered => "ordered",
            Self::Refused => "refused",
            Self::Frozen => "frozen",
            Self::Unfrozen => "unfrozen",
            Self::FreezeEnded => "freeze_ended",
            Self::Closed => "closed",
            Self::Pushed => "pushed",
            Self::Drilled => "drilled",
            Self::Revised => "revised",
            Self::Restarted => "restarted",
            Self::Distrusted => "distrusted",
            Self::Fit => "fit",
        }
    }
}
