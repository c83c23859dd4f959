//! Samples the sources of one service, tick by tick.
//!
//! Each source is sampled on its own and under its own deadline. What came of a
//! tick is handed to the loop in one piece, once its samples or their timeouts
//! are in, ticks in their order: what is judged live is what a replay of the
//! same samples judges. A source whose earlier sample is still under way is left
//! out, so nothing piles up, and a tick that was slept through is missed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use super::clock::Clock;
use super::input::Input;
use super::release;
use super::schedule::Schedule;
use crate::model::{Current, Gap, GapKind, Moment, Outcome, Policy, Selector, SignalKind, Source};
use crate::sense::{Client, Sampled, Sensor, VersionCommand, selfcheck};

/// What came of one tick of a service.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) service: String,
    pub(super) tick: Moment,
    /// What each source that was due said.
    pub(super) samples: Vec<(String, Sampled)>,
    /// The release that was seen running, when it is another than before.
    pub(super) released: Option<String>,
    /// What came of running the command that says which release runs; `None`
    /// where there is none, or its last run is still under way.
    pub(super) asked: Option<Result<(), Gap>>,
    /// How long after the tick its last sample was in.
    pub(super) late: Duration,
}

/// A source and its sensor, which is away while a sample is under way.
struct Station {
    source: Source,
    selectors: Vec<Selector>,
    sensor: Option<Sensor>,
}

/// A tick whose samples are under way.
struct Round {
    tick: Moment,
    /// Samples not in yet.
    under_way: usize,
    samples: Vec<(String, Sampled)>,
    asked: Option<Result<(), Gap>>,
}

/// What came back. What it said comes with the tick that it is for; it is `None`
/// when it only came to rest.
enum Landed {
    Sensor {
        source: String,
        sensor: Sensor,
        sampled: Option<(Moment, Sampled)>,
    },
    Version {
        command: VersionCommand,
        read: Option<(Moment, Result<String, Gap>)>,
    },
}

/// Samples one service for as long as its policy is there.
pub(super) struct Sampler {
    policies: watch::Receiver<Arc<Policy>>,
    policy: Arc<Policy>,
    client: Client,
    clock: Clock,
    inputs: mpsc::Sender<Input>,
    /// Boxed, because a map keeps room for eleven of them.
    stations: BTreeMap<String, Box<Station>>,
    schedule: Schedule,
    /// The tick whose samples begin next, and those of them that have not.
    tick: Moment,
    todo: VecDeque<(Duration, String)>,
    rounds: VecDeque<Round>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    running: Option<String>,
    /// The command that says which release runs; away while it does.
    question: Option<Question>,
    version: Option<VersionCommand>,
    /// What it said last, and why it did not the last time.
    said: Option<String>,
    unsaid: Option<Gap>,
}

impl Sampler {
    pub(super) fn new(
        mut policies: watch::Receiver<Arc<Policy>>,
        client: Client,
        clock: Clock,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let policy = Arc::clone(&policies.borrow_and_update());
        let schedule = Schedule::new(&policy);
        let mut sampler = Self {
            tick: Moment::ZERO,
            todo: VecDeque::new(),
            rounds: VecDeque::new(),
            flights: FuturesUnordered::new(),
            stations: BTreeMap::new(),
            running: None,
            question: None,
            version: None,
            said: None,
            unsaid: None,
            policies,
            policy,
            client,
            clock,
            inputs,
            schedule,
        };
        sampler.build();
        sampler.open(sampler.schedule.first_after(sampler.clock.now()));
        sampler
    }

