//! Lives of a service, each recalled from the records that it left, and held
//! against what the engine itself knew.

use std::sync::Arc;
use std::time::Duration;

use super::{Past, Recalled};
use crate::control::Wanted;
use crate::guard::{Command, Engine, Event, Order, Outcome, Person};
use crate::journal::{Body, Record};
use crate::model::{self, HowEnded, Moment, Output, Sample, Series, StepEnd};

const POLICY: &str = r#"
service  = "shop"
mode     = "enforce"
interval = "1s"

[sources.app]
type = "scrape"
url  = "http://127.0.0.1:9464/metrics"

[signals.errors]
source = "app"
value  = "errors"
window = "2s"

[signals.queue]
source = "app"
value  = "queue"
window = "2s"

[triggers.errors]
when     = "errors > 5 for 3s"
severity = "critical"

[triggers.queue]
when     = "queue > 5 for 3s"
severity = "medium"
approve  = { quorum = 2, within = "10s" }

[release]
current    = "reported"
good_after = "2s"

[plans.rollback]
verify = { require = ["errors < 5 for 2s", "queue < 5 for 2s"], within = "10s", watch = "3s" }

[[plans.rollback.steps]]
name = "drain"
run  = ["/bin/true"]
retries = 1

[[plans.rollback.steps]]
name = "breathe"
wait = "1s"

[[plans.rollback.steps]]
name = "drain again"
run  = ["/bin/true", "{target}"]

[[plans.rollback.steps]]
name   = "restore"
run    = ["/bin/true"]
always = true
"#;

struct Life {
    engine: Engine,
    records: Vec<Record>,
    orders: Vec<Order>,
    at: Moment,
    errors: f64,
    queue: f64,
}

impl Life {
    fn new(policy: &str) -> Self {
        let loaded = crate::policy::load("shop.toml", policy);
        let policy = loaded
            .policy
            .unwrap_or_else(|| panic!("{:?}", loaded.faults));
        let mut life = Self {
            engine: Engine::new(),
            records: Vec::new(),
            orders: Vec::new(),
            at: Moment::from_millis(1_000_000),
            errors: 0.0,
            queue: 0.0,
        };
        life.step(Event::Revised {
            policy: Arc::new(policy),
            hash: "9f2c".into(),
        });
        life.released("v1");
        life.run(8);
        life.released("v2");
        life.run(8);
        life
    }

    fn step(&mut self, event: Event) {
        let cause = self.records.len() as u64 + 1;
        let commands = self.engine.step(self.at, event.clone());
        // Samples and ticks are in the other log, which is not read.
        let bodies = [
            (!matches!(event, Event::Sampled { .. } | Event::Ticked { .. }))
                .then_some(Body::Event(event)),
            (!commands.is_empty()).then(|| Body::Commands {
                cause,
                commands: commands.clone(),
            }),
        ];
        for body in bodies.into_iter().flatten() {
            self.records.push(Record {
                seq: self.records.len() as u64 + 1,
                at: self.at,
                body,
            });
        }
        self.orders
            .extend(commands.into_iter().filter_map(|c| match c {
                Command::Run(order) => Some(order),
                _ => None,
            }));
    }

