//! What the API asks of the running agent.
//!
//! The loop that judges owns the engine; everybody else sends it a [`Request`]
//! and awaits the answer. A handle is cheap to clone. Facts that people bring
//! are stepped in the order in which they arrive, between those of the
//! sources, and are durable when the answer comes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::guard::{Command, Event, Incident, Note, Person, Snapshot};
use crate::model::{Moment, Policy};
use crate::view::{DrillPoint, DrillReport, RanStep, Signals};

/// A handle to the running agent.
#[derive(Clone, Debug)]
pub struct Agent {
    requests: mpsc::Sender<Request>,
}

/// One request. Whoever gives it up drops the answer's channel, which is no
/// error to the agent.
#[derive(Debug)]
pub enum Request {
    /// The whole state, as it stands between two facts.
    Snapshot(oneshot::Sender<Arc<Snapshot>>),
    /// Steps a fact and answers with what was ordered because of it, once both
    /// are durable.
    Step {
        /// The fact.
        event: Box<Event>,
        /// Where the orders go.
        answer: oneshot::Sender<Stepped>,
    },
    /// Reads the policies again.
    Reload(oneshot::Sender<Reloaded>),
    /// What the agent knows of itself.
    Diagnosis(oneshot::Sender<Diagnosis>),
    /// Rehearses a plan. The answer comes when its last check is over.
    Drill {
        /// What is rehearsed.
        order: Box<DrillOrder>,
        /// Where each point goes as soon as it is known; whoever has heard enough
        /// drops the other end.
        points: mpsc::UnboundedSender<DrillPoint>,
        /// Where the report goes.
        answer: oneshot::Sender<Result<Box<DrillReport>, NoDrill>>,
    },
    /// What the journal has of an incident.
    Chronicle {
        /// Its number.
        incident: u64,
        /// Whether the samples of its time are wanted too.
        samples: bool,
        /// Where the answer goes: `None` when the journal has nothing of it, or
        /// cannot be read just now.
        answer: oneshot::Sender<Option<Box<Chronicle>>>,
    },
    /// The last closed incidents that the journal has.
    Past {
        /// Which of them.
        wanted: Wanted,
        /// Where the answer goes: the newest first, each with how far the wall
        /// clock was ahead then, in milliseconds.
        answer: oneshot::Sender<Vec<(Incident, i64)>>,
    },
}

/// Which of the closed incidents are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Those with a lower number.
    pub before: u64,
    /// Those of this service; `None` is of all.
    pub service: Option<String>,
    /// Those that were not closed before this.
    pub since: Moment,
    /// At most so many, the newest.
    pub most: usize,
}

impl Wanted {
    /// Whether this one is.
    #[must_use]
    pub fn has(&self, incident: &Incident) -> bool {
        incident.number < self.before
            && self.service.as_ref().is_none_or(|s| *s == incident.service)
            && incident.closed.is_none_or(|closed| closed >= self.since)
    }
}

/// A rehearsal that a person asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillOrder {
    /// The service.
    pub service: String,
    /// Who.
    pub by: Person,
    /// The plan, instead of `rollback`.
    pub plan: Option<String>,
    /// The version to go to, instead of the rule's.
    pub to: Option<String>,
    /// Samples that never were, to be played to a copy of the engine.
    pub scenario: Option<ScenarioText>,
}

/// A scenario as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioText {
    /// The file's name: a test file if it ends in `.toml`, else a recording.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Why there was no rehearsal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoDrill {
    /// Now, or of this plan, there can be none; why.
    Refused(String),
    /// The scenario cannot be read; why.
    Malformed(String),
}

/// What the journal has of an incident.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chronicle {
    /// The incident itself, put together again from its notes: for one that is
    /// so old that the state has it no more. `None` when its opening is not in
    /// the journal any more.
    pub incident: Option<Incident>,
    /// The policy in force when it opened, if the journal still has it.
    pub policy: Option<Arc<Policy>>,
    /// How far the wall clock was ahead then, in milliseconds.
    pub wall_ahead_ms: Option<i64>,
    /// What the samples of its time say, if they were asked for and are there.
    pub signals: Option<Signals>,
    /// All its notes, in order.
    pub notes: Vec<Note>,
    /// The attempts of its steps, in order.
    pub steps: Vec<RanStep>,
}

