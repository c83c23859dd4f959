//! One step of a run: ordered, awaited, tried again, passed by.
//!
//! `wait` and `check` steps are done here, by the engine's own clock and judge;
//! programs and links are ordered from `act`.

use std::sync::Arc;

use super::desk::Desk;
use super::placeholder::render;
use super::{
    Broken, Command, Fate, NoticeKind, Order, Outcome, Person, Phase, Service, StepState, What,
};
use crate::model::{Short, Step, StepAction, StepEnd};

/// The judge's name for a condition that a step waits for.
pub(super) fn check_key(step: usize) -> String {
    format!("step {step}")
}

impl Service {
    /// Begins the step that the run stands at, skipping those that a broken run
    /// leaves out, or ends the run after the last one.
    pub(super) fn begin_step(&mut self, attempt: u32, desk: &mut Desk<'_>) {
        loop {
            let Phase::Acting(run) = &mut self.phase else {
                return;
            };
            let Some(step) = run.plan.steps.get(run.step).cloned() else {
                self.end_run(desk);
                return;
            };
            // Who wakes late, as after a long stop of the host, begins nothing that
            // there is no time for.
            if run.is_out_of_time(desk.at) {
                run.broken = Some(Broken {
                    outcome: Outcome::TimedOut,
                    reason: run.overrun(),
                });
            }
            if run.broken.is_some() && !step.always {
                run.step += 1;
                let reason = format!("{} was left out: the run is broken", step.name);
                self.note(What::StepSkipped, None, None, &reason, desk);
                continue;
            }
            if let Some(approve) = &step.approve
                && attempt == 0
                && !run.agreed.contains_key(&run.step)
            {
                self.ask_for_step(&step.name, approve, desk);
                return;
            }
            match render(&step.action, &run.values) {
                Ok(Some(action)) => {
                    run.state = StepState::Ordered {
                        attempt,
                        at: desk.at,
                    };
                    let order = Order {
                        service: self.policy.service.clone(),
                        incident: self.incident.as_ref().map_or(0, |i| i.number),
                        ticket: run.ticket,
                        step: run.step,
                        name: step.name,
                        attempt,
                        action,
                        timeout: step.timeout,
                        shadow: false,
                    };
                    desk.order(Command::Run(order));
                    return;
                }
                Ok(None) => {
                    self.begin_own(&step, attempt, desk);
                    return;
                }
                Err(unfilled) => {
                    let reason = format!("{}: {unfilled}", step.name);
                    self.step_failed(&step, &reason, desk);
                }
            }
        }
    }

    /// Begins a step that the engine does itself.
    fn begin_own(&mut self, step: &Step, attempt: u32, desk: &mut Desk<'_>) {
        let policy = Arc::clone(&self.policy);
        let Phase::Acting(run) = &mut self.phase else {
            return;
        };
        let reason = match &step.action {
            StepAction::Wait(time) => {
                run.state = StepState::Waiting {
                    until: desk.at + *time,
                };
                format!("{}: waits {}", step.name, Short(*time))
            }
            StepAction::Check(condition) => {
                run.state = StepState::Checking {
                    attempt,
                    until: desk.at + step.timeout,
                };
                let key = check_key(run.step);
                self.judge.watch(&policy, &key, condition, desk.at);
                format!("{}: {}", step.name, condition.text)
            }
            StepAction::Run(_)
            | StepAction::Systemd { .. }
            | StepAction::Http(_)
            | StepAction::Symlink { .. } => return,
        };
        self.mark(Fate::Begun);
        self.note(What::StepStarted, None, None, &reason, desk);
    }

    /// Writes down how far the step came that the run stands at.
    pub(super) fn mark(&mut self, fate: Fate) {
        let Phase::Acting(run) = &self.phase else {
            return;
        };
        let (ticket, step) = (run.ticket, run.step);
        let runs = self.incident.iter_mut().flat_map(|i| i.runs.iter_mut());
        for record in runs.filter(|r| r.ticket == ticket) {
            if let Some(record) = record.steps.get_mut(step) {
                record.fate = fate;
            }
        }
    }

    /// A program or link is about to start: after a crash its end is unknown.
    pub(crate) fn starting(&mut self, ticket: u64, step: usize, desk: &mut Desk<'_>) {
        let Phase::Acting(run) = &mut self.phase else {
            return;
        };
        let StepState::Ordered { attempt, .. } = run.state else {
            return;
        };
        if run.ticket != ticket || run.step != step {
            return;
        }
        run.state = StepState::Started {
            attempt,
            at: desk.at,
        };
        let reason = run.plan.steps.get(step).map_or_else(String::new, |s| {
            if attempt == 0 {
                s.name.clone()
            } else {
                format!("{} (attempt {})", s.name, attempt + 1)
            }
        });
        self.mark(Fate::Begun);
        self.note(What::StepStarted, None, None, &reason, desk);
    }

