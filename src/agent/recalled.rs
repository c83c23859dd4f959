//! An incident that the state has forgotten, put together again from what the
//! journal has of it.
//!
//! A service keeps its last closed incidents at hand and no more. What was
//! noted, ordered and told of an older one is in the decisions log, and in it
//! is all that a report asks for: a note for each turn, the notices with the
//! releases that they named, the answers of people, and the policy that was in
//! force. Nothing is guessed: what the log does not say stays empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::guard::{
    Acknowledgement, Approval, Command, Event, Fate, Incident, Note, Notice, NoticeKind, Outcome,
    Person, RunRecord, StepRecord, What,
};
use crate::journal::{Body, Record};
use crate::model::{Mode, Moment, Policy, Response, Severity, Trigger};

/// What is recalled of one incident while its records pass by.
#[derive(Debug)]
pub(super) struct Recalled {
    number: u64,
    /// The policies in force, by service.
    policies: BTreeMap<String, Arc<Policy>>,
    /// The last run's number, over all services.
    last_ticket: u64,
    incident: Option<Incident>,
    /// The policy in force when it opened.
    policy: Option<Arc<Policy>>,
    wall_ahead_ms: Option<i64>,
    /// What a person brought, and whether it was a yes, as long as what it led
    /// to passes by.
    word: Option<Word>,
    /// Who agreed to the question that is open, and until when it is.
    agreed: Vec<Person>,
    until: Option<Moment>,
    /// The first step of the last run whose end has not passed by.
    step: usize,
    /// The cure of the last run is being proven: it has ended.
    verifying: bool,
}

#[derive(Debug)]
struct Word {
    /// The number of the fact.
    seq: u64,
    by: Person,
    yes: bool,
    /// It ordered a drill.
    drill: bool,
}

