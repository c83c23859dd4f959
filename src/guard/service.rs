//! One guarded service: its state, and what ticks, releases, freezes and
//! policies do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::releases::Tick;
use super::{
    Act, Board, Cause, Command, Detail, Did, Drill, Freeze, Incident, Ledger, Note, NoticeKind,
    Outcome, Override, Person, Phase, Releases, RunRecord, What,
};
use crate::judge::{Judge, Turn, TurnKind};
use crate::model::{self, Finding, Moment, NoReading, Policy, Response, Short, Trigger, Verdict};

/// Everything the engine knows: what views and the API read, what a restart
/// starts from, and what a simulation compares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The latest moment that reached the engine; it never goes back.
    pub now: Moment,
    /// The host's name, for `{host}`.
    pub host: String,
    /// The last run's number.
    pub last_ticket: u64,
    /// The last incident's number.
    pub last_incident: u64,
    /// The guarded services by name.
    pub services: BTreeMap<String, Service>,
    /// What must not be forgotten of services whose policy was removed: an
    /// editor may remove a file to write it anew.
    pub retired: BTreeMap<String, Retired>,
}

/// What outlives the removal of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retired {
    /// Cooldown and budget are asked of these.
    pub runs: Vec<RunRecord>,
    /// Good and bad releases.
    pub releases: Releases,
    /// A person's lease.
    pub freeze: Option<Freeze>,
    /// Why the agent does not trust its own record.
    pub distrust: Option<String>,
    /// Closed incidents.
    pub closed: Vec<Incident>,
    /// The running number of notices outside incidents.
    pub notices: u64,
    /// What sources were told.
    #[serde(default)]
    pub boards: BTreeMap<String, Board>,
    /// The last drill.
    #[serde(default)]
    pub drill: Option<Drill>,
    /// The shadow ledger, with the policy whose conditions it is about.
    #[serde(default)]
    pub shadow: Option<(Arc<Policy>, Ledger)>,
}

/// One guarded service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Identifies the policy's content.
    pub policy_hash: String,
    /// Windows, verdicts and holds.
    pub judge: Judge,
    /// What the guard is doing.
    pub phase: Phase,
    /// The open incident; present in every phase but *watching*.
    pub incident: Option<Incident>,
    /// Closed incidents, the newest last; bounded by [`Service::CLOSED`].
    pub closed: Vec<Incident>,
    /// The releases.
    pub releases: Releases,
    /// Past runs, oldest first; bounded by [`Service::RUNS`].
    pub runs: Vec<RunRecord>,
    /// The lease that stops acting, if any.
    pub freeze: Option<Freeze>,
    /// Whether the end of that freeze has been told ahead.
    pub freeze_told: bool,
    /// Why the agent does not trust its own record; acting stops until a person
    /// says `unfreeze`.
    pub distrust: Option<String>,
    /// Fired triggers that have been dealt with: no new incident until they
    /// are resolved.
    pub spent: BTreeSet<String>,
    /// The last judged tick.
    pub last_tick: Option<Moment>,
    /// How far the wall clock was ahead at that tick, in milliseconds.
    pub wall_ahead_ms: i64,
    /// Notices made outside incidents: the last part of their ids.
    pub notices: u64,
    /// What the sources that listen were told, by their names.
    #[serde(default)]
    pub boards: BTreeMap<String, Board>,
    /// The last drill, rehearsed or executed.
    #[serde(default)]
    pub drill: Option<Drill>,
    /// What the triggers in shadow would have done.
    #[serde(default)]
    pub ledger: Ledger,
    /// The policy was removed during a rollback: the service goes when it is
    /// verified, or was not.
    pub retiring: bool,
}

impl Service {
    /// Closed incidents kept at hand; older ones are in the journal.
    pub const CLOSED: usize = 16;
    /// Past runs kept for budgets.
    pub const RUNS: usize = 256;

