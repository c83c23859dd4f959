//! Each route, and each way in which it refuses.

use crate::fake::Fake;

#[tokio::test]
async fn status_has_every_service_and_one_can_be_asked_for() {
    let agent = Fake::asking().await;
    let all = agent.get("status").await;
    assert_eq!(all.status, 200);
    let names: Vec<_> = all.json()["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["service"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["cart", "checkout"]);
    let one = agent.get("services/checkout").await.json();
    assert_eq!(one["services"][0]["phase"], "asking");
    assert_eq!(one["services"].as_array().unwrap().len(), 1);
    assert_eq!(one["agent"]["version"], "0.1.0");
}

#[tokio::test]
async fn who_mistypes_a_service_is_told_which_was_meant() {
    let agent = Fake::asking().await;
    let answer = agent.get("services/chekout").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.said(), "no service `chekout` is guarded");
    assert_eq!(answer.json()["hint"], "did you mean `checkout`?");
    let order = agent.post("services/nope/unfreeze", "").await;
    assert_eq!(order.status, 404);
    assert_eq!(order.json()["hint"], "guarded are cart, checkout");
}

#[tokio::test]
async fn incidents_are_listed_shown_and_reported() {
    let agent = Fake::asking().await;
    let list = agent.get("incidents").await.json();
    assert_eq!(list[0]["number"], 1);
    assert_eq!(
        agent.get("incidents?service=cart").await.json(),
        serde_json::json!([])
    );
    assert_eq!(agent.get("incidents?since=1d").await.status, 400);
    let one = agent.get("incidents/1").await.json();
    assert_eq!(one["trigger"], "service-down");
    assert!(!one["timeline"].as_array().unwrap().is_empty());
    let report = agent.get("incidents/1/report").await;
    assert_eq!(report.status, 200);
    assert!(report.text.starts_with("# "), "{}", report.text);
    for (number, status) in [("2", 404), ("0", 400), ("x", 400), ("-1", 400)] {
        let answer = agent.get(&format!("incidents/{number}")).await;
        assert_eq!(answer.status, status, "{number}: {answer:?}");
    }
}

#[tokio::test]
async fn an_approval_is_the_callers_own_and_counts_once() {
    let agent = Fake::asking().await;
    let first = agent
        .post(
            "incidents/1/approve",
            r#"{"role": "technical-lead", "reason": "yes"}"#,
        )
        .await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.said(), format!("{} approved: yes (1 of 2)", agent.me));
    let again = agent.post("incidents/1/approve", "").await;
    assert_eq!(again.status, 409);
    assert!(again.said().contains("a person counts once"), "{again:?}");
    assert_eq!(again.json()["accepted"], false);
    let status = agent.get("services/checkout").await.json();
    let approvals = &status["services"][0]["question"]["approvals"];
    assert_eq!(*approvals, serde_json::json!([agent.me]));
}

