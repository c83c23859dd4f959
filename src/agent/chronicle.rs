//! What the journal has of one incident: read when somebody asks, beside the
//! loop, and from the beginning. Incidents are asked about rarely, and the log
//! of decisions is small.

use std::path::Path;

use super::recalled::{Past, Recalled};
use crate::control::{Chronicle, Wanted};
use crate::guard::{Command, Event, Incident};
use crate::journal::{Body, Record, read_decisions};
use crate::view::RanStep;

/// Reads all decisions in the journal of a state directory. `None` when it cannot be read,
/// or has nothing of this incident.
pub(super) fn chronicle(state: &Path, incident: u64) -> Option<Chronicle> {
    let records = match read_decisions(state) {
        Ok(records) => records,
        Err(error) => {
            tracing::warn!(%error, "cannot read the journal for incident {incident}");
            return None;
        }
    };
    // What is damaged was said at the start, and stops the agent from acting.
    let found = gather(records.filter_map(Result::ok), incident);
    (!found.notes.is_empty()).then_some(found)
}

/// The last closed incidents in the journal, the newest first, each with how far
/// the wall clock was ahead then, in milliseconds. None when it cannot be read.
pub(super) fn past(state: &Path, wanted: Wanted) -> Vec<(Incident, i64)> {
    let mut past = Past::new(wanted);
    match read_decisions(state) {
        Ok(records) => records
            .filter_map(Result::ok)
            .for_each(|record| past.see(&record)),
        Err(error) => tracing::warn!(%error, "cannot read the journal for past incidents"),
    }
    past.take()
}

fn gather(records: impl Iterator<Item = Record>, incident: u64) -> Chronicle {
    let mut found = Chronicle::default();
    let mut recalled = Recalled::new(incident);
    // Beside each attempt, the index of its step: what its end is known by.
    let mut indices = Vec::new();
    for record in records {
        recalled.see(&record);
        match record.body {
            Body::Commands { commands, .. } => {
                for command in commands {
                    match command {
                        Command::Note(note) if note.incident == Some(incident) => {
                            found.notes.push(note);
                        }
                        Command::Run(order) if order.incident == incident => {
                            indices.push(order.step);
                            found.steps.push(RanStep {
                                ticket: order.ticket,
                                name: order.name,
                                attempt: order.attempt,
                                ordered: record.at,
                                end: None,
                            });
                        }
                        Command::Note(_)
                        | Command::Run(_)
                        | Command::Cancel { .. }
                        | Command::Tell(_) => {}
                    }
                }
            }
            Body::Event(Event::Finished {
                ticket, step, end, ..
            }) => {
                let last = found.steps.iter_mut().zip(&indices).rev();
                let ran = last
                    .filter(|(ran, index)| ran.ticket == ticket && **index == step)
                    .map(|(ran, _)| ran)
                    .next();
                if let Some(ran) = ran.filter(|ran| ran.end.is_none()) {
                    ran.end = Some(end);
                }
            }
            Body::Event(_) | Body::Anchor(_) | Body::Lost(_) => {}
        }
    }
    (found.incident, found.policy, found.wall_ahead_ms) = recalled.take();
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guard::{Note, Order, What};
    use crate::model::{Action, HowEnded, Moment, Output, StepEnd};

    fn record(seq: u64, body: Body) -> Record {
        Record {
            seq,
            at: Moment::from_millis(seq * 1000),
            body,
        }
    }

    fn run(seq: u64, incident: u64, step: usize, attempt: u32) -> Record {
        let order = Order {
            service: "checkout".into(),
            incident,
            ticket: incident,
            step,
            name: format!("step {step}"),
            attempt,
            action: Action::Symlink {
                link: "current".into(),
                to: "v1".into(),
            },
            timeout: Duration::from_secs(60),
            shadow: false,
        };
        let note = Note {
            at: Moment::from_millis(seq * 1000),
            service: "checkout".into(),
            incident: Some(incident),
            what: What::StepStarted,
            trigger: None,
            cause: None,
            reason: format!("step {step}"),
            detail: None,
        };
        record(
            seq,
            Body::Commands {
                cause: seq,
                commands: vec![Command::Note(note), Command::Run(order)],
            },
        )
    }

    fn finished(seq: u64, ticket: u64, step: usize, how: HowEnded) -> Record {
        let end = StepEnd {
            how,
            output: Output::default(),
            took: Duration::from_secs(1),
        };
        let event = Event::Finished {
            service: "checkout".into(),
            ticket,
            step,
            end,
        };
        record(seq, Body::Event(event))
    }

    #[test]
    fn each_attempt_has_its_own_end_and_other_incidents_are_left_out() {
        let records = vec![
            run(1, 1, 0, 0),
            finished(2, 1, 0, HowEnded::Exited(1)),
            run(3, 1, 0, 1),
            run(4, 2, 0, 0),
            finished(5, 2, 0, HowEnded::NotFound),
            finished(6, 1, 0, HowEnded::Succeeded),
            run(7, 1, 1, 0),
        ];
        let found = gather(records.into_iter(), 1);
        let ends: Vec<_> = found
            .steps
            .iter()
            .map(|s| (s.attempt, s.end.as_ref().map(|e| e.how.clone())))
            .collect();
        assert_eq!(
            ends,
            [
                (0, Some(HowEnded::Exited(1))),
                (1, Some(HowEnded::Succeeded)),
                (0, None),
            ]
        );
        assert_eq!(found.notes.len(), 3);
    }
}
