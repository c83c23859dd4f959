//! Where a rollback goes, through the engine and as people read it: what is
//! good and bad, who says so, and which release is the target.

use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{
    Command, Engine, Event, Incident, Note, Order, Person, Phase, Service, What,
};
use backstop::model::{
    Action, Gap, GapKind, HowEnded, Moment, Outcome, Output, Standing, StepEnd, Word,
};
use backstop::view::{Report, Status, Style};

/// A service that is down or up, and how it is rolled back.
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
when     = "web is down for 10s"
severity = "critical"

[plans.rollback]
cooldown = "0s"
budget   = "100 per 24h"
verify   = { require = ["web is up for 10s"], within = "30s", otherwise = "next", watch = "10s" }

[[plans.rollback.steps]]
name = "roll back"
run  = ["roll", "{target}"]

[[escalation]]
notify = ["slack"]
"#;

struct World {
    engine: Engine,
    at: Moment,
    up: bool,
    orders: Vec<Order>,
    notes: Vec<Note>,
}

impl World {
    /// A service with these keys of `[release]`.
    fn new(release: &str) -> Self {
        let mut world = Self {
            engine: Engine::new(),
            at: Moment::from_millis(1_000_000),
            up: true,
            orders: Vec::new(),
            notes: Vec::new(),
        };
        world.step(Event::Restarted { host: "h".into() });
        world.revise(release);
        world
    }

    fn revise(&mut self, release: &str) {
        let text = format!("{POLICY}\n[release]\ngood_after = \"30s\"\n{release}\n");
        let loaded = backstop::policy::load("shop.toml", &text);
        let policy = loaded
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
                Command::Note(note) => self.notes.push(note),
                Command::Run(order) => self.orders.push(order),
                Command::Cancel { .. } | Command::Tell(_) => {}
            }
        }
    }

    fn tick(&mut self) {
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

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds / 5 {
            self.tick();
        }
    }

    fn deploy(&mut self, version: &str) {
        self.step(Event::Released {
            service: "shop".into(),
            version: version.into(),
        });
    }

    /// These releases ran, each until it was good.
    fn ran(mut self, versions: &[&str]) -> Self {
        for version in versions {
            self.deploy(version);
            self.wait(40);
            assert_eq!(self.standing(version), Standing::Good);
        }
        self
    }

    /// A release comes that does not work, and is rolled back from, or held.
    fn breaks(&mut self, version: &str) {
        self.deploy(version);
        self.up = false;
        self.wait(20);
    }

    /// The step that was ordered last ends; a rollback that succeeds has its
    /// target run.
    fn end(&mut self, how: HowEnded) {
        let order = self.orders.last().expect("a step was ordered").clone();
        self.step(Event::Starting {
            service: order.service.clone(),
            ticket: order.ticket,
            step: order.step,
        });
        if let (true, "roll", [_, target]) = (how.is_success(), program(&order), argv(&order)) {
            self.deploy(&target.clone());
        }
        self.step(Event::Finished {
            service: order.service,
            ticket: order.ticket,
            step: order.step,
            end: StepEnd {
                how,
                output: Output::default(),
                took: Duration::from_secs(1),
            },
        });
    }

    fn say(&mut self, version: &str, word: Word) {
        self.step(Event::Declared {
            service: "shop".into(),
            version: version.into(),
            word,
            by: person(),
            reason: "loses orders".into(),
        });
    }

    fn service(&self) -> &Service {
        &self.engine.state().services["shop"]
    }

    fn standing(&self, version: &str) -> Standing {
        let release = self.service().releases.find(version);
        release.expect("it was seen").standing
    }

    fn incident(&self) -> &Incident {
        let service = self.service();
        let last = service.incident.as_ref().or(service.closed.last());
        last.expect("there was an incident")
    }

    /// The command lines that were ordered.
    fn ordered(&self) -> Vec<String> {
        self.orders.iter().map(|o| argv(o).join(" ")).collect()
    }

    fn last(&self, what: What) -> &str {
        let note = self.notes.iter().rfind(|n| n.what == what);
        &note.expect("it was noted").reason
    }

    fn status(&self) -> String {
        Status::new(self.engine.state(), None, None).text(Style::default())
    }

    fn report(&self) -> String {
        let state = self.engine.state();
        Report {
            incident: self.incident(),
            notes: None,
            steps: &[],
            policy: Some(&self.service().policy),
            host: "h",
            now: state.now,
            wall_ahead_ms: 0,
        }
        .markdown()
    }
}

fn argv(order: &Order) -> &[String] {
    match &order.action {
        Action::Run { argv, .. } => argv,
        other => panic!("no program: {other:?}"),
    }
}

fn program(order: &Order) -> &str {
    &argv(order)[0]
}

fn person() -> Person {
    Person {
        name: "ann".into(),
        roles: Vec::new(),
    }
}

#[test]
fn a_release_that_a_person_calls_bad_is_never_gone_back_to() {
    let mut world = World::new("").ran(&["v1", "v2"]);
    world.say("v2", Word::Bad);
    assert!(matches!(world.service().phase, Phase::Watching));
    world.breaks("v3");
    assert_eq!(world.ordered(), ["roll v1"]);
    assert!(
        world.status().contains("said      v2 is bad: ann"),
        "{}",
        world.status()
    );
}

#[test]
fn a_bad_release_that_runs_is_no_trigger() {
    let mut world = World::new("").ran(&["v1", "v2"]);
    world.say("v2", Word::Bad);
    world.wait(120);
    assert!(matches!(world.service().phase, Phase::Watching));
    assert_eq!(world.standing("v2"), Standing::Bad, "not by running well");
    assert!(world.orders.is_empty());
}

#[test]
fn a_release_that_a_person_calls_good_needs_no_proof() {
    let mut world = World::new("");
    world.deploy("v1");
    world.tick();
    world.breaks("v2");
    assert!(world.ordered().is_empty(), "v1 is not proven");
    assert!(world.last(What::Held).contains("no good release"));
    world.say("v1", Word::Good);
    world.tick();
    assert_eq!(world.ordered(), ["roll v1"]);
    let report = world.report();
    assert!(
        report.contains("ann says that release v1 is good: loses orders"),
        "{report}"
    );
}

#[test]
fn a_rollback_to_what_a_person_called_bad_is_refused_with_that_word() {
    let mut world = World::new("").ran(&["v1", "v2"]);
    world.say("v1", Word::Bad);
    world.step(Event::Ordered {
        service: "shop".into(),
        by: person(),
        reason: "now".into(),
        to: Some("v1".into()),
        plan: None,
    });
    assert!(world.orders.is_empty());
    assert_eq!(
        world.last(What::Refused),
        "release v1 is bad: ann says so: loses orders"
    );
}