    pub(crate) fn new(
        policy: Arc<Policy>,
        hash: String,
        before: Retired,
        desk: &mut Desk<'_>,
    ) -> Self {
        let mut service = Self {
            judge: Judge::new(&policy),
            policy_hash: hash,
            phase: Phase::Watching,
            incident: None,
            closed: before.closed,
            releases: before.releases,
            runs: before.runs,
            freeze: before.freeze,
            freeze_told: false,
            distrust: before.distrust,
            spent: BTreeSet::new(),
            last_tick: None,
            wall_ahead_ms: 0,
            notices: before.notices,
            boards: before.boards,
            drill: before.drill,
            ledger: Ledger::default(),
            retiring: false,
            policy,
        };
        match before.shadow {
            Some((old, ledger)) => {
                service.ledger = ledger;
                service.keep_ledger(&old, desk.at);
            }
            None => service.begin_ledger(desk.at),
        }
        // What is told from now on counts: what was said before the policy was
        // removed may be of a release, or of a rollback, that is over.
        if !service.boards.is_empty() {
            let policy = Arc::clone(&service.policy);
            service.judge.restart(&policy, desk.at);
        }
        service.post(desk.at);
        service.watch_levels(desk.at);
        desk.note(
            &service.policy.service,
            What::Revised,
            format!("policy {} is guarded from now on", service.policy_hash),
        );
        service
    }

    // --- what arrives ---------------------------------------------------

    pub(crate) fn sampled(
        &mut self,
        source: &str,
        tick: Moment,
        outcome: &model::Outcome,
        desk: &mut Desk<'_>,
    ) {
        let policy = Arc::clone(&self.policy);
        self.paged(source, outcome, desk);
        self.judge.sampled(&policy, source, tick, outcome);
    }

    pub(crate) fn ticked(&mut self, tick: Moment, wall_ahead_ms: i64, desk: &mut Desk<'_>) {
        if self.last_tick.is_some_and(|last| tick <= last) {
            return;
        }
        self.last_tick = Some(tick);
        self.wall_ahead_ms = wall_ahead_ms;
        let policy = Arc::clone(&self.policy);
        self.post(tick);
        for turn in self.judge.judge(&policy, tick, wall_ahead_ms) {
            self.turned(&turn, desk);
        }
        self.evaluate(desk.at);
        if let Some(rule) = &policy.release {
            let state = self.tick_state();
            if let Some(version) = self.releases.ticked(desk.at, state, rule.good_after) {
                let reason = format!("release {version} is good");
                desk.note(&policy.service, What::Judged, reason);
            }
        }
        match self.phase {
            Phase::Watching
            | Phase::Telling
            | Phase::Held
            | Phase::Asking(_)
            | Phase::Cooling { .. }
            | Phase::Escalated { .. } => self.respond(desk),
            Phase::Acting(_) => self.check_step(desk),
            Phase::Verifying(_) => self.verify(desk),
        }
        self.reach_levels(desk);
        self.promote(desk);
    }

    /// A trigger's state turned at this tick.
    fn turned(&mut self, turn: &Turn, desk: &mut Desk<'_>) {
        let Some(judgement) = self.judge.trigger(&turn.trigger) else {
            return;
        };
        let cause = self.cause(&turn.trigger);
        let (what, reason) = match turn.what {
            TurnKind::Suspecting => (What::Suspecting, "the condition is met".to_owned()),
            TurnKind::Fired => (What::Fired, "its whole hold is met".to_owned()),
            TurnKind::Cleared => (What::Cleared, "the condition is no longer met".to_owned()),
            TurnKind::Resolved => (
                What::Resolved,
                "it has been clear for long enough".to_owned(),
            ),
            TurnKind::Blind => (
                What::Blind,
                match &judgement.verdict {
                    Verdict::Blind { subject, why } => format!("cannot judge: {subject}: {why}"),
                    Verdict::Clear | Verdict::Breach => "cannot judge".to_owned(),
                },
            ),
            TurnKind::SeesAgain => (What::SeesAgain, "can judge again".to_owned()),
        };
        match turn.what {
            TurnKind::Resolved => {
                self.spent.remove(&turn.trigger);
            }
            TurnKind::Fired => self.enter(&turn.trigger, desk.at),
            TurnKind::Suspecting | TurnKind::Cleared | TurnKind::Blind | TurnKind::SeesAgain => {}
        }
        self.note(what, Some(&turn.trigger), cause, &reason, desk);
        let kind = match turn.what {
            TurnKind::Blind => NoticeKind::Blind,
            TurnKind::SeesAgain => NoticeKind::SeesAgain,
            TurnKind::Suspecting | TurnKind::Fired | TurnKind::Cleared | TurnKind::Resolved => {
                return;
            }
        };
        let next = match kind {
            NoticeKind::Blind => {
                "Blindness never rolls back: until it can judge again this trigger guards nothing."
            }
            _ => "",
        };
        self.tell_about(kind, Some(&turn.trigger), &reason, next, "", desk);
    }

