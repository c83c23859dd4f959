//! Asking people, and what they answer.
//!
//! Who answers is whoever sits at the socket, not who they claim to be. A
//! person counts once. Late and foreign answers are only noted. Approval is not
//! acknowledgement: `ack` pauses the escalation and decides nothing.

use std::time::Duration;

use super::desk::Desk;
use super::{
    Acknowledgement, Act, Approval, Command, Did, NoticeKind, Outcome, Person, Phase, Question,
    Service, StepState, What,
};
use crate::model::{Approve, Moment, Otherwise, Short, Trigger};

/// What somebody answers.
pub(crate) struct Answer<'a> {
    pub(crate) by: &'a Person,
    /// The role that they speak as, if they say so.
    pub(crate) role: Option<&'a str>,
    pub(crate) approve: bool,
    /// May be empty.
    pub(crate) reason: &'a str,
    /// The only question that it may answer.
    pub(crate) link: Option<u32>,
}

/// How long an acknowledgement pauses the escalation (SPEC 3).
const ACKNOWLEDGED_FOR: Duration = Duration::from_mins(30);

impl Service {
    pub(crate) fn ask(
        &mut self,
        trigger: &Trigger,
        approve: &Approve,
        target: Option<&str>,
        desk: &mut Desk<'_>,
    ) {
        let number = self.incident.as_ref().map_or(0, |i| i.number);
        let to = target.map_or_else(String::new, |t| format!(" to release {t}"));
        let reason = format!(
            "roll back{to} with plan {}? {}",
            trigger.plan,
            needed(approve)
        );
        let next = match approve.otherwise {
            Otherwise::Escalate => "Without an answer a person is called.",
            Otherwise::Rollback => "Without an answer it rolls back.",
            Otherwise::Dismiss => "Without an answer nothing is done.",
        };
        let cause = self.cause(&trigger.name);
        let asked = self.question(approve, desk.at);
        self.phase = Phase::Asking(asked);
        self.note(What::Asked, Some(&trigger.name), cause, &reason, desk);
        let stop = format!("backstop approve {number}  or  backstop reject {number}");
        self.tell_about(
            NoticeKind::Asked,
            Some(&trigger.name),
            &reason,
            next,
            &stop,
            desk,
        );
    }

    pub(crate) fn answered(&mut self, answer: &Answer<'_>, desk: &mut Desk<'_>) {
        let Answer { by, role, .. } = *answer;
        let said = answer.in_words();
        let Some(question) = self.phase.question_mut() else {
            if self.witnessed(answer, desk.at) {
                // A false alarm in shadow can be said to be one.
                let kept = format!("{said}: nothing is being asked, the shadow ledger has it");
                self.note(What::Answered, None, None, &kept, desk);
                return;
            }
            let ignored = format!("{said}, but nothing is being asked");
            self.note(What::AnswerIgnored, None, None, &ignored, desk);
            return;
        };
        if answer.link.is_some_and(|number| number != question.number) {
            let ignored = format!("{said}, but that is asked no more: another question is");
            self.note(What::AnswerIgnored, None, None, &ignored, desk);
            return;
        }
        if let Err(why) = may_answer(&question.approve, by, role) {
            let ignored = format!("{said}, but {why}");
            self.note(What::AnswerIgnored, None, None, &ignored, desk);
            return;
        }
        if !answer.approve {
            self.witnessed(answer, desk.at);
            self.note(What::Answered, None, None, &said, desk);
            self.tell_about(NoticeKind::Decided, None, &said, "", "", desk);
            if let Phase::Acting(run) = &self.phase {
                let name = run.step_name();
                let reason = format!("{name} was not agreed to: {said}");
                self.break_run(Outcome::Aborted, &reason, desk);
                return;
            }
            self.note(What::Dismissed, None, None, &said, desk);
            self.close(Outcome::Dismissed, &said, desk);
            return;
        }
        if question.approvals.iter().any(|p| p.name == by.name) {
            let ignored = format!("{said} again: a person counts once");
            self.note(What::AnswerIgnored, None, None, &ignored, desk);
            return;
        }
        let mut by = by.clone();
        if let Some(role) = role {
            // Who speaks as one role speaks for no other.
            by.roles = vec![role.to_owned()];
        }
        question.approvals.push(by);
        let missing = question.missing();
        let (have, need) = (question.approvals.len(), question.approve.quorum as usize);
        let approval = Approval {
            by: question.approvals.clone(),
            until: Some(question.deadline),
        };
        let counted = match &missing {
            Some(roles) => format!("{said} ({have} of {need}; still asked: {roles})"),
            None => format!("{said} ({have} of {need})"),
        };
        self.witnessed(answer, desk.at);
        self.note(What::Answered, None, None, &counted, desk);
        if have < need || missing.is_some() {
            return;
        }
        if let Phase::Acting(run) = &self.phase {
            let next = format!("It goes on with {}.", run.step_name());
            self.tell_about(NoticeKind::Decided, None, &counted, &next, "", desk);
            self.step_agreed(approval.by, desk);
        } else {
            self.consent(approval, &counted, desk);
        }
    }

