//! A GitHub that answers as its REST API's documentation says (*Issues*, *Rate
//! limits*): also when it refuses, is busy, or has lost the issue.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{json, notice, of_kind, outbox, until_failed, until_idle, webhook};
use crate::guard::{Notice, NoticeKind};
use crate::model::{Notifier, NotifierKind, Secret};
use crate::tell::fixture::{Behaviour, Receiver, Request, Scratch};

const TOKEN: &str = "github_pat_hunter2";

fn github(receiver: &Receiver) -> Notifier {
    Notifier {
        kind: NotifierKind::GitHub {
            repository: "acme/checkout".into(),
            token: Secret::Plain(TOKEN.into()),
            api: format!("{}/", receiver.base()),
            labels: vec!["incident".into()],
        },
        ..webhook("")
    }
}

fn no_issues() -> Behaviour {
    Behaviour::status("200 OK", "", "[]")
}

fn issue(status: &str) -> Behaviour {
    Behaviour::status(status, "", r#"{"id":1,"number":7,"title":"x","body":null}"#)
}

fn comment() -> Behaviour {
    Behaviour::status("201 Created", "", r#"{"id":1,"body":"x"}"#)
}

/// Method and path; every request is let in and says what it wants.
fn line(request: &Request) -> String {
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    assert_eq!(
        request.header("accept"),
        Some("application/vnd.github+json")
    );
    assert!(request.header("user-agent").is_some());
    let line = request.head.lines().next().unwrap();
    let line = line.strip_suffix(" HTTP/1.1").unwrap();
    line.replace("/repos/acme/checkout/issues", "…")
}

fn lines(receiver: &Receiver) -> Vec<String> {
    receiver.requests().iter().map(line).collect()
}

const LIST: &str = "GET …?state=open&sort=created&direction=desc&per_page=100";

#[tokio::test]
async fn an_incident_is_one_issue_also_over_restarts() {
    let script = [
        no_issues(),
        issue("201 Created"),
        comment(),
        issue("200 OK"),
        comment(),
    ];
    let receiver = Receiver::new(script).await;
    let scratch = Scratch::new();
    let kinds = [
        NoticeKind::Opened,
        NoticeKind::RollingBack,
        NoticeKind::Closed,
    ];
    for (n, kind) in (1..).zip(kinds) {
        // Each notice meets another life of the agent.
        let outbox = outbox(&scratch, &[("issues", github(&receiver))]);
        outbox.submit(of_kind(n, kind, &["issues"])).unwrap();
        until_idle(&outbox).await;
    }
    let expected = [
        LIST,
        "POST …",
        "POST …/7/comments",
        "PATCH …/7",
        "POST …/7/comments",
    ];
    assert_eq!(lines(&receiver), expected);
    let requests = receiver.requests();
    insta::assert_json_snapshot!("github_issue", json(&requests[1]));
    let closed = json(&requests[3]);
    assert_eq!(closed["state"], "closed");
    let text = json(&requests[2])["body"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("**checkout: rolling back from v42 to v41"),
        "{text}"
    );
}

#[tokio::test]
async fn an_issue_whose_number_was_lost_is_found_again() {
    let other = serde_json::json!({ "number": 8, "body": "<!-- backstop/web-1/checkout/1 -->" });
    let ours =
        serde_json::json!({ "number": 7, "body": "x\n\n<!-- backstop/web-1/checkout/12 -->\n" });
    let list = Value::Array(vec![other, ours]).to_string();
    let receiver = Receiver::new([
        no_issues(),
        // It was opened, and the answer was lost on its way.
        Behaviour::Says("HTTP/1.1 201 Created\r\ncontent-".into()),
        Behaviour::status("200 OK", "", &list),
        comment(),
    ])
    .await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("issues", github(&receiver))]);
    outbox.submit(notice(1, &["issues"])).unwrap();
    until_idle(&outbox).await;
    let expected = [LIST, "POST …", LIST, "POST …/7/comments"];
    assert_eq!(lines(&receiver), expected);
}

