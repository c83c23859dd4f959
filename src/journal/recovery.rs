//! What a start finds: how far the journal is whole, what is to be cut off,
//! what is damaged.
//!
//! A crash leaves a torn end: records that were written and not yet durable may
//! be missing while later ones are there, in either log. A flipped bit or a
//! lost sector leaves the same picture at a place where all was durable. What
//! tells them apart is that every line and frame says up to where everything
//! was durable when it was written: a hole above all of these marks is a torn
//! end and is cut off, one below is damage.
//!
//! After damage nothing is thrown away: the records behind it are stepped as
//! well (a rollback that ran must not be forgotten because a sample before it
//! is gone), the files stay as they are, and writing goes on in new ones.

use std::sync::Arc;

use super::disk::Disk;
use super::error::{Damage, Torn};
use super::layout::{Found, Layout};
use super::log::{LogReader, Place, Which};
use super::merge::{Fault, Hole, Merge, Merged, Side};
use super::record::{Anchor, Body, Lost, Record};
use super::snapshot::Head;
use crate::guard::{Command, Event};
use crate::model::Moment;

/// What a start goes on from.
#[derive(Debug)]
pub struct Recovery<S> {
    /// The newest state that can be read; `None` at the very first start, or
    /// when none can be read (then `damage` says so).
    pub snapshot: Option<S>,
    /// The events after it, in order, to be stepped before anything else.
    pub steps: Steps,
    /// The latest moment that the journal has seen: the clock goes on from here
    /// at the earliest.
    pub last_at: Option<Moment>,
    /// The last anchor, to carry the clock over.
    pub last_anchor: Option<Anchor>,
    /// What is not as it was written. Unless empty: judge and tell, but act only
    /// after a person's word.
    pub damage: Vec<Damage>,
    /// What the last crash left and was cut off: for the log, nothing more.
    pub torn: Vec<Torn>,
    /// Losses since the snapshot that were known when they happened.
    pub lost: Vec<Lost>,
}

/// One event to be stepped again, with what it led to the first time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its sequence number.
    pub seq: u64,
    /// When it arrived.
    pub at: Moment,
    /// The event.
    pub event: Event,
    /// The orders recorded for it. Of the last event, an empty list may mean
    /// that the agent ended before it wrote them down: then they were not
    /// carried out either.
    pub commands: Vec<Command>,
}

/// The events after the snapshot, read while they are asked for.
pub struct Steps {
    merge: Merge,
    ahead: Option<Record>,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}

impl Steps {
    fn record(&mut self) -> Option<Record> {
        // Damage and holes have been told by the survey.
        self.merge.find_map(|merged| match merged {
            Merged::Record { record, .. } => Some(record),
            Merged::Hole(_) | Merged::Damage(_) => None,
        })
    }
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let mut step = loop {
            let Record { seq, at, body } = match self.ahead.take() {
                Some(record) => record,
                None => self.record()?,
            };
            if let Body::Event(event) = body {
                break Step {
                    seq,
                    at,
                    event,
                    commands: Vec::new(),
                };
            }
        };
        while let Some(record) = self.record() {
            match record.body {
                Body::Commands { cause, commands } if cause == step.seq => {
                    step.commands.extend(commands);
                }
                Body::Event(_) => {
                    self.ahead = Some(record);
                    break;
                }
                // Orders of an event that is lost cannot be checked against it.
                Body::Commands { .. } | Body::Anchor(_) | Body::Lost(_) => {}
            }
        }
        Some(step)
    }
}

/// How far the records go, and what the last ones said.
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    /// The next record's number.
    pub(crate) next: u64,
    pub(crate) last_at: Option<Moment>,
    pub(crate) wall_ahead_ms: i64,
    pub(crate) anchor: Option<Anchor>,
    pub(crate) samples: Option<Place>,
    pub(crate) decisions: Option<Place>,
    lost: Vec<(Lost, u64)>,
}

/// What was found from the snapshot on.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) end: End,
    pub(crate) damage: Vec<Damage>,
    /// What is behind the end is a torn write.
    pub(crate) cut: bool,
}

enum Finding {
    Hole(Hole, Box<End>),
    Damage(Damage),
}

/// The records from the snapshot on, or from the first one that is there.
pub(crate) fn merge(
    disk: &Arc<dyn Disk>,
    layout: &Layout,
    head: Option<&Head>,
    end: Option<&End>,
) -> Merge {
    let reader = |which, segments: &[Found], from: Option<&Place>, until: Option<&Place>| {
        LogReader::new(
            Arc::clone(disk),
            which,
            segments,
            from.cloned(),
            until.cloned(),
        )
    };
    let whole_from = head.map_or_else(|| whole_from(layout), |head| head.next);
    Merge::new(
        reader(
            Which::Samples,
            &layout.samples,
            head.map(|h| &h.samples),
            end.and_then(|e| e.samples.as_ref()),
        ),
        reader(
            Which::Decisions,
            &layout.decisions,
            head.map(|h| &h.decisions),
            end.and_then(|e| e.decisions.as_ref()),
        ),
        whole_from,
    )
}

