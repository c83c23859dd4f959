//! Incidents: the list, and one whole timeline.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::notice::mode;
use super::table::{Style, Table, Tone, plain, toned};
use super::{note, value};
use crate::guard::{Incident, Note, Outcome, RunRecord, Snapshot};
use crate::model::Moment;

/// Longest name shown, in characters.
const NAME: usize = 128;

/// An incident in a line of the list. Names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentLine {
    /// Its number.
    pub number: u64,
    /// The service.
    pub service: String,
    /// `shadow` or `enforce`.
    pub mode: String,
    /// The trigger that leads it; absent for a person's order.
    pub trigger: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// When it opened.
    pub opened: String,
    /// When it closed; null while it is open.
    pub closed: Option<String>,
    /// How long it lasted, or lasts.
    pub lasting: String,
    /// How it ended; null while that is not known.
    pub outcome: Option<String>,
    /// Runs made in it.
    pub runs: usize,
    /// It was opened for a drill.
    #[serde(default)]
    pub drill: bool,
}

/// One incident with its timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentView {
    /// What the list says of it.
    #[serde(flatten)]
    pub line: IncidentLine,
    /// What was found when it opened, in a clause.
    pub cause: Option<String>,
    /// The condition that fired.
    pub condition: Option<String>,
    /// Since when that was so.
    pub since: Option<String>,
    /// The release that ran when it opened.
    pub release: Option<String>,
    /// Other triggers that fired in it.
    pub joined: Vec<String>,
    /// The runs made in it.
    pub rollbacks: Vec<RunLine>,
    /// What happened, in order.
    pub timeline: Vec<TimelineLine>,
    /// Notes in the middle that there was no room for; they are in the journal.
    pub left_out: u64,
}

/// A rollback in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// The run's number.
    pub ticket: u64,
    /// The plan's name.
    pub plan: String,
    /// When it was decided.
    pub started: String,
    /// How long it took; null while it runs.
    pub took: Option<String>,
    /// The release that ran.
    pub from: Option<String>,
    /// The release that it went to.
    pub to: Option<String>,
    /// The person who ordered it, if it was not decided by a trigger.
    pub ordered_by: Option<String>,
    /// Only written down.
    pub shadow: bool,
    /// How it ended.
    pub outcome: Option<String>,
}

/// A line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineLine {
    /// When, to the millisecond.
    pub at: String,
    /// What, as `guard::What` names it.
    pub event: String,
    /// The trigger, if one is concerned.
    pub trigger: Option<String>,
    /// In words.
    pub text: String,
}

/// The incidents at hand, the newest first: of all services, or of one.
#[must_use]
pub fn list(snapshot: &Snapshot, only: Option<&str>) -> Vec<IncidentLine> {
    let services = snapshot.services.iter();
    let of = services.filter(|(name, _)| only.is_none_or(|only| only == name.as_str()));
    let all = of.flat_map(|(_, service)| {
        let all = service.closed.iter().chain(service.incident.as_ref());
        all.map(|incident| (incident, service.wall_ahead_ms))
    });
    lines(all, snapshot.now)
}

/// These incidents in lines, the newest first; with each, how far the wall clock
/// was ahead, in milliseconds.
#[must_use]
pub fn lines<'a>(
    incidents: impl IntoIterator<Item = (&'a Incident, i64)>,
    now: Moment,
) -> Vec<IncidentLine> {
    let incidents = incidents.into_iter();
    let mut lines: Vec<IncidentLine> = incidents
        .map(|(incident, ahead)| IncidentLine::new(incident, now, ahead))
        .collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.number));
    lines
}

/// The list as text.
#[must_use]
pub fn list_text(lines: &[IncidentLine], style: Style) -> String {
    if lines.is_empty() {
        return "No incidents.\n".into();
    }
    let mut table = Table::new(&["no", "service", "opened", "lasting", "outcome", "trigger"]);
    for line in lines {
        let (outcome, tone) = match (&line.outcome, &line.closed) {
            (Some(outcome), _) => (outcome.replace('_', " "), tone_of(outcome)),
            (None, None) => ("open".into(), Tone::Warning),
            (None, Some(_)) => ("closed".into(), Tone::Plain),
        };
        let ordered = if line.drill {
            "a drill"
        } else {
            "a person's order"
        };
        let mut trigger = line.trigger.clone().unwrap_or_else(|| ordered.into());
        let _ = write!(trigger, ", {}", line.severity);
        if line.mode == "shadow" {
            trigger.push_str(" [shadow]");
        }
        table.row(vec![
            plain(line.number.to_string()),
            plain(&line.service),
            plain(&line.opened),
            plain(&line.lasting),
            toned(outcome, tone),
            plain(trigger),
        ]);
    }
    let mut out = String::new();
    table.render(&mut out, style);
    out
}

impl IncidentLine {
    /// An incident in short, as of `now`.
    #[must_use]
    pub fn new(incident: &Incident, now: Moment, wall_ahead_ms: i64) -> Self {
        Self {
            number: incident.number,
            service: incident.service.clone(),
            mode: mode(incident.mode).into(),
            trigger: Some(incident.trigger.clone()).filter(|t| !t.is_empty()),
            severity: incident.severity.name().into(),
            opened: value::time(incident.opened, wall_ahead_ms),
            closed: incident.closed.map(|c| value::time(c, wall_ahead_ms)),
            lasting: value::span(incident.lasted(now)),
            outcome: incident.outcome.map(|o| Outcome::name(o).into()),
            runs: incident.runs.len(),
            drill: incident.drill,
        }
    }
}

