//! The laws of the judge, on a small world: one page, one probe, a tick of 5 s.

mod earliest;
mod evidence;
#[expect(clippy::float_cmp, reason = "whole counts are exact")]
mod firing;
mod naive;
mod regressions;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{
    By, Expect, Finding, GapKind, Mode, Over, Response, Sample, Selector, Series, Severity, Signal,
    SignalKind, Source, SourceKind, Tls, Trigger, Unit, Verdict,
};

const TICK: Duration = Duration::from_secs(5);

/// The wall clock's lead in all worlds, so that nothing rests on it being 0.
const AHEAD_MS: i64 = 86_400_000;

pub(super) fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub(super) fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

pub(super) fn series(name: &str, labels: &[(&str, &str)]) -> Arc<Series> {
    let labels = labels
        .iter()
        .map(|&(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    Arc::new(Series::new(name, labels))
}

fn source(kind: SourceKind) -> Source {
    Source {
        kind,
        interval: TICK,
        timeout: secs(2),
        fail_after: 3,
        pass_after: 2,
    }
}

fn signal(source: &str, window: u64, unit: Unit, kind: SignalKind) -> Signal {
    Signal {
        source: source.to_owned(),
        kind,
        window: secs(window),
        unit,
    }
}

/// A policy of these triggers on the world's signals.
#[expect(clippy::too_many_lines, reason = "a table of signals")]
pub(super) fn policy(triggers: &[(&str, &str)]) -> Policy {
    let gauge = |over| SignalKind::Value {
        of: selector("temp"),
        by: By::Max,
        over,
    };
    let signals = [
        (
            "error_rate",
            signal(
                "app",
                60,
                Unit::Ratio,
                SignalKind::Ratio {
                    of: selector(r#"req{code="500"}"#),
                    to: selector("req"),
                },
            ),
        ),
        (
            "rps",
            signal(
                "app",
                60,
                Unit::PerSecond,
                SignalKind::Rate(selector("req")),
            ),
        ),
        (
            "total",
            signal(
                "app",
                60,
                Unit::Plain,
                SignalKind::Increase(selector("req")),
            ),
        ),
        (
            "p90",
            signal(
                "app",
                60,
                Unit::Seconds,
                SignalKind::Histogram {
                    q: 0.9,
                    buckets: selector("took_bucket"),
                },
            ),
        ),
        (
            "probe_p90",
            signal("web", 60, Unit::Seconds, SignalKind::Latency { q: 0.9 }),
        ),
        ("temp", signal("app", 60, Unit::Plain, gauge(Over::Last))),
        ("temp_avg", signal("app", 60, Unit::Plain, gauge(Over::Avg))),
        ("temp_max", signal("app", 60, Unit::Plain, gauge(Over::Max))),
        (
            "backup_age",
            signal(
                "app",
                60,
                Unit::Seconds,
                SignalKind::Age {
                    of: selector("backup_time"),
                },
            ),
        ),
    ];
    let scrape = SourceKind::Scrape {
        url: "http://127.0.0.1:1/metrics".to_owned(),
        headers: BTreeMap::new(),
        max_body: 1 << 20,
        tls: Tls::default(),
    };
    let probe = SourceKind::Probe {
        url: "http://127.0.0.1:1/".to_owned(),
        method: "GET".to_owned(),
        headers: BTreeMap::new(),
        body: None,
        expect: Expect::default(),
        tls: Tls::default(),
    };
    let mut policy = Policy {
        service: "shop".to_owned(),
        mode: Mode::Shadow,
        interval: TICK,
        sources: [("app", source(scrape)), ("web", source(probe))]
            .map(|(name, source)| (name.to_owned(), source))
            .into(),
        signals: signals
            .map(|(name, signal)| (name.to_owned(), signal))
            .into(),
        triggers: Vec::new(),
        release: None,
        plans: BTreeMap::new(),
        escalation: Vec::new(),
    };
    policy.triggers = triggers
        .iter()
        .map(|&(name, when)| {
            let when = condition(&policy, when);
            Trigger {
                name: name.to_owned(),
                severity: Severity::High,
                response: Response::Alert,
                plan: "rollback".to_owned(),
                mode: Mode::Shadow,
                min_events: 20,
                confidence: 0.95,
                coverage: 0.8,
                max_gap: (when.hold.span() / 5).max(secs(20)),
                clear_for: secs(120),
                blind_after: secs(300),
                promote: None,
                when,
            }
        })
        .collect();
    policy
}

pub(super) fn condition(policy: &Policy, text: &str) -> Condition {
    let signals = policy
        .signals
        .iter()
        .map(|(name, signal)| (name.clone(), signal.unit))
        .collect();
    let sources = policy.sources.keys().map(|n| (n.clone(), true)).collect();
    let scope = grammar::Scope {
        signals: &signals,
        sources: &sources,
    };
    grammar::parse(text, &scope).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

/// A judge under a policy, with the page it scrapes.
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) judge: Judge,
    pub(super) now: Moment,
    /// The page, by series; counters are added to.
    pub(super) page: BTreeMap<Arc<Series>, f64>,
    /// What became of the triggers: `45 high fired`, in seconds since the start.
    pub(super) story: Vec<String>,
    start: Moment,
}

impl World {
    pub(super) fn new(triggers: &[(&str, &str)]) -> Self {
        let policy = policy(triggers);
        let start = Moment::from_millis(1_000_000_000);
        Self {
            judge: Judge::new(&policy),
            policy,
            now: start,
            page: BTreeMap::new(),
            story: Vec::new(),
            start,
        }
    }

    pub(super) fn add(&mut self, name: &str, labels: &[(&str, &str)], n: f64) {
        *self.page.entry(series(name, labels)).or_insert(0.0) += n;
    }

    pub(super) fn set(&mut self, name: &str, value: f64) {
        self.page.insert(series(name, &[]), value);
    }

    /// Requests of which some fail.
    pub(super) fn serve(&mut self, good: f64, bad: f64) {
        self.add("req", &[("code", "200")], good);
        if bad > 0.0 {
            self.add("req", &[("code", "500")], bad);
        }
    }

    pub(super) fn scraped(&mut self) {
        let samples = self
            .page
            .iter()
            .map(|(series, value)| Sample {
                series: Arc::clone(series),
                value: *value,
            })
            .collect();
        self.sampled("app", &Outcome::Scraped(samples));
    }

    pub(super) fn failed(&mut self, source: &str, kind: GapKind) {
        self.sampled(source, &Outcome::Failed(Gap::new(kind, kind.name())));
    }

    pub(super) fn probed(&mut self, ms: u64) {
        let latency = Duration::from_millis(ms);
        self.sampled(
            "web",
            &Outcome::Probed {
                latency,
                fault: None,
            },
        );
    }

    pub(super) fn sampled(&mut self, source: &str, outcome: &Outcome) {
        self.judge.sampled(&self.policy, source, self.now, outcome);
    }

    pub(super) fn judged(&mut self) {
        for turn in self.judge.judge(&self.policy, self.now, AHEAD_MS) {
            let at = self.now.since(self.start).as_secs();
            let what = serde_json::to_value(turn.what).unwrap();
            let what = what.as_str().unwrap();
            self.story.push(format!("{at} {} {what}", turn.trigger));
        }
    }

    /// The next tick: a scrape, and its judgement.
    pub(super) fn tick(&mut self) {
        self.now = self.now + TICK;
        self.scraped();
        self.judged();
    }

    /// So many ticks, each with this traffic before.
    pub(super) fn run(&mut self, ticks: u32, good: f64, bad: f64) {
        for _ in 0..ticks {
            self.serve(good, bad);
            self.tick();
        }
    }

    /// Time passes and nothing is sampled or judged.
    pub(super) fn sleep(&mut self, seconds: u64) {
        self.now = self.now + secs(seconds);
    }

    pub(super) fn read(&self, signal: &str) -> Result<f64, NoReading> {
        let (_, said) = self
            .judge
            .signals()
            .find(|(name, _)| *name == signal)
            .unwrap();
        match said.map_err(Clone::clone)?.value {
            Value::Exactly(x) => Ok(x),
            Value::AboveTop(top) => Err(NoReading::AboveTop(top)),
        }
    }

    pub(super) fn stands(&self, trigger: &str) -> &Judgement {
        self.judge.trigger(trigger).unwrap()
    }
}
