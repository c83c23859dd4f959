//! The process group of a program that is ended with whoever started it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::time::timeout;

/// A program's process group. Dropped before the program ended, as when the
/// agent stops, it is killed: nothing is left over.
///
/// Less than a [`super::Family`], and without a look at any other process: what
/// leaves the group is not followed.
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group that `child` leads.
    pub(crate) fn of(child: &Child) -> Self {
        Self(
            child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        )
    }

    /// The program has ended and its number may be another's.
    pub(crate) fn leave(&mut self) {
        self.0 = None;
    }

    /// Ends the group and waits for the program: TERM, and KILL after `grace`.
    pub(crate) async fn end(&mut self, child: &mut Child, grace: Duration) {
        self.signal(Signal::TERM);
        if timeout(grace, child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = child.wait().await;
        } else {
            // Those who ignored TERM: while one of them lives, the group's
            // number is nobody else's.
            self.signal(Signal::KILL);
        }
        self.leave();
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It fails when everybody is gone, which is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