    /// What triggers in shadow fired in the open incident, people answered.
    /// Whether one fired within the hour.
    fn witnessed(&mut self, answer: &Answer<'_>, at: Moment) -> bool {
        let did = if answer.approve {
            Did::Approved
        } else {
            Did::Rejected
        };
        let act = Act::new(at, did, Some(&answer.by.name), "");
        let open = self.incident.as_ref().map(|i| i.number);
        open.is_some_and(|number| self.witness_of(number, &act))
    }

    /// A link was followed when the incident was over.
    pub(crate) fn answered_too_late(
        &mut self,
        number: u64,
        answer: &Answer<'_>,
        desk: &mut Desk<'_>,
    ) {
        let Some(incident) = self.closed.iter_mut().find(|i| i.number == number) else {
            return;
        };
        let ignored = format!("{}, but the incident is closed", answer.in_words());
        let mut note = desk.noted(&self.policy.service, What::AnswerIgnored, ignored);
        note.incident = Some(number);
        incident.note(note.clone());
        desk.order(Command::Note(note));
    }

    /// The incident's next question.
    fn question(&mut self, approve: &Approve, at: Moment) -> Question {
        let number = self.incident.as_mut().map_or(0, |incident| {
            incident.questions += 1;
            incident.questions
        });
        Question {
            number,
            asked: at,
            deadline: at + approve.within,
            approve: approve.clone(),
            approvals: Vec::new(),
        }
    }

    /// A step needs people's consent. They have their own time for it, by which
    /// the plan's is longer.
    pub(crate) fn ask_for_step(&mut self, name: &str, approve: &Approve, desk: &mut Desk<'_>) {
        let number = self.incident.as_ref().map_or(0, |i| i.number);
        if !matches!(self.phase, Phase::Acting(_)) {
            return;
        }
        let asked = self.question(approve, desk.at);
        let Phase::Acting(run) = &mut self.phase else {
            return;
        };
        run.deadline = run.deadline + approve.within;
        run.state = StepState::Asking(asked);
        let reason = format!(
            "go on with {name} of plan {}? {}",
            run.plan_name,
            needed(approve)
        );
        let next = match approve.otherwise {
            Otherwise::Escalate | Otherwise::Dismiss => {
                "Without an answer the plan is broken off here, and a person is called."
            }
            Otherwise::Rollback => "Without an answer it goes on.",
        };
        self.note(What::Asked, None, None, &reason, desk);
        let stop = format!("backstop approve {number}  or  backstop reject {number}");
        self.tell_about(NoticeKind::Asked, None, &reason, next, &stop, desk);
    }

    /// Nobody answered in time whether the plan may go on.
    pub(crate) fn step_unanswered(&mut self, desk: &mut Desk<'_>) {
        let Phase::Acting(run) = &self.phase else {
            return;
        };
        let StepState::Asking(question) = &run.state else {
            return;
        };
        let reason = format!("{}: {}", run.step_name(), question.short_of());
        match question.approve.otherwise {
            Otherwise::Escalate | Otherwise::Dismiss => {
                self.note(What::StepSkipped, None, None, &reason, desk);
                self.break_run(Outcome::TimedOut, &reason, desk);
            }
            Otherwise::Rollback => {
                let reason = format!("{reason}; the policy goes on then");
                self.note(What::Answered, None, None, &reason, desk);
                self.step_agreed(Vec::new(), desk);
            }
        }
    }

    /// People, or the policy's `otherwise`, said yes.
    fn consent(&mut self, approval: Approval, reason: &str, desk: &mut Desk<'_>) {
        if let Some(incident) = &mut self.incident {
            incident.approval = Some(approval);
        }
        self.tell_about(
            NoticeKind::Decided,
            None,
            reason,
            "It rolls back.",
            "",
            desk,
        );
        if let Some(trigger) = self.lead() {
            self.follow(&trigger, desk);
        }
    }

    /// Nobody answered in time.
    pub(crate) fn unanswered(&mut self, desk: &mut Desk<'_>) {
        let Phase::Asking(question) = &self.phase else {
            return;
        };
        let reason = question.short_of();
        match question.approve.otherwise {
            Otherwise::Escalate => {
                if let Some(lead) = self.lead() {
                    self.spend(&lead.name);
                }
                self.escalate(Outcome::Undecided, &reason, desk);
            }
            Otherwise::Rollback => {
                let reason = format!("{reason}; the policy rolls back then");
                self.note(What::Answered, None, None, &reason, desk);
                let approval = Approval {
                    by: Vec::new(),
                    until: None,
                };
                self.consent(approval, &reason, desk);
            }
            Otherwise::Dismiss => {
                let reason = format!("{reason}; the policy does nothing then");
                self.note(What::Dismissed, None, None, &reason, desk);
                self.close(Outcome::Dismissed, &reason, desk);
            }
        }
    }

