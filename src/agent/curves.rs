//! What the recorded samples of an incident's time say, judged again.
//!
//! The very judge that decides is given the samples that the journal still has,
//! so a plot shows what was judged and not something like it. It runs in one
//! stretch: where the agent started its evidence anew, at a change of release,
//! the curve goes on.

use std::path::Path;
use std::time::Duration;

use crate::guard::{Event, Incident, What};
use crate::journal::{Body, Record, read_samples};
use crate::judge::{Judge, SourceHealth};
use crate::model::{Moment, Op, Policy, Reading, Value};
use crate::view::{Bound, Curve, Signals};

/// Before the breach: what is compared with afterwards.
const BEFORE: Duration = Duration::from_hours(1);

/// After the cure: as long as anything is looked after.
const AFTER: Duration = Duration::from_mins(31);

/// Most points of a curve: whoever draws a part of it still has enough.
const POINTS: u32 = 20_000;

/// Most curves.
const CURVES: usize = 16;

/// Judges the samples of an incident's time again. `None` when the journal has
/// none, or cannot be read.
pub(super) fn signals(
    state: &Path,
    policy: &Policy,
    incident: &Incident,
    now: Moment,
) -> Option<Signals> {
    let time = Time::of(incident, now);
    let windows = policy.signals.values().map(|s| s.window);
    let from = time.from - windows.max().unwrap_or_default();
    let records = match read_samples(state, from, time.to) {
        Ok(records) => records,
        Err(error) => {
            tracing::warn!(%error, "cannot read the samples of incident {}", incident.number);
            return None;
        }
    };
    let records = records.filter_map(Result::ok);
    judged(records, policy, incident, from, &time)
}

/// The stretch of time that is looked at.
struct Time {
    from: Moment,
    /// The beginning of the breach, and its end.
    breach: (Moment, Moment),
    to: Moment,
}

impl Time {
    fn of(incident: &Incident, now: Moment) -> Self {
        let since = incident.cause.as_ref().and_then(|c| c.since);
        let began = since.unwrap_or(incident.opened);
        let cured = incident.timeline.iter().find(|n| n.what == What::Cured);
        let over = cured.map(|n| n.at).or(incident.closed).unwrap_or(now);
        let closed = incident.closed.unwrap_or(now);
        Self {
            from: began - BEFORE,
            breach: (began, over),
            to: (over + AFTER).max(closed).min(now),
        }
    }
}

/// One signal while it is followed.
struct Followed {
    curve: Curve,
    window: Duration,
    /// The end of the window that is counted next.
    next: Moment,
    /// The end of the stretch that one point stands for.
    bucket: Moment,
}

fn judged(
    records: impl Iterator<Item = Record>,
    policy: &Policy,
    incident: &Incident,
    from: Moment,
    time: &Time,
) -> Option<Signals> {
    let width = (time.to.since(time.from) / POINTS).max(policy.interval);
    let mut judge = Judge::new(policy);
    let mut followed: Vec<Followed> = policy
        .signals
        .iter()
        .map(|(name, signal)| Followed {
            curve: Curve {
                signal: name.clone(),
                unit: signal.unit,
                limit: Bound::of(policy, name, |trigger| {
                    incident.triggers.iter().any(|fired| fired == trigger)
                }),
                points: Vec::new(),
                counted: None,
            },
            window: signal.window,
            next: time.breach.0 + signal.window,
            bucket: time.from,
        })
        .collect();
    let mut until = None;
    for record in records {
        if record.at > time.to + policy.interval {
            break;
        }
        match record.body {
            Body::Event(Event::Sampled {
                service,
                source,
                tick,
                outcome,
            }) if service == incident.service && tick >= from => {
                judge.sampled(policy, &source, tick, &outcome);
            }
            Body::Event(Event::Ticked {
                service,
                tick,
                wall_ahead_ms,
            }) if service == incident.service && tick >= from && tick <= time.to => {
                judge.judge(policy, tick, wall_ahead_ms);
                if tick < time.from {
                    continue;
                }
                until = Some(tick);
                for (one, (_, reading)) in followed.iter_mut().zip(judge.signals()) {
                    one.take(tick, reading.ok(), width, time.breach);
                }
            }
            Body::Event(_) | Body::Commands { .. } | Body::Anchor(_) | Body::Lost(_) => {}
        }
    }
    let sources = policy.sources.iter().filter(|(_, s)| s.kind.has_health());
    let sources = sources.map(|(name, _)| {
        let up = match judge.source_up(name) {
            SourceHealth::Up => Some(true),
            SourceHealth::Down => Some(false),
            SourceHealth::Undecided { .. } | SourceHealth::Own => None,
        };
        (name.clone(), up)
    });
    let sources = sources.collect();
    // What fired stands first.
    let fired = |one: &Followed| {
        let limit = one.curve.limit.as_ref();
        limit.is_none_or(|b| !incident.triggers.contains(&b.trigger))
    };
    followed.sort_by_key(fired);
    let curves = followed.into_iter().map(|one| one.curve);
    Some(Signals {
        curves: curves.take(CURVES).collect(),
        sources,
        until: until?,
    })
}

impl Followed {
    fn take(
        &mut self,
        tick: Moment,
        reading: Option<&Reading>,
        width: Duration,
        breach: (Moment, Moment),
    ) {
        let value = reading.map(|r| match r.value {
            Value::Exactly(x) | Value::AboveTop(x) => x,
        });
        if tick >= self.bucket {
            self.curve.points.push((tick, value));
            self.bucket = tick + width;
        } else if let Some((_, last)) = self.curve.points.last_mut() {
            // The extreme of a stretch is what it is looked at for.
            let low = matches!(
                self.curve.limit.as_ref().map(|b| b.op),
                Some(Op::Less | Op::LessOrEqual)
            );
            *last = match (*last, value) {
                (Some(a), Some(b)) if low => Some(a.min(b)),
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
        }
        // Window after window, so that nothing is counted twice.
        if tick >= self.next && self.next <= breach.1 + self.window {
            self.next = tick + self.window;
            let evidence = reading.map(|r| r.evidence);
            if let Some((hits, evidence)) = evidence.and_then(|e| Some((e.hits?, e))) {
                let counted = self.curve.counted.get_or_insert((0.0, 0.0));
                counted.0 += hits;
                counted.1 += evidence.events;
            }
        }
    }
}
