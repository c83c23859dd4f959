//! The tests of a policy, run: each is a recording that somebody wrote by hand,
//! replayed by the very same engine, and held against what is expected of it.
//!
//! A test starts at zero and ticks until its longest series ends. An expectation
//! is met by an event at exactly its time: what a policy does it does to the
//! tick. One that says what must not happen is not met either while its trigger
//! was blind at every tick: such a test would pass whatever the policy says.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::told::ToldEvent;
use super::{Recording, Replay, Told, replay};
use crate::model::{Moment, Policy, Series, Verdict};
use crate::policy::{Case, Expectation, Point, Script, Suite};
use crate::view::value;

/// Events shown beside a difference.
const NEAR: usize = 8;

/// A test that was run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tested {
    /// Its name.
    pub name: String,
    /// The line of its name in the file, from 1.
    pub line: usize,
    /// Whether all was as expected.
    pub passed: bool,
    /// Ticks judged.
    pub ticks: u64,
    /// What was not as expected, in the file's order.
    pub differences: Vec<Difference>,
    /// What its reader should know about how far it can be trusted.
    pub remarks: Vec<String>,
    /// Everything that happened, in order.
    #[serde(skip)]
    pub happened: Vec<Happened>,
}

/// One expectation that was not met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The line of the expectation in the file, from 1.
    pub line: usize,
    /// The time that it names, from the start of the test.
    pub at: Option<String>,
    /// The event that it names.
    pub event: Option<&'static str>,
    /// The trigger that it names.
    pub trigger: Option<String>,
    /// What was expected, in a sentence.
    pub expected: String,
    /// What was so instead, in a sentence.
    pub instead: String,
    /// What the trigger did near that time, or all triggers if none is named.
    pub happened: Vec<Happened>,
}

/// An event, with its time from the start of the test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Happened {
    /// From the start of the test: `16m5s`.
    pub at: String,
    /// As a replay names it.
    pub event: &'static str,
    /// The trigger, if one is concerned.
    pub trigger: Option<String>,
    /// The signal's value.
    pub value: Option<f64>,
    /// The limit in the same unit.
    pub limit: Option<f64>,
    /// In words.
    pub reason: String,
    /// The whole event as a person reads it.
    pub line: String,
}

/// Runs the tests of a file, in its order.
#[must_use]
pub fn test(suite: &Suite) -> Vec<Tested> {
    let cases = suite.cases.iter();
    cases.map(|case| run(&suite.policy, case)).collect()
}

fn run(policy: &Policy, case: &Case) -> Tested {
    held(policy, case, |recording| Ok(replay(policy, recording)))
}

/// Holds a case against what comes of playing it.
pub(super) fn held(
    policy: &Policy,
    case: &Case,
    play: impl FnOnce(&Recording) -> Result<Replay, String>,
) -> Tested {
    let mut tested = Tested {
        name: case.name.clone(),
        line: case.place.line,
        passed: true,
        ticks: 0,
        differences: Vec::new(),
        happened: Vec::new(),
        remarks: Vec::new(),
    };
    // A checked test names only series that the policy reads.
    let recording = recording(policy, case).map_err(|fault| fault.to_string());
    let replayed = match recording.and_then(|recording| play(&recording)) {
        Ok(replayed) => replayed,
        Err(why) => {
            tested.passed = false;
            tested.remarks.push(why);
            return tested;
        }
    };
    let court = Court {
        case,
        policy,
        replayed: &replayed,
    };
    let wanted = case.expect.iter().filter_map(|e| court.missed(e));
    let unwanted = case.never.iter().filter_map(|e| court.broken(e));
    tested.differences = wanted.chain(unwanted).collect();
    tested.differences.sort_by_key(|difference| difference.line);
    tested.passed = tested.differences.is_empty();
    tested.ticks = replayed.told.ticks;
    tested.happened = replayed.told.events.iter().map(happened).collect();
    tested.remarks = replayed.remarks;
    tested
}

