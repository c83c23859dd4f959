//! A PagerDuty that takes what its documentation says, refuses the rest, and
//! has bad days.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{json, notice, of_kind, outbox, until_failed, until_idle, webhook};
use crate::guard::{Notice, NoticeKind};
use crate::model::{Notifier, NotifierKind, Secret};
use crate::tell::fixture::{Behaviour, Receiver, Request, Scratch};
use crate::tell::try_once;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn pagerduty(receiver: &Receiver) -> Notifier {
    Notifier {
        kind: NotifierKind::PagerDuty {
            routing_key: Secret::Plain(KEY.into()),
            url: receiver.base().to_owned(),
            links: BTreeMap::from([("Runbook".into(), "https://wiki.internal/checkout".into())]),
        },
        ..webhook("")
    }
}

fn taken() -> Behaviour {
    let body = r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;
    Behaviour::status("202 Accepted", "", body)
}

/// Holds an event against *Send an alert event*: what it must have, and no more
/// than it may. Returns its action and key.
fn documented(request: &Request) -> (String, String) {
    assert!(request.head.starts_with("POST /v2/enqueue HTTP/1.1"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let event = json(request);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert_eq!(text(&event["routing_key"]), KEY);
    let (action, key) = (text(&event["event_action"]), text(&event["dedup_key"]));
    assert!(key.len() <= 255 && request.body.len() < 512 * 1024);
    if action == "trigger" {
        let payload = &event["payload"];
        assert!(text(&payload["summary"]).chars().count() <= 1024);
        assert!(!text(&payload["source"]).is_empty());
        let severity = text(&payload["severity"]);
        assert!(["critical", "error", "warning", "info"].contains(&severity.as_str()));
    } else {
        assert!(["acknowledge", "resolve"].contains(&action.as_str()));
    }
    (action, key)
}

#[tokio::test]
async fn an_incident_is_one_alert_from_trigger_to_resolve() {
    let receiver = Receiver::new((0..10).map(|_| taken())).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("pager", pagerduty(&receiver))]);
    let kinds = [
        NoticeKind::Opened,
        NoticeKind::RollingBack,
        NoticeKind::StepDone,
        NoticeKind::Update,
        NoticeKind::Acknowledged,
        NoticeKind::Cured,
        NoticeKind::Closed,
    ];
    for (n, kind) in (1..).zip(kinds) {
        outbox.submit(of_kind(n, kind, &["pager"])).unwrap();
    }
    until_idle(&outbox).await;
    let requests = receiver.requests();
    let events: Vec<_> = requests.iter().map(documented).collect();
    let key = "backstop/web-1/checkout/12";
    let expected = ["trigger", "trigger", "acknowledge", "trigger", "resolve"];
    assert_eq!(events, expected.map(|action| (action.into(), key.into())));
    insta::assert_json_snapshot!("pagerduty_trigger", json(&requests[0]));
    insta::assert_json_snapshot!("pagerduty_resolve", json(&requests[4]));
}

