//! Reaching people: who is told what, the levels that run from the moment an
//! incident opens, and everything that is due by time alone.

use std::time::Duration;

use super::desk::Desk;
use super::{
    Asked, Cause, Command, Fate, Incident, LevelState, Notice, NoticeKind, Outcome, Override,
    Phase, Service, StepState, What,
};
use crate::model::{LevelOn, Mode, Moment, Policy, Severity, Short};

/// How often an open incident is told again (SPEC 3).
const UPDATE_EVERY: Duration = Duration::from_mins(30);
/// The latest time ahead at which the end of a freeze is told.
const FREEZE_AHEAD: Duration = Duration::from_mins(5);

impl Incident {
    pub(crate) fn open(
        desk: &mut Desk<'_>,
        policy: &Policy,
        trigger: &str,
        severity: Severity,
        mode: Mode,
        cause: Option<Cause>,
        release: Option<String>,
    ) -> Self {
        let at = desk.at;
        let levels = policy.escalation.iter().map(|level| LevelState {
            due: match level.on {
                LevelOn::After(after) => Some(at + after),
                LevelOn::Failed | LevelOn::When(_) | LevelOn::Loss(_) => None,
            },
            told: 0,
            level: level.clone(),
        });
        Self {
            number: desk.incident(),
            service: policy.service.clone(),
            opened: desk.at,
            closed: None,
            mode,
            trigger: trigger.to_owned(),
            severity,
            cause,
            triggers: (!trigger.is_empty())
                .then(|| trigger.to_owned())
                .into_iter()
                .collect(),
            release,
            held: None,
            approval: None,
            runs: Vec::new(),
            losses: Vec::new(),
            acknowledged: None,
            outcome: None,
            timeline: Vec::new(),
            left_out: 0,
            levels: levels.collect(),
            update_due: desk.at + UPDATE_EVERY,
            notices: 0,
            questions: 0,
            drill: false,
        }
    }