fn recording(policy: &Policy, case: &Case) -> Result<Recording, super::Fault> {
    let series = case.series.iter().map(|script| {
        let taken = script.points.iter().enumerate().step_by(script.every);
        let samples = taken.filter_map(|(i, point)| match point {
            Point::Is(value) => Some((moment(case, i), *value)),
            Point::Missing | Point::Stale => None,
        });
        (&script.series, samples.collect())
    });
    let pages = pages(policy, case);
    let pages = pages.iter().map(|(up, samples)| (up, samples.clone()));
    let span = (Moment::ZERO, Moment::ZERO + case.end);
    Recording::written(policy, series.chain(pages), span)
}

/// When the pages were there from which a series was gone, as `up` says it. A
/// source without such a page needs none: it was scraped whenever one of its
/// series has a value.
fn pages(policy: &Policy, case: &Case) -> Vec<(Series, Vec<(Moment, f64)>)> {
    const SOURCE: &str = "backstop_source";
    let mut pages = Vec::new();
    for (name, source) in &policy.sources {
        let own: Vec<&Script> = case
            .series
            .iter()
            .filter(|script| script.series.label(SOURCE) == name)
            .collect();
        let told = own.iter().any(|script| script.series.name() == "up");
        let gone = own.iter().any(|s| s.points.contains(&Point::Stale));
        if told || !gone || source.kind.is_told() {
            continue;
        }
        let every = own.first().map_or(1, |script| script.every);
        let steps = own.iter().map(|script| script.points.len()).max();
        let there = (0..steps.unwrap_or(0)).step_by(every).filter(|i| {
            own.iter()
                .any(|script| !matches!(script.points.get(*i), None | Some(Point::Missing)))
        });
        let samples = there.map(|i| (moment(case, i), 1.0)).collect();
        let labels = vec![(SOURCE.to_owned(), name.clone())];
        pages.push((Series::new("up", labels), samples));
    }
    pages
}

fn moment(case: &Case, step: usize) -> Moment {
    Moment::ZERO + case.interval * u32::try_from(step).unwrap_or(u32::MAX)
}

/// Where what happened is held against what was expected.
struct Court<'a> {
    case: &'a Case,
    policy: &'a Policy,
    replayed: &'a Replay,
}

