//! Operations that fail, run full, are interrupted or fall short.

use std::sync::Arc;

use super::sim_disk::{EINTR, EIO, ENOSPC, Fault, SimDisk};
use super::story::{
    State, Told, assert_prefix, decided, go_on, note, open, options, read_all, sampled, series,
    tell, ticked,
};
use crate::guard::Event;
use crate::journal::{Damage, Journal, JournalError, Kept, Options, Recovery};

fn operations() -> u64 {
    let disk = SimDisk::default();
    tell(&disk);
    disk.ops()
}

/// Whatever failed: nothing that was promised is missing, nothing is missing
/// silently, and nothing is taken for damage.
fn assert_nothing_silent(told: &Told, journal: &Journal, recovery: Recovery<State>, case: &str) {
    assert_eq!(recovery.damage, [], "{case}");
    let next = journal.next_seq();
    assert!(
        next > told.decided,
        "{case}: promised {}, goes on at {next}",
        told.decided
    );
    let from = recovery.snapshot.map_or(1, |state| state.next);
    let lost = recovery.lost;
    let found: Vec<_> = recovery.steps.collect();
    let mut rest = found.iter().peekable();
    for step in told.steps.iter().filter(|s| (from..next).contains(&s.seq)) {
        if let Some(found) = rest.next_if(|found| found.seq == step.seq) {
            assert_eq!((&found.event, found.at), (&step.event, step.at), "{case}");
            continue;
        }
        let sample = matches!(step.event, Event::Sampled { .. } | Event::Ticked { .. });
        assert!(
            sample || step.seq > told.decided,
            "{case}: decision {} is gone",
            step.seq
        );
        assert!(
            lost.iter().any(|lost| lost.from <= step.seq),
            "{case}: {} is missing and nothing says so",
            step.seq
        );
    }
    assert_eq!(rest.next(), None, "{case}: a step that was never told");
}

#[test]
fn interruptions_and_short_writes_are_invisible() {
    let clean = {
        let disk = SimDisk::default();
        tell(&disk).acknowledged
    };
    for op in 0..operations() {
        for fault in [Fault::Fails(EINTR), Fault::Short(1), Fault::Short(100)] {
            let case = format!("{fault:?} at operation {op}");
            let disk = SimDisk::default();
            disk.fault_at(op, fault);
            let told = tell(&disk);
            assert!(!told.refused, "{case}");
            assert_eq!(told.acknowledged, clean, "{case}");
            let (journal, recovery) = open(&disk.after_kill());
            assert_prefix(&told, &journal, recovery, &case);
        }
    }
}

#[test]
fn after_a_failure_at_any_operation_nothing_promised_is_lost_and_nothing_is_lost_silently() {
    let mut refusals = 0;
    for op in 0..operations() {
        for errno in [EIO, ENOSPC] {
            let disk = SimDisk::default();
            disk.fault_at(op, Fault::Fails(errno));
            let told = tell(&disk);
            refusals += usize::from(told.refused);
            for seed in 0..4 {
                let case = format!("error {errno} at operation {op}, seed {seed}");
                let found = disk.after_power_cut(seed);
                for record in read_all(&found) {
                    // Where retention has taken one log and not yet the other,
                    // the words of the one about the other are gone.
                    assert!(
                        matches!(
                            record,
                            Ok(_) | Err(Damage::Hole { .. } | Damage::Bytes { .. })
                        ),
                        "{case}: {record:?}"
                    );
                }
                let (journal, recovery) = open(&found);
                assert_nothing_silent(&told, &journal, recovery, &case);
            }
        }
    }
    assert!(refusals > 20, "{refusals} failures were told");
}

#[test]
fn many_failures_one_after_the_other_change_nothing_of_that() {
    for start in (0..operations()).step_by(2) {
        for (every, errno) in [(1, EIO), (2, EIO), (5, ENOSPC), (9, EIO)] {
            let disk = SimDisk::default();
            for op in (start..start + 40).step_by(every) {
                disk.fault_at(op, Fault::Fails(errno));
            }
            let told = tell(&disk);
            for seed in 0..3 {
                let case =
                    format!("error {errno} at each {every}. operation from {start}, seed {seed}");
                let (journal, recovery) = open(&disk.after_power_cut(seed));
                assert_nothing_silent(&told, &journal, recovery, &case);
            }
        }
    }
}

