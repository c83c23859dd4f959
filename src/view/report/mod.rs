//! The incident report: what happened, on what evidence, who decided, what was
//! run and how it ended, whether it helped; and what is left for people to fill
//! in. In Markdown, and as one HTML file.
//!
//! Everything in it was recorded when it happened. What comes from outside is
//! escaped or fenced: a version cannot become a heading, and a step's output
//! cannot leave its block. The plots are judged again from the recorded samples
//! by the very judge that decided; when the samples are gone, it says so.

mod after;
mod course;
mod decisions;
mod drill;
mod evidence;
pub(crate) mod html;
mod markdown;
pub(crate) mod page;
pub(crate) mod plot;
mod steps;

pub use self::drill::{
    DrillPoint, DrillReport, DrillTime, DrillVerdict, ScenarioEvent, ScenarioReport,
};
pub(in crate::view) use self::html::escaped;
use self::page::{Line, Page, Span, plain};
pub use self::plot::{Bound, Curve};
use super::incidents::IncidentView;
use super::{note, value};
use crate::guard::{Incident, Note, Outcome, RunRecord, What};
use crate::model::{Mode, Moment, Output, Policy, StepEnd};

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

/// What the recorded samples of an incident's time say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    /// A curve for each signal, those of fired triggers first.
    pub curves: Vec<Curve>,
    /// Whether each source that has health was up at the last tick, by name;
    /// `None` while that was undecided.
    pub sources: Vec<(String, Option<bool>)>,
    /// The last tick.
    pub until: Moment,
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
    /// The recorded samples of its time; `None` when the journal has none.
    pub signals: Option<&'a Signals>,
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
    /// As Markdown. Ends with a newline.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::write(&self.page())
    }

    /// As one HTML file that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        html::write(&self.page())
    }

    fn page(&self) -> Page {
        let view = IncidentView::new(self.incident, self.notes, self.now, self.wall_ahead_ms);
        let mut page = Page::default();
        self.head(&mut page, &view);
        self.summary(&mut page, &view);
        self.impact(&mut page);
        self.course(&mut page);
        self.evidence(&mut page);
        self.signals(&mut page);
        self.releases(&mut page, &view);
        self.decisions(&mut page);
        self.run(&mut page);
        self.verification(&mut page);
        timeline(&mut page, &view);
        self.checklist(&mut page);
        if !self.incident.drill {
            self.left_to_people(&mut page);
        }
        page
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

    /// The last run that was more than written down.
    fn last_run(&self) -> Option<&RunRecord> {
        self.incident.runs.iter().rev().find(|r| !r.shadow)
    }

    /// When the breach began; a person's order has none.
    fn began(&self) -> Option<Moment> {
        self.incident.cause.as_ref().and_then(|c| c.since)
    }

    /// When the cure was proven.
    fn cured(&self) -> Option<Moment> {
        self.first(What::Cured).map(|n| n.at)
    }

    fn head(&self, page: &mut Page, view: &IncidentView) {
        let lead = view.line.trigger.as_deref();
        let mut title = vec![Span::Plain(format!(
            "Incident {}: {}, {}",
            self.incident.number,
            self.incident.service,
            lead.unwrap_or("ordered by a person")
        ))];
        if self.incident.mode == Mode::Shadow {
            title.splice(
                0..0,
                [Span::Code("[shadow]".into()), Span::Plain(" ".into())],
            );
        }
        if self.incident.drill {
            title.splice(
                0..0,
                [Span::Code("[drill]".into()), Span::Plain(" ".into())],
            );
        }
        page.blocks.push(page::Block::Heading(1, title));
    }

    fn summary(&self, page: &mut Page, view: &IncidentView) {
        let incident = self.incident;
        page.heading(2, "Summary");
        page.blocks.push(page::Block::Text(self.sentence()));
        let closed = incident
            .closed
            .map_or("still open".into(), |c| self.time(c));
        let outcome = view.line.outcome.as_ref();
        let outcome = outcome.map_or("not known yet".into(), |o| o.replace('_', " "));
        let mut rows = vec![
            ("Service", plain(&incident.service)),
            ("Host", plain(self.host)),
            ("Severity", plain(incident.severity.name())),
            ("Opened", plain(self.time(incident.opened))),
            ("Closed", plain(closed)),
            ("Lasted", plain(&view.line.lasting)),
            ("Outcome", plain(outcome)),
        ];
        if let Some(cause) = &incident.cause {
            rows.push(("Policy", plain(&cause.policy)));
        }
        if let Some(ack) = &incident.acknowledged {
            rows.push(("Looked after by", plain(&ack.by.name)));
        }
        page.facts(rows);
    }

    /// The whole story in a sentence or two.
    fn sentence(&self) -> Line {
        let incident = self.incident;
        let mut said = match &incident.cause {
            Some(cause) => vec![
                Span::Plain(format!("On {} ", incident.service)),
                Span::Code(incident.trigger.clone()),
                Span::Plain(" met its condition ".into()),
                Span::Code(cause.condition.clone()),
                Span::Plain(format!(": {}.", note::evidence(cause))),
            ],
            None if incident.drill => plain(format!(
                "A person ordered a drill of {}: nothing was the matter, and the plan was really run.",
                incident.service
            )),
            None => plain(format!(
                "A person ordered a rollback of {}.",
                incident.service
            )),
        };
        let mut say = |text: String| said.push(Span::Plain(format!(" {text}")));
        let Some(run) = incident.runs.last() else {
            say("Nothing was rolled back.".into());
            if let Some(held) = &incident.held {
                say(format!("It is held: {}.", held.reason));
            }
            return said;
        };
        let to = match (&run.from, &run.to) {
            (Some(from), Some(to)) => format!(" from {from} to {to}"),
            (_, Some(to)) => format!(" to {to}"),
            (_, None) => String::new(),
        };
        if run.shadow {
            say(format!("In enforce it would have rolled back{to}."));
            return said;
        }
        say(match run.outcome {
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
        });
        said
    }
}

fn timeline(page: &mut Page, view: &IncidentView) {
    page.heading(2, "Timeline");
    let rows = view.timeline.iter();
    let rows = rows.map(|line| vec![plain(&line.at), plain(&line.text)]);
    page.table(&["At", "What"], rows.collect());
    if view.left_out > 0 {
        page.text(format!(
            "{} notes in the middle are only in the journal.",
            view.left_out
        ));
    }
}

/// The first and the last of an output, printable.
fn printable(output: &Output) -> String {
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
    fn output_is_bounded_and_says_so() {
        let printed = printable(&Output::said("é".repeat(10_000)));
        assert!(printed.contains("[… 6000 characters left out"));
        assert!(printed.chars().count() < 4200);
    }
}