    fn released(&mut self, version: &str) {
        self.step(Event::Released {
            service: "shop".into(),
            version: version.into(),
        });
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.at = self.at + Duration::from_secs(1);
            if self.engine.deadline().is_some_and(|due| due <= self.at) {
                self.step(Event::Woke);
            }
            let series = |name, value| Sample {
                series: Arc::new(Series::new(name, Vec::new())),
                value,
            };
            let page = vec![series("errors", self.errors), series("queue", self.queue)];
            self.step(Event::Sampled {
                service: "shop".into(),
                source: "app".into(),
                tick: self.at,
                outcome: model::Outcome::Scraped(page),
            });
            self.step(Event::Ticked {
                service: "shop".into(),
                tick: self.at,
                wall_ahead_ms: 77,
            });
        }
    }

    /// Ends the step that was ordered last.
    fn end(&mut self, how: HowEnded) {
        let order = self.orders.last().expect("a step was ordered").clone();
        let (service, ticket, step) = (order.service, order.ticket, order.step);
        self.step(Event::Starting {
            service: service.clone(),
            ticket,
            step,
        });
        self.step(Event::Finished {
            service,
            ticket,
            step,
            end: StepEnd {
                how,
                output: Output::said("well: then"),
                took: Duration::from_millis(7),
            },
        });
    }

    /// Every step does what it should.
    fn finish(&mut self) {
        self.end(HowEnded::Succeeded);
        self.run(2);
        self.end(HowEnded::Succeeded);
        self.end(HowEnded::Succeeded);
        (self.errors, self.queue) = (0.0, 0.0);
        self.released("v1");
    }

    fn answer(&mut self, name: &str, approve: bool) {
        self.step(Event::Answered {
            incident: self.engine.state().last_incident,
            by: person(name),
            role: None,
            approve,
            reason: String::new(),
            link: None,
        });
    }

    /// Lets the incident close, and holds what is recalled of it against what
    /// the engine knew.
    fn closes_as(mut self, outcome: Outcome) {
        (self.errors, self.queue) = (0.0, 0.0);
        self.run(150);
        let known = self.engine.state().services["shop"].closed.last();
        let known = known.expect("it is closed");
        assert_eq!(
            known.outcome,
            Some(outcome),
            "{:#?}",
            known.timeline.iter().map(|n| &n.reason).collect::<Vec<_>>()
        );
        let mut recalled = Recalled::new(known.number);
        for record in &self.records {
            recalled.see(record);
        }
        let (found, policy, wall_ahead_ms) = recalled.take();
        let found = found.expect("its opening is there");
        assert_eq!(&found, known);
        assert_eq!(wall_ahead_ms, Some(77));
        assert!(policy.is_some());
    }
}

fn person(name: &str) -> Person {
    Person {
        name: name.into(),
        roles: vec!["sre".into()],
    }
}

#[test]
fn a_rollback_that_cured() {
    let mut life = Life::new(POLICY);
    life.errors = 9.0;
    life.run(6);
    life.end(HowEnded::Exited(1));
    life.finish();
    life.closes_as(Outcome::Cured);
}

#[test]
fn a_rollback_that_failed_half_way() {
    let mut life = Life::new(POLICY);
    life.errors = 9.0;
    life.run(6);
    life.step(Event::Acknowledged {
        incident: 1,
        by: person("ann"),
        reason: "on it".into(),
    });
    life.end(HowEnded::Succeeded);
    life.run(2);
    life.end(HowEnded::Exited(3));
    life.end(HowEnded::Succeeded);
    life.closes_as(Outcome::Failed);
}

#[test]
fn a_rollback_that_did_not_cure() {
    let mut life = Life::new(POLICY);
    life.errors = 9.0;
    life.run(6);
    life.finish();
    life.errors = 9.0;
    life.run(12);
    life.closes_as(Outcome::NotCured);
}

#[test]
fn people_who_agreed_and_a_release_during_the_proof() {
    let mut life = Life::new(POLICY);
    life.queue = 9.0;
    life.run(6);
    life.answer("ann", true);
    life.answer("ann", true);
    life.answer("ben", true);
    life.run(2);
    life.finish();
    life.released("v3");
    life.closes_as(Outcome::Aborted);
}

#[test]
fn a_no_and_a_question_that_nobody_answered() {
    let mut life = Life::new(POLICY);
    life.queue = 9.0;
    life.run(6);
    life.answer("ann", true);
    life.answer("ben", false);
    life.closes_as(Outcome::Dismissed);
    for (otherwise, outcome) in [
        ("escalate", Outcome::Undecided),
        ("dismiss", Outcome::Dismissed),
        ("rollback", Outcome::Cured),
    ] {
        let quorum = format!("quorum = 2, otherwise = \"{otherwise}\"");
        let mut life = Life::new(&POLICY.replace("quorum = 2", &quorum));
        life.queue = 9.0;
        life.run(6);
        life.answer("ann", true);
        life.run(12);
        if otherwise == "rollback" {
            life.finish();
        }
        life.closes_as(outcome);
    }
}

