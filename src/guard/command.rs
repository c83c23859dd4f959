//! What the engine wants done: bare verbs. Each refusal is a note with its
//! reason; silence is never the explanation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Note, Notice};
use crate::model::Action;

/// One order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Run a step, once its intent is durable. Never made in shadow.
    Run(Order),
    /// End a running step: its answer is no longer waited for.
    Cancel {
        /// The service.
        service: String,
        /// The run.
        ticket: u64,
        /// The step's index.
        step: usize,
    },
    /// Tell people.
    Tell(Notice),
    /// Write down what was decided, or not, and why.
    Note(Note),
}

/// A step to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The service.
    pub service: String,
    /// The incident.
    pub incident: u64,
    /// The run: rises by one with each rollback, over all services.
    pub ticket: u64,
    /// The step's index in the plan.
    pub step: usize,
    /// What people call it.
    pub name: String,
    /// From 0; a retry has the next.
    pub attempt: u32,
    /// What to do, every placeholder filled in.
    pub action: Action,
    /// The deadline of this attempt.
    pub timeout: Duration,
    /// Always false. `act` looks at it again: two checks of the thing that must
    /// not happen.
    pub shadow: bool,
}
