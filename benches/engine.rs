//! What judging costs, and keeping what it rests on.
//!
//! The goals: a tick of 100 signals, its 200 samples taken in and judged, under
//! 100 µs, also while all of them are in breach; windows of 15 minutes at most
//! 1.1 times those of one minute; 40 triggers on the metrics of 4 at most 1.3
//! times 4 (of a whole sample: `scrape` has what reading the page costs); a
//! simulated day of one host well under a tenth of a CPU second.
//!
//! Each iteration is the next tick of an engine whose windows and holds are
//! full. Behind divan's table stand the goals that are ratios, and the day, in
//! CPU time, the least of several turns and the sides of a ratio by turns: a
//! busy machine does not change them.

#![expect(clippy::disallowed_methods, reason = "a bench asks what time it is")]

mod service;

use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;

use backstop::guard::{Engine, Event, Snapshot};
use backstop::journal::{Journal, Options};
use divan::Bencher;
use divan::counter::ItemsCount;
use rustix::time::{ClockId, clock_gettime};
use service::{Guarded, INTERVAL};

/// Ticks of the longest window and hold here, and some more.
const FULL: u32 = 200;
/// Ticks of a day.
const DAY: u32 = 17_280;

fn main() {
    divan::main();
    ratios();
    cpu_of_a_day();
    cpu_of_a_start();
}

/// Takes in and judges one tick after the other.
fn ticks(bencher: Bencher<'_, '_>, guarded: &Guarded) {
    let (mut engine, traffic) = guarded.after(FULL);
    let traffic = RefCell::new(traffic);
    bencher
        .counter(ItemsCount::new(2 * guarded.routes))
        .with_inputs(|| traffic.borrow_mut().next())
        .bench_local_values(|tick| tick.step(&mut engine));
}

/// Items are samples.
#[divan::bench(args = [1, 10, 100])]
fn tick_of_healthy_signals(bencher: Bencher<'_, '_>, signals: usize) {
    ticks(bencher, &Guarded::healthy(signals));
}

/// A breach must be proven on the whole hold's counts, at each tick anew.
#[divan::bench(args = [1, 10, 100])]
fn tick_of_signals_in_breach(bencher: Bencher<'_, '_>, signals: usize) {
    ticks(bencher, &in_breach(signals));
}

fn in_breach(signals: usize) -> Guarded {
    Guarded {
        failed: 20.0,
        // None fires while it is measured, and none is ever proven by being old.
        hold: "12h",
        ..Guarded::healthy(signals)
    }
}

/// So near their limits that only the exact probability tells.
#[divan::bench(args = [100])]
fn tick_of_signals_hardly_in_breach(bencher: Bencher<'_, '_>, signals: usize) {
    let guarded = Guarded {
        failed: 5.05,
        ..in_breach(signals)
    };
    ticks(bencher, &guarded);
}

#[divan::bench(args = ["1m", "15m"])]
fn window(bencher: Bencher<'_, '_>, window: &'static str) {
    let guarded = Guarded {
        window,
        ..Guarded::healthy(10)
    };
    ticks(bencher, &guarded);
}

#[divan::bench(args = [4, 40])]
fn triggers_on_four_signals(bencher: Bencher<'_, '_>, triggers: usize) {
    let guarded = Guarded {
        triggers,
        ..Guarded::healthy(4)
    };
    ticks(bencher, &guarded);
}

/// A host with 20 series and ten triggers.
fn day() -> usize {
    let (mut engine, mut traffic) = Guarded::healthy(10).after(0);
    (0..DAY).map(|_| traffic.next().step(&mut engine)).sum()
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn day_of_one_host() -> usize {
    day()
}

/// Seconds of CPU that this takes.
fn cpu<T>(work: impl FnOnce() -> T) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let before = now();
    black_box(work());
    now() - before
}

#[expect(clippy::print_stdout, reason = "a figure that divan does not take")]
fn cpu_of_a_day() {
    let best = (0..5).map(|_| cpu(day)).fold(f64::INFINITY, f64::min);
    println!("a simulated day of one host: {best:.3} s of CPU (goal: well under 0.1)");
}

/// A tick of one against a tick of the other.
#[expect(clippy::print_stdout, reason = "a figure that divan does not take")]
fn ratio(what: &str, goal: &str, [more, less]: [&Guarded; 2]) {
    const TURNS: usize = 7;
    const TICKS: usize = 400;
    let mut sides = [more, less].map(|guarded| (guarded.after(FULL), f64::INFINITY));
    for _ in 0..TURNS {
        for ((engine, traffic), least) in &mut sides {
            let ticks: Vec<_> = (0..TICKS).map(|_| traffic.next()).collect();
            let took = cpu(|| {
                ticks
                    .into_iter()
                    .map(|tick| tick.step(engine))
                    .sum::<usize>()
            });
            *least = least.min(took / TICKS as f64 * 1e6);
        }
    }
    let [(_, more), (_, less)] = sides;
    let ratio = more / less;
    println!("{what}: {ratio:.2} times, {more:.2} µs and {less:.2} µs of CPU a tick ({goal})");
}

