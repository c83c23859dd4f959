//! An Alertmanager, or a cluster of them, that takes what its API says
//! (`api/v2/openapi.yaml`), forgets, refuses, and is away.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{json, notice, of_kind, outbox, until_failed, until_idle, webhook};
use crate::guard::{Notice, NoticeKind};
use crate::model::{Notifier, NotifierKind, Secret, Severity};
use crate::tell::fixture::{Behaviour, Receiver, Request, Scratch};

const TOKEN: &str = "hunter2-of-the-proxy";

fn alertmanager(receivers: &[&Receiver]) -> Notifier {
    Notifier {
        kind: NotifierKind::Alertmanager {
            urls: receivers.iter().map(|r| r.base().to_owned()).collect(),
            token: Some(Secret::Plain(TOKEN.into())),
            labels: BTreeMap::from([("team".into(), "payments".into())]),
        },
        ..webhook("")
    }
}

/// The posted alerts, held against *postableAlerts*.
fn documented(request: &Request) -> Vec<Value> {
    assert!(request.head.starts_with("POST /api/v2/alerts HTTP/1.1"));
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    let Value::Array(alerts) = json(request) else {
        panic!("not a list");
    };
    for alert in &alerts {
        let all_text = |of: &Value| of.as_object().unwrap().values().all(Value::is_string);
        assert!(all_text(&alert["labels"]) && all_text(&alert["annotations"]));
        assert!(alert["labels"]["alertname"].is_string());
        assert!(ends(alert) - starts(alert) >= 0);
    }
    alerts
}

fn time(text: &Value) -> i64 {
    let time: jiff::Timestamp = text.as_str().unwrap().parse().unwrap();
    time.as_second()
}

fn starts(alert: &Value) -> i64 {
    time(&alert["startsAt"])
}

fn ends(alert: &Value) -> i64 {
    time(&alert["endsAt"])
}

/// When everything happens, by the clock of these tests.
const NOW: i64 = 1_795_250_400;

#[tokio::test]
async fn an_incident_is_one_alert_that_ends_with_it() {
    let receiver = Receiver::new([]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("am", alertmanager(&[&receiver]))]);
    outbox
        .submit(of_kind(1, NoticeKind::Opened, &["am"]))
        .unwrap();
    until_idle(&outbox).await;
    // Another trigger and a lower severity: still the same alert.
    let update = Notice {
        trigger: Some("slow".into()),
        severity: Some(Severity::Low),
        ..of_kind(2, NoticeKind::Update, &["am"])
    };
    outbox.submit(update).unwrap();
    until_idle(&outbox).await;
    outbox
        .submit(of_kind(3, NoticeKind::Closed, &["am"]))
        .unwrap();
    until_idle(&outbox).await;
    let alerts: Vec<_> = receiver.requests().iter().flat_map(documented).collect();
    insta::assert_json_snapshot!("alertmanager_opened", alerts[0]);
    assert!(alerts.iter().all(|a| a["labels"] == alerts[0]["labels"]));
    assert!(alerts.iter().all(|a| starts(a) == starts(&alerts[0])));
    let (last, open) = alerts.split_last().unwrap();
    assert!(open.iter().all(|alert| ends(alert) == NOW + 300));
    assert_eq!(ends(last), NOW);
}

#[tokio::test]
async fn a_severity_that_rises_ends_one_alert_and_starts_another() {
    let receiver = Receiver::new([]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("am", alertmanager(&[&receiver]))]);
    for (n, severity) in [(1, Severity::High), (2, Severity::Critical)] {
        let notice = Notice {
            severity: Some(severity),
            ..notice(n, &["am"])
        };
        outbox.submit(notice).unwrap();
    }
    until_idle(&outbox).await;
    let requests = receiver.requests();
    let last = documented(requests.last().unwrap());
    let both: Vec<_> = last
        .iter()
        .map(|alert| (alert["labels"]["severity"].as_str().unwrap(), ends(alert)))
        .collect();
    assert_eq!(both, [("high", NOW), ("critical", NOW + 300)]);
}

#[tokio::test]
async fn what_is_open_is_posted_again_after_a_restart() {
    let receiver = Receiver::new([]).await;
    let scratch = Scratch::new();
    let notifiers = [("am", alertmanager(&[&receiver]))];
    let first = outbox(&scratch, &notifiers);
    first.submit(notice(1, &["am"])).unwrap();
    until_idle(&first).await;
    drop(first);
    let before = receiver.requests().len();
    let second = outbox(&scratch, &notifiers);
    let again = async {
        while receiver.requests().len() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        never = second.deliver() => match never {},
        came = tokio::time::timeout(std::time::Duration::from_secs(30), again) => came.unwrap(),
    }
    let requests = receiver.requests();
    assert_eq!(documented(&requests[before]), documented(&requests[0]));
}

#[tokio::test]
async fn one_of_a_cluster_is_enough_and_none_is_too_few() {
    let alive = Receiver::new([]).await;
    let dead = Receiver::new([]).await;
    let refuses = Receiver::new((0..3).map(|_| Behaviour::status("400 Bad Request", "", ""))).await;
    let scratch = Scratch::new();
    let cluster = alertmanager(&[&refuses, &dead, &alive]);
    let silent = alertmanager(&[&refuses, &dead]);
    drop(dead);
    let box_of = outbox(&scratch, &[("am", cluster)]);
    box_of.submit(notice(1, &["am"])).unwrap();
    until_idle(&box_of).await;
    assert_eq!(box_of.counts()["am"].delivered, 1);
    assert_eq!(documented(&alive.requests()[0]).len(), 1);
    let scratch = Scratch::new();
    let box_of = outbox(&scratch, &[("am", silent)]);
    box_of.submit(notice(1, &["am"])).unwrap();
    let said = until_failed(&box_of, 1).await.last_failure.unwrap();
    assert!(said.starts_with("cannot connect: "), "{said}");
}

#[tokio::test]
async fn every_bad_answer_is_tried_again_until_a_good_one_and_shows_no_token() {
    let echo = format!("\"bad token {TOKEN}\"");
    let bad = [
        Behaviour::status("401 Unauthorized", "", &echo),
        Behaviour::status("500 Internal Server Error", "", ""),
        Behaviour::status("200 OK", "", "<html>log in</html>"),
        Behaviour::Says("nonsense".into()),
    ];
    let receiver = Receiver::new(bad).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("am", alertmanager(&[&receiver]))]);
    outbox.submit(notice(1, &["am"])).unwrap();
    let said = until_failed(&outbox, 1).await.last_failure.unwrap();
    assert!(said.contains("401") && !said.contains(TOKEN), "{said}");
    until_idle(&outbox).await;
    assert_eq!(outbox.counts()["am"].delivered, 1);
}

#[tokio::test]
async fn a_freeze_is_no_alert() {
    let receiver = Receiver::new([]).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("am", alertmanager(&[&receiver]))]);
    let notice = Notice {
        incident: None,
        ..of_kind(1, NoticeKind::Frozen, &["am"])
    };
    outbox.submit(notice).unwrap();
    until_idle(&outbox).await;
    assert!(receiver.requests().is_empty());
    assert_eq!(outbox.counts()["am"].delivered, 1);
}
