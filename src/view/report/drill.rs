//! The report of a drill: each point that was looked at, what came of it and
//! how long it took, and the time that a rollback would need beside its goal.
//! One shape for JSON, with stable names, that terminals, Markdown and a
//! browser's page render.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::page::{Block, Page, Span, code, plain};
use super::{html, markdown};
use crate::view::table::{Style, Table, Tone, plain as cell, toned};

/// What came of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// The service.
    pub service: String,
    /// The host.
    pub host: String,
    /// `shadow` or `enforce`: what the policy would let a trigger do.
    pub mode: String,
    /// The plan.
    pub plan: String,
    /// When the drill began.
    pub at: String,
    /// Who asked for it.
    pub by: String,
    /// The release that runs.
    pub current: Option<String>,
    /// The release that a rollback would go to.
    pub target: Option<String>,
    /// Whether nothing failed and nothing would be refused.
    pub passed: bool,
    /// How long the drill took.
    pub took: String,
    /// The same in milliseconds.
    pub took_ms: u64,
    /// In the order of a rollback.
    pub points: Vec<DrillPoint>,
    /// What a rollback would take, part by part.
    pub times: Vec<DrillTime>,
    /// What came of each scenario that was played.
    pub scenarios: Vec<ScenarioReport>,
    /// Why a crash may make the agent forget the result, if it may.
    #[serde(default)]
    pub not_durable: Option<String>,
}

/// What came of looking at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillVerdict {
    /// It is as it should be.
    Passed,
    /// It is not: a rollback would fail there, or reach nobody.
    Failed,
    /// A rollback, also one that a person orders, would be refused now.
    Refused,
    /// A trigger would be held now; a person's order would not. No fault.
    Held,
    /// It changes something, so it was only filled in and looked at.
    NotRun,
}

impl DrillVerdict {
    /// As people read it.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::Refused => "REFUSED",
            Self::Held => "held",
            Self::NotRun => "not run",
        }
    }

    /// Whether a drill with it has not passed.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Refused)
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Passed => Tone::Good,
            Self::Failed | Self::Refused => Tone::Bad,
            Self::Held => Tone::Warning,
            Self::NotRun => Tone::Plain,
        }
    }
}

/// One point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillPoint {
    /// `target`, `gate`, `step`, `check`, `count`, `verify`, `people` or
    /// `notice`.
    pub part: String,
    /// What was looked at.
    pub name: String,
    /// What came of it.
    pub verdict: DrillVerdict,
    /// Why, or what would be done, in a sentence.
    pub said: String,
    /// How long it took, where it took any time.
    pub took: Option<String>,
    /// The same in milliseconds.
    pub took_ms: Option<u64>,
}

impl DrillPoint {
    /// For terminals: a row of a table that grows, below its head if it is the
    /// first. Ends with a newline.
    #[must_use]
    pub fn text(&self, first: bool, style: Style) -> String {
        /// The longest of each column, as far as that is known.
        const WIDTHS: [usize; 3] = ["verify".len(), "REFUSED".len(), "1m30s".len()];
        let mut table = Table::new(&["part", "verdict", "took", "what"]).at_least(&WIDTHS);
        table.row(vec![
            cell(&self.part),
            toned(self.verdict.in_words(), self.verdict.tone()),
            cell(self.took.as_deref().unwrap_or("–")),
            cell(format!("{}: {}", self.name, self.said)),
        ]);
        let mut out = String::new();
        if first {
            table.render(&mut out, style);
        } else {
            table.render_rows(&mut out, style);
        }
        out
    }
}

/// One part of the time that a rollback would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillTime {
    /// `detect by high-error-rate`, `roll back`, `verify`, `recover`.
    pub part: String,
    /// How long.
    pub expected: String,
    /// The same in milliseconds.
    pub expected_ms: u64,
    /// At most how long, where somebody said so.
    pub goal: Option<String>,
    /// Whether that is met; null without a goal.
    pub met: Option<bool>,
    /// Where the numbers come from.
    pub said: String,
}

/// What came of playing samples that never were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// The test's name, or that of the file.
    pub name: String,
    /// Whether all happened that was expected; without expectations, whether a
    /// rollback was decided or asked for.
    pub passed: bool,
    /// How much was judged: `240 ticks`.
    pub judged: String,
    /// What happened.
    pub events: Vec<ScenarioEvent>,
    /// What was not as expected, one sentence each.
    pub differences: Vec<String>,
    /// What its reader should know about how far it can be trusted.
    pub remarks: Vec<String>,
}

/// An event of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioEvent {
    /// From the start of the scenario: `16m5s`.
    pub at: String,
    /// As a replay names it: `suspecting`, `fired`, `held`, `would_roll_back`.
    pub event: String,
    /// The trigger, if one is concerned.
    pub trigger: Option<String>,
    /// In words.
    pub text: String,
}

