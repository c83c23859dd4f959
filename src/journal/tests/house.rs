//! Keeping house: starts, retention, size, the state directory.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sim_disk::SimDisk;
use super::story::{
    State, Told, anchor, assert_prefix, decided, go_on, note, open, options, read_all, sampled,
    series, tell,
};
use crate::guard::Event;
use crate::journal::{Body, Journal, JournalError, Options, read};
use crate::model::{Moment, Outcome, Sample, Series};

#[test]
fn a_thousand_starts_write_nothing() {
    let disk = SimDisk::default();
    tell(&disk);
    drop(open(&disk));
    let before = disk.files();
    for _ in 0..1000 {
        let (_, recovery) = open(&disk);
        assert_eq!((recovery.damage.len(), recovery.torn.len()), (0, 0));
    }
    assert!(disk.files() == before, "a start changed a file");
}

#[test]
fn a_thousand_starts_that_say_so_stay_within_what_is_kept() {
    let disk = SimDisk::default();
    for start in 0..1000 {
        let (mut journal, _) = open(&disk);
        let mut told = Told::default();
        let host = "h".to_owned();
        told.event(
            &mut journal,
            start,
            Event::Restarted { host },
            vec![note(start)],
        );
        journal.anchor(anchor(start));
        told.commit(&mut journal);
        if journal.wants_roll() || start % 3 == 0 {
            told.roll(&mut journal);
        }
        assert!(!told.refused);
    }
    let files = disk.files();
    let bytes: usize = files.values().map(Vec::len).sum();
    assert!(bytes < 20_000, "{bytes} bytes");
    assert!(files.len() < 16, "{} files", files.len());
}

#[test]
fn retention_unlinks_whole_segments_and_none_that_a_snapshot_needs() {
    let disk = SimDisk::default();
    let mut told = tell(&disk);
    for round in 1..40 {
        let (mut journal, _) = open(&disk);
        go_on(
            &mut told,
            &mut journal,
            &disk,
            round * 100..round * 100 + 15,
        );
        drop(journal);
        let files = disk.files();
        let total = |start: &str| -> usize {
            let of = files.iter().filter(|(name, _)| name.starts_with(start));
            of.map(|(_, bytes)| bytes.len()).sum()
        };
        // What is kept, a segment that is full, and one that fills.
        assert!(total("samples") < 4000 + 3000, "{}", total("samples"));
        assert!(total("decisions") < 8000 + 8000, "{}", total("decisions"));
        assert!(total("snapshot") < 2000);
        let (journal, recovery) = open(&disk.after_power_cut(0));
        let from = recovery.snapshot.as_ref().map_or(1, |s| s.next);
        assert!(from > 1);
        assert_prefix(&told, &journal, recovery, &format!("round {round}"));
        // And the snapshot before serves as well.
        let mut fallback = files.clone();
        let newest = files.keys().rfind(|n| n.starts_with("snapshot")).unwrap();
        fallback.get_mut(newest).unwrap()[0] = b'x';
        let (_, recovery) = open(&SimDisk::holding(&fallback));
        assert_eq!(recovery.damage.len(), 1, "{:?}", recovery.damage);
        assert!(recovery.snapshot.is_some_and(|s| s.next < from));
    }
}

#[test]
fn a_reader_sees_every_record_in_order_and_follows_the_chain_over_segments() {
    let disk = SimDisk::default();
    let told = {
        let (mut journal, _) = Journal::open_on::<State>(
            Arc::new(disk.clone()),
            Options {
                segment_bytes: 1500,
                ..Options::default()
            },
        )
        .unwrap();
        let mut told = Told::default();
        go_on(&mut told, &mut journal, &disk, 1..60);
        told
    };
    assert!(disk.files().len() > 6, "several segments");
    let records: Vec<_> = read_all(&disk).map(Result::unwrap).collect();
    for (i, record) in records.iter().enumerate() {
        assert_eq!(record.seq, i as u64 + 1);
    }
    let events = records.iter().filter_map(|r| match &r.body {
        Body::Event(event) => Some((r.seq, event)),
        _ => None,
    });
    assert!(events.eq(told.steps.iter().map(|step| (step.seq, &step.event))));
    let commands = records.iter().filter_map(|r| match &r.body {
        Body::Commands { cause, commands } => Some((*cause, commands)),
        _ => None,
    });
    assert!(
        commands.eq(told
            .steps
            .iter()
            .filter(|step| !step.commands.is_empty())
            .map(|step| (step.seq, &step.commands)))
    );
}

/// Twenty series: sixteen counters of which half stand still, and four sums.
fn an_hour(journal: &mut Journal) {
    let series: Vec<_> = (0..20)
        .map(|i| {
            let labels = vec![
                ("code".to_owned(), format!("{}", 200 + i)),
                ("route".to_owned(), "/api/v1/orders/{id}".to_owned()),
            ];
            Arc::new(Series::new("http_requests_total", labels))
        })
        .collect();
    let start = 1_790_000_000_000;
    for tick in 0..720_u64 {
        let samples = series.iter().enumerate().map(|(i, series)| Sample {
            series: Arc::clone(series),
            value: match i {
                0..8 => (1000 + tick * (i as u64 * 37 + tick % 11)) as f64,
                8..16 => 12.0,
                _ => (tick as f64 + 1.0).sqrt() * 1.234_567_89 * i as f64,
            },
        });
        let at = Moment::from_millis(start + tick * 5000 + 3);
        let nominal = Moment::from_millis(start + tick * 5000);
        journal.event(
            at,
            &Event::Sampled {
                service: "checkout".to_owned(),
                source: "app".to_owned(),
                tick: nominal,
                outcome: Outcome::Scraped(samples.collect()),
            },
        );
        journal.event(
            at,
            &Event::Ticked {
                service: "checkout".to_owned(),
                tick: nominal,
                wall_ahead_ms: 0,
            },
        );
        let _ = journal.flush().unwrap();
    }
}

