//! A scenario of a drill: samples that never were, played to a copy of the live
//! engine, from its live state.
//!
//! It is written as a recording ([`Recording::read`]) or as a test file
//! ([`load_suite`]), and is read by the very same readers. The copy is in
//! shadow, so that nothing can run, and its evidence starts anew: what is made
//! up is not a continuation of what was measured. All else is live: the release
//! that runs, which ones are good, a freeze, the runs of the budget.

use std::path::Path;

use crate::guard::{Engine, What};
use crate::model::Policy;
use crate::policy::{Suite, Tried, load_suite, render};

use super::drive::play;
use super::tested::{Happened, happened, held};
use super::{Difference, Fault, Recording};

/// Most ticks of a recording: a week of the default interval ten times over.
const MOST_TICKS: u128 = 1_200_000;

/// Samples that never were.
#[derive(Debug)]
pub enum Scenario {
    /// As a recording: it passes when a rollback is decided or asked for.
    Recorded(Box<Recording>),
    /// As a test file: each test is played, and held against what it expects.
    Written(Box<Suite>),
}

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Unplayable {
    /// The recording has a fault.
    #[error(transparent)]
    Recording(#[from] Fault),
    /// The test file has faults: all of them, as a person reads them.
    #[error("the scenario is refused\n{0}")]
    Suite(String),
    /// It is too long.
    #[error("the scenario has {0} ticks of this policy: at most {MOST_TICKS} go")]
    Long(u128),
}

/// What came of a scenario, or of one of its tests.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// The test's name; that of the file for a recording.
    pub name: String,
    /// Whether all happened that should.
    pub passed: bool,
    /// Ticks judged.
    pub ticks: u64,
    /// What happened, in order, from the scenario's start.
    pub happened: Vec<Happened>,
    /// What was not as expected.
    pub differences: Vec<Difference>,
    /// What its reader should know about how far it can be trusted.
    pub remarks: Vec<String>,
}

impl Scenario {
    /// Reads a scenario for this policy: a test file if its name ends in
    /// `.toml`, else a recording.
    ///
    /// # Errors
    ///
    /// [`Unplayable`].
    pub fn read(policy: &Policy, name: &str, text: &str) -> Result<Self, Unplayable> {
        if Path::new(name).extension().is_some_and(|e| e == "toml") {
            let loaded = load_suite(name, text, |_| Tried::Policy(Box::new(policy.clone())));
            return match loaded.suite {
                Some(suite) => Ok(Self::Written(Box::new(suite))),
                None => Err(Unplayable::Suite(render(&loaded.faults, text, false))),
            };
        }
        let recording = Recording::read(policy, text.as_bytes())?;
        let (first, last) = recording.span;
        let ticks = last.since(first).as_millis() / policy.interval.as_millis().max(1);
        if ticks > MOST_TICKS {
            return Err(Unplayable::Long(ticks));
        }
        Ok(Self::Recorded(Box::new(recording)))
    }

    /// Plays it to a copy of the live engine, each test to one of its own.
    /// `understudy` is what [`Engine::understudy`] gave; `name` is the file's.
    #[must_use]
    pub fn play(&self, understudy: &Engine, service: &str, name: &str) -> Vec<Played> {
        let gone = || format!("{service} is guarded no more");
        match self {
            Self::Recorded(recording) => {
                let Some(replayed) = play(understudy.clone(), service, recording) else {
                    return Vec::new();
                };
                let events = &replayed.told.events;
                let decided = [What::WouldRollBack, What::WouldAsk].map(What::name);
                let passed = events.iter().any(|event| decided.contains(&event.event));
                let mut remarks = replayed.remarks;
                if !passed {
                    remarks.push("no trigger would have rolled back, or asked".to_owned());
                }
                vec![Played {
                    name: name.to_owned(),
                    passed,
                    ticks: replayed.told.ticks,
                    happened: events.iter().map(happened).collect(),
                    differences: Vec::new(),
                    remarks,
                }]
            }
            Self::Written(suite) => {
                let cases = suite.cases.iter();
                let played = cases.map(|case| {
                    let tested = held(&suite.policy, case, |recording| {
                        play(understudy.clone(), service, recording).ok_or_else(gone)
                    });
                    Played {
                        name: tested.name,
                        passed: tested.passed,
                        ticks: tested.ticks,
                        happened: tested.happened,
                        differences: tested.differences,
                        remarks: tested.remarks,
                    }
                });
                played.collect()
            }
        }
    }
}
