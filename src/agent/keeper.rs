//! The loop that judges: it owns the engine and nobody else touches it.
//!
//! Facts come in one at a time, from the samplers, from steps that ended, from
//! people and from the passing of time. Each is stepped, handed to the journal
//! with what it led to, and what it led to is begun. Nothing here waits for a
//! network, a disk or a program: whatever waits is a task of its own, and comes
//! back as a fact.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::AgentError;
use super::clock::Clock;
use super::courier::Letter;
use super::drill::Watch;
use super::input::Input;
use super::metrics::Metrics;
use super::reload::{Catalogue, Shelf};
use super::roster::Roster;
use super::sampler::Batch;
use super::scribe::{Durable, Health, Scribe, Stepped};
use super::settings::{Settings, Written};
use super::stop::{GRACE, Stop, WRITE};
use super::systemd::Manager;
use crate::control::{Refusals, Reloaded, Request};
use crate::guard::{Command, Engine, Event, Notice, Snapshot};
use crate::model::{Config, Moment};
use crate::tell::Outbox;

/// How often the engine's state is written whole, so that a start has little to
/// step again.
const ROLL: Duration = Duration::from_mins(15);

/// How long after a failed one another snapshot is tried.
const ROLL_AGAIN: Duration = Duration::from_secs(30);

/// Without a watchdog, how often it is looked whether all goes on.
const LOOK: Duration = Duration::from_mins(1);

/// How long the journal's thread may sit over one write before that counts as no
/// progress: an fsync of half a minute happens on a busy disk, and a restart
/// would not make it faster.
const DISK: Duration = Duration::from_secs(45);

/// A request for the page of metrics.
pub(super) type Page = oneshot::Sender<String>;

/// Everything that the loop works with.
pub(super) struct Keeper {
    pub(super) engine: Engine,
    pub(super) clock: Clock,
    pub(super) scribe: Scribe,
    pub(super) roster: Roster,
    pub(super) manager: Manager,
    pub(super) metrics: Metrics,
    pub(super) outbox: Arc<Outbox>,
    /// Callers over HTTP that were refused.
    pub(super) refusals: Arc<Refusals>,
    settings: Settings,
    pub(super) letters: mpsc::UnboundedSender<Letter>,
    pub(super) reloads: mpsc::Sender<oneshot::Sender<Reloaded>>,
    /// Where tasks report to.
    pub(super) inputs: mpsc::Sender<Input>,
    /// The state directory, for what is read from the journal.
    pub(super) state: PathBuf,
    /// Tasks that end when they are done.
    pub(super) errands: JoinSet<()>,
    /// Drills that go on, by service: what they look out for.
    pub(super) drills: BTreeMap<String, Watch>,
    /// Who holds which role, and how people are reached.
    pub(super) config: Arc<Config>,
    /// Steps that run, and how to end them.
    pub(super) running: BTreeMap<(u64, usize), oneshot::Sender<()>>,
    /// Steps that are to be ended and have not begun.
    pub(super) cancelled: BTreeSet<(u64, usize)>,
    /// Whether the agent is about to end: no step begins any more.
    pub(super) stopping: bool,
    /// What was found damaged at the start, if anything: a plan that ran before
    /// goes on only after a person's word.
    pub(super) damaged: Option<String>,
    /// Stepped, and not yet handed to the journal.
    steps: Vec<Stepped>,
    waiting: Vec<oneshot::Sender<Durable>>,
    /// The state as it was last asked for, if nothing happened since.
    pub(super) view: Option<Arc<Snapshot>>,
    catalogue: Catalogue,
    pub(super) reloaded: Reloaded,
    pub(super) reloaded_at: Moment,
    pub(super) started: Moment,
    rolling: Option<oneshot::Receiver<Result<(), String>>>,
    rolled: Instant,
    /// Why the journal keeps nothing, why no samples, and how often it broke, as
    /// it was last said.
    ills: (Option<String>, Option<String>, u64),
    /// What the journal's thread had written, and when that last changed or was
    /// all there was.
    written: (u64, Instant),
    /// The watchdog is to be fed as soon as all goes on.
    hungry: bool,
}

/// Where what reaches the loop comes from.
pub(super) struct Sources {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) pages: mpsc::Receiver<Page>,
    pub(super) stop: Stop,
    /// Tasks that never end by themselves while the agent runs, but samplers.
    pub(super) tasks: JoinSet<()>,
}