#[test]
fn an_hour_of_twenty_series_costs_less_than_a_tenth_of_a_megabyte() {
    let disk = SimDisk::default();
    let (mut journal, _) =
        Journal::open_on::<State>(Arc::new(disk.clone()), Options::default()).unwrap();
    an_hour(&mut journal);
    let bytes: usize = disk.files().values().map(Vec::len).sum();
    assert!(bytes < 100_000, "{bytes} bytes");
    drop(journal);
    let (_, recovery) = Journal::open_on::<State>(Arc::new(disk), Options::default()).unwrap();
    assert_eq!(recovery.steps.count(), 1440);
}

/// A directory that goes away with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("backstop-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn open(path: &Path) -> Result<Journal, String> {
        Journal::open::<State>(path, options())
            .map(|(journal, _)| journal)
            .map_err(|e| e.to_string())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_real_directory_keeps_what_the_simulated_one_does() {
    let dir = Dir::new("real");
    let state = dir.0.join("state");
    let mut told = Told::default();
    let disk = SimDisk::default();
    {
        let mut journal = Dir::open(&state).unwrap();
        assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
        go_on(&mut told, &mut journal, &disk, 1..30);
        told.commit(&mut journal);
    }
    let (journal, recovery) = Journal::open::<State>(&state, options()).unwrap();
    assert_prefix(&told, &journal, recovery, "real");
    let last = read(&state).unwrap().last().unwrap().unwrap();
    assert_eq!(last.seq + 1, journal.next_seq());
}

#[test]
fn a_second_agent_is_told_who_holds_the_directory() {
    let dir = Dir::new("held");
    let state = dir.0.join("state");
    let options = Options {
        started_unix_ms: 1_790_000_000_000,
        ..options()
    };
    let first = Journal::open::<State>(&state, options.clone()).unwrap();
    let second = Journal::open::<State>(&state, options.clone()).unwrap_err();
    assert!(matches!(second, JournalError::Held { .. }));
    let words = second.to_string();
    let holder = format!("pid {}, started 2026-09-21T14:13:20Z", std::process::id());
    assert!(words.contains(&holder), "{words}");
    drop(first);
    assert!(
        Journal::open::<State>(&state, options).is_ok(),
        "the lock dies with its holder"
    );
}

#[test]
fn what_a_dead_agent_was_starting_does_not_hold_the_directory_for_long() {
    let dir = Dir::new("forked");
    let state = dir.0.join("state");
    drop(Journal::open::<State>(&state, options()).unwrap());
    let mut died = std::process::Command::new("/bin/true").spawn().unwrap();
    died.wait().unwrap();
    let lock = state.join("lock");
    std::fs::write(&lock, format!("pid {}, started then\n", died.id())).unwrap();
    // The copy of the lock that a child has until it is another program.
    let copy = std::fs::File::open(&lock).unwrap();
    rustix::fs::flock(&copy, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let becomes = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(copy);
    });
    assert!(Journal::open::<State>(&state, options()).is_ok());
    becomes.join().unwrap();
}

#[test]
fn a_state_directory_that_cannot_be_trusted_is_refused_with_the_remedy() {
    let dir = Dir::new("state");
    let path = |name: &str| dir.0.join(name);

    let refused = Dir::open(&path("no/parent")).unwrap_err();
    assert!(refused.contains("install -d -m 0700"), "{refused}");

    std::fs::create_dir(path("target")).unwrap();
    symlink(path("target"), path("link")).unwrap();
    let refused = Dir::open(&path("link")).unwrap_err();
    assert!(refused.contains("symbolic link"), "{refused}");

    std::fs::write(path("file"), "").unwrap();
    let refused = Dir::open(&path("file")).unwrap_err();
    assert!(refused.contains("not a directory"), "{refused}");

    for bits in [0o777, 0o770] {
        std::fs::create_dir_all(path("open")).unwrap();
        mode(&path("open"), bits);
        let refused = Dir::open(&path("open")).unwrap_err();
        assert!(refused.contains("chmod go-w"), "{refused}");
    }
    mode(&path("open"), 0o755);
    assert!(Dir::open(&path("open")).is_ok(), "others may look");

    if rustix::process::geteuid().is_root() {
        std::fs::create_dir(path("theirs")).unwrap();
        std::os::unix::fs::chown(path("theirs"), Some(1), None).unwrap();
        let refused = Dir::open(&path("theirs")).unwrap_err();
        assert!(refused.contains("belongs to user 1"), "{refused}");
        assert!(refused.contains("chown 0"), "{refused}");
    } else {
        std::fs::create_dir(path("mine")).unwrap();
        mode(&path("mine"), 0o500);
        let refused = Dir::open(&path("mine")).unwrap_err();
        assert!(refused.contains("chmod u+rwx"), "{refused}");
    }
}

#[test]
fn decisions_are_json_lines_with_a_chain_that_anyone_can_check() {
    let disk = SimDisk::default();
    let (mut journal, _) = open(&disk);
    let mut told = Told::default();
    told.event(&mut journal, 5, sampled(2, &series()), vec![note(1)]);
    told.event(&mut journal, 6, decided(1), vec![]);
    told.commit(&mut journal);
    let files = disk.files();
    let text = String::from_utf8(files["decisions-000000000001.jsonl"].clone()).unwrap();
    insta::assert_snapshot!(text);
    let mut before = "00000000000000000000000000000000".to_owned();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["prev"], before.as_str());
        let said = line.split(",\"hash\":").next().unwrap();
        before = crate::journal::decisions::digest(said.as_bytes());
        assert_eq!(value["hash"], before.as_str());
    }
}
