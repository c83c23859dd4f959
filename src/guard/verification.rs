//! The proof of cure: what must hold on samples taken after the last step.

use std::sync::Arc;

use super::desk::Desk;
use super::{Act, Did, NoticeKind, Outcome, Phase, Run, Service, Verification, What};
use crate::judge::SourceHealth;
use crate::model::{NotCured, Short, Verdict};

/// Most runs in one incident: the first, and with `otherwise = "next"` one more.
const MOST_RUNS: usize = 2;

fn require_key(index: usize) -> String {
    format!("verify {index}")
}

impl Service {
    pub(crate) fn begin_verification(&mut self, run: Run, desk: &mut Desk<'_>) {
        let puts_target = run.plan.names_target();
        let verify = run.plan.verify;
        let policy = Arc::clone(&self.policy);
        for (i, condition) in verify.require.iter().enumerate() {
            self.judge
                .watch(&policy, &require_key(i), condition, desk.at);
        }
        let reason = if verify.require.is_empty() {
            format!("the trigger must be clear within {}", Short(verify.within))
        } else {
            let texts: Vec<&str> = verify.require.iter().map(|c| c.text.as_str()).collect();
            format!("{} within {}", texts.join(", "), Short(verify.within))
        };
        self.phase = Phase::Verifying(Verification {
            ticket: run.ticket,
            since: desk.at,
            deadline: desk.at + verify.within,
            plan_name: run.plan_name,
            target: run.values.get("target").cloned(),
            puts_target,
            verify,
            were_up: run.were_up,
        });
        self.note(What::Verifying, None, None, &reason, desk);
    }

    /// Looks at this tick whether everything required holds.
    pub(crate) fn verify(&mut self, desk: &mut Desk<'_>) {
        self.join(desk);
        let Phase::Verifying(verification) = &self.phase else {
            return;
        };
        if !self.holds(verification) {
            return;
        }
        let (ticket, watch) = (verification.ticket, verification.verify.watch);
        let took = desk.at.since(verification.since);
        let opened = self.incident.as_ref().map_or(desk.at, |i| i.opened);
        let on = self.runs_on(verification);
        let on = on.map_or_else(String::new, |runs| format!("; release {runs} runs on"));
        let reason = format!(
            "verified {} after the last step, {} after the incident opened{on}",
            Short(took),
            Short(desk.at.since(opened))
        );
        self.end_verification();
        self.set_outcome(ticket, Outcome::Cured, desk.at);
        if let Some(incident) = &mut self.incident {
            incident.outcome = Some(Outcome::Cured);
        }
        self.phase = Phase::Cooling {
            until: desk.at + watch,
        };
        if !self.is_drill() {
            self.witness(&Act::new(desk.at, Did::Cured, None, ""));
        }
        self.note(What::Cured, None, None, &reason, desk);
        let next = format!("The incident closes after {} of quiet.", Short(watch));
        self.tell_about(NoticeKind::Cured, None, &reason, &next, "", desk);
    }

    fn holds(&self, verification: &Verification) -> bool {
        let require = &verification.verify.require;
        if !require.is_empty() {
            return (0..require.len()).all(|i| {
                self.judge
                    .watched(&require_key(i))
                    .is_some_and(|j| j.hold_met)
            });
        }
        let sources = verification
            .were_up
            .iter()
            .all(|name| matches!(self.judge.source_up(name), SourceHealth::Up));
        let lead = self.incident.as_ref().map_or("", |i| i.trigger.as_str());
        let clear = match self.judge.trigger(lead) {
            Some(judgement) => judgement.verdict == Verdict::Clear,
            // A person's order has no trigger of its own.
            None => self.tick_state() == super::releases::Tick::Clear,
        };
        sources && clear
    }

    /// The release that runs in place of the one that was put there. That is no
    /// fault by itself (a frontend goes back, and what the policy calls the
    /// release is the backend's), but nobody should have to find out.
    fn runs_on(&self, verification: &Verification) -> Option<&str> {
        let target = verification.target.as_deref();
        let runs = self.releases.running.as_deref();
        runs.filter(|_| verification.puts_target && runs != target)
    }

    /// The time to verify is over.
    pub(crate) fn not_verified(&mut self, desk: &mut Desk<'_>) {
        let Phase::Verifying(verification) = &self.phase else {
            return;
        };
        let verification = verification.clone();
        let require = verification.verify.require.iter().enumerate();
        let unmet = require.filter(|(i, _)| {
            let watched = self.judge.watched(&require_key(*i));
            !watched.is_some_and(|j| j.hold_met)
        });
        let unmet: Vec<&str> = unmet.map(|(_, c)| c.text.as_str()).collect();
        let mut why = Vec::new();
        if !unmet.is_empty() {
            why.push(format!("{} did not hold", unmet.join(", ")));
        }
        if let Some(runs) = self.runs_on(&verification) {
            why.push(format!("release {runs} runs on"));
        }
        let colon = if why.is_empty() { "" } else { ": " };
        let reason = format!(
            "not cured within {}{colon}{}",
            Short(verification.verify.within),
            why.join("; ")
        );
        self.end_verification();
        self.set_outcome(verification.ticket, Outcome::NotCured, desk.at);
        self.note(What::NotCured, None, None, &reason, desk);
        // A drill goes no further than it was ordered to.
        if verification.verify.otherwise == NotCured::Next && !self.is_drill() {
            match self.next_target(&verification, desk) {
                Ok(target) => {
                    self.tell_about(
                        NoticeKind::NotCured,
                        None,
                        &reason,
                        "It goes back once more, to the good release before.",
                        "",
                        desk,
                    );
                    let unchecked = self.unchecked();
                    let plan = &verification.plan_name;
                    self.start_run(plan, Some(target), None, unchecked, desk);
                    return;
                }
                Err(why) => self.note(What::Held, None, None, &why, desk),
            }
        }
        self.escalate(Outcome::NotCured, &reason, desk);
    }

    /// The good release before the one that did not cure: without cooldown, but
    /// within the budget, and not while frozen.
    fn next_target(&self, verification: &Verification, desk: &Desk<'_>) -> Result<String, String> {
        if self
            .incident
            .as_ref()
            .is_none_or(|i| i.runs.iter().filter(|run| !run.shadow).count() >= MOST_RUNS)
        {
            return Err("it has gone back once more already".to_owned());
        }
        let plan = self
            .policy
            .plans
            .get(&verification.plan_name)
            .ok_or("the plan is gone from the policy")?;
        if self.releases.running != verification.target {
            return Err("the release that was gone back to is not the one that runs".to_owned());
        }
        self.frozen(desk.at)?;
        self.within_budget(&verification.plan_name, plan, false, desk.at)?;
        self.target(plan)?
            .ok_or_else(|| "the plan has no target to go back to".to_owned())
    }

    /// The cure will not be proven: what it was to be proven for is over, or a
    /// person took over.
    pub(crate) fn abandon_verification(&mut self, reason: &str, desk: &mut Desk<'_>) {
        let Phase::Verifying(verification) = &self.phase else {
            return;
        };
        let ticket = verification.ticket;
        self.end_verification();
        self.set_outcome(ticket, Outcome::Aborted, desk.at);
        self.escalate(Outcome::Aborted, reason, desk);
    }

    /// Stops watching what the verification watched.
    pub(crate) fn end_verification(&mut self) {
        if let Phase::Verifying(verification) = &self.phase {
            for i in 0..verification.verify.require.len() {
                self.judge.unwatch(&require_key(i));
            }
        }
    }
}
