//! Runs one step of a plan: a program, a job of systemd, a request, or the
//! swap of a link.
//!
//! The guard decides, the agent makes the intent durable, and only then is this
//! room asked. It does what the [`Order`] says once, in bounded time and
//! memory, and answers with a [`StepEnd`] whatever happens: there is no error
//! to forget. Retrying, going on and giving up are the guard's business.
//!
//! What it refuses: to run anything in shadow (the guard has decided so
//! already; this is the second lock on that door), to pass a line to a shell,
//! to hand the agent's own environment on, and to leave anything behind that it
//! had to end.

mod http;
mod preflight;
mod ready;
mod run;
mod symlink;
mod systemd;

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;

pub use preflight::preflight;
pub use ready::ready;

use crate::model::{Action, HowEnded, Output, StepEnd};
pub use crate::process::{GRACE, OutputLine, Problem, Rest, reap_orphans};

/// One attempt of one step.
#[derive(Clone, Debug)]
pub struct Order {
    /// Names the attempt among all that this agent makes, such as
    /// `17.2.1` for ticket, step and attempt. It marks the processes of the
    /// step (`BACKSTOP_STEP` in their environment) and its temporary files.
    pub id: String,
    /// What to do, every placeholder filled in.
    pub action: Action,
    /// From now until it is ended.
    pub timeout: Duration,
    /// From SIGTERM to SIGKILL; [`GRACE`] but in tests.
    pub grace: Duration,
    /// Whether the policy or the trigger is in shadow. Then nothing is done.
    pub shadow: bool,
}

/// What [`act`] hands back.
#[derive(Debug)]
pub struct Ended {
    /// How the attempt ended.
    pub end: StepEnd,
    /// What is still printing into the step's output: a program that the step
    /// started and left running on purpose. Await [`Rest::drained`] in a task
    /// of its own; dropping it ends that program by SIGPIPE at its next line.
    pub rest: Option<Rest>,
}

/// Does what `order` says, and answers when it is done: at the latest `timeout`
/// plus twice `grace` and a few seconds from now, even if a process sits in the
/// kernel and cannot be killed.
///
/// Each line that is printed goes to `lines` at once. A receiver that is slow
/// holds the step up for a second in all; after that, lines it has no room for
/// are left out and counted. When `cancel` completes, the step is ended as at
/// its timeout; if it had completed before, nothing is started. Dropping the
/// future instead leaves the program running.
pub async fn act(
    order: &Order,
    lines: mpsc::Sender<OutputLine>,
    cancel: impl Future<Output = ()>,
) -> Ended {
    let began = tokio::time::Instant::now();
    let mut cancel = std::pin::pin!(cancel);
    let cancelled_before = tokio::select! {
        biased;
        () = &mut cancel => true,
        () = std::future::ready(()) => false,
    };
    let (how, output, rest) = match &order.action {
        _ if order.shadow => {
            tracing::error!(step = order.id, "a step was ordered in shadow; refused");
            (HowEnded::Refused, Output::default(), None)
        }
        _ if cancelled_before => (HowEnded::Cancelled, Output::default(), None),
        Action::Run { argv, env } => run::run(order, argv, env, lines, cancel).await,
        Action::Systemd { unit, action } => {
            systemd::step(order, unit, *action, lines, cancel).await
        }
        Action::Http(request) => {
            let (how, output) = http::step(order, request, cancel).await;
            (how, output, None)
        }
        Action::Symlink { link, to } => {
            let (how, output) = symlink::step(order, link, to, cancel).await;
            (how, output, None)
        }
    };
    let took = began.elapsed();
    Ended {
        end: StepEnd { how, output, took },
        rest,
    }
}