impl Recalled {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            policies: BTreeMap::new(),
            last_ticket: 0,
            incident: None,
            policy: None,
            wall_ahead_ms: None,
            word: None,
            agreed: Vec::new(),
            until: None,
            step: 0,
            verifying: false,
        }
    }

    /// The incident, once its opening has passed by; the policy that was in
    /// force then; and how far the wall clock was ahead, in milliseconds.
    pub(super) fn take(self) -> (Option<Incident>, Option<Arc<Policy>>, Option<i64>) {
        (self.incident, self.policy, self.wall_ahead_ms)
    }

    /// Lets a record pass by; all of them, in their order.
    pub(super) fn see(&mut self, record: &Record) {
        match &record.body {
            Body::Event(event) => self.event(record.seq, event),
            Body::Commands { cause, commands } => {
                self.word.take_if(|word| word.seq != *cause);
                for command in commands {
                    match command {
                        Command::Note(note) => self.note(note),
                        Command::Tell(notice) if notice.incident == Some(self.number) => {
                            self.told(notice);
                        }
                        Command::Tell(_) | Command::Run(_) | Command::Cancel { .. } => {}
                    }
                }
            }
            Body::Anchor(_) | Body::Lost(_) => {}
        }
    }

    fn event(&mut self, seq: u64, event: &Event) {
        self.word = match event {
            Event::Revised { policy, .. } => {
                let name = policy.service.clone();
                self.policies.insert(name, Arc::clone(policy));
                None
            }
            Event::Answered { by, approve, .. } => Some(Word {
                seq,
                by: by.clone(),
                yes: *approve,
                drill: false,
            }),
            Event::Ordered { by, drill, .. } => Some(Word {
                seq,
                by: by.clone(),
                yes: true,
                drill: *drill,
            }),
            Event::Acknowledged { by, .. } => Some(Word {
                seq,
                by: by.clone(),
                yes: true,
                drill: false,
            }),
            _ => None,
        };
    }

    fn note(&mut self, note: &Note) {
        // Runs are numbered over all services, those in shadow too.
        match note.what {
            What::RollingBack => {
                self.last_ticket = ticket_and_plan(&note.reason).map_or(self.last_ticket, |f| f.0);
            }
            What::WouldRollBack => self.last_ticket += 1,
            _ => {}
        }
        if note.incident != Some(self.number) {
            return;
        }
        if note.what == What::Opened {
            self.open(note);
        }
        let Some(mut incident) = self.incident.take() else {
            return;
        };
        self.turn(&mut incident, note);
        incident.note(note.clone());
        self.incident = Some(incident);
    }

    fn open(&mut self, note: &Note) {
        self.policy = self.policies.get(&note.service).cloned();
        let trigger = note.trigger.clone().unwrap_or_default();
        let lead = self.find(&note.service, &trigger);
        self.incident = Some(Incident {
            number: self.number,
            service: note.service.clone(),
            opened: note.at,
            closed: None,
            mode: lead.map_or(Mode::Enforce, |t| t.mode),
            severity: lead.map_or(Severity::Critical, |t| t.severity),
            cause: note.cause.clone(),
            triggers: note.trigger.iter().cloned().collect(),
            trigger,
            release: None,
            held: None,
            approval: None,
            runs: Vec::new(),
            losses: Vec::new(),
            acknowledged: None,
            outcome: None,
            timeline: Vec::new(),
            left_out: 0,
            levels: Vec::new(),
            update_due: note.at,
            notices: 0,
            questions: 0,
            drill: self.word.as_ref().is_some_and(|word| word.drill),
        });
    }

    fn find(&self, service: &str, trigger: &str) -> Option<&Trigger> {
        let policy = self.policies.get(service)?;
        policy.triggers.iter().find(|t| t.name == trigger)
    }

    /// What a note says of how the incident stands.
    fn turn(&mut self, incident: &mut Incident, note: &Note) {
        match note.what {
            What::Told | What::Held => {
                let known = |t: &&String| !incident.triggers.contains(t);
                let joined = note.trigger.iter().find(known).cloned();
                incident.triggers.extend(joined);
            }
            What::Overtaken => {
                incident.trigger = note.trigger.clone().unwrap_or_default();
                incident.cause.clone_from(&note.cause);
                incident.approval = None;
                incident.outcome = None;
                if let Some(lead) = self.find(&incident.service, &incident.trigger) {
                    incident.severity = lead.severity;
                    incident.mode = lead.mode;
                }
            }
            What::Asked => {
                incident.questions += 1;
                self.agreed.clear();
                let lead = self.find(&incident.service, &incident.trigger);
                self.until = lead.and_then(|lead| match &lead.response {
                    Response::Approve(approve) => Some(note.at + approve.within),
                    Response::Rollback | Response::Alert => None,
                });
            }
            What::Answered => {
                let word = self.word.as_ref().filter(|word| word.yes);
                self.agreed.extend(word.map(|word| word.by.clone()));
            }
            What::Acknowledged => {
                incident.acknowledged = self.word.as_ref().map(|word| Acknowledgement {
                    by: word.by.clone(),
                    until: note.at,
                });
            }
            What::Ordered => incident.mode = Mode::Enforce,
            What::RollingBack | What::WouldRollBack => self.run(incident, note),
            What::StepStarted => self.step(incident, &note.reason, Fate::Begun),
            What::StepDone => self.step(incident, &note.reason, Fate::Done),
            What::StepFailed => {
                let again = note.reason.ends_with("; tried again");
                let fate = if again { Fate::Begun } else { Fate::Failed };
                self.step(incident, &note.reason, fate);
            }
            What::Verifying => {
                self.verifying = true;
                ended(incident, note.at);
            }
            What::Cured => outcome(incident, Outcome::Cured),
            What::NotCured => outcome(incident, Outcome::NotCured),
            What::Failed => self.broken(incident, note.at, Outcome::Failed),
            What::TimedOut => self.broken(incident, note.at, Outcome::TimedOut),
            What::Aborted => self.broken(incident, note.at, Outcome::Aborted),
            What::LostTrack => self.broken(incident, note.at, Outcome::LostTrack),
            What::Escalated => {
                // The cure was to be proven, and is not any more.
                if let Some(run) = incident.runs.last_mut().filter(|_| self.verifying) {
                    run.outcome.get_or_insert(Outcome::Aborted);
                }
            }
            What::Closed => {
                incident.closed = Some(note.at);
                incident.outcome = closed_as(&note.reason);
            }
            _ => {}
        }
    }

    fn run(&mut self, incident: &mut Incident, note: &Note) {
        let shadow = note.what == What::WouldRollBack;
        let lead = self.find(&incident.service, &incident.trigger);
        let (ticket, plan) = if shadow {
            (self.last_ticket, lead.map(|lead| lead.plan.clone()))
        } else {
            ticket_and_plan(&note.reason).map_or((self.last_ticket, None), |(t, p)| (t, Some(p)))
        };
        incident.runs.push(RunRecord {
            ticket,
            incident: self.number,
            plan: plan.unwrap_or_else(|| "rollback".to_owned()),
            started: note.at,
            ended: shadow.then_some(note.at),
            from: None,
            to: None,
            ordered_by: self
                .word
                .as_ref()
                .filter(|_| incident.timeline.last().map(|n| n.what) == Some(What::Ordered))
                .map(|word| word.by.clone()),
            shadow,
            goes_back: true,
            outcome: shadow.then_some(Outcome::WouldHaveRolledBack),
            steps: Vec::new(),
        });
        self.step = 0;
        self.verifying = false;
    }

    /// What became of a step: its note begins with its name.
    fn step(&mut self, incident: &mut Incident, reason: &str, fate: Fate) {
        let Some(run) = incident.runs.last_mut() else {
            return;
        };
        let named = |step: &StepRecord| {
            let rest = reason.strip_prefix(step.name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ' ']))
        };
        let mut rest = run.steps.iter_mut().enumerate().skip(self.step);
        if let Some((place, step)) = rest.find(|(_, step)| named(step)) {
            step.fate = fate;
            if fate != Fate::Begun {
                self.step = place + 1;
            }
        }
    }

    /// A run that did not reach its end; one that is over stays as it ended.
    fn broken(&self, incident: &mut Incident, at: Moment, how: Outcome) {
        if !self.verifying {
            ended(incident, at);
        }
        outcome(incident, how);
    }

    /// Notices name the releases, and come right after what they tell of.
    fn told(&mut self, notice: &Notice) {
        self.wall_ahead_ms = Some(notice.wall_ahead_ms);
        let Some(incident) = &mut self.incident else {
            return;
        };
        incident.notices += 1;
        match notice.kind {
            NoticeKind::Opened => incident.release.clone_from(&notice.current),
            NoticeKind::RollingBack => {
                let Some(run) = incident.runs.last_mut() else {
                    return;
                };
                run.from.clone_from(&notice.current);
                run.to.clone_from(&notice.target);
                let policy = self.policies.get(&notice.service);
                run.steps = policy.map_or_else(Vec::new, |policy| steps(policy, run));
            }
            NoticeKind::Decided => {
                let run = incident.runs.last_mut();
                if let Some(run) = run.filter(|run| run.shadow && run.started == notice.at) {
                    run.from.clone_from(&notice.current);
                    run.to.clone_from(&notice.target);
                } else if self.word.as_ref().is_none_or(|word| word.yes)
                    && incident.runs.iter().all(|run| run.ended.is_some())
                {
                    // Without a word it is the policy that says yes.
                    let said = self.word.is_some();
                    incident.approval = Some(Approval {
                        until: self.until.filter(|_| said),
                        by: self.agreed.drain(..).filter(|_| said).collect(),
                    });
                }
            }
            _ => {}
        }
    }
}

