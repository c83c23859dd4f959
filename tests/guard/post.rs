//! A guard at its post: an engine with one service, the moment that it is, and
//! what it has said and ordered so far.
//!
//! What only one module needs it adds in an `impl` for its own [`Hands`]: there
//! it cannot hide what all share, since a second method of a name does not
//! compile. Nothing happens here that no event says.

use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{
    Command, Engine, Event, Incident, Note, Notice, Order, Person, Phase, Push, Service, Snapshot,
    What,
};
use backstop::model::{Gap, GapKind, HowEnded, Moment, Outcome, Output, StepEnd, Word};
use backstop::view::Report;

/// The interval of every policy here.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// What a wall clock is ahead of the agent's: it begins at
/// 2025-11-22T08:43:20Z, as a snapshot can tell.
const WALL_AHEAD_MS: i64 = 1_763_800_000_000;

/// A policy of a service with one probe, with the rest of it.
macro_rules! shop {
    ($rest:literal) => {
        concat!(
            r#"
service  = "shop"
mode     = "enforce"
interval = "5s"

[sources.web]
type       = "probe"
url        = "http://127.0.0.1:8080/health"
fail_after = 1
pass_after = 1
"#,
            $rest
        )
    };
}
pub(crate) use shop;

/// Whoever does what the engine orders.
pub(crate) trait Hands: Default {
    /// Unless a module says otherwise an order lies until a test ends it.
    fn take(post: &mut Post<Self>, order: Order) {
        post.orders.push(order);
    }
}

pub(crate) struct Post<H> {
    pub(crate) engine: Engine,
    pub(crate) at: Moment,
    /// What the next probe of `web` finds.
    pub(crate) up: bool,
    pub(crate) notes: Vec<Note>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) orders: Vec<Order>,
    pub(crate) hands: H,
    /// The service that the policy names.
    name: String,
}

impl<H: Hands> Post<H> {
    /// An agent that has just started, with this policy.
    pub(crate) fn guarding(policy: &str) -> Self {
        let mut post = Self {
            engine: Engine::new(),
            at: Moment::from_millis(1_000_000),
            up: true,
            notes: Vec::new(),
            notices: Vec::new(),
            orders: Vec::new(),
            hands: H::default(),
            name: String::new(),
        };
        post.restart();
        post.revise(policy);
        post
    }

    pub(crate) fn revise(&mut self, policy: &str) {
        let loaded = backstop::policy::load("policy.toml", policy);
        let policy = loaded
            .policy
            .unwrap_or_else(|| panic!("{:#?}", loaded.faults));
        self.name.clone_from(&policy.service);
        self.step(Event::Revised {
            policy: Arc::new(policy),
            hash: "9f2c41d0".into(),
        });
    }

    pub(crate) fn step(&mut self, event: Event) {
        for command in self.engine.step(self.at, event) {
            match command {
                Command::Note(note) => self.notes.push(note),
                Command::Tell(notice) => self.notices.push(notice),
                Command::Run(order) => H::take(self, order),
                Command::Cancel { .. } => {}
            }
        }
    }

    /// The engine goes on from its state, which was written and read.
    pub(crate) fn restore(&mut self) {
        let text = serde_json::to_string(self.engine.state()).unwrap();
        let state: Snapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(&state, self.engine.state());
        self.engine = Engine::restore(state);
    }

    /// The agent goes on from it, and says so.
    pub(crate) fn restart(&mut self) {
        self.restore();
        self.step(Event::Restarted { host: "h".into() });
    }

    // --- time passes --------------------------------------------------------

