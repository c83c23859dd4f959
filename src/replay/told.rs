//! What a replay says: the events, in order, and a summary of each trigger.
//!
//! The names are those of SPEC 5 and stay.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::guard::{Note, What};
use crate::model::{Moment, Unit, Value};

/// `replay --format json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// The service.
    pub service: String,
    /// The first tick, RFC 3339 UTC.
    pub from: String,
    /// The last tick, RFC 3339 UTC.
    pub to: String,
    /// Ticks judged.
    pub ticks: u64,
    /// By name.
    pub triggers: BTreeMap<String, TriggerSummary>,
    /// In order.
    pub events: Vec<ToldEvent>,
}

/// What a trigger did over the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TriggerSummary {
    /// How often it fired.
    pub fired: u64,
    /// Ticks in breach, in seconds.
    pub breach_seconds: f64,
    /// Ticks blind, in seconds.
    pub blind_seconds: f64,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToldEvent {
    /// When, RFC 3339 UTC.
    pub at: String,
    /// `suspecting`, `fired`, `cleared`, `resolved`, `blind`,
    /// `would_roll_back`, `would_ask`, `would_tell`, `held` or `release`.
    pub event: &'static str,
    /// The trigger, if one is concerned.
    pub trigger: Option<String>,
    /// The signal's value; of a quantile above the top bound, that bound.
    pub value: Option<f64>,
    /// The limit in the same unit.
    pub limit: Option<f64>,
    /// What the limit is a multiple of, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// What the counts of the whole hold prove, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// In words.
    pub reason: String,
    /// It follows a decision that was not taken in the recording.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub counterfactual: bool,
    /// The unit of value and limit.
    pub unit: Option<Unit>,
    /// For people.
    #[serde(skip)]
    pub line: String,
    /// When, on the recording's clock.
    #[serde(skip)]
    pub when: Moment,
    /// How far the hold was, of what begins, meets or ends one.
    #[serde(skip)]
    pub hold: Option<Progress>,
    /// The gate by which it is held.
    #[serde(skip)]
    pub gate: Option<&'static str>,
}

/// How far a hold was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// So long.
    pub held: Duration,
    /// Of so long; never zero.
    pub of: Duration,
}

impl ToldEvent {
    /// From a note, if it is of the kinds that a replay tells.
    pub(super) fn of(note: &Note, counterfactual: bool) -> Option<Self> {
        match note.what {
            What::Suspecting
            | What::Fired
            | What::Cleared
            | What::Resolved
            | What::Blind
            | What::WouldRollBack
            | What::WouldAsk
            | What::WouldTell
            | What::Held
            | What::Release => {}
            _ => return None,
        }
        let cause = note.cause.as_ref();
        Some(Self {
            at: crate::view::value::time(note.at, 0),
            event: note.what.name(),
            trigger: note.trigger.clone(),
            value: cause.and_then(|c| c.value).map(|value| match value {
                Value::Exactly(x) | Value::AboveTop(x) => x,
            }),
            limit: cause.and_then(|c| c.limit),
            baseline: cause.and_then(crate::view::note::baseline),
            proof: cause.and_then(crate::view::note::proof),
            reason: note.reason.clone(),
            counterfactual,
            unit: cause.map(|c| c.unit),
            line: crate::view::note::line(note),
            when: note.at,
            hold: None,
            gate: None,
        })
    }
}
