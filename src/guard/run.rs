//! A plan that runs, step by step.
//!
//! The guard orders one step at a time and goes on when its end is known; how it
//! does that is the matter of `step`. A step whose end is unknown after
//! a crash runs again only if it is idempotent; else nothing more is done and a
//! person is called. It never guesses.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checked;
use super::desk::Desk;
use super::placeholder::render;
use super::step::check_key;
use super::{
    Broken, Command, Fate, NoticeKind, Outcome, Person, Phase, Run, RunRecord, Service, StepRecord,
    StepState, What,
};
use crate::judge::SourceHealth;
use crate::model::{Current, Moment, Short, Step, Unchecked};

impl Service {
    /// Decides a rollback and orders its first step. `unchecked` is what follows
    /// when the target fails its check, if the policy has one.
    pub(crate) fn start_run(
        &mut self,
        plan_name: &str,
        target: Option<String>,
        by: Option<Person>,
        unchecked: Unchecked,
        desk: &mut Desk<'_>,
    ) {
        let policy = Arc::clone(&self.policy);
        let Some(plan) = policy.plans.get(plan_name) else {
            return;
        };
        let mut plan = plan.clone();
        let check = policy.release.as_ref().and_then(|r| r.check.clone());
        let check = check.filter(|_| target.is_some());
        let unchecked = check.is_some().then_some(unchecked);
        if let Some(check) = check {
            plan.steps.insert(0, checked::step(check));
        }
        let (number, trigger) = self
            .incident
            .as_ref()
            .map_or((0, String::new()), |i| (i.number, i.trigger.clone()));
        let ticket = desk.ticket();
        let current = self.releases.running.clone();
        let named = [
            ("service", Some(policy.service.clone())),
            ("current", current.clone()),
            ("target", target.clone()),
            ("incident", Some(number.to_string())),
            ("trigger", Some(trigger.clone())),
            ("host", Some(desk.host.to_owned())),
        ];
        let known = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let values: BTreeMap<String, String> = known.collect();
        let were_up = policy
            .sources
            .keys()
            .filter(|name| matches!(self.judge.source_up(name), SourceHealth::Up))
            .cloned()
            .collect();
        let cause = self.cause(&trigger);
        let reason = format!(
            "run {ticket}: plan {plan_name}{}",
            match (&current, &target) {
                (Some(from), Some(to)) => format!(" from release {from} to {to}"),
                (_, Some(to)) => format!(" to release {to}"),
                (_, None) => String::new(),
            }
        );
        self.record(RunRecord {
            ticket,
            incident: number,
            plan: plan_name.to_owned(),
            started: desk.at,
            ended: None,
            from: current,
            to: target,
            ordered_by: by,
            shadow: false,
            goes_back: plan.goes_back,
            outcome: None,
            steps: plan.steps.iter().map(StepRecord::not_run).collect(),
        });
        // A step that cannot be filled in is found before the first one, not
        // after it has drained the traffic.
        let unfilled = plan
            .steps
            .iter()
            .find_map(|step| Some((step, render(&step.action, &values).err()?)));
        let broken = unfilled.map(|(step, why)| Broken {
            outcome: Outcome::Failed,
            reason: format!("{}: {why}", step.name),
        });
        let first = if broken.is_some() {
            plan.steps.len()
        } else {
            0
        };
        self.phase = Phase::Acting(Box::new(Run {
            ticket,
            plan_name: plan_name.to_owned(),
            deadline: desk.at + plan.timeout,
            plan,
            values,
            step: first,
            state: StepState::Ordered {
                attempt: 0,
                at: desk.at,
            },
            broken,
            were_up,
            agreed: BTreeMap::new(),
            unchecked,
            failed_targets: Vec::new(),
        }));
        let named = (!trigger.is_empty()).then_some(trigger.as_str());
        self.note(What::RollingBack, named, cause, &reason, desk);
        let stop = format!("backstop abort {number}");
        self.tell_about(
            NoticeKind::RollingBack,
            named,
            &reason,
            "Afterwards it is verified on fresh samples.",
            &stop,
            desk,
        );
        self.begin_step(0, desk);
    }

    /// A person stopped the run.
    pub(crate) fn aborted(&mut self, by: &Person, reason: &str, desk: &mut Desk<'_>) {
        let when = match &self.phase {
            Phase::Verifying(_) => " before it was verified",
            _ => "",
        };
        let said = match reason {
            "" => format!("{} aborted the rollback{when}", by.name),
            why => format!("{} aborted the rollback{when}: {why}", by.name),
        };
        match &self.phase {
            Phase::Acting(_) => {
                self.note(What::Aborted, None, None, &said, desk);
                self.break_run(Outcome::Aborted, &said, desk);
            }
            // Nothing is left to stop but the agent's own next move.
            Phase::Verifying(_) => {
                self.note(What::Aborted, None, None, &said, desk);
                self.abandon_verification(&said, desk);
            }
            Phase::Watching
            | Phase::Telling
            | Phase::Held
            | Phase::Asking(_)
            | Phase::Cooling { .. }
            | Phase::Escalated { .. } => {
                let refusal = format!("{said}, but no plan runs");
                self.note(What::Refused, None, None, &refusal, desk);
            }
        }
    }