/// From here on both logs are still kept.
pub(crate) fn whole_from(layout: &Layout) -> u64 {
    let first = |files: &[Found]| files.first().map_or(1, |f| f.first);
    first(&layout.samples).max(first(&layout.decisions))
}

impl Steps {
    pub(crate) fn new(
        disk: &Arc<dyn Disk>,
        layout: &Layout,
        head: Option<&Head>,
        end: &End,
    ) -> Self {
        Self {
            merge: merge(disk, layout, head, Some(end)),
            ahead: None,
        }
    }
}

impl End {
    fn new(layout: &Layout, head: Option<&Head>) -> Self {
        head.map_or_else(
            || Self {
                next: whole_from(layout),
                ..Self::default()
            },
            |head| Self {
                next: head.next,
                last_at: Some(head.at),
                wall_ahead_ms: head.wall_ahead_ms,
                anchor: head.anchor.clone(),
                ..Self::default()
            },
        )
    }

    fn saw(&mut self, record: &Record) {
        self.next = self.next.max(record.seq.saturating_add(1));
        self.last_at = self.last_at.max(Some(record.at));
        match &record.body {
            Body::Event(Event::Ticked { wall_ahead_ms, .. }) => self.wall_ahead_ms = *wall_ahead_ms,
            Body::Anchor(anchor) => {
                self.wall_ahead_ms = anchor.wall_ahead_ms();
                self.anchor = Some(anchor.clone());
            }
            Body::Lost(lost) => self.lost.push((lost.clone(), record.seq)),
            Body::Event(_) | Body::Commands { .. } => {}
        }
    }

    pub(crate) fn lost(&self) -> Vec<Lost> {
        self.lost.iter().map(|(lost, _)| lost.clone()).collect()
    }
}

/// Whether there is no record in a later segment than this place's: only then
/// may what is behind it be cut off. An empty one may be there, of a
/// [`roll`](super::Journal::roll) that failed.
fn is_last(side: &Side, place: Option<&Place>) -> bool {
    place.is_some_and(|place| place.first >= side.last) && side.faults.iter().all(|f| f.torn)
}

impl Survey {
    pub(crate) fn run(disk: &Arc<dyn Disk>, layout: &Layout, head: Option<&Head>) -> Self {
        let mut merge = merge(disk, layout, head, None);
        let mut end = End::new(layout, head);
        let mut findings = Vec::new();
        let mut safe = head.map_or(0, |head| head.next.saturating_sub(1));
        let mut samples_safe = safe;
        while let Some(merged) = merge.next() {
            match merged {
                Merged::Record {
                    record,
                    safe: s,
                    samples_safe: ss,
                } => {
                    safe = safe.max(s);
                    samples_safe = samples_safe.max(ss).max(s);
                    end.saw(&record);
                }
                Merged::Hole(hole) => {
                    let before = End {
                        samples: merge.samples.place.clone(),
                        decisions: merge.decisions.place.clone(),
                        ..end.clone()
                    };
                    findings.push(Finding::Hole(hole, Box::new(before)));
                }
                Merged::Damage(damage) => findings.push(Finding::Damage(damage)),
            }
        }
        end.samples.clone_from(&merge.samples.place);
        end.decisions.clone_from(&merge.decisions.place);

        let mut survey = Self {
            end,
            damage: Vec::new(),
            cut: false,
        };
        for finding in findings {
            match finding {
                Finding::Damage(damage) => survey.damage.push(damage),
                Finding::Hole(hole, before) => {
                    let told =
                        |(lost, seq): &(Lost, u64)| lost.from <= hole.from && hole.to <= *seq;
                    if survey.end.lost.iter().any(told) {
                        continue;
                    }
                    let durable = if hole.of_samples { samples_safe } else { safe };
                    if hole.from > durable
                        && is_last(&merge.samples, before.samples.as_ref())
                        && is_last(&merge.decisions, before.decisions.as_ref())
                    {
                        survey.end = *before;
                        survey.cut = true;
                        return survey;
                    }
                    survey.damage.push(Damage::Hole {
                        from: hole.from,
                        to: Some(hole.to),
                        found: hole.found,
                    });
                }
            }
        }
        for (side, durable) in [
            (&mut merge.samples, samples_safe),
            (&mut merge.decisions, safe),
        ] {
            if side.faults.is_empty() {
                continue;
            }
            if is_last(side, side.place.as_ref()) && survey.end.next > durable {
                survey.cut = true;
            } else {
                survey
                    .damage
                    .extend(side.faults.drain(..).map(Fault::damage));
            }
        }
        if !survey.damage.is_empty() {
            survey.cut = false;
        }
        survey
    }
}
