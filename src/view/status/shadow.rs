//! A trigger in shadow: how often it fired, what people made of it, and how far
//! it is from being fit to enforce.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::Desk;
use crate::guard::Probation;
use crate::model::{Promote, Trigger, millis};
use crate::view::value;

/// A trigger in shadow. Its fires one by one are in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowStatus {
    /// Since when it is in shadow with this very condition.
    pub since: String,
    /// How long it has been judged.
    pub watched: String,
    /// The same in milliseconds.
    pub watched_ms: u64,
    /// Ticks at which it had a verdict.
    pub evaluations: u64,
    /// How often it fired.
    pub fires: u64,
    /// How often it would have rolled back.
    pub would_have_rolled_back: u64,
    /// How often it would have asked people.
    pub would_have_asked: u64,
    /// How often it would have told of it.
    pub would_have_told: u64,
    /// How often a gate held it.
    pub held: u64,
    /// Fires that people agreed with.
    pub confirmed: u64,
    /// Fires that nobody agreed with, or somebody contradicted.
    pub false_fires: u64,
    /// Fires whose hour is not over.
    pub open: u64,
    /// The policy's rule; null without one.
    pub promote: Option<PromoteStatus>,
    /// Whether it is fit to enforce by that rule; null without one.
    pub fit: Option<bool>,
    /// When people were told that it is.
    pub told: Option<String>,
    /// All of it in a sentence.
    pub said: String,
}

/// The rule by which a trigger is fit to enforce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromoteStatus {
    /// So long it must have been judged.
    pub after: String,
    /// The same in milliseconds.
    pub after_ms: u64,
    /// So many verdicts it needs.
    pub evaluations: u64,
    /// So many false fires it may have.
    pub false_fires: u64,
}

impl ShadowStatus {
    pub(super) fn new(desk: &Desk<'_>, trigger: &Trigger) -> Option<Self> {
        let row = desk.service.ledger.row(&trigger.name)?;
        let rule = trigger.promote;
        let counts = row.counts;
        Some(Self {
            since: desk.time(row.since),
            watched: value::days(row.watched()),
            watched_ms: row.watched_ms,
            evaluations: row.evaluations,
            fires: counts.fires,
            would_have_rolled_back: counts.rolled_back,
            would_have_asked: counts.asked,
            would_have_told: counts.told,
            held: counts.held,
            confirmed: counts.confirmed,
            false_fires: counts.refuted,
            open: counts.open(),
            promote: rule.map(|rule| PromoteStatus {
                after: value::span(rule.after),
                after_ms: millis(rule.after),
                evaluations: rule.evaluations,
                false_fires: rule.false_fires,
            }),
            fit: rule.map(|rule| row.is_fit(&rule)),
            told: row.told.map(|at| desk.time(at)),
            said: said(row, rule.as_ref()),
        })
    }
}

/// `fit to enforce: 14d, 12,480 evaluations, 0 false fires`, or what is missing:
/// `shadow 3d of 14d, 4,212 of 10,000 evaluations, 1 false fire where none is
/// allowed`.
fn said(row: &Probation, rule: Option<&Promote>) -> String {
    let counts = row.counts;
    let mut said = match rule {
        Some(rule) if row.is_fit(rule) => format!(
            "fit to enforce: {}, {}, {}",
            value::days(row.watched()),
            many(row.evaluations, "evaluation"),
            many(counts.refuted, "false fire")
        ),
        Some(rule) => {
            let watched = value::days(row.watched());
            let time = if row.watched() < rule.after {
                format!("shadow {watched} of {}", value::span(rule.after))
            } else {
                format!("shadow {watched}")
            };
            let evaluations = if row.evaluations < rule.evaluations {
                let have = value::count(row.evaluations as f64);
                format!("{have} of {}", many(rule.evaluations, "evaluation"))
            } else {
                many(row.evaluations, "evaluation")
            };
            let mut refuted = many(counts.refuted, "false fire");
            if counts.refuted > rule.false_fires {
                let _ = match rule.false_fires {
                    0 => write!(refuted, " where none is allowed"),
                    most => write!(refuted, " where {most} are allowed"),
                };
            }
            format!("{time}, {evaluations}, {refuted}")
        }
        None => format!(
            "shadow {}, {}, {}",
            value::days(row.watched()),
            many(row.evaluations, "evaluation"),
            many(counts.refuted, "false fire")
        ),
    };
    if counts.fires > 0 {
        said.push_str("; fired ");
        said.push_str(&value::times(counts.fires));
        let parts = [
            (counts.rolled_back, "would have rolled back"),
            (counts.asked, "would have asked"),
            (counts.told, "would have told"),
            (counts.held, "held"),
            (counts.confirmed, "confirmed"),
            (counts.open(), "still open"),
        ];
        for (n, what) in parts.into_iter().filter(|(n, _)| *n > 0) {
            let _ = write!(said, ", {what} {}", value::times(n));
        }
    }
    said
}

/// `1 evaluation`, `12,480 evaluations`.
fn many(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {what}{s}", value::count(n as f64))
}