    /// The notifiers of every level reached so far.
    fn reached(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for level in self.levels.iter().filter(|l| l.told > 0) {
            for name in &level.level.notify {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        names
    }
}

impl Service {
    /// Tells that an incident opened: to the levels that are due at once.
    pub(crate) fn tell_opened(&mut self, reason: &str, desk: &mut Desk<'_>) {
        if let Some(incident) = &mut self.incident {
            for level in &mut incident.levels {
                if level.due.is_some_and(|due| due <= desk.at) {
                    level.told = 1;
                    level.due = level.level.repeat.map(|every| desk.at + every);
                }
            }
        }
        let number = self.incident.as_ref().map_or(0, |i| i.number);
        let trigger = self.incident.as_ref().map(|i| i.trigger.clone());
        let stop = format!("backstop ack {number}  says that you look after it");
        self.tell_about(
            NoticeKind::Opened,
            trigger.as_deref().filter(|t| !t.is_empty()),
            reason,
            "",
            &stop,
            desk,
        );
    }

    /// Tells the people who have been reached; outside of an incident, those
    /// who would be first.
    pub(crate) fn tell_about(
        &mut self,
        kind: NoticeKind,
        trigger: Option<&str>,
        reason: &str,
        next: &str,
        stop: &str,
        desk: &mut Desk<'_>,
    ) {
        let notify = match &self.incident {
            Some(incident) => incident.reached(),
            None => self
                .policy
                .escalation
                .iter()
                .filter(|l| l.on == LevelOn::After(Duration::ZERO))
                .flat_map(|l| l.notify.iter().cloned())
                .collect(),
        };
        self.tell(kind, trigger, (reason, next, stop), notify, desk);
    }

    pub(super) fn tell(
        &mut self,
        kind: NoticeKind,
        trigger: Option<&str>,
        (reason, next, stop): (&str, &str, &str),
        notify: Vec<String>,
        desk: &mut Desk<'_>,
    ) {
        let service = self.policy.service.clone();
        let current = self.releases.running.clone();
        let named = trigger.and_then(|t| self.cause(t));
        let severity = trigger.and_then(|t| self.find(t)).map(|t| t.severity);
        let shadow_trigger = trigger.and_then(|t| self.find(t)).map(|t| t.mode);
        let (id, mode, incident, led, cause, severity) = if let Some(incident) = &mut self.incident
        {
            incident.notices += 1;
            (
                format!("{service}/{}/{}", incident.number, incident.notices),
                incident.mode,
                Some(incident.number),
                (!incident.trigger.is_empty()).then(|| incident.trigger.clone()),
                named.or_else(|| incident.cause.clone()),
                severity.or(Some(incident.severity)),
            )
        } else {
            self.notices += 1;
            (
                format!("{service}/-/{}", self.notices),
                shadow_trigger.unwrap_or(self.policy.mode),
                None,
                None,
                named,
                severity,
            )
        };
        let target = match &self.phase {
            Phase::Acting(run) => run.values.get("target").cloned(),
            Phase::Verifying(v) => v.target.clone(),
            _ => trigger
                .and_then(|t| self.find(t))
                .and_then(|t| self.policy.plans.get(&t.plan))
                .and_then(|plan| self.target(plan).ok().flatten()),
        };
        let question = self.phase.question().filter(|_| kind == NoticeKind::Asked);
        let question = question.map(|question| {
            Box::new(Asked {
                number: question.number,
                deadline: question.deadline,
                roles: question.approve.roles.clone(),
            })
        });
        desk.order(Command::Tell(Notice {
            question,
            id,
            at: desk.at,
            wall_ahead_ms: self.wall_ahead_ms,
            kind,
            service,
            host: desk.host.to_owned(),
            mode,
            incident,
            severity,
            trigger: trigger.map(str::to_owned).or(led),
            cause,
            current,
            target,
            reason: reason.to_owned(),
            next: next.to_owned(),
            stop: stop.to_owned(),
            notify,
            drill: self.incident.as_ref().is_some_and(|i| i.drill),
        }));
    }

    /// Calls a person: nothing more is done in this incident.
    pub(crate) fn escalate(&mut self, outcome: Outcome, reason: &str, desk: &mut Desk<'_>) {
        self.phase = Phase::Escalated { quiet_since: None };
        let failed = !matches!(outcome, Outcome::Undecided);
        if let Some(incident) = &mut self.incident {
            incident.outcome = Some(outcome);
            incident.held = None;
            for level in &mut incident.levels {
                // Whoever is called for a failure is called now; so is the
                // first level, which has to know that nothing more happens.
                if failed && level.level.on == LevelOn::Failed && level.told == 0 {
                    level.told = 1;
                    level.due = level.level.repeat.map(|every| desk.at + every);
                }
            }
        }
        self.note(What::Escalated, None, None, reason, desk);
        let kind = match outcome {
            Outcome::NotCured => NoticeKind::NotCured,
            Outcome::Failed | Outcome::TimedOut | Outcome::Aborted | Outcome::LostTrack => {
                NoticeKind::Failed
            }
            _ => NoticeKind::Escalated,
        };
        let number = self.incident.as_ref().map_or(0, |i| i.number);
        let stop = format!("backstop ack {number}  says that you look after it");
        let halfway = self
            .incident
            .as_ref()
            .and_then(|i| i.runs.last())
            .is_some_and(|run| {
                run.is_halfway() && run.steps.iter().any(|s| s.fate != Fate::NotRun)
            });
        let next = if halfway {
            format!(
                "Nothing more is done by itself: a person has to finish or undo what was begun; \
                 `backstop report {number}` has each step and what it printed."
            )
        } else {
            "Nothing more is done by itself: a person has to decide.".to_owned()
        };
        self.tell_about(kind, None, reason, &next, &stop, desk);
    }

    /// When something is due by time alone, if ever.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let phase = match &self.phase {
            Phase::Watching | Phase::Telling | Phase::Held | Phase::Escalated { .. } => None,
            Phase::Asking(question) => Some(question.deadline),
            Phase::Acting(run) => {
                let step = match run.state {
                    StepState::Ordered { .. } | StepState::Started { .. } => None,
                    StepState::Waiting { until } | StepState::Checking { until, .. } => Some(until),
                    StepState::Asking(ref question) => Some(question.deadline),
                };
                let whole = run.broken.is_none() && !run.only_counts();
                let whole = whole.then_some(run.deadline);
                earliest(step, whole)
            }
            Phase::Verifying(verification) => Some(verification.deadline),
            Phase::Cooling { until } => Some(*until),
        };
        let freeze = self.freeze.as_ref().and_then(|f| {
            let until = f.until?;
            Some(if self.freeze_told {
                until
            } else {
                freeze_told_at(f.since, until)
            })
        });
        let incident = self.incident.as_ref().and_then(|i| {
            let mut due = Some(i.update_due);
            match &i.acknowledged {
                Some(ack) => due = earliest(due, Some(ack.until)),
                None => {
                    for level in &i.levels {
                        due = earliest(due, level.due);
                    }
                }
            }
            due
        });
        earliest(earliest(phase, freeze), incident)
    }

