//! How fast history is judged again: samples per second, read from OpenMetrics
//! text and replayed. The recording is a day of one host: 17,280 scrapes of 20
//! series, some 20 MB.

mod service;

use std::fmt::Write as _;

use backstop::model::Policy;
use backstop::replay::{Recording, replay};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use service::{Guarded, INTERVAL};

/// Scrapes of a day.
const SCRAPES: usize = 17_280;
const ROUTES: usize = 10;
const SAMPLES: usize = SCRAPES * ROUTES * 2;

fn main() {
    divan::main();
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
