//! The check of a target: a step of its own before the plan's first, and what
//! follows when it fails.
//!
//! An image that was removed from its registry is found before the traffic is
//! drained. The policy may say `otherwise = "next"`: then the next best target
//! is checked, a few of them, in the same run and within its deadline. A release
//! that a person named is never exchanged for another.

use std::sync::Arc;
use std::time::Duration;

use super::desk::Desk;
use super::placeholder::render;
use super::{NoticeKind, Phase, Service, What};
use crate::model::{Step, StepAction, Unchecked};

/// The deadline of one check.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Most targets that are checked in a run: when these are all gone, something
/// else is the matter.
const MOST: usize = 5;

/// The check as a step: it changes nothing, so it may be run again.
pub(super) fn step(argv: Vec<String>) -> Step {
    Step {
        name: "check the target".to_owned(),
        action: StepAction::Run(argv),
        timeout: TIMEOUT,
        retries: 0,
        continue_on_failure: false,
        always: false,
        idempotent: true,
        approve: None,
        measures: None,
    }
}

impl Service {
    /// What follows when a target of the rule fails its check.
    pub(super) fn unchecked(&self) -> Unchecked {
        let rule = self.policy.release.as_ref();
        rule.map_or(Unchecked::Escalate, |rule| rule.unchecked)
    }

    /// The step that the run stands at failed: if it is the check of its target,
    /// another target may take that one's place.
    ///
    /// # Errors
    ///
    /// There is none; then the step has failed, for this reason.
    pub(super) fn next_target_to_check(
        &mut self,
        why: &str,
        desk: &mut Desk<'_>,
    ) -> Result<(), String> {
        let policy = Arc::clone(&self.policy);
        let running = self.releases.running.clone();
        let Phase::Acting(run) = &mut self.phase else {
            return Err(why.to_owned());
        };
        let checks = run.step == 0 && run.unchecked == Some(Unchecked::Next);
        let (Some(target), Some(rule)) = (run.values.get("target").cloned(), &policy.release)
        else {
            return Err(why.to_owned());
        };
        if !checks || run.broken.is_some() || run.values.get("current") != running.as_ref() {
            return Err(why.to_owned());
        }
        run.failed_targets.push(target.clone());
        let all = || {
            let failed = run.failed_targets.join(", ");
            format!("no target passed its check ({failed}): {why}")
        };
        if run.failed_targets.len() >= MOST {
            return Err(all());
        }
        let fits = |version: &&str| {
            let mut values = run.values.clone();
            values.insert("target".to_owned(), (*version).to_owned());
            let mut actions = run.plan.steps.iter().map(|step| &step.action);
            actions.all(|action| render(action, &values).is_ok())
        };
        let mut others = self.releases.candidates(rule).into_iter();
        let next = others
            .find(|version| !run.failed_targets.iter().any(|f| f == version) && fits(version))
            .ok_or_else(all)?
            .to_owned();
        run.values.insert("target".to_owned(), next.clone());
        let ticket = run.ticket;
        for record in self.records(ticket) {
            record.to = Some(next.clone());
        }
        let reason = format!("{why}; release {target} is not gone back to, {next} is checked");
        self.note(What::StepFailed, None, None, &reason, desk);
        let from = running.map_or_else(String::new, |from| format!(" from release {from}"));
        let reason =
            format!("run {ticket}: now{from} to {next}: release {target} did not pass its check");
        let (number, trigger) = self
            .incident
            .as_ref()
            .map_or((0, None), |i| (i.number, Some(i.trigger.clone())));
        let trigger = trigger.filter(|trigger| !trigger.is_empty());
        self.tell_about(
            NoticeKind::RollingBack,
            trigger.as_deref(),
            &reason,
            "Afterwards it is verified on fresh samples.",
            &format!("backstop abort {number}"),
            desk,
        );
        Ok(())
    }
}
