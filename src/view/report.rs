//! The incident report, in Markdown: what happened, on what evidence, who
//! decided, what was run and how it ended, whether it helped; and what is left
//! for people to fill in.
//!
//! Everything in it was recorded when it happened. What comes from outside is
//! escaped or fenced: a version cannot become a heading, and a step's output
//! cannot leave its block.

use std::fmt::Write as _;
use std::time::Duration;

use super::incidents::{IncidentView, RunLine};
use super::notice::measured;
use super::{note, value};
use crate::guard::{Fate, Incident, Note, Outcome, RunRecord, What};
use crate::model::{Mode, Moment, Output, Policy, StepEnd, Unit};

/// As much of each end of a step's output as the report shows, in characters.
const SHOWN: usize = 2000;

/// Longest text from outside on a line, in characters.
const TEXT: usize = 400;

/// An attempt of a step, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RanStep {
    /// The run.
    pub ticket: u64,
    /// What people call the step.
    pub name: String,
    /// From 0.
    pub attempt: u32,
    /// When it was ordered.
    pub ordered: Moment,
    /// How it ended; `None` while it runs, or when that is unknown.
    pub end: Option<StepEnd>,
}

/// What a report is made from.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// All its notes from the journal; without them its own bounded timeline is
    /// used.
    pub notes: Option<&'a [Note]>,
    /// The attempts of its steps, in order.
    pub steps: &'a [RanStep],
    /// The policy in force, for what people expected of the plan.
    pub policy: Option<&'a Policy>,
    /// The host.
    pub host: &'a str,
    /// Now.
    pub now: Moment,
    /// How far the wall clock is ahead, in milliseconds.
    pub wall_ahead_ms: i64,
}

