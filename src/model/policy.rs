//! A checked policy: everything Backstop knows about one service.
//!
//! `policy::load` makes these from TOML and is the only place that does outside
//! tests; whatever is here has been checked there. Field meanings and defaults
//! are SPEC 3's; durations are spans of time, never zero unless said.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Condition, Plan, ReleaseRule, Signal, Source, Trigger};

/// One service's policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The service's name.
    pub service: String,
    /// Shadow or enforce.
    pub mode: Mode,
    /// The sampling and judging tick, at least 100 ms.
    pub interval: Duration,
    /// Where samples come from, by name.
    pub sources: BTreeMap<String, Source>,
    /// Values derived from them, by name.
    pub signals: BTreeMap<String, Signal>,
    /// The decision matrix, in the file's order.
    pub triggers: Vec<Trigger>,
    /// How the running release is known; without it there are no gates on
    /// releases and no `{target}`.
    pub release: Option<ReleaseRule>,
    /// Plans by name.
    pub plans: BTreeMap<String, Plan>,
    /// Escalation levels in order.
    pub escalation: Vec<Level>,
}

/// Record and tell only, or act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mode {
    Shadow,
    Enforce,
}

/// One level of escalation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Names of notifiers.
    pub notify: Vec<String>,
    /// From the moment the incident opens, or when a rollback failed.
    pub on: LevelOn,
    /// Told again this often until acknowledged.
    pub repeat: Option<Duration>,
}

/// When a level of escalation is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LevelOn {
    /// So long after the incident opened; may be zero.
    After(Duration),
    /// At once when a rollback failed, was not cured or lost track.
    Failed,
    /// While an incident is open and this condition's whole hold is met, which
    /// may have begun before it.
    When(Condition),
    /// While an incident is open and more than this was lost of one of these.
    Loss(BTreeMap<String, f64>),
}
