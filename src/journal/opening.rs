//! The journal, as a start opens it: what is torn is cut off, what is damaged is
//! left behind, and writing goes on.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::decisions::{DecisionWriter, ROOT};
use super::disk::{Disk, DiskFile, HostDisk, uninterrupted};
use super::error::{Damage, JournalError, Torn};
use super::layout::{self, Found, Layout};
use super::log::Place;
use super::options::Options;
use super::recovery::{Recovery, Steps, Survey, whole_from};
use super::samples::{self, SampleWriter};
use super::snapshot::{self, Head};
use super::state_dir::StateDir;
use super::writer::{Journal, Log, new_decisions, new_samples, sync_dir};

impl Journal {
    /// Takes a state directory for this process, cuts off what the last crash
    /// tore, and reads what to go on from. Writes nothing to a journal that was
    /// left whole: a thousand starts do not make it grow.
    ///
    /// # Errors
    ///
    /// When the directory is not to be trusted, is held by another agent, or
    /// cannot be read or written. Damage in the journal is not an error: it is
    /// in the [`Recovery`].
    pub fn open<S: DeserializeOwned>(
        dir: &Path,
        options: Options,
    ) -> Result<(Self, Recovery<S>), JournalError> {
        let StateDir { dir, lock } = StateDir::take(dir, options.started_unix_ms)?;
        let (mut journal, recovery) = Self::open_on(Arc::new(HostDisk::new(dir)), options)?;
        journal.lock = Some(lock);
        Ok((journal, recovery))
    }

    pub(crate) fn open_on<S: DeserializeOwned>(
        disk: Arc<dyn Disk>,
        options: Options,
    ) -> Result<(Self, Recovery<S>), JournalError> {
        let mut layout = uninterrupted(|| Layout::list(&*disk))
            .map_err(|e| JournalError::file("list", ".", e))?;
        for name in &layout.leftovers {
            uninterrupted(|| disk.remove(name))
                .map_err(|e| JournalError::file("remove", name, e))?;
        }
        let mut damage = missing(&layout);
        let (head, state) = newest_snapshot::<S>(&*disk, &layout, &mut damage).unzip();
        let survey = Survey::run(&disk, &layout, head.as_ref());
        damage.extend(survey.damage);

        let mut torn = Vec::new();
        let end = survey.end;
        let steps = Steps::new(&disk, &layout, head.as_ref(), &end);
        let may_cut = survey.cut || damage.is_empty();
        if survey.cut {
            unlink_behind(&*disk, &mut layout.samples, end.samples.as_ref())?;
            unlink_behind(&*disk, &mut layout.decisions, end.decisions.as_ref())?;
        }
        let samples = goes_on(&layout.samples, end.samples.as_ref(), may_cut);
        let decisions = goes_on(&layout.decisions, end.decisions.as_ref(), may_cut);
        let spoiled = |files: &[Found], goes_on: &Option<_>| !files.is_empty() && goes_on.is_none();
        let jump = spoiled(&layout.samples, &samples)
            || spoiled(&layout.decisions, &decisions)
            || !missing(&layout).is_empty();
        // Every record takes a byte at least: no number that the unreadable
        // files may have used is used again.
        let next = if jump {
            end.next.max(layout.highest().saturating_add(1)) + layout.bytes() + 1
        } else {
            end.next
        };
        let at = end.last_at.unwrap_or_default();
        let samples = match samples {
            Some((found, place)) => go_on_samples(&*disk, found, place, &mut torn)?,
            None => new_samples(&*disk, next, at)?,
        };
        let decisions = if let Some((found, place)) = decisions {
            let file = cut(&*disk, found, place.at, &mut torn)?;
            let hash = place.chain.clone().unwrap_or_else(|| ROOT.to_owned());
            DecisionWriter::new(found.name.clone(), found.first, file, place.at, hash)
        } else {
            let before = end.decisions.as_ref();
            let prev = before.and_then(|place| place.chain.as_deref());
            let new = new_decisions(&*disk, next, at, prev.unwrap_or(ROOT))?;
            sync_dir(&*disk)?;
            new
        };
        // What was read back behind the snapshot need not be durable yet.
        let safe = head.as_ref().map_or(0, |head| head.next.saturating_sub(1));
        let mut journal = Self {
            disk,
            next,
            safe,
            samples_safe: safe,
            at,
            wall_ahead_ms: end.wall_ahead_ms,
            anchor: end.anchor.clone(),
            samples: Log::Open(samples),
            decisions: Log::Open(decisions),
            snapshot: head,
            previous: None,
            untold: None,
            undurable: 0,
            lost: 0,
            written: 0,
            options,
            lock: None,
        };
        if jump {
            let why = damage
                .first()
                .map_or_else(|| "damage was found".to_owned(), ToString::to_string);
            journal.tell_lost(end.next, why);
        }
        journal.reserve();
        let recovery = Recovery {
            snapshot: state,
            steps,
            last_at: end.last_at,
            lost: end.lost(),
            last_anchor: end.anchor,
            damage,
            torn,
        };
        Ok((journal, recovery))
    }
}