impl Court<'_> {
    fn told(&self) -> &Told {
        &self.replayed.told
    }

    /// What was expected and did not happen.
    fn missed(&self, expected: &Expectation) -> Option<Difference> {
        let mut events = self.told().events.iter();
        if events.any(|event| meets(event, expected)) {
            return None;
        }
        let at = expected.at.unwrap_or_default();
        let others: Vec<_> = self.others(expected).collect();
        let nearest = others
            .iter()
            .filter(|event| expected.event == Some(event.event))
            .min_by_key(|event| from_start(event).abs_diff(at));
        let instead = match nearest {
            Some(event) => format!("that happened at {}", value::span(from_start(event))),
            None => self.never(expected),
        };
        Some(difference(expected, said(expected, true), instead, &others))
    }

    /// What must not happen and did, or would not have been seen.
    fn broken(&self, never: &Expectation) -> Option<Difference> {
        let events = self.told().events.iter();
        let met: Vec<_> = events.filter(|event| meets(event, never)).collect();
        let instead = match met.first() {
            Some(first) if met.len() == 1 => {
                format!("it happened at {}", value::span(from_start(first)))
            }
            Some(first) => format!(
                "it happened {} times, first at {}",
                met.len(),
                value::span(from_start(first))
            ),
            None => self.blind_throughout(never)?,
        };
        Some(difference(never, said(never, false), instead, &met))
    }

    /// The events of the trigger that an expectation names, else all.
    fn others<'e>(&'e self, expected: &'e Expectation) -> impl Iterator<Item = &'e ToldEvent> {
        let named = expected.trigger.as_deref();
        let events = self.told().events.iter();
        events.filter(move |event| named.is_none() || event.trigger.as_deref() == named)
    }

    /// Why something never happened, as far as the trigger can say it.
    fn never(&self, expected: &Expectation) -> String {
        let Some(trigger) = &expected.trigger else {
            return "that never happened".to_owned();
        };
        let Some(summary) = self.told().triggers.get(trigger) else {
            return "that never happened".to_owned();
        };
        let seconds = |s: f64| value::span(Duration::try_from_secs_f64(s).unwrap_or_default());
        let mut text = format!(
            "that never happened: in breach for {} and blind for {} of {}",
            seconds(summary.breach_seconds),
            seconds(summary.blind_seconds),
            value::span(self.case.end),
        );
        if let Some(Verdict::Blind { subject, why }) = self.replayed.seen_last.get(trigger) {
            let _ = write!(text, "; at the end {subject} was blind: {why}");
        }
        text
    }

    /// Why a trigger that did nothing proves nothing. Whoever rules out that it
    /// goes blind, or looks at one moment only, is not asking what it judged.
    fn blind_throughout(&self, never: &Expectation) -> Option<String> {
        if matches!(never.event, Some("blind" | "release")) {
            return None;
        }
        let tick = self.policy.interval.as_secs_f64();
        let judged = |blind: f64| self.told().ticks as f64 * tick - blind > tick / 2.0;
        let named = never.trigger.as_deref();
        let mut triggers = self.told().triggers.iter();
        let sees = triggers.any(|(name, summary)| {
            named.is_none_or(|named| named == name) && judged(summary.blind_seconds)
        });
        if sees {
            return None;
        }
        let why = named.and_then(|name| match self.replayed.seen_last.get(name)? {
            Verdict::Blind { subject, why } => Some(format!(": {subject}: {why}")),
            Verdict::Clear | Verdict::Breach => None,
        });
        Some(format!(
            "it was blind at every tick, so this shows nothing{}",
            why.unwrap_or_default()
        ))
    }
}

fn difference(
    expectation: &Expectation,
    expected: String,
    instead: String,
    events: &[&ToldEvent],
) -> Difference {
    let at = expectation.at.unwrap_or_default();
    let mut near: Vec<_> = events.iter().collect();
    near.sort_by_key(|event| from_start(event).abs_diff(at));
    near.truncate(NEAR);
    near.sort_by_key(|event| event.when);
    Difference {
        line: expectation.place.line,
        at: expectation.at.map(value::span),
        event: expectation.event,
        trigger: expectation.trigger.clone(),
        expected,
        instead,
        happened: near.into_iter().map(|event| happened(event)).collect(),
    }
}

fn meets(event: &ToldEvent, expected: &Expectation) -> bool {
    expected.event.is_none_or(|name| name == event.event)
        && expected.at.is_none_or(|at| at == from_start(event))
        && (expected.trigger.is_none() || expected.trigger == event.trigger)
}

fn from_start(event: &ToldEvent) -> Duration {
    event.when.since(Moment::ZERO)
}

pub(super) fn happened(event: &ToldEvent) -> Happened {
    Happened {
        at: value::span(from_start(event)),
        event: event.event,
        trigger: event.trigger.clone(),
        value: event.value,
        limit: event.limit,
        reason: event.reason.clone(),
        line: event.line.clone(),
    }
}

/// `high-error-rate fired at 15m`, `never: slow would roll back`.
fn said(expected: &Expectation, happens: bool) -> String {
    let mut text = if happens { "" } else { "never: " }.to_owned();
    if let Some(trigger) = &expected.trigger {
        text.push_str(trigger);
        text.push(' ');
    }
    let event = expected.event.unwrap_or("in any event");
    text.push_str(&event.replace('_', " "));
    if let Some(at) = expected.at {
        text.push_str(" at ");
        text.push_str(&value::span(at));
    }
    text
}
