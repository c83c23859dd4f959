//! What people read, of an engine that lived through something: status,
//! incidents and the report, from a policy as it is written to the words as
//! they are shown.

use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{Command, Engine, Event, Notice, Person};
use backstop::model::{Gap, GapKind, HowEnded, Moment, Outcome, Output, Sample, Series, StepEnd};
use backstop::view::incidents::{self, IncidentView};
use backstop::view::{AgentStatus, NoticeView, RanStep, Report, Signals, Status, Style};

const AHEAD: i64 = 1_795_249_800_000;

const POLICY: &str = r#"
service  = "checkout"
mode     = "enforce"
interval = "5s"

[sources.app]
type = "scrape"
url  = "http://127.0.0.1:9464/metrics"

[sources.web]
type = "probe"
url  = "http://127.0.0.1:8080/health"

[signals.error_rate]
source = "app"
ratio  = { of = 'http_requests_total{code=~"5.."}', to = 'http_requests_total' }
window = "30s"

[signals.queue]
source = "app"
value  = "queue_length"

[triggers.service-down]
when     = "web is down for 2m"
severity = "critical"

[triggers.high-error-rate]
when     = "error_rate > 5% for 1m"
severity = "critical"

[triggers.some-errors]
when     = "error_rate > 1% for 90s"
severity = "medium"
approve  = { quorum = 2, within = "15m" }

[triggers.long-queue]
when     = "queue > 100 for 1m"
severity = "low"

[release]
good_after = "1m"

[plans.rollback]
timeout  = "10m"
cooldown = "30m"
budget   = "2 per 24h"
expect   = "10s"
verify   = { require = ["error_rate < 5% for 30s"], within = "5m" }

[[plans.rollback.steps]]
name = "restart"
run  = ["systemctl", "restart", "checkout@{target}.service"]

[[escalation]]
notify = ["slack"]
"#;

/// A service that answers 100 requests between two scrapes.
struct World {
    engine: Engine,
    at: Moment,
    requests: f64,
    errors: f64,
    /// Errors among a hundred requests.
    rate: f64,
    up: bool,
    notices: Vec<Notice>,
    steps: Vec<RanStep>,
}

impl World {
    fn new(policy: &str) -> Self {
        let loaded = backstop::policy::load("checkout.toml", policy);
        let policy = loaded
            .policy
            .unwrap_or_else(|| panic!("{:#?}", loaded.faults));
        let mut world = Self {
            engine: Engine::new(),
            at: Moment::from_millis(1_000_000),
            requests: 1e6,
            errors: 0.0,
            rate: 0.0,
            up: true,
            notices: Vec::new(),
            steps: Vec::new(),
        };
        world.step(Event::Restarted {
            host: "web-1".into(),
        });
        world.step(Event::Revised {
            policy: Arc::new(policy),
            hash: "9f2c41d0".into(),
        });
        world.release("v41");
        world
    }

    fn step(&mut self, event: Event) {
        for command in self.engine.step(self.at, event) {
            match command {
                Command::Tell(notice) => self.notices.push(notice),
                Command::Run(order) => self.steps.push(RanStep {
                    ticket: order.ticket,
                    name: order.name,
                    attempt: order.attempt,
                    ordered: self.at,
                    end: None,
                }),
                Command::Cancel { .. } | Command::Note(_) => {}
            }
        }
    }

    fn release(&mut self, version: &str) {
        self.step(Event::Released {
            service: "checkout".into(),
            version: version.into(),
        });
    }

    fn tick(&mut self) {
        self.at = self.at + Duration::from_secs(5);
        self.requests += 100.0 - self.rate;
        self.errors += self.rate;
        let series = |code: &str, value| Sample {
            series: Arc::new(Series::new(
                "http_requests_total",
                vec![("code".into(), code.into())],
            )),
            value,
        };
        let page = Outcome::Scraped(vec![
            series("200", self.requests),
            series("500", self.errors),
        ]);
        let answer = if self.up {
            Outcome::Probed {
                latency: Duration::from_millis(12),
                fault: None,
            }
        } else {
            Outcome::Failed(Gap::new(GapKind::Refused, "connection refused"))
        };
        for (source, outcome) in [("app", page), ("web", answer)] {
            self.step(Event::Sampled {
                service: "checkout".into(),
                source: source.into(),
                tick: self.at,
                outcome,
            });
        }
        self.step(Event::Ticked {
            service: "checkout".into(),
            tick: self.at,
            wall_ahead_ms: AHEAD,
        });
    }