impl Report<'_> {
    /// The report. Ends with a newline.
    #[must_use]
    pub fn markdown(&self) -> String {
        let view = IncidentView::new(self.incident, self.notes, self.now, self.wall_ahead_ms);
        let mut out = String::new();
        self.head(&mut out, &view);
        self.summary(&mut out, &view);
        self.impact(&mut out);
        self.evidence(&mut out);
        self.releases(&mut out, &view);
        self.decisions(&mut out);
        self.run(&mut out);
        self.verification(&mut out);
        timeline(&mut out, &view);
        self.left_to_people(&mut out);
        out
    }

    fn time(&self, at: Moment) -> String {
        value::time(at, self.wall_ahead_ms)
    }

    fn notes(&self) -> &[Note] {
        self.notes.unwrap_or(&self.incident.timeline)
    }

    fn first(&self, what: What) -> Option<&Note> {
        self.notes().iter().find(|n| n.what == what)
    }

    fn head(&self, out: &mut String, view: &IncidentView) {
        let shadow = if self.incident.mode == Mode::Shadow {
            "[shadow] "
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "# {shadow}Incident {}: {}, {}\n",
            self.incident.number,
            text(&self.incident.service),
            text(
                view.line
                    .trigger
                    .as_deref()
                    .unwrap_or("ordered by a person")
            ),
        );
    }

    fn summary(&self, out: &mut String, view: &IncidentView) {
        let incident = self.incident;
        let _ = writeln!(out, "## Summary\n");
        let _ = writeln!(out, "{}\n", self.sentence());
        let mut rows = vec![
            ("Service", text(&incident.service)),
            ("Host", text(self.host)),
            ("Severity", incident.severity.name().to_owned()),
            ("Opened", self.time(incident.opened)),
            (
                "Closed",
                incident
                    .closed
                    .map_or_else(|| "still open".into(), |c| self.time(c)),
            ),
            ("Lasted", view.line.lasting.clone()),
            (
                "Outcome",
                view.line
                    .outcome
                    .as_ref()
                    .map_or_else(|| "not known yet".into(), |o| o.replace('_', " ")),
            ),
        ];
        if let Some(cause) = &incident.cause {
            rows.push(("Policy", text(&cause.policy)));
        }
        if let Some(ack) = &incident.acknowledged {
            rows.push(("Looked after by", text(&ack.by.name)));
        }
        table(
            out,
            &["", ""],
            rows.into_iter().map(|(k, v)| vec![k.into(), v]),
        );
    }

    /// The whole story in a sentence or two.
    fn sentence(&self) -> String {
        let incident = self.incident;
        let mut said = match &incident.cause {
            Some(cause) => format!(
                "On {} `{}` met its condition {}: {}.",
                text(&incident.service),
                code(&incident.trigger),
                fenced(&cause.condition),
                text(&note::evidence(cause)),
            ),
            None => format!(
                "A person ordered a rollback of {}.",
                text(&incident.service)
            ),
        };
        let Some(run) = incident.runs.last() else {
            said.push_str(" Nothing was rolled back.");
            if let Some(held) = &incident.held {
                let _ = write!(said, " It is held: {}.", text(&held.reason));
            }
            return said;
        };
        let to = match (&run.from, &run.to) {
            (Some(from), Some(to)) => format!(" from {} to {}", text(from), text(to)),
            (_, Some(to)) => format!(" to {}", text(to)),
            (_, None) => String::new(),
        };
        if run.shadow {
            let _ = write!(said, " In enforce it would have rolled back{to}.");
            return said;
        }
        let ended = match run.outcome {
            None => format!("The rollback{to} is not over."),
            Some(Outcome::Cured) => format!("It was rolled back{to}, which cured it."),
            Some(Outcome::NotCured) => format!("It was rolled back{to}, which did not cure it."),
            Some(Outcome::Failed) => format!("The rollback{to} failed."),
            Some(Outcome::TimedOut) => format!("The rollback{to} did not end in time."),
            Some(Outcome::Aborted) => format!("The rollback{to} was aborted."),
            Some(Outcome::LostTrack) => {
                format!("The rollback{to} was lost track of: whether it finished is unknown.")
            }
            Some(
                Outcome::Recovered
                | Outcome::Dismissed
                | Outcome::Undecided
                | Outcome::WouldHaveRolledBack
                | Outcome::Unguarded,
            ) => format!("It was rolled back{to}."),
        };
        let _ = write!(said, " {ended}");
        said
    }

    /// From the first breach to the proof of cure, as far as it got.
    fn impact(&self, out: &mut String) {
        let incident = self.incident;
        let _ = writeln!(out, "## Impact\n");
        let began = incident.cause.as_ref().and_then(|c| c.since);
        let run = incident.runs.iter().rev().find(|r| !r.shadow);
        let marks = [
            ("The breach began", began),
            ("Detected: the incident opened", Some(incident.opened)),
            ("Decided: the rollback started", run.map(|r| r.started)),
            (
                "Rolled back: the last step ended",
                run.and_then(|r| r.ended),
            ),
            (
                "Restored: the cure was proven",
                self.first(What::Cured).map(|n| n.at),
            ),
            ("Closed", incident.closed),
        ];
        let first = began.unwrap_or(incident.opened);
        table(
            out,
            &["Mark", "At", "After the first"],
            marks.into_iter().filter_map(|(name, at)| {
                let at = at?;
                let after = if at == first {
                    "–".into()
                } else {
                    value::span(at.since(first))
                };
                Some(vec![name.into(), self.time(at), after])
            }),
        );
        if let Some(proof) = incident.cause.as_ref().and_then(|c| c.proof.as_ref()) {
            let _ = writeln!(
                out,
                "Over the whole hold {} of {} events were counted against the limit.\n",
                value::count(proof.hits),
                value::count(proof.events)
            );
        }
        let _ = writeln!(
            out,
            "_Users affected, orders or data lost: to fill in by people._\n"
        );
    }

    fn evidence(&self, out: &mut String) {
        let Some(cause) = &self.incident.cause else {
            return;
        };
        let _ = writeln!(out, "## Evidence\n");
        let (value, limit) = measured(Some(cause));
        let mut rows = vec![
            ("Trigger", text(&self.incident.trigger)),
            ("Condition", fenced(&cause.condition)),
            ("Signal", text(&cause.subject)),
        ];
        rows.extend(value.map(|v| ("Value", v)));
        rows.extend(limit.map(|l| ("Limit", l)));
        if cause.window_ms > 0 {
            let window = Duration::from_millis(cause.window_ms);
            rows.push(("Window", value::span(window)));
        }
        if let Some(evidence) = cause.evidence.as_ref().filter(|_| cause.unit != Unit::Flag) {
            rows.push((
                "Counted",
                format!(
                    "{}, {} samples that cover {}",
                    value::evidence(evidence),
                    evidence.scrapes,
                    value::span(evidence.covers)
                ),
            ));
        }
        rows.extend(cause.told.as_ref().map(|told| {
            let by = text(&note::said(told));
            ("Told", format!("{by} ({})", self.time(told.at)))
        }));
        rows.extend(cause.proof.as_ref().map(|p| ("Proof", value::proof(p))));
        rows.extend(cause.since.map(|s| ("Breached since", self.time(s))));
        rows.push(("Policy", text(&cause.policy)));
        table(
            out,
            &["", ""],
            rows.into_iter().map(|(k, v)| vec![k.into(), v]),
        );
        let joined: Vec<String> = self
            .incident
            .triggers
            .iter()
            .filter(|t| **t != self.incident.trigger)
            .map(|t| text(t))
            .collect();
        if !joined.is_empty() {
            let _ = writeln!(out, "Also fired meanwhile: {}.\n", joined.join(", "));
        }
    }

    fn releases(&self, out: &mut String, view: &IncidentView) {
        if self.incident.release.is_none() && view.rollbacks.is_empty() {
            return;
        }
        let _ = writeln!(out, "## Releases\n");
        if let Some(release) = &self.incident.release {
            let _ = writeln!(out, "{} ran when it opened.\n", text(release));
        }
        if view.rollbacks.is_empty() {
            return;
        }
        let or_dash = |v: &Option<String>| v.as_deref().map_or_else(|| "–".into(), text);
        table(
            out,
            &["Run", "Plan", "From", "To", "Started", "Took", "Outcome"],
            view.rollbacks.iter().map(|run: &RunLine| {
                vec![
                    run.ticket.to_string(),
                    text(&run.plan),
                    or_dash(&run.from),
                    or_dash(&run.to),
                    run.started.clone(),
                    if run.shadow {
                        "not run: shadow".into()
                    } else {
                        run.took.clone().unwrap_or_else(|| "not over".into())
                    },
                    run.outcome
                        .as_ref()
                        .map_or_else(|| "–".into(), |o| o.replace('_', " ")),
                ]
            }),
        );
    }

    fn decisions(&self, out: &mut String) {
        let _ = writeln!(out, "## Decisions\n");
        if let Some(trigger) = self
            .policy
            .and_then(|p| p.triggers.iter().find(|t| t.name == self.incident.trigger))
        {
            let _ = writeln!(
                out,
                "The policy's response to {}, {}, is `{}`.\n",
                text(&trigger.name),
                trigger.severity.name(),
                trigger.response.name()
            );
        }
        let mut none = true;
        for note in self.notes().iter().filter(|n| is_decision(n.what)) {
            none = false;
            let _ = writeln!(out, "- {}: {}", self.time(note.at), text(&note::line(note)));
        }
        if let Some(approval) = &self.incident.approval {
            none = false;
            let by: Vec<String> = approval.by.iter().map(|p| text(&p.name)).collect();
            let by = if by.is_empty() {
                "nobody; the policy rolls back without an answer".into()
            } else {
                by.join(", ")
            };
            let _ = writeln!(out, "- Agreed to by {by}.");
        }
        if none {
            let _ = writeln!(out, "No person was asked, and none stepped in.");
        }
        out.push('\n');
    }

    fn run(&self, out: &mut String) {
        let known = |run: &&RunRecord| !run.steps.is_empty();
        let runs: Vec<&RunRecord> = self.incident.runs.iter().filter(known).collect();
        if self.steps.is_empty() && runs.is_empty() {
            return;
        }
        let _ = writeln!(out, "## What was run\n");
        for run in &runs {
            let _ = writeln!(out, "Run {}, plan {}:\n", run.ticket, text(&run.plan));
            table(
                out,
                &["Step", "Name", "What became of it"],
                run.steps.iter().enumerate().map(|(i, step)| {
                    vec![
                        (i + 1).to_string(),
                        text(&step.name),
                        step.fate.name().to_owned(),
                    ]
                }),
            );
        }
        if let Some(run) = runs.last().filter(|run| run.is_halfway()) {
            by_hand(out, run);
        }
        for step in self.steps {
            let attempt = if step.attempt > 0 {
                format!(", attempt {}", step.attempt + 1)
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "### {} (run {}{attempt})\n",
                text(&step.name),
                step.ticket
            );
            match &step.end {
                Some(end) => {
                    let _ = writeln!(
                        out,
                        "Ordered {}, {} after {}.\n",
                        self.time(step.ordered),
                        text(&end.how.to_string()),
                        value::span(end.took)
                    );
                    block(out, &end.output);
                }
                None => {
                    let _ = writeln!(
                        out,
                        "Ordered {}; its end is not known.\n",
                        self.time(step.ordered)
                    );
                }
            }
        }
        self.expectation(out);
    }

    /// What people expected of the plan, beside what happened.
    fn expectation(&self, out: &mut String) {
        let Some(run) = self.incident.runs.iter().rev().find(|r| !r.shadow) else {
            return;
        };
        let Some(plan) = self.policy.and_then(|p| p.plans.get(&run.plan)) else {
            return;
        };
        let Some((expect, ended)) = plan.expect.zip(run.ended) else {
            return;
        };
        let took = ended.since(run.started);
        let _ = writeln!(
            out,
            "The plan was expected to take {}; it took {}{}.\n",
            value::span(expect),
            value::span(took),
            if took > expect { ", longer" } else { "" }
        );
    }

    fn verification(&self, out: &mut String) {
        let what = [What::Verifying, What::Cured, What::NotCured];
        let notes: Vec<&Note> = self
            .notes()
            .iter()
            .filter(|n| what.contains(&n.what))
            .collect();
        if notes.is_empty() {
            return;
        }
        let _ = writeln!(out, "## Verification\n");
        for note in notes {
            let _ = writeln!(out, "- {}: {}", self.time(note.at), text(&note::line(note)));
        }
        out.push('\n');
    }

    /// What no machine knows, and by when it is wanted.
    fn left_to_people(&self, out: &mut String) {
        let from = self.incident.closed.unwrap_or(self.incident.opened);
        let _ = writeln!(out, "## To fill in\n");
        for (name, hours, hint) in [
            (
                "Root cause",
                24,
                "What broke, and why was it not found before?",
            ),
            (
                "Prevention",
                48,
                "What is changed so that it cannot come back?",
            ),
            (
                "Lessons",
                72,
                "What went well, what did not, what was luck?",
            ),
        ] {
            let by = self.time(from + Duration::from_hours(hours));
            let _ = writeln!(out, "### {name} (within {hours} h, by {by})\n\n_{hint}_\n");
        }
        // One newline at the end, not two.
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
}

