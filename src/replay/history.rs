//! The own history as a recording: what the agent took down of one service.
//!
//! Samples and releases come as [`Exposed`] names them, which is what `history
//! export` writes: a replay of the one is a replay of the other, to the tick.
//! Beside them comes what no file of samples can say: why a sample failed, what
//! people did (freezes, orders, answers, words on releases), when the agent
//! started anew, and when it really rolled back, so that what follows that is no
//! conjecture. People answered incidents of the recorded agent by their numbers;
//! in a replay the incident that is open then is meant.

use std::collections::BTreeSet;

use super::exposed::Exposed;
use super::past::{Entry, Past, PastError, Span};
use super::recorder::Recorder;
use super::{Fault, Recording};
use crate::guard::{Command, Event, What};
use crate::journal::Body;
use crate::model::{Moment, Outcome, Policy};

/// Most places of damage that are told one by one.
const MOST_TOLD: usize = 10;

/// Why a history cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read.
    #[error(transparent)]
    Past(#[from] PastError),
    /// It has nothing to replay.
    #[error(transparent)]
    Recording(#[from] Fault),
}

impl Recording {
    /// What was taken down of a service, of the sources of these policies of it.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be read, or has no samples of the
    /// policy's sources in that time. Damage in it is a remark.
    pub fn of_history(policies: &[&Policy], past: &Past, span: Span) -> Result<Self, HistoryError> {
        let named = policies.first().ok_or(Fault::Empty)?.service.as_str();
        let mut exposed = Exposed::new(named, span);
        let mut recorder = Recorder::new(policies.iter().copied());
        let mut deeds = Deeds::new(named, span);
        let mut fault = None;
        let mut damages = 0_usize;
        let mut remarks = Vec::new();
        for entry in past.entries(span)? {
            let entry = match entry {
                Ok(entry) => entry,
                Err(damage) => {
                    damages += 1;
                    if damages <= MOST_TOLD {
                        remarks.push(format!("the history is damaged: {damage}"));
                    }
                    continue;
                }
            };
            exposed.take(&entry, &mut |row| {
                if fault.is_none() {
                    fault = recorder.row(row.slot, row.series, row.at, row.value).err();
                }
            });
            if let Body::Event(Event::Sampled {
                service,
                source,
                outcome,
                ..
            }) = &entry.body
                && let Outcome::Failed(gap)
                | Outcome::Probed {
                    fault: Some(gap), ..
                } = outcome
                && service == named
            {
                recorder.why(source, entry.at, gap);
            }
            if let Body::Lost(lost) = &entry.body
                && span.has(entry.at)
                && remarks.len() < MOST_TOLD
            {
                remarks.push(format!("records were not kept: {}", lost.why));
            }
            deeds.take(&entry);
        }
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        if damages > MOST_TOLD {
            remarks.push(format!("… and {} more", damages - MOST_TOLD));
        }
        for remark in remarks {
            recorder.remark(remark);
        }
        let mut recording = recorder.finish()?;
        recording.happened = deeds.happened(recording.span.0);
        recording.taken = deeds.taken;
        Ok(recording)
    }
}

/// What people and the agent did.
struct Deeds<'p> {
    service: &'p str,
    span: Span,
    /// The service's incidents so far.
    incidents: BTreeSet<u64>,
    /// The freeze that is in force when the span begins.
    frozen: Option<(Moment, Event)>,
    happened: Vec<(Moment, Event)>,
    taken: Vec<Moment>,
}

impl<'p> Deeds<'p> {
    fn new(service: &'p str, span: Span) -> Self {
        Self {
            service,
            span,
            incidents: BTreeSet::new(),
            frozen: None,
            happened: Vec::new(),
            taken: Vec::new(),
        }
    }

    fn take(&mut self, entry: &Entry) {
        let event = match &entry.body {
            Body::Event(event) => event,
            Body::Commands { commands, .. } => {
                self.decided(entry.at, commands);
                return;
            }
            Body::Anchor(_) | Body::Lost(_) => return,
        };
        let ours = match event {
            // Samples, and what is taken down as series.
            Event::Sampled { .. }
            | Event::Ticked { .. }
            | Event::Released { .. }
            | Event::Pushed { .. }
            // The replayed policy's own.
            | Event::Revised { .. }
            | Event::Removed { .. }
            | Event::Woke
            // A replay runs no steps, and rests on no journal of its own.
            | Event::Starting { .. }
            | Event::Finished { .. }
            | Event::Distrusted { .. }
            // A rehearsal has changed nothing.
            | Event::Drilled { .. } => false,
            Event::Declared { service, .. }
            | Event::Ordered { service, .. }
            | Event::Froze { service, .. }
            | Event::Unfroze { service, .. } => service == self.service,
            Event::Answered { incident, .. }
            | Event::Counted { incident, .. }
            | Event::Acknowledged { incident, .. }
            | Event::Aborted { incident, .. } => self.incidents.contains(incident),
            Event::Restarted { .. } => entry.own,
        };
        if !ours {
            return;
        }
        if self.span.has(entry.at) {
            self.happened.push((entry.at, event.clone()));
            return;
        }
        // Of what was before, what is still in force.
        match event {
            Event::Froze { freeze, .. } => {
                let lasts = freeze.until.is_some_and(|until| until > self.span.from);
                self.frozen = lasts.then(|| (entry.at, event.clone()));
            }
            Event::Unfroze { .. } => self.frozen = None,
            Event::Declared { .. } => self.happened.push((entry.at, event.clone())),
            _ => {}
        }
    }

    fn decided(&mut self, at: Moment, commands: &[Command]) {
        for command in commands {
            let Command::Note(note) = command else {
                continue;
            };
            if note.service != self.service {
                continue;
            }
            self.incidents.extend(note.incident);
            if note.what == What::RollingBack {
                self.taken.push(at);
            }
        }
    }

    /// In the order of time, none before the first fact.
    fn happened(&mut self, begin: Moment) -> Vec<(Moment, Event)> {
        let mut all: Vec<_> = self.frozen.take().into_iter().collect();
        all.append(&mut self.happened);
        for (at, _) in &mut all {
            *at = (*at).max(begin);
        }
        all.sort_by_key(|(at, _)| *at);
        all
    }
}
