//! How fast a page is read: bytes per second at 1,000, 10,000 and 100,000
//! series, with 20 and with half of them selected.
//!
//! Beside it, on the same bytes in the same run: the plainest pass that is of
//! any use (walk the lines, read each one's last token as a number), which
//! bounds what a parser can do, and prometheus-parse over the whole body. The
//! goals: at least the plain pass with 20 selected, a third of it with half
//! selected, twenty times prometheus-parse.
//!
//! Each pass reads the page in chunks of 64 KiB, as it comes from a socket.

mod page;

use std::hint::black_box;

use backstop::model::Selector;
use backstop::sense::exposition::{Dialect, Exposition, Framing};
use divan::Bencher;
use divan::counter::BytesCount;
use page::page;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const CHUNK: usize = 64 << 10;

fn main() {
    divan::main();
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
