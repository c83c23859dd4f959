//! An incident that the state has forgotten, put together again from what the
//! journal has of it.
//!
//! A service keeps its last closed incidents at hand and no more. The note that
//! closed an older one has it whole, but for its timeline, which its notes are;
//! what was counted later stands in theirs. No words are read: an incident
//! without such a note is not recalled.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::Wanted;
use crate::guard::{Command, Detail, Event, Incident, Note, What};
use crate::journal::{Body, Record};
use crate::model::Policy;

/// What is recalled of one incident while its records pass by.
#[derive(Debug)]
pub(super) struct Recalled {
    number: u64,
    /// The policies in force, by service.
    policies: BTreeMap<String, Arc<Policy>>,
    /// The policy in force when it opened.
    policy: Option<Arc<Policy>>,
    wall_ahead_ms: Option<i64>,
    incident: Option<Incident>,
    notes: Vec<Note>,
}

impl Recalled {
    pub(super) const fn new(number: u64) -> Self {
        Self {
            number,
            policies: BTreeMap::new(),
            policy: None,
            wall_ahead_ms: None,
            incident: None,
            notes: Vec::new(),
        }
    }

    /// The incident, if its closing has passed by; the policy in force when it
    /// opened; and how far the wall clock was ahead, in milliseconds.
    pub(super) fn take(self) -> (Option<Incident>, Option<Arc<Policy>>, Option<i64>) {
        let incident = self.incident.map(|mut incident| {
            incident.left_out = 0;
            for note in self.notes {
                incident.note(note);
            }
            incident
        });
        (incident, self.policy, self.wall_ahead_ms)
    }

    /// Lets a record pass by; all of them, in their order.
    pub(super) fn see(&mut self, record: &Record) {
        match &record.body {
            Body::Event(Event::Revised { policy, .. }) => {
                let name = policy.service.clone();
                self.policies.insert(name, Arc::clone(policy));
            }
            Body::Commands { commands, .. } => {
                for command in commands {
                    match command {
                        Command::Note(note) if note.incident == Some(self.number) => {
                            self.note(note);
                        }
                        Command::Tell(notice) if notice.incident == Some(self.number) => {
                            self.wall_ahead_ms = Some(notice.wall_ahead_ms);
                        }
                        Command::Note(_)
                        | Command::Tell(_)
                        | Command::Run(_)
                        | Command::Cancel { .. } => {}
                    }
                }
            }
            Body::Event(_) | Body::Anchor(_) | Body::Lost(_) => {}
        }
    }

    fn note(&mut self, note: &Note) {
        if note.what == What::Opened {
            self.policy = self.policies.get(&note.service).cloned();
        }
        match (note.detail.as_deref(), &mut self.incident) {
            (Some(Detail::Closed(incident)), _) => self.incident = Some(incident.clone()),
            (Some(Detail::Lost(loss)), Some(incident)) => incident.lose(loss.clone()),
            // What was lost before the closing is in it.
            (Some(Detail::Lost(_)), None) | (None, _) => {}
        }
        let mut note = note.clone();
        note.detail = None;
        self.notes.push(note);
    }
}

/// The last closed incidents that pass by, each with how far the wall clock was
/// ahead then, in milliseconds.
#[derive(Debug)]
pub(super) struct Past {
    wanted: Wanted,
    found: BTreeMap<u64, (Incident, i64)>,
}

impl Past {
    pub(super) const fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            found: BTreeMap::new(),
        }
    }

    /// The newest first.
    pub(super) fn take(self) -> Vec<(Incident, i64)> {
        self.found.into_values().rev().collect()
    }

    /// Lets a record pass by; all of them, in their order.
    pub(super) fn see(&mut self, record: &Record) {
        let Body::Commands { commands, .. } = &record.body else {
            return;
        };
        for command in commands {
            match command {
                Command::Note(Note {
                    detail: Some(detail),
                    ..
                }) => {
                    if let Detail::Closed(incident) = detail.as_ref()
                        && self.wanted.has(incident)
                    {
                        let number = incident.number;
                        self.found.insert(number, (incident.clone(), 0));
                        if self.found.len() > self.wanted.most {
                            self.found.pop_first();
                        }
                    }
                }
                // That of the closing comes right after its note.
                Command::Tell(notice) => {
                    let told = notice.incident.and_then(|n| self.found.get_mut(&n));
                    if let Some((_, wall_ahead_ms)) = told {
                        *wall_ahead_ms = notice.wall_ahead_ms;
                    }
                }
                Command::Note(_) | Command::Run(_) | Command::Cancel { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
