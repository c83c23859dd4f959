//! What a fired trigger does: which one leads, and whether it tells, asks or
//! acts.
//!
//! One incident is open per service at a time and follows the response of one
//! trigger, the *lead*. Before anything ran, a more pressing trigger takes the
//! lead; afterwards others only join, because two hands on one wheel are worse
//! than one.

use std::sync::Arc;

use super::desk::Desk;
use super::{
    Act, Deed, Did, Gate, Held, Incident, NoticeKind, Outcome, Person, Phase, RunRecord, Service,
    What,
};
use crate::model::{Mode, Response, Severity, Trigger, Unchecked};

/// How pressing a trigger is: acting before shadow, rolling back before asking
/// before telling, then by severity.
fn rank(trigger: &Trigger) -> (bool, u8, Severity) {
    let response = match trigger.response {
        Response::Rollback => 2,
        Response::Approve(_) => 1,
        Response::Alert => 0,
    };
    (trigger.mode == Mode::Enforce, response, trigger.severity)
}

impl Service {
    /// Follows what the triggers say at this tick, outside of a run.
    pub(crate) fn respond(&mut self, desk: &mut Desk<'_>) {
        self.join(desk);
        match &mut self.phase {
            Phase::Watching => {
                if let Some(trigger) = self.most_pressing() {
                    self.open(&trigger, desk);
                    self.follow(&trigger, desk);
                }
            }
            Phase::Telling => {
                if !self.overtaken(desk) && self.is_over() {
                    let reason = "every trigger of it is resolved";
                    self.close_as_it_stands(reason, desk);
                }
            }
            Phase::Held | Phase::Asking(_) => self.wait(desk),
            Phase::Cooling { .. } => self.cool(desk),
            Phase::Escalated { .. } => {
                if !self.overtaken(desk) {
                    self.quieten(desk);
                }
            }
            Phase::Acting(_) | Phase::Verifying(_) => {}
        }
    }

    /// An incident that waits: for a gate, or for people.
    fn wait(&mut self, desk: &mut Desk<'_>) {
        if self.overtaken(desk) {
            return;
        }
        let lead = self.lead();
        let fired = lead.as_ref().is_some_and(|t| self.is_fired(&t.name));
        match lead {
            Some(trigger) if fired => {
                if matches!(self.phase, Phase::Held) && self.is_met(&trigger.name) {
                    self.follow(&trigger, desk);
                }
            }
            _ => {
                let reason = "the service recovered before anything was done";
                if matches!(self.phase, Phase::Asking(_)) {
                    self.note(What::Withdrawn, None, None, reason, desk);
                }
                match self.most_pressing() {
                    Some(next) => {
                        self.take_the_lead(&next, desk);
                        self.follow(&next, desk);
                    }
                    None => self.close(Outcome::Recovered, reason, desk),
                }
            }
        }
    }

    /// Cured, and waiting for quiet.
    fn cool(&mut self, desk: &mut Desk<'_>) {
        if let Some(trigger) = self.most_pressing() {
            let reason = format!("{} fired again after the cure", trigger.name);
            self.close(Outcome::Cured, &reason, desk);
            self.open(&trigger, desk);
            self.follow(&trigger, desk);
            return;
        }
        if self.tick_state() == super::releases::Tick::Breach {
            let until = desk.at + self.quiet();
            if let Phase::Cooling { until: end } = &mut self.phase {
                *end = until;
            }
        }
    }

    /// A person has been called; the incident ends when it has been quiet.
    fn quieten(&mut self, desk: &mut Desk<'_>) {
        let clear = self.is_calm() && self.tick_state() == super::releases::Tick::Clear;
        let quiet = self.quiet();
        let Phase::Escalated { quiet_since } = &mut self.phase else {
            return;
        };
        if !clear {
            *quiet_since = None;
            return;
        }
        let since = *quiet_since.get_or_insert(desk.at);
        if desk.at.since(since) >= quiet {
            self.close_as_it_stands("everything has been clear since", desk);
        }
    }

    /// Quiet before an incident closes: the plan's `watch`.
    pub(crate) fn quiet(&self) -> std::time::Duration {
        let plan = self.lead().map_or("rollback".to_owned(), |t| t.plan);
        self.policy
            .plans
            .get(&plan)
            .map_or(std::time::Duration::from_mins(15), |p| p.verify.watch)
    }