    /// Runs until the policy is removed or the agent stops.
    pub(super) async fn run(mut self) {
        loop {
            let wait = self.until_next();
            tokio::select! {
                biased;
                changed = self.policies.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.revise();
                }
                Some(landed) = self.flights.next(), if !self.flights.is_empty() => {
                    self.landed(landed);
                }
                () = tokio::time::sleep(wait) => self.begin(),
            }
            if !self.hand_over().await {
                return;
            }
        }
    }

    /// The time until the next sample begins.
    fn until_next(&self) -> Duration {
        let offset = self.todo.front().map_or(Duration::ZERO, |(o, _)| *o);
        (self.tick + offset).since(self.clock.now())
    }

    /// Makes a tick the next one.
    fn open(&mut self, tick: Moment) {
        self.tick = tick;
        self.todo = self
            .schedule
            .due(tick)
            .map(|(offset, name)| (offset, name.to_owned()))
            .collect();
    }

    /// Begins the samples that are due now.
    fn begin(&mut self) {
        let now = self.clock.now();
        let began = self.rounds.back().is_some_and(|r| r.tick == self.tick);
        if now < self.tick {
            return;
        }
        if !began {
            if self.schedule.is_missed(self.tick, now) {
                self.open(self.schedule.next(self.tick, now));
                return;
            }
            self.rounds.push_back(Round {
                tick: self.tick,
                under_way: 0,
                samples: Vec::new(),
                asked: None,
            });
            self.ask();
        }
        while let Some((offset, _)) = self.todo.front() {
            if self.tick + *offset > now {
                return;
            }
            if let Some((_, name)) = self.todo.pop_front() {
                self.sample(name);
            }
        }
        self.open(self.schedule.next(self.tick, now));
    }

    fn sample(&mut self, name: String) {
        let Some(mut sensor) = self.stations.get_mut(&name).and_then(|s| s.sensor.take()) else {
            tracing::debug!(
                service = self.policy.service,
                source = name,
                "left out: its earlier sample is still under way"
            );
            return;
        };
        let tick = self.tick;
        if let Some(round) = self.rounds.back_mut() {
            round.under_way += 1;
        }
        self.flights.push(Box::pin(async move {
            let sampled = sensor.sample().await;
            Landed::Sensor {
                source: name,
                sensor,
                sampled: Some((tick, sampled)),
            }
        }));
    }

    /// Runs the command that says which release runs, if it is not under way.
    fn ask(&mut self) {
        let Some(mut command) = self.version.take() else {
            return;
        };
        let tick = self.tick;
        if let Some(round) = self.rounds.back_mut() {
            round.under_way += 1;
        }
        self.flights.push(Box::pin(async move {
            let read = command.read().await;
            Landed::Version {
                command,
                read: Some((tick, read)),
            }
        }));
    }

    fn landed(&mut self, landed: Landed) {
        match landed {
            Landed::Sensor {
                source,
                sensor,
                sampled,
            } => self.sensed(source, sensor, sampled),
            Landed::Version { command, read } => self.told(command, read),
        }
    }

    fn sensed(&mut self, source: String, mut sensor: Sensor, sampled: Option<(Moment, Sampled)>) {
        if let Some((tick, sampled)) = sampled
            && let Some(round) = self.rounds.iter_mut().find(|r| r.tick == tick)
        {
            round.under_way -= 1;
            round.samples.push((source.clone(), sampled));
        }
        if sensor.is_unsettled() {
            // It stays away until what it started is gone; nobody waits for it.
            self.flights.push(Box::pin(async move {
                sensor.settle().await;
                Landed::Sensor {
                    source,
                    sensor,
                    sampled: None,
                }
            }));
        } else if let Some(station) = self.stations.get_mut(&source) {
            // A sensor of a source that changed meanwhile has been replaced.
            station.sensor.get_or_insert(sensor);
        }
    }

    /// The command said which release runs, or why it does not.
    fn told(&mut self, mut command: VersionCommand, read: Option<(Moment, Result<String, Gap>)>) {
        let is_current = (self.question.as_ref()).is_some_and(|q| q.is_asked_by(&command));
        if let Some((tick, read)) = read {
            let read = read.map(|version| {
                if is_current {
                    self.said = Some(version);
                }
            });
            let unsaid = read.as_ref().err();
            if is_current && self.unsaid.as_ref() != unsaid {
                let service = &self.policy.service;
                if let Some(gap) = unsaid {
                    tracing::warn!(service, "the running release cannot be asked for: {gap}");
                } else {
                    tracing::info!(service, "the running release is known again");
                }
                self.unsaid = unsaid.cloned();
            }
            if let Some(round) = self.rounds.iter_mut().find(|r| r.tick == tick) {
                round.under_way -= 1;
                round.asked = Some(read);
            }
        }
        if command.is_unsettled() {
            self.flights.push(Box::pin(async move {
                command.settle().await;
                Landed::Version {
                    command,
                    read: None,
                }
            }));
        } else if is_current {
            self.version.get_or_insert(command);
        }
    }

    /// Hands the ticks over that are complete, the oldest first. Returns whether
    /// there is still somebody to hand them to.
    async fn hand_over(&mut self) -> bool {
        loop {
            let complete = self
                .rounds
                .front()
                .is_some_and(|r| r.under_way == 0 && (r.tick != self.tick));
            if !complete {
                return true;
            }
            let Some(mut round) = self.rounds.pop_front() else {
                return true;
            };
            own_fault(&mut round.samples).await;
            round.samples.sort_by(|a, b| a.0.cmp(&b.0));
            let batch = Batch {
                service: self.policy.service.clone(),
                tick: round.tick,
                samples: round.samples,
                released: self.released(),
                asked: round.asked,
                late: self.clock.now().since(round.tick),
            };
            if self.inputs.send(Input::Ticked(batch)).await.is_err() {
                return false;
            }
        }
    }

    fn released(&mut self) -> Option<String> {
        let version = match &self.policy.release.as_ref()?.current {
            Current::Run(_) => self.said.clone()?,
            current => release::running(current)?,
        };
        if self.running.as_ref() == Some(&version) {
            return None;
        }
        self.running = Some(version.clone());
        Some(version)
    }

    /// Takes a changed policy over. What is under way for a source that did not
    /// change goes on.
    fn revise(&mut self) {
        let policy = Arc::clone(&self.policies.borrow_and_update());
        let before = std::mem::replace(&mut self.policy, policy);
        let now_from = self.policy.release.as_ref().map(|r| &r.current);
        if before.release.as_ref().map(|r| &r.current) != now_from {
            self.running = None;
            self.said = None;
            self.unsaid = None;
        }
        self.build();
        let schedule = Schedule::new(&self.policy);
        if schedule != self.schedule {
            self.schedule = schedule;
            // The round under way is complete with what has begun of it.
            self.open(self.schedule.first_after(self.clock.now()));
        }
    }

    /// Sensors for the policy's sources: kept where nothing changed, since they
    /// know their series and hold their connections.
    fn build(&mut self) {
        let policy = Arc::clone(&self.policy);
        let question = Question::of(&policy);
        if question != self.question {
            self.version = question.as_ref().map(Question::command);
            self.question = question;
        }
        self.stations
            .retain(|name, _| policy.sources.contains_key(name));
        for (name, source) in policy.sources.iter().filter(|(_, s)| !s.kind.is_told()) {
            let selectors = selectors(&policy, name);
            if let Some(station) = self.stations.get_mut(name)
                && station.source == *source
            {
                if station.selectors == selectors {
                    continue;
                }
                if let Some(sensor) = &mut station.sensor {
                    sensor.select(selectors.clone());
                    station.selectors = selectors;
                    continue;
                }
            }
            let sensor = match Sensor::new(name, source, selectors.clone(), &self.client) {
                Ok(sensor) => Some(sensor),
                Err(error) => {
                    // Checked policies do not get here, but for certificates.
                    tracing::error!(
                        service = policy.service,
                        source = name,
                        error = &error as &dyn std::error::Error,
                        "cannot be sampled"
                    );
                    None
                }
            };
            let station = Station {
                source: source.clone(),
                selectors,
                sensor,
            };
            self.stations.insert(name.clone(), Box::new(station));
        }
    }
}