    pub(crate) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds / TICK.as_secs() {
            self.tick();
        }
    }

    /// A tick of a service with one probe.
    pub(crate) fn tick(&mut self) {
        self.pass();
        self.probe("web", self.up);
        self.ticked();
    }

    /// It is time for the next tick.
    pub(crate) fn pass(&mut self) {
        self.at = self.at + TICK;
    }

    pub(crate) fn probe(&mut self, source: &str, up: bool) {
        let outcome = if up {
            Outcome::Probed {
                latency: Duration::from_millis(12),
                fault: None,
            }
        } else {
            Outcome::Failed(Gap::new(GapKind::Refused, "connection refused"))
        };
        self.sample(source, outcome);
    }

    pub(crate) fn sample(&mut self, source: &str, outcome: Outcome) {
        self.step(Event::Sampled {
            service: self.name.clone(),
            source: source.into(),
            tick: self.at,
            outcome,
        });
    }

    pub(crate) fn ticked(&mut self) {
        self.step(Event::Ticked {
            service: self.name.clone(),
            tick: self.at,
            wall_ahead_ms: WALL_AHEAD_MS,
        });
    }

    // --- what is ordered ----------------------------------------------------

    /// The step that was ordered last begins.
    pub(crate) fn begin(&mut self) -> Order {
        let order = self.orders.last().expect("a step was ordered").clone();
        self.step(Event::Starting {
            service: order.service.clone(),
            ticket: order.ticket,
            step: order.step,
        });
        order
    }

    pub(crate) fn finish(&mut self, order: Order, how: HowEnded, output: Output) {
        self.step(Event::Finished {
            service: order.service,
            ticket: order.ticket,
            step: order.step,
            end: StepEnd {
                how,
                output,
                took: Duration::from_secs(1),
            },
        });
    }

    /// The step that was ordered last begins and ends.
    pub(crate) fn end(&mut self, how: HowEnded) {
        let order = self.begin();
        self.finish(order, how, Output::default());
    }

    // --- what people and programs say ---------------------------------------

    pub(crate) fn deploy(&mut self, version: &str) {
        self.step(Event::Released {
            service: self.name.clone(),
            version: version.into(),
        });
    }

    pub(crate) fn declare(&mut self, version: &str, word: Word, by: Person, reason: &str) {
        self.step(Event::Declared {
            service: self.name.clone(),
            version: version.into(),
            word,
            by,
            reason: reason.into(),
        });
    }

    pub(crate) fn push(&mut self, source: &str, by: Person, push: Push) {
        self.step(Event::Pushed {
            service: self.name.clone(),
            source: source.into(),
            by,
            push,
        });
    }

    pub(crate) fn acknowledge(&mut self, by: Person) {
        self.step(Event::Acknowledged {
            incident: self.engine.state().last_incident,
            by,
            reason: String::new(),
        });
    }

    pub(crate) fn answer(&mut self, by: Person, approve: bool) {
        self.step(Event::Answered {
            incident: self.engine.state().last_incident,
            by,
            role: None,
            approve,
            reason: String::new(),
            link: None,
        });
    }

    /// Somebody says how many orders were lost.
    pub(crate) fn count(&mut self, lost: f64, by: Person, reason: &str) {
        self.step(Event::Counted {
            incident: self.engine.state().last_incident,
            name: "orders".into(),
            value: lost,
            by,
            reason: reason.into(),
        });
    }

    // --- what has come of it ------------------------------------------------

    pub(crate) fn service(&self) -> &Service {
        &self.engine.state().services[&self.name]
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.service().phase
    }

    /// The open incident, else the one that was closed last.
    pub(crate) fn incident(&self) -> &Incident {
        let service = self.service();
        let last = service.incident.as_ref().or(service.closed.last());
        last.expect("there was an incident")
    }

    /// What was noted of this last, if anything was.
    pub(crate) fn noted(&self, what: What) -> Option<&Note> {
        self.notes.iter().rfind(|note| note.what == what)
    }

    pub(crate) fn last(&self, what: What) -> &str {
        &self.noted(what).expect("it was noted").reason
    }

    pub(crate) fn report(&self) -> String {
        Report {
            incident: self.incident(),
            notes: None,
            steps: &[],
            signals: None,
            policy: Some(&self.service().policy),
            host: "h",
            now: self.engine.state().now,
            wall_ahead_ms: WALL_AHEAD_MS,
        }
        .markdown()
    }
}

pub(crate) fn person(name: &str, roles: &[&str]) -> Person {
    Person {
        name: name.into(),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
    }
}
