//! A Prometheus that answers as its documentation says, refusals included, and
//! one that is out, slow, partial or talks nonsense (FAULTS 16): each answer is a
//! number, a fault of one signal, or blindness, and none is ever *down*.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::float_cmp, reason = "what the text says, to the last bit")]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::hostile::{Act, Target, http, source};
use backstop::model::{Gap, GapKind, Outcome, Source, SourceKind, Tls};
use backstop::sense::{Client, Sensor};

const TIMEOUT: Duration = Duration::from_secs(10);

fn sensor(target: &Target, queries: &[(&str, &str)], timeout: Duration) -> Sensor {
    let queries = queries.iter().map(|(a, b)| ((*a).into(), (*b).into()));
    let kind = SourceKind::Prometheus {
        url: format!("http://{}/prom", target.address()),
        headers: BTreeMap::new(),
        tls: Tls::default(),
        queries: queries.collect(),
    };
    let source = Source {
        interval: Duration::from_secs(1),
        ..source(kind, timeout)
    };
    assert!(!source.kind.has_health());
    Sensor::new("prom", &source, Vec::new(), &Client::new()).unwrap()
}

fn answer(data: &str) -> Vec<u8> {
    let body = format!(
        "{{\"status\":\"success\",\"data\":{data},\"warnings\":[\"w\"],\"infos\":[\"i\"]}}"
    );
    http("200 OK", "Content-Type: application/json\r\n", &body)
}

fn refusal(status: &str, headers: &str, kind: &str, message: &str) -> Vec<u8> {
    let body = format!("{{\"status\":\"error\",\"errorType\":\"{kind}\",\"error\":\"{message}\"}}");
    http(status, headers, &body)
}

/// What one query of a server that does this comes to.
async fn asked(act: Act) -> Outcome {
    let target = Target::new(act).await;
    sensor(&target, &[("q", "up")], TIMEOUT)
        .sample()
        .await
        .outcome
}

async fn number(data: &str) -> f64 {
    match asked(Act::Answer(answer(data))).await {
        Outcome::Answered { samples, faults } => {
            assert_eq!(faults, BTreeMap::new());
            assert_eq!(samples.len(), 1);
            assert_eq!(
                samples[0].series.to_string(),
                "backstop_query{signal=\"q\"}"
            );
            samples[0].value
        }
        other => panic!("{other:?}"),
    }
}

/// The one fault of an answer that is no number.
async fn fault(bytes: Vec<u8>) -> Gap {
    match asked(Act::Answer(bytes)).await {
        Outcome::Answered { samples, faults } => {
            assert_eq!(samples, []);
            faults["q"].clone()
        }
        other => panic!("{other:?}"),
    }
}

async fn out(act: Act) -> Gap {
    match asked(act).await {
        Outcome::Failed(gap) => gap,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_scalar_or_one_series_is_a_number() {
    let vector = |value: &str| {
        format!(
            r#"{{"resultType":"vector","result":[{{"metric":{{"a":"b"}},"value":[1435781451.781,"{value}"]}}]}}"#
        )
    };
    assert_eq!(number(&vector("0.25")).await, 0.25);
    assert_eq!(number(&vector("-1e+06")).await, -1e6);
    assert!(number(&vector("NaN")).await.is_nan());
    assert_eq!(number(&vector("+Inf")).await, f64::INFINITY);
    assert_eq!(number(&vector("-Inf")).await, f64::NEG_INFINITY);
    let scalar = r#"{"resultType":"scalar","result":[1435781451,"7"]}"#;
    assert_eq!(number(scalar).await, 7.0);
}

#[tokio::test]
async fn an_answer_that_is_no_number_is_a_fault_of_its_signal() {
    let series = r#"{"metric":{},"value":[1,"1"]}"#;
    for (data, why) in [
        (
            r#"{"resultType":"vector","result":[]}"#.to_owned(),
            "the answer is empty",
        ),
        (
            format!(r#"{{"resultType":"vector","result":[{series},{series},{series}]}}"#),
            "the answer has 3 series, not one: aggregate them, as with `sum(…)`",
        ),
        (
            r#"{"resultType":"matrix","result":[]}"#.to_owned(),
            "the answer is a matrix, not a number",
        ),
        (
            r#"{"resultType":"string","result":[1,"x"]}"#.to_owned(),
            "the answer is a string, not a number",
        ),
        (
            r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}"#.to_owned(),
            "the answer is a histogram, not a number",
        ),
    ] {
        assert_eq!(fault(answer(&data)).await.detail, why);
    }
    for status in ["400 Bad Request", "422 Unprocessable Entity"] {
        let said = refusal(
            status,
            "",
            "bad_data",
            "1:5: parse error:\\nunexpected \\u001b",
        );
        let gap = fault(said).await;
        assert_eq!(gap.detail, "bad_data: 1:5: parse error: unexpected");
    }
}

#[tokio::test]
async fn a_server_that_is_out_is_blindness_with_its_reason() {
    for (act, kind, why) in [
        (
            Act::Answer(refusal(
                "503 Service Unavailable",
                "",
                "timeout",
                "query timed out",
            )),
            GapKind::Status,
            "status 503: timeout: query timed out",
        ),
        (
            Act::Answer(http("502 Bad Gateway", "", "<html>")),
            GapKind::Status,
            "status 502",
        ),
        (
            Act::Answer(http("404 Not Found", "", "404 page not found")),
            GapKind::Status,
            "status 404",
        ),
        (
            Act::Answer(http("200 OK", "", "<html>")),
            GapKind::Malformed,
            "the answer is not Prometheus's JSON",
        ),
        (
            Act::Answer(http("200 OK", "", "{\"status\":\"success\"}")),
            GapKind::Malformed,
            "the answer has no data",
        ),
        (
            Act::Answer(answer(
                r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}"#,
            )),
            GapKind::Malformed,
            "the answer's number is none",
        ),
        (
            Act::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"status\":".to_vec()),
            GapKind::Truncated,
            "the body",
        ),
        (Act::Reset, GapKind::Reset, "connection"),
        (
            Act::Greet(b"garbage\r\n\r\n".to_vec()),
            GapKind::Malformed,
            "not HTTP",
        ),
        (
            Act::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b"[".to_vec()),
            GapKind::TooLarge,
            "the answer is larger than 1048576 bytes",
        ),
    ] {
        let gap = out(act.clone()).await;
        assert_eq!(gap.kind, kind, "{act:?}: {gap}");
        assert!(gap.detail.starts_with(why), "{act:?}: {gap}");
    }
}

