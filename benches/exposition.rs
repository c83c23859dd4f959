//! How fast a page is read: bytes per second at 1,000, 10,000 and 100,000
//! series, with 20 and with half of them selected.
//!
//! Beside it, on the same bytes in the same run: the plainest pass that is of
//! any use (walk the lines, read each one's last token as a number), which
//! bounds what a parser can do, and prometheus-parse over the whole body. The
//! goals: at least the plain pass with 20 selected, a third of it with half
//! selected, twenty times prometheus-parse.
//!
//! The page is what a web service with many routes exposes: about 133 bytes a
//! line, counters, a histogram and gauges, in the order of a registry that
//! sorts. Each pass reads it in chunks of 64 KiB, as it comes from a socket.

use std::fmt::Write as _;
use std::hint::black_box;

use backstop::model::Selector;
use backstop::sense::exposition::{Dialect, Exposition, Framing};
use divan::Bencher;
use divan::counter::BytesCount;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const CHUNK: usize = 64 << 10;

fn main() {
    divan::main();
}

/// A page of `series` series: half of them histogram buckets, a fifth gauges,
/// the rest counters.
fn page(series: usize) -> String {
    let mut out = String::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let labels = |i: usize| {
        let (method, zone) = (["GET", "POST", "DELETE"][i % 3], ["a", "b"][i % 2]);
        format!(
            "method=\"{method}\",route=\"/api/v1/items/{i:06}/parts\",service=\"checkout\",zone=\"eu-west-1{zone}\""
        )
    };
    out.push_str("# HELP http_request_duration_seconds How long requests took.\n");
    out.push_str("# TYPE http_request_duration_seconds histogram\n");
    let bounds = ["0.005", "0.05", "0.25", "1", "+Inf"];
    for i in 0..series / 2 {
        let (of, le) = (labels(i / 5), bounds[i % 5]);
        let count = random(1_000_000);
        let _ = writeln!(
            out,
            "http_request_duration_seconds_bucket{{{of},le=\"{le}\"}} {count}"
        );
    }
    out.push_str("# HELP http_requests_total Requests that were answered.\n");
    out.push_str("# TYPE http_requests_total counter\n");
    for i in 0..series * 3 / 10 - 20 {
        let code = [200, 201, 404, 500][i % 4];
        let (of, count) = (labels(i / 4), random(10_000_000));
        let _ = writeln!(out, "http_requests_total{{{of},code=\"{code}\"}} {count}");
    }
    out.push_str("# TYPE payments_total counter\n");
    for i in 0..20 {
        let count = random(100_000);
        let _ = writeln!(
            out,
            "payments_total{{{},outcome=\"failed\"}} {count}",
            labels(i)
        );
    }
    out.push_str("# TYPE queue_depth_ratio gauge\n");
    for i in 0..series - series / 2 - series * 3 / 10 {
        let value = random(1_000_000) as f64 / 1e6;
        let _ = writeln!(
            out,
            "queue_depth_ratio{{{},queue=\"outbound\"}} {value}",
            labels(i)
        );
    }
    out
}

fn read(bencher: Bencher<'_, '_>, series: usize, selector: &str, selected: usize) {
    let page = page(series);
    let mut known = Exposition::new(vec![Selector::parse(selector).expect("a selector")]);
    let mut read = || {
        let mut reading = known.page(Dialect::Text, u64::MAX);
        for chunk in page.as_bytes().chunks(CHUNK) {
            reading.feed(black_box(chunk)).expect("an exposition");
        }
        reading.finish(Framing::Announced).expect("a whole page")
    };
    // The first scrape learns the series; it is every later one that counts.
    assert_eq!(read().len(), selected);
    bencher.counter(BytesCount::of_str(&page)).bench_local(read);
}

#[divan::bench(args = SIZES)]
fn twenty_selected(bencher: Bencher<'_, '_>, series: usize) {
    read(bencher, series, "payments_total", 20);
}

#[divan::bench(args = SIZES)]
fn half_selected(bencher: Bencher<'_, '_>, series: usize) {
    read(
        bencher,
        series,
        "http_request_duration_seconds_bucket",
        series / 2,
    );
}

#[divan::bench(args = SIZES)]
fn first_scrape(bencher: Bencher<'_, '_>, series: usize) {
    let page = page(series);
    bencher.counter(BytesCount::of_str(&page)).bench_local(|| {
        let mut known = Exposition::new(vec![Selector::parse("payments_total").expect("one")]);
        let mut reading = known.page(Dialect::Text, u64::MAX);
        for chunk in page.as_bytes().chunks(CHUNK) {
            reading.feed(black_box(chunk)).expect("an exposition");
        }
        reading
            .finish(Framing::Announced)
            .expect("a whole page")
            .len()
    });
}

#[divan::bench(args = SIZES)]
fn plain_pass(bencher: Bencher<'_, '_>, series: usize) {
    let page = page(series);
    bencher.counter(BytesCount::of_str(&page)).bench_local(|| {
        let mut sum = 0.0;
        let mut rest = black_box(page.as_bytes());
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if line.first() == Some(&b'#') {
                continue;
            }
            let Some(space) = memchr::memrchr(b' ', line) else {
                continue;
            };
            let token = std::str::from_utf8(&line[space + 1..]).unwrap_or_default();
            sum += token.parse::<f64>().unwrap_or_default();
        }
        sum
    });
}

#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn prometheus_parse(bencher: Bencher<'_, '_>, series: usize) {
    let page = page(series);
    bencher.counter(BytesCount::of_str(&page)).bench_local(|| {
        let lines = page.as_bytes();
        let lines = std::io::BufRead::lines(lines);
        prometheus_parse::Scrape::parse(lines).expect("an exposition")
    });
}
