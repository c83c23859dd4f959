//! Sources that are told, through the engine: what is said is evidence, with its
//! speaker, and never against a release that it was not said of.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{
    Alert, Command, Engine, Event, Note, Order, Person, Phase, Push, Snapshot, Statement, What,
};
use backstop::model::{HowEnded, Moment, Output, StepEnd, Verdict};

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

struct World {
    engine: Engine,
    at: Moment,
    notes: Vec<Note>,
    orders: Vec<Order>,
}

impl World {
    /// A good release, and a newer one that runs.
    fn new() -> Self {
        let mut world = Self {
            engine: Engine::new(),
            at: Moment::from_millis(1_000_000),
            notes: Vec::new(),
            orders: Vec::new(),
        };
        world.step(Event::Restarted { host: "h".into() });
        world.guarded();
        world.released("v1");
        world.ticks(20);
        world.released("v2");
        world.ticks(2);
        world
    }

    fn step(&mut self, event: Event) {
        // Whatever is said survives a restart.
        if matches!(event, Event::Pushed { .. }) {
            self.restart();
        }
        for command in self.engine.step(self.at, event) {
            match command {
                Command::Note(note) => self.notes.push(note),
                Command::Run(order) => self.orders.push(order),
                Command::Tell(_) | Command::Cancel { .. } => {}
            }
        }
    }

    fn restart(&mut self) {
        let text = serde_json::to_string(self.engine.state()).unwrap();
        let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(&snapshot, self.engine.state());
        self.engine = Engine::restore(snapshot);
    }

    fn guarded(&mut self) {
        let loaded = backstop::policy::load("payments.toml", POLICY);
        let policy = loaded
            .policy
            .unwrap_or_else(|| panic!("{:#?}", loaded.faults));
        self.step(Event::Revised {
            policy: Arc::new(policy),
            hash: "9f2c41d0".into(),
        });
    }

    fn released(&mut self, version: &str) {
        self.step(Event::Released {
            service: "payments".into(),
            version: version.into(),
        });
    }

    fn ticks(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.at = self.at + Duration::from_secs(5);
            self.step(Event::Ticked {
                service: "payments".into(),
                tick: self.at,
                wall_ahead_ms: 0,
            });
        }
    }

    fn push(&mut self, roles: &[&str], name: &str, what: Statement) {
        self.at = self.at + Duration::from_millis(700);
        self.step(Event::Pushed {
            service: "payments".into(),
            source: "people".into(),
            by: person("alice", roles),
            push: Push::Said {
                name: name.into(),
                what,
                reason: "customer data on a forum".into(),
            },
        });
    }

    fn alert(&mut self, name: &str, firing: bool, starts_ms: i64) {
        self.at = self.at + Duration::from_millis(700);
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        self.step(Event::Pushed {
            service: "payments".into(),
            source: "alerts".into(),
            by: person("token am", &[]),
            push: Push::Alerts {
                alerts: vec![Alert {
                    fingerprint: "f1".into(),
                    labels: vec![label("alertname", name), label("severity", "page")],
                    firing,
                    starts_ms,
                }],
                truncated: 0,
            },
        });
    }

    fn verdict(&self, trigger: &str) -> &Verdict {
        let service = &self.engine.state().services["payments"];
        &service.judge.trigger(trigger).unwrap().verdict
    }

    fn last(&self, what: What) -> Option<&Note> {
        self.notes.iter().rev().find(|note| note.what == what)
    }

    fn phase(&self) -> &Phase {
        &self.engine.state().services["payments"].phase
    }
}

fn person(name: &str, roles: &[&str]) -> Person {
    Person {
        name: name.into(),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
    }
}