#[tokio::test]
async fn one_query_that_hangs_costs_its_own_answer() {
    let good = answer(r#"{"resultType":"scalar","result":[1,"7"]}"#);
    // Queries are asked in the order of their names, each on its connection;
    // whichever connection is the second, one of the two hangs.
    let target = Target::with(move |n| match n {
        0 => Act::Answer(good.clone()),
        _ => Act::Hang(Vec::new()),
    })
    .await;
    let timeout = Duration::from_millis(500);
    let mut sensor = sensor(&target, &[("a", "up"), ("b", "up")], timeout);
    let sampled = sensor.sample().await;
    let Outcome::Answered { samples, faults } = sampled.outcome else {
        panic!("{sampled:?}");
    };
    assert_eq!((samples.len(), faults.len()), (1, 1));
    let gap = faults.values().next().unwrap();
    assert_eq!(
        (gap.kind, gap.detail.as_str()),
        (GapKind::TimedOut, "no answer in time")
    );
    assert!(sampled.took < timeout * 4, "{:?}", sampled.took);
}

#[tokio::test]
async fn a_server_that_is_out_is_left_alone() {
    let busy = refusal(
        "429 Too Many Requests",
        "Retry-After: 30\r\n",
        "execution",
        "busy",
    );
    let target = Target::new(Act::Answer(busy)).await;
    let mut sensor = sensor(&target, &[("q", "up")], TIMEOUT);
    let Outcome::Failed(gap) = sensor.sample().await.outcome else {
        panic!("an answer");
    };
    assert_eq!(gap.detail, "status 429: execution: busy");
    for _ in 0..5 {
        let Outcome::Failed(gap) = sensor.sample().await.outcome else {
            panic!("an answer");
        };
        assert_eq!(gap.kind, GapKind::Status);
        assert!(gap.detail.contains("busy; asked again within 2"), "{gap}");
    }
    assert_eq!(target.connections(), 1, "it was asked once");
}

#[tokio::test]
async fn the_wait_grows_and_ends_with_the_outage() {
    let good = answer(r#"{"resultType":"scalar","result":[1,"7"]}"#);
    let target = Target::with(move |n| match n {
        0 | 1 => Act::Close,
        _ => Act::Answer(good.clone()),
    })
    .await;
    let mut sensor = sensor(&target, &[("q", "up")], TIMEOUT);
    // The first failure costs nothing but its sample.
    for connections in [1, 2] {
        let outcome = sensor.sample().await.outcome;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        assert_eq!(target.connections(), connections);
    }
    // The second one an interval of two, less up to half of it.
    let mut asked = 0;
    let outcome = loop {
        let outcome = sensor.sample().await.outcome;
        if let Outcome::Answered { .. } = outcome {
            break outcome;
        }
        assert_eq!(target.connections(), 2);
        asked += 1;
        assert!(asked < 1000, "{outcome:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(asked > 10, "{asked}: {outcome:?}");
    let again = sensor.sample().await.outcome;
    assert!(matches!(again, Outcome::Answered { .. }), "{again:?}");
}
