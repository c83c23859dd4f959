//! The real agent is told things: by a person on its socket, by programs over
//! HTTP with a token, by an Alertmanager that sends twice and in no order, and by
//! callers who mean no good.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use host::Host;
use serde_json::{Value, json};

const TOKEN: &str = "bst_of-the-alertmanager";
const OTHER: &str = "bst_of-the-pipeline";

/// A policy that is told things, and rolls back on a confirmed breach.
fn told(name: &str) -> Host {
    let host = Host::new(name);
    let hash = |token: &str| {
        let bytes = backstop::control::sha256(token.as_bytes());
        backstop::model::TokenHash::from_bytes(bytes).to_string()
    };
    host.configure(&format!(
        "[tokens.am]\nsha256 = \"{}\"\n[tokens.ci]\nsha256 = \"{}\"\n\
         [roles.alerts]\ntokens = [\"am\"]\n",
        hash(TOKEN),
        hash(OTHER)
    ));
    host.release("good");
    host.write(
        "shop.toml",
        &format!(
            "{}[sources.people]\ntype = \"push\"\n\
             [sources.alerts]\ntype = \"alertmanager\"\nroles = [\"alerts\"]\n\
             match = {{ exposed = '{{alertname=\"DataExposed\"}}' }}\n\
             [signals.breach]\nsource = \"people\"\nflag = \"breach-confirmed\"\n\
             [signals.exposed]\nsource = \"alerts\"\nflag = \"exposed\"\n\
             [triggers.errors]\nwhen = \"error_rate > 99% for 10s\"\nseverity = \"low\"\n\
             [triggers.breach]\nwhen = \"breach is set\"\nseverity = \"critical\"\n\
             [triggers.exposed]\nwhen = \"exposed is set\"\nseverity = \"low\"\n\
             [plans.rollback]\n\
             verify = {{ require = [\"error_rate < 99% for 400ms\"], within = \"30s\", watch = \"1s\" }}\n\
             [[plans.rollback.steps]]\nname = \"back\"\n\
             run = [\"/bin/sh\", \"-c\", \"echo back >> DIR/ran\"]\n",
            host::SOURCES
        ),
    );
    host
}

