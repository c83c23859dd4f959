//! Receivers that are down, slow or answer nonsense, over real sockets: no
//! notice is lost, none is told of twice, no decision waits, and no secret is
//! in any reason.

mod alertmanager;
mod email;
mod github;
mod pagerduty;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::guard::{Notice, NoticeKind};
use crate::model::{Moment, Notifier, NotifierKind, Secret};
use crate::tell::backoff::Pace;
use crate::tell::fixture::{Behaviour, Receiver, Request, Scratch};
use crate::tell::outbox::{Clock, Counts, Outbox};
use crate::tell::template::full;

const SECRET: &str = "the key of the signature";

fn webhook(url: &str) -> Notifier {
    Notifier {
        kind: NotifierKind::Webhook {
            url: Secret::Plain(url.into()),
            secret: Some(Secret::Plain(SECRET.into())),
            headers: BTreeMap::new(),
        },
        templates: BTreeMap::new(),
        template: None,
        timeout: Duration::from_secs(10),
        rate: None,
        only: Vec::new(),
        answers_as: None,
    }
}

fn slack(url: &str) -> Notifier {
    Notifier {
        kind: NotifierKind::Slack {
            url: Secret::Plain(url.into()),
        },
        ..webhook(url)
    }
}

fn outbox(scratch: &Scratch, notifiers: &[(&str, Notifier)]) -> Outbox {
    let notifiers = notifiers
        .iter()
        .map(|(name, notifier)| ((*name).to_owned(), notifier.clone()))
        .collect();
    let pace = Pace {
        first: Duration::from_millis(1),
        most: Duration::from_millis(4),
        asked_most: Duration::from_millis(300),
        ..Pace::default()
    };
    let clock: Clock = Arc::new(|| (Moment::from_millis(600_000), 1_795_249_800_000));
    Outbox::open(scratch.path(), &notifiers, pace, clock).unwrap()
}

fn notice(n: u32, notify: &[&str]) -> Notice {
    let mut notice = full();
    notice.id = format!("checkout/12/{n}");
    notice.notify = notify.iter().map(|&n| n.to_owned()).collect();
    notice
}

fn of_kind(n: u32, kind: NoticeKind, notify: &[&str]) -> Notice {
    Notice {
        kind,
        ..notice(n, notify)
    }
}

/// A body as JSON.
fn json(request: &Request) -> serde_json::Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Delivers until nothing waits, within a bound.
async fn until_idle(outbox: &Outbox) {
    tokio::select! {
        never = outbox.deliver() => match never {},
        idle = tokio::time::timeout(Duration::from_secs(30), outbox.idle()) => idle.unwrap(),
    }
}

/// Delivers until so many attempts have failed; says why the last did.
async fn until_failed(outbox: &Outbox, attempts: u64) -> Counts {
    let name = outbox.counts().into_keys().next().unwrap();
    let failed = async {
        loop {
            let counts = outbox.counts()[&name].clone();
            if counts.failed >= attempts {
                return counts;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        never = outbox.deliver() => match never {},
        counts = tokio::time::timeout(Duration::from_secs(30), failed) => counts.unwrap(),
    }
}

/// Checks a signature as a receiver would, by the definition of HMAC (RFC 2104)
/// over plain SHA-256.
fn verify(request: &Request) {
    let header = request.header("x-backstop-signature").unwrap();
    let (t, v1) = header.split_once(',').unwrap();
    let signed = [
        t.strip_prefix("t=").unwrap().as_bytes(),
        b".",
        &request.body,
    ]
    .concat();
    let sha256 = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut key = SECRET.as_bytes().to_vec();
    key.resize(64, 0);
    let padded = |with: u8| key.iter().map(|b| b ^ with).collect::<Vec<u8>>();
    let inner = sha256(&[padded(0x36), signed].concat());
    let outer = sha256(&[padded(0x5c), inner.as_ref().to_vec()].concat());
    let mut hex = String::new();
    for byte in outer.as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    assert_eq!(v1, format!("v1={hex}"));
}

#[tokio::test]
async fn a_webhook_gets_signed_json_once() {
    let receiver = Receiver::new([]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("hook", webhook(&receiver.url))]);
    outbox.submit(notice(1, &["hook"])).unwrap();
    until_idle(&outbox).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert!(request.head.starts_with("POST /hook/hunter2 HTTP/1.1"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-backstop-notice"), Some("checkout/12/1"));
    assert_eq!(request.header("x-backstop-kind"), Some("opened"));
    verify(request);
    let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    insta::assert_json_snapshot!("webhook_body", json);
}

#[tokio::test]
async fn slack_gets_its_text() {
    let receiver = Receiver::new([]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("slack", slack(&receiver.url))]);
    outbox.submit(notice(1, &["slack"])).unwrap();
    until_idle(&outbox).await;
    let requests = receiver.requests();
    let json: serde_json::Value = serde_json::from_slice(&requests[0].body).unwrap();
    let text = json["text"].as_str().unwrap();
    assert!(text.starts_with("*checkout: payment-failure fired, critical (incident 12)*\n"));
    assert!(text.contains("payment_failure &gt; 10% for 10m"));
}

#[tokio::test]
async fn every_bad_answer_is_tried_again_until_a_good_one() {
    let receiver = Receiver::new([
        Behaviour::status("500 Internal Server Error", "", "oh no"),
        Behaviour::Says("SSH-2.0-OpenSSH_9.2\r\n".into()),
        Behaviour::Says(String::new()),
        Behaviour::Says("HTTP/1.1 200 OK\r\ncontent-".into()),
        Behaviour::status("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
        Behaviour::status("404 Not Found", "", ""),
        Behaviour::status("503 Service Unavailable", "retry-after: soon\r\n", "\0\0"),
    ])
    .await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("hook", webhook(&receiver.url))]);
    outbox.submit(notice(1, &["hook"])).unwrap();
    until_idle(&outbox).await;
    let counts = &outbox.counts()["hook"];
    assert_eq!((counts.delivered, counts.failed), (1, 7));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 8);
    assert!(requests.iter().all(|r| r.body == requests[0].body));
}

