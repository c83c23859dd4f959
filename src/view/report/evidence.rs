//! What it rests on: the numbers that fired, the signals over time, and the
//! releases.

use std::time::Duration;

use super::page::{Block, Page, code, plain};
use super::plot::{Band, Plot, Shade};
use super::{Report, Span, note, value};
use crate::guard::What;
use crate::model::Unit;
use crate::view::incidents::{IncidentView, RunLine};
use crate::view::notice::measured;

/// Shown before the breach, at least and at most.
const BEFORE: (Duration, Duration) = (Duration::from_mins(2), Duration::from_mins(30));

impl Report<'_> {
    pub(super) fn evidence(&self, page: &mut Page) {
        let Some(cause) = &self.incident.cause else {
            return;
        };
        page.heading(2, "Evidence");
        let (value, limit) = measured(Some(cause));
        let mut rows = vec![
            ("Trigger", plain(&self.incident.trigger)),
            ("Condition", code(&cause.condition)),
            ("Signal", plain(&cause.subject)),
        ];
        rows.extend(value.map(|v| ("Value", plain(v))));
        rows.extend(limit.map(|l| ("Limit", plain(l))));
        if cause.window_ms > 0 {
            let window = Duration::from_millis(cause.window_ms);
            rows.push(("Window", plain(value::span(window))));
        }
        if let Some(evidence) = cause.evidence.as_ref().filter(|_| cause.unit != Unit::Flag) {
            let counted = format!(
                "{}, {} samples that cover {}",
                value::evidence(evidence),
                evidence.scrapes,
                value::span(evidence.covers)
            );
            rows.push(("Counted", plain(counted)));
        }
        rows.extend(cause.told.as_ref().map(|told| {
            let at = self.time(told.at);
            ("Told", plain(format!("{} ({at})", note::said(told))))
        }));
        rows.extend(note::baseline(cause).map(|b| ("Baseline", plain(b))));
        rows.extend(note::proof(cause).map(|p| ("Proof", plain(p))));
        rows.extend(cause.since.map(|s| ("Breached since", plain(self.time(s)))));
        rows.push(("Policy", plain(&cause.policy)));
        page.facts(rows);
        let joined = self.incident.triggers.iter();
        let joined: Vec<&str> = joined
            .filter(|t| **t != self.incident.trigger)
            .map(String::as_str)
            .collect();
        if !joined.is_empty() {
            page.text(format!("Also fired meanwhile: {}.", joined.join(", ")));
        }
    }

    /// A plot for each signal, with its limit, the hold, and what happened.
    pub(super) fn signals(&self, page: &mut Page) {
        page.heading(2, "Signals");
        let curves = self.signals.map_or(&[][..], |signals| &signals.curves);
        if curves
            .iter()
            .all(|c| c.points.iter().all(|p| p.1.is_none()))
        {
            page.text(if self.signals.is_none() {
                "There are no plots: the journal has no samples of this time any more, or the \
                 policy of that time."
            } else {
                "There are no plots: no signal had a value in this time."
            });
            return;
        }
        let incident = self.incident;
        let first = self.began().unwrap_or(incident.opened);
        let last = incident.closed.unwrap_or(self.now);
        let before = (last.since(first) / 3).clamp(BEFORE.0, BEFORE.1);
        let known = curves
            .iter()
            .flat_map(|c| c.points.iter().map(|p| p.0))
            .min();
        let from = (first - before).max(known.unwrap_or(first));
        for curve in curves {
            let mut curve = curve.clone();
            curve.points.retain(|(at, _)| *at >= from && *at <= last);
            page.blocks.push(Block::Plot(Plot {
                curve,
                span: (from, last),
                bands: self.hold().into_iter().collect(),
                doubtful: None,
                marks: self.marks(),
                wall_ahead_ms: self.wall_ahead_ms,
            }));
        }
        page.text(
            "The curves are judged again from the recorded samples; the shaded part is the hold, \
             from the beginning of the breach to the firing.",
        );
    }

    /// From the beginning of the breach to the firing.
    fn hold(&self) -> Option<Band> {
        Some(Band {
            what: Shade::Hold,
            from: self.began()?,
            to: self.incident.opened,
        })
    }

    /// Fired, decided, each step that ended, cured.
    fn marks(&self) -> Vec<(crate::model::Moment, String)> {
        /// More would be a fence before the curve.
        const MOST: usize = 12;
        let notes = self.notes().iter().filter_map(|note| {
            let what = match note.what {
                What::Opened => "fired",
                What::RollingBack => "decided",
                What::WouldRollBack => "would have decided",
                What::StepDone => "step",
                What::StepFailed => "step failed",
                What::Cured => "cured",
                What::NotCured => "not cured",
                _ => return None,
            };
            Some((note.at, what.to_owned()))
        });
        notes.take(MOST).collect()
    }

    pub(super) fn releases(&self, page: &mut Page, view: &IncidentView) {
        if self.incident.release.is_none() && view.rollbacks.is_empty() {
            return;
        }
        page.heading(2, "Releases");
        if let Some(release) = &self.incident.release {
            let ran = vec![
                Span::Plain(release.clone()),
                Span::Plain(" ran when it opened.".into()),
            ];
            page.blocks.push(Block::Text(ran));
        }
        if view.rollbacks.is_empty() {
            return;
        }
        let or_dash = |v: &Option<String>| plain(v.as_deref().unwrap_or("–"));
        let rows = view.rollbacks.iter().map(|run: &RunLine| {
            let took = if run.shadow {
                "not run: shadow"
            } else {
                run.took.as_deref().unwrap_or("not over")
            };
            let outcome = run.outcome.as_ref().map(|o| o.replace('_', " "));
            vec![
                plain(run.ticket.to_string()),
                plain(&run.plan),
                or_dash(&run.from),
                or_dash(&run.to),
                plain(&run.started),
                plain(took),
                or_dash(&outcome),
            ]
        });
        page.table(
            &["Run", "Plan", "From", "To", "Started", "Took", "Outcome"],
            rows.collect(),
        );
    }
}
