//! A service as the benches guard it: a policy, and what its one source says at
//! each tick. Each route has a counter of good and one of failed requests, and
//! the signal of a route is the share of the failed ones.

// Each bench is a crate of its own and uses what it needs.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{Engine, Event};
use backstop::model::{Moment, Outcome, Policy, Sample, Series};

/// Between two ticks.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// What is guarded.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) service: String,
    /// Signals; twice as many series.
    pub(crate) routes: usize,
    /// Spread over the signals, each with a limit of its own.
    pub(crate) triggers: usize,
    /// The window of each signal, such as `1m`.
    pub(crate) window: &'static str,
    /// How long a breach is held until it fires.
    pub(crate) hold: &'static str,
    /// Failed ones of a hundred requests; 5 is the lowest limit.
    pub(crate) failed: f64,
}

impl Guarded {
    /// A healthy service with a trigger for each route.
    pub(crate) fn healthy(routes: usize) -> Self {
        Self {
            service: "shop".to_owned(),
            routes,
            triggers: routes,
            window: "1m",
            hold: "10m",
            failed: 1.0,
        }
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        let loaded = backstop::policy::load("bench.toml", &self.policy_text());
        assert!(loaded.faults.is_empty(), "{:?}", loaded.faults);
        Arc::new(loaded.policy.expect("a policy"))
    }

    pub(crate) fn policy_text(&self) -> String {
        let Self {
            service,
            routes,
            triggers,
            window,
            hold,
            ..
        } = self;
        let mut text = format!(
            "service = \"{service}\"\ninterval = \"5s\"\n\
             [sources.app]\ntype = \"scrape\"\nurl = \"http://127.0.0.1:9/metrics\"\n"
        );
        for route in 0..*routes {
            let _ = write!(
                text,
                "[signals.failures_{route}]\nsource = \"app\"\nwindow = \"{window}\"\n\
                 ratio = {{ of = 'http_requests_total{{route=\"r{route}\",code=~\"5..\"}}', \
                 to = 'http_requests_total{{route=\"r{route}\"}}' }}\n"
            );
        }
        for trigger in 0..*triggers {
            let (route, limit) = (trigger % routes, 5 + trigger / routes);
            let _ = write!(
                text,
                "[triggers.failing-{trigger}]\nseverity = \"low\"\n\
                 when = \"failures_{route} > {limit}% for {hold}\"\n"
            );
        }
        text
    }

    pub(crate) fn revised(&self) -> Event {
        Event::Revised {
            policy: self.policy(),
            hash: String::new(),
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let series = (0..self.routes)
            .flat_map(|route| [(route, "200"), (route, "500")])
            .map(|(route, code)| {
                let labels = vec![
                    ("route".to_owned(), format!("r{route}")),
                    ("code".to_owned(), code.to_owned()),
                ];
                Arc::new(Series::new("http_requests_total", labels))
            })
            .collect();
        Traffic {
            service: self.service.clone(),
            failed: self.failed,
            series,
            // A moment as the agent's clock has it: Unix time when it began.
            tick: Moment::from_millis(1_790_000_000_000),
            ticks: 0,
        }
    }

    /// An engine that has judged so many ticks, and the traffic after them.
    pub(crate) fn after(&self, ticks: u32) -> (Engine, Traffic) {
        let (mut engine, mut traffic) = (Engine::new(), self.traffic());
        engine.step(traffic.tick, self.revised());
        for _ in 0..ticks {
            let tick = traffic.next();
            tick.step(&mut engine);
        }
        (engine, traffic)
    }
}

/// What a service says, tick by tick: each route has a hundred requests in
/// each.
pub(crate) struct Traffic {
    service: String,
    failed: f64,
    pub(crate) series: Vec<Arc<Series>>,
    pub(crate) tick: Moment,
    ticks: u32,
}

/// The facts of one tick.
pub(crate) struct Tick {
    pub(crate) at: Moment,
    pub(crate) sampled: Event,
    pub(crate) ticked: Event,
}

impl Traffic {
    /// The value of a series now.
    pub(crate) fn value(&self, index: usize) -> f64 {
        let each = if index.is_multiple_of(2) {
            100.0 - self.failed
        } else {
            self.failed
        };
        f64::from(self.ticks) * each
    }

    pub(crate) fn next(&mut self) -> Tick {
        self.tick = self.tick + INTERVAL;
        self.ticks += 1;
        let samples = self
            .series
            .iter()
            .enumerate()
            .map(|(index, series)| Sample {
                series: Arc::clone(series),
                value: self.value(index),
            })
            .collect();
        Tick {
            at: self.tick,
            sampled: Event::Sampled {
                service: self.service.clone(),
                source: "app".to_owned(),
                tick: self.tick,
                outcome: Outcome::Scraped(samples),
            },
            ticked: Event::Ticked {
                service: self.service.clone(),
                tick: self.tick,
                wall_ahead_ms: 0,
            },
        }
    }
}

impl Tick {
    /// Both facts; returns how many commands they led to.
    pub(crate) fn step(self, engine: &mut Engine) -> usize {
        let sampled = engine.step(self.at, self.sampled).len();
        sampled + engine.step(self.at, self.ticked).len()
    }
}
