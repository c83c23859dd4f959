//! The world that a seed makes up: a service with releases, its traffic and
//! faults, people, a flaky agent. It knows nothing of the engine's rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{Alert, Drill, Event, Freeze, Order, Override, Person, Push, Statement};
use backstop::model::{
    Action, Gap, GapKind, HowEnded, Moment, Outcome, Output, Sample, Series, StepEnd, Word,
};

use crate::policies::SERVICE;
use crate::rng::Rng;

/// Upper bounds of the latency histogram, in seconds.
const BOUNDS: [&str; 4] = ["0.1", "0.5", "2", "+Inf"];

pub(crate) struct World {
    pub(crate) tick: u64,
    ok: f64,
    failed: f64,
    buckets: [f64; 4],
    series: Vec<Arc<Series>>,
    /// Versions deployed so far: `v1`, `v2`, …
    pub(crate) last_version: u64,
    pub(crate) running: u64,
    bad_from: u64,
    /// What is broken now, and until which tick.
    fault: Fault,
    until: u64,
    /// A program that runs: the order, and whether its start was recorded.
    pub(crate) working: Option<Working>,
    /// Versions whose change the agent has not seen yet.
    pub(crate) told: u64,
    /// The version that a rolling deployment replaces, and until which tick some
    /// of its processes run.
    rolling: Option<(u64, u64)>,
    pub(crate) chaos: bool,
}

#[derive(Clone)]
pub(crate) struct Working {
    pub(crate) order: Order,
    pub(crate) started: bool,
    pub(crate) ends: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Some errors, whatever the release.
    Errors(u64),
    Slow,
    Down,
    /// Nothing can be sampled.
    Unseen,
    /// No traffic.
    Quiet,
    Queue,
}

impl World {
    pub(crate) fn new() -> Self {
        let named = |name: &str, label: (&str, &str)| {
            Arc::new(Series::new(
                name,
                vec![(label.0.to_owned(), label.1.to_owned())],
            ))
        };
        let mut series = vec![
            named("http_requests_total", ("code", "200")),
            named("http_requests_total", ("code", "503")),
        ];
        for bound in BOUNDS {
            series.push(named("http_request_duration_seconds_bucket", ("le", bound)));
        }
        series.push(Arc::new(Series::new("queue_length", Vec::new())));
        Self {
            tick: 200_000,
            ok: 1e6,
            failed: 1e3,
            buckets: [9e5, 1e6, 1e6, 1e6],
            series,
            last_version: 1,
            running: 1,
            bad_from: u64::MAX,
            fault: Fault::None,
            until: 0,
            working: None,
            told: 0,
            rolling: None,
            chaos: true,
        }
    }

    /// The nominal moment of the current tick.
    pub(crate) fn at(&self) -> Moment {
        Moment::from_millis(self.tick * 5000)
    }

    /// Time passes: traffic, faults, deployments.
    pub(crate) fn go_on(&mut self, rng: &mut Rng) {
        self.tick += 1;
        if self.tick >= self.until || !self.chaos {
            self.until = self.tick + 5 + rng.below(80);
            self.fault = match rng.below(12) {
                _ if !self.chaos => Fault::None,
                0 => Fault::Errors(rng.below(100)),
                1 => Fault::Slow,
                2 => Fault::Down,
                3 => Fault::Unseen,
                4 => Fault::Quiet,
                5 => Fault::Queue,
                _ => Fault::None,
            };
            if !self.chaos {
                self.bad_from = u64::MAX;
            }
        }
        if self.chaos && rng.one_in(90) {
            self.last_version += 1;
            let before = self.running;
            self.rolling = rng.one_in(2).then(|| (before, self.tick + rng.below(30)));
            self.running = self.last_version;
            self.bad_from = if rng.one_in(2) {
                self.running
            } else {
                u64::MAX
            };
        }
        let bad = self.running >= self.bad_from;
        let traffic = match self.fault {
            Fault::Quiet => 0.0,
            _ => (rng.below(200) + 20) as f64,
        };
        let errors = match self.fault {
            Fault::Errors(percent) => (traffic * percent as f64 / 100.0).floor(),
            _ if bad => (traffic * 0.4).floor(),
            _ => f64::from(u8::from(rng.one_in(30))),
        };
        self.failed += errors;
        self.ok += (traffic - errors).max(0.0);
        let slow = if self.fault == Fault::Slow {
            traffic * 0.5
        } else {
            0.0
        };
        let counts = [traffic - slow, traffic - slow, traffic, traffic];
        for (bucket, count) in self.buckets.iter_mut().zip(counts) {
            *bucket += count.floor();
        }
        if self.chaos && rng.one_in(200) {
            // The process restarted.
            self.ok = 0.0;
            self.failed = 0.0;
            self.buckets = [0.0; 4];
        }
    }