impl IncidentView {
    /// An incident with its timeline, as of `now`. `notes` are all its notes
    /// from the journal; without them, the incident's own bounded timeline is
    /// shown.
    #[must_use]
    pub fn new(
        incident: &Incident,
        notes: Option<&[Note]>,
        now: Moment,
        wall_ahead_ms: i64,
    ) -> Self {
        let cause = incident.cause.as_ref();
        Self {
            line: IncidentLine::new(incident, now, wall_ahead_ms),
            cause: cause.map(note::evidence),
            condition: cause.map(|c| c.condition.clone()),
            since: cause
                .and_then(|c| c.since)
                .map(|since| value::time(since, wall_ahead_ms)),
            release: incident.release.as_ref().map(|r| value::one_line(r, NAME)),
            joined: incident
                .triggers
                .iter()
                .filter(|t| **t != incident.trigger)
                .cloned()
                .collect(),
            rollbacks: incident
                .runs
                .iter()
                .map(|run| RunLine::new(run, wall_ahead_ms))
                .collect(),
            timeline: notes
                .unwrap_or(&incident.timeline)
                .iter()
                .map(|note| TimelineLine::new(note, wall_ahead_ms))
                .collect(),
            left_out: if notes.is_some() {
                0
            } else {
                incident.left_out
            },
        }
    }

    /// The incident as text.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        let line = &self.line;
        let (outcome, tone) = match &line.outcome {
            Some(outcome) => (outcome.replace('_', " "), tone_of(outcome)),
            None => ("open".into(), Tone::Warning),
        };
        let shadow = if line.mode == "shadow" {
            "[shadow] "
        } else {
            ""
        };
        let drill = if line.drill { "[drill] " } else { "" };
        let trigger = line.trigger.as_deref().unwrap_or("a person's order");
        let head = style.fit(&format!(
            "{shadow}{drill}incident {}: {}, {trigger}, {}: {outcome}",
            line.number, line.service, line.severity
        ));
        let mut out = format!("{}\n", style.paint(tone, &head));
        let until = match &line.closed {
            Some(closed) => format!("{} to {closed}, {}", line.opened, line.lasting),
            None => format!("since {}, {}", line.opened, line.lasting),
        };
        style.field(&mut out, "open", Tone::Plain, &until);
        if let Some(cause) = &self.cause {
            let since = self.since.as_ref();
            let since = since.map_or_else(String::new, |s| format!(", since {s}"));
            style.field(&mut out, "cause", Tone::Plain, &format!("{cause}{since}"));
        }
        if let Some(release) = &self.release {
            style.field(&mut out, "release", Tone::Plain, release);
        }
        if !self.joined.is_empty() {
            style.field(&mut out, "also", Tone::Plain, &self.joined.join(", "));
        }
        for run in &self.rollbacks {
            style.field(&mut out, "run", Tone::Plain, &run.words());
        }
        out.push('\n');
        let mut table = Table::new(&["at", "what"]);
        for line in &self.timeline {
            table.row(vec![plain(&line.at), plain(&line.text)]);
        }
        table.render(&mut out, style);
        if self.left_out > 0 {
            let _ = writeln!(
                out,
                "  {} notes in the middle are only in the journal.",
                self.left_out
            );
        }
        out
    }
}

impl RunLine {
    fn new(run: &RunRecord, wall_ahead_ms: i64) -> Self {
        let name = |v: &String| value::one_line(v, NAME);
        Self {
            ticket: run.ticket,
            plan: run.plan.clone(),
            started: value::time(run.started, wall_ahead_ms),
            took: run.ended.map(|e| value::span(e.since(run.started))),
            from: run.from.as_ref().map(name),
            to: run.to.as_ref().map(name),
            ordered_by: run.ordered_by.as_ref().map(|p| name(&p.name)),
            shadow: run.shadow,
            outcome: run.outcome.map(|o| Outcome::name(o).into()),
        }
    }

    /// `3: plan rollback from v42 to v41 at …, took 12s: cured`.
    fn words(&self) -> String {
        let mut text = format!("{}: ", self.ticket);
        if self.shadow {
            text.push_str("would have run ");
        }
        let _ = write!(text, "plan {}", self.plan);
        if let Some(from) = &self.from {
            let _ = write!(text, " from {from}");
        }
        if let Some(to) = &self.to {
            let _ = write!(text, " to {to}");
        }
        let _ = write!(text, " at {}", self.started);
        if let Some(by) = &self.ordered_by {
            let _ = write!(text, ", ordered by {by}");
        }
        if let Some(took) = self.took.as_ref().filter(|_| !self.shadow) {
            let _ = write!(text, ", took {took}");
        }
        if let Some(outcome) = self.outcome.as_ref().filter(|_| !self.shadow) {
            let _ = write!(text, ": {}", outcome.replace('_', " "));
        }
        text
    }
}

impl TimelineLine {
    /// A note as a line of a timeline.
    #[must_use]
    pub fn new(of: &Note, wall_ahead_ms: i64) -> Self {
        Self {
            at: value::exact_time(of.at, wall_ahead_ms),
            event: of.what.name().into(),
            trigger: of.trigger.clone(),
            text: note::line(of),
        }
    }
}

/// How an outcome looks.
fn tone_of(outcome: &str) -> Tone {
    match outcome {
        "cured" | "recovered" => Tone::Good,
        "dismissed" | "would_have_rolled_back" | "unguarded" => Tone::Plain,
        _ => Tone::Bad,
    }
}
