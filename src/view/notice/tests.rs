//! What people read of each notice.

use super::*;
use crate::model::{Evidence, Moment, Proof, Severity};

const AHEAD: i64 = 1_795_249_800_000;

fn cause() -> Cause {
    Cause {
        condition: "payment_failure > 10% for 10m".into(),
        subject: "payment_failure".into(),
        value: Some(Value::Exactly(0.142)),
        limit: Some(0.1),
        baseline: None,
        unit: Unit::Ratio,
        window_ms: 60_000,
        evidence: Some(Evidence {
            hits: Some(142.0),
            events: 1000.0,
            scrapes: 12,
            covers: Duration::from_secs(60),
        }),
        proof: Some(Proof {
            hits: 1420.0,
            events: 10_000.0,
            confidence: 0.95,
            above: 0.1,
            min_events: 20,
            proven: true,
            against: None,
        }),
        since: Some(Moment::ZERO),
        told: None,
        policy: "sha256:9f2c".into(),
    }
}

fn notice(kind: NoticeKind) -> Notice {
    let (reason, next, stop) = sentences(kind);
    let about_a_trigger = !matches!(
        kind,
        NoticeKind::Frozen | NoticeKind::FreezeEnding | NoticeKind::Test
    );
    let blind = matches!(
        kind,
        NoticeKind::Blind | NoticeKind::SeesAgain | NoticeKind::Fit
    );
    let measured = about_a_trigger && !blind;
    let unread = Cause {
        value: None,
        evidence: None,
        proof: None,
        since: None,
        ..cause()
    };
    Notice {
        id: "checkout/12/7".into(),
        at: Moment::from_millis(600_000),
        wall_ahead_ms: AHEAD,
        kind,
        service: "checkout".into(),
        host: "web-1".into(),
        mode: Mode::Enforce,
        incident: measured.then_some(12),
        severity: about_a_trigger.then_some(Severity::Critical),
        trigger: about_a_trigger.then(|| "payment-failure".into()),
        cause: if blind {
            Some(unread)
        } else {
            measured.then(cause)
        },
        current: Some("v42".into()),
        target: measured.then(|| "v41".into()),
        reason: reason.into(),
        next: next.into(),
        stop: stop.into(),
        question: None,
        notify: vec!["slack".into()],
        drill: false,
    }
}

/// What the engine says, in its own words.
fn sentences(kind: NoticeKind) -> (&'static str, &'static str, &'static str) {
    const ACK: &str = "backstop ack 12  says that you look after it";
    const PERSON: &str = "Nothing more is done by itself: a person has to decide.";
    match kind {
        NoticeKind::Opened => (
            "payment-failure fired: payment_failure > 10% for 10m",
            "",
            ACK,
        ),
        NoticeKind::Asked => (
            "roll back to release v41 with plan rollback? 2 of technical-lead, release-manager must agree within 15m",
            "Without an answer a person is called.",
            "backstop approve 12  or  backstop reject 12",
        ),
        NoticeKind::Decided => ("ben approved (2 of 2)", "It rolls back.", ""),
        NoticeKind::Held => (
            "the last rollback ended 12m ago; the cooldown of 30m has 18m left",
            "It acts when this gate opens, if its whole hold is met then.",
            "",
        ),
        NoticeKind::RollingBack => (
            "run 3: plan rollback from release v42 to v41",
            "Afterwards it is verified on fresh samples.",
            "backstop abort 12",
        ),
        NoticeKind::StepDone => ("restart: succeeded in 1.2s", "", ""),
        NoticeKind::Cured => (
            "verified 2m5s after the last step, 3m after the incident opened",
            "The incident closes after 15m of quiet.",
            "",
        ),
        NoticeKind::NotCured => (
            "not cured within 5m: error_rate < 5% for 2m did not hold",
            PERSON,
            ACK,
        ),
        NoticeKind::Failed => ("restart: exited with status 1 after 3s", PERSON, ACK),
        NoticeKind::Blind => (
            "cannot judge: web: the source was not sampled: connection refused",
            "Blindness never rolls back: until it can judge again this trigger guards nothing.",
            "",
        ),
        NoticeKind::SeesAgain => ("can judge again", "", ""),
        NoticeKind::Fit => (
            "payment-failure is fit to enforce: judged for 14d, 241921 evaluations, fires: 2, false ones: 0; the policy asks for 14d, 10000 evaluations, false ones: at most 0",
            "Nothing changes by itself: who wants it to act sets `mode = \"enforce\"`.",
            "backstop shadow checkout",
        ),
        NoticeKind::Frozen => (
            "frozen by ada for 1h: migration",
            "It goes on judging and telling, and does not act.",
            "backstop unfreeze checkout",
        ),
        NoticeKind::FreezeEnding => (
            "the freeze ends in 5m",
            "Then it acts again.",
            "backstop freeze checkout --for …",
        ),
        NoticeKind::Update => ("open for 30m, asking", "", ""),
        NoticeKind::Escalated => (
            "incident 12 has been open for 5m and nobody has acknowledged it",
            "",
            "backstop ack 12",
        ),
        NoticeKind::Acknowledged => (
            "ann looks after incident 12: on it; escalation pauses for 30m",
            "If it is still open then, people are called again.",
            "",
        ),
        NoticeKind::Closed => ("closed as cured: it stayed quiet", "", ""),
        NoticeKind::Test => (
            "a test of the notifier pager",
            "Nothing: no incident is open.",
            "",
        ),
    }
}

#[test]
fn every_default_text_reads_well() {
    let all = NoticeKind::ALL
        .into_iter()
        .map(|kind| {
            let view = NoticeView::new(&notice(kind));
            format!("## {}\n{}\n\n{}\n", kind.name(), view.title, view.text)
        })
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!("default_texts", all);
}

#[test]
fn every_text_in_shadow_says_so() {
    let all = NoticeKind::ALL
        .into_iter()
        .map(|kind| {
            let mut notice = notice(kind);
            notice.mode = Mode::Shadow;
            let view = NoticeView::new(&notice);
            assert!(view.title.starts_with("[shadow] "));
            assert!(view.text.contains("This is shadow mode"));
            assert_eq!(view.mode, "shadow");
            view.title
        })
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!("shadow_titles", all);
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut notice = notice(NoticeKind::Opened);
    notice.trigger = None;
    notice.severity = None;
    notice.cause = None;
    notice.current = None;
    notice.target = Some(String::new());
    notice.host = String::new();
    notice.stop = String::new();
    let view = NoticeView::new(&notice);
    insta::assert_snapshot!(format!("{}\n\n{}", view.title, view.text), @r"
        checkout: a person ordered a rollback (incident 12)

        What: payment-failure fired: payment_failure > 10% for 10m.
        Where: checkout.
        ");
}

#[test]
fn a_version_can_forge_no_line() {
    let mut notice = notice(NoticeKind::RollingBack);
    notice.current = Some("v42\nNext: all is well".into());
    notice.reason = "x".repeat(100_000);
    let view = NoticeView::new(&notice);
    assert_eq!(view.title.lines().count(), 1);
    assert!(view.text.lines().all(|l| !l.starts_with("Next: all")));
    assert!(view.text.chars().count() < 3000);
}