    /// A page; with `versions`, one on which the processes say what they run.
    pub(crate) fn scrape(&self, versions: bool, rng: &mut Rng) -> Outcome {
        match self.fault {
            Fault::Down => return failed(GapKind::Refused),
            Fault::Unseen => return failed(GapKind::TimedOut),
            _ => {}
        }
        if self.chaos && rng.one_in(40) {
            return failed(*rng.pick(&[
                GapKind::TimedOut,
                GapKind::Malformed,
                GapKind::NoRoute,
                GapKind::Own,
                GapKind::Unknown,
            ]));
        }
        let queue = if self.fault == Fault::Queue {
            900.0
        } else {
            3.0
        };
        let mut values = vec![self.ok, self.failed];
        values.extend(self.buckets);
        values.push(queue);
        let mut samples: Vec<Sample> = self
            .series
            .iter()
            .zip(values)
            .map(|(series, value)| Sample {
                series: Arc::clone(series),
                value,
            })
            .collect();
        if self.chaos && rng.one_in(60) {
            let i = usize::try_from(rng.below(samples.len() as u64)).unwrap();
            match rng.below(4) {
                0 => samples[i].value = f64::NAN,
                1 => samples[i].value = f64::INFINITY,
                2 => samples[i].value = -5.0,
                _ => {
                    samples.remove(i);
                }
            }
        }
        if versions {
            self.processes(&mut samples, rng);
        }
        Outcome::Scraped(samples)
    }

    /// Three processes, of which a page may show one alone.
    fn processes(&self, samples: &mut Vec<Sample>, rng: &mut Rng) {
        let old = self.rolling.filter(|(_, until)| self.tick < *until);
        let alone = (self.chaos && rng.one_in(4)).then(|| rng.below(3));
        for pod in (0..3).filter(|pod| alone.is_none_or(|alone| alone == *pod)) {
            let version = match old {
                Some((old, until)) if pod < (until - self.tick).div_ceil(10) => old,
                _ => self.running,
            };
            let labels = [
                ("pod", format!("{pod}")),
                ("version", format!("v{version}")),
            ];
            let labels = labels.map(|(name, value)| (name.to_owned(), value));
            samples.push(Sample {
                series: Arc::new(Series::new("app_build_info", labels.to_vec())),
                value: 1.0,
            });
        }
    }

    /// What a server of queries answers: numbers, some of them, or nothing that
    /// says anything of the service.
    pub(crate) fn answers(&self, rng: &mut Rng) -> Outcome {
        if self.fault == Fault::Unseen || (self.chaos && rng.one_in(40)) {
            return failed(*rng.pick(&[GapKind::Unknown, GapKind::Refused, GapKind::Malformed]));
        }
        let lag = if self.fault == Fault::Queue {
            90.0
        } else {
            2.0
        };
        let share = if self.fault == Fault::Slow { 0.4 } else { 0.01 };
        let (mut samples, mut faults) = (Vec::new(), BTreeMap::new());
        for (signal, value) in [("lag", lag), ("share", share)] {
            match rng.below(30) {
                0 if self.chaos => {}
                1 if self.chaos => {
                    let gap = Gap::new(GapKind::Other, "3 series, where one is expected");
                    faults.insert(signal.to_owned(), gap);
                }
                n => samples.push(Sample {
                    series: Arc::new(Series::new(
                        "backstop_query",
                        vec![("signal".to_owned(), signal.to_owned())],
                    )),
                    value: if n == 2 && self.chaos {
                        f64::NAN
                    } else {
                        value
                    },
                }),
            }
        }
        Outcome::Answered { samples, faults }
    }

    pub(crate) fn probe(&self, rng: &mut Rng) -> Outcome {
        match self.fault {
            Fault::Down => failed(GapKind::Refused),
            Fault::Unseen => failed(GapKind::NoRoute),
            _ => Outcome::Probed {
                latency: Duration::from_millis(5 + rng.below(50)),
                fault: (self.chaos && rng.one_in(30))
                    .then(|| Gap::new(GapKind::Status, "status 503")),
            },
        }
    }

    /// A program was ordered.
    pub(crate) fn work(&mut self, order: Order, rng: &mut Rng) {
        let ends = self.tick + rng.below(6);
        self.working = Some(Working {
            order,
            started: false,
            ends,
        });
    }

    /// What comes of the program that runs, when it is over.
    pub(crate) fn worked(&mut self, rng: &mut Rng) -> Option<Event> {
        let working = self.working.as_ref()?;
        if working.ends > self.tick {
            return None;
        }
        let working = self.working.take()?;
        let how = match rng.below(12) {
            _ if !self.chaos => HowEnded::Succeeded,
            0 => HowEnded::Exited(1),
            1 => HowEnded::TimedOut,
            _ => HowEnded::Succeeded,
        };
        if how.is_success()
            && let Action::Symlink { to, .. } = &working.order.action
            && let Some(version) = to.strip_prefix("/srv/releases/v")
        {
            self.running = version.parse().unwrap();
            self.rolling = None;
        }
        Some(finished(&working.order, how))
    }
}

pub(crate) fn finished(order: &Order, how: HowEnded) -> Event {
    Event::Finished {
        service: order.service.clone(),
        ticket: order.ticket,
        step: order.step,
        end: StepEnd {
            how,
            // What a query takes for a count.
            output: Output::said("120"),
            took: Duration::from_secs(1),
        },
    }
}

