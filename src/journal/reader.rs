//! The journal, read by tools: from its first record that is kept to its last.
//!
//! Takes no lock and changes nothing, so it reads beside a running agent. What
//! that agent has not written whole yet simply ends the reading.

use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, HostDisk};
use super::error::{Damage, JournalError};
use super::layout::{Found, Layout};
use super::merge::{Fault, Merge, Merged};
use super::record::{Body, Record};
use super::recovery;
use super::samples;
use super::state_dir::open_dir;
use crate::model::Moment;

/// All records, in the order of their numbers; between them what is damaged.
pub struct Records {
    merge: Merge,
    tail: Option<Vec<Fault>>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

/// Reads the journal in a state directory.
///
/// # Errors
///
/// When the directory cannot be read. Damage comes among the records.
pub fn read(dir: &Path) -> Result<Records, JournalError> {
    read_on(&host(dir)?)
}

/// Reads the log of decisions alone: a small part of the journal, and all that
/// tells of an incident. The samples' numbers are missing in it, which comes as
/// damage among the records.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn read_decisions(dir: &Path) -> Result<Records, JournalError> {
    some_of(dir, |_, layout| layout.samples.clear())
}

/// Reads the samples that were taken from one moment to another, and some of
/// those before and after: whole segments. The decisions' numbers are missing
/// in it, which comes as damage among the records.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn read_samples(dir: &Path, from: Moment, to: Moment) -> Result<Records, JournalError> {
    some_of(dir, |disk, layout| {
        layout.decisions.clear();
        let begun = |found: &Found| {
            let head = disk.read(&found.name, 0, samples::HEADER).ok()?;
            Some(samples::read_header(&head, found.first).ok()?.1)
        };
        let begun: Vec<_> = layout.samples.iter().map(begun).collect();
        let mut place = 0;
        layout.samples.retain(|_| {
            // A segment ends where the next one begins; one that does not say
            // is read.
            let ended = begun.get(place + 1).copied().flatten();
            let wanted = begun[place].is_none_or(|begun| begun <= to)
                && ended.is_none_or(|ended| ended >= from);
            place += 1;
            wanted
        });
    })
}

/// Reads what was taken down from a moment on, and some of the time before:
/// whole segments of samples, and every decision that is kept. What is kept no
/// more is not missed.
///
/// # Errors
///
/// When the directory cannot be read. Damage comes among the records.
pub fn read_from(dir: &Path, from: Moment) -> Result<Records, JournalError> {
    read_from_on(&host(dir)?, from)
}

pub(crate) fn read_from_on(disk: &Arc<dyn Disk>, from: Moment) -> Result<Records, JournalError> {
    some_on(disk, |disk, layout| {
        let ended = |next: &Found| {
            let head = disk.read(&next.name, 0, samples::HEADER).ok()?;
            Some(samples::read_header(&head, next.first).ok()?.1)
        };
        // A segment ends where the next one begins; one that does not say is
        // read.
        let over = layout
            .samples
            .windows(2)
            .take_while(|pair| ended(&pair[1]).is_some_and(|ended| ended < from))
            .count();
        layout.samples.drain(..over);
    })
}

/// How far the wall clock was ahead of the agent's when that was last taken
/// down, in milliseconds; `None` when nothing says so.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn wall_ahead_ms(dir: &Path) -> Result<Option<i64>, JournalError> {
    wall_ahead_ms_on(&host(dir)?)
}

pub(crate) fn wall_ahead_ms_on(disk: &Arc<dyn Disk>) -> Result<Option<i64>, JournalError> {
    let mut layout = Layout::list(&**disk).map_err(|e| JournalError::file("list", ".", e))?;
    layout.samples.clear();
    while let Some(last) = layout.decisions.pop() {
        let alone = Layout {
            decisions: vec![last],
            ..Layout::default()
        };
        let records = Records::over(disk, &alone);
        let said = records.filter_map(|record| match record.ok()?.body {
            Body::Anchor(anchor) => Some(anchor.wall_ahead_ms()),
            Body::Event(_) | Body::Commands { .. } | Body::Lost(_) => None,
        });
        if let Some(last) = said.last() {
            return Ok(Some(last));
        }
    }
    Ok(None)
}

/// Bytes that the journal takes in a state directory: samples, decisions, and
/// snapshots of the state.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn bytes(dir: &Path) -> Result<[u64; 3], JournalError> {
    let disk = host(dir)?;
    let layout = Layout::list(&*disk).map_err(|e| JournalError::file("list", ".", e))?;
    let sum = |files: &[Found]| files.iter().map(|file| file.len).sum();
    Ok([&layout.samples, &layout.decisions, &layout.snapshots].map(|files| sum(files)))
}

fn host(dir: &Path) -> Result<Arc<dyn Disk>, JournalError> {
    let fd = open_dir(dir).map_err(|e| JournalError::file("open", &dir.to_string_lossy(), e))?;
    Ok(Arc::new(HostDisk::new(fd)))
}

fn some_of(
    dir: &Path,
    narrow: impl FnOnce(&dyn Disk, &mut Layout),
) -> Result<Records, JournalError> {
    some_on(&host(dir)?, narrow)
}

fn some_on(
    disk: &Arc<dyn Disk>,
    narrow: impl FnOnce(&dyn Disk, &mut Layout),
) -> Result<Records, JournalError> {
    let mut layout = Layout::list(&**disk).map_err(|e| JournalError::file("list", ".", e))?;
    narrow(&**disk, &mut layout);
    Ok(Records::over(disk, &layout))
}

pub(crate) fn read_on(disk: &Arc<dyn Disk>) -> Result<Records, JournalError> {
    let layout = Layout::list(&**disk).map_err(|e| JournalError::file("list", ".", e))?;
    Ok(Records::over(disk, &layout))
}

impl Records {
    fn over(disk: &Arc<dyn Disk>, layout: &Layout) -> Self {
        Self {
            merge: recovery::merge(disk, layout, None, None),
            tail: None,
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(merged) = self.merge.next() {
            match merged {
                Merged::Record { record, .. } => return Some(Ok(record)),
                // The record that comes next says it.
                Merged::Hole(hole) if self.merge.is_told(&hole) => {}
                Merged::Hole(hole) => {
                    return Some(Err(Damage::Hole {
                        from: hole.from,
                        to: Some(hole.to),
                        found: hole.found,
                    }));
                }
                Merged::Damage(damage) => return Some(Err(damage)),
            }
        }
        let tail = self.tail.get_or_insert_with(|| {
            let mut faults = std::mem::take(&mut self.merge.samples.faults);
            faults.append(&mut self.merge.decisions.faults);
            // The agent may be writing there right now.
            faults.retain(|fault| !fault.torn);
            faults
        });
        tail.pop().map(|fault| Err(fault.damage()))
    }
}
