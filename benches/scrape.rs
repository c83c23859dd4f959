//! What one whole sample costs over loopback, from the request to the selected
//! series: 20 of 1,000 and of 100,000.
//!
//! divan has the wall's time, in which the server's thread writes what the
//! sampling one reads. What is promised is CPU of the agent: the lines after
//! divan's are the sampling thread's own, user and system. The goals: at most
//! 120 µs for a page of 133 KB, 9 ms for one of 13.5 MB.

#![expect(clippy::disallowed_methods, reason = "a bench asks what time it is")]

mod page;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use backstop::model::{Outcome, Selector, Source, SourceKind, Tls};
use backstop::sense::{Client, Sensor};
use divan::Bencher;
use divan::counter::BytesCount;
use page::page;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

const SIZES: [usize; 2] = [1_000, 100_000];

fn main() {
    divan::main();
    for series in SIZES {
        cpu_of_a_sample(series);
    }
}

/// Answers every request on every connection with the same page, until the
/// bench ends.
fn serve(page: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer: Arc<[u8]> = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    )
    .into_bytes()
    .into();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || answer_all(stream, &answer));
        }
    });
    address
}

/// A request has no body and comes whole: its end is the end of what was read.
fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    let mut request = [0; 4096];
    let mut has = 0;
    while let Ok(read @ 1..) = stream.read(&mut request[has..]) {
        has += read;
        if request[..has].ends_with(b"\r\n\r\n") {
            has = 0;
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

/// A sensor of a page of so many series, and what its samples run on.
struct Sampling {
    runtime: Runtime,
    sensor: Sensor,
    bytes: usize,
}

impl Sampling {
    fn of(series: usize) -> Self {
        let page = page(series);
        let source = Source {
            kind: SourceKind::Scrape {
                url: format!("http://{}/metrics", serve(&page)),
                headers: BTreeMap::new(),
                max_body: 64 << 20,
                tls: Tls::default(),
            },
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            fail_after: 3,
            pass_after: 1,
        };
        let selectors = vec![Selector::parse("payments_total").expect("a selector")];
        // As the agent's own.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let client = Client::new();
        let sensor = Sensor::new("app", &source, selectors, &client).expect("a sensor");
        let mut sampling = Self {
            runtime,
            sensor,
            bytes: page.len(),
        };
        // The first one connects and learns the series.
        assert_eq!(sampling.sample(), 20);
        sampling
    }

    fn sample(&mut self) -> usize {
        let sampled = self.runtime.block_on(self.sensor.sample());
        match sampled.outcome {
            Outcome::Scraped(samples) => samples.len(),
            other => panic!("no page: {other:?}"),
        }
    }
}

#[divan::bench(args = SIZES)]
fn sample(bencher: Bencher<'_, '_>, series: usize) {
    let mut sampling = Sampling::of(series);
    bencher
        .counter(BytesCount::new(sampling.bytes))
        .bench_local(|| sampling.sample());
}

#[expect(clippy::print_stdout, reason = "a figure that divan does not take")]
fn cpu_of_a_sample(series: usize) {
    let mut sampling = Sampling::of(series);
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    let each = (200_000 / series).clamp(10, 200);
    let mut rounds: Vec<f64> = (0..11)
        .map(|_| {
            let before = now();
            for _ in 0..each {
                assert_eq!(sampling.sample(), 20);
            }
            (now() - before) / f64::from(u32::try_from(each).expect("a few"))
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!(
        "CPU of a sample of {series} series, {} bytes: median {:.0} µs, least {:.0} µs",
        sampling.bytes, rounds[5], rounds[0]
    );
}
