//! The past as tools read it: from a moment on, beside an agent that writes or
//! was killed, with segments that this version cannot read.

use std::sync::Arc;

use super::sim_disk::{Fault, SimDisk};
use super::story::{go_on, open, read_all, tell};
use crate::guard::Event;
use crate::journal::disk::Disk;
use crate::journal::reader::{read_from_on, wall_ahead_ms_on};
use crate::journal::{Body, Damage, Record};
use crate::model::Moment;

fn from(disk: &SimDisk, ms: u64) -> Vec<Result<Record, Damage>> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let records = read_from_on(&disk, Moment::from_millis(ms));
    records.unwrap().collect()
}

fn is_sample(record: &Record) -> bool {
    matches!(
        record.body,
        Body::Event(Event::Sampled { .. } | Event::Ticked { .. })
    )
}

/// Whatever was cut off where: all decisions, every sample from then on, no
/// damage where a whole reading finds none, and nothing is written.
#[test]
fn from_a_moment_on_everything_is_read_and_nothing_written() {
    let ops = {
        let disk = SimDisk::default();
        tell(&disk);
        disk.ops()
    };
    let mut skipped = 0;
    for cut in (0..=ops).step_by(3) {
        let disk = SimDisk::default();
        disk.fault_at(cut, Fault::PowerCut);
        tell(&disk);
        let found = disk.after_kill();
        let files = found.files();
        let whole: Vec<_> = read_all(&found).collect();
        // Of a write that a kill cut short the end may be missing; it is said.
        let torn = whole.iter().filter(|record| record.is_err()).count();
        assert!(torn <= 1, "cut at {cut}");
        let whole: Vec<_> = whole.into_iter().flatten().collect();
        for since in (0..=220_000).step_by(20_000) {
            let case = format!("cut at {cut}, from {since}");
            let read = from(&found, since);
            let said = read.iter().filter(|record| record.is_err()).count();
            assert!(said <= torn, "{case}: {read:?}");
            let read: Vec<_> = read.into_iter().flatten().collect();
            let wanted = |record: &&Record| !is_sample(record) || record.at.as_millis() >= since;
            let of = |all: &[Record]| all.iter().filter(wanted).cloned().collect::<Vec<_>>();
            assert_eq!(of(&read), of(&whole), "{case}");
            skipped += whole.len() - read.len();
        }
        assert!(found.files() == files, "cut at {cut}: reading wrote");
    }
    assert!(skipped > 1000, "{skipped} records were passed over");
}

#[test]
fn a_segment_of_another_version_is_named_and_the_rest_is_read() {
    let disk = SimDisk::default();
    let mut told = tell(&disk);
    for more in [50..63, 70..83, 90..103] {
        let (mut journal, _) = open(&disk);
        go_on(&mut told, &mut journal, &disk, more);
    }
    let files = disk.files();
    let whole: Vec<_> = read_all(&disk).flatten().collect();
    let segments: Vec<_> = files.keys().filter(|n| n.starts_with("samples")).collect();
    assert!(segments.len() > 2, "{segments:?}");
    for (place, name) in segments.iter().enumerate() {
        let mut changed = files.clone();
        let bytes = changed.get_mut(*name).unwrap();
        // As an older backstop would have begun it.
        bytes[8] = 0;
        let sum = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&sum.to_le_bytes());
        let read = from(&SimDisk::holding(&changed), 0);
        let said: Vec<_> = read.iter().filter_map(|r| r.as_ref().err()).collect();
        let expected = format!("{name}: format version 0; this backstop reads version 1");
        assert!(
            said.iter()
                .any(|damage| damage.to_string().contains(&expected)),
            "{said:?}"
        );
        let first = |name: &str| name[8..20].parse::<u64>().unwrap();
        let (gone, end) = (first(name), segments.get(place + 1).map(|n| first(n)));
        let lost = |r: &&Record| is_sample(r) && r.seq >= gone && end.is_none_or(|e| r.seq < e);
        let rest = whole.iter().filter(|r| !lost(r));
        let read = read.iter().filter_map(|r| r.as_ref().ok());
        assert!(read.eq(rest), "{name}");
    }
}

#[test]
fn the_wall_clock_is_where_it_was_last_seen() {
    let disk = SimDisk::default();
    let ahead = |disk: &SimDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        wall_ahead_ms_on(&disk).unwrap()
    };
    assert_eq!(ahead(&disk), None, "nobody has said");
    tell(&disk);
    let anchors = read_all(&disk).filter_map(|record| match record.ok()?.body {
        Body::Anchor(anchor) => Some(anchor.wall_ahead_ms()),
        _ => None,
    });
    assert_eq!(ahead(&disk), anchors.last());
    assert!(ahead(&disk).is_some());
}