    // --- freezes ----------------------------------------------------------

    pub(crate) fn froze(&mut self, freeze: Freeze, desk: &mut Desk<'_>) {
        if freeze.until.is_none_or(|until| until <= desk.at) {
            let name = self.policy.service.clone();
            desk.note(
                &name,
                What::Refused,
                "a freeze needs an end that is still to come",
            );
            return;
        }
        let lease = freeze
            .until
            .map_or_else(String::new, |until| Short(until.since(desk.at)).to_string());
        let mut reason = match &freeze.emergency {
            None => format!("frozen by {} for {lease}: {}", freeze.owner, freeze.reason),
            Some(Override {
                authorised_by,
                risk,
                plan,
            }) => format!(
                "emergency override by {} for {lease}, authorised by {authorised_by}: {}; \
                 risk: {risk}; to validate afterwards: {plan}",
                freeze.owner, freeze.reason
            ),
        };
        if matches!(self.phase, Phase::Acting(_)) {
            reason.push_str(" (the plan that runs goes on; `backstop abort` stops it)");
        }
        self.witness(&Act::new(desk.at, Did::Froze, Some(&freeze.owner), ""));
        self.freeze = Some(freeze);
        self.freeze_told = false;
        self.note(What::Frozen, None, None, &reason, desk);
        let stop = format!("backstop unfreeze {}", self.policy.service);
        self.tell_about(
            NoticeKind::Frozen,
            None,
            &reason,
            "It goes on judging and telling, and does not act.",
            &stop,
            desk,
        );
    }

    pub(crate) fn unfroze(&mut self, by: &Person, reason: &str, desk: &mut Desk<'_>) {
        let was = self.freeze.take().is_some() | self.distrust.take().is_some();
        let what = if was { What::Unfrozen } else { What::Refused };
        let reason = match (was, reason) {
            (false, _) => "it was not frozen".to_owned(),
            (true, "") => format!("unfrozen by {}", by.name),
            (true, why) => format!("unfrozen by {}: {why}", by.name),
        };
        self.note(what, None, None, &reason, desk);
    }

    pub(crate) fn distrusted(&mut self, reason: &str, desk: &mut Desk<'_>) {
        if self.distrust.is_some() {
            return;
        }
        self.distrust = Some(reason.to_owned());
        self.note(What::Distrusted, None, None, reason, desk);
        let stop = format!("backstop unfreeze {}", self.policy.service);
        self.tell_about(
            NoticeKind::Frozen,
            None,
            &format!("the agent's own record cannot be trusted: {reason}"),
            "It goes on judging and telling; it acts again after a person's word.",
            &stop,
            desk,
        );
    }

    // --- policies -----------------------------------------------------------

    pub(crate) fn revised(&mut self, policy: Arc<Policy>, hash: String, desk: &mut Desk<'_>) {
        self.retiring = false;
        if *self.policy == *policy {
            self.policy_hash = hash;
            self.watch_levels(desk.at);
            return;
        }
        let old = std::mem::replace(&mut self.policy, policy);
        let policy = Arc::clone(&self.policy);
        self.judge.revise(&old, &policy);
        self.keep_ledger(&old, desk.at);
        self.watch_levels(desk.at);
        self.post(desk.at);
        let seen_by = |policy: &Policy| policy.release.as_ref().map(|r| r.current.clone());
        if seen_by(&old) != seen_by(&policy) {
            self.releases.rollout = None;
        }
        self.spent
            .retain(|t| policy.triggers.iter().any(|x| x.name == *t));
        let reason = format!("policy {hash} replaces {}", self.policy_hash);
        self.policy_hash = hash;
        self.note(What::Revised, None, None, &reason, desk);
    }

    pub(crate) fn removed(&mut self, desk: &mut Desk<'_>) {
        self.retiring = true;
        if self.is_rolling_back() {
            let reason = "the policy was removed; the rollback under way is finished first";
            self.note(What::Revised, None, None, reason, desk);
            return;
        }
        let reason = "the policy was removed: this service is guarded no more";
        if self.incident.is_some() {
            self.close(Outcome::Unguarded, reason, desk);
        }
        let name = self.policy.service.clone();
        desk.note(&name, What::Revised, reason);
    }

