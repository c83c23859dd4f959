//! Why the agent could not start, or had to end.

use std::io;

use crate::control::DoorError;
use crate::journal::JournalError;
use crate::sense::SenseError;
use crate::tell::OutboxError;

/// Why the agent could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// What it was told makes no sense, or its config is refused.
    #[error("{0}")]
    Usage(String),
    /// The operating system refuses something that the agent cannot do without.
    #[error("cannot {verb}")]
    System {
        /// What was tried.
        verb: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The outbox cannot be used.
    #[error("cannot open the outbox")]
    Outbox(#[from] OutboxError),
    /// Nobody could give it orders, or answer what it asks.
    #[error("cannot listen for people")]
    Door(#[from] DoorError),
    /// Nothing can be sampled.
    #[error("cannot sample anything")]
    Sense(#[from] SenseError),
    /// A part of the agent panicked; what it did is done by nobody.
    #[error("a part of the agent failed: {0}")]
    Failed(String),
}

impl AgentError {
    /// Whether what it was told is at fault, rather than the host.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }

    pub(super) fn system(verb: impl Into<String>, source: io::Error) -> Self {
        Self::System {
            verb: verb.into(),
            source,
        }
    }
}