/// `run 7: plan rollback from release v42 to v41`. The name of a plan has no
/// spaces.
fn ticket_and_plan(reason: &str) -> Option<(u64, String)> {
    let (ticket, rest) = reason.strip_prefix("run ")?.split_once(": plan ")?;
    let plan = rest.split(' ').next()?;
    Some((ticket.parse().ok()?, plan.to_owned()))
}

/// `closed as not cured: everything has been clear since`.
fn closed_as(reason: &str) -> Option<Outcome> {
    let (words, _) = reason.strip_prefix("closed as ")?.split_once(':')?;
    serde_json::from_value(words.replace(' ', "_").into()).ok()
}

/// The steps of a run's plan; none of them has passed by.
fn steps(policy: &Policy, run: &RunRecord) -> Vec<StepRecord> {
    let check = policy.release.as_ref().and_then(|r| r.check.as_ref());
    let checked = check.filter(|_| run.to.is_some()).map(|_| StepRecord {
        name: "check the target".to_owned(),
        fate: Fate::NotRun,
    });
    let plan = policy.plans.get(&run.plan);
    let planned = plan.into_iter().flat_map(|plan| &plan.steps);
    let planned = planned.map(|step| StepRecord {
        name: step.name.clone(),
        fate: Fate::NotRun,
    });
    checked.into_iter().chain(planned).collect()
}

fn ended(incident: &mut Incident, at: Moment) {
    if let Some(run) = incident.runs.last_mut() {
        run.ended = Some(at);
    }
}

fn outcome(incident: &mut Incident, outcome: Outcome) {
    incident.outcome = Some(outcome);
    if let Some(run) = incident.runs.last_mut() {
        run.outcome = Some(outcome);
    }
}

#[cfg(test)]
mod tests;
