//! Carries the engine's orders out.
//!
//! A step runs only after two records are durable: the order, and that it is
//! about to start. In between the engine is asked again whether it still wants
//! it. When a record cannot be made durable the step does not run, and that is
//! its end: the run fails at once and a person hears of it, instead of a plan
//! that hangs until its deadline.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::input::Input;
use super::keeper::Keeper;
use super::scribe::Durable;
use crate::act::{self, OutputLine};
use crate::guard::{Command, Event, Note, Order, Phase, Run, StepState, What};
use crate::journal::Kept;
use crate::model::{HowEnded, Mode, Output, StepEnd};

/// Lines of a step's output that may wait to be logged.
const LINES: usize = 256;

impl Keeper {
    pub(super) fn dispatch(&mut self, command: &Command) {
        match command {
            Command::Run(order) => {
                let durable = self.durable();
                // A run begins only on whole evidence; one that has begun goes on.
                let begins = order.attempt == 0
                    && self
                        .run_of(order)
                        .is_some_and(|run| run.begins_at(order.step));
                let (order, inputs) = (order.clone(), self.inputs.clone());
                self.errands.spawn(async move {
                    let durable = kept(durable.await, begins);
                    let _ = inputs.send(Input::Intended { order, durable }).await;
                });
            }
            Command::Cancel { ticket, step, .. } => {
                let key = (*ticket, *step);
                match self.running.remove(&key) {
                    Some(cancel) => {
                        let _ = cancel.send(());
                    }
                    None => {
                        self.cancelled.insert(key);
                    }
                }
            }
            Command::Tell(notice) => {
                let durable = self.durable();
                // The courier ends with the agent, not before.
                let _ = self.letters.send((notice.clone(), Some(durable)));
            }
            Command::Note(note) => {
                self.metrics.noted(note);
                log(note);
            }
        }
    }

    /// An order is durable, or cannot be made so.
    pub(super) fn intended(&mut self, order: Order, durable: Result<(), String>) {
        if self.stopping || !self.is_wanted(&order) {
            return;
        }
        if self.cancelled.remove(&(order.ticket, order.step)) {
            self.finished(&order, never(HowEnded::Cancelled), None);
            return;
        }
        if let Some(damage) = &self.damaged
            && self.is_distrusted(&order)
        {
            let why = format!("the agent's record is damaged: {damage}");
            self.finished(&order, never(HowEnded::Failed(why)), None);
            return;
        }
        if let Err(why) = durable {
            let end = never(HowEnded::Failed(format!(
                "it was not begun: its order could not be written down: {why}"
            )));
            self.finished(&order, end, Some(why));
            return;
        }
        self.step(Event::Starting {
            service: order.service.clone(),
            ticket: order.ticket,
            step: order.step,
        });
        let durable = self.durable();
        let (cancel, cancelled) = oneshot::channel();
        self.running.insert((order.ticket, order.step), cancel);
        let attempt = act::Order {
            id: format!("{}.{}.{}", order.ticket, order.step, order.attempt),
            action: order.action.clone(),
            timeout: order.timeout,
            grace: act::GRACE,
            shadow: order.shadow || self.is_in_shadow(&order),
        };
        let inputs = self.inputs.clone();
        self.errands.spawn(async move {
            let input = match kept(durable.await, false) {
                Err(why) => Input::Finished {
                    end: never(HowEnded::Failed(format!(
                        "it was not begun: its start could not be written down: {why}"
                    ))),
                    order,
                    not_durable: Some(why),
                },
                Ok(()) => Input::Finished {
                    end: run(&order, &attempt, cancelled).await,
                    order,
                    not_durable: None,
                },
            };
            let _ = inputs.send(input).await;
        });
    }

    /// A step ended, or was not begun.
    pub(super) fn finished(&mut self, order: &Order, end: StepEnd, not_durable: Option<String>) {
        let key = (order.ticket, order.step);
        self.running.remove(&key);
        self.cancelled.remove(&key);
        if let Some(why) = not_durable {
            self.distrust(&why);
        }
        self.step(Event::Finished {
            service: order.service.clone(),
            ticket: order.ticket,
            step: order.step,
            end,
        });
        // That it ended must not be forgotten: it would be run again, or lost.
        drop(self.durable());
    }