    /// What outlives the removal of the policy.
    pub(crate) fn retire(self) -> Retired {
        let evidence = self.ledger.is_evidence();
        Retired {
            shadow: evidence.then_some((self.policy, self.ledger)),
            runs: self.runs,
            releases: self.releases,
            freeze: self.freeze,
            distrust: self.distrust,
            closed: self.closed,
            notices: self.notices,
            boards: self.boards,
            drill: self.drill,
        }
    }

    /// Whether the policy is gone and no rollback is without its end.
    pub(crate) fn is_gone(&self) -> bool {
        self.retiring && !self.is_rolling_back()
    }

    // --- what others ask ----------------------------------------------------

    /// A trigger of the policy.
    pub(crate) fn find(&self, trigger: &str) -> Option<&Trigger> {
        self.policy.triggers.iter().find(|t| t.name == trigger)
    }

    /// What a trigger's condition rests on, with the test that decides.
    pub(crate) fn cause(&self, trigger: &str) -> Option<Cause> {
        let condition = &self.find(trigger)?.when.text;
        let judgement = self.judge.trigger(trigger)?;
        // The test that decides; among those the one that had to be proven.
        let decides = |f: &&Finding| f.verdict == judgement.verdict;
        let findings = &judgement.findings;
        let finding = findings
            .iter()
            .find(|f| decides(f) && f.proof.is_some())
            .or_else(|| findings.iter().find(decides))
            .or_else(|| findings.first())?;
        let cause = Cause::new(condition, judgement.since, finding, &self.policy_hash);
        Some(Cause {
            told: self.told_of(&cause.subject).cloned(),
            ..cause
        })
    }

    /// What this tick says about the running release: it is clear when no
    /// trigger breaches, at least one is clear, and the rest lack only traffic or a baseline.
    pub(crate) fn tick_state(&self) -> Tick {
        let mut clear = false;
        let mut blind = false;
        for (_, judgement) in self.judge.triggers() {
            match &judgement.verdict {
                Verdict::Breach => return Tick::Breach,
                Verdict::Clear => clear = true,
                Verdict::Blind { why, .. } => blind |= !NoReading::lets_prove(why),
            }
        }
        if clear && !blind {
            Tick::Clear
        } else {
            Tick::Blind
        }
    }

    /// Whether no trigger is fired.
    pub(crate) fn is_calm(&self) -> bool {
        self.fired().next().is_none()
    }

    /// The triggers that are fired, in the policy's order. They stand there as
    /// they do in the judge: nobody is looked up by name at each tick.
    pub(crate) fn fired(&self) -> impl Iterator<Item = &Trigger> {
        let all = self.policy.triggers.iter().zip(self.judge.triggers());
        all.filter(|(_, (_, judgement))| judgement.fired.is_some())
            .map(|(trigger, _)| trigger)
    }

    /// Whether a plan runs, or was run and its cure is not yet proven.
    pub(crate) fn is_rolling_back(&self) -> bool {
        match self.phase {
            Phase::Acting(_) | Phase::Verifying(_) => true,
            Phase::Watching
            | Phase::Telling
            | Phase::Held
            | Phase::Asking(_)
            | Phase::Cooling { .. }
            | Phase::Escalated { .. } => false,
        }
    }

    pub(crate) fn is_fired(&self, trigger: &str) -> bool {
        self.judge
            .trigger(trigger)
            .is_some_and(|j| j.fired.is_some())
    }

    /// Writes a note, into the open incident's timeline too.
    pub(crate) fn note(
        &mut self,
        what: What,
        trigger: Option<&str>,
        cause: Option<Cause>,
        reason: &str,
        desk: &mut Desk<'_>,
    ) {
        let mut note = desk.noted(&self.policy.service, what, reason);
        note.trigger = trigger.map(str::to_owned);
        note.cause = cause;
        self.write(note, None, desk);
    }

    /// Writes a note of the open incident, with what it says to programs. The
    /// timeline has no use for that: the incident itself is beside it.
    pub(crate) fn write(&mut self, mut note: Note, detail: Option<Detail>, desk: &mut Desk<'_>) {
        note.incident = self.incident.as_ref().map(|i| i.number);
        if let Some(incident) = &mut self.incident {
            incident.note(note.clone());
        }
        note.detail = detail.map(Box::new);
        desk.order(Command::Note(note));
    }

    /// Whether a trigger may do more than tell.
    pub(crate) fn acts(trigger: &Trigger) -> bool {
        match trigger.response {
            Response::Rollback | Response::Approve(_) => true,
            Response::Alert => false,
        }
    }
}
