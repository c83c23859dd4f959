//! Levels of escalation that a condition reaches, through the engine.

use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{Command, Engine, Event, Notice, NoticeKind, Person};
use backstop::model::{Gap, GapKind, HowEnded, Moment, Outcome, Output, Policy, StepEnd};

const POLICY: &str = r#"
service  = "shop"
mode     = "enforce"
interval = "5s"

[sources.web]
type       = "probe"
url        = "http://127.0.0.1:8080/health"
fail_after = 1
pass_after = 1

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
"#;

struct World {
    engine: Engine,
    at: Moment,
    up: bool,
    notices: Vec<Notice>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            engine: Engine::new(),
            at: Moment::from_millis(1_000_000),
            up: true,
            notices: Vec::new(),
        };
        world.revise(POLICY);
        world.wait(30);
        world.up = false;
        world
    }

    fn revise(&mut self, text: &str) {
        let loaded = backstop::policy::load("shop.toml", text);
        let policy: Policy = loaded
            .policy
            .unwrap_or_else(|| panic!("{:#?}", loaded.faults));
        self.step(Event::Revised {
            policy: Arc::new(policy),
            hash: "9f2c41d0".into(),
        });
    }

    fn step(&mut self, event: Event) {
        for command in self.engine.step(self.at, event) {
            match command {
                Command::Tell(notice) => self.notices.push(notice),
                // What is run does not help.
                Command::Run(order) => self.step(Event::Finished {
                    service: order.service,
                    ticket: order.ticket,
                    step: order.step,
                    end: StepEnd {
                        how: HowEnded::Succeeded,
                        output: Output::default(),
                        took: Duration::from_secs(1),
                    },
                }),
                Command::Cancel { .. } | Command::Note(_) => {}
            }
        }
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds / 5 {
            self.at = self.at + Duration::from_secs(5);
            let outcome = if self.up {
                Outcome::Probed {
                    latency: Duration::from_millis(12),
                    fault: None,
                }
            } else {
                Outcome::Failed(Gap::new(GapKind::Refused, "connection refused"))
            };
            self.step(Event::Sampled {
                service: "shop".into(),
                source: "web".into(),
                tick: self.at,
                outcome,
            });
            self.step(Event::Ticked {
                service: "shop".into(),
                tick: self.at,
                wall_ahead_ms: 0,
            });
        }
    }

    fn acknowledge(&mut self) {
        self.step(Event::Acknowledged {
            incident: 1,
            by: Person {
                name: "ann".into(),
                roles: Vec::new(),
            },
            reason: String::new(),
        });
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
    world.acknowledge();
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
    let state = &world.engine.state().services["shop"];
    assert!(state.incident.is_none(), "{:?}", state.phase);
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
    let text = serde_json::to_string(world.engine.state()).unwrap();
    world.engine = Engine::restore(serde_json::from_str(&text).unwrap());
    world.wait(6 * 60);
    assert_eq!(world.called("cto"), [300]);
}
