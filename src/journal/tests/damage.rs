//! Truncation at every length, every flipped bit, zeroed pages, foreign and
//! newer files: found, or provably without effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sim_disk::SimDisk;
use super::story::{
    State, Told, anchor, decided, note, open, options, read_all, sampled, series, ticked,
};
use crate::journal::{Damage, Journal, Record, Step};

/// Two snapshots, both logs behind each, a commit, and after it one tick that
/// was only written.
fn small() -> (BTreeMap<String, Vec<u8>>, Told) {
    let disk = SimDisk::default();
    let (mut journal, _) = open(&disk);
    let (mut told, series) = (Told::default(), series());
    for n in 1..4 {
        told.event(&mut journal, n * 10, sampled(n + 1, &series), vec![]);
        let orders = if n == 3 { vec![note(n)] } else { vec![] };
        told.event(&mut journal, n * 10 + 1, decided(n), orders);
        told.event(&mut journal, n * 10 + 2, ticked(n + 1), vec![]);
        if n == 3 {
            journal.anchor(anchor(n * 10 + 3));
        }
        told.commit(&mut journal);
        if n < 3 {
            told.roll(&mut journal);
        }
    }
    told.event(&mut journal, 50, sampled(7, &series), vec![]);
    let _ = journal.flush().unwrap();
    (disk.files(), told)
}

struct Seen {
    snapshot: Option<State>,
    steps: Vec<Step>,
    next: u64,
    damage: Vec<Damage>,
}

fn recover(files: &BTreeMap<String, Vec<u8>>) -> (SimDisk, Seen) {
    let disk = SimDisk::holding(files);
    let (journal, recovery) = open(&disk);
    let seen = Seen {
        snapshot: recovery.snapshot,
        steps: recovery.steps.collect(),
        next: journal.next_seq(),
        damage: recovery.damage,
    };
    (disk, seen)
}

fn records(files: &BTreeMap<String, Vec<u8>>) -> Vec<Result<Record, Damage>> {
    read_all(&SimDisk::holding(files)).collect()
}

/// Either damage is said, or what is recovered is what was acknowledged.
fn assert_found(
    changed: &BTreeMap<String, Vec<u8>>,
    whole: &Seen,
    told: &Told,
    case: &str,
) -> bool {
    let (_, seen) = recover(changed);
    if !seen.damage.is_empty() {
        return true;
    }
    assert_eq!(seen.snapshot, whole.snapshot, "{case}");
    assert!(
        seen.next > told.acknowledged,
        "{case}: an acknowledged record is gone"
    );
    assert!(seen.next <= whole.next, "{case}");
    let known = seen.steps.len();
    assert_eq!(seen.steps, whole.steps[..known], "{case}");
    assert!(
        whole.steps[known..]
            .iter()
            .all(|step| step.seq >= seen.next),
        "{case}"
    );
    false
}

#[test]
fn every_truncation_is_found_or_takes_nothing_that_was_acknowledged() {
    let (files, told) = small();
    let (_, whole) = recover(&files);
    assert_eq!((whole.snapshot.is_some(), &whole.damage), (true, &vec![]));
    for (name, bytes) in &files {
        for len in 0..bytes.len() {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap().truncate(len);
            assert_found(
                &changed,
                &whole,
                &told,
                &format!("{name} cut to {len} bytes"),
            );
        }
        if !name.starts_with("snapshot") {
            let mut changed = files.clone();
            changed.remove(name);
            assert_found(&changed, &whole, &told, &format!("{name} removed"));
        }
    }
}

#[test]
fn every_flipped_bit_is_found_or_has_no_effect() {
    let (files, told) = small();
    let (_, whole) = recover(&files);
    let all = records(&files);
    let (mut found, mut harmless) = (0, 0);
    for (name, bytes) in &files {
        let last_frame = told.steps.last().unwrap().seq;
        for bit in 0..bytes.len() * 8 {
            let case = format!("{name}: bit {} of byte {}", bit % 8, bit / 8);
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            if assert_found(&changed, &whole, &told, &case) {
                found += 1;
                continue;
            }
            harmless += 1;
            // A start does not need these bytes. A reading of all finds the
            // flip, unless it is in the tick that was never made durable, or in
            // a snapshot that is not the newest.
            if name.starts_with("snapshot") {
                continue;
            }
            let read = records(&changed);
            let good: Vec<_> = read.iter().filter_map(|r| r.as_ref().ok()).collect();
            let rest = all.iter().filter_map(|r| r.as_ref().ok());
            if read.iter().all(Result::is_ok) {
                let expected: Vec<_> = rest.filter(|r| r.seq != last_frame).collect();
                assert_eq!(good, expected, "{case}");
            }
        }
    }
    assert!(found > harmless / 4, "{found} found, {harmless} harmless");
}

#[test]
fn zeroed_pages_are_found_or_take_nothing_that_was_acknowledged() {
    let (files, told) = small();
    let (_, whole) = recover(&files);
    for (name, bytes) in &files {
        for size in [64, 512, 4096] {
            for from in (0..bytes.len()).step_by(size) {
                let mut changed = files.clone();
                let to = (from + size).min(bytes.len());
                changed.get_mut(name).unwrap()[from..to].fill(0);
                assert_found(
                    &changed,
                    &whole,
                    &told,
                    &format!("{name}: {from}..{to} zeroed"),
                );
            }
        }
    }
}

