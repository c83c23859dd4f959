//! Reaching people: a durable outbox, and one file per notifier.
//!
//! A decision never waits for a person to be reached. [`Outbox::submit`] writes
//! a notice down and returns; [`Outbox::deliver`] carries it out, each notifier
//! on its own, so that a dead one delays no other. Delivery is at least once:
//! what was accepted is tried until it is delivered, or given up after a day
//! and said so. Deadlines, retries and bounds are in [`Pace`].
//!
//! What is refused here: following redirects (a notice goes where the
//! configuration says), proxies from the environment, shells, and secrets in
//! any log or error.

mod alertmanager;
mod backoff;
mod channel;
mod email;
#[cfg(test)]
mod fixture;
mod github;
#[cfg(test)]
mod hostile;
mod http;
mod lane;
mod ledger;
mod message;
mod outbox;
mod pagerduty;
mod run;
mod slack;
mod template;
mod thread;
mod throttle;
mod trial;
mod webhook;

use crate::secret;

pub use crate::secret::{SecretError, check_secret};
pub use backoff::Pace;
pub use outbox::{Accepted, Clock, Counts, Linker, Outbox, OutboxError};
pub use template::{check_template, preview_template};
pub use trial::try_once;