fn timeline(out: &mut String, view: &IncidentView) {
    let _ = writeln!(out, "## Timeline\n");
    table(
        out,
        &["At", "What"],
        view.timeline
            .iter()
            .map(|line| vec![line.at.clone(), text(&line.text)]),
    );
    if view.left_out > 0 {
        let _ = writeln!(
            out,
            "{} notes in the middle are only in the journal.\n",
            view.left_out
        );
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

fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(out, "| {} |", head.join(" | "));
    let _ = writeln!(out, "|{}", " --- |".repeat(head.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
}

/// Text from outside on one line, with what Markdown or HTML would take for
/// markup inside a line escaped (`CommonMark` 0.31, *Backslash escapes*). What
/// is markup only at a line's beginning is left: no line begins with it.
fn text(outside: &str) -> String {
    let line = value::one_line(outside, TEXT);
    let mut escaped = String::with_capacity(line.len());
    let mut before = ' ';
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let markup = match c {
            '\\' | '`' | '*' | '[' | ']' | '|' | '&' | '~' => true,
            // Inside a word, or before a blank, these are what they look like,
            // and a report that is read as text should not be littered.
            '_' => !before.is_alphanumeric(),
            '<' => rest.peek().is_some_and(|next| !next.is_whitespace()),
            _ => false,
        };
        if markup {
            escaped.push('\\');
        }
        escaped.push(c);
        before = c;
    }
    escaped
}

/// Text from outside between backticks that are there already.
fn code(outside: &str) -> String {
    value::one_line(outside, TEXT).replace('`', "'")
}

/// Text from outside as a span of code in a table's cell.
fn fenced(outside: &str) -> String {
    format!("`{}`", code(outside).replace('|', "\\|"))
}

/// What a rollback that was broken off leaves to people, step by step.
fn by_hand(out: &mut String, run: &RunRecord) {
    let left = run.steps.iter().filter_map(|step| {
        let part = match step.fate {
            Fate::Done => return None,
            Fate::NotRun => "was not run: do it, or make sure that it is not needed",
            Fate::Failed => "failed: part of it may be done; look, then finish or undo it",
            Fate::Begun => "was begun and its end is unknown: look whether it still runs",
        };
        Some(format!("- [ ] {} {part}", text(&step.name)))
    });
    let left: Vec<String> = left.collect();
    if !left.is_empty() {
        let _ = writeln!(
            out,
            "The rollback stands half way. A person has to see to this now:\n\n{}\n",
            left.join("\n")
        );
    }
}

/// What a step printed, in a block whose fence is longer than any run of
/// backticks in it.
fn block(out: &mut String, output: &Output) {
    let printed = bounded(output);
    if printed.trim().is_empty() {
        return;
    }
    let mut longest = 2;
    let mut run = 0;
    for c in printed.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let _ = writeln!(out, "{fence}text\n{}\n{fence}\n", printed.trim_end());
}

/// The first and the last of an output, printable.
fn bounded(output: &Output) -> String {
    let whole: Vec<char> = output
        .to_string()
        .chars()
        .map(|c| {
            if c != '\n' && c != '\t' && value::is_unprintable(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if whole.len() <= 2 * SHOWN {
        return whole.into_iter().collect();
    }
    let cut = whole.len() - 2 * SHOWN;
    let first: String = whole[..SHOWN].iter().collect();
    let last: String = whole[whole.len() - SHOWN..].iter().collect();
    format!("{first}\n[… {cut} characters left out; the journal has more …]\n{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup() {
        assert_eq!(
            text("v42 | <b> # `x` [y](z)"),
            r"v42 \| \<b> # \`x\` \[y\](z)"
        );
        assert_eq!(text("a\n# b < c > d"), "a # b < c > d");
        assert_eq!(text("error_rate"), "error_rate");
        assert_eq!(fenced("a | `b`"), r"`a \| 'b'`");
    }

    #[test]
    fn output_cannot_leave_its_block() {
        let mut out = String::new();
        block(&mut out, &Output::said("````\n# free\x1b[2J"));
        assert_eq!(out, "`````text\n````\n# free\u{fffd}[2J\n`````\n\n");
        let mut out = String::new();
        block(&mut out, &Output::said("  \n"));
        assert_eq!(out, "");
    }

    #[test]
    fn output_is_bounded_and_says_so() {
        let printed = bounded(&Output::said("é".repeat(10_000)));
        assert!(printed.contains("[… 6000 characters left out"));
        assert!(printed.chars().count() < 4200);
    }
}
