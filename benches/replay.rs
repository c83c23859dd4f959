//! How fast history is judged again: samples per second, read from OpenMetrics
//! text and replayed. The recording is a day of one host: 17,280 scrapes of 20
//! series, some 20 MB.
//!
//! The goal: a month of that, ten million samples, in at most two seconds and
//! 200 MB. Behind divan's table stands the CPU time of a day, thirty times; the
//! memory is nine bytes a sample, which a test of the columns holds.

#![expect(clippy::disallowed_methods, reason = "a bench asks what time it is")]

mod service;

use std::fmt::Write as _;
use std::hint::black_box;

use backstop::model::Policy;
use backstop::replay::{Recording, replay};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use rustix::time::{ClockId, clock_gettime};
use service::{Guarded, INTERVAL};

/// Scrapes of a day.
const SCRAPES: usize = 17_280;
const ROUTES: usize = 10;
const SAMPLES: usize = SCRAPES * ROUTES * 2;

fn main() {
    divan::main();
    cpu_of_a_month();
}

/// The recording, one series after the other, as a database exports it.
fn recording(guarded: &Guarded) -> String {
    let mut out = String::from("# TYPE http_requests counter\n");
    let mut traffic = guarded.traffic();
    let start = traffic.tick.as_millis() / 1000;
    // What a series says grows evenly: one tick tells them all.
    traffic.next();
    for (index, series) in traffic.series.iter().enumerate() {
        let each = traffic.value(index);
        for scrape in 0..SCRAPES {
            let at = start + scrape as u64 * INTERVAL.as_secs();
            let _ = writeln!(out, "{series} {} {at}", scrape as f64 * each);
        }
    }
    out.push_str("# EOF\n");
    out
}

fn read(policy: &Policy, text: &str) -> Recording {
    Recording::read(policy, text.as_bytes()).expect("a recording")
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn read_a_day(bencher: Bencher<'_, '_>) {
    let guarded = Guarded::healthy(ROUTES);
    let (policy, text) = (guarded.policy(), recording(&guarded));
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .counter(BytesCount::of_str(&text))
        .bench_local(|| read(&policy, &text));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn replay_a_day(bencher: Bencher<'_, '_>) {
    let guarded = Guarded::healthy(ROUTES);
    let policy = guarded.policy();
    let recording = read(&policy, &recording(&guarded));
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        let replayed = replay(&policy, &recording);
        assert_eq!(replayed.told.ticks, SCRAPES as u64);
        replayed
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn read_and_replay_a_day(bencher: Bencher<'_, '_>) {
    let guarded = Guarded::healthy(ROUTES);
    let (policy, text) = (guarded.policy(), recording(&guarded));
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .bench_local(|| replay(&policy, &read(&policy, &text)));
}

#[expect(clippy::print_stdout, reason = "a figure that divan does not take")]
fn cpu_of_a_month() {
    let guarded = Guarded::healthy(ROUTES);
    let (policy, text) = (guarded.policy(), recording(&guarded));
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (mut reading, mut replaying) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..7 {
        let begun = now();
        let recording = read(&policy, &text);
        let read = now();
        black_box(replay(&policy, &recording));
        reading = reading.min(read - begun);
        replaying = replaying.min(now() - read);
    }
    let (reading, replaying) = (30.0 * reading, 30.0 * replaying);
    println!(
        "a month of one host: {:.2} s of CPU, {reading:.2} s to read it and {replaying:.2} s to replay it (goal: 2 s)",
        reading + replaying
    );
}
