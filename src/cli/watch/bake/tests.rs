//! What becomes of a release's bake time.

use std::sync::Arc;

use super::*;
use crate::guard::{Engine, Event};
use crate::model::Moment;
use crate::view::Status;

const SECOND: Duration = Duration::from_secs(1);

const POLICY: &str = r#"
        service = "shop"
        mode    = "enforce"
        [sources.web]
        type = "probe"
        url  = "http://127.0.0.1:8080/health"
        [triggers.errors]
        when     = "web is down for 30m"
        severity = "critical"
        [release]
        current = "reported"
        [plans.rollback]
        steps = [{ name = "restart", run = ["/bin/true", "{target}"] }]
    "#;

/// As the agent tells of it, but for how the trigger stands.
fn service(running: &str, verdict: &str) -> ServiceStatus {
    let policy = crate::policy::load("shop.toml", POLICY).policy.unwrap();
    let mut engine = Engine::new();
    for event in [
        Event::Revised {
            policy: Arc::new(policy),
            hash: "9f2c".into(),
        },
        Event::Released {
            service: "shop".into(),
            version: running.into(),
        },
    ] {
        engine.step(Moment::ZERO, event);
    }
    let mut status = Status::new(engine.state(), None, None);
    let mut service = status.services.remove(0);
    let trigger = &mut service.triggers[0];
    trigger.verdict = verdict.into();
    trigger.state = verdict.replace("breach", "suspecting");
    trigger.why = "no scrape".into();
    trigger.quiet = false;
    service
}

fn incident(number: u64, outcome: Option<&str>, closed: bool) -> IncidentLine {
    IncidentLine {
        number,
        service: "shop".into(),
        mode: "enforce".into(),
        trigger: Some("errors".into()),
        severity: "critical".into(),
        opened: String::new(),
        closed: closed.then(String::new),
        lasting: String::new(),
        outcome: outcome.map(Into::into),
        runs: 0,
        drill: false,
    }
}

fn look(service: ServiceStatus, incidents: &[IncidentLine]) -> Look {
    Look {
        at: String::new(),
        service: Some(Box::new(service)),
        incidents: incidents.to_vec(),
    }
}

fn bake(seconds: u64) -> Bake {
    Bake::new(Duration::from_secs(seconds), None, Duration::ZERO)
}

/// Looks once a second until it ends.
fn ended(bake: &mut Bake, looks: impl IntoIterator<Item = Look>) -> End {
    let mut lapse = Duration::ZERO;
    for look in looks {
        if let (_, Some(end)) = bake.see(&look, lapse) {
            return end;
        }
        lapse = SECOND;
    }
    panic!("it did not end: {bake:?}");
}

#[test]
fn a_release_that_is_clear_for_its_bake_time_is_healthy() {
    let clear = || look(service("v2", "clear"), &[incident(3, Some("cured"), true)]);
    let end = ended(&mut bake(5), (0..9).map(|_| clear()));
    assert_eq!((end.code, end.incident), (0, None), "{end:?}");
    assert_eq!(end.text, "release v2 of shop stayed healthy for 5s");
}

#[test]
fn blind_time_and_time_without_the_agent_are_no_healthy_time() {
    let seen = |n| if n < 4 { "clear" } else { "blind" };
    let looks = (0..9).map(|n| look(service("v2", seen(n)), &[]));
    let end = ended(&mut bake(6), looks);
    assert_eq!(end.code, 12);
    assert_eq!(
        end.text,
        "only 50% of 6s could be judged: errors: no scrape"
    );
    // A quiet service: something else judged it.
    let mut quiet = service("v2", "clear");
    let mut idle = quiet.triggers[0].clone();
    (idle.verdict, idle.quiet) = ("blind".into(), true);
    quiet.triggers.push(idle);
    let end = ended(&mut bake(6), (0..9).map(|_| look(quiet.clone(), &[])));
    assert_eq!(end.code, 0, "{end:?}");
}

#[test]
fn a_suspicion_at_the_end_is_waited_for() {
    let verdict = |n| if n < 8 { "breach" } else { "clear" };
    let mut bake = bake(3);
    let end = ended(
        &mut bake,
        (0..12).map(|n| look(service("v2", verdict(n)), &[])),
    );
    assert_eq!(end.code, 0);
    assert_eq!(bake.total, Duration::from_secs(8));
}

#[test]
fn how_an_incident_ends_is_what_became_of_the_release() {
    for (outcome, code) in [
        ("cured", 10),
        ("not_cured", 11),
        ("failed", 11),
        ("timed_out", 11),
        ("aborted", 11),
        ("lost_track", 11),
        ("undecided", 11),
        ("unguarded", 12),
        ("recovered", 0),
        ("dismissed", 0),
    ] {
        let looks = [
            (service("v2", "clear"), vec![]),
            (service("v2", "breach"), vec![incident(1, None, false)]),
            (service("v1", "clear"), vec![incident(1, None, false)]),
        ];
        let over = [incident(1, Some(outcome), true)];
        let rest = (0..9).map(|_| look(service("v2", "clear"), &over));
        let looks = looks.map(|(service, incidents)| look(service, &incidents));
        let end = ended(&mut bake(4), looks.into_iter().chain(rest));
        assert_eq!(end.code, code, "{outcome}: {end:?}");
        assert_eq!(end.incident, (code != 0).then_some(1), "{outcome}");
    }
}

#[test]
fn what_fires_in_shadow_and_another_release_leave_it_unjudged() {
    let mut shadow = incident(1, None, false);
    shadow.mode = "shadow".into();
    let looks = [look(service("v2", "breach"), &[shadow])];
    assert_eq!(ended(&mut bake(4), looks).code, 12);
    let looks = [
        look(service("v2", "clear"), &[]),
        look(service("v3", "clear"), &[]),
    ];
    let end = ended(&mut bake(4), looks);
    assert_eq!(end.text, "release v3 was deployed while v2 was baking");
    let gone = Look {
        service: None,
        ..look(service("v2", "clear"), &[])
    };
    assert_eq!(ended(&mut bake(4), [gone]).code, 12);
}

#[test]
fn a_release_that_is_waited_for_bakes_from_when_it_runs() {
    let mut bake = Bake::new(SECOND * 3, Some("v2".into()), SECOND * 9);
    let running = |n| if n < 5 { "v1" } else { "v2" };
    let end = ended(
        &mut bake,
        (0..20).map(|n| look(service(running(n), "clear"), &[])),
    );
    assert_eq!((end.code, bake.total), (0, SECOND * 3));
    let mut bake = Bake::new(SECOND * 3, Some("v9".into()), SECOND * 9);
    let end = ended(
        &mut bake,
        (0..20).map(|_| look(service("v1", "clear"), &[])),
    );
    assert_eq!(end.text, "release v9 never ran: v1 does");
    assert_eq!(end.code, 12);
}