    /// Lists triggers that fired while the incident is open, each once.
    pub(crate) fn join(&mut self, desk: &mut Desk<'_>) {
        let Some(incident) = &self.incident else {
            return;
        };
        let joined: Vec<String> = self
            .fired()
            .map(|t| &t.name)
            .filter(|t| !incident.triggers.contains(t))
            .cloned()
            .collect();
        for name in joined {
            let cause = self.cause(&name);
            if let Some(incident) = &mut self.incident {
                incident.triggers.push(name.clone());
            }
            self.joined(&name);
            let over = matches!(
                self.phase,
                Phase::Acting(_) | Phase::Verifying(_) | Phase::Escalated { .. }
            );
            if over && self.find(&name).is_some_and(Self::acts) {
                self.held_at(&name, Gate::Incident);
                let reason = "another run of this service is not over, or was not cured";
                self.note(What::Held, Some(&name), cause, reason, desk);
            } else {
                self.note(
                    What::Told,
                    Some(&name),
                    cause,
                    "fired in the same incident",
                    desk,
                );
            }
        }
    }

    /// The most pressing trigger that fired and has not been dealt with.
    fn most_pressing(&self) -> Option<Trigger> {
        let mut best: Option<&Trigger> = None;
        for trigger in self.fired() {
            if !self.spent.contains(&trigger.name) && best.is_none_or(|b| rank(trigger) > rank(b)) {
                best = Some(trigger);
            }
        }
        best.cloned()
    }

    /// The trigger whose response the open incident follows.
    pub(crate) fn lead(&self) -> Option<Trigger> {
        self.find(&self.incident.as_ref()?.trigger).cloned()
    }

    /// Lets a more pressing trigger take the lead, as long as nothing ran.
    fn overtaken(&mut self, desk: &mut Desk<'_>) -> bool {
        let Some(incident) = &self.incident else {
            return false;
        };
        if incident.runs.iter().any(|run| !run.shadow) {
            return false;
        }
        let lead = self.lead();
        let Some(next) = self.most_pressing() else {
            return false;
        };
        if lead.as_ref().is_some_and(|l| rank(&next) <= rank(l)) {
            return false;
        }
        self.take_the_lead(&next, desk);
        self.follow(&next, desk);
        true
    }

    fn take_the_lead(&mut self, next: &Trigger, desk: &mut Desk<'_>) {
        let cause = self.cause(&next.name);
        if let Some(incident) = &mut self.incident {
            incident.trigger.clone_from(&next.name);
            incident.severity = next.severity;
            incident.mode = next.mode;
            incident.cause.clone_from(&cause);
            incident.held = None;
            incident.approval = None;
            incident.outcome = None;
        }
        if matches!(self.phase, Phase::Asking(_)) {
            // The question was the other trigger's: no notice offers it any more.
            self.phase = Phase::Telling;
        }
        let reason = format!("{} takes the lead of the incident", next.name);
        self.note(What::Overtaken, Some(&next.name), cause, &reason, desk);
    }

    /// Whether the whole hold of a trigger is met at this very tick.
    pub(crate) fn is_met(&self, trigger: &str) -> bool {
        self.judge.trigger(trigger).is_some_and(|j| j.hold_met)
    }

    fn is_over(&self) -> bool {
        self.incident
            .as_ref()
            .is_none_or(|i| !i.triggers.iter().any(|t| self.is_fired(t)))
    }

    /// Does what the trigger's response says, or holds it at a gate.
    pub(crate) fn follow(&mut self, trigger: &Trigger, desk: &mut Desk<'_>) {
        let shadow = trigger.mode == Mode::Shadow;
        let name = trigger.name.as_str();
        if !Self::acts(trigger) {
            let what = if shadow { What::WouldTell } else { What::Told };
            let cause = self.cause(name);
            self.note(what, Some(name), cause, "its response is to tell", desk);
            self.would(name, Deed::Tell);
            self.phase = Phase::Telling;
            return;
        }
        let target = match self.gates(trigger, desk.at) {
            Ok(target) => target,
            Err(held) => {
                self.held_at(name, held.gate);
                self.hold(name, held, desk);
                return;
            }
        };
        if let Some(incident) = &mut self.incident {
            incident.held = None;
        }
        let consent = self
            .incident
            .as_ref()
            .and_then(|i| i.approval.as_ref())
            .is_some_and(|a| a.until.is_none_or(|until| desk.at < until));
        match &trigger.response {
            Response::Approve(approve) if !consent => {
                if shadow {
                    let cause = self.cause(name);
                    let reason = self.intent(trigger, target.as_deref());
                    self.note(What::WouldAsk, Some(name), cause, &reason, desk);
                    self.would(name, Deed::Ask);
                    self.tell_about(NoticeKind::Asked, Some(name), &reason, SHADOW, "", desk);
                    self.spend(name);
                    self.phase = Phase::Telling;
                } else {
                    let approve = approve.clone();
                    self.ask(trigger, &approve, target.as_deref(), desk);
                }
            }
            _ if !self.is_met(name) => {
                // Consent came while the trigger is not in breach right now.
                let reason = "agreed to; waits until the whole hold is met again";
                if consent && !matches!(self.phase, Phase::Held) {
                    self.note(What::Answered, Some(name), None, reason, desk);
                }
                self.phase = Phase::Held;
            }
            _ if shadow => self.would_roll_back(trigger, target, desk),
            _ => {
                let unchecked = self.unchecked();
                self.start_run(&trigger.plan.clone(), target, None, unchecked, desk);
            }
        }
    }

