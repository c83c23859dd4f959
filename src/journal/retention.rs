//! Whole segments that nobody needs any more are unlinked; nothing is ever
//! rewritten.

use super::disk::Disk;
use super::layout::{Found, Layout};
use super::options::{Options, Retention};
use super::snapshot::Head;
use super::{decisions, samples};
use crate::model::Moment;

/// Unlinks snapshots but the last two, and segments that neither of these
/// nor retention needs. What fails here is tried again after the next roll.
pub(crate) fn unlink_old(
    disk: &dyn Disk,
    options: &Options,
    now: Moment,
    newest: &Head,
    oldest: &Head,
) {
    let Ok(layout) = Layout::list(disk) else {
        return;
    };
    for Found { first, name, .. } in &layout.snapshots {
        if *first != newest.next && *first != oldest.next {
            let _ = disk.remove(name);
        }
    }
    let samples_begun = |file: &Found| {
        let head = disk.read(&file.name, 0, samples::HEADER).ok()?;
        Some(samples::read_header(&head, file.first).ok()?.1)
    };
    let decisions_begun = |file: &Found| {
        let head = disk.read(&file.name, 0, 1024).ok()?;
        Some(decisions::read_header(&head, file.first).ok()?.3)
    };
    retain(
        disk,
        &layout.samples,
        options.samples,
        now,
        oldest.samples.first,
        samples_begun,
    );
    retain(
        disk,
        &layout.decisions,
        options.decisions,
        now,
        oldest.decisions.first,
        decisions_begun,
    );
}

fn retain(
    disk: &dyn Disk,
    files: &[Found],
    keep: Retention,
    now: Moment,
    needed: u64,
    begun: impl Fn(&Found) -> Option<Moment>,
) {
    let mut bytes: u64 = files.iter().map(|f| f.len).sum();
    for pair in files.windows(2) {
        let [old, next] = pair else { return };
        // A segment ends where the next one begins.
        let expired = || begun(next).is_some_and(|ended| now.since(ended) > keep.age);
        if next.first > needed || !(bytes > keep.bytes || expired()) {
            return;
        }
        // One after the other, each durable: no segment is ever missing
        // between others.
        if disk.remove(&old.name).is_err() || disk.sync_dir().is_err() {
            return;
        }
        bytes -= old.len;
    }
}