    fn run(&mut self, time: Duration) {
        for _ in 0..time.as_secs() / 5 {
            self.tick();
        }
    }

    /// v41 becomes good, v42 comes, and its errors begin.
    fn degraded(policy: &str, rate: f64) -> Self {
        let mut world = Self::new(policy);
        world.run(Duration::from_secs(150));
        world.release("v42");
        world.run(Duration::from_secs(60));
        world.rate = rate;
        world
    }

    fn end_step(&mut self, how: HowEnded, output: &str) {
        let step = self.steps.last_mut().expect("a step was ordered");
        let ticket = step.ticket;
        let end = StepEnd {
            how,
            output: Output::said(output),
            took: Duration::from_millis(1240),
        };
        step.end = Some(end.clone());
        self.at = self.at + Duration::from_secs(1);
        self.step(Event::Starting {
            service: "checkout".into(),
            ticket,
            step: 0,
        });
        self.step(Event::Finished {
            service: "checkout".into(),
            ticket,
            step: 0,
            end,
        });
        self.at = Moment::from_millis(self.at.as_millis().next_multiple_of(5000));
    }

    fn status(&self) -> Status {
        Status::new(self.engine.state(), None, None)
    }

    fn text(&self) -> String {
        self.status().text(Style::default())
    }

    fn report(&self) -> String {
        self.report_with(None)
    }

    fn report_with(&self, signals: Option<&Signals>) -> String {
        let service = &self.engine.state().services["checkout"];
        let incident = service.incident.as_ref().or(service.closed.last());
        let incident = incident.expect("there was an incident");
        Report {
            incident,
            notes: None,
            steps: &self.steps,
            signals,
            policy: Some(&service.policy),
            host: "web-1",
            now: self.engine.state().now,
            wall_ahead_ms: AHEAD,
        }
        .markdown()
    }
}

fn ada(name: &str) -> Person {
    Person {
        name: name.into(),
        roles: Vec::new(),
    }
}

#[test]
fn a_report_without_plots_says_why() {
    let mut world = World::degraded(POLICY, 30.0);
    world.run(Duration::from_secs(1200));
    let gone = world.report();
    assert!(
        gone.contains("the journal has no samples of this time any more"),
        "{gone}"
    );
    let none = world.report_with(Some(&Signals::default()));
    assert!(
        none.contains("no signal had a value in this time"),
        "{none}"
    );
}

#[test]
fn a_quiet_service_is_told_in_a_few_lines() {
    let mut world = World::new(POLICY);
    world.run(Duration::from_secs(120));
    insta::assert_snapshot!("status_watching", world.text());
}

#[test]
fn before_the_first_window_is_full_it_says_so() {
    let mut world = World::new(POLICY);
    world.run(Duration::from_secs(20));
    insta::assert_snapshot!("status_blind", world.text());
}

#[test]
fn a_suspicion_shows_how_far_its_hold_is() {
    let mut world = World::degraded(POLICY, 30.0);
    world.run(Duration::from_secs(45));
    let status = world.status();
    let trigger = &status.services[0].triggers[1];
    assert_eq!(trigger.state, "suspecting");
    assert_eq!(trigger.hold.as_deref(), Some("35s of 1m"));
    insta::assert_snapshot!("status_suspecting", world.text());
    insta::assert_json_snapshot!("status_json", status);
}

#[test]
fn a_source_that_is_down_is_named_with_its_reason() {
    let mut world = World::new(POLICY);
    world.run(Duration::from_secs(120));
    world.up = false;
    world.run(Duration::from_secs(60));
    let status = world.status();
    assert_eq!(status.services[0].sources[1].state, "down");
    let finding = status.services[0].triggers[0].finding.as_ref().unwrap();
    assert_eq!(finding.value.as_deref(), Some("down"));
    insta::assert_snapshot!("status_down", world.text());
}