/// The newest snapshot that can be read. Those that cannot are damage, and so is
/// that there is none although the logs no longer begin at the beginning.
fn newest_snapshot<S: DeserializeOwned>(
    disk: &dyn Disk,
    layout: &Layout,
    damage: &mut Vec<Damage>,
) -> Option<(Head, S)> {
    for Found { first, name, .. } in layout.snapshots.iter().rev() {
        let read = uninterrupted(|| disk.read(name, 0, usize::MAX))
            .map_err(|e| format!("cannot be read: {e}"))
            .and_then(|bytes| snapshot::read::<S>(&bytes, *first));
        match read {
            Ok(found) => return Some(found),
            Err(found) => damage.push(Damage::File {
                file: name.clone(),
                found,
            }),
        }
    }
    let first = whole_from(layout);
    if first > 1 || !layout.snapshots.is_empty() && layout.bytes() == 0 {
        damage.push(Damage::NoSnapshot {
            first: (first > 1).then_some(first),
        });
    }
    None
}

/// A log that is not there although the other one is. Samples are begun first.
fn missing(layout: &Layout) -> Vec<Damage> {
    let begun = layout.samples.iter().map(|f| f.len).sum::<u64>() > samples::HEADER as u64;
    let mut damage = Vec::new();
    if layout.samples.is_empty() && !layout.decisions.is_empty() {
        damage.push(Damage::File {
            file: layout::samples_name(1),
            found: "the samples log is missing".to_owned(),
        });
    }
    if layout.decisions.is_empty() && begun {
        damage.push(Damage::File {
            file: layout::decisions_name(1),
            found: "the decisions log is missing".to_owned(),
        });
    }
    damage
}

/// The segment to go on in, and where: the last one, if all of it is known or
/// what is behind may be cut off.
fn goes_on<'a>(
    files: &'a [Found],
    place: Option<&'a Place>,
    may_cut: bool,
) -> Option<(&'a Found, &'a Place)> {
    let (last, place) = (files.last()?, place?);
    let fits = last.first == place.first && last.len >= place.at;
    (fits && (last.len == place.at || may_cut)).then_some((last, place))
}

/// Unlinks segments behind a place at which the log is cut off: there are no
/// records in them.
fn unlink_behind(
    disk: &dyn Disk,
    files: &mut Vec<Found>,
    place: Option<&Place>,
) -> Result<(), JournalError> {
    let Some(place) = place else { return Ok(()) };
    let behind = files.partition_point(|file| file.first <= place.first);
    for Found { name, .. } in files.drain(behind..) {
        uninterrupted(|| disk.remove(&name))
            .and_then(|()| uninterrupted(|| disk.sync_dir()))
            .map_err(|e| JournalError::file("remove", &name, e))?;
    }
    Ok(())
}

/// Opens a segment to write to, behind `at`.
fn cut(
    disk: &dyn Disk,
    found: &Found,
    at: u64,
    torn: &mut Vec<Torn>,
) -> Result<Box<dyn DiskFile>, JournalError> {
    let mut file = uninterrupted(|| disk.open(&found.name))
        .map_err(|e| JournalError::file("open", &found.name, e))?;
    if found.len > at {
        // Durable before anything is written behind it: new records must never
        // stand before a rest of old ones.
        uninterrupted(|| file.truncate(at))
            .and_then(|()| uninterrupted(|| file.sync()))
            .map_err(|e| JournalError::file("cut", &found.name, e))?;
        torn.push(Torn {
            file: found.name.clone(),
            kept: at,
            cut: found.len - at,
        });
    }
    Ok(file)
}

fn go_on_samples(
    disk: &dyn Disk,
    found: &Found,
    place: &Place,
    torn: &mut Vec<Torn>,
) -> Result<SampleWriter, JournalError> {
    let file = cut(disk, found, place.at, torn)?;
    let head = uninterrupted(|| disk.read(&found.name, 0, samples::HEADER))
        .map_err(|e| JournalError::file("read", &found.name, e))?;
    // The survey has read it just now.
    let (seed, _) = samples::read_header(&head, found.first)
        .map_err(|why| JournalError::file("read", &found.name, std::io::Error::other(why)))?;
    let name = found.name.clone();
    Ok(SampleWriter::new(name, found.first, file, seed, place.at))
}
