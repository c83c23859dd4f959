//! What a source can do to the agent, and what comes of it: a reason, within
//! the timeout, and nothing of a sample that was not whole.

use std::time::Duration;

use crate::hostile::{Act, Target, bomb, gzip, http, probe, scrape, source};
use backstop::model::{Expect, Gap, GapKind, Outcome, Selector, SourceKind, Tls};
use backstop::sense::{Client, Sampled, Sensor, selfcheck};
use serde_json::json;

/// Far longer than loopback needs on a busy machine.
const AMPLE: Duration = Duration::from_secs(20);
/// For what hangs.
const SHORT: Duration = Duration::from_millis(300);
const MAX_BODY: u64 = 1 << 20;
const PAGE: &str = "a{x=\"1\"} 1\nb 2\na{x=\"2\"} 3\n";

fn sensor(kind: SourceKind, timeout: Duration) -> Sensor {
    let selectors = vec![Selector::parse("a").expect("a selector")];
    let client = Client::new();
    Sensor::new("app", &source(kind, timeout), selectors, &client).expect("a source")
}

fn gap(sampled: &Sampled) -> &Gap {
    let gap = sampled.outcome.gap();
    gap.unwrap_or_else(|| panic!("it did not fail: {:?}", sampled.outcome))
}

/// `series value`, of a page that was read.
fn samples(sampled: &Sampled) -> Vec<String> {
    let Outcome::Scraped(page) = &sampled.outcome else {
        panic!("it was not read: {:?}", sampled.outcome);
    };
    let shown = |s: &backstop::model::Sample| format!("{} {}", s.series, s.value);
    page.iter().map(shown).collect()
}

async fn scraped(act: Act, timeout: Duration) -> Sampled {
    let target = Target::new(act).await;
    sensor(scrape(target.url(), MAX_BODY), timeout)
        .sample()
        .await
}

fn ok(body: &str) -> Act {
    Act::Answer(http("200 OK", "Content-Type: text/plain\r\n", body))
}

fn raw(text: &str) -> Act {
    Act::Answer(text.as_bytes().to_vec())
}

#[tokio::test]
async fn whatever_hangs_costs_one_timeout() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n".to_vec();
    let body = [&head[..], b"\r\na{x=\"1\"} 1\n"].concat();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for (name, act, detail) in [
        (
            "before the head",
            Act::Hang(Vec::new()),
            "no answer within 300ms",
        ),
        (
            "in the head",
            Act::Hang(head.clone()),
            "no answer within 300ms",
        ),
        (
            "in the body",
            Act::Hang(body),
            "no whole answer within 300ms: 11 bytes of body came",
        ),
        (
            "a head byte by byte",
            Act::Drip(head.clone(), b"X-Slow: 1\r\n".to_vec()),
            "no answer within 300ms",
        ),
        (
            "a body byte by byte",
            Act::Drip(chunked, b"5\r\nm 1 \n\r\n".to_vec()),
            "no whole answer within 300ms",
        ),
    ] {
        let sampled = scraped(act, SHORT).await;
        let gap = gap(&sampled);
        assert_eq!(gap.kind, GapKind::TimedOut, "{name}: {gap}");
        assert!(gap.detail.starts_with(detail), "{name}: {gap}");
        assert!(
            sampled.took >= SHORT && sampled.took < 4 * SHORT,
            "{name}: took {:?}",
            sampled.took
        );
    }
}