fn failed(kind: GapKind) -> Outcome {
    Outcome::Failed(Gap::new(kind, kind.name()))
}

/// People: some hold roles, one holds none.
pub(crate) fn person(rng: &mut Rng) -> Person {
    let (name, roles): (&str, &[&str]) = *rng.pick(&[
        ("alice", &["lead"][..]),
        ("bob", &["sre", "lead"]),
        ("carol", &["sre"]),
        ("mallory", &[]),
    ]);
    Person {
        name: name.to_owned(),
        roles: roles.iter().map(|&r| r.to_owned()).collect(),
    }
}

/// Something that a person does, sensible or not.
pub(crate) fn meddle(world: &World, incident: u64, at: Moment, rng: &mut Rng) -> Event {
    let by = person(rng);
    let reason = "because".to_owned();
    let incident = incident.saturating_sub(rng.below(2));
    match rng.below(18) {
        0..=3 => Event::Answered {
            incident,
            by,
            role: rng.one_in(4).then(|| "lead".to_owned()),
            approve: !rng.one_in(4),
            reason,
            link: rng.one_in(3).then(|| u32::from(!rng.one_in(4))),
        },
        4 => Event::Acknowledged {
            incident,
            by,
            reason,
        },
        5 => Event::Ordered {
            service: SERVICE.to_owned(),
            by,
            reason,
            to: rng
                .one_in(2)
                .then(|| format!("v{}", 1 + rng.below(world.last_version))),
            plan: None,
            drill: rng.one_in(3),
        },
        6 => Event::Aborted {
            incident,
            by,
            reason,
        },
        7 => Event::Froze {
            service: SERVICE.to_owned(),
            freeze: Freeze {
                emergency: rng.one_in(3).then(|| Override {
                    authorised_by: "carol".to_owned(),
                    risk: "some".to_owned(),
                    plan: "look".to_owned(),
                }),
                owner: by.name,
                reason,
                since: at,
                until: Some(at + Duration::from_secs(rng.below(900))),
            },
        },
        8 | 9 => Event::Declared {
            service: SERVICE.to_owned(),
            version: format!("v{}", 1 + rng.below(world.last_version + 1)),
            word: *rng.pick(&[
                Word::Good,
                Word::Good,
                Word::Good,
                Word::Good,
                Word::Bad,
                Word::Unproven,
                Word::Irreversible,
                Word::Reversible,
                Word::Reversible,
                Word::Reversible,
            ]),
            by,
            reason,
        },
        10..=14 => Event::Pushed {
            service: SERVICE.to_owned(),
            source: (*rng.pick(&["people", "people", "people", "alerts", "web"])).to_owned(),
            by,
            push: said(rng),
        },
        17 => Event::Drilled {
            service: SERVICE.to_owned(),
            drill: Drill {
                by,
                plan: "rollback".to_owned(),
                began: at,
                took: Duration::from_secs(rng.below(90)),
                incident: None,
                points: rng.below(20),
                failed: (0..rng.below(30)).map(|n| format!("step {n}")).collect(),
            },
        },
        16 => Event::Counted {
            incident,
            name: "orders".to_owned(),
            value: *rng.pick(&[0.0, 7.0, 500.0, -1.0, f64::NAN]),
            by,
            reason,
        },
        _ => Event::Unfroze {
            service: SERVICE.to_owned(),
            by,
            reason,
        },
    }
}

/// Whoever said that there is a breach takes it back, and what alerts have set is
/// cleared, as when the message that resolves them was lost.
pub(crate) fn taken_back() -> [Event; 2] {
    [("people", "breach"), ("alerts", "exposed")].map(|(source, name)| Event::Pushed {
        service: SERVICE.to_owned(),
        source: source.to_owned(),
        by: Person {
            name: "alice".to_owned(),
            roles: vec!["lead".to_owned()],
        },
        push: Push::Said {
            name: name.to_owned(),
            what: Statement::Clear,
            reason: "it is over".to_owned(),
        },
    })
}

/// Something that somebody tells a source, sensible or not.
fn said(rng: &mut Rng) -> Push {
    if rng.one_in(4) {
        let alert = |rng: &mut Rng| Alert {
            fingerprint: format!("{}", rng.below(3)),
            labels: vec![(
                "severity".to_owned(),
                (*rng.pick(&["page", "info"])).to_owned(),
            )],
            firing: rng.one_in(2),
            starts_ms: rng.below(4).cast_signed(),
        };
        return Push::Alerts {
            alerts: (0..rng.below(4)).map(|_| alert(rng)).collect(),
            truncated: rng.below(2),
        };
    }
    Push::Said {
        name: (*rng.pick(&["breach", "breach", "tickets", "exposed", "nothing"])).to_owned(),
        what: *rng.pick(&[
            Statement::Set,
            Statement::Set,
            Statement::Clear,
            Statement::Events(2),
            Statement::Is(0.5),
        ]),
        reason: "because".to_owned(),
    }
}
