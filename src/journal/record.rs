//! What the journal holds: one record per sequence number.

use serde::{Deserialize, Serialize};

use crate::guard::{Command, Event};
use crate::model::Moment;

/// One record of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place in the one sequence over both logs; from 1, without holes.
    pub seq: u64,
    /// When it was written down: for an event, its arrival.
    pub at: Moment,
    /// What it says.
    pub body: Body,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A fact that reached the engine.
    Event(Event),
    /// What the engine ordered because of an event. Never empty.
    Commands {
        /// The sequence number of that event.
        cause: u64,
        /// The orders.
        commands: Vec<Command>,
    },
    /// How the agent's clock stood to the clocks of the host.
    Anchor(Anchor),
    /// Records before this one are known to be missing.
    Lost(Lost),
}

/// How the agent's clock stood to the clocks of the host at one instant, so
/// that it can be carried over restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The agent's clock.
    pub moment: Moment,
    /// Identifies the host's boot: `boottime_ms` compares only within one.
    pub boot_id: String,
    /// Milliseconds since that boot, time asleep included.
    pub boottime_ms: u64,
    /// The wall clock: Unix time in milliseconds.
    pub unix_ms: i64,
}

/// A stretch of the sequence of which records may be missing, for a reason that
/// was known when it happened: no space left, a failed write, damage found at a
/// start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The first sequence number that may be missing; the last is the one
    /// before the record that says so.
    pub from: u64,
    /// What happened, for people.
    pub why: String,
}

impl Anchor {
    /// How far the wall clock was ahead of the agent's clock, in milliseconds.
    #[must_use]
    pub fn wall_ahead_ms(&self) -> i64 {
        self.unix_ms.wrapping_sub_unsigned(self.moment.as_millis())
    }
}
