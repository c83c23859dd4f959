//! The journal, read by tools: from its first record that is kept to its last.
//!
//! Takes no lock and changes nothing, so it reads beside a running agent. What
//! that agent has not written whole yet simply ends the reading.

use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, HostDisk};
use super::error::{Damage, JournalError};
use super::layout::Layout;
use super::merge::{Fault, Merge, Merged};
use super::record::Record;
use super::recovery;
use super::state_dir::open_dir;

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
    let fd = open_dir(dir).map_err(|e| JournalError::file("open", &dir.to_string_lossy(), e))?;
    let disk: Arc<dyn Disk> = Arc::new(HostDisk::new(fd));
    read_on(&disk)
}

pub(crate) fn read_on(disk: &Arc<dyn Disk>) -> Result<Records, JournalError> {
    let layout = Layout::list(&**disk).map_err(|e| JournalError::file("list", ".", e))?;
    Ok(Records {
        merge: recovery::merge(disk, &layout, None, None),
        tail: None,
    })
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
