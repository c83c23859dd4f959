//! How the shadow ledger is written: at each tick, by what triggers in shadow
//! would do, and by what people do.
//!
//! Nothing here decides anything. When a trigger is fit to enforce by the rule
//! of its policy, that is said once, and its mode stays what it is.

use std::sync::Arc;

use super::desk::Desk;
use super::shadow::in_shadow;
use super::{Act, Deed, Did, Fire, Gate, NoticeKind, Phase, Probation, Ruling, Service, What};
use crate::judge::same_trigger;
use crate::model::{Mode, Moment, Policy, Promote, Short, Unit};

impl Service {
    /// The rows of the policy in force: those of triggers that are the same in
    /// `old` go on.
    pub(crate) fn keep_ledger(&mut self, old: &Policy, at: Moment) {
        let policy = Arc::clone(&self.policy);
        self.ledger
            .align(&policy, at, |name| same_trigger(old, &policy, name));
        self.enter_fired(at);
    }

    /// The rows of the policy in force, where there are none yet: of a new
    /// service, and of a state that an agent wrote which kept no ledger.
    pub(crate) fn begin_ledger(&mut self, at: Moment) {
        if self.ledger.rows().is_empty() {
            let policy = Arc::clone(&self.policy);
            self.ledger.align(&policy, at, |_| true);
            self.enter_fired(at);
        }
    }

    /// What had fired before it was in shadow fires for the ledger now.
    fn enter_fired(&mut self, at: Moment) {
        let ledger = &self.ledger;
        let lasts = |name: &str| ledger.row(name).is_some_and(Probation::is_firing);
        let fired: Vec<String> = self
            .fired()
            .filter(|trigger| trigger.mode == Mode::Shadow && !lasts(&trigger.name))
            .map(|trigger| trigger.name.clone())
            .collect();
        for name in fired {
            self.enter(&name, at);
        }
    }

    /// Counts a tick of every trigger in shadow.
    pub(crate) fn evaluate(&mut self, at: Moment) {
        let judged = self.policy.triggers.iter().zip(self.judge.triggers());
        let shadow = judged.filter(|(trigger, _)| trigger.mode == Mode::Shadow);
        for ((trigger, (_, judgement)), row) in shadow.zip(self.ledger.rows_mut()) {
            let verdict = judgement.verdict.is_judged();
            row.ticked(at, verdict, judgement.fired.is_some(), trigger.max_gap);
        }
    }

    /// Says of triggers that they have become fit to enforce, each once. Nothing
    /// is more urgent than an open incident.
    pub(crate) fn promote(&mut self, desk: &mut Desk<'_>) {
        if !matches!(self.phase, Phase::Watching) {
            return;
        }
        let fit: Vec<(String, Promote)> = in_shadow(&self.policy)
            .zip(self.ledger.rows())
            .filter(|(_, row)| row.told.is_none())
            .filter_map(|(trigger, row)| {
                let rule = trigger.promote.filter(|rule| row.is_fit(rule))?;
                Some((trigger.name.clone(), rule))
            })
            .collect();
        for (name, rule) in fit {
            let Some(row) = self.ledger.row_mut(&name) else {
                continue;
            };
            row.told = Some(desk.at);
            let counts = row.counts;
            let reason = format!(
                "{name} is fit to enforce: judged for {}, {} evaluations, fires: {}, false ones: {}; \
                 the policy asks for {}, {} evaluations, false ones: at most {}",
                Short(row.watched()),
                row.evaluations,
                counts.fires,
                counts.refuted,
                Short(rule.after),
                rule.evaluations,
                rule.false_fires,
            );
            self.note(What::Fit, Some(&name), None, &reason, desk);
            let next = "Nothing changes by itself: who wants it to act sets `mode = \"enforce\"`.";
            let stop = format!("backstop shadow {}", self.policy.service);
            self.tell_about(NoticeKind::Fit, Some(&name), &reason, next, &stop, desk);
        }
    }

    /// A trigger fired: if it is in shadow, its ledger has it.
    pub(crate) fn enter(&mut self, trigger: &str, at: Moment) {
        let cause = self.cause(trigger);
        let release = self.releases.running.clone();
        let incident = self.incident.as_ref().map(|i| i.number);
        let Some(row) = self.ledger.row_mut(trigger) else {
            return;
        };
        let unit = cause.as_ref().map(|c| c.unit);
        row.fired(Fire {
            at,
            ended: None,
            value: cause.as_ref().and_then(|c| c.value),
            limit: cause.as_ref().and_then(|c| c.limit),
            unit: unit.unwrap_or(Unit::Plain),
            subject: cause.map_or_else(String::new, |c| c.subject),
            release,
            incident,
            deed: None,
            gate: None,
            ruling: Ruling::Open,
            acts: Vec::new(),
        });
    }

    /// What a trigger would do now, if it is in shadow.
    pub(crate) fn would(&mut self, trigger: &str, deed: Deed) {
        if let Some(row) = self.joined(trigger) {
            row.would(deed);
        }
    }

    /// A trigger is held at a gate.
    pub(crate) fn held_at(&mut self, trigger: &str, gate: Gate) {
        if let Some(row) = self.joined(trigger) {
            row.held(gate);
        }
    }

    /// The fire of a trigger belongs to the open incident. Its row, if it is in
    /// shadow.
    pub(crate) fn joined(&mut self, trigger: &str) -> Option<&mut Probation> {
        let number = self.incident.as_ref().map(|i| i.number);
        let row = self.ledger.row_mut(trigger)?;
        row.joined(number);
        Some(row)
    }

    /// Somebody did something about an incident. Whether a trigger in shadow
    /// fired in it within the hour.
    pub(crate) fn witness_of(&mut self, incident: u64, act: &Act) -> bool {
        self.ledger
            .witness(act, |fire| fire.incident == Some(incident))
    }

    /// Somebody did something that is about whatever fired in the last hour.
    pub(crate) fn witness(&mut self, act: &Act) {
        self.ledger.witness(act, |_| true);
    }

    /// Somebody said something of a release: it is about what it did.
    pub(crate) fn witness_release(&mut self, version: &str, act: &Act) {
        self.ledger
            .witness(act, |fire| fire.release.as_deref() == Some(version));
    }

    /// Another release runs, which the agent did not put there. To have gone
    /// back behind the one that fired agrees with the fire; anything else does
    /// not say why it was done.
    pub(crate) fn witness_deployment(&mut self, version: &str, at: Moment) {
        let seen = &self.releases.seen;
        let place = |version: &str| seen.iter().position(|r| r.version == version);
        let to = place(version);
        let back = |fire: &Fire| {
            let from = fire.release.as_deref().and_then(place);
            from.zip(to).is_some_and(|(from, to)| to < from)
        };
        let act = |did| Act::new(at, did, None, version);
        self.ledger.witness(&act(Did::WentBack), back);
        self.ledger.witness(&act(Did::Deployed), |fire| !back(fire));
    }
}