    pub(crate) fn acknowledged(&mut self, by: Person, reason: &str, desk: &mut Desk<'_>) {
        let until = desk.at + ACKNOWLEDGED_FOR;
        let said = match reason {
            "" => format!("{} looks after it", by.name),
            why => format!("{} looks after it: {why}", by.name),
        };
        if let Some(number) = self.incident.as_ref().map(|i| i.number) {
            let act = Act::new(desk.at, Did::Acknowledged, Some(&by.name), "");
            self.witness_of(number, &act);
        }
        let open = self.incident.as_mut();
        let was_open = open.is_some();
        if let Some(incident) = open {
            incident.acknowledged = Some(Acknowledgement { by, until });
        }
        let reason = format!("{said}; escalation pauses for {}", Short(ACKNOWLEDGED_FOR));
        self.note(What::Acknowledged, None, None, &reason, desk);
        if was_open {
            self.tell_about(
                NoticeKind::Acknowledged,
                None,
                &reason,
                "If it is still open then, people are called again.",
                "",
                desk,
            );
        }
    }
}

impl Answer<'_> {
    /// `ann approved: it is bad`.
    fn in_words(&self) -> String {
        let name = &self.by.name;
        let word = if self.approve { "approved" } else { "rejected" };
        let by = if self.link.is_some() {
            " by a link"
        } else {
            ""
        };
        match self.reason {
            "" => format!("{name} {word}{by}"),
            why => format!("{name} {word}{by}: {why}"),
        }
    }
}

impl Question {
    /// Where one of each role is asked: the roles that nobody speaks for yet. A
    /// person speaks for one role, whichever serves best.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        if !self.approve.each {
            return None;
        }
        let roles = &self.approve.roles;
        // Who speaks for each role, as far as it is known.
        let mut speaks: Vec<Option<usize>> = vec![None; roles.len()];
        for person in 0..self.approvals.len() {
            self.seat(person, &mut speaks, &mut vec![false; roles.len()]);
        }
        let free = roles.iter().zip(&speaks).filter(|(_, who)| who.is_none());
        let free: Vec<&str> = free.map(|(role, _)| role.as_str()).collect();
        (!free.is_empty()).then(|| free.join(", "))
    }

    /// Finds a role for a person, others moving to another of theirs where that
    /// makes room (Kuhn's augmenting paths).
    fn seat(&self, person: usize, speaks: &mut [Option<usize>], tried: &mut [bool]) -> bool {
        for (i, role) in self.approve.roles.iter().enumerate() {
            if tried[i] || !self.approvals[person].roles.contains(role) {
                continue;
            }
            tried[i] = true;
            if speaks[i].is_none_or(|other| self.seat(other, speaks, tried)) {
                speaks[i] = Some(person);
                return true;
            }
        }
        false
    }

    /// `1 of 2 agreed within 15m`.
    fn short_of(&self) -> String {
        format!(
            "{} of {} agreed within {}",
            self.approvals.len(),
            self.approve.quorum,
            Short(self.approve.within)
        )
    }
}

/// `2 of dba, technical-lead must agree within 15m`.
fn needed(approve: &Approve) -> String {
    let who = if approve.roles.is_empty() {
        "anybody who may use the socket".to_owned()
    } else {
        approve.roles.join(", ")
    };
    if approve.each {
        let more = if approve.quorum as usize > approve.roles.len() {
            format!(", {} people in all,", approve.quorum)
        } else {
            String::new()
        };
        return format!(
            "one of each of {who}{more} must agree within {}",
            Short(approve.within)
        );
    }
    format!(
        "{} of {who} must agree within {}",
        approve.quorum,
        Short(approve.within)
    )
}

/// Whether this person's answer counts: one of the asked roles must be held,
/// and a role claimed with `--as` must be both.
fn may_answer(approve: &Approve, by: &Person, role: Option<&str>) -> Result<(), String> {
    let asked = |r: &str| approve.roles.is_empty() || approve.roles.iter().any(|a| a == r);
    if let Some(role) = role {
        if !by.roles.iter().any(|held| held == role) {
            return Err(format!("does not hold the role {role}"));
        }
        if !asked(role) {
            return Err(format!("the role {role} is not asked"));
        }
        return Ok(());
    }
    if approve.roles.is_empty() || by.roles.iter().any(|held| asked(held)) {
        return Ok(());
    }
    Err(format!("holds none of {}", approve.roles.join(", ")))
}