/// What a keeper is made of.
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) clock: Clock,
    pub(super) scribe: Scribe,
    pub(super) roster: Roster,
    pub(super) manager: Manager,
    pub(super) outbox: Arc<Outbox>,
    /// Callers over HTTP that were refused.
    pub(super) refusals: Arc<Refusals>,
    pub(super) settings: Settings,
    pub(super) letters: mpsc::UnboundedSender<Letter>,
    pub(super) reloads: mpsc::Sender<oneshot::Sender<Reloaded>>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) state: PathBuf,
    pub(super) config: Arc<Config>,
}

impl Keeper {
    pub(super) fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        Self {
            engine: parts.engine,
            clock: parts.clock,
            scribe: parts.scribe,
            roster: parts.roster,
            manager: parts.manager,
            metrics: Metrics::new(),
            outbox: parts.outbox,
            refusals: parts.refusals,
            settings: parts.settings,
            letters: parts.letters,
            reloads: parts.reloads,
            inputs: parts.inputs,
            state: parts.state,
            errands: JoinSet::new(),
            drills: BTreeMap::new(),
            config: parts.config,
            running: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            stopping: false,
            damaged: None,
            steps: Vec::new(),
            waiting: Vec::new(),
            view: None,
            catalogue: Catalogue::default(),
            reloaded: Reloaded::default(),
            reloaded_at: now,
            started: now,
            rolling: None,
            rolled: Instant::now(),
            ills: (None, None, 0),
            written: (0, Instant::now()),
            hungry: false,
        }
    }

    /// Hands notices to the outbox that may not have reached it before the start.
    pub(super) fn tell_again(&self, notices: Vec<Notice>) {
        for notice in notices {
            let _ = self.letters.send((notice, None));
        }
    }

    /// Goes on after a start: says so to the engine, and carries out what it
    /// orders thereupon, unless the record is damaged.
    pub(super) fn resume(&mut self, host: String, damage: Option<String>) {
        self.scribe.anchor(self.clock.anchor());
        self.damaged = damage;
        self.distrust_damage();
        self.step(Event::Restarted { host });
        self.hand_over();
    }

    /// Runs until it is told to stop; ends with everything written down.
    ///
    /// # Errors
    ///
    /// A part of the agent panicked: then the process must end, to be started
    /// anew.
    pub(super) async fn run(mut self, mut sources: Sources) -> Result<(), AgentError> {
        let ended = self.guard(&mut sources).await;
        if ended.is_ok() {
            self.let_steps_end(&mut sources.inputs).await;
            self.roll();
        }
        self.hand_over();
        let scribe = self.scribe;
        let written = tokio::task::spawn_blocking(move || scribe.end());
        if timeout(WRITE, written).await.is_err() {
            tracing::error!("the journal could not be written to its end in time");
        }
        ended
    }

    /// Takes one fact after the other until it is told to stop.
    async fn guard(&mut self, sources: &mut Sources) -> Result<(), AgentError> {
        let mut health = self.scribe.watch();
        let feeding = self.manager.feeding();
        let mut look = Instant::now() + feeding.unwrap_or(LOOK);
        self.manager.status(self.line());
        loop {
            let due = self.until_deadline();
            let next_roll = self.next_roll();
            tokio::select! {
                () = sources.stop.asked() => return Ok(()),
                ended = sources.tasks.join_next(), if !sources.tasks.is_empty() => {
                    whole(ended)?;
                }
                ended = self.errands.join_next(), if !self.errands.is_empty() => {
                    whole(ended)?;
                }
                Some(input) = sources.inputs.recv() => self.take(input, &mut sources.tasks),
                Some(request) = sources.requests.recv() => self.answer(request, &mut sources.tasks),
                Some(page) = sources.pages.recv() => self.page(page),
                Ok(()) = health.changed() => {
                    let now = health.borrow_and_update().clone();
                    self.look_after(&now);
                }
                rolled = ended(&mut self.rolling), if self.rolling.is_some() => {
                    self.rolled(&rolled);
                }
                () = sleep(due.unwrap_or(ROLL)), if due.is_some() => {
                    self.step(Event::Woke);
                }
                () = sleep_until(next_roll) => self.roll(),
                () = sleep_until(look) => {
                    look = Instant::now() + feeding.unwrap_or(LOOK);
                    self.hungry = true;
                    // Programs that steps left running end some day.
                    crate::act::reap_orphans();
                }
            }
            // A removed policy goes when its incident is over. What is read anew is
            // followed there.
            if self.roster.len() != self.engine.state().services.len() {
                self.follow(&mut sources.tasks);
            }
            self.hand_over();
            self.feed()?;
        }
    }

    /// The time until something is due by time alone.
    fn until_deadline(&self) -> Option<Duration> {
        let deadline = self.engine.deadline()?;
        Some(deadline.since(self.clock.now()))
    }

    /// Steps a fact, and begins what it leads to.
    pub(super) fn step(&mut self, event: Event) -> Vec<Command> {
        let at = self.clock.now();
        self.show(at, &event);
        let commands = self.engine.step(at, event.clone());
        self.view = None;
        self.steps.push(Stepped {
            at,
            event,
            commands: commands.clone(),
        });
        for command in &commands {
            self.dispatch(command);
        }
        commands
    }

    /// Says when what was stepped last, and all before it, is durable.
    pub(super) fn durable(&mut self) -> oneshot::Receiver<Durable> {
        let (durable, told) = oneshot::channel();
        self.waiting.push(durable);
        told
    }

    /// Hands what was stepped to the journal.
    fn hand_over(&mut self) {
        if self.steps.is_empty() && self.waiting.is_empty() {
            return;
        }
        let steps = std::mem::take(&mut self.steps);
        let waiting = std::mem::take(&mut self.waiting);
        self.scribe.steps(steps, waiting);
    }

    fn take(&mut self, input: Input, tasks: &mut JoinSet<()>) {
        match input {
            Input::Ticked(batch) => self.ticked(batch),
            Input::Intended { order, durable } => self.intended(order, durable),
            Input::Finished {
                order,
                end,
                not_durable,
            } => self.finished(&order, end, not_durable),
            Input::Rehearsed(rehearsed) => self.rehearsed(*rehearsed),
            Input::Read {
                shelf: found,
                written,
                answers,
            } => {
                Manager::reloading();
                self.read(*found, written.map(|written| *written));
                self.follow(tasks);
                self.roll();
                Manager::ready();
                for answer in answers {
                    let _ = answer.send(self.reloaded.clone());
                }
            }
        }
    }

    fn ticked(&mut self, batch: Batch) {
        let Batch {
            service,
            tick,
            samples,
            released,
            asked,
            late,
        } = batch;
        if let Some(asked) = asked {
            self.metrics.asked(&service, asked.as_ref().err());
        }
        for (source, sampled) in samples {
            self.metrics.sampled(&service, &source, &sampled);
            let service = service.clone();
            self.step(Event::Sampled {
                service,
                source,
                tick,
                outcome: sampled.outcome,
            });
        }
        if let Some(version) = released {
            let service = service.clone();
            self.step(Event::Released { service, version });
        }
        self.step(Event::Ticked {
            service: service.clone(),
            tick,
            wall_ahead_ms: self.clock.wall_ahead_ms(),
        });
        self.metrics.ticked(&service, late);
        self.roster.ticked(&service, self.clock.now());
        if self.manager.is_curious() {
            let line = self.line();
            self.manager.status(line);
        }
    }

    /// Takes over what was read of the policies, and of the agent's config.
    pub(super) fn read(&mut self, found: Shelf, written: Option<Written>) {
        let mut changes = found.against(&mut self.catalogue, &self.engine.state().services);
        if let Some(written) = written {
            self.settings.take(written, &mut changes.report);
        }
        for warning in &changes.warnings {
            tracing::warn!("{}", warning.trim_end());
        }
        for refused in &changes.report.refused {
            tracing::error!("refused; what ran before runs on\n{}", refused.trim_end());
        }
        for problem in &changes.report.preflight {
            tracing::warn!("{problem}");
        }
        for (policy, hash) in changes.revised {
            self.step(Event::Revised { policy, hash });
        }
        for service in changes.removed {
            self.step(Event::Removed { service });
        }
        self.reloaded = changes.report;
        self.reloaded_at = self.clock.now();
    }

    /// A damaged record stops every service, also one that only now is there.
    pub(super) fn distrust_damage(&mut self) {
        if let Some(reason) = self.damaged.clone() {
            self.step(Event::Distrusted { reason });
        }
    }

    /// Samples what is guarded now.
    pub(super) fn follow(&mut self, tasks: &mut JoinSet<()>) {
        self.roster.follow(&self.engine.state().services, tasks);
    }

    /// Feeds the watchdog if it is hungry and all goes on: every service is
    /// judged, and the journal's thread has nothing to do or has done something.
    fn feed(&mut self) -> Result<(), AgentError> {
        if !self.hungry {
            return Ok(());
        }
        if self.scribe.is_dead() {
            return Err(AgentError::Failed("the journal's thread".to_owned()));
        }
        if self.roster.stalled(self.clock.now()).is_some() {
            return Ok(());
        }
        let (handed, written) = self.scribe.progress();
        if written == handed || written != self.written.0 {
            self.written = (written, Instant::now());
        } else if self.written.1.elapsed() > DISK {
            return Ok(());
        }
        self.hungry = false;
        Manager::feed();
        Ok(())
    }

    /// The journal's health changed.
    fn look_after(&mut self, health: &Health) {
        let ills = (
            health.broken.clone(),
            health.samples_lost.clone(),
            health.failures,
        );
        // What goes on being ill loses more with each tick, and is said once.
        if ills == self.ills {
            return;
        }
        // Mended already: what was decided meanwhile may be lost all the same.
        if let (None, Some(why)) = (&health.broken, &health.failure)
            && health.failures > self.ills.2
        {
            tracing::error!(why, "the journal kept nothing: no rollback begins");
            self.distrust(why);
        }
        match (&health.broken, &health.samples_lost) {
            (Some(why), _) => {
                tracing::error!(why, "the journal keeps nothing: no rollback begins");
                self.distrust(why);
            }
            (None, Some(why)) => {
                tracing::error!(why, "samples are not kept: no rollback begins");
            }
            (None, None) => {
                tracing::warn!(lost = health.lost, "the journal is kept again");
            }
        }
        self.ills = ills;
    }

    /// The journal cannot be relied on.
    pub(super) fn distrust(&mut self, why: &str) {
        let reason = format!("the journal could not be written: {why}");
        let known = self.engine.state().services.values();
        if known.clone().all(|s| s.distrust.is_some()) {
            return;
        }
        self.step(Event::Distrusted { reason });
    }

    fn next_roll(&self) -> Instant {
        let wait = if self.rolling.is_none() && self.scribe.health().wants_roll {
            ROLL_AGAIN
        } else {
            ROLL
        };
        self.rolled + wait
    }

    /// Has the state written whole.
    pub(super) fn roll(&mut self) {
        self.hand_over();
        let rolled = self
            .scribe
            .roll(self.engine.snapshot(), self.clock.anchor());
        self.rolling = Some(rolled);
        self.rolled = Instant::now();
    }

    fn rolled(&mut self, rolled: &Result<(), String>) {
        self.rolling = None;
        // Why it failed the journal's thread has said; how the journal is now
        // may be worse for it.
        if rolled.is_err() {
            let health = self.scribe.health();
            self.look_after(&health);
        }
    }

    /// Lets the step that runs end, within its grace. Nothing is judged and
    /// nothing begins any more: the next start orders the next step.
    async fn let_steps_end(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        self.stopping = true;
        Manager::stopping();
        self.manager.status("stopping".to_owned());
        self.roster.dismiss();
        let late = Instant::now() + GRACE;
        while !self.running.is_empty() {
            tracing::info!("waits for the step that runs to end");
            tokio::select! {
                Some(input) = inputs.recv() => match input {
                    Input::Finished { order, end, not_durable } => {
                        self.finished(&order, end, not_durable);
                    }
                    Input::Ticked(_)
                    | Input::Intended { .. }
                    | Input::Rehearsed(_)
                    | Input::Read { .. } => {}
                },
                () = sleep_until(late) => {
                    tracing::warn!(
                        "a step still runs and is left alone; the next start has lost \
                         track of it, unless it is idempotent"
                    );
                    return;
                }
            }
            self.hand_over();
        }
    }
}

/// What a channel in an option says, once there is one.
async fn ended(rolling: &mut Option<oneshot::Receiver<Result<(), String>>>) -> Result<(), String> {
    match rolling {
        Some(rolled) => rolled
            .await
            .unwrap_or_else(|_| Err("the journal's thread has ended".to_owned())),
        None => std::future::pending().await,
    }
}

/// A task that panicked is an error of the agent.
fn whole(ended: Option<Result<(), tokio::task::JoinError>>) -> Result<(), AgentError> {
    match ended {
        Some(Err(error)) => Err(AgentError::Failed(error.to_string())),
        Some(Ok(())) | None => Ok(()),
    }
}
