//! Asking people, and what they answer.
//!
//! Who answers is whoever sits at the socket, not who they claim to be. A
//! person counts once. Late and foreign answers are only noted. Approval is not
//! acknowledgement: `ack` pauses the escalation and decides nothing.

use std::time::Duration;

use super::desk::Desk;
use super::{
    Acknowledgement, Approval, NoticeKind, Outcome, Person, Phase, Question, Service, What,
};
use crate::model::{Approve, Otherwise, Short, Trigger};

/// How long an acknowledgement pauses the escalation (SPEC 3).
const ACKNOWLEDGED_FOR: Duration = Duration::from_mins(30);

impl Service {
    pub(crate) fn ask(
        &mut self,
        trigger: &Trigger,
        approve: Approve,
        target: Option<&str>,
        desk: &mut Desk<'_>,
    ) {
        let number = self.incident.as_ref().map_or(0, |i| i.number);
        let who = if approve.roles.is_empty() {
            "anybody who may use the socket".to_owned()
        } else {
            approve.roles.join(", ")
        };
        let to = target.map_or_else(String::new, |t| format!(" to release {t}"));
        let reason = format!(
            "roll back{to} with plan {}? {} of {who} must agree within {}",
            trigger.plan,
            approve.quorum,
            Short(approve.within)
        );
        let next = match approve.otherwise {
            Otherwise::Escalate => "Without an answer a person is called.",
            Otherwise::Rollback => "Without an answer it rolls back.",
            Otherwise::Dismiss => "Without an answer nothing is done.",
        };
        let cause = self.cause(&trigger.name);
        self.phase = Phase::Asking(Question {
            asked: desk.at,
            deadline: desk.at + approve.within,
            approve,
            approvals: Vec::new(),
        });
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

    pub(crate) fn answered(
        &mut self,
        by: &Person,
        role: Option<&str>,
        approve: bool,
        reason: &str,
        desk: &mut Desk<'_>,
    ) {
        let word = if approve { "approved" } else { "rejected" };
        let said = match reason {
            "" => format!("{} {word}", by.name),
            why => format!("{} {word}: {why}", by.name),
        };
        let question = match &mut self.phase {
            Phase::Asking(question) => question,
            Phase::Watching
            | Phase::Telling
            | Phase::Held
            | Phase::Acting(_)
            | Phase::Verifying(_)
            | Phase::Cooling { .. }
            | Phase::Escalated { .. } => {
                let ignored = format!("{said}, but nothing is being asked");
                self.note(What::AnswerIgnored, None, None, &ignored, desk);
                return;
            }
        };
        if let Err(why) = may_answer(&question.approve, by, role) {
            let ignored = format!("{said}, but {why}");
            self.note(What::AnswerIgnored, None, None, &ignored, desk);
            return;
        }
        if !approve {
            self.note(What::Answered, None, None, &said, desk);
            self.tell_about(NoticeKind::Decided, None, &said, "", "", desk);
            self.note(What::Dismissed, None, None, &said, desk);
            self.close(Outcome::Dismissed, &said, desk);
            return;
        }
        if question.approvals.iter().any(|p| p.name == by.name) {
            let ignored = format!("{said} again: a person counts once");
            self.note(What::AnswerIgnored, None, None, &ignored, desk);
            return;
        }
        question.approvals.push(by.clone());
        let (have, need) = (question.approvals.len(), question.approve.quorum as usize);
        let approval = Approval {
            by: question.approvals.clone(),
            until: Some(question.deadline),
        };
        let counted = format!("{said} ({have} of {need})");
        self.note(What::Answered, None, None, &counted, desk);
        if have >= need {
            self.consent(approval, &counted, desk);
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
        let reason = format!(
            "{} of {} agreed within {}",
            question.approvals.len(),
            question.approve.quorum,
            Short(question.approve.within)
        );
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
