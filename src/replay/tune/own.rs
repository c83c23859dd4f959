//! Labels from the agent's own journal: the incidents of a service that turned
//! out to be real.
//!
//! An incident was real if a rollback cured it, or a person said so by what they
//! did: approved it, acknowledged it, ordered a rollback, counted what was lost.
//! One that a person dismissed was none. Of the rest nobody knows, and they are
//! neither: to call them real would praise the policy for what it did anyway.

use std::collections::BTreeMap;

use super::labels::merged;
use super::{Labelled, TuneFault};
use crate::guard::{Command, Event, Note, What};
use crate::journal::Body;
use crate::model::Moment;
use crate::replay::{Entry, Past, PastError, Span};

/// What the journal has of a service's incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnIncidents {
    /// Those that were real, from the breach to the end of the incident.
    pub labelled: Vec<Labelled>,
    /// How many a person dismissed.
    pub dismissed: usize,
    /// How many nobody said anything of.
    pub unknown: usize,
}

/// The journal cannot be read, or has nothing to go by.
#[derive(Debug, thiserror::Error)]
pub enum OwnFault {
    /// It cannot be read.
    #[error(transparent)]
    Past(#[from] PastError),
    /// No incident in it was real.
    #[error(transparent)]
    None(#[from] TuneFault),
}

/// The incidents of a service in a state directory's journal.
///
/// # Errors
///
/// When it cannot be read, or none of its incidents was confirmed.
pub fn own_incidents(past: &Past, service: &str) -> Result<OwnIncidents, OwnFault> {
    let mut seen = Seen::default();
    let mut end = Moment::ZERO;
    // What is damaged is told by the recording of the same journal.
    for entry in past.entries(Span::ALL)?.flatten() {
        end = end.max(entry.at);
        seen.see(service, &entry);
    }
    let own = seen.take(end);
    if own.labelled.is_empty() {
        let fault =
            TuneFault::new("no incident in the journal is known to have been real").hint(format!(
                "{} dismissed, of {} nobody said anything: acknowledge or approve those that are \
                 real, or give a CSV with `--incidents`",
                own.dismissed, own.unknown
            ));
        return Err(fault.into());
    }
    Ok(own)
}

/// What passed by, by incident.
#[derive(Debug, Default)]
struct Seen(BTreeMap<u64, Known>);

#[derive(Debug)]
struct Known {
    from: Moment,
    to: Option<Moment>,
    trigger: String,
    confirmed: bool,
    dismissed: bool,
}

impl Seen {
    fn see(&mut self, service: &str, entry: &Entry) {
        match &entry.body {
            Body::Commands { commands, .. } => {
                for command in commands {
                    if let Command::Note(note) = command
                        && note.service == service
                    {
                        self.noted(entry.at, note);
                    }
                }
            }
            Body::Event(Event::Answered {
                incident, approve, ..
            }) => {
                if let Some(known) = self.0.get_mut(incident) {
                    known.confirmed |= approve;
                    known.dismissed |= !approve;
                }
            }
            Body::Event(_) | Body::Anchor(_) | Body::Lost(_) => {}
        }
    }

    fn noted(&mut self, at: Moment, note: &Note) {
        let Some(number) = note.incident else { return };
        if note.what == What::Opened {
            let since = note.cause.as_ref().and_then(|cause| cause.since);
            let before = since.map_or(std::time::Duration::ZERO, |since| note.at.since(since));
            self.0.insert(
                number,
                Known {
                    from: at - before,
                    to: None,
                    trigger: note.trigger.clone().unwrap_or_default(),
                    confirmed: false,
                    dismissed: false,
                },
            );
        }
        let Some(known) = self.0.get_mut(&number) else {
            return;
        };
        match note.what {
            What::Closed => known.to = Some(at),
            What::Cured | What::Acknowledged | What::Ordered | What::Counted => {
                known.confirmed = true;
            }
            _ => {}
        }
    }

    fn take(self, end: Moment) -> OwnIncidents {
        let mut own = OwnIncidents::default();
        for (number, known) in self.0 {
            let to = known.to.unwrap_or(end);
            if known.dismissed && !known.confirmed {
                own.dismissed += 1;
            } else if known.confirmed && to > known.from {
                own.labelled.push(Labelled {
                    from: known.from,
                    to,
                    name: format!("incident {number} {}", known.trigger),
                });
            } else {
                own.unknown += 1;
            }
        }
        own.labelled = merged(own.labelled);
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(s: u64) -> Moment {
        Moment::from_millis(s * 1000)
    }

    fn note(s: u64, service: &str, incident: u64, what: What) -> Entry {
        let note = Note {
            at: at(s),
            service: service.to_owned(),
            incident: Some(incident),
            what,
            trigger: Some("errors".to_owned()),
            cause: None,
            reason: "a test".to_owned(),
            detail: None,
        };
        Entry {
            at: at(s + 1_000_000),
            body: Body::Commands {
                cause: 1,
                commands: vec![Command::Note(note)],
            },
            own: true,
        }
    }

    #[test]
    fn only_what_somebody_or_a_cure_confirmed_is_a_label() {
        let mut seen = Seen::default();
        for entry in [
            note(10, "shop", 1, What::Opened),
            note(20, "shop", 1, What::Acknowledged),
            note(90, "shop", 1, What::Closed),
            // Nobody came.
            note(100, "shop", 2, What::Opened),
            note(190, "shop", 2, What::Closed),
            // Of another service.
            note(200, "mail", 3, What::Opened),
            note(210, "mail", 3, What::Cured),
            // A person said no.
            note(300, "shop", 4, What::Opened),
            Entry {
                at: at(1_000_310),
                body: Body::Event(Event::Answered {
                    incident: 4,
                    by: crate::guard::Person {
                        name: "ann".to_owned(),
                        roles: Vec::new(),
                    },
                    role: None,
                    approve: false,
                    reason: String::new(),
                    link: None,
                }),
                own: true,
            },
            note(310, "shop", 4, What::Closed),
            // Not closed yet.
            note(400, "shop", 5, What::Opened),
            note(410, "shop", 5, What::Cured),
        ] {
            seen.see("shop", &entry);
        }
        let own = seen.take(at(1_000_500));
        let spans: Vec<_> = own.labelled.iter().map(|l| (l.from, l.to)).collect();
        assert_eq!(
            spans,
            [
                (at(1_000_010), at(1_000_090)),
                (at(1_000_400), at(1_000_500))
            ]
        );
        assert_eq!((own.dismissed, own.unknown), (1, 1));
        assert_eq!(own.labelled[0].name, "incident 1 errors");
    }
}