    /// Holds the incident at a gate; told once for each gate.
    fn hold(&mut self, trigger: &str, held: Held, desk: &mut Desk<'_>) {
        let same = self
            .incident
            .as_ref()
            .and_then(|i| i.held.as_ref())
            .is_some_and(|h| h.gate == held.gate);
        let blamed = held.gate == Gate::Attribution;
        let shadow = self
            .incident
            .as_ref()
            .is_some_and(|i| i.mode == Mode::Shadow);
        if !same {
            let reason = held.reason.clone();
            let cause = self.cause(trigger);
            if let Some(incident) = &mut self.incident {
                incident.held = Some(held);
            }
            self.note(What::Held, Some(trigger), cause, &reason, desk);
            let next = if blamed {
                "It is not rolled back: a person has to look."
            } else {
                "It acts when this gate opens, if its whole hold is met then."
            };
            self.tell_about(NoticeKind::Held, Some(trigger), &reason, next, "", desk);
            if blamed && !shadow {
                self.spend(trigger);
                self.escalate(Outcome::Undecided, &reason, desk);
                return;
            }
        }
        self.phase = Phase::Held;
    }

    /// In shadow: written down instead of done; the cooldown starts as if it
    /// had run.
    fn would_roll_back(&mut self, trigger: &Trigger, target: Option<String>, desk: &mut Desk<'_>) {
        let reason = self.intent(trigger, target.as_deref());
        let cause = self.cause(&trigger.name);
        let record = RunRecord {
            ticket: desk.ticket(),
            incident: self.incident.as_ref().map_or(0, |i| i.number),
            plan: trigger.plan.clone(),
            goes_back: self
                .policy
                .plans
                .get(&trigger.plan)
                .is_none_or(|plan| plan.goes_back),
            started: desk.at,
            ended: Some(desk.at),
            from: self.releases.running.clone(),
            to: target,
            ordered_by: None,
            shadow: true,
            outcome: Some(Outcome::WouldHaveRolledBack),
            steps: Vec::new(),
        };
        self.record(record);
        self.would(&trigger.name, Deed::RollBack);
        self.note(
            What::WouldRollBack,
            Some(&trigger.name),
            cause,
            &reason,
            desk,
        );
        self.tell_about(
            NoticeKind::Decided,
            Some(&trigger.name),
            &reason,
            SHADOW,
            "",
            desk,
        );
        if let Some(incident) = &mut self.incident {
            incident.outcome = Some(Outcome::WouldHaveRolledBack);
        }
        self.spend(&trigger.name);
        self.phase = Phase::Telling;
    }

    fn intent(&self, trigger: &Trigger, target: Option<&str>) -> String {
        let from = self.releases.running.as_deref();
        match (from, target) {
            (Some(from), Some(to)) => {
                format!("plan {} from release {from} to {to}", trigger.plan)
            }
            _ => format!("plan {}", trigger.plan),
        }
    }

    /// The trigger has been dealt with until it is resolved.
    pub(crate) fn spend(&mut self, trigger: &str) {
        self.spent.insert(trigger.to_owned());
    }

    /// Keeps a run for budgets, in the incident and in the service.
    pub(crate) fn record(&mut self, mut record: RunRecord) {
        if let Some(incident) = &mut self.incident {
            incident.runs.push(record.clone());
        }
        record.steps = Vec::new();
        if self.runs.len() >= Self::RUNS {
            self.runs.remove(0);
        }
        self.runs.push(record);
    }