    /// Whether the engine still waits for this attempt to begin.
    fn is_wanted(&self, order: &Order) -> bool {
        self.run_of(order).is_some_and(|run| {
            run.step == order.step
                && matches!(run.state, StepState::Ordered { attempt, .. } if attempt == order.attempt)
        })
    }

    /// The run that an order is of, while it goes on.
    fn run_of(&self, order: &Order) -> Option<&Run> {
        let service = self.engine.state().services.get(&order.service)?;
        match &service.phase {
            Phase::Acting(run) if run.ticket == order.ticket => Some(run),
            _ => None,
        }
    }

    /// Whether nobody has said yet that the record of this service is right.
    fn is_distrusted(&self, order: &Order) -> bool {
        let service = self.engine.state().services.get(&order.service);
        service.is_some_and(|s| s.distrust.is_some())
    }

    /// Whether the incident that the step is for is handled in shadow. The guard
    /// orders nothing then; this is asked all the same.
    fn is_in_shadow(&self, order: &Order) -> bool {
        let service = self.engine.state().services.get(&order.service);
        service
            .and_then(|s| s.incident.as_ref())
            .is_none_or(|incident| incident.mode == Mode::Shadow)
    }
}

/// Whether what was asked for is durable, as far as it has to be.
fn kept(durable: Result<Durable, oneshot::error::RecvError>, whole: bool) -> Result<(), String> {
    match durable {
        Ok(Ok(Kept::DecisionsOnly)) if whole => {
            Err("the samples that it rests on are not kept".to_owned())
        }
        Ok(Ok(Kept::Whole | Kept::DecisionsOnly)) => Ok(()),
        Ok(Err(why)) => Err(why),
        Err(_) => Err("the journal's thread has ended".to_owned()),
    }
}

/// The end of a step that never began.
fn never(how: HowEnded) -> StepEnd {
    StepEnd {
        how,
        output: Output::default(),
        took: Duration::ZERO,
    }
}

/// Runs a step and logs what it prints. What it leaves running on purpose is
/// read on until it ends.
async fn run(order: &Order, attempt: &act::Order, cancelled: oneshot::Receiver<()>) -> StepEnd {
    let (lines, printed) = mpsc::channel(LINES);
    tokio::spawn(log_lines(
        order.service.clone(),
        order.name.clone(),
        printed,
    ));
    let cancel = async {
        // An agent that ends is no order to end the step.
        if cancelled.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let ended = act::act(attempt, lines, cancel).await;
    if let Some(rest) = ended.rest {
        tokio::spawn(rest.drained());
    }
    ended.end
}

async fn log_lines(service: String, step: String, mut lines: mpsc::Receiver<OutputLine>) {
    while let Some(line) = lines.recv().await {
        if line.skipped > 0 {
            tracing::warn!(service, step, "{} lines were left out", line.skipped);
        }
        tracing::info!(service, step, "| {}", line.text);
    }
}

/// A note as a line of the log.
fn log(note: &Note) {
    let Note {
        service,
        incident,
        what,
        trigger,
        reason,
        ..
    } = note;
    let (what, trigger) = (what.name(), trigger.as_deref());
    match note.what {
        What::Failed
        | What::TimedOut
        | What::NotCured
        | What::LostTrack
        | What::Escalated
        | What::Distrusted => {
            tracing::error!(service, incident, trigger, what, "{reason}");
        }
        What::Fired
        | What::Blind
        | What::Held
        | What::Opened
        | What::RollingBack
        | What::WouldRollBack
        | What::StepFailed
        | What::Aborted
        | What::Frozen => {
            tracing::warn!(service, incident, trigger, what, "{reason}");
        }
        _ => tracing::info!(service, incident, trigger, what, "{reason}"),
    }
}
