//! Facts that reach the engine, in the past tense.
//!
//! They carry raw samples, so the journal of events is enough to judge history
//! again under another policy. Everything that can fail has already failed
//! outside and become a fact here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Drill, Push};
use crate::model::{Moment, Outcome, Policy, StepEnd, Word};

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A source was sampled for a tick.
    Sampled {
        /// The service.
        service: String,
        /// The source.
        source: String,
        /// The nominal tick that the sample is stamped with.
        tick: Moment,
        /// What came of it.
        outcome: Outcome,
    },
    /// A service's tick is complete: its samples or their timeouts are in.
    Ticked {
        /// The service.
        service: String,
        /// The nominal tick; judged once, and only forward.
        tick: Moment,
        /// How far the wall clock is ahead of the agent's clock: Unix
        /// milliseconds now minus the moment now.
        wall_ahead_ms: i64,
    },
    /// A release was seen running, or reported.
    Released {
        /// The service.
        service: String,
        /// The version that runs now.
        version: String,
    },
    /// A person said what a release is.
    Declared {
        /// The service.
        service: String,
        /// The release.
        version: String,
        /// What it is.
        word: Word,
        /// Who.
        by: Person,
        /// Why; never empty.
        reason: String,
    },
    /// A step is about to start: recorded, durable, before the program is.
    Starting {
        /// The service.
        service: String,
        /// The run.
        ticket: u64,
        /// The step's index.
        step: usize,
    },
    /// A step ended.
    Finished {
        /// The service.
        service: String,
        /// The run.
        ticket: u64,
        /// The step's index.
        step: usize,
        /// How.
        end: StepEnd,
    },
    /// A person answered an incident's question.
    Answered {
        /// The incident.
        incident: u64,
        /// Who, as the socket or the link says.
        by: Person,
        /// The role claimed with `--as`; must be among those held.
        role: Option<String>,
        /// Yes or no.
        approve: bool,
        /// In the person's words; may be empty.
        reason: String,
        /// The number of the question that it answers, and no other, when a
        /// link was followed; on the socket it is whichever is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<u32>,
    },
    /// A person counted what was lost in an incident, open or closed.
    Counted {
        /// The incident.
        incident: u64,
        /// What was counted.
        name: String,
        /// How much; finite, not negative.
        value: f64,
        /// Who.
        by: Person,
        /// Where that comes from; never empty.
        reason: String,
    },
    /// A person acknowledged an incident.
    Acknowledged {
        /// The incident.
        incident: u64,
        /// Who.
        by: Person,
        /// In the person's words; may be empty.
        reason: String,
    },
    /// A person ordered a rollback.
    Ordered {
        /// The service.
        service: String,
        /// Who.
        by: Person,
        /// Why; never empty.
        reason: String,
        /// The version to go to, instead of the rule's.
        to: Option<String>,
        /// The plan, instead of `rollback`.
        plan: Option<String>,
        /// It is a drill: the plan is really run, and no release is to blame.
        #[serde(default)]
        drill: bool,
    },
    /// A plan was rehearsed: nothing of it was run but what only looks.
    Drilled {
        /// The service.
        service: String,
        /// What came of it.
        drill: Drill,
    },
    /// A person stopped a running rollback.
    Aborted {
        /// The incident.
        incident: u64,
        /// Who.
        by: Person,
        /// In the person's words; may be empty.
        reason: String,
    },
    /// Acting was frozen.
    Froze {
        /// The service.
        service: String,
        /// The lease.
        freeze: Freeze,
    },
    /// A freeze was lifted.
    Unfroze {
        /// The service.
        service: String,
        /// Who.
        by: Person,
        /// In the person's words; may be empty.
        reason: String,
    },
    /// A source that listens was told something.
    Pushed {
        /// The service.
        service: String,
        /// The source.
        source: String,
        /// Who, as the socket or the token says.
        by: Person,
        /// What.
        push: Push,
    },
    /// A policy was loaded or changed.
    Revised {
        /// The whole policy.
        policy: Arc<Policy>,
        /// Identifies the file's content: what decisions rest on.
        hash: String,
    },
    /// A policy was removed: its service is guarded no more.
    Removed {
        /// The service.
        service: String,
    },
    /// The agent started again over recorded state.
    Restarted {
        /// The name of this host, for `{host}`.
        host: String,
    },
    /// The journal could not be read whole, or could not be written: nothing
    /// acts until a person says so with `unfreeze`.
    Distrusted {
        /// What was found.
        reason: String,
    },
    /// Nothing happened but the passing of time: a deadline was reached.
    Woke,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The Unix user's name, or its number where it has none. What counts as
    /// one person.
    pub name: String,
    /// The roles that the agent's configuration gives to that user.
    pub roles: Vec<String>,
}

/// A lease that stops Backstop from acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Who holds it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub since: Moment,
    /// When it ends by itself; `None` only for the agent's own, over a damaged
    /// journal.
    pub until: Option<Moment>,
    /// What is on record of an emergency override; a plain freeze has none.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Override>,
}

/// Why the guard may be bypassed for a critical fix. All in people's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Who authorised it.
    pub authorised_by: String,
    /// What may go wrong meanwhile.
    pub risk: String,
    /// How it is validated afterwards.
    pub plan: String,
}