#[test]
fn a_failed_sync_is_never_taken_for_a_good_one_by_asking_again() {
    let disk = SimDisk::default();
    let (mut journal, _) = open(&disk);
    assert_eq!(journal.commit().unwrap(), Kept::Whole);
    let mut told = Told::default();
    told.event(&mut journal, 1, decided(1), vec![note(1)]);
    let _ = journal.flush().unwrap();
    disk.fault_at(disk.ops(), Fault::Fails(EIO));
    assert!(matches!(journal.commit(), Err(JournalError::File { .. })));
    // The disk would say yes now; the journal knows better.
    told.event(&mut journal, 2, decided(2), vec![]);
    assert!(matches!(journal.commit(), Err(JournalError::Broken { .. })));
    assert!(journal.broken().is_some() && journal.wants_roll());
    assert_eq!(journal.lost(), 3, "an event, its orders, another event");
    // Only new files mend it.
    journal
        .roll(&State {
            next: journal.next_seq(),
        })
        .unwrap();
    assert_eq!(journal.broken(), None);
    told.steps.clear();
    told.event(&mut journal, 3, decided(3), vec![]);
    told.commit(&mut journal);
    assert!(!told.refused);
    let (journal, recovery) = open(&disk.after_power_cut(0));
    assert_prefix(&told, &journal, recovery, "after the roll");
}

#[test]
fn a_failed_sync_of_samples_loses_samples_and_no_decision() {
    let disk = SimDisk::default();
    let (mut journal, _) = open(&disk);
    let mut told = Told::default();
    told.event(&mut journal, 1, sampled(2, &series()), vec![]);
    told.event(&mut journal, 2, decided(2), vec![]);
    let _ = journal.flush().unwrap();
    disk.fault_at(disk.ops(), Fault::Fails(EIO));
    told.commit(&mut journal);
    assert!(!told.refused);
    assert_eq!((told.acknowledged, told.decided), (0, 2));
    assert!(
        journal.samples_lost().unwrap().contains("samples-"),
        "says which file"
    );
    assert_eq!(journal.broken(), None);
    let (journal, recovery) = open(&disk.after_power_cut(0));
    assert_eq!(recovery.lost.len(), 1);
    assert_nothing_silent(&told, &journal, recovery, "samples lost");
}

#[test]
fn on_a_full_disk_samples_may_be_lost_and_decisions_not() {
    let disk = SimDisk::default();
    let options = Options {
        reserve_bytes: 64 * 1024,
        ..options()
    };
    let opened = Journal::open_on::<State>(Arc::new(disk.clone()), options);
    let (mut journal, _) = opened.unwrap();
    let mut told = Told::default();
    go_on(&mut told, &mut journal, &disk, 1..4);
    disk.limit(Some(disk.used()));
    // What a running rollback writes down.
    for n in 4..10 {
        told.event(&mut journal, n * 5000, sampled(n, &series()), vec![]);
        told.event(&mut journal, n * 5000, ticked(n), vec![]);
        told.event(&mut journal, n * 5000 + 1, decided(n), vec![note(n)]);
        told.commit(&mut journal);
    }
    assert!(!told.refused, "decisions had space made sure of");
    assert!(told.acknowledged < told.decided, "samples had not");
    assert!(
        journal.roll(&State { next: 0 }).is_err(),
        "and a snapshot has none"
    );
    assert_eq!(journal.broken(), None);
    for seed in 0..4 {
        let (journal, recovery) = open(&disk.after_power_cut(seed));
        assert!(!recovery.lost.is_empty());
        assert_nothing_silent(&told, &journal, recovery, "full");
    }
    // Somebody makes space.
    disk.limit(None);
    told.roll(&mut journal);
    assert_eq!((told.refused, journal.samples_lost()), (false, None));
    go_on(&mut told, &mut journal, &disk, 20..30);
    let (journal, recovery) = open(&disk.after_power_cut(0));
    assert_prefix(&told, &journal, recovery, "space again");
}

#[test]
fn a_journal_that_cannot_be_read_or_written_at_all_is_an_error_that_names_the_file() {
    let disk = SimDisk::default();
    tell(&disk);
    let found = disk.after_kill();
    found.fault_at(0, Fault::Fails(EIO));
    let opened = Journal::open_on::<State>(Arc::new(found), options());
    assert!(matches!(
        opened,
        Err(JournalError::File { verb: "list", .. })
    ));
}
