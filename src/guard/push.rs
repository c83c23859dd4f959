//! What a source is told: by a person with `backstop push`, by a program over
//! HTTP, or by Alertmanager.

use serde::{Deserialize, Serialize};

/// Something that a source was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "push", rename_all = "snake_case")]
pub enum Push {
    /// One name has a new state.
    Said {
        /// The flag, counter or value.
        name: String,
        /// What is said of it.
        what: Statement,
        /// In the words of whoever says it; may be empty.
        reason: String,
    },
    /// Alerts, as Alertmanager posted them: those that set a flag.
    Alerts {
        /// In the order of the message.
        alerts: Vec<Alert>,
        /// Alerts of the group that the message left out.
        truncated: u64,
    },
}

/// What can be said of a name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    /// The flag is set.
    Set,
    /// The flag is clear.
    Clear,
    /// So many more events. At most [`Statement::MOST_EVENTS`].
    Events(u32),
    /// It is this much. Always finite.
    Is(f64),
}

impl Statement {
    /// Most events that are told at once: a sum of them stays exact for ever.
    pub const MOST_EVENTS: u32 = 1_000_000;

    /// As `backstop push` takes it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Set => "set".to_owned(),
            Self::Clear => "clear".to_owned(),
            Self::Events(n) => format!("+{n}"),
            Self::Is(x) => x.to_string(),
        }
    }
}

/// One alert of Alertmanager's webhook, version 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What makes two messages be about the same alert.
    pub fingerprint: String,
    /// Its labels, `alertname` among them.
    pub labels: Vec<(String, String)>,
    /// Whether it fires; else it is resolved.
    pub firing: bool,
    /// Since when it fires, in Unix milliseconds.
    pub starts_ms: i64,
}