    /// The run will not succeed. A program under way goes on to its end, unless
    /// the whole run is out of time; a `wait` or `check` ends here.
    pub(crate) fn break_run(&mut self, outcome: Outcome, reason: &str, desk: &mut Desk<'_>) {
        let Phase::Acting(run) = &mut self.phase else {
            return;
        };
        if run.broken.is_none() {
            run.broken = Some(Broken {
                outcome,
                reason: reason.to_owned(),
            });
        }
        let (ticket, step) = (run.ticket, run.step);
        match run.state {
            StepState::Ordered { .. } | StepState::Started { .. } => {
                if outcome == Outcome::TimedOut {
                    desk.order(Command::Cancel {
                        service: self.policy.service.clone(),
                        ticket,
                        step,
                    });
                }
            }
            StepState::Waiting { .. } | StepState::Checking { .. } => {
                self.mark(Fate::Failed);
                self.judge.unwatch(&check_key(step));
                self.pass_by(desk);
            }
            StepState::Asking(_) => self.pass_by(desk),
        }
    }

    /// After the last step: evidence starts anew, and fresh samples must show
    /// the cure, or a person is called.
    pub(super) fn end_run(&mut self, desk: &mut Desk<'_>) {
        let Phase::Acting(run) = std::mem::take(&mut self.phase) else {
            return;
        };
        self.close_record(run.ticket, desk.at);
        self.start_evidence_anew(desk);
        if let Some(broken) = run.broken {
            self.set_outcome(run.ticket, broken.outcome, desk.at);
            let what = match broken.outcome {
                Outcome::TimedOut => What::TimedOut,
                Outcome::Aborted => What::Aborted,
                Outcome::LostTrack => What::LostTrack,
                _ => What::Failed,
            };
            let halfway = self.incident.as_ref().and_then(|i| {
                let record = i.runs.iter().find(|r| r.ticket == run.ticket)?;
                Some(record.halfway()).filter(|text| !text.is_empty())
            });
            let reason = match halfway {
                Some(halfway) => format!("{}; {halfway}", broken.reason.trim_end_matches('.')),
                None => broken.reason,
            };
            self.note(what, None, None, &reason, desk);
            self.escalate(broken.outcome, &reason, desk);
            return;
        }
        let target = run.values.get("target").cloned();
        // A release that was left for a drill has done nothing wrong.
        if let (Some(from), Some(_), false) = (run.values.get("current"), &target, self.is_drill())
        {
            self.releases.condemn(from);
        }
        self.begin_verification(*run, desk);
        // Where releases are reported nobody else reports this one.
        let rule = self.policy.release.as_ref();
        if let Some(target) = target
            && rule.is_some_and(|rule| matches!(rule.current, Current::Reported))
        {
            self.released(&target, desk);
        }
    }

    /// The agent started again: what was ordered and not started is ordered
    /// again, what was started and is not idempotent is lost.
    pub(crate) fn restarted(&mut self, desk: &mut Desk<'_>) {
        let name = self.policy.service.clone();
        desk.note(&name, What::Restarted, "the agent started again");
        self.begin_ledger(desk.at);
        let Phase::Acting(run) = &mut self.phase else {
            return;
        };
        let step = run.plan.steps.get(run.step).cloned();
        match run.state {
            StepState::Ordered { attempt, .. } => self.begin_step(attempt, desk),
            StepState::Started { attempt, at } => {
                let Some(step) = step else {
                    return;
                };
                if step.idempotent {
                    let reason = format!(
                        "{}: its end is unknown; it is run again, being idempotent",
                        step.name
                    );
                    self.note(What::StepStarted, None, None, &reason, desk);
                    self.begin_step(attempt, desk);
                } else {
                    self.lose_track(&step, at, desk);
                }
            }
            // Their deadlines and conditions are part of the state.
            StepState::Waiting { .. } | StepState::Checking { .. } | StepState::Asking(_) => {}
        }
    }

    /// Nothing runs after this, not even what always runs: the lost step may
    /// still be running.
    fn lose_track(&mut self, step: &Step, at: Moment, desk: &mut Desk<'_>) {
        let reason = format!(
            "lost track: the agent ended while `{}` ran, {} ago, and it is not marked idempotent; whether it finished is unknown",
            step.name,
            Short(desk.at.since(at))
        );
        if let Phase::Acting(run) = &mut self.phase {
            run.broken = Some(Broken {
                outcome: Outcome::LostTrack,
                reason,
            });
            run.step = run.plan.steps.len();
        }
        self.end_run(desk);
    }

    /// The record of a run gets its end.
    fn close_record(&mut self, ticket: u64, at: Moment) {
        for run in self.records(ticket) {
            run.ended = Some(at);
        }
    }

    /// The record of a run gets its outcome, and the drill that it was.
    pub(crate) fn set_outcome(&mut self, ticket: u64, outcome: Outcome, at: Moment) {
        for run in self.records(ticket) {
            run.outcome = Some(outcome);
        }
        self.executed(ticket, outcome, at);
    }

    pub(super) fn records(&mut self, ticket: u64) -> impl Iterator<Item = &mut RunRecord> {
        let of_incident = self.incident.iter_mut().flat_map(|i| i.runs.iter_mut());
        of_incident
            .chain(self.runs.iter_mut())
            .filter(move |run| run.ticket == ticket)
    }
}