#[test]
fn a_critical_trigger_that_overtook() {
    let mut life = Life::new(POLICY);
    life.queue = 9.0;
    life.run(6);
    life.errors = 9.0;
    life.run(6);
    life.finish();
    life.closes_as(Outcome::Cured);
}

#[test]
fn a_person_s_order_that_was_aborted() {
    let mut life = Life::new(POLICY);
    life.step(Event::Ordered {
        service: "shop".into(),
        by: person("ann"),
        reason: "a customer called".into(),
        to: None,
        plan: None,
        drill: false,
    });
    life.step(Event::Aborted {
        incident: 1,
        by: person("ben"),
        reason: String::new(),
    });
    life.run(2);
    life.end(HowEnded::Succeeded);
    life.end(HowEnded::Succeeded);
    life.closes_as(Outcome::Aborted);
}

#[test]
fn shadow_and_a_second_incident_after_it() {
    let mut life = Life::new(&POLICY.replace("\"enforce\"", "\"shadow\""));
    life.errors = 9.0;
    life.run(6);
    life.closes_as(Outcome::WouldHaveRolledBack);
    let mut life = Life::new(POLICY);
    life.queue = 9.0;
    life.run(6);
    life.queue = 0.0;
    life.run(140);
    life.errors = 9.0;
    life.run(6);
    life.finish();
    life.closes_as(Outcome::Cured);
}

#[test]
fn what_was_lost_and_when_people_found_out() {
    let mut life = Life::new(POLICY);
    life.errors = 9.0;
    life.run(6);
    let count = |value: f64| Event::Counted {
        incident: 1,
        name: "orders".into(),
        value,
        by: person("ann"),
        reason: "the ledger".into(),
    };
    life.step(count(3.0));
    life.finish();
    (life.errors, life.queue) = (0.0, 0.0);
    life.run(150);
    // The incident is closed, and nobody knew the whole of it yet.
    life.step(count(12.0));
    let known = &life.engine.state().services["shop"].closed[0];
    let numbers: Vec<_> = known.losses.iter().map(|loss| loss.value).collect();
    assert_eq!(numbers, [Some(3.0), Some(12.0)]);
    life.closes_as(Outcome::Cured);
}

#[test]
fn an_incident_whose_closing_is_not_there_is_not_recalled() {
    let mut life = Life::new(POLICY);
    life.errors = 9.0;
    life.run(6);
    let mut recalled = Recalled::new(1);
    for record in &life.records {
        recalled.see(record);
    }
    assert_eq!(recalled.take().0, None);
}

#[test]
fn past_incidents_come_in_pages_the_newest_first() {
    let mut life = Life::new(&POLICY.replace("\"enforce\"", "\"shadow\""));
    let mut closed = Vec::new();
    for _ in 0..20 {
        life.errors = 9.0;
        life.run(6);
        life.errors = 0.0;
        life.run(150);
        closed.push(life.at);
    }
    assert_eq!(life.engine.state().services["shop"].closed.len(), 16);
    let all = Wanted {
        before: u64::MAX,
        service: None,
        since: Moment::ZERO,
        most: 100,
    };
    let numbers = |wanted: &Wanted| -> Vec<u64> {
        let mut past = Past::new(wanted.clone());
        for record in &life.records {
            past.see(record);
        }
        let found = past.take();
        assert!(found.iter().all(|(_, ahead)| *ahead == 77));
        found.iter().map(|(incident, _)| incident.number).collect()
    };
    let newest_first: Vec<u64> = (1..=20).rev().collect();
    assert_eq!(numbers(&all), newest_first);
    let page = Wanted {
        before: 10,
        most: 3,
        ..all.clone()
    };
    assert_eq!(numbers(&page), [9, 8, 7]);
    let late = Wanted {
        since: closed[16],
        ..all.clone()
    };
    assert_eq!(numbers(&late), [20, 19, 18]);
    let other = Wanted {
        service: Some("cart".into()),
        ..all
    };
    assert!(numbers(&other).is_empty());
}