#[test]
fn a_rollback_is_followed_from_order_to_cure() {
    let mut world = World::degraded(POLICY, 30.0);
    world.run(Duration::from_secs(70));
    insta::assert_snapshot!("status_acting", world.text());
    world.end_step(HowEnded::Succeeded, "restarted\n");
    world.rate = 0.0;
    world.release("v41");
    world.run(Duration::from_secs(30));
    insta::assert_snapshot!("status_verifying", world.text());
    world.run(Duration::from_secs(60));
    insta::assert_snapshot!("status_cooling", world.text());
    insta::assert_snapshot!("report_cured", world.report());
    world.run(Duration::from_secs(16 * 60));
    let state = world.engine.state();
    let incident = state.services["checkout"].closed.last().unwrap();
    let view = IncidentView::new(incident, None, state.now, AHEAD);
    insta::assert_snapshot!("incident_cured", view.text(Style::default()));
    let lines = incidents::list(state, None);
    insta::assert_snapshot!("incidents", incidents::list_text(&lines, Style::default()));
    let told: Vec<String> = world
        .notices
        .iter()
        .map(|n| {
            let view = NoticeView::new(n);
            format!("{}\n\n{}\n", view.title, view.text)
        })
        .collect();
    insta::assert_snapshot!("notices_cured", told.join("\n---\n"));
}

#[test]
fn a_failed_rollback_is_reported_with_what_the_step_printed() {
    let mut world = World::degraded(POLICY, 30.0);
    world.run(Duration::from_secs(70));
    world.end_step(
        HowEnded::Exited(1),
        "Job for checkout@v41.service failed.\n```\nSee \"systemctl status\".\n",
    );
    insta::assert_snapshot!("status_escalated", world.text());
    insta::assert_snapshot!("report_failed", world.report());
}

#[test]
fn a_question_shows_who_agreed_and_what_is_left() {
    let mut world = World::degraded(POLICY, 3.0);
    world.run(Duration::from_secs(120));
    world.step(Event::Answered {
        incident: 1,
        by: ada("ada"),
        role: None,
        approve: true,
        reason: "errors are real".into(),
        link: None,
    });
    world.step(Event::Acknowledged {
        incident: 1,
        by: ada("ben"),
        reason: String::new(),
    });
    insta::assert_snapshot!("status_asking", world.text());
}

#[test]
fn what_holds_a_rollback_back_is_shown_with_since_when() {
    let mut world = World::degraded(POLICY, 30.0);
    world.step(Event::Froze {
        service: "checkout".into(),
        freeze: backstop::guard::Freeze {
            emergency: None,
            owner: "ada".into(),
            reason: "migration".into(),
            since: world.at,
            until: Some(world.at + Duration::from_hours(1)),
        },
    });
    world.run(Duration::from_secs(90));
    insta::assert_snapshot!("status_held", world.text());
}

#[test]
fn shadow_says_what_it_would_have_done() {
    let policy = POLICY.replace("\"enforce\"", "\"shadow\"");
    let mut world = World::degraded(&policy, 30.0);
    world.run(Duration::from_secs(90));
    assert!(world.steps.is_empty());
    insta::assert_snapshot!("status_shadow", world.text());
    insta::assert_snapshot!("report_shadow", world.report());
}

#[test]
fn a_refused_policy_and_a_broken_journal_come_first() {
    let mut world = World::new(POLICY);
    world.run(Duration::from_secs(60));
    let agent = AgentStatus {
        version: "0.1.0".into(),
        started: "2026-11-21T08:00:00Z".into(),
        reloaded: "2026-11-21T08:30:00Z".into(),
        refused: vec!["error: unknown key `intervall`\n --> checkout.toml:4:1\n".into()],
        preflight: vec!["checkout: restart: /usr/bin/systemctl may not be executed".into()],
        journal_broken: Some("no space left on device".into()),
        restart: vec!["notifiers".into()],
    };
    let status = Status::new(world.engine.state(), None, Some(agent));
    insta::assert_snapshot!("status_refused", status.text(Style::default()));
}

#[test]
fn every_status_fits_its_terminal_and_colours_only_when_asked() {
    let mut world = World::degraded(POLICY, 30.0);
    for _ in 0..40 {
        world.tick();
        for width in [40, 60, 80, 120] {
            let style = Style {
                width,
                colour: false,
            };
            let text = world.status().text(style);
            assert!(!text.contains('\x1b'));
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            let coloured = world.status().text(Style {
                width,
                colour: true,
            });
            assert!(coloured.contains('\x1b'));
        }
    }
}

#[test]
fn status_as_json_reads_back_as_it_was() {
    let mut world = World::degraded(POLICY, 30.0);
    world.run(Duration::from_secs(70));
    let status = world.status();
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
    let none = Status::new(world.engine.state(), Some("other"), None);
    assert_eq!(none.text(Style::default()), "No service is guarded.\n");
}
