//! Sources that are told, through the engine: what is said is evidence, with its
//! speaker, and never against a release that it was not said of.

use std::time::Duration;

use backstop::guard::{Alert, Event, Person, Phase, Push, Statement, What};
use backstop::model::{HowEnded, Output, Verdict};

use crate::post::{Hands, Post, person};

const POLICY: &str = r#"
service  = "payments"
mode     = "enforce"
interval = "5s"

[sources.people]
type  = "push"
roles = ["security-lead", "support"]

[sources.alerts]
type  = "alertmanager"
match = { exposed = '{alertname="DataExposed",severity=~"critical|page"}' }

[signals.breach]
source = "people"
flag   = "breach-confirmed"

[signals.tickets]
source = "people"
count  = "critical-ticket"
window = "1h"

[signals.loss]
source = "people"
value  = "data-loss"

[signals.exposed]
source = "alerts"
flag   = "exposed"
ttl    = "1h"

[triggers.security-breach]
when     = "breach is set"
severity = "critical"

[triggers.support-volume]
when     = "tickets > 20"
severity = "low"

[triggers.loss]
when     = "loss > 10000"
severity = "low"

[triggers.exposed]
when     = "exposed is set"
severity = "low"

[release]
current    = "reported"
good_after = "1m"

[[plans.rollback.steps]]
run = ["back", "{target}"]

[[escalation]]
notify = ["slack"]
"#;

#[derive(Default)]
struct Told;

impl Hands for Told {}

type World = Post<Told>;

impl World {
    /// A good release, and a newer one that runs.
    fn new() -> Self {
        let mut world = Self::guarding(POLICY);
        world.deploy("v1");
        world.ticks(20);
        world.deploy("v2");
        world.ticks(2);
        world
    }

    /// Nobody asks a source that is told.
    fn ticks(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.pass();
            self.ticked();
        }
    }

    /// Between two ticks; and whatever is said survives a restart.
    fn tell(&mut self, source: &str, by: Person, push: Push) {
        self.at = self.at + Duration::from_millis(700);
        self.restore();
        self.push(source, by, push);
    }

    fn say(&mut self, roles: &[&str], name: &str, what: Statement) {
        let push = Push::Said {
            name: name.into(),
            what,
            reason: "customer data on a forum".into(),
        };
        self.tell("people", person("alice", roles), push);
    }

    fn alert(&mut self, name: &str, firing: bool, starts_ms: i64) {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let push = Push::Alerts {
            alerts: vec![Alert {
                fingerprint: "f1".into(),
                labels: vec![label("alertname", name), label("severity", "page")],
                firing,
                starts_ms,
            }],
            truncated: 0,
        };
        self.tell("alerts", person("token am", &[]), push);
    }

    fn verdict(&self, trigger: &str) -> &Verdict {
        &self.service().judge.trigger(trigger).unwrap().verdict
    }
}

#[test]
fn a_breach_that_a_person_confirms_rolls_back_at_the_next_tick_and_says_who_said_so() {
    let mut world = World::new();
    assert_eq!(world.verdict("security-breach"), &Verdict::Clear);
    world.say(&["security-lead"], "breach-confirmed", Statement::Set);
    assert!(world.orders.is_empty(), "it is judged at a tick");
    world.ticks(1);
    assert_eq!(world.orders.len(), 1);
    let opened = world.noted(What::Opened).unwrap();
    let told = opened.cause.as_ref().unwrap().told.as_ref().unwrap();
    assert_eq!(told.by, "alice");
    let line = backstop::view::note::line(world.noted(What::Fired).unwrap());
    assert_eq!(
        line,
        "security-breach fired: breach is set, said by alice: customer data on a forum"
    );
}

#[test]
fn a_flag_that_was_set_of_one_release_never_rolls_the_next_one_back() {
    let mut world = World::new();
    world.say(&["security-lead"], "breach-confirmed", Statement::Set);
    world.ticks(1);
    let order = world.begin();
    world.deploy("v1");
    world.finish(order, HowEnded::Succeeded, Output::default());
    world.ticks(30);
    assert!(matches!(
        world.verdict("security-breach"),
        Verdict::Blind { .. }
    ));
    world.ticks(800);
    assert_eq!(world.orders.len(), 1, "nobody said it of v1");
    // Its being over, a person says; then nothing is in the way of the next word.
    world.say(&["security-lead"], "breach-confirmed", Statement::Clear);
    world.ticks(1);
    assert_eq!(world.verdict("security-breach"), &Verdict::Clear);
}