/// What came of stepping a fact.
#[derive(Clone, Debug)]
pub struct Stepped {
    /// When the fact reached the agent, on its clock.
    pub at: Moment,
    /// What was ordered because of it.
    pub commands: Vec<Command>,
    /// Why fact and orders may be forgotten by a crash, if they may.
    pub not_durable: Option<String>,
}

/// What came of reading the policies and the agent's config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether every file was taken.
    pub successful: bool,
    /// Services whose policy is new or changed.
    pub revised: Vec<String>,
    /// Services that are guarded no more.
    pub removed: Vec<String>,
    /// What is wrong, rendered for people, one text per file. The policies of
    /// these files that ran before run on.
    pub refused: Vec<String>,
    /// Steps that could not be done as things are, in words.
    pub preflight: Vec<String>,
    /// Keys of the agent's config that changed and are in force.
    #[serde(default)]
    pub config: Vec<String>,
    /// Keys of the agent's config that changed and are not: they take a restart.
    #[serde(default)]
    pub restart: Vec<String>,
}

/// What the agent knows of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Diagnosis {
    /// This program's version.
    pub version: String,
    /// The moment now, on the agent's clock.
    pub now: Moment,
    /// How far the wall clock is ahead of it, in milliseconds.
    pub wall_ahead_ms: i64,
    /// When the agent started, on its clock.
    pub started: Moment,
    /// The last reading of the policies.
    pub reloaded: Reloaded,
    /// When that was.
    pub reloaded_at: Moment,
    /// Why the journal keeps nothing, if it does not.
    pub journal_broken: Option<String>,
    /// Why it does not do what it is for, if it does not: a service that is not
    /// judged.
    pub ailing: Option<String>,
}

/// The agent has ended, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Gone;

impl Agent {
    /// Requests that may wait before whoever asks has to.
    const WAITING: usize = 64;

    /// A handle, and where the agent finds what is asked through it.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, waiting) = mpsc::channel(Self::WAITING);
        (Self { requests }, waiting)
    }

    /// The whole state.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Gone> {
        self.ask(Request::Snapshot).await
    }

    /// Steps a fact that a person brings.
    ///
    /// # Errors
    ///
    /// [`Gone`]: then it may have been taken or not.
    pub async fn step(&self, event: Event) -> Result<Stepped, Gone> {
        let event = Box::new(event);
        self.ask(|answer| Request::Step { event, answer }).await
    }

    /// Reads the policies again, and answers when what changed is in force.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub async fn reload(&self) -> Result<Reloaded, Gone> {
        self.ask(Request::Reload).await
    }

    /// What the agent knows of itself.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub async fn diagnosis(&self) -> Result<Diagnosis, Gone> {
        self.ask(Request::Diagnosis).await
    }

    /// What the journal has of an incident, and of the samples of its time;
    /// `None` when that is nothing.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub async fn chronicle(
        &self,
        incident: u64,
        samples: bool,
    ) -> Result<Option<Box<Chronicle>>, Gone> {
        self.ask(|answer| Request::Chronicle {
            incident,
            samples,
            answer,
        })
        .await
    }

    /// Rehearses a plan. Its points come as soon as they are known, in whatever
    /// order; all of them are before the report.
    ///
    /// # Errors
    ///
    /// [`Gone`]. Inside, why there was no rehearsal; then there were no points.
    pub async fn drill(
        &self,
        order: DrillOrder,
        points: mpsc::UnboundedSender<DrillPoint>,
    ) -> Result<Result<Box<DrillReport>, NoDrill>, Gone> {
        let order = Box::new(order);
        self.ask(|answer| Request::Drill {
            order,
            points,
            answer,
        })
        .await
    }

    /// The last closed incidents that the journal has, the newest first, each
    /// with how far the wall clock was ahead then, in milliseconds.
    ///
    /// # Errors
    ///
    /// [`Gone`].
    pub async fn past(&self, wanted: Wanted) -> Result<Vec<(Incident, i64)>, Gone> {
        self.ask(|answer| Request::Past { wanted, answer }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(request(answer))
            .await
            .map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}
