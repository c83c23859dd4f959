//! How fast history is judged again: samples per second, read from OpenMetrics
//! text and replayed. The recording is a day of one host: 17,280 scrapes of 20
//! series, some 20 MB.
//!
//! The goal: a month of that, ten million samples, in at most two seconds and
//! 200 MB. Behind divan's table stands what that takes, from a file of 600 MB
//! that is read before, so that it is in memory as far as there is room.

#![expect(clippy::disallowed_methods, reason = "a bench asks what time it is")]

mod service;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufWriter, Write};
use std::time::Instant;

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
    a_month();
}

/// A recording of so many scrapes, one series after the other, as a database
/// exports it.
fn record(guarded: &Guarded, scrapes: usize, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "# TYPE http_requests counter")?;
    let mut traffic = guarded.traffic();
    let start = traffic.tick.as_millis() / 1000;
    // What a series says grows evenly: one tick tells them all.
    traffic.next();
    for (index, series) in traffic.series.iter().enumerate() {
        let each = traffic.value(index);
        let series = series.to_string();
        for scrape in 0..scrapes {
            let at = start + scrape as u64 * INTERVAL.as_secs();
            writeln!(out, "{series} {} {at}", scrape as f64 * each)?;
        }
    }
    writeln!(out, "# EOF")
}

fn recording(guarded: &Guarded) -> String {
    let mut out = Vec::new();
    record(guarded, SCRAPES, &mut out).expect("memory");
    String::from_utf8(out).expect("text")
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

#[expect(clippy::print_stdout, reason = "figures that divan does not take")]
fn a_month() {
    let guarded = Guarded::healthy(ROUTES);
    let policy = guarded.policy();
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("month.om");
    let mut out = BufWriter::new(File::create(&path).expect("a file"));
    record(&guarded, 30 * SCRAPES, &mut out).expect("a disk with room");
    drop(out);
    let file = || File::open(&path).expect("the file");
    io::copy(&mut file(), &mut io::sink()).expect("the file");
    forget_the_peak();
    let cpu = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (begun, cpu_begun) = (Instant::now(), cpu());
    let recording = Recording::read(&policy, file()).expect("a recording");
    let (read, cpu_read) = (begun.elapsed(), cpu());
    black_box(replay(&policy, &recording));
    println!(
        "a month of one host: {:.2} s, {:.2} s of them to read it; {:.2} s of CPU, {:.2} s of them to read it; {} MB at most (goal: 2 s, 200 MB)",
        begun.elapsed().as_secs_f64(),
        read.as_secs_f64(),
        cpu() - cpu_begun,
        cpu_read - cpu_begun,
        peak_mb()
    );
}

/// What divan's benches took is none of the month's (proc(5), `clear_refs`).
fn forget_the_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("the kernel's leave");
}

/// The most memory that was resident at once.
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the own status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024 / 1_000_000
}
