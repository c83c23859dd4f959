//! Who decided what, and what was refused.

use super::page::{Block, Page, Span, plain};
use super::{Report, note};
use crate::guard::What;

impl Report<'_> {
    pub(super) fn decisions(&self, page: &mut Page) {
        page.heading(2, "Decisions");
        let lead = self
            .policy
            .and_then(|p| p.triggers.iter().find(|t| t.name == self.incident.trigger));
        if let Some(trigger) = lead {
            let severity = trigger.severity.name();
            page.blocks.push(Block::Text(vec![
                Span::Plain(format!(
                    "The policy's response to {}, {severity}, is ",
                    trigger.name
                )),
                Span::Code(trigger.response.name().into()),
                Span::Plain(".".into()),
            ]));
        }
        let notes = self.notes().iter().filter(|n| is_decision(n.what));
        let mut lines: Vec<_> = notes
            .map(|n| plain(format!("{}: {}", self.time(n.at), note::line(n))))
            .collect();
        if let Some(approval) = &self.incident.approval {
            let by: Vec<&str> = approval.by.iter().map(|p| p.name.as_str()).collect();
            let by = if by.is_empty() {
                "nobody; the policy rolls back without an answer".into()
            } else {
                by.join(", ")
            };
            lines.push(plain(format!("Agreed to by {by}.")));
        }
        if lines.is_empty() {
            page.text("No person was asked, and none stepped in.");
        } else {
            page.list(lines);
        }
    }
}

/// What people, or the policy in their place, decided; and what was refused.
const fn is_decision(what: What) -> bool {
    matches!(
        what,
        What::Asked
            | What::Declared
            | What::Answered
            | What::AnswerIgnored
            | What::Withdrawn
            | What::Overtaken
            | What::Dismissed
            | What::Held
            | What::RollingBack
            | What::WouldRollBack
            | What::WouldAsk
            | What::Escalated
            | What::Acknowledged
            | What::Ordered
            | What::Aborted
            | What::Refused
            | What::Frozen
            | What::Unfrozen
            | What::Distrusted
    )
}