#[tokio::test]
async fn a_role_that_is_not_held_is_refused_by_name() {
    let agent = Fake::asking().await;
    let body = r#"{"role": "release-manager"}"#;
    let answer = agent.post("incidents/1/approve", body).await;
    assert_eq!(answer.status, 409);
    assert!(
        answer
            .said()
            .contains("does not hold the role release-manager"),
        "{answer:?}"
    );
    let answer = agent.post("incidents/1/ack", body).await;
    assert_eq!(answer.status, 403);
    let claim = agent
        .post("incidents/1/approve", r#"{"by": "somebody-else"}"#)
        .await;
    assert_eq!(claim.status, 400, "{claim:?}");
}

#[tokio::test]
async fn a_closed_incident_takes_no_answer() {
    let agent = Fake::asking().await;
    let no = agent
        .post("incidents/1/reject", r#"{"reason": "it is the network"}"#)
        .await;
    assert_eq!(no.status, 200, "{no:?}");
    let late = agent.post("incidents/1/approve", "").await;
    assert_eq!(late.status, 409);
    assert_eq!(late.said(), "incident 1 is closed: dismissed");
    assert_eq!(agent.post("incidents/7/approve", "").await.status, 404);
    assert_eq!(agent.post("incidents/1/bless", "").await.status, 404);
}

#[tokio::test]
async fn an_acknowledgement_decides_nothing() {
    let agent = Fake::asking().await;
    let ack = agent
        .post("incidents/1/ack", r#"{"role": "technical-lead"}"#)
        .await;
    assert_eq!(ack.status, 200, "{ack:?}");
    assert!(ack.said().contains("escalation pauses"), "{ack:?}");
    let status = agent.get("services/checkout").await.json();
    assert_eq!(status["services"][0]["phase"], "asking");
}

#[tokio::test]
async fn a_rollback_is_ordered_and_aborted() {
    let agent = Fake::asking().await;
    let idle = agent.post("incidents/1/abort", "").await;
    assert_eq!(idle.status, 409);
    assert!(idle.said().contains("no plan runs"), "{idle:?}");
    let order = agent
        .post(
            "services/checkout/rollback",
            r#"{"reason": "customers call"}"#,
        )
        .await;
    assert_eq!(order.status, 200, "{order:?}");
    let status = agent.get("services/checkout").await.json();
    assert_eq!(status["services"][0]["phase"], "acting");
    let abort = agent
        .post("incidents/1/abort", r#"{"reason": "wrong one"}"#)
        .await;
    assert_eq!(abort.status, 200, "{abort:?}");
    assert!(abort.said().contains("wrong one"), "{abort:?}");
}

#[tokio::test]
async fn a_rollback_needs_a_reason_and_in_shadow_nothing_runs() {
    let agent = Fake::asking().await;
    for body in ["", "{}", r#"{"reason": "  "}"#] {
        let answer = agent.post("services/checkout/rollback", body).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    let shadow = agent
        .post(
            "services/cart/rollback",
            r#"{"reason": "try it", "to": "v1"}"#,
        )
        .await;
    assert_eq!(shadow.status, 409);
    assert!(shadow.said().contains("in shadow"), "{shadow:?}");
}

#[tokio::test]
async fn a_freeze_has_an_owner_a_reason_and_an_end() {
    let agent = Fake::asking().await;
    let frozen = agent
        .post(
            "services/checkout/freeze",
            r#"{"for": "1h30m", "reason": "sale"}"#,
        )
        .await;
    assert_eq!(frozen.status, 200, "{frozen:?}");
    let status = agent.get("services/checkout").await.json();
    let freeze = &status["services"][0]["freeze"];
    assert_eq!(freeze["owner"], agent.me.as_str());
    assert_eq!(freeze["reason"], "sale");
    assert_eq!(freeze["left"], "1h30m");
    assert_eq!(
        agent.post("services/checkout/unfreeze", "").await.status,
        200
    );
    let again = agent.post("services/checkout/unfreeze", "").await;
    assert_eq!(again.status, 409);
    assert_eq!(again.said(), "it was not frozen");
    for lease in ["1M", "31d", "", "soon", "0s"] {
        let body = format!(r#"{{"for": "{lease}", "reason": "sale"}}"#);
        let answer = agent.post("services/checkout/freeze", &body).await;
        assert_eq!(answer.status, 400, "{lease}");
    }
}

#[tokio::test]
async fn a_deployment_is_reported_once() {
    let agent = Fake::asking().await;
    let body = r#"{"version": "v41"}"#;
    let first = agent.post("services/cart/deploy", body).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.said(), "release v41 runs");
    let again = agent.post("services/cart/deploy", body).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.said(), "release v41 runs already");
    let status = agent.get("services/cart").await.json();
    assert_eq!(status["services"][0]["release"]["running"], "v41");
}

#[tokio::test]
async fn what_a_person_says_of_a_release_is_kept_with_their_name() {
    let agent = Fake::asking().await;
    let body = r#"{"version": "v41", "word": "bad", "reason": "loses orders"}"#;
    let unseen = agent.post("services/cart/release", body).await;
    assert_eq!(unseen.status, 409);
    assert!(unseen.said().contains("was never seen"), "{unseen:?}");
    agent
        .post("services/cart/deploy", r#"{"version": "v41"}"#)
        .await;
    let taken = agent.post("services/cart/release", body).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let said = format!("{} says that release v41 is bad: loses orders", agent.me);
    assert_eq!(taken.said(), said);
    let status = agent.get("services/cart").await.json();
    let release = &status["services"][0]["release"];
    assert_eq!(release["standing"], "bad");
    assert_eq!(release["said"][0]["by"], agent.me);
    let migrated = r#"{"version": "v42", "irreversible": true}"#;
    assert_eq!(
        agent.post("services/cart/deploy", migrated).await.status,
        200
    );
    let status = agent.get("services/cart").await.json();
    let release = &status["services"][0]["release"];
    assert_eq!(release["running"], "v42");
    assert_eq!(release["said"][1]["standing"], "irreversible");
    let mute = r#"{"version": "v41", "word": "good", "reason": ""}"#;
    assert_eq!(agent.post("services/cart/release", mute).await.status, 400);
}

#[tokio::test]
async fn what_was_lost_is_counted_with_a_name_also_after_the_end() {
    let agent = Fake::asking().await;
    let body = r#"{"name": "orders", "value": 40, "reason": "the audit"}"#;
    let said = format!("counted orders: 40 lost, {}: the audit", agent.me);
    let open = agent.post("incidents/1/loss", body).await;
    assert_eq!((open.status, open.said()), (200, said.as_str().into()));
    agent.post("incidents/1/reject", "").await;
    assert_eq!(agent.post("incidents/1/loss", body).await.status, 200);
    let report = agent.get("incidents/1/report").await;
    assert!(report.text.contains("| orders | 40 |"), "{}", report.text);
    assert_eq!(agent.post("incidents/7/loss", body).await.status, 404);
    let less = r#"{"name": "orders", "value": -1, "reason": "x"}"#;
    assert_eq!(agent.post("incidents/1/loss", less).await.status, 400);
}

#[tokio::test]
async fn a_reload_says_what_came_of_it() {
    let agent = Fake::asking().await;
    let answer = agent.post("reload", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["successful"], false);
    assert_eq!(answer.json()["revised"][0], "checkout");
}

#[tokio::test]
async fn over_tcp_everything_reads_and_nothing_writes() {
    let agent = Fake::asking().await;
    for path in [
        "/api/v1/status",
        "/api/v1/incidents",
        "/api/v1/incidents/1/report",
    ] {
        assert_eq!(agent.send_tcp("GET", path, b"").await.status, 200, "{path}");
    }
    for path in [
        "/api/v1/incidents/1/approve",
        "/api/v1/services/checkout/unfreeze",
        "/api/v1/reload",
        "/api/v1/status",
    ] {
        let answer = agent.send_tcp("POST", path, b"{}").await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.said().contains("read-only"), "{answer:?}");
    }
    let status = agent.get("services/checkout").await.json();
    let approvals = &status["services"][0]["question"]["approvals"];
    assert_eq!(*approvals, serde_json::json!([]));
}

#[tokio::test]
async fn every_refusal_is_json_with_a_reason() {
    let agent = Fake::asking().await;
    let huge = vec![b' '; 70_000];
    for (method, path, body, status) in [
        ("GET", "/", &b""[..], 404),
        ("GET", "/api/v2/status", b"", 404),
        ("PUT", "/api/v1/status", b"", 405),
        ("GET", "/api/v1/reload", b"", 405),
        ("POST", "/api/v1/services/checkout/explode", b"", 404),
        ("POST", "/api/v1/services/checkout/freeze", &huge, 413),
        ("POST", "/api/v1/incidents/1/approve", &huge, 413),
        ("POST", "/api/v1/incidents/1/approve", b"{\"role\":", 400),
        ("POST", "/api/v1/incidents/1/approve", b"\xff\x00\xfe", 400),
        ("POST", "/api/v1/incidents/1/approve", b"[[[[[[[[", 400),
        ("POST", "/api/v1/incidents/%FF/approve", b"", 400),
        ("POST", "/api/v1/services/%00%0A/unfreeze", b"", 404),
    ] {
        let answer = agent.send(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(!answer.said().is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_hurt_nobody() {
    let agent = Fake::asking().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"POST /api/v1/incidents/1/approve HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/incidents/1/approve HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
        b"POST /api/v1/incidents/1/approve HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ",
    ] {
        if let Some(answer) = agent.send_bytes(bytes).await {
            assert!(answer.status >= 400, "{bytes:?}: {answer:?}");
        }
    }
    assert_eq!(agent.get("status").await.status, 200);
    let approvals =
        &agent.get("services/checkout").await.json()["services"][0]["question"]["approvals"];
    assert_eq!(*approvals, serde_json::json!([]));
}
