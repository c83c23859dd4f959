//! What hostile and large pages cost in memory, as the kernel counts it. A test
//! binary of its own, with one test, because the peak is the whole process's.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]
mod hostile;

use std::time::Duration;

use backstop::model::{Outcome, Selector};
use backstop::sense::{Client, Sensor};
use hostile::{Act, Target, bomb, scrape, source};

const KIB: u64 = 1;
const MIB: u64 = 1024 * KIB;

/// The default limit of a body.
const LARGE: u64 = 64 << 20;

/// Four times what may stay in memory of a hostile body, and no more, because
/// tests run without much optimisation.
const HOSTILE: u64 = 8 << 20;

/// The peak of the process's resident memory so far, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse().ok())
        .expect("a VmHWM in kB")
}

async fn sample(act: Act, times: usize, max_body: u64) -> Outcome {
    let target = Target::new(act).await;
    let selectors = vec![Selector::parse("wanted_total").expect("a selector")];
    let client = Client::new();
    let kind = scrape(target.url(), max_body);
    let source = source(kind, Duration::from_secs(60));
    let mut sensor = Sensor::new("app", &source, selectors, &client).expect("a source");
    let mut last = sensor.sample().await.outcome;
    for _ in 1..times {
        last = sensor.sample().await.outcome;
    }
    last
}

#[tokio::test]
async fn memory_is_bounded_by_what_is_selected_not_by_what_is_sent() {
    let outcome = sample(Act::Page(1000), 10, LARGE).await;
    assert!(matches!(outcome, Outcome::Scraped(found) if found.len() == 10));
    let before = peak();

    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let plain = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let zipped = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
    let wide = format!("8000\r\n{}\r\n", "m 1\n".repeat(0x2000)).into_bytes();
    for (name, act) in [
        (
            "a body without an end",
            Act::Flood(plain.clone(), b"m 1\n".to_vec()),
        ),
        ("chunks without an end", Act::Flood(chunked, wide)),
        ("a line without an end", Act::Flood(plain, b"m".to_vec())),
        (
            "a gzip bomb",
            Act::Answer([zipped, bomb(*b"m 1\n", 50_000)].concat()),
        ),
        (
            "headers without an end",
            Act::Flood(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-H: 1\r\n".to_vec()),
        ),
    ] {
        let outcome = sample(act, 2, HOSTILE).await;
        assert!(outcome.gap().is_some(), "{name}: {outcome:?}");
        let more = peak() - before;
        // Two in the released agent; the server of this test counts here too.
        assert!(more <= 4 * MIB, "{name}: {more} KiB more");
    }

    let before = peak();
    let outcome = sample(Act::Page(100_000), 2, LARGE).await;
    assert!(matches!(outcome, Outcome::Scraped(found) if found.len() == 10));
    let more = peak() - before;
    assert!(more <= 4 * MIB, "100,000 series: {more} KiB more");
}