#[test]
fn a_flag_that_was_set_before_the_policy_was_removed_is_said_again_before_anything_is_done() {
    let mut world = World::new();
    world.say(&["security-lead"], "breach-confirmed", Statement::Set);
    world.step(Event::Removed {
        service: "payments".into(),
    });
    world.at = world.at + Duration::from_secs(600);
    world.revise(POLICY);
    world.ticks(3);
    assert!(world.orders.is_empty(), "{:?}", world.orders);
    assert!(matches!(
        world.verdict("security-breach"),
        Verdict::Blind { .. }
    ));
    world.say(&["security-lead"], "breach-confirmed", Statement::Set);
    world.ticks(1);
    assert_eq!(world.orders.len(), 1);
}

#[test]
fn who_holds_none_of_the_roles_is_refused_and_named() {
    let mut world = World::new();
    world.say(&["dba"], "breach-confirmed", Statement::Set);
    world.ticks(3);
    assert_eq!(world.phase(), &Phase::Watching);
    assert_eq!(
        world.last(What::Refused),
        "alice holds none of security-lead, support: nobody else may tell `people`"
    );
}

#[test]
fn what_does_not_fit_the_name_is_refused_with_what_does() {
    let mut world = World::new();
    for (name, what, why) in [
        (
            "breach-confirmed",
            Statement::Is(1.0),
            "is a flag: say `set` or `clear`",
        ),
        (
            "critical-ticket",
            Statement::Set,
            "is counted: say `+1`, or how many more there are",
        ),
        (
            "data-loss",
            Statement::Events(1),
            "is a value: say a number",
        ),
        ("breach", Statement::Set, "`people` is not told of `breach`"),
    ] {
        world.say(&["support"], name, what);
        let reason = world.last(What::Refused);
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn the_twenty_first_ticket_within_an_hour_fires_and_nobody_s_silence_blinds() {
    let mut world = World::new();
    for _ in 0..20 {
        world.say(&["support"], "critical-ticket", Statement::Events(1));
    }
    world.ticks(1);
    assert_eq!(world.verdict("support-volume"), &Verdict::Clear);
    world.say(&["support"], "critical-ticket", Statement::Events(1));
    world.ticks(1);
    assert_eq!(world.verdict("support-volume"), &Verdict::Breach);
    world.ticks(718);
    assert_eq!(world.verdict("support-volume"), &Verdict::Breach);
    world.ticks(2);
    assert_eq!(world.verdict("support-volume"), &Verdict::Clear);
    assert!(
        world.noted(What::Blind).is_none(),
        "{:?}",
        world.noted(What::Blind)
    );
}

#[test]
fn a_value_that_nobody_has_said_is_no_reading_and_no_alarm() {
    let mut world = World::new();
    world.ticks(100);
    assert!(matches!(world.verdict("loss"), Verdict::Blind { .. }));
    assert!(world.noted(What::Blind).is_none());
    world.say(&["support"], "data-loss", Statement::Is(50_000.0));
    world.ticks(1);
    assert_eq!(world.verdict("loss"), &Verdict::Breach);
}

#[test]
fn an_alert_sets_its_flag_while_it_fires_and_its_end_undoes_nothing() {
    let mut world = World::new();
    world.alert("Other", true, 5);
    world.ticks(1);
    assert_eq!(world.verdict("exposed"), &Verdict::Clear);
    world.alert("DataExposed", true, 5);
    world.ticks(1);
    assert_eq!(world.verdict("exposed"), &Verdict::Breach);
    assert!(matches!(world.phase(), Phase::Telling));
    world.alert("DataExposed", false, 5);
    world.alert("DataExposed", true, 5);
    world.ticks(1);
    assert_eq!(
        world.verdict("exposed"),
        &Verdict::Clear,
        "the end came before"
    );
    assert!(
        matches!(world.phase(), Phase::Telling),
        "an incident is not undone"
    );
    // A resolved that was lost: the flag ends with its time.
    world.alert("DataExposed", true, 9);
    world.ticks(2);
    assert_eq!(world.verdict("exposed"), &Verdict::Breach);
    world.ticks(720);
    assert_eq!(world.verdict("exposed"), &Verdict::Clear);
}
