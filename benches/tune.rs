//! How much dearer than a replay it is to try 20 limits by 20 holds in the same
//! pass, over a day of one host: at most three times. Of a healthy service, and
//! of one that fails at half of the limits all day, where holds are awake at
//! every tick.

mod service;

use std::fmt::Write as _;
use std::hint::black_box;

use backstop::policy::Loaded;
use backstop::replay::{Axes, Recording, replay, tune};
use divan::Bencher;
use divan::counter::ItemsCount;
use rustix::time::{ClockId, clock_gettime};
use service::{Guarded, INTERVAL};

/// Scrapes of a day.
const SCRAPES: usize = 17_280;
const ROUTES: usize = 10;
const SAMPLES: usize = SCRAPES * ROUTES * 2;

/// Failed ones of a hundred requests.
const FAILED: [f64; 2] = [0.01, 5.25];

fn main() {
    divan::main();
    for failed in FAILED {
        beside_a_replay(failed);
    }
}

fn guarded(failed: f64) -> Guarded {
    Guarded {
        failed,
        ..Guarded::healthy(ROUTES)
    }
}

fn loaded(guarded: &Guarded) -> Loaded {
    backstop::policy::load("bench.toml", &guarded.policy_text())
}

/// A day in which every counter grows evenly.
fn recording(guarded: &Guarded) -> Recording {
    let mut text = String::from("# TYPE http_requests counter\n");
    let mut traffic = guarded.traffic();
    let start = traffic.tick.as_millis() / 1000;
    traffic.next();
    for (index, series) in traffic.series.iter().enumerate() {
        let each = traffic.value(index);
        for scrape in 0..SCRAPES {
            let at = start + scrape as u64 * INTERVAL.as_secs();
            let _ = writeln!(text, "{series} {} {at}", scrape as f64 * each);
        }
    }
    text.push_str("# EOF\n");
    Recording::read(&guarded.policy(), text.as_bytes()).expect("a recording")
}

/// Twenty limits by twenty holds.
fn axes() -> Axes {
    let limits = (1..=20).map(|n| format!("{}%", f64::from(n) / 2.0));
    Axes {
        trigger: "failing-0".to_owned(),
        limits: limits.collect(),
        holds: (1..=20).map(|n| format!("{n}m")).collect(),
        ..Axes::default()
    }
}

#[divan::bench(sample_count = 5, sample_size = 1, args = FAILED)]
fn replay_a_day(bencher: Bencher<'_, '_>, failed: f64) {
    let guarded = guarded(failed);
    let (policy, recording) = (guarded.policy(), recording(&guarded));
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .bench_local(|| replay(&policy, &recording));
}

#[divan::bench(sample_count = 5, sample_size = 1, args = FAILED)]
fn tune_a_day(bencher: Bencher<'_, '_>, failed: f64) {
    let guarded = guarded(failed);
    let (file, recording, axes) = (loaded(&guarded), recording(&guarded), axes());
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .bench_local(|| tune(&file, &recording, &axes, None));
}

#[expect(clippy::disallowed_methods, reason = "a bench asks what time it is")]
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[expect(clippy::print_stdout, reason = "a figure that divan does not take")]
fn beside_a_replay(failed: f64) {
    let guarded = guarded(failed);
    let (policy, file, axes) = (guarded.policy(), loaded(&guarded), axes());
    let recording = recording(&guarded);
    let (mut replaying, mut tuning) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        let begun = cpu_seconds();
        black_box(replay(&policy, &recording));
        let replayed = cpu_seconds();
        let tuned = black_box(tune(&file, &recording, &axes, None)).expect("choices");
        assert!(tuned.choices.len() >= 400);
        replaying = replaying.min(replayed - begun);
        tuning = tuning.min(cpu_seconds() - replayed);
    }
    println!(
        "20 limits by 20 holds, {failed} of a hundred requests failed: {:.2} times a replay (goal: 3 times)",
        tuning / replaying
    );
}