/// Posts over TCP; status and body.
fn post(host: &Host, path: &str, token: Option<&str>, body: &[u8]) -> (u16, Value) {
    let token = token.map_or_else(String::new, |t| format!("Authorization: Bearer {t}\r\n"));
    let mut stream = TcpStream::connect(host.http.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n{token}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that has heard enough hangs up while we still talk.
    let _ = stream.write_all(body);
    answered(stream)
}

fn answered(mut stream: TcpStream) -> (u16, Value) {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = body.find('{').map_or("null", |at| &body[at..]);
    let mut values = serde_json::Deserializer::from_str(body).into_iter();
    (status, values.next().unwrap().unwrap())
}

const ALERTS: &str = "/api/v1/services/shop/sources/alerts";
const PEOPLE: &str = "/api/v1/services/shop/sources/people";

fn alert(status: &str, starts_at: &str) -> Vec<u8> {
    json!({
        "version": "4", "status": status, "truncatedAlerts": 2,
        "alerts": [{
            "status": status, "fingerprint": "c4a1", "startsAt": starts_at,
            "endsAt": "0001-01-01T00:00:00Z", "labels": { "alertname": "DataExposed" },
        }],
    })
    .to_string()
    .into_bytes()
}

fn flag(host: &Host) -> f64 {
    let page = host.get("/metrics");
    host::number(
        &page,
        "backstop_signal_value{service=\"shop\",signal=\"exposed\"}",
    )
}

#[test]
fn what_a_person_pushes_is_on_disk_when_the_command_returns_and_rolls_back() {
    let mut host = told("pushed");
    host.start();
    host.until_ticks(2);
    let (code, said) = host.order(&["push", "shop", "breach-confirmed", "7"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("`breach-confirmed` is a flag: say `set` or `clear`"),
        "{said}"
    );
    let (code, said) = host.order(&["push", "shop", "breach", "set"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("shop is not told of `breach`: there are"),
        "{said}"
    );
    let reason = "customer data on a forum";
    let arguments = [
        "push",
        "shop",
        "breach-confirmed",
        "set",
        "--reason",
        reason,
    ];
    let (code, said) = host.order(&arguments);
    assert_eq!(code, Some(0), "{said}");
    host.kill();
    assert!(
        host.records()
            .iter()
            .any(|r| r["event"]["event"] == "pushed")
    );
    host.start();
    host.until("cured");
    assert_eq!(host.ran(), ["back"]);
    let (_, report) = host.order(&["report", "1"]);
    assert!(report.contains(reason), "{report}");
    let (_, status) = host.order(&["status", "--format", "json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    let signals = status["services"][0]["signals"].as_array().unwrap();
    let breach = signals.iter().find(|s| s["signal"] == "breach").unwrap();
    assert!(
        breach["told"].as_str().unwrap().contains(reason),
        "{breach}"
    );
    // One word never rolls back twice.
    host.until("closed");
    host.until_ticks(10);
    assert_eq!(host.ran(), ["back"]);
}

#[test]
fn an_alert_sets_its_flag_whatever_the_order_of_its_messages() {
    let mut host = told("alerted");
    host.start();
    host.until_ticks(2);
    assert!(flag(&host).abs() < 0.5);
    let (status, said) = post(
        &host,
        ALERTS,
        Some(TOKEN),
        &alert("firing", "2026-11-21T08:30:00Z"),
    );
    assert_eq!(status, 200, "{said}");
    let said = said.to_string();
    assert!(said.contains("exposed: DataExposed fires"), "{said}");
    assert!(said.contains("left 2 out"), "{said}");
    host.wait("the flag", || (flag(&host) > 0.5).then_some(()));
    host.until("told");
    for (message, starts_at) in [
        ("resolved", "2026-11-21T08:30:00Z"),
        ("resolved", "2026-11-21T08:30:00Z"),
        ("firing", "2026-11-21T08:30:00Z"),
        ("firing", "2026-11-20T08:30:00Z"),
    ] {
        let (status, _) = post(&host, ALERTS, Some(TOKEN), &alert(message, starts_at));
        assert_eq!(status, 200);
    }
    host.wait("the end of it", || (flag(&host) < 0.5).then_some(()));
    assert_eq!(host.count("closed"), 0, "its end undoes nothing");
    // Other alerts are no fact of this service, and not written down.
    let pushed = host.count("pushed");
    let other = String::from_utf8(alert("firing", "2026-11-21T08:30:00Z")).unwrap();
    let other = other.replace("DataExposed", "DiskFull");
    let (status, said) = post(&host, ALERTS, Some(TOKEN), other.as_bytes());
    assert_eq!(
        (
            status,
            said["said"][0].as_str().unwrap().starts_with("none of 1")
        ),
        (200, true)
    );
    assert_eq!(host.count("pushed"), pushed);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row for each refusal")]
fn nobody_else_gets_in_and_nothing_that_is_wrong_is_taken() {
    let mut host = told("refused");
    host.start();
    host.until_ticks(2);
    let good = alert("firing", "2026-11-21T08:30:00Z");
    for (path, token, body, status, why) in [
        (ALERTS, None, &good[..], 401, "a token is needed"),
        (
            ALERTS,
            Some("bst_guess"),
            &good,
            401,
            "nobody holds this token",
        ),
        (
            ALERTS,
            Some(OTHER),
            &good,
            403,
            "token ci holds none of alerts",
        ),
        (ALERTS, Some(TOKEN), b"<html>", 400, "the body is not JSON"),
        (ALERTS, Some(TOKEN), b"{}", 400, "version is missing"),
        (
            ALERTS,
            Some(TOKEN),
            br#"{"version":"3"}"#,
            400,
            "version is `3`",
        ),
        (
            ALERTS,
            Some(TOKEN),
            br#"{"version":"4","alerts":[{}]}"#,
            400,
            "alerts[0].status is missing",
        ),
        (
            PEOPLE,
            Some(OTHER),
            br#"{"name":"breach-confirmed"}"#,
            400,
            "missing field `value`",
        ),
        (
            PEOPLE,
            Some(OTHER),
            br#"{"name":"x","value":"set"}"#,
            409,
            "is not told of `x`",
        ),
        (
            "/api/v1/services/shop/sources/app",
            Some(TOKEN),
            b"{}",
            404,
            "no source `app` that is told",
        ),
        (
            "/api/v1/services/nobody/sources/app",
            Some(TOKEN),
            b"{}",
            404,
            "no service `nobody`",
        ),
        (
            "/api/v1/services/shop/freeze",
            Some(TOKEN),
            b"{}",
            405,
            "read-only",
        ),
        (
            "/api/v1/services/shop/push",
            Some(TOKEN),
            b"{}",
            405,
            "read-only",
        ),
        ("/api/v1/reload", Some(TOKEN), b"", 405, "read-only"),
    ] {
        let (got, said) = post(&host, path, token, body);
        assert_eq!(got, status, "{path} {said}");
        assert!(said.to_string().contains(why), "{path}: {said}");
    }
    let (status, said) = post(
        &host,
        PEOPLE,
        Some(OTHER),
        br#"{"name":"breach-confirmed","value":"clear"}"#,
    );
    assert_eq!(status, 200, "{said}");
    assert!(
        said.to_string()
            .contains("token ci cleared breach-confirmed"),
        "{said}"
    );
    assert!(flag(&host).abs() < 0.5);
    let page = host.get("/metrics");
    let refused = |why: &str| {
        host::number(
            &page,
            &format!("backstop_http_refused_total{{reason=\"{why}\"}}"),
        )
    };
    assert!(
        refused("unknown_token") > 1.5 && refused("malformed") > 3.5,
        "{page}"
    );
    // Neither the log nor the journal has a token, and the log has one line.
    let journal = fs::read_dir(host.dir.join("state")).unwrap();
    let journal = journal.map(|file| fs::read(file.unwrap().path()).unwrap_or_default());
    let mut kept: Vec<u8> = journal.flatten().collect();
    kept.extend(host.log().into_bytes());
    for token in [TOKEN, OTHER, "bst_guess"] {
        let found = kept.windows(token.len()).any(|w| w == token.as_bytes());
        assert!(!found, "{token} was written down");
    }
    assert_eq!(
        host.log().matches("a caller over HTTP was refused").count(),
        1
    );
}

#[test]
fn a_body_of_a_hundred_megabytes_is_refused_at_the_bound_and_memory_stays_flat() {
    let mut host = told("flooded");
    host.start();
    host.until_ticks(2);
    let resident = |host: &Host| -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident(&host);
    let body = vec![b' '; 100 << 20];
    let (status, said) = post(&host, ALERTS, Some(TOKEN), &body);
    assert_eq!(status, 413, "{said}");
    // The same without saying how long it will be.
    let mut stream = TcpStream::connect(host.http.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let head = format!(
        "POST {ALERTS} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\
         Authorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend_from_slice(&body[..1 << 16]);
    chunk.extend_from_slice(b"\r\n");
    let sent = (0..1600)
        .take_while(|_| stream.write_all(&chunk).is_ok())
        .count();
    let (status, said) = answered(stream);
    assert_eq!(status, 413, "{said}");
    assert!(sent < 1600, "all of it was read");
    let grown = resident(&host).saturating_sub(before);
    assert!(grown < 16 << 10, "grew by {grown} KiB");
}

#[test]
fn a_changed_config_is_in_force_and_a_broken_one_changes_nothing() {
    let mut host = told("config");
    let config = fs::read_to_string(host.dir.join("backstop.toml")).unwrap();
    host.start();
    host.until_ticks(2);
    let body = br#"{"name": "breach-confirmed", "value": "clear"}"#;
    let new = "bst_of-somebody-new";
    assert_eq!(post(&host, PEOPLE, Some(new), body).0, 401);
    let hash = backstop::control::sha256(new.as_bytes());
    let hash = backstop::model::TokenHash::from_bytes(hash);
    let more = format!("{config}[tokens.new]\nsha256 = \"{hash}\"\n");
    host.configure(&more);
    host.wait("the new token", || {
        (post(&host, PEOPLE, Some(new), body).0 == 200).then_some(())
    });
    // What is broken says so and takes nothing away.
    host.configure(&more.replace("sha256", "sha265"));
    host.wait("the refusal", || {
        let (_, said) = host.order(&["status"]);
        said.contains("unknown key `sha265`").then_some(())
    });
    assert_eq!(post(&host, PEOPLE, Some(new), body).0, 200);
    let (code, said) = host.order(&["reload"]);
    assert_eq!(code, Some(2), "{said}");
    // A token that is taken away is nobody's at once; a notifier waits.
    host.configure(&format!(
        "{config}[notifiers.page]\ntype = \"run\"\ncommand = [\"/bin/true\"]\n"
    ));
    let (code, said) = host.order(&["reload"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("takes a restart: notifiers"), "{said}");
    assert_eq!(post(&host, PEOPLE, Some(new), body).0, 401);
    let (_, said) = host.order(&["status"]);
    assert!(
        said.contains("notifiers of the agent's config changed: that takes a restart"),
        "{said}"
    );
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn every_incident_of_the_journal_is_listed_when_asked_for() {
    let mut host = told("listed");
    host.start();
    host.until_ticks(2);
    let (code, said) = host.order(&["push", "shop", "breach-confirmed", "set"]);
    assert_eq!(code, Some(0), "{said}");
    host.until("opened");
    for narrowed in [
        &["incidents"][..],
        &["incidents", "--all"],
        &["incidents", "--since", "1h"],
    ] {
        let (code, said) = host.order(narrowed);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(
            said.lines().filter(|line| line.contains("breach")).count(),
            1,
            "{said}"
        );
    }
    let (code, said) = host.order(&["incidents", "--since", "yesterday"]);
    assert_eq!(code, Some(2), "{said}");
}