#[test]
fn foreign_files_are_named_and_left_alone() {
    let (files, _) = small();
    for (name, bytes) in &files {
        let mut changed = files.clone();
        let foreign = vec![b'x'; bytes.len()];
        changed.insert(name.clone(), foreign.clone());
        let (disk, seen) = recover(&changed);
        // Older ones are not needed to go on.
        let kind = name.split('-').next().unwrap();
        let newest = files.keys().rfind(|n| n.starts_with(kind)) == Some(name);
        assert!(
            !newest
                || seen
                    .damage
                    .iter()
                    .any(|d| d.to_string().contains(name.as_str())),
            "{name}: {:?}",
            seen.damage
        );
        assert_eq!(disk.files()[name], foreign);
    }
}

#[test]
fn files_of_a_newer_version_are_named_and_left_alone() {
    let (files, _) = small();
    let replaced = |name: &str, old: &str, new: &str| {
        let mut changed = files.clone();
        let (name, bytes) = changed
            .iter_mut()
            .rfind(|(n, _)| n.starts_with(name))
            .unwrap();
        let name = name.clone();
        if name.starts_with("samples") {
            bytes[8] = 2;
            let sum = crc32fast::hash(&bytes[..28]);
            bytes[28..32].copy_from_slice(&sum.to_le_bytes());
        } else {
            let text = String::from_utf8(bytes.clone())
                .unwrap()
                .replacen(old, new, 1);
            let (first, rest) = text.split_once('\n').unwrap();
            // As a newer backstop would have sealed it.
            let said = first.split(",\"hash\":").next().unwrap();
            let hash = crate::journal::decisions::digest(said.as_bytes());
            *bytes = format!("{said},\"hash\":\"{hash}\"}}\n{rest}").into_bytes();
        }
        (name, changed)
    };
    for file in ["samples", "decisions"] {
        let (name, changed) = replaced(file, "\"version\":1", "\"version\":2");
        let (_, seen) = recover(&changed);
        let said: Vec<_> = seen.damage.iter().map(ToString::to_string).collect();
        let expected = format!("{name}: format version 2; this backstop reads version 1");
        assert!(said.iter().any(|said| said.contains(&expected)), "{said:?}");
    }
    let mut changed = files.clone();
    let (name, bytes) = changed.iter_mut().next_back().unwrap();
    let name = name.clone();
    *bytes = String::from_utf8(bytes.clone())
        .unwrap()
        .replacen("\"version\":2", "\"version\":3", 1)
        .into_bytes();
    let (_, seen) = recover(&changed);
    let said: Vec<_> = seen.damage.iter().map(ToString::to_string).collect();
    let expected = format!("{name}: format version 3; this backstop reads version 2");
    assert_eq!(said, [expected]);
    assert!(seen.snapshot.is_some(), "the one before still serves");
}

/// After damage the journal goes on: records behind it are stepped, new ones are
/// kept, and a roll puts the damage behind.
#[test]
fn after_damage_a_roll_makes_the_next_start_clean() {
    let (files, _) = small();
    for (name, bytes) in &files {
        for at in (0..bytes.len()).step_by(17) {
            let case = format!("{name}: byte {at} flipped");
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[at] ^= 0x10;
            let disk = SimDisk::holding(&changed);
            let (mut journal, recovery) = open(&disk);
            let damaged = !recovery.damage.is_empty();
            let mut told = Told::default();
            told.event(&mut journal, 90, decided(9), vec![note(9)]);
            told.event(&mut journal, 91, ticked(9), vec![]);
            told.commit(&mut journal);
            drop(journal);

            // A start before the roll: the same damage, and all that is new.
            let (mut journal, recovery) = open(&disk.after_power_cut(0));
            assert_eq!(!recovery.damage.is_empty(), damaged, "{case}");
            let steps: Vec<_> = recovery.steps.collect();
            assert_eq!(steps[steps.len() - 2..], told.steps, "{case}");
            told.roll(&mut journal);
            assert!(!told.refused, "{case}");
        }
    }
}

#[test]
fn after_damage_and_a_roll_nothing_is_damaged_any_more() {
    let (files, _) = small();
    for (name, bytes) in &files {
        for at in (0..bytes.len()).step_by(23) {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[at] ^= 0x10;
            let disk = SimDisk::holding(&changed);
            let opened = Journal::open_on::<State>(Arc::new(disk.clone()), options());
            let (mut journal, _) = opened.unwrap();
            let mut told = Told::default();
            told.roll(&mut journal);
            told.event(&mut journal, 90, decided(9), vec![]);
            told.commit(&mut journal);
            drop(journal);
            let (journal, recovery) = open(&disk.after_power_cut(0));
            let case = format!("{name}: byte {at} flipped");
            super::story::assert_prefix(&told, &journal, recovery, &case);
        }
    }
}