#[tokio::test]
async fn whatever_floods_is_cut_at_the_limit() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let plain = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let zipped = bomb(*b"m 1\n", 200_000);
    let announced = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        zipped.len()
    );
    for (name, act, detail) in [
        (
            "ten gigabytes announced",
            raw("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\na 1\n"),
            "the body is larger than 1048576 bytes: it has 10000000000",
        ),
        (
            "without an end",
            Act::Flood(plain.clone(), b"m 1\n".to_vec()),
            "the body is larger than 1048576 bytes",
        ),
        (
            "chunks without an end",
            Act::Flood(chunked, b"8\r\nm 1\nm 2\n\r\n".to_vec()),
            "the body is larger than 1048576 bytes",
        ),
        (
            "a gzip bomb",
            Act::Answer([announced.as_bytes(), &zipped].concat()),
            "the body is larger than 1048576 bytes",
        ),
        (
            "200,000 headers",
            Act::Answer(
                format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-H: 1\r\n".repeat(200_000)).into_bytes(),
            ),
            "the head of the answer is too large",
        ),
        (
            "one header without an end",
            Act::Flood(b"HTTP/1.1 200 OK\r\nX-H: ".to_vec(), b"xxxx".to_vec()),
            "the head of the answer is too large",
        ),
    ] {
        let sampled = scraped(act, AMPLE).await;
        let gap = gap(&sampled);
        assert_eq!(
            (gap.kind, gap.detail.as_str()),
            (GapKind::TooLarge, detail),
            "{name}"
        );
        assert!(sampled.bytes <= 2 * MAX_BODY, "{name}: {}", sampled.bytes);
    }

    // One line of a gigabyte, where the body's limit would allow more.
    let target = Target::new(Act::Flood(plain, b"x".to_vec())).await;
    let sampled = sensor(scrape(target.url(), 1 << 40), AMPLE).sample().await;
    let gap = gap(&sampled);
    assert_eq!(gap.kind, GapKind::TooLarge);
    assert_eq!(gap.detail, "line 1 is longer than 1048576 bytes");
}

#[tokio::test]
async fn what_is_no_exposition_is_refused_with_a_reason() {
    let html = "<html><body>It works!</body></html>\n";
    for (name, act, detail) in [
        (
            "HTML",
            Act::Answer(http(
                "200 OK",
                "Content-Type: text/html; charset=utf-8\r\n",
                html,
            )),
            "not an exposition: the page is HTML (Content-Type text/html)",
        ),
        (
            "HTML as text",
            ok(html),
            "not an exposition at line 1: this looks like HTML",
        ),
        (
            "HTML without a type",
            Act::Answer(http("200 OK", "", html)),
            "not an exposition at line 1: this looks like HTML",
        ),
        (
            "garbage at line 3",
            ok("a 1\nb 2\n%%%\n"),
            "not an exposition at line 3: expected a metric name, found \"%%%\"",
        ),
        (
            "the same series twice",
            ok("a 1\nb 2\na 3\n"),
            "not an exposition at line 3: a stands twice",
        ),
        (
            "another protocol",
            raw("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
            "not HTTP: invalid HTTP version parsed",
        ),
        (
            "broken gzip",
            Act::Answer(http(
                "200 OK",
                "Content-Encoding: gzip\r\n",
                "not gzip at all",
            )),
            "the body cannot be decompressed: invalid gzip header",
        ),
    ] {
        let sampled = scraped(act, AMPLE).await;
        let gap = gap(&sampled);
        assert_eq!(
            (gap.kind, gap.detail.as_str()),
            (GapKind::Malformed, detail),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_was_not_whole_is_dropped_whole() {
    let zipped = gzip(PAGE);
    let length = zipped.len();
    let head = format!("Content-Encoding: gzip\r\nContent-Length: {length}\r\n");
    for (name, act) in [
        (
            "shorter than its length",
            raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na{x=\"1\"} 1\n"),
        ),
        (
            "cut in a chunk",
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\na 1\n"),
        ),
        (
            "cut between chunks",
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n"),
        ),
        (
            "cut in a line, without a length",
            raw("HTTP/1.1 200 OK\r\n\r\na{x=\"1\"} 1\na{x=\"2\"} 12"),
        ),
        (
            "OpenMetrics without its end",
            Act::Answer(http(
                "200 OK",
                "Content-Type: application/openmetrics-text; version=1.0.0\r\n",
                "a 1\n",
            )),
        ),
        (
            "cut gzip",
            Act::Answer(
                [
                    format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(),
                    &zipped[..length / 2],
                ]
                .concat(),
            ),
        ),
    ] {
        let sampled = scraped(act, AMPLE).await;
        let gap = gap(&sampled);
        assert_eq!(gap.kind, GapKind::Truncated, "{name}: {gap}");
    }
}

#[tokio::test]
async fn a_whole_page_is_read_however_it_comes() {
    let zipped = gzip(PAGE);
    let mut compressed = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        zipped.len()
    )
    .into_bytes();
    compressed.extend(zipped);
    let chunked: String = PAGE
        .as_bytes()
        .chunks(7)
        .map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)))
        .collect();
    for (name, act) in [
        ("with a length", ok(PAGE)),
        (
            "until it closes",
            raw(&format!("HTTP/1.1 200 OK\r\n\r\n{PAGE}")),
        ),
        (
            "of HTTP/1.0",
            raw(&format!("HTTP/1.0 200 OK\r\n\r\n{PAGE}")),
        ),
        (
            "in chunks",
            raw(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}0\r\n\r\n"
            )),
        ),
        ("compressed", Act::Answer(compressed)),
        (
            "as OpenMetrics",
            Act::Answer(http(
                "200 OK",
                "Content-Type: application/openmetrics-text\r\n",
                &format!("{PAGE}# EOF\n"),
            )),
        ),
    ] {
        let sampled = scraped(act, AMPLE).await;
        let found = samples(&sampled);
        assert_eq!(found, ["a{x=\"1\"} 1", "a{x=\"2\"} 3"], "{name}");
        assert!(sampled.bytes >= PAGE.len() as u64, "{name}");
    }
}