impl DrillReport {
    /// What is not as it should be, each in a few words.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        let points = self.points.iter().filter(|point| point.verdict.is_bad());
        let points = points.map(|point| format!("{} {}", point.part, point.name));
        let times = self.times.iter().filter(|time| time.met == Some(false));
        let times = times.map(|time| format!("{} takes {}", time.part, time.expected));
        let played = self.scenarios.iter().filter(|played| !played.passed);
        let played = played.map(|played| format!("scenario {}", played.name));
        points.chain(times).chain(played).collect()
    }

    /// `14 points in 3s: 9 ok, 5 not run`.
    fn counted(&self) -> String {
        let all = [
            DrillVerdict::Failed,
            DrillVerdict::Refused,
            DrillVerdict::Passed,
            DrillVerdict::Held,
            DrillVerdict::NotRun,
        ];
        let counts = all.map(|verdict| {
            let of = self.points.iter().filter(|p| p.verdict == verdict);
            (of.count(), verdict)
        });
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, verdict)| format!("{count} {}", verdict.in_words()))
            .collect();
        let points = self.points.len();
        format!("{points} points in {}: {}", self.took, counts.join(", "))
    }

    fn way(&self) -> String {
        match (&self.current, &self.target) {
            (Some(from), Some(to)) => format!(", from release {from} to {to}"),
            (None, Some(to)) => format!(", to release {to}"),
            (_, None) => String::new(),
        }
    }

    /// For terminals, below the points, each of which was told as soon as it was
    /// known. Ends with a newline.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        let (word, tone) = if self.passed {
            ("passed", Tone::Good)
        } else {
            ("FAILED", Tone::Bad)
        };
        let head = format!(
            "{}: drill of plan {}{}: {word}",
            self.service,
            self.plan,
            self.way()
        );
        let mut out = format!("{}\n", style.paint(tone, &style.fit(&head)));
        style.field(
            &mut out,
            "asked by",
            Tone::Plain,
            &format!("{} at {}", self.by, self.at),
        );
        style.field(&mut out, "looked at", Tone::Plain, &self.counted());
        if self.mode == "shadow" {
            let text = "the policy is in shadow: a trigger would only be written down";
            style.field(&mut out, "mode", Tone::Warning, text);
        }
        if !self.times.is_empty() {
            out.push('\n');
            let mut table = Table::new(&["time to", "expected", "goal", "from"]);
            for time in &self.times {
                let tone = match time.met {
                    Some(false) => Tone::Bad,
                    Some(true) => Tone::Good,
                    None => Tone::Plain,
                };
                table.row(vec![
                    cell(&time.part),
                    toned(&time.expected, tone),
                    cell(time.goal.as_deref().unwrap_or("–")),
                    cell(&time.said),
                ]);
            }
            table.render(&mut out, style);
        }
        for scenario in &self.scenarios {
            scenario.text(&mut out, style);
        }
        out
    }

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
        let mut page = Page::default();
        let word = if self.passed { "passed" } else { "FAILED" };
        page.heading(1, format!("Drill of {}: {word}", self.service));
        page.text(format!(
            "Nothing was rolled back and nobody is needed: {}.",
            self.counted()
        ));
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        page.facts(vec![
            ("Service", plain(&self.service)),
            ("Host", plain(&self.host)),
            ("Mode", plain(&self.mode)),
            ("Plan", plain(&self.plan)),
            ("Began", plain(&self.at)),
            ("Took", plain(&self.took)),
            ("Asked by", plain(&self.by)),
            ("Running release", plain(or_dash(&self.current))),
            ("Would go to", plain(or_dash(&self.target))),
        ]);
        let failed = self.failed();
        if !failed.is_empty() {
            page.heading(2, "To mend");
            page.list(failed.into_iter().map(plain).collect());
        }
        page.heading(2, "What was looked at");
        let rows = self.points.iter().map(|point| {
            vec![
                plain(&point.part),
                plain(&point.name),
                plain(point.verdict.in_words()),
                plain(or_dash(&point.took)),
                plain(&point.said),
            ]
        });
        page.table(
            &["Part", "What", "Verdict", "Took", "In words"],
            rows.collect(),
        );
        if !self.times.is_empty() {
            page.heading(2, "What a rollback would take");
            let rows = self.times.iter().map(|time| {
                let met = match time.met {
                    Some(true) => "yes",
                    Some(false) => "NO",
                    None => "–",
                };
                vec![
                    plain(&time.part),
                    plain(&time.expected),
                    plain(or_dash(&time.goal)),
                    plain(met),
                    plain(&time.said),
                ]
            });
            let head = ["Time to", "Expected", "Goal", "Met", "From"];
            page.table(&head, rows.collect());
        }
        for scenario in &self.scenarios {
            scenario.page(&mut page);
        }
        page
    }
}

impl ScenarioReport {
    fn head(&self) -> String {
        let word = if self.passed { "passed" } else { "FAILED" };
        format!("scenario {}: {word}, {}", self.name, self.judged)
    }

    fn text(&self, out: &mut String, style: Style) {
        let tone = if self.passed { Tone::Good } else { Tone::Bad };
        let _ = writeln!(out, "\n{}", style.paint(tone, &style.fit(&self.head())));
        for difference in &self.differences {
            style.field(out, "not so", Tone::Bad, difference);
        }
        for remark in &self.remarks {
            style.field(out, "note", Tone::Warning, remark);
        }
        let mut table = Table::new(&["at", "what"]);
        for event in &self.events {
            table.row(vec![cell(&event.at), cell(&event.text)]);
        }
        if self.events.is_empty() {
            style.field(out, "", Tone::Plain, "nothing happened");
        }
        table.render(out, style);
    }

    fn page(&self, page: &mut Page) {
        page.heading(2, self.head());
        let marked = |mark: &str, lines: &[String]| -> Vec<Vec<Span>> {
            let lines = lines.iter();
            lines.map(|line| plain(format!("{mark}{line}"))).collect()
        };
        let mut lines = marked("Not so: ", &self.differences);
        lines.extend(marked("Note: ", &self.remarks));
        if !lines.is_empty() {
            page.list(lines);
        }
        if self.events.is_empty() {
            page.text("Nothing happened.");
            return;
        }
        let rows = self
            .events
            .iter()
            .map(|event| vec![code(&event.at), plain(&event.text)]);
        let rows = rows.collect();
        page.blocks.push(Block::Table {
            head: vec!["After", "What"],
            rows,
        });
    }
}