#[tokio::test]
async fn blindness_is_an_alert_of_its_own() {
    let receiver = Receiver::new((0..3).map(|_| taken())).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("pager", pagerduty(&receiver))]);
    for (n, kind) in [(1, NoticeKind::Blind), (2, NoticeKind::SeesAgain)] {
        let notice = Notice {
            incident: None,
            ..of_kind(n, kind, &["pager"])
        };
        outbox.submit(notice).unwrap();
    }
    until_idle(&outbox).await;
    let events: Vec<_> = receiver.requests().iter().map(documented).collect();
    let key = "backstop/web-1/checkout/blind/payment-failure";
    let expected = ["trigger", "resolve"].map(|action| (action.into(), key.into()));
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_test_leaves_no_alert_open() {
    let receiver = Receiver::new([taken(), taken()]).await;
    let notice = Notice {
        incident: None,
        ..of_kind(1, NoticeKind::Test, &["pager"])
    };
    let said = try_once(&pagerduty(&receiver), &notice, 0).await.unwrap();
    assert!(said.ends_with("the alert was resolved again"), "{said}");
    let events: Vec<_> = receiver.requests().iter().map(documented).collect();
    let [(opened, key), (closed, same)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((opened.as_str(), closed.as_str()), ("trigger", "resolve"));
    assert_eq!(key, same);
}

#[tokio::test]
async fn a_test_that_cannot_be_resolved_says_so() {
    let receiver = Receiver::new([taken(), Behaviour::status("500 Oh", "", "")]).await;
    let notice = of_kind(1, NoticeKind::Test, &["pager"]);
    let said = try_once(&pagerduty(&receiver), &notice, 0).await.unwrap();
    assert!(
        said.contains("the alert is open, resolve it by hand"),
        "{said}"
    );
}

#[tokio::test]
async fn a_freeze_is_a_change_and_rings_for_nobody() {
    let receiver = Receiver::new([taken()]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("pager", pagerduty(&receiver))]);
    outbox
        .submit(of_kind(1, NoticeKind::Frozen, &["pager"]))
        .unwrap();
    until_idle(&outbox).await;
    let requests = receiver.requests();
    assert!(requests[0].head.starts_with("POST /v2/change/enqueue "));
    let event = json(&requests[0]);
    assert_eq!(event["routing_key"], KEY);
    assert!(event["payload"]["summary"].is_string());
    assert!(event.get("event_action").is_none() && event["payload"].get("severity").is_none());
}

#[tokio::test]
async fn a_refusal_is_said_in_its_words_without_the_key() {
    let body = format!(
        r#"{{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect: {KEY}"]}}"#
    );
    let receiver = Receiver::new([Behaviour::status("400 Bad Request", "", &body)]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("pager", pagerduty(&receiver))]);
    outbox.submit(notice(1, &["pager"])).unwrap();
    let said = until_failed(&outbox, 1).await.last_failure.unwrap();
    assert_eq!(
        said,
        "it answered 400 Bad Request: Event object is invalid: \
         Length of 'routing_key' is incorrect: [secret]"
    );
}

#[tokio::test]
async fn every_bad_answer_is_tried_again_until_202() {
    let receiver = Receiver::new([
        Behaviour::status("429 Too Many Requests", "retry-after: 3600\r\n", ""),
        Behaviour::status("500 Internal Server Error", "", ""),
        Behaviour::status("200 OK", "", "<!doctype html><title>Log in</title>"),
        Behaviour::status("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
        Behaviour::Says("nonsense".into()),
        taken(),
    ])
    .await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("pager", pagerduty(&receiver))]);
    outbox.submit(notice(1, &["pager"])).unwrap();
    let begun = Instant::now();
    until_idle(&outbox).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "it was told to wait"
    );
    let counts = &outbox.counts()["pager"];
    assert_eq!((counts.delivered, counts.failed), (1, 5));
    let events: Vec<_> = receiver.requests().iter().map(documented).collect();
    assert!(events.windows(2).all(|w| w[0] == w[1]), "the same event");
}

#[tokio::test]
async fn one_that_hangs_costs_its_timeout() {
    let receiver = Receiver::new([Behaviour::Hangs, taken()]).await;
    let scratch = Scratch::new();
    let mut slow = pagerduty(&receiver);
    slow.timeout = Duration::from_millis(200);
    let outbox = outbox(&scratch, &[("pager", slow)]);
    outbox.submit(notice(1, &["pager"])).unwrap();
    until_idle(&outbox).await;
    let counts = &outbox.counts()["pager"];
    assert_eq!((counts.delivered, counts.failed), (1, 1));
}

#[tokio::test]
async fn a_refused_trigger_does_not_open_again_what_was_resolved() {
    let refused = Behaviour::status("400 Bad Request", "", "");
    let receiver = Receiver::new([refused, taken(), taken()]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("pager", pagerduty(&receiver))]);
    for (n, kind) in [(1, NoticeKind::Opened), (2, NoticeKind::Closed)] {
        outbox.submit(of_kind(n, kind, &["pager"])).unwrap();
    }
    until_idle(&outbox).await;
    let events = receiver.requests();
    let actions: Vec<_> = events.iter().map(|r| documented(r).0).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
}