/// A command that is asked which release runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    argv: Vec<String>,
    timeout: Duration,
}

impl Question {
    /// The one of a policy. A tick waits for its answer as for its samples: it
    /// has the policy's interval, and 10 s at most.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let Current::Run(argv) = &policy.release.as_ref()?.current else {
            return None;
        };
        Some(Self {
            argv: argv.clone(),
            timeout: policy.interval.min(Duration::from_secs(10)),
        })
    }

    pub(super) fn command(&self) -> VersionCommand {
        VersionCommand::new(&self.argv, self.timeout)
    }

    fn is_asked_by(&self, command: &VersionCommand) -> bool {
        command.argv() == self.argv && command.timeout() == self.timeout
    }
}

/// When every source failed at once, the fault may be this host's. Then the
/// agent judges blind.
async fn own_fault(samples: &mut [(String, Sampled)]) {
    let all_failed = samples
        .iter()
        .all(|(_, s)| s.outcome.gap().is_some_and(|gap| !gap.is_blindness()));
    if samples.is_empty() || !all_failed {
        return;
    }
    if let Err(why) = selfcheck().await {
        tracing::error!(why, "the agent's own host does not work: it judges blind");
        for (_, sampled) in samples {
            sampled.outcome = Outcome::Failed(Gap::new(GapKind::Own, why.clone()));
        }
    }
}

/// What the policy reads of a source's page.
pub(super) fn selectors(policy: &Policy, source: &str) -> Vec<Selector> {
    let is_page = policy
        .sources
        .get(source)
        .is_some_and(|s| s.kind.has_exposition());
    if !is_page {
        return Vec::new();
    }
    let mut selectors = Vec::new();
    let mut add = |selector: &Selector| {
        if !selectors.contains(selector) {
            selectors.push(selector.clone());
        }
    };
    for signal in policy.signals.values().filter(|s| s.source == source) {
        match &signal.kind {
            SignalKind::Ratio { of, to } => {
                add(of);
                add(to);
            }
            SignalKind::Rate(of)
            | SignalKind::Increase(of)
            | SignalKind::Histogram { buckets: of, .. }
            | SignalKind::Value { of, .. }
            | SignalKind::Age { of } => add(of),
            SignalKind::Query { .. }
            | SignalKind::Latency { .. }
            | SignalKind::Count(_)
            | SignalKind::Flag { .. } => {}
        }
    }
    if let Some(rule) = &policy.release
        && let Current::Metric {
            metric,
            source: carrier,
            ..
        } = &rule.current
        && carrier == source
    {
        add(metric);
    }
    selectors
}