fn ratios() {
    let window = |window| Guarded {
        window,
        ..Guarded::healthy(10)
    };
    ratio(
        "windows of 15m and of 1m",
        "goal: at most 1.1 times",
        [&window("15m"), &window("1m")],
    );
    let triggers = |triggers| Guarded {
        triggers,
        ..Guarded::healthy(4)
    };
    ratio(
        "40 and 4 triggers on the same signals",
        "goal: at most 1.3 times of a whole sample, see `scrape`",
        [&triggers(40), &triggers(4)],
    );
    ratio(
        "100 signals in breach and healthy",
        "goal: either under 100 µs",
        [&in_breach(100), &Guarded::healthy(100)],
    );
}

fn journal(state: &Path) -> Journal {
    let opened = Journal::open::<Snapshot>(state, Options::default());
    opened.expect("a journal").0
}

/// A sample of 20 series and its tick, taken down, and written at each or at
/// every sixtieth tick. Items are events.
#[divan::bench(args = [1, 60])]
fn journal_of_a_tick(bencher: Bencher<'_, '_>, written: u32) {
    let state = tempfile::tempdir().expect("a directory");
    let mut journal = journal(state.path());
    let traffic = RefCell::new(Guarded::healthy(10).traffic());
    let mut waiting = 0;
    bencher
        .counter(ItemsCount::new(2_usize))
        .with_inputs(|| traffic.borrow_mut().next())
        .bench_local_refs(|tick| {
            journal.event(tick.at, &tick.sampled);
            journal.event(tick.at, &tick.ticked);
            waiting += 1;
            if waiting == written {
                waiting = 0;
                let _kept = journal.flush().expect("a disk");
            }
        });
}

/// What a start with so many services reads and steps again: a quarter of an
/// hour since the last snapshot, 20 series each. Items are events.
#[divan::bench(args = [1, 100], sample_count = 5, sample_size = 1)]
fn recovery_of_fifteen_minutes(bencher: Bencher<'_, '_>, services: usize) {
    let state = tempfile::tempdir().expect("a directory");
    write_fifteen_minutes(state.path(), services);
    bencher
        .counter(ItemsCount::new(services * 2 * 180))
        .bench_local(|| recover(state.path(), services));
}

fn recover(state: &Path, services: usize) -> (Journal, Engine) {
    let opened = Journal::open::<Snapshot>(state, Options::default());
    let (journal, recovery) = opened.expect("a journal");
    assert!(recovery.damage.is_empty(), "{:?}", recovery.damage);
    let mut engine = Engine::restore(recovery.snapshot.expect("a snapshot"));
    let mut stepped = 0;
    for step in recovery.steps {
        black_box(engine.step(step.at, step.event));
        stepped += 1;
    }
    assert_eq!(stepped, services * 2 * 180);
    (journal, engine)
}

#[expect(clippy::print_stdout, reason = "a figure that divan does not take")]
fn cpu_of_a_start() {
    let state = tempfile::tempdir().expect("a directory");
    write_fifteen_minutes(state.path(), 100);
    let best = (0..5)
        .map(|_| cpu(|| recover(state.path(), 100)))
        .fold(f64::INFINITY, f64::min);
    println!("a start with 100 services and 15 minutes: {best:.3} s of CPU (goal: 0.25)");
}

fn write_fifteen_minutes(state: &Path, services: usize) {
    let mut journal = journal(state);
    let mut engine = Engine::new();
    let mut traffics = Vec::new();
    for number in 0..services {
        let guarded = Guarded {
            service: format!("shop-{number}"),
            ..Guarded::healthy(10)
        };
        let traffic = guarded.traffic();
        let revised = guarded.revised();
        write(&mut journal, &mut engine, traffic.tick, revised);
        traffics.push(traffic);
    }
    journal.roll(engine.state()).expect("a disk");
    for _ in 0..900 / INTERVAL.as_secs() {
        for traffic in &mut traffics {
            let tick = traffic.next();
            write(&mut journal, &mut engine, tick.at, tick.sampled);
            write(&mut journal, &mut engine, tick.at, tick.ticked);
        }
        let _kept = journal.flush().expect("a disk");
    }
    let _kept = journal.commit().expect("a disk");
}

fn write(journal: &mut Journal, engine: &mut Engine, at: backstop::model::Moment, event: Event) {
    let cause = journal.event(at, &event);
    let commands = engine.step(at, event);
    journal.commands(cause, &commands);
}
