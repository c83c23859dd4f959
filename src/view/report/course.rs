//! What it cost, and how long each part took beside what was aimed at.

use std::time::Duration;

use super::page::{Page, plain};
use super::{Report, value};
use crate::model::{Moment, Response, Trigger};

impl Report<'_> {
    /// What users saw of it, as far as signals say.
    pub(super) fn impact(&self, page: &mut Page) {
        page.heading(2, "Impact");
        let first = self.began().unwrap_or(self.incident.opened);
        let end = self.cured().or(self.incident.closed);
        let lasted = end.unwrap_or(self.now).since(first);
        let open = if end.is_some() { "" } else { ", so far" };
        let mut rows = vec![("Lasted", plain(format!("{}{open}", value::span(lasted))))];
        for curve in self.signals.iter().flat_map(|s| &s.curves) {
            if let Some((hits, events)) = curve.counted {
                let counted = format!(
                    "{}: {} of {} events",
                    curve.signal,
                    value::count(hits),
                    value::count(events)
                );
                rows.push(("Counted", plain(counted)));
            } else if let Some(beyond) = self.beyond(curve) {
                let counted = format!("{}: {}", curve.signal, value::span(beyond));
                rows.push(("Beyond its limit", plain(counted)));
            }
        }
        page.facts(rows);
        if let Some(proof) = self.incident.cause.as_ref().and_then(|c| c.proof.as_ref()) {
            page.text(format!(
                "Over the whole hold {} of {} events were counted against the limit.",
                value::count(proof.hits),
                value::count(proof.events)
            ));
        }
        self.losses(page);
    }

    /// Data that was lost, as queries of the plan and people counted it.
    fn losses(&self, page: &mut Page) {
        let losses = &self.incident.losses;
        if losses.is_empty() {
            page.hint("Users affected, orders or data lost: to fill in by people.");
            return;
        }
        let rows = losses.iter().map(|loss| {
            let by = loss.by.as_deref().unwrap_or("a query of the plan");
            let by = match loss.reason.as_str() {
                "" => by.to_owned(),
                why => format!("{by}: {why}"),
            };
            vec![
                plain(loss.name.clone()),
                plain(loss.in_words()),
                plain(self.time(loss.at)),
                plain(by),
            ]
        });
        page.table(&["Lost", "How much", "Counted", "By"], rows.collect());
        page.hint("Users affected: to fill in by people.");
    }

    /// How long a signal was beyond its limit.
    fn beyond(&self, curve: &super::Curve) -> Option<Duration> {
        let bound = curve.limit.as_ref()?;
        let first = self.began().unwrap_or(self.incident.opened);
        let last = self.cured().or(self.incident.closed).unwrap_or(self.now);
        let mut beyond = Duration::ZERO;
        for pair in curve.points.windows(2) {
            let [(at, Some(value)), (next, _)] = pair else {
                continue;
            };
            if *at >= first && *at <= last && bound.is_breached_by(*value) {
                beyond += next.since(*at);
            }
        }
        (beyond > Duration::ZERO).then_some(beyond)
    }

    /// From the first breach to the proof of cure, as far as it got: when, and
    /// how long each part took beside its goal.
    pub(super) fn course(&self, page: &mut Page) {
        page.heading(2, "Course");
        let incident = self.incident;
        let began = self.began();
        let run = self.last_run();
        let marks = [
            ("The breach began", began),
            ("Detected: the incident opened", Some(incident.opened)),
            ("Decided: the rollback started", run.map(|r| r.started)),
            (
                "Rolled back: the last step ended",
                run.and_then(|r| r.ended),
            ),
            ("Restored: the cure was proven", self.cured()),
            ("Closed", incident.closed),
        ];
        let first = began.unwrap_or(incident.opened);
        let rows = marks.into_iter().filter_map(|(name, at)| {
            let at = at?;
            let after = if at == first {
                "–".into()
            } else {
                value::span(at.since(first))
            };
            Some(vec![plain(name), plain(self.time(at)), plain(after)])
        });
        page.table(&["Mark", "At", "After the first"], rows.collect());
        let rows: Vec<_> = self.parts().into_iter().filter_map(Part::row).collect();
        if !rows.is_empty() {
            page.table(&["Time to", "Took", "Goal", "Met"], rows);
        }
    }

    /// Detect, decide, roll back, recover.
    fn parts(&self) -> [Part; 4] {
        let incident = self.incident;
        let trigger = self
            .policy
            .and_then(|p| p.triggers.iter().find(|t| t.name == incident.trigger));
        let run = self.last_run();
        let plan = run.and_then(|run| self.policy?.plans.get(&run.plan));
        let first = self.began().unwrap_or(incident.opened);
        let span = |from: Option<Moment>, to: Option<Moment>| Some(to?.since(from?));
        [
            Part {
                name: "detect",
                took: span(self.began(), Some(incident.opened)),
                goal: trigger.map(|t| t.when.hold.span()),
                why: "the hold, and an interval",
                slack: self.policy.map_or(Duration::ZERO, |p| p.interval),
            },
            Part {
                name: "decide",
                took: span(Some(incident.opened), run.map(|r| r.started)),
                goal: trigger.and_then(decided_within),
                why: "the policy's response",
                slack: self.policy.map_or(Duration::ZERO, |p| p.interval),
            },
            Part {
                name: "roll back",
                took: run.and_then(|r| span(Some(r.started), r.ended)),
                goal: plan.and_then(|plan| plan.expect),
                why: "the plan's `expect`",
                slack: Duration::ZERO,
            },
            Part {
                name: "recover",
                took: span(Some(first), self.cured()),
                goal: plan.and_then(|plan| plan.goal),
                why: "the plan's `goal`",
                slack: Duration::ZERO,
            },
        ]
    }
}

/// Until when people, if anybody, have to have decided.
const fn decided_within(trigger: &Trigger) -> Option<Duration> {
    match &trigger.response {
        Response::Rollback => Some(Duration::ZERO),
        Response::Approve(approve) => Some(approve.within),
        Response::Alert => None,
    }
}

/// A part of the way from the breach to the cure.
struct Part {
    name: &'static str,
    took: Option<Duration>,
    goal: Option<Duration>,
    /// Where the goal comes from.
    why: &'static str,
    /// By how much it is met all the same.
    slack: Duration,
}

impl Part {
    fn row(self) -> Option<Vec<super::Line>> {
        let took = self.took?;
        let goal = self.goal.map_or_else(
            || "none".to_owned(),
            |goal| format!("{}, {}", value::span(goal), self.why),
        );
        let met = match self.goal {
            None => "–".to_owned(),
            Some(goal) if took <= goal + self.slack => "yes".to_owned(),
            Some(goal) => format!("no, {} longer", value::span(took.saturating_sub(goal))),
        };
        Some(vec![
            plain(self.name),
            plain(value::span(took)),
            plain(goal.replace('`', "")),
            plain(met),
        ])
    }
}
