//! When the agent is told to stop, and how long it then takes.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::AgentError;

/// How long a step that runs may go on after that: longer than the default
/// deadline of one (1m) and what it then has; less than `TimeoutStopSec=` of the
/// unit (90s) by what the journal may take.
pub(super) const GRACE: Duration = Duration::from_secs(70);

/// How long the journal may take to be written to its end.
pub(super) const WRITE: Duration = Duration::from_secs(15);

/// SIGTERM and SIGINT.
pub(super) struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    pub(super) fn listen() -> Result<Self, AgentError> {
        let listen = |kind, name: &str| {
            signal(kind).map_err(|e| AgentError::system(format!("listen for {name}"), e))
        };
        Ok(Self {
            term: listen(SignalKind::terminate(), "SIGTERM")?,
            int: listen(SignalKind::interrupt(), "SIGINT")?,
        })
    }

    /// Completes when one of them came.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
        tracing::info!("stopping");
    }
}