#[tokio::test]
async fn what_went_wrong_is_said_without_the_address() {
    let cases = [
        (
            Behaviour::status("500 Internal Server Error", "", "cannot POST\n$URL"),
            "it answered 500 Internal Server Error: cannot POST [secret]",
        ),
        (
            Behaviour::status("302 Found", "", ""),
            "it answered 302 Found, and redirects are not followed",
        ),
        (
            Behaviour::Says("nonsense\r\n\r\n".into()),
            "no answer: invalid HTTP version parsed",
        ),
    ];
    for (behaviour, reason) in cases {
        let receiver = Receiver::new([behaviour]).await;
        let scratch = Scratch::new();
        let outbox = outbox(&scratch, &[("hook", webhook(&receiver.url))]);
        outbox.submit(notice(1, &["hook"])).unwrap();
        let said = until_failed(&outbox, 1).await.last_failure.unwrap();
        assert_eq!(said, reason);
        assert!(!said.contains("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_said_to_refuse_the_connection() {
    let receiver = Receiver::new([]).await;
    let url = receiver.url.clone();
    drop(receiver);
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("hook", webhook(&url))]);
    outbox.submit(notice(1, &["hook"])).unwrap();
    let said = until_failed(&outbox, 3).await.last_failure.unwrap();
    assert!(said.starts_with("cannot connect: "), "{said}");
    assert!(!said.contains("hunter2"));
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_its_timeout_and_delays_nobody() {
    let hanging = Receiver::new([Behaviour::Hangs]).await;
    let alive = Receiver::new([]).await;
    let scratch = Scratch::new();
    let mut slow = webhook(&hanging.url);
    slow.timeout = Duration::from_millis(400);
    let outbox = outbox(&scratch, &[("alive", webhook(&alive.url)), ("slow", slow)]);
    let begun = Instant::now();
    outbox.submit(notice(1, &["slow", "alive"])).unwrap();
    let submitted = begun.elapsed();
    until_idle(&outbox).await;
    assert!(submitted < Duration::from_millis(300), "{submitted:?}");
    assert!(begun.elapsed() >= Duration::from_millis(400));
    let counts = outbox.counts();
    assert_eq!((counts["slow"].failed, counts["slow"].delivered), (1, 1));
    assert_eq!((counts["alive"].failed, counts["alive"].delivered), (0, 1));
}

#[tokio::test]
async fn retry_after_is_waited_for_up_to_its_bound() {
    let busy = || Behaviour::status("429 Too Many Requests", "retry-after: 3600\r\n", "");
    let receiver = Receiver::new([busy()]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("hook", webhook(&receiver.url))]);
    outbox.submit(notice(1, &["hook"])).unwrap();
    let begun = Instant::now();
    until_idle(&outbox).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn a_login_page_in_between_is_not_slack() {
    let page = Behaviour::status("200 OK", "", "<!doctype html><title>Log in</title>");
    let receiver = Receiver::new([page]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("slack", slack(&receiver.url))]);
    outbox.submit(notice(1, &["slack"])).unwrap();
    until_idle(&outbox).await;
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(outbox.counts()["slack"].failed, 1);
}

#[tokio::test]
async fn a_dead_channel_fills_its_lane_and_no_more() {
    let receiver = Receiver::new([]).await;
    let url = receiver.url.clone();
    drop(receiver);
    let scratch = Scratch::new();
    let notifiers = BTreeMap::from([("hook".to_owned(), webhook(&url))]);
    let pace = Pace {
        capacity: 20,
        ..Pace::default()
    };
    let clock: Clock = Arc::new(|| (Moment::from_millis(600_000), 0));
    let outbox = Outbox::open(scratch.path(), &notifiers, pace, clock.clone()).unwrap();
    for n in 0..50 {
        outbox.submit(notice(n, &["hook"])).unwrap();
    }
    let counts = &outbox.counts()["hook"];
    assert_eq!((counts.queued, counts.dropped), (20, 30));
    drop(outbox);
    let outbox = Outbox::open(scratch.path(), &notifiers, pace, clock).unwrap();
    assert_eq!(outbox.counts()["hook"].queued, 20);
}