#[tokio::test]
async fn odd_numbers_are_samples_and_an_empty_page_is_no_zero() {
    let sampled = scraped(ok("a{x=\"1\"} NaN\na{x=\"2\"} -Inf\na -5\n"), AMPLE).await;
    let found = samples(&sampled);
    assert_eq!(found, ["a{x=\"1\"} NaN", "a{x=\"2\"} -inf", "a -5"]);
    for body in ["", "\n", "# only a comment\n", "b 1\n"] {
        assert!(
            samples(&scraped(ok(body), AMPLE).await).is_empty(),
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn only_status_200_is_a_page() {
    for status in [
        "204 No Content",
        "401 U",
        "404 N",
        "429 T",
        "500 I",
        "503 S",
    ] {
        let body = if status.starts_with("204") { "" } else { PAGE };
        let sampled = scraped(Act::Answer(http(status, "", body)), AMPLE).await;
        let gap = gap(&sampled);
        assert_eq!(gap.kind, GapKind::Status);
        assert_eq!(gap.detail, format!("status {}", &status[..3]));
    }
}

#[tokio::test]
async fn redirects_are_followed_three_times_and_never_to_another_host() {
    let to = |place: &str| Act::Answer(http("302 Found", &format!("Location: {place}\r\n"), ""));
    for (name, place, detail) in [
        ("a loop", "/metrics", "more than 3 redirects"),
        (
            "another host",
            "http://localhost:1/metrics",
            "redirected to another host, localhost",
        ),
        (
            "another scheme",
            "ftp://127.0.0.1/metrics",
            "redirected to ftp://",
        ),
    ] {
        let sampled = scraped(to(place), AMPLE).await;
        let gap = gap(&sampled);
        assert_eq!(
            (gap.kind, gap.detail.as_str()),
            (GapKind::Redirect, detail),
            "{name}"
        );
    }
    let nowhere = scraped(Act::Answer(http("301 Moved", "", "")), AMPLE).await;
    assert_eq!(gap(&nowhere).detail, "status 301 without a place to go to");

    let target = Target::with(move |nth| if nth < 3 { to("/elsewhere") } else { ok(PAGE) }).await;
    let sampled = sensor(scrape(target.url(), MAX_BODY), AMPLE).sample().await;
    assert_eq!(samples(&sampled).len(), 2);
    assert_eq!(target.connections(), 4);
}

#[tokio::test]
async fn connections_that_fail_are_told_apart() {
    let vacant = {
        let target = Target::new(Act::Close).await;
        target.url()
    };
    // The listener's task has been told to stop; wait until it has.
    let refused = loop {
        let sampled = sensor(scrape(vacant.clone(), MAX_BODY), AMPLE)
            .sample()
            .await;
        if gap(&sampled).kind != GapKind::Reset {
            break sampled;
        }
    };
    assert_eq!(gap(&refused).kind, GapKind::Refused);
    assert_eq!(gap(&refused).detail, "connection refused");

    let reset = scraped(Act::Reset, AMPLE).await;
    assert_eq!(gap(&reset).kind, GapKind::Reset, "{}", gap(&reset));
    let closed = scraped(Act::Close, AMPLE).await;
    assert_eq!(gap(&closed).kind, GapKind::Reset);
    assert_eq!(
        gap(&closed).detail,
        "the connection closed before an answer"
    );

    let target = Target::new(Act::Greet(b"220 mail ESMTP\r\n".to_vec())).await;
    let url = target.url().replace("http:", "https:");
    let plain = sensor(scrape(url, MAX_BODY), AMPLE).sample().await;
    assert_eq!(gap(&plain).kind, GapKind::Tls, "{}", gap(&plain));
    assert_eq!(gap(&plain).detail, "TLS: the other side does not speak TLS");

    let url = "http://no-such-host.invalid/metrics".to_owned();
    let unknown = sensor(scrape(url, MAX_BODY), Duration::from_secs(2))
        .sample()
        .await;
    assert_eq!(gap(&unknown).kind, GapKind::Unresolved, "{}", gap(&unknown));
    assert!(gap(&unknown).is_blindness());
}

#[tokio::test]
async fn a_stale_connection_is_tried_once_more_on_a_fresh_one() {
    let page = http("200 OK", "", PAGE);
    let target = Target::new(Act::Stale(page.clone())).await;
    let mut sensor = sensor(scrape(target.url(), MAX_BODY), AMPLE);
    for round in 1..=5 {
        assert_eq!(samples(&sensor.sample().await).len(), 2, "round {round}");
    }
    assert_eq!(target.connections(), 5);
}

#[tokio::test]
async fn a_service_that_only_closes_is_not_tried_again_and_again() {
    let page = http("200 OK", "", PAGE);
    let target = Target::with(move |nth| match nth {
        0 => Act::Stale(page.clone()),
        _ => Act::Close,
    })
    .await;
    let mut sensor = sensor(scrape(target.url(), MAX_BODY), AMPLE);
    assert_eq!(samples(&sensor.sample().await).len(), 2);
    assert_eq!(gap(&sensor.sample().await).kind, GapKind::Reset);
    assert_eq!(target.connections(), 2);
    assert_eq!(gap(&sensor.sample().await).kind, GapKind::Reset);
    assert_eq!(target.connections(), 3);
}

#[tokio::test]
async fn a_good_target_costs_one_connection() {
    let target = Target::new(Act::Keep(http("200 OK", "", PAGE))).await;
    let mut sensor = sensor(scrape(target.url(), MAX_BODY), AMPLE);
    let first = sensor.sample().await;
    for _ in 0..10 {
        let again = sensor.sample().await;
        assert_eq!(samples(&again), samples(&first));
    }
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn a_failed_sample_leaves_nothing_in_the_next() {
    let answers = [
        http("200 OK", "", PAGE),
        http("200 OK", "", "a{x=\"1\"} 7\na{x=\"2\"} 8\n!\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na{x=\"1\"} 7\na{x".to_vec(),
        http("200 OK", "", PAGE),
    ];
    let target = Target::with(move |nth| Act::Answer(answers[nth].clone())).await;
    let mut sensor = sensor(scrape(target.url(), MAX_BODY), AMPLE);
    let first = sensor.sample().await;
    assert_eq!(gap(&sensor.sample().await).kind, GapKind::Malformed);
    assert_eq!(gap(&sensor.sample().await).kind, GapKind::Truncated);
    assert_eq!(samples(&sensor.sample().await), samples(&first));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of answers")]
async fn a_probe_says_what_was_not_as_expected() {
    let expect = Expect::default;
    let json = |path: &str, value: serde_json::Value| Expect {
        json: [(path.to_owned(), value)].into(),
        ..Expect::default()
    };
    let body = r#"{"status": "ok", "checks": [{"up": true}, {"up": false}], "n": 1.0}"#;
    let healthy = || Act::Answer(http("200 OK", "", body));
    for (name, act, expect, fault) in [
        ("any 2xx will do", healthy(), expect(), None),
        (
            "a 204 is one",
            Act::Answer(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
            expect(),
            None,
        ),
        (
            "a 503 is none",
            Act::Answer(http("503 Service Unavailable", "", body)),
            expect(),
            Some((GapKind::Status, "status 503")),
        ),
        (
            "a status that is not listed",
            healthy(),
            Expect {
                status: vec![204, 503],
                ..expect()
            },
            Some((GapKind::Status, "status 200")),
        ),
        (
            "a redirect that is expected",
            Act::Answer(http("302 Found", "Location: http://example.org/\r\n", "")),
            Expect {
                status: vec![302],
                ..expect()
            },
            None,
        ),
        (
            "text that is there",
            healthy(),
            Expect {
                body_contains: Some("\"ok\"".to_owned()),
                ..expect()
            },
            None,
        ),
        (
            "text that is not",
            healthy(),
            Expect {
                body_contains: Some("fine".to_owned()),
                ..expect()
            },
            Some((GapKind::Expectation, "the body does not contain \"fine\"")),
        ),
        ("a value", healthy(), json("$.status", json!("ok")), None),
        (
            "a whole number is a number",
            healthy(),
            json("$.n", json!(1)),
            None,
        ),
        (
            "another value",
            healthy(),
            json("$.status", json!("fine")),
            Some((
                GapKind::Expectation,
                "$.status is \"ok\", expected \"fine\"",
            )),
        ),
        (
            "one of several values",
            healthy(),
            json("$.checks[*].up", json!(true)),
            Some((
                GapKind::Expectation,
                "$.checks[*].up is false, expected true",
            )),
        ),
        (
            "a missing value",
            healthy(),
            json("$.state", json!("ok")),
            Some((GapKind::Expectation, "$.state is missing, expected \"ok\"")),
        ),
        (
            "not JSON",
            Act::Answer(http("200 OK", "", "OK")),
            json("$.status", json!("ok")),
            Some((
                GapKind::Malformed,
                "the body is not JSON: expected value at line 1 column 1",
            )),
        ),
        (
            "a body without an end",
            Act::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b"xxxx".to_vec()),
            expect(),
            Some((GapKind::TooLarge, "the body is larger than 1048576 bytes")),
        ),
    ] {
        let target = Target::new(act).await;
        let sampled = sensor(probe(target.url(), expect), AMPLE).sample().await;
        let Outcome::Probed {
            latency,
            fault: found,
        } = sampled.outcome
        else {
            panic!("{name}: {:?}", sampled.outcome);
        };
        assert!(latency <= sampled.took, "{name}");
        let found = found.as_ref().map(|gap| (gap.kind, gap.detail.as_str()));
        assert_eq!(found, fault, "{name}");
    }
}

#[tokio::test]
async fn a_late_answer_is_an_answer_and_none_is_not() {
    let late = Expect {
        within: Some(Duration::from_nanos(1)),
        ..Expect::default()
    };
    let target = Target::new(Act::Answer(http("200 OK", "", ""))).await;
    let sampled = sensor(probe(target.url(), late), AMPLE).sample().await;
    let Outcome::Probed {
        fault: Some(gap), ..
    } = &sampled.outcome
    else {
        panic!("{:?}", sampled.outcome);
    };
    assert_eq!(gap.kind, GapKind::Expectation);
    assert!(gap.detail.starts_with("answered after "), "{gap}");

    for act in [
        Act::Hang(Vec::new()),
        Act::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec()),
    ] {
        let target = Target::new(act).await;
        let sampled = sensor(probe(target.url(), Expect::default()), SHORT)
            .sample()
            .await;
        let Outcome::Failed(gap) = &sampled.outcome else {
            panic!("{:?}", sampled.outcome);
        };
        assert_eq!(gap.kind, GapKind::TimedOut);
    }
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_is_not_and_needs_not_be() {
    let post = |target: &Target| {
        let SourceKind::Probe { url, expect, .. } = probe(target.url(), Expect::default()) else {
            unreachable!("a probe is one");
        };
        let kind = SourceKind::Probe {
            url,
            method: "POST".to_owned(),
            headers: [("X-Check".to_owned(), "1".to_owned())].into(),
            body: None,
            expect,
            tls: Tls::default(),
        };
        sensor(kind, AMPLE)
    };
    // A connection that went stale is no outage: each has a fresh one.
    let stale = Target::new(Act::Stale(http("200 OK", "", "done"))).await;
    let mut sensor = post(&stale);
    for round in 1..=3 {
        assert_eq!(sensor.sample().await.outcome.gap(), None);
        assert_eq!(stale.connections(), round);
    }
    let closing = Target::new(Act::Close).await;
    let mut sensor = post(&closing);
    for round in 1..=3 {
        assert_eq!(gap(&sensor.sample().await).kind, GapKind::Reset);
        assert_eq!(closing.connections(), round);
    }
}

#[tokio::test]
async fn a_connection_is_up_when_somebody_accepts_it() {
    let target = Target::new(Act::Close).await;
    let tcp = |address: String| SourceKind::Tcp { address };
    let sampled = sensor(tcp(target.address()), AMPLE).sample().await;
    assert!(
        matches!(sampled.outcome, Outcome::Probed { fault: None, .. }),
        "{:?}",
        sampled.outcome
    );
    let port = target
        .address()
        .rsplit_once(':')
        .expect("a port")
        .1
        .to_owned();
    let named = sensor(tcp(format!("localhost:{port}")), AMPLE)
        .sample()
        .await;
    assert_eq!(named.outcome.gap(), None);

    let refused = sensor(tcp("127.0.0.1:1".to_owned()), AMPLE).sample().await;
    assert_eq!(gap(&refused).kind, GapKind::Refused);
    let unknown = sensor(
        tcp("no-such-host.invalid:80".to_owned()),
        Duration::from_secs(2),
    )
    .sample()
    .await;
    assert_eq!(gap(&unknown).kind, GapKind::Unresolved, "{}", gap(&unknown));
}

#[tokio::test]
async fn what_cannot_be_sampled_is_refused_at_once() {
    let client = Client::new();
    let probe_of = |url: &str, method: &str, path: &str| SourceKind::Probe {
        url: url.to_owned(),
        method: method.to_owned(),
        headers: [].into(),
        body: None,
        expect: Expect {
            json: [(path.to_owned(), json!(1))].into(),
            ..Expect::default()
        },
        tls: Tls::default(),
    };
    let with_header = |name: &str, value: &str| SourceKind::Scrape {
        url: "http://127.0.0.1/".to_owned(),
        headers: [(name.to_owned(), value.to_owned())].into(),
        max_body: 1,
        tls: Tls::default(),
    };
    for (kind, error) in [
        (
            scrape("127.0.0.1:80".to_owned(), 1),
            "`127.0.0.1:80` is not a URL that can be sampled: relative URL without a base",
        ),
        (
            scrape("ftp://a/".to_owned(), 1),
            "`ftp://a/` is not a URL that can be sampled: expected http or https, not ftp",
        ),
        (
            probe_of("http://a/", "G T", "$"),
            "`G T` is not an HTTP method",
        ),
        (
            probe_of("http://a/", "GET", "status"),
            "`status` is not a JSONPath",
        ),
        (with_header("X Y", "1"), "the header `X Y` cannot be sent"),
        (
            with_header("X", "1\r\nY: 2"),
            "the header `X` cannot be sent",
        ),
        (
            SourceKind::Tcp {
                address: "localhost".to_owned(),
            },
            "`localhost` is not an address: expected `host:port`",
        ),
    ] {
        let made = Sensor::new("app", &source(kind, AMPLE), Vec::new(), &client);
        assert_eq!(made.expect_err("refused").to_string(), error);
    }
}

#[tokio::test]
async fn this_host_works() {
    assert_eq!(selfcheck().await, Ok(()));
}
