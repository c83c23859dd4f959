//! What systemd is told, when the agent runs under it (`sd_notify(3)`).
//!
//! The watchdog is fed by the loop that judges and by nobody else: a timer of
//! its own would go on feeding while nothing is judged.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};

/// The service manager above the agent, if there is one.
#[derive(Debug)]
pub(super) struct Manager {
    watchdog: Option<Duration>,
    status: String,
}

impl Manager {
    pub(super) fn new() -> Self {
        Self {
            watchdog: watchdog_enabled().filter(|period| !period.is_zero()),
            status: String::new(),
        }
    }

    /// How often the watchdog is to be fed: twice in its period.
    pub(super) fn feeding(&self) -> Option<Duration> {
        self.watchdog.map(|period| period / 2)
    }

    /// Policies are loaded, the journal is recovered, services are guarded.
    pub(super) fn ready() {
        tell(&[NotifyState::Ready]);
    }

    /// Policies are read again. systemd wants the time of that in the same
    /// message (since 253; 252 ignores it).
    pub(super) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(time) => tell(&[NotifyState::Reloading, time]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// It is about to end.
    pub(super) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// Judging and the journal make progress.
    pub(super) fn feed() {
        tell(&[NotifyState::Watchdog]);
    }

    /// One line of what it sees; said when it changes.
    pub(super) fn status(&mut self, line: String) {
        if line != self.status {
            tell(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }
}

/// Without a service manager nobody listens, which is no fault.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