#[tokio::test]
async fn an_issue_that_was_deleted_is_opened_anew() {
    let gone = Behaviour::status("410 Gone", "", r#"{"message":"This issue was deleted"}"#);
    let receiver = Receiver::new([
        no_issues(),
        issue("201 Created"),
        gone,
        issue("201 Created"),
    ])
    .await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("issues", github(&receiver))]);
    outbox.submit(notice(1, &["issues"])).unwrap();
    outbox.submit(notice(2, &["issues"])).unwrap();
    until_idle(&outbox).await;
    let expected = [LIST, "POST …", "POST …/7/comments", "POST …"];
    assert_eq!(lines(&receiver), expected);
}

#[tokio::test]
async fn a_spent_rate_is_waited_for_and_a_refusal_is_said() {
    // The reset is an hour after these tests' clock; the pace bounds it.
    let limited = Behaviour::status(
        "403 Forbidden",
        "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1795254000\r\n",
        r#"{"message":"API rate limit exceeded"}"#,
    );
    let invalid = format!(
        r#"{{"message":"Validation Failed","errors":[{{"field":"labels","code":"invalid"}}],"token":"{TOKEN}"}}"#
    );
    let receiver = Receiver::new([
        limited,
        no_issues(),
        Behaviour::status("422 Unprocessable Entity", "", &invalid),
        no_issues(),
        issue("201 Created"),
    ])
    .await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("issues", github(&receiver))]);
    outbox.submit(notice(1, &["issues"])).unwrap();
    let begun = Instant::now();
    let said = until_failed(&outbox, 2).await.last_failure.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "it was told to wait"
    );
    assert_eq!(
        said,
        "it answered 422 Unprocessable Entity: Validation Failed: invalid labels"
    );
    until_idle(&outbox).await;
    assert_eq!(outbox.counts()["issues"].delivered, 1);
}

#[tokio::test]
async fn every_bad_answer_is_tried_again_and_opens_no_second_issue() {
    let receiver = Receiver::new([
        Behaviour::status("401 Unauthorized", "", &format!("bad {TOKEN}")),
        Behaviour::status("200 OK", "", "<html>log in</html>"),
        Behaviour::status("404 Not Found", "", r#"{"message":"Not Found"}"#),
        no_issues(),
        Behaviour::status("429 Too Many Requests", "retry-after: 1\r\n", ""),
        no_issues(),
        Behaviour::status("503 Service Unavailable", "", ""),
        no_issues(),
        issue("201 Created"),
    ])
    .await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("issues", github(&receiver))]);
    outbox.submit(notice(1, &["issues"])).unwrap();
    let said = until_failed(&outbox, 1).await.last_failure.unwrap();
    assert_eq!(said, "it answered 401 Unauthorized: bad [secret]");
    until_idle(&outbox).await;
    let counts = &outbox.counts()["issues"];
    assert_eq!((counts.delivered, counts.failed), (1, 5));
}

#[tokio::test]
async fn what_comes_from_outside_mentions_nobody() {
    let receiver = Receiver::new([
        no_issues(),
        issue("201 Created"),
        no_issues(),
        issue("201 Created"),
    ])
    .await;
    let mut templated = github(&receiver);
    templated.templates = [("opened".into(), "{{ current }} **bad**".into())].into();
    for notifier in [github(&receiver), templated] {
        let scratch = Scratch::new();
        let outbox = outbox(&scratch, &[("issues", notifier)]);
        let notice = Notice {
            current: Some("@acme/everybody <b>#12</b>".into()),
            ..notice(1, &["issues"])
        };
        outbox.submit(notice).unwrap();
        until_idle(&outbox).await;
    }
    let requests = receiver.requests();
    let body = |n: usize| json(&requests[n])["body"].as_str().unwrap().to_owned();
    assert!(body(1).starts_with("```text\n") && body(1).contains("\n```\n"));
    assert!(body(3).starts_with("@\u{200b}acme/everybody \\<b\\>#\u{200b}12"));
    assert!(
        body(3).contains(" **bad**"),
        "the template's own text is its own"
    );
}