    /// Does everything that is due by `now`, in the order in which it was due.
    pub(crate) fn wake(&mut self, now: Moment, desk: &mut Desk<'_>) {
        // Each turn removes what was due or moves it later; the bound only
        // keeps an error here from hanging the agent.
        for _ in 0..10_000 {
            let Some(due) = self.deadline().filter(|due| *due <= now) else {
                return;
            };
            desk.at = now;
            self.wake_once(due, now, desk);
        }
    }

    fn wake_once(&mut self, due: Moment, now: Moment, desk: &mut Desk<'_>) {
        if let Some(until) = self.freeze.as_ref().and_then(|f| f.until) {
            if until <= due {
                let ended = self.freeze.take();
                self.freeze_ended(ended.and_then(|freeze| freeze.emergency), desk);
                return;
            }
            let since = self.freeze.as_ref().map_or(until, |f| f.since);
            if !self.freeze_told && freeze_told_at(since, until) <= due {
                self.freeze_told = true;
                let emergency = self.freeze.as_ref().and_then(|f| f.emergency.as_ref());
                let left = Short(until.since(now));
                let reason = match emergency {
                    None => format!("the freeze ends in {left}"),
                    Some(Override { plan, .. }) => {
                        format!("the emergency override ends in {left}; then validate: {plan}")
                    }
                };
                let stop = format!("backstop freeze {} --for …", self.policy.service);
                self.tell_about(
                    NoticeKind::FreezeEnding,
                    None,
                    &reason,
                    "Then it acts again.",
                    &stop,
                    desk,
                );
                return;
            }
        }
        if self.wake_incident(due, now, desk) {
            return;
        }
        match &self.phase {
            Phase::Asking(_) => self.unanswered(desk),
            Phase::Acting(run) if run.is_out_of_time(due) => {
                let reason = run.overrun();
                self.break_run(Outcome::TimedOut, &reason, desk);
            }
            Phase::Acting(_) => self.step_due(desk),
            Phase::Verifying(_) => self.not_verified(desk),
            Phase::Cooling { .. } => self.close(Outcome::Cured, "it stayed quiet", desk),
            Phase::Watching | Phase::Telling | Phase::Held | Phase::Escalated { .. } => {}
        }
    }

    /// It acts again. After an emergency override people are told what they said
    /// they would validate then.
    fn freeze_ended(&mut self, emergency: Option<Override>, desk: &mut Desk<'_>) {
        let Some(emergency) = emergency else {
            self.note(What::FreezeEnded, None, None, "the freeze ended", desk);
            return;
        };
        let reason = format!(
            "the emergency override that {} authorised has ended; to validate now: {}",
            emergency.authorised_by, emergency.plan
        );
        self.note(What::FreezeEnded, None, None, &reason, desk);
        let next = "It acts again.";
        self.tell_about(NoticeKind::FreezeEnding, None, &reason, next, "", desk);
    }

    /// Levels, acknowledgements and updates of the open incident.
    fn wake_incident(&mut self, due: Moment, now: Moment, desk: &mut Desk<'_>) -> bool {
        let Some(incident) = &mut self.incident else {
            return false;
        };
        if incident
            .acknowledged
            .as_ref()
            .is_some_and(|a| a.until <= due)
        {
            incident.acknowledged = None;
            return true;
        }
        if incident.update_due <= due {
            incident.update_due = now + UPDATE_EVERY;
            let reason = format!(
                "open for {}, {}",
                Short(now.since(incident.opened)),
                self.phase.name()
            );
            self.tell_about(NoticeKind::Update, None, &reason, "", "", desk);
            return true;
        }
        if incident.acknowledged.is_some() {
            return false;
        }
        let number = incident.number;
        let opened = incident.opened;
        let Some(level) = incident
            .levels
            .iter_mut()
            .find(|l| l.due.is_some_and(|d| d <= due))
        else {
            return false;
        };
        level.told += 1;
        level.due = level.level.repeat.map(|every| now + every);
        let notify = level.level.notify.clone();
        let reason = format!(
            "incident {number} has been open for {} and nobody has acknowledged it",
            Short(now.since(opened))
        );
        let stop = format!("backstop ack {number}");
        self.note(What::Escalated, None, None, &reason, desk);
        let words = (reason.as_str(), "", stop.as_str());
        self.tell(NoticeKind::Escalated, None, words, notify, desk);
        true
    }
}

fn earliest(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The end of a freeze is told five minutes ahead, or when three quarters of a
/// short one are over.
fn freeze_told_at(since: Moment, until: Moment) -> Moment {
    until - FREEZE_AHEAD.min(until.since(since) / 4)
}
