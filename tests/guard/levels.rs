//! Levels of escalation that a condition reaches, through the engine.

use backstop::guard::{Loss, Notice, NoticeKind, Order, Phase};
use backstop::model::{HowEnded, Moment, Output};

use crate::post::{Hands, Post, person, shop};

const POLICY: &str = shop!(
    r#"
[triggers.down]
when     = "web is down for 30s"
severity = "critical"

[plans.rollback]
verify = { within = "30s" }

[[plans.rollback.steps]]
run = ["restart"]

[[escalation]]
notify = ["slack"]

[[escalation]]
when   = "web is down for 5m"
notify = ["cto"]
repeat = "10m"
"#
);

/// What is run is done at once, and does not help.
#[derive(Default)]
struct Queries {
    /// What the queries print, in their order.
    printed: Vec<String>,
}

impl Hands for Queries {
    fn take(post: &mut Post<Self>, order: Order) {
        let query = order.step.checked_sub(1);
        let printed = query.and_then(|i| post.hands.printed.get(i)).cloned();
        let output = Output::said(printed.unwrap_or_default());
        post.finish(order, HowEnded::Succeeded, output);
    }
}

type World = Post<Queries>;

impl World {
    /// The service has been up for half a minute, and is down from now on.
    fn new() -> Self {
        let mut world = Self::guarding(POLICY);
        world.wait(30);
        world.up = false;
        world
    }

    /// Seconds from the beginning of the outage at which this one was called.
    fn called(&self, whom: &str) -> Vec<u64> {
        let notices = self.notices.iter();
        notices
            .filter(|n| n.kind == NoticeKind::Escalated && n.notify == [whom])
            .map(|n| n.at.since(Moment::from_millis(1_030_000)).as_secs() - 5)
            .collect()
    }
}

#[test]
fn an_outage_counts_from_its_beginning_and_over_a_rollback() {
    let mut world = World::new();
    world.wait(8 * 60);
    assert_eq!(world.called("cto"), [300], "once");
    let notice = world.notices.iter().find(|n| n.notify == ["cto"]).unwrap();
    assert_eq!(
        notice.reason,
        "web is down for 5m: incident 1 has been open for 4m30s"
    );
}

#[test]
fn an_acknowledgement_keeps_back_the_repetition_but_not_the_news() {
    let mut world = World::new();
    world.wait(60);
    world.acknowledge(person("ann", &[]));
    world.wait(25 * 60);
    assert_eq!(world.called("cto"), [300]);
    world.wait(10 * 60);
    assert!(world.called("cto").len() > 1, "the acknowledgement is over");
}

#[test]
fn a_recovery_in_time_calls_nobody_and_a_new_incident_begins_anew() {
    let mut world = World::new();
    world.wait(4 * 60);
    world.up = true;
    world.wait(30 * 60);
    assert!(world.called("cto").is_empty());
    assert!(world.service().incident.is_none(), "{:?}", world.phase());
    world.up = false;
    world.wait(6 * 60);
    assert_eq!(world.called("cto").len(), 1);
}

#[test]
fn without_an_incident_a_condition_calls_nobody() {
    let mut world = World::new();
    world.up = true;
    let sooner = POLICY.replace("web is down for 5m", "web is up for 10s");
    world.revise(&sooner);
    world.wait(120);
    assert!(world.called("cto").is_empty());
}

#[test]
fn the_levels_are_those_in_force_when_the_incident_opened() {
    let mut world = World::new();
    world.wait(60);
    world.revise(&POLICY.replace("web is down for 5m", "web is down for 100m"));
    world.wait(6 * 60);
    assert_eq!(world.called("cto"), [300]);
}

#[test]
fn a_state_that_was_written_and_read_goes_on() {
    let mut world = World::new();
    world.wait(120);
    world.restore();
    world.wait(6 * 60);
    assert_eq!(world.called("cto"), [300]);
}

/// The plan counts what was lost, in two queries.
fn counting(first: &str) -> World {
    let text = POLICY
        .replace(
            "verify = { within = \"30s\" }",
            "data_loss = [{ name = \"orders\", run = [\"orders\"], unit = \"orders\" }, { name = \"carts\", run = [\"carts\"] }]",
        )
        .replace("when   = \"web is down for 5m\"", "loss = { orders = 100 }");
    let mut world = World::new();
    world.hands.printed = vec![first.to_owned(), "none of your business".to_owned()];
    world.revise(&text);
    world.wait(60);
    world
}

#[test]
fn what_was_lost_is_in_the_report_and_calls_a_level_above_its_bound() {
    let world = counting("counting\n 120 \n");
    let incident = world.service().incident.as_ref().unwrap();
    assert_eq!(
        incident.lost("orders").map(|n| n.to_string()).as_deref(),
        Some("120")
    );
    assert_eq!(incident.lost("carts"), None);
    let told: Vec<&Notice> = world
        .notices
        .iter()
        .filter(|n| n.notify == ["cto"])
        .collect();
    assert_eq!(told.len(), 1);
    assert!(
        told[0]
            .reason
            .starts_with("orders: 120 orders lost, more than 100"),
        "{}",
        told[0].reason
    );
    let report = world.report();
    assert!(report.contains("| orders | 120 orders |"), "{report}");
    assert!(report.contains("| carts | not known |"), "{report}");
    assert!(report.contains("where a number is expected"), "{report}");
}

#[test]
fn a_query_that_fails_breaks_nothing() {
    let world = counting("NaN");
    assert!(
        matches!(world.phase(), Phase::Verifying(_)),
        "{:?}",
        world.phase()
    );
    assert!(world.called("cto").is_empty());
}

#[test]
fn a_person_counts_too_also_when_the_incident_is_closed() {
    let mut world = counting("7");
    let count = |world: &mut World, lost| world.count(lost, person("ann", &[]), "the audit");
    count(&mut world, 101.0);
    assert_eq!(
        world.notices.iter().filter(|n| n.notify == ["cto"]).count(),
        1
    );
    count(&mut world, f64::NAN);
    world.up = true;
    world.wait(40 * 60);
    count(&mut world, 140.0);
    let service = world.service();
    assert!(service.incident.is_none(), "{:?}", service.phase);
    let values: Vec<String> = service.closed[0]
        .losses
        .iter()
        .map(Loss::in_words)
        .collect();
    assert_eq!(
        values,
        ["7 orders", "not known", "101 orders", "140 orders"]
    );
    assert!(world.report().contains("ann: the audit"));
}
