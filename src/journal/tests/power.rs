//! Power cuts at every operation, with torn, lost and reordered writes.

use std::sync::Arc;

use super::sim_disk::{Fault, SimDisk};
use super::story::{State, assert_prefix, go_on, open, options, tell};
use crate::journal::Journal;

const SEEDS: u64 = 12;

#[test]
fn after_a_power_cut_at_any_operation_the_journal_is_a_prefix_of_what_was_told() {
    let ops = {
        let disk = SimDisk::default();
        let told = tell(&disk);
        assert!(told.acknowledged > 0 && !told.refused);
        disk.ops()
    };
    let (mut torn, mut more) = (0, 0);
    for cut in 0..=ops {
        let disk = SimDisk::default();
        disk.fault_at(cut, Fault::PowerCut);
        let mut told = tell(&disk);
        for seed in 0..SEEDS {
            let case = format!("cut at operation {cut} of {ops}, seed {seed}");
            let found = disk.after_power_cut(seed);
            let (journal, recovery) = open(&found);
            torn += usize::from(!recovery.torn.is_empty());
            more += usize::from(journal.next_seq() > told.acknowledged + 1);
            assert_prefix(&told, &journal, recovery, &case);
            drop(journal);
            if seed + 1 == SEEDS {
                // And goes on from there as if nothing had been.
                let (mut journal, _) = open(&found);
                let next = journal.next_seq();
                told.steps.retain(|step| step.seq < next);
                if let Some(last) = told.steps.last_mut()
                    && last.seq + 1 == next
                {
                    last.commands.clear();
                }
                go_on(&mut told, &mut journal, &found, 50..66);
                drop(journal);
                let (journal, recovery) = open(&found.after_power_cut(seed));
                assert_prefix(&told, &journal, recovery, &format!("{case}, gone on"));
            }
        }
    }
    assert!(
        torn > 500 && more > 500,
        "{torn} torn ends, {more} with more than promised"
    );
}

#[test]
fn a_power_cut_during_recovery_loses_nothing_more() {
    for cut in (0..).step_by(3) {
        let disk = SimDisk::default();
        disk.fault_at(cut, Fault::PowerCut);
        let told = tell(&disk);
        if !disk.is_dead() {
            assert!(cut > 100, "the story must be longer than {cut} operations");
            return;
        }
        let seed = 2 + cut;
        for again in 0.. {
            let second = disk.after_power_cut(seed);
            second.fault_at(again, Fault::PowerCut);
            let opened = Journal::open_on::<State>(Arc::new(second.clone()), options());
            let ended = opened.is_ok() && !second.is_dead();
            drop(opened);
            for third in 0..3 {
                let found = second.after_power_cut(seed * third);
                let (journal, recovery) = open(&found);
                let case = format!("cut at {cut}, then at {again} of the recovery, seed {third}");
                assert_prefix(&told, &journal, recovery, &case);
            }
            if ended {
                break;
            }
        }
    }
}

#[test]
fn killed_at_any_operation_all_that_was_written_is_there() {
    let disk = SimDisk::default();
    let ops = {
        tell(&disk);
        disk.ops()
    };
    for cut in 0..=ops {
        let disk = SimDisk::default();
        disk.fault_at(cut, Fault::PowerCut);
        let told = tell(&disk);
        let (journal, recovery) = open(&disk.after_kill());
        assert_prefix(
            &told,
            &journal,
            recovery,
            &format!("killed at operation {cut}"),
        );
    }
}