    /// A program or link ended.
    pub(crate) fn finished(
        &mut self,
        ticket: u64,
        step: usize,
        end: &StepEnd,
        desk: &mut Desk<'_>,
    ) {
        let current = match &self.phase {
            Phase::Acting(run) if run.ticket == ticket && run.step == step => match run.state {
                StepState::Ordered { attempt, .. } | StepState::Started { attempt, .. } => {
                    run.plan.steps.get(step).cloned().zip(Some(attempt))
                }
                StepState::Waiting { .. } | StepState::Checking { .. } | StepState::Asking(_) => {
                    None
                }
            },
            _ => None,
        };
        let Some((step, attempt)) = current else {
            let reason = format!(
                "step {step} of run {ticket} ended: {}; nobody waits for it",
                end.how
            );
            self.note(What::Refused, None, None, &reason, desk);
            return;
        };
        let said = printed(end);
        let measured = match &step.measures {
            Some(measure) => self.measured(measure, end, desk),
            None => Ok(()),
        };
        if let (true, Err(why)) = (end.how.is_success(), &measured) {
            let reason = format!("{}: {why}", step.name);
            self.step_failed(&step, &reason, desk);
        } else if end.how.is_success() {
            let reason = format!("{}: {} in {}{said}", step.name, end.how, Short(end.took));
            self.step_done(&reason, desk);
        } else {
            let reason = format!("{}: {} after {}{said}", step.name, end.how, Short(end.took));
            if self.may_retry(&step, attempt) {
                let again = format!("{reason}; tried again");
                self.note(What::StepFailed, None, None, &again, desk);
                self.begin_step(attempt + 1, desk);
                return;
            }
            match self.next_target_to_check(&reason, desk) {
                Ok(()) => {
                    self.begin_step(attempt + 1, desk);
                    return;
                }
                Err(reason) => self.step_failed(&step, &reason, desk),
            }
        }
        self.begin_step(0, desk);
    }

    /// What always runs is tried again in a broken run too: it restores what the
    /// run took away.
    fn may_retry(&self, step: &Step, attempt: u32) -> bool {
        attempt < step.retries
            && matches!(&self.phase, Phase::Acting(run) if run.broken.is_none() || step.always)
    }

    fn step_done(&mut self, reason: &str, desk: &mut Desk<'_>) {
        self.mark(Fate::Done);
        if let Phase::Acting(run) = &mut self.phase {
            run.step += 1;
        }
        self.note(What::StepDone, None, None, reason, desk);
        self.tell_about(NoticeKind::StepDone, None, reason, "", "", desk);
    }

    fn step_failed(&mut self, step: &Step, reason: &str, desk: &mut Desk<'_>) {
        self.mark(Fate::Failed);
        if let Phase::Acting(run) = &mut self.phase {
            run.step += 1;
            if !step.continue_on_failure && run.broken.is_none() {
                run.broken = Some(Broken {
                    outcome: Outcome::Failed,
                    reason: reason.to_owned(),
                });
            }
        }
        self.note(What::StepFailed, None, None, reason, desk);
    }

    /// Whether the condition that a step waits for holds at this tick.
    pub(crate) fn check_step(&mut self, desk: &mut Desk<'_>) {
        self.join(desk);
        let Phase::Acting(run) = &self.phase else {
            return;
        };
        if !matches!(run.state, StepState::Checking { .. }) {
            return;
        }
        let key = check_key(run.step);
        if !self.judge.watched(&key).is_some_and(|j| j.hold_met) {
            return;
        }
        let name = run.plan.steps.get(run.step).map_or("", |s| &s.name);
        let reason = format!("{name}: holds");
        self.judge.unwatch(&key);
        self.step_done(&reason, desk);
        self.begin_step(0, desk);
    }

    /// A `wait` is over, or a `check` did not hold in time.
    pub(crate) fn step_due(&mut self, desk: &mut Desk<'_>) {
        let Phase::Acting(run) = &self.phase else {
            return;
        };
        let Some(step) = run.plan.steps.get(run.step).cloned() else {
            return;
        };
        match run.state {
            StepState::Waiting { .. } => {
                let reason = format!("{}: waited", step.name);
                self.step_done(&reason, desk);
            }
            StepState::Checking { attempt, .. } => {
                self.judge.unwatch(&check_key(run.step));
                let reason = format!("{}: did not hold within {}", step.name, Short(step.timeout));
                if self.may_retry(&step, attempt) {
                    self.note(What::StepFailed, None, None, &reason, desk);
                    self.begin_step(attempt + 1, desk);
                    return;
                }
                self.step_failed(&step, &reason, desk);
            }
            StepState::Asking(_) => {
                self.step_unanswered(desk);
                return;
            }
            StepState::Ordered { .. } | StepState::Started { .. } => return,
        }
        self.begin_step(0, desk);
    }

    /// Leaves the step that the run stands at for the next one.
    pub(super) fn pass_by(&mut self, desk: &mut Desk<'_>) {
        if let Phase::Acting(run) = &mut self.phase {
            run.step += 1;
        }
        self.begin_step(0, desk);
    }

    /// People, or the policy's `otherwise`, agreed to the step that is next.
    /// The time that they took is not the plan's.
    pub(crate) fn step_agreed(&mut self, by: Vec<Person>, desk: &mut Desk<'_>) {
        let Phase::Acting(run) = &mut self.phase else {
            return;
        };
        if let StepState::Asking(question) = &run.state {
            run.deadline = run.deadline - question.deadline.since(desk.at);
        }
        run.agreed.insert(run.step, by);
        self.begin_step(0, desk);
    }
}

/// The last line that a step printed, for a note; the whole is in the journal.
fn printed(end: &StepEnd) -> String {
    let text = if end.output.tail.is_empty() {
        &end.output.head
    } else {
        &end.output.tail
    };
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => {
            let line: String = line.trim().chars().take(200).collect();
            format!(": {line}")
        }
        None => String::new(),
    }
}
