//! What systemd is told, when the agent runs under it (`sd_notify(3)`).
//!
//! The watchdog is fed by the loop that judges and by nobody else: a timer of
//! its own would go on feeding while nothing is judged.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::Instant;

/// How often it is told what the agent sees, at most: that looks at every
/// service, and is read by people.
const STATUS: Duration = Duration::from_secs(1);

/// The service manager above the agent, if there is one.
#[derive(Debug)]
pub(super) struct Manager {
    watchdog: Option<Duration>,
    listens: bool,
    status: String,
    /// When that was last looked at.
    looked: Option<Instant>,
}

impl Manager {
    pub(super) fn new() -> Self {
        Self {
            watchdog: watchdog_enabled().filter(|period| !period.is_zero()),
            listens: std::env::var_os("NOTIFY_SOCKET").is_some(),
            status: String::new(),
            looked: None,
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

    /// Whether it is to be told what the agent sees: there is one, and it was not
    /// told just now.
    pub(super) fn is_curious(&self) -> bool {
        self.listens && self.looked.is_none_or(|looked| looked.elapsed() >= STATUS)
    }

    /// One line of what it sees; said when it changes.
    pub(super) fn status(&mut self, line: String) {
        self.looked = Some(Instant::now());
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
