//! A small life of a journal, told the same way each time, and what must be true
//! of what is recovered from it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sim_disk::SimDisk;
use crate::guard::{Command, Event, Note, Person, What};
use crate::journal::disk::Disk;
use crate::journal::reader::read_on;
use crate::journal::{Anchor, Journal, Kept, Options, Records, Recovery, Retention, Step};
use crate::model::{Gap, GapKind, Moment, Outcome, Sample, Series};

/// Stands for the engine's state: the number of the record that comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) next: u64,
}

/// Segments so small that some are filled within a story.
pub(super) fn options() -> Options {
    Options {
        segment_bytes: 1500,
        reserve_bytes: 4096,
        samples: Retention {
            bytes: 4000,
            age: Duration::from_hours(1),
        },
        decisions: Retention {
            bytes: 8000,
            age: Duration::from_hours(1),
        },
        ..Options::default()
    }
}

pub(super) fn sampled(tick: u64, series: &[Arc<Series>]) -> Event {
    let outcome = match tick % 5 {
        0 => Outcome::Failed(Gap::new(GapKind::Status, "status 503")),
        1 => Outcome::Probed {
            latency: Duration::from_micros(tick * 731),
            fault: None,
        },
        _ => Outcome::Scraped(
            series
                .iter()
                .enumerate()
                .map(|(i, series)| Sample {
                    series: Arc::clone(series),
                    value: if i == 1 {
                        tick as f64 / 3.0
                    } else {
                        (tick * 17 + i as u64) as f64
                    },
                })
                .collect(),
        ),
    };
    Event::Sampled {
        service: "checkout".to_owned(),
        source: if tick % 5 == 1 { "web" } else { "app" }.to_owned(),
        tick: Moment::from_millis(tick * 5000),
        outcome,
    }
}

pub(super) fn series() -> Vec<Arc<Series>> {
    (0..3)
        .map(|i| {
            let labels = vec![("code".to_owned(), format!("{i}00"))];
            Arc::new(Series::new("http_requests_total", labels))
        })
        .collect()
}

pub(super) fn ticked(tick: u64) -> Event {
    Event::Ticked {
        service: "checkout".to_owned(),
        tick: Moment::from_millis(tick * 5000),
        wall_ahead_ms: 1_700_000_000_000,
    }
}

pub(super) fn decided(n: u64) -> Event {
    Event::Acknowledged {
        incident: n,
        by: Person {
            name: "ann".to_owned(),
            roles: vec!["technical-lead".to_owned()],
        },
        reason: "looking at \"it\"".to_owned(),
    }
}

pub(super) fn note(n: u64) -> Command {
    Command::Note(Note {
        at: Moment::from_millis(n),
        service: "checkout".to_owned(),
        incident: Some(n),
        what: What::Acknowledged,
        trigger: None,
        cause: None,
        reason: format!("note {n}"),
        detail: None,
    })
}

pub(super) fn anchor(at: u64) -> Anchor {
    Anchor {
        moment: Moment::from_millis(at),
        boot_id: "b".to_owned(),
        boottime_ms: at,
        unix_ms: 1_700_000_000_000,
    }
}

/// What was given to a journal, and what it promised.
#[derive(Default)]
pub(super) struct Told {
    /// Events with their orders.
    pub(super) steps: Vec<Step>,
    /// Everything up to this record is durable, the journal said.
    pub(super) acknowledged: u64,
    /// Everything but samples is.
    pub(super) decided: u64,
    /// A record of which the journal never said that it was not kept.
    pub(super) refused: bool,
}

impl Told {
    pub(super) fn event(
        &mut self,
        journal: &mut Journal,
        at: u64,
        event: Event,
        commands: Vec<Command>,
    ) {
        let at = Moment::from_millis(at);
        let seq = journal.event(at, &event);
        journal.commands(seq, &commands);
        self.steps.push(Step {
            seq,
            at,
            event,
            commands,
        });
    }

    pub(super) fn commit(&mut self, journal: &mut Journal) {
        let next = journal.next_seq();
        match journal.commit() {
            Ok(Kept::Whole) => {
                self.acknowledged = next - 1;
                self.decided = next - 1;
            }
            Ok(Kept::DecisionsOnly) => self.decided = next - 1,
            Err(_) => self.refused = true,
        }
    }

    pub(super) fn roll(&mut self, journal: &mut Journal) {
        let next = journal.next_seq();
        if journal.roll(&State { next }).is_ok() {
            self.acknowledged = next - 1;
            self.decided = next - 1;
        } else {
            self.refused = true;
        }
    }
}

/// Tells the story on a disk until it ends or the disk dies.
pub(super) fn tell(disk: &SimDisk) -> Told {
    let mut told = Told::default();
    let opened = Journal::open_on::<State>(Arc::new(disk.clone()), options());
    let Ok((mut journal, _)) = opened else {
        return told;
    };
    go_on(&mut told, &mut journal, disk, 1..41);
    told
}

/// Some ticks of the story.
pub(super) fn go_on(
    told: &mut Told,
    journal: &mut Journal,
    disk: &SimDisk,
    ticks: std::ops::Range<u64>,
) {
    let series = series();
    for tick in ticks {
        if disk.is_dead() {
            return;
        }
        let at = tick * 5000;
        told.event(journal, at + 20, sampled(tick, &series), vec![]);
        if tick % 7 == 0 {
            told.event(
                journal,
                at + 21,
                decided(tick),
                vec![note(tick), note(tick + 1)],
            );
        }
        let orders = if tick % 6 == 0 {
            vec![note(tick)]
        } else {
            vec![]
        };
        told.event(journal, at + 30, ticked(tick), orders);
        match tick % 8 {
            3 => {
                journal.anchor(anchor(at + 31));
                told.commit(journal);
            }
            _ => {
                let _ = journal.flush();
            }
        }
        if tick % 13 == 0 {
            told.roll(journal);
        }
    }
}

/// Reads what is on a disk, as tools do.
pub(super) fn read_all(disk: &SimDisk) -> Records {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    read_on(&disk).unwrap()
}

/// Opens what is left on a disk.
pub(super) fn open(disk: &SimDisk) -> (Journal, Recovery<State>) {
    Journal::open_on(Arc::new(disk.clone()), options()).unwrap()
}

/// After a crash: a prefix of what was told, at least all that was acknowledged,
/// and nothing to complain of.
pub(super) fn assert_prefix(told: &Told, journal: &Journal, recovery: Recovery<State>, case: &str) {
    assert_eq!(recovery.damage, [], "{case}");
    assert_eq!(recovery.lost, [], "{case}");
    let next = journal.next_seq();
    assert!(
        next > told.acknowledged,
        "{case}: {} was acknowledged and the journal goes on at {next}",
        told.acknowledged
    );
    let from = recovery.snapshot.map_or(1, |state| state.next);
    let found: Vec<_> = recovery.steps.collect();
    let expected: Vec<_> = told
        .steps
        .iter()
        .filter(|step| (from..next).contains(&step.seq))
        .collect();
    assert_eq!(found.len(), expected.len(), "{case}");
    for (found, expected) in found.iter().zip(expected) {
        // The orders of the last event are in the record behind it.
        let cut = expected.seq + 1 == next;
        let orders = if cut { &[][..] } else { &expected.commands };
        assert_eq!(found.commands, orders, "{case}");
        assert_eq!((found.seq, found.at), (expected.seq, expected.at), "{case}");
        assert_eq!(found.event, expected.event, "{case}");
    }
}