#[test]
fn a_breach_that_a_person_confirms_rolls_back_at_the_next_tick_and_says_who_said_so() {
    let mut world = World::new();
    assert_eq!(world.verdict("security-breach"), &Verdict::Clear);
    world.push(&["security-lead"], "breach-confirmed", Statement::Set);
    assert!(world.orders.is_empty(), "it is judged at a tick");
    world.ticks(1);
    assert_eq!(world.orders.len(), 1);
    let opened = world.last(What::Opened).unwrap();
    let told = opened.cause.as_ref().unwrap().told.as_ref().unwrap();
    assert_eq!(told.by, "alice");
    let line = backstop::view::note::line(world.last(What::Fired).unwrap());
    assert_eq!(
        line,
        "security-breach fired: breach is set, said by alice: customer data on a forum"
    );
}

#[test]
fn a_flag_that_was_set_of_one_release_never_rolls_the_next_one_back() {
    let mut world = World::new();
    world.push(&["security-lead"], "breach-confirmed", Statement::Set);
    world.ticks(1);
    let order = world.orders[0].clone();
    world.step(Event::Starting {
        service: "payments".into(),
        ticket: order.ticket,
        step: order.step,
    });
    world.released("v1");
    world.step(Event::Finished {
        service: "payments".into(),
        ticket: order.ticket,
        step: order.step,
        end: StepEnd {
            how: HowEnded::Succeeded,
            output: Output::default(),
            took: Duration::from_secs(1),
        },
    });
    world.ticks(30);
    assert!(matches!(
        world.verdict("security-breach"),
        Verdict::Blind { .. }
    ));
    world.ticks(800);
    assert_eq!(world.orders.len(), 1, "nobody said it of v1");
    // Its being over, a person says; then nothing is in the way of the next word.
    world.push(&["security-lead"], "breach-confirmed", Statement::Clear);
    world.ticks(1);
    assert_eq!(world.verdict("security-breach"), &Verdict::Clear);
}

#[test]
fn a_flag_that_was_set_before_the_policy_was_removed_is_said_again_before_anything_is_done() {
    let mut world = World::new();
    world.push(&["security-lead"], "breach-confirmed", Statement::Set);
    world.step(Event::Removed {
        service: "payments".into(),
    });
    world.at = world.at + Duration::from_secs(600);
    world.guarded();
    world.ticks(3);
    assert!(world.orders.is_empty(), "{:?}", world.orders);
    assert!(matches!(
        world.verdict("security-breach"),
        Verdict::Blind { .. }
    ));
    world.push(&["security-lead"], "breach-confirmed", Statement::Set);
    world.ticks(1);
    assert_eq!(world.orders.len(), 1);
}

#[test]
fn who_holds_none_of_the_roles_is_refused_and_named() {
    let mut world = World::new();
    world.push(&["dba"], "breach-confirmed", Statement::Set);
    world.ticks(3);
    assert_eq!(world.phase(), &Phase::Watching);
    assert_eq!(
        world.last(What::Refused).unwrap().reason,
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
        world.push(&["support"], name, what);
        let reason = &world.last(What::Refused).unwrap().reason;
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn the_twenty_first_ticket_within_an_hour_fires_and_nobody_s_silence_blinds() {
    let mut world = World::new();
    for _ in 0..20 {
        world.push(&["support"], "critical-ticket", Statement::Events(1));
    }
    world.ticks(1);
    assert_eq!(world.verdict("support-volume"), &Verdict::Clear);
    world.push(&["support"], "critical-ticket", Statement::Events(1));
    world.ticks(1);
    assert_eq!(world.verdict("support-volume"), &Verdict::Breach);
    world.ticks(718);
    assert_eq!(world.verdict("support-volume"), &Verdict::Breach);
    world.ticks(2);
    assert_eq!(world.verdict("support-volume"), &Verdict::Clear);
    assert!(
        world.last(What::Blind).is_none(),
        "{:?}",
        world.last(What::Blind)
    );
}

#[test]
fn a_value_that_nobody_has_said_is_no_reading_and_no_alarm() {
    let mut world = World::new();
    world.ticks(100);
    assert!(matches!(world.verdict("loss"), Verdict::Blind { .. }));
    assert!(world.last(What::Blind).is_none());
    world.push(&["support"], "data-loss", Statement::Is(50_000.0));
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
