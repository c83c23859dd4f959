//! Where one step's orders are written down, in order.

use super::{Command, Note, What};
use crate::model::Moment;

/// The time of what is being decided, the counters that every service shares,
/// and the orders made so far.
pub(crate) struct Desk<'a> {
    /// When: the nominal tick for what a tick brings, else now.
    pub(crate) at: Moment,
    /// The host's name.
    pub(crate) host: &'a str,
    last_ticket: &'a mut u64,
    last_incident: &'a mut u64,
    commands: Vec<Command>,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(
        at: Moment,
        host: &'a str,
        last_ticket: &'a mut u64,
        last_incident: &'a mut u64,
    ) -> Self {
        Self {
            at,
            host,
            last_ticket,
            last_incident,
            commands: Vec::new(),
        }
    }

    /// The next run's number.
    pub(crate) fn ticket(&mut self) -> u64 {
        *self.last_ticket += 1;
        *self.last_ticket
    }

    /// The next incident's number.
    pub(crate) fn incident(&mut self) -> u64 {
        *self.last_incident += 1;
        *self.last_incident
    }

    pub(crate) fn order(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// A note of a service that belongs to no incident and no trigger.
    pub(crate) fn note(&mut self, service: &str, what: What, reason: impl Into<String>) {
        let note = self.noted(service, what, reason);
        self.order(Command::Note(note));
    }

    /// The same, not written down yet.
    pub(crate) fn noted(&self, service: &str, what: What, reason: impl Into<String>) -> Note {
        Note {
            at: self.at,
            service: service.to_owned(),
            incident: None,
            what,
            trigger: None,
            cause: None,
            reason: reason.into(),
            detail: None,
        }
    }

    pub(crate) fn into_commands(self) -> Vec<Command> {
        self.commands
    }
}
