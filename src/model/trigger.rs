//! The rows of the decision matrix: the triggers of a policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Condition, Mode, Promote};

/// One row of the decision matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// When it fires.
    pub when: Condition,
    /// How bad that is.
    pub severity: Severity,
    /// What it does then.
    pub response: Response,
    /// The plan it runs.
    pub plan: String,
    /// Shadow, or the policy's mode. Never enforce in a shadow policy.
    pub mode: Mode,
    /// When it is said to be fit to enforce; only of one in shadow.
    #[serde(default)]
    pub promote: Option<Promote>,
    /// Least events of the proof.
    pub min_events: u64,
    /// Confidence of the proof, in [0, 1); 0 switches the bound off.
    pub confidence: f64,
    /// Least share of judged ticks in the hold, in (0, 1].
    pub coverage: f64,
    /// Neighbouring judged ticks further apart than this start the hold anew.
    pub max_gap: Duration,
    /// How long it must be clear to be resolved.
    pub clear_for: Duration,
    /// How long it may be blind before somebody is told.
    pub blind_after: Duration,
}

/// How bad a fired trigger is. Ordered: low is least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// As policies write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What a fired trigger does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Rolls back at once.
    Rollback,
    /// Asks people first.
    Approve(Approve),
    /// Tells only.
    Alert,
}

impl Response {
    /// As policies write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Approve(_) => "approve",
            Self::Alert => "alert",
        }
    }
}

/// Who is asked, how many must agree, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approve {
    /// Roles that may answer; empty means anybody who may use the socket.
    pub roles: Vec<String>,
    /// Distinct people who must agree, at least 1.
    pub quorum: u32,
    /// One of each role must be among them: a person speaks for one.
    #[serde(default)]
    pub each: bool,
    /// Until when, from the question.
    pub within: Duration,
    /// What happens after that.
    pub otherwise: Otherwise,
}

/// What happens when nobody answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Otherwise {
    Escalate,
    Rollback,
    Dismiss,
}
