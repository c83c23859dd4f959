//! What `watch` says, for whoever reads it: a person, a program, or GitHub
//! Actions.
//!
//! What comes from outside, a version or a step's output, cannot become a
//! workflow command: it is escaped as the runner unescapes it
//! (`actions/toolkit`, *core/src/command.ts*).

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::super::Error;
use super::bake::{End, Said, Weight};
use crate::view::incidents::TimelineLine;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WatchFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line, with stable names.
    Json,
    /// Workflow commands and a step summary.
    Github,
}

/// Says what was seen.
#[derive(Debug)]
pub(super) struct Teller {
    service: String,
    format: WatchFormat,
    /// Where GitHub Actions wants a summary.
    summary: Option<PathBuf>,
    /// When, as the agent said last.
    at: String,
}

#[derive(Serialize)]
struct Line<'a> {
    at: &'a str,
    service: &'a str,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<u64>,
    text: &'a str,
}

impl Teller {
    pub(super) fn new(service: &str, format: Option<WatchFormat>) -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let format = format.unwrap_or_else(|| {
            if var("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
                WatchFormat::Github
            } else if io::stdout().is_terminal() {
                WatchFormat::Text
            } else {
                WatchFormat::Json
            }
        });
        let summary = var("GITHUB_STEP_SUMMARY").map(PathBuf::from);
        Self {
            service: service.to_owned(),
            format,
            summary: summary.filter(|_| format == WatchFormat::Github),
            at: String::new(),
        }
    }

    /// The agent's time of what is said from now on.
    pub(super) fn at(&mut self, at: &str) {
        at.clone_into(&mut self.at);
    }

    /// Whether the summary has a place for an incident's report.
    pub(super) const fn wants_report(&self) -> bool {
        self.summary.is_some()
    }

    pub(super) fn said(&self, said: &Said) -> String {
        match self.format {
            WatchFormat::Text => format!("{}  {}\n", self.at, said.text),
            WatchFormat::Json => json(&Line {
                text: &said.text,
                ..self.bare(said.event)
            }),
            WatchFormat::Github => match said.weight {
                Weight::Info => plain(&said.text),
                Weight::Warning => command("warning", &self.service, &said.text),
            },
        }
    }

    /// A line of an incident's timeline.
    pub(super) fn line(&self, line: &TimelineLine) -> String {
        match self.format {
            WatchFormat::Text => format!("{}  {}\n", line.at, line.text),
            WatchFormat::Json => json(&Line {
                at: &line.at,
                note: Some(&line.event),
                text: &line.text,
                ..self.bare("note")
            }),
            WatchFormat::Github => plain(&line.text),
        }
    }

    pub(super) fn end(&self, end: &End) -> String {
        match self.format {
            WatchFormat::Text => format!("{}  {}\n", self.at, end.text),
            WatchFormat::Json => json(&Line {
                verdict: Some(end.verdict),
                exit: Some(end.code),
                incident: end.incident,
                text: &end.text,
                ..self.bare("ended")
            }),
            WatchFormat::Github => {
                let title = format!("{}: {}", self.service, end.verdict.replace('_', " "));
                let name = if end.code == 0 { "notice" } else { "error" };
                command(name, &title, &end.text)
            }
        }
    }

    /// Adds to the summary of the step: the verdict, and the whole report.
    pub(super) fn summarise(&self, end: &End, report: Option<&str>) -> Result<(), Error> {
        let Some(path) = &self.summary else {
            return Ok(());
        };
        let mark = if end.code == 0 { "✅" } else { "❌" };
        let text = format!(
            "### {mark} {}: {}\n\n{}\n\n{}",
            escaped(&self.service),
            end.verdict.replace('_', " "),
            escaped(&end.text),
            report.map_or_else(String::new, |report| format!(
                "<details><summary>The incident report</summary>\n\n{report}\n</details>\n"
            )),
        );
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| {
                let message = format!("cannot write the step summary {}", path.display());
                Error::failed(message).because_of(Some(&e))
            })
    }

    fn bare<'a>(&'a self, event: &'a str) -> Line<'a> {
        Line {
            at: &self.at,
            service: &self.service,
            event,
            note: None,
            verdict: None,
            exit: None,
            incident: None,
            text: "",
        }
    }
}

fn json(line: &Line<'_>) -> String {
    // Of texts and numbers: it always is JSON.
    let text = serde_json::to_string(line).unwrap_or_default();
    format!("{text}\n")
}

/// A line of the log that is no command, whatever it begins with.
fn plain(text: &str) -> String {
    let line = text.replace(['\r', '\n'], " ");
    if line.trim_start().starts_with("::") || line.contains("##[") {
        format!("| {}\n", line.replace("##[", "## ["))
    } else {
        format!("{line}\n")
    }
}

fn command(name: &str, title: &str, text: &str) -> String {
    let data = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let title = data(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{name} title={title}::{}\n", data(text))
}

/// A line of Markdown in which nothing is markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\r' | '\n' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '&' | '~' | '#' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teller(format: WatchFormat) -> Teller {
        Teller {
            service: "checkout".into(),
            format,
            summary: None,
            at: "2026-11-21T08:30:00Z".into(),
        }
    }

    #[test]
    fn a_text_from_outside_is_no_workflow_command() {
        let teller = teller(WatchFormat::Github);
        let line = TimelineLine {
            at: String::new(),
            event: "step_done".into(),
            trigger: None,
            text: "::set-output name=x::1\n::error::boo".into(),
        };
        assert_eq!(
            teller.line(&line),
            "| ::set-output name=x::1 ::error::boo\n"
        );
        let said = Said::warning("incident", "100%\nv1::x".into());
        assert_eq!(
            teller.said(&said),
            "::warning title=checkout::100%25%0Av1::x\n"
        );
        let end = End::not_judged("a, b".into());
        assert_eq!(
            teller.end(&end),
            "::error title=checkout%3A not judged::a, b\n"
        );
    }

    #[test]
    fn a_program_reads_one_object_a_line() {
        let teller = teller(WatchFormat::Json);
        let end = End::not_judged("\"quoted\"\n".into());
        assert_eq!(
            teller.end(&end),
            "{\"at\":\"2026-11-21T08:30:00Z\",\"service\":\"checkout\",\"event\":\"ended\",\
             \"verdict\":\"not_judged\",\"exit\":12,\"text\":\"\\\"quoted\\\"\\n\"}\n"
        );
    }
}
