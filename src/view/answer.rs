//! The page behind a link in a notice: what is asked, on which evidence, until
//! when, and a form whose button answers.
//!
//! It needs no script, fetches nothing, and reads in light and dark and on a
//! telephone. To look at it answers nothing: previews, scanners and prefetching
//! browsers look at every link that they find.

use std::fmt::Write as _;
use std::time::Duration;

use super::notice::measured;
use super::report::escaped;
use super::value;
use crate::guard::{Incident, Phase, Question, Service, What};
use crate::model::{Moment, Otherwise};

/// The style that is in each page, for whoever says that no other may be.
pub const STYLE: &str = include_str!("answer.css");

/// Longest text from elsewhere, in characters.
const LONGEST: usize = 1000;

/// The two links that a notice has of a question. Whoever has one can answer
/// with it once, so that they are shown nowhere else.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AnswerLinks {
    pub approve: String,
    pub reject: String,
}

impl AnswerLinks {
    /// A text from outside with what is secret in both links taken out: their
    /// last parts.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let secret = |link: &str| link.rsplit('/').next().unwrap_or_default().to_owned();
        [&self.approve, &self.reject]
            .into_iter()
            .map(|link| secret(link))
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| {
                text.replace(&secret, "[secret]")
            })
    }
}

impl std::fmt::Debug for AnswerLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerLinks(…)")
    }
}

/// A question that can still be answered.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The service that it is about.
    pub service: &'a Service,
    /// Its incident.
    pub incident: &'a Incident,
    /// The question.
    pub question: &'a Question,
    /// The host the agent runs on.
    pub host: &'a str,
    /// What the link answers.
    pub approve: bool,
    /// Whom its answer comes from.
    pub who: &'a str,
    /// The moment now.
    pub now: Moment,
}

impl Asking<'_> {
    /// What is asked, and the form.
    #[must_use]
    pub fn page(&self) -> String {
        let (word, class) = if self.approve {
            ("Approve", "yes")
        } else {
            ("Reject", "no")
        };
        let asked = self.incident.timeline.iter().rev();
        let asked = asked.clone().find(|note| note.what == What::Asked);
        let asked = asked.map_or("what is asked?", |note| note.reason.as_str());
        let (question, needed) = match asked.split_once("? ") {
            Some((question, needed)) => (format!("{question}?"), Some(needed)),
            None => (asked.to_owned(), None),
        };
        let mut body = format!(
            "<h1>{}: {}</h1>\n<p>Nothing is answered yet. The button below answers <strong>{}</strong> \
             in the name of <strong>{}</strong>, once.</p>\n<dl>\n",
            shown(&self.incident.service),
            shown(&question),
            word.to_lowercase(),
            shown(self.who)
        );
        for (name, text) in self.facts(needed) {
            let _ = writeln!(body, "<dt>{name}</dt><dd>{}</dd>", shown(&text));
        }
        let _ = writeln!(
            body,
            "</dl>\n<form method=\"post\">\n<label for=\"reason\">In your words</label>\n\
             <input id=\"reason\" name=\"reason\" maxlength=\"400\" autocomplete=\"off\" \
             placeholder=\"may be left empty\">\n<button class=\"{class}\">{word}</button>\n</form>"
        );
        page(&format!("{word}? {}", self.incident.service), &body)
    }

    fn facts(&self, needed: Option<&str>) -> Vec<(&'static str, String)> {
        let time = |at| value::time(at, self.service.wall_ahead_ms);
        let (incident, question) = (self.incident, self.question);
        let mut facts = vec![
            (
                "Incident",
                format!("{}, {}", incident.number, incident.severity.name()),
            ),
            ("Host", self.host.to_owned()),
        ];
        facts.extend(incident.release.clone().map(|r| ("Running", r)));
        if let Some(cause) = &incident.cause {
            facts.push(("Condition", cause.condition.clone()));
            let (value, limit) = measured(Some(cause));
            let limit = limit.map_or_else(String::new, |l| format!(", the limit is {l}"));
            facts.extend(value.map(|v| ("Value", format!("{} is {v}{limit}", cause.subject))));
            let window = Duration::from_millis(cause.window_ms);
            facts.extend(cause.evidence.as_ref().map(|evidence| {
                let counted = value::evidence(evidence);
                ("Evidence", format!("{counted} in {}", value::span(window)))
            }));
            facts.extend(super::note::baseline(cause).map(|b| ("Limit", b)));
            facts.extend(super::note::proof(cause).map(|p| ("Proof", p)));
            facts.extend(cause.since.map(|since| ("Since", time(since))));
        }
        let agreed: Vec<&str> = question.approvals.iter().map(|p| p.name.as_str()).collect();
        let agreed = match agreed.as_slice() {
            [] => "nobody yet".to_owned(),
            names => names.join(", "),
        };
        facts.extend(needed.map(|needed| ("Needed", needed.to_owned())));
        facts.push(("Agreed so far", agreed));
        let left = question.deadline.since(self.now);
        facts.push((
            "Answer until",
            format!(
                "{}, {} from now",
                time(question.deadline),
                value::span(left)
            ),
        ));
        facts.push(("Without an answer", self.unanswered().to_owned()));
        facts
    }

    fn unanswered(&self) -> &'static str {
        let is_step = matches!(self.service.phase, Phase::Acting(_));
        match (self.question.approve.otherwise, is_step) {
            (Otherwise::Escalate, false) => "a person is called",
            (Otherwise::Dismiss, false) => "nothing is done",
            (Otherwise::Rollback, false) => "it rolls back",
            (Otherwise::Escalate | Otherwise::Dismiss, true) => {
                "the plan is broken off here, and a person is called"
            }
            (Otherwise::Rollback, true) => "the plan goes on",
        }
    }
}

/// What came of an answer, or why a link answers nothing: a headline and what
/// there is to say.
#[must_use]
pub fn said_page(headline: &str, said: &[String]) -> String {
    let mut body = format!("<h1>{}</h1>\n", shown(headline));
    for line in said {
        let _ = writeln!(body, "<p>{}</p>", shown(line));
    }
    body.push_str(
        "<p class=\"soft\"><code>backstop status</code> on the host says how it stands.</p>\n",
    );
    page(headline, &body)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"robots\" content=\"noindex\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         </body>\n</html>\n",
        shown(title)
    )
}

fn shown(text: &str) -> String {
    escaped(&value::one_line(text, LONGEST))
}