    /// Opens an incident that this trigger leads.
    fn open(&mut self, trigger: &Trigger, desk: &mut Desk<'_>) {
        let cause = self.cause(&trigger.name);
        let incident = Incident::open(
            desk,
            &Arc::clone(&self.policy),
            &trigger.name,
            trigger.severity,
            trigger.mode,
            cause.clone(),
            self.releases.running.clone(),
        );
        self.incident = Some(incident);
        let reason = format!("{} fired: {}", trigger.name, trigger.when.text);
        self.note(What::Opened, Some(&trigger.name), cause, &reason, desk);
        self.tell_opened(&reason, desk);
    }

    /// A person ordered a rollback: the same gates but hold, cooldown and
    /// budget. A drill is the same, but never in an incident.
    pub(crate) fn ordered(
        &mut self,
        by: Person,
        reason: &str,
        (to, plan): (Option<String>, Option<String>),
        drill: bool,
        desk: &mut Desk<'_>,
    ) {
        if let Some(refusal) = self.undrillable().filter(|_| drill) {
            self.note(What::Refused, None, None, &refusal, desk);
            return;
        }
        if !drill {
            let of = to.as_deref().unwrap_or_default();
            self.witness(&Act::new(desk.at, Did::Ordered, Some(&by.name), of));
        }
        let plan = plan.unwrap_or_else(|| "rollback".to_owned());
        let unchecked = match to {
            Some(_) => Unchecked::Escalate,
            None => self.unchecked(),
        };
        let target = match self.gates_for_person(&plan, to, desk.at) {
            Ok(target) => target,
            Err(refusal) => {
                self.note(What::Refused, None, None, &refusal, desk);
                return;
            }
        };
        if self.policy.mode == Mode::Shadow {
            let refusal = format!(
                "this policy is in shadow: it would run plan {plan}{}",
                target
                    .as_deref()
                    .map_or_else(String::new, |t| format!(" to release {t}"))
            );
            self.note(What::Refused, None, None, &refusal, desk);
            return;
        }
        if self.incident.is_none() {
            self.incident = Some(Incident::open(
                desk,
                &Arc::clone(&self.policy),
                "",
                Severity::Critical,
                Mode::Enforce,
                None,
                self.releases.running.clone(),
            ));
            if let Some(incident) = &mut self.incident {
                incident.drill = drill;
            }
            let what = if drill { "drill" } else { "rollback" };
            let reason = format!("{} ordered a {what}: {reason}", by.name);
            self.note(What::Opened, None, None, &reason, desk);
            self.tell_opened(&reason, desk);
        }
        if let Some(incident) = &mut self.incident {
            incident.held = None;
            incident.mode = Mode::Enforce;
            // A drill in which a person orders a rollback is none any more.
            incident.drill &= drill;
        }
        let said = format!("{}: {reason}", by.name);
        self.note(What::Ordered, None, None, &said, desk);
        self.start_run(&plan, target, Some(by), unchecked, desk);
    }

    /// Closes the open incident with the outcome that it has, or as recovered.
    pub(crate) fn close_as_it_stands(&mut self, reason: &str, desk: &mut Desk<'_>) {
        let outcome = self
            .incident
            .as_ref()
            .and_then(|i| i.outcome)
            .unwrap_or(Outcome::Recovered);
        self.close(outcome, reason, desk);
    }

    /// Closes the open incident. What is still fired has been dealt with.
    pub(crate) fn close(&mut self, outcome: Outcome, reason: &str, desk: &mut Desk<'_>) {
        if self.incident.is_none() {
            return;
        }
        let told = format!("closed as {}: {reason}", outcome.name().replace('_', " "));
        if let Some(incident) = &mut self.incident {
            incident.closed = Some(desk.at);
            incident.outcome = Some(outcome);
            incident.held = None;
        }
        let detail = self.incident.as_ref().map(Incident::closing);
        let note = desk.noted(&self.policy.service, What::Closed, told.as_str());
        self.write(note, detail, desk);
        self.tell_about(NoticeKind::Closed, None, &told, "", "", desk);
        self.end_verification();
        self.phase = Phase::Watching;
        let Some(incident) = self.incident.take() else {
            return;
        };
        self.watch_levels(desk.at);
        if outcome == Outcome::Dismissed {
            for trigger in &incident.triggers {
                if self.is_fired(trigger) {
                    self.spent.insert(trigger.clone());
                }
            }
        }
        if self.closed.len() >= Self::CLOSED {
            self.closed.remove(0);
        }
        self.closed.push(incident);
    }
}

const SHADOW: &str = "Nothing is done: this is shadow mode.";
