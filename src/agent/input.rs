//! What reaches the loop that judges, from the tasks around it.

use super::drill::Rehearsed;
use super::reload::Shelf;
use super::sampler::Batch;
use super::settings::Written;
use crate::control::Reloaded;
use crate::guard::Order;
use crate::model::StepEnd;
use tokio::sync::oneshot;

/// One thing that happened around the loop.
#[derive(Debug)]
pub(super) enum Input {
    /// A tick's samples are in.
    Ticked(Batch),
    /// The order of a step is durable, or why it is not.
    Intended {
        order: Order,
        durable: Result<(), String>,
    },
    /// A step ended, or could not be begun.
    Finished {
        order: Order,
        end: StepEnd,
        /// Why the journal kept its start not, if it did not.
        not_durable: Option<String>,
    },
    /// A drill is over, or there was none.
    Rehearsed(Box<Rehearsed>),
    /// The policies were read, and the agent's config if it has one.
    Read {
        shelf: Box<Shelf>,
        written: Option<Box<Written>>,
        answers: Vec<oneshot::Sender<Reloaded>>,
    },
}
