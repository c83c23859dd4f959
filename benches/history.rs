//! What the past costs: bytes of disk and CPU for each sample that is kept, and
//! how long it takes to read a day of one host back, to export it, and to replay
//! it.
//!
//! A day is 17,280 ticks of 20 series, written as the agent does it: flushed at
//! each tick, with a snapshot every quarter of an hour. Nothing is as even as in
//! the other benches, because evenness is what makes bytes few: counters grow by
//! a random number of requests, two sums by random seconds, two gauges are
//! random, and samples arrive at random within the first fifth of the interval.

#![expect(clippy::disallowed_methods, reason = "a bench asks what time it is")]

mod service;

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::sync::Arc;

use backstop::guard::Event;
use backstop::history::export;
use backstop::journal::{Journal, Options, bytes};
use backstop::model::{Moment, Outcome, Sample, Series};
use backstop::replay::{Past, Recording, Span, replay};
use divan::Bencher;
use divan::counter::ItemsCount;
use rustix::time::{ClockId, clock_gettime};
use service::{Guarded, INTERVAL};

const ROUTES: usize = 8;
/// Of the routes, two of each; two sums, two gauges.
const SERIES: usize = 2 * ROUTES + 4;
const TICKS: usize = 17_280;
const SAMPLES: usize = TICKS * SERIES;
/// Ticks of a quarter of an hour.
const ROLL: usize = 180;

fn main() {
    divan::main();
    figures();
}

/// A linear congruential generator: Knuth, *MMIX*.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        let Self(state) = self;
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % n
    }
}

/// The facts of a day, in their order.
fn day() -> Vec<(Moment, Event)> {
    let traffic = Guarded::healthy(ROUTES).traffic();
    let mut series = traffic.series;
    for name in [
        "request_seconds_sum",
        "db_seconds_sum",
        "queue",
        "heap_bytes",
    ] {
        series.push(Arc::new(Series::new(name, Vec::new())));
    }
    let mut values = [0.0; SERIES];
    let mut chance = Chance(17);
    let mut tick = traffic.tick;
    let mut facts = Vec::with_capacity(2 * TICKS);
    for _ in 0..TICKS {
        tick = tick + INTERVAL;
        for (place, value) in values.iter_mut().enumerate() {
            match place {
                // Failed requests are rare.
                _ if place < 2 * ROUTES && place % 2 == 1 => *value += chance.below(3) as f64,
                _ if place < 2 * ROUTES => *value += chance.below(500) as f64,
                16 | 17 => *value += chance.below(1_000_000) as f64 / 1e6,
                18 => *value = chance.below(40) as f64,
                _ => *value = 5e8 + chance.below(1 << 20) as f64 * 4096.0,
            }
        }
        let samples = series.iter().zip(values).map(|(series, value)| Sample {
            series: Arc::clone(series),
            value,
        });
        let sampled = Event::Sampled {
            service: "shop".to_owned(),
            source: "app".to_owned(),
            tick,
            outcome: Outcome::Scraped(samples.collect()),
        };
        let ticked = Event::Ticked {
            service: "shop".to_owned(),
            tick,
            wall_ahead_ms: 0,
        };
        let late = chance.below(1000);
        let at = Moment::from_millis(tick.as_millis() + late);
        facts.push((at, sampled));
        facts.push((at, ticked));
    }
    facts
}

fn write(state: &Path, facts: &[(Moment, Event)]) {
    let opened = Journal::open::<()>(state, Options::default());
    let mut journal = opened.expect("a journal").0;
    for (place, (at, event)) in facts.iter().enumerate() {
        journal.event(*at, event);
        if place % 2 == 1 {
            let _kept = journal.flush().expect("a disk");
        }
        if place % (2 * ROLL) == 2 * ROLL - 1 {
            journal.roll(&()).expect("a disk");
        }
    }
    let _kept = journal.commit().expect("a disk");
}

fn written() -> tempfile::TempDir {
    let state = tempfile::tempdir().expect("a directory");
    write(state.path(), &day());
    state
}

fn past(state: &Path) -> Past {
    Past::open(state).expect("a past")
}

fn read(past: &Past) -> usize {
    past.entries(Span::ALL).expect("a past").flatten().count()
}

fn recording(past: &Past) -> Recording {
    let policy = Guarded::healthy(ROUTES).policy();
    Recording::of_history(&[&policy], past, Span::ALL).expect("a recording")
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn write_a_day(bencher: Bencher<'_, '_>) {
    let facts = day();
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .with_inputs(|| tempfile::tempdir().expect("a directory"))
        .bench_local_refs(|state| write(state.path(), &facts));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn read_a_day_back(bencher: Bencher<'_, '_>) {
    let state = written();
    let past = past(state.path());
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .bench_local(|| assert!(read(&past) >= 2 * TICKS));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn export_a_day(bencher: Bencher<'_, '_>) {
    let state = written();
    let past = past(state.path());
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        let exported = export(&past, "shop", Span::ALL, &mut io::sink());
        exported.expect("an export").samples
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn replay_a_day_of_history(bencher: Bencher<'_, '_>) {
    let state = written();
    let past = past(state.path());
    let policy = Guarded::healthy(ROUTES).policy();
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .bench_local(|| replay(&policy, &recording(&past)));
}

/// Seconds of CPU that this takes, the least of some turns.
fn cpu(mut work: impl FnMut()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let turn = |_| {
        let before = now();
        work();
        now() - before
    };
    (0..5).map(turn).fold(f64::INFINITY, f64::min)
}

#[expect(clippy::print_stdout, reason = "figures that divan does not take")]
fn figures() {
    let facts = day();
    let state = written();
    let [samples, decisions, _] = bytes(state.path()).expect("a journal");
    println!(
        "a sample takes {:.2} bytes of disk, and a day of one host {:.2} MiB, 30 days {:.0} MiB (goal: 4 bytes)",
        samples as f64 / SAMPLES as f64,
        (samples + decisions) as f64 / f64::from(1 << 20),
        30.0 * (samples + decisions) as f64 / f64::from(1 << 20),
    );
    let writing = cpu(|| {
        let state = tempfile::tempdir().expect("a directory");
        write(state.path(), &facts);
    });
    println!(
        "writing a sample takes {:.0} ns of CPU, and a tick of 20 {:.1} us (goal: 25 us)",
        writing / SAMPLES as f64 * 1e9,
        writing / TICKS as f64 * 1e6
    );
    let past = past(state.path());
    let reading = cpu(|| {
        black_box(read(&past));
    });
    let recording = cpu(|| {
        black_box(recording(&past));
    });
    println!(
        "reading a day of one host back takes {:.0} ms of CPU, as a recording {:.0} ms (goal: 100 ms)",
        reading * 1e3,
        recording * 1e3
    );
}
