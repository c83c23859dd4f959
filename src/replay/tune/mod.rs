//! Which limit, and how long a hold? Every choice of both, in one pass over
//! recorded samples, against the incidents that people remember.
//!
//! The recording is replayed once, by the same engine. Beside the policy's own
//! triggers its judge follows each choice on the same readings, with the code
//! that follows a trigger: a choice fires here when it would fire in the policy,
//! to the tick. Of what a fire would have led to, cooldown and budget are counted;
//! the other gates are not asked, and can only make rollbacks fewer.
//!
//! Without labelled incidents nobody can say which fire was right, so nothing is
//! recommended; and with few of them it says how little they prove.

mod grid;
mod labels;
mod own;
mod page;
mod score;

use std::time::Duration;

use serde::Serialize;

use self::grid::{Grid, stretches, valid};
use self::score::{a_month, incident_of, mark, stood};
use super::Recording;
use super::drive::replay_beside;
use crate::judge::{Fire, Swept, bound};
use crate::model::{Moment, Plan, Proof, Response, Trigger, Unit, Verdict};
use crate::policy::Loaded;
use crate::view::value;

pub use self::grid::Axes;
pub use self::labels::{LabelFaults, Labelled, labels};
pub use self::own::{OwnFault, OwnIncidents, own_incidents};
pub use self::page::tuning_page;
pub use self::score::Score;

/// Fewer labelled incidents than this prove little.
const FEW_INCIDENTS: usize = 10;
/// A shorter recording has not seen a week's rhythm.
const SHORT: Duration = Duration::from_hours(7 * 24);
/// More blind ticks than this share are worth a word.
const MUCH_BLIND: f64 = 0.05;

/// Why nothing can be tuned, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TuneFault {
    /// In one sentence.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl TuneFault {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What each choice would have done: `tune --format json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuned {
    /// The service.
    pub service: String,
    /// The trigger.
    pub trigger: String,
    /// The signal whose limit is varied, if one is.
    pub signal: Option<String>,
    /// The first tick, RFC 3339 UTC.
    pub from: String,
    /// The last tick, RFC 3339 UTC.
    pub to: String,
    /// Ticks judged.
    pub ticks: u64,
    /// How far it can be trusted: what the recording lacks, and how thin the
    /// evidence is.
    pub warnings: Vec<String>,
    /// The labelled incidents that lie in the recording; `None` without labels.
    pub incidents: Option<Vec<Incident>>,
    /// How each release would have been judged.
    pub releases: Vec<Ran>,
    /// Windows, limits and holds as they are written, one axis each; a window
    /// or a limit is empty where there is none to vary.
    pub windows: Vec<String>,
    /// See there.
    pub limits: Vec<String>,
    /// See there.
    pub holds: Vec<String>,
    /// Each choice: by window, by limit, by hold; the policy's own last where it
    /// is on no axis.
    pub choices: Vec<Choice>,
    /// Which of them the policy has.
    pub own: usize,
    /// Which of those that no other beats has the best balance of precision and
    /// recall, if there are labels and one caught anything.
    pub suggested: Option<usize>,
    /// The line to paste into the policy's trigger: that choice.
    pub paste: Option<String>,
    /// The unit of the limits.
    #[serde(skip)]
    pub unit: Unit,
}

impl Tuned {
    /// The choice at these places of the axes of windows, limits and holds, and
    /// its place among all.
    #[must_use]
    pub fn at(&self, place: (usize, usize, usize)) -> Option<(usize, &Choice)> {
        let (window, limit, hold) = place;
        let index = (window * self.limits.len() + limit) * self.holds.len() + hold;
        let choice = self.choices.get(index)?;
        (choice.place == Some(place)).then_some((index, choice))
    }
}

/// A labelled incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// RFC 3339 UTC.
    pub from: String,
    /// RFC 3339 UTC.
    pub to: String,
    /// What people call it.
    pub name: String,
}

/// A stretch of time for which a release ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ran {
    /// Its version.
    pub version: String,
    /// RFC 3339 UTC.
    pub from: String,
    /// RFC 3339 UTC.
    pub to: String,
    /// After how long the policy's own choice fired against it, if it did.
    pub own_fired_after_seconds: Option<f64>,
    /// After how long the suggested choice did.
    pub suggested_fired_after_seconds: Option<f64>,
    /// How many of the choices did.
    pub choices_that_fired: usize,
}

/// A choice of window, limit and hold, and what it would have done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The condition as the policy would have it.
    pub when: String,
    /// Its places on the axes of windows, limits and holds; `None` for the
    /// policy's own where that is on none.
    pub place: Option<(usize, usize, usize)>,
    /// How often it would have fired.
    pub fired: usize,
    /// How long it would have stood as fired.
    pub fired_seconds: f64,
    /// Fires in thirty days, at the rate of the recording.
    pub fires_a_month: f64,
    /// Ticks in breach, in seconds.
    pub breach_seconds: f64,
    /// Ticks blind, in seconds.
    pub blind_seconds: f64,
    /// Against the labelled incidents, if there are any.
    pub score: Option<Score>,
    /// In the order of time.
    pub fires: Vec<Episode>,
}

/// A time for which a choice stood as fired.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Episode {
    /// When it fired, RFC 3339 UTC.
    pub at: String,
    /// When it was resolved, or another release ran; `None` if it stood at the
    /// end.
    pub until: Option<String>,
    /// How long.
    pub seconds: f64,
    /// The labelled incident that it is a true fire of, from 0.
    pub incident: Option<usize>,
    /// The release that ran when it fired.
    pub release: Option<String>,
}

/// What each choice of a trigger's limit, window and hold would have done.
///
/// `file` is the policy as it was read; its own choice is always among them.
/// Labelled incidents are in the order of time and do not overlap, as [`labels`]
/// makes them.
///
/// # Errors
///
/// What cannot be varied, is never judged, or is a choice that no policy could
/// have; each with what to do.
pub fn tune(
    file: &Loaded,
    recording: &Recording,
    axes: &Axes,
    labelled: Option<&[Labelled]>,
) -> Result<Tuned, TuneFault> {
    let policy = valid(file)?;
    let grid = Grid::new(file, policy, axes)?;
    let triggers: Vec<Trigger> = grid.planned.iter().map(|p| p.trigger.clone()).collect();
    let (replay, beside) = replay_beside(policy, recording, &triggers, &mut ());
    let span = recording.span;
    if beside
        .swept
        .iter()
        .all(|choice| choice.blind == choice.ticks)
    {
        let message = format!("`{}` is never judged on these samples", axes.trigger);
        let why = match replay.seen_last.get(&axes.trigger) {
            Some(Verdict::Blind { subject, why }) => format!("at the end, {subject}: {why}"),
            _ => "the recording has no samples of what it tests".to_owned(),
        };
        return Err(TuneFault::new(message).hint(why));
    }
    let mut warnings = replay.remarks;
    let incidents = match labelled {
        Some(labelled) => Some(within(labelled, span, &mut warnings)?),
        None => None,
    };
    let stretches = stretches(&beside.ran, span.1);
    let mut named = policy.triggers.iter().filter(|t| t.name == axes.trigger);
    let rolls_back = named.find(|t| t.response == Response::Rollback);
    let telling = Telling {
        span,
        plan: rolls_back.and_then(|t| policy.plans.get(&t.plan)),
        interval: policy.interval,
        incidents: incidents.as_deref(),
        stretches: &stretches,
    };
    let planned = grid.planned.iter().zip(&beside.swept);
    let mut choices: Vec<Choice> = planned
        .map(|(planned, swept)| telling.choice(planned, swept))
        .collect();
    let mut scores: Vec<&mut Score> = choices
        .iter_mut()
        .filter_map(|c| c.score.as_mut())
        .collect();
    mark(&mut scores);
    let suggested = suggested(&choices, grid.own);
    telling.warn(&choices, &mut warnings);
    let place = suggested.and_then(|best| choices[best].place);
    if place.is_some_and(|(_, limit, _)| grid.is_edge(limit)) {
        warnings.push(
            "the suggested limit is the last of those that were tried: a further one may do better"
                .to_owned(),
        );
    }
    let releases = stretches.iter().map(|stretch| {
        let fired = |choice: usize| after(&beside.swept[choice].fires, stretch);
        let fired_at_all = |swept: &&Swept| after(&swept.fires, stretch).is_some();
        Ran {
            version: stretch.0.clone(),
            from: time(stretch.1),
            to: time(stretch.2),
            own_fired_after_seconds: fired(grid.own),
            suggested_fired_after_seconds: suggested.and_then(fired),
            choices_that_fired: beside.swept.iter().filter(fired_at_all).count(),
        }
    });
    let releases = releases.collect();
    let paste = suggested.map(|best| format!("when = {}", quoted(&choices[best].when)));
    let incidents = incidents.map(|incidents| {
        let incidents = incidents.into_iter().map(|incident| Incident {
            from: time(incident.from),
            to: time(incident.to),
            name: incident.name,
        });
        incidents.collect()
    });
    Ok(Tuned {
        service: replay.told.service,
        trigger: axes.trigger.clone(),
        signal: grid.signal,
        from: replay.told.from,
        to: replay.told.to,
        ticks: replay.told.ticks,
        warnings,
        incidents,
        releases,
        windows: grid.windows,
        limits: grid.limits,
        holds: grid.holds,
        choices,
        own: grid.own,
        suggested,
        paste,
        unit: grid.unit,
    })
}

fn time(at: Moment) -> String {
    value::time(at, 0)
}

/// As a TOML string.
fn quoted(when: &str) -> String {
    if when.contains('"') || when.contains('\\') {
        format!("'{when}'")
    } else {
        format!("\"{when}\"")
    }
}

/// The incidents that lie in the recording, cut to it.
fn within(
    labelled: &[Labelled],
    (from, to): (Moment, Moment),
    warnings: &mut Vec<String>,
) -> Result<Vec<Labelled>, TuneFault> {
    let called = |incident: &Labelled| {
        let name = value::one_line(&incident.name, 80);
        let gap = if name.is_empty() { "" } else { " " };
        format!(
            "the incident{gap}{name} from {} to {}",
            time(incident.from),
            time(incident.to)
        )
    };
    let mut inside = Vec::with_capacity(labelled.len());
    let mut outside = Vec::new();
    for incident in labelled {
        if incident.to <= from || incident.from >= to {
            outside.push(incident);
            continue;
        }
        if incident.from < from || incident.to > to {
            warnings.push(format!("{} is only partly recorded", called(incident)));
        }
        inside.push(Labelled {
            from: incident.from.max(from),
            to: incident.to.min(to),
            name: incident.name.clone(),
        });
    }
    match &*outside {
        [] => {}
        [one] => warnings.push(format!("{} lies outside of the recording", called(one))),
        [first, ..] => warnings.push(format!(
            "{} incidents lie outside of the recording; the first is {}",
            outside.len(),
            called(first)
        )),
    }
    if !inside.is_empty() {
        return Ok(inside);
    }
    let (from, to) = (time(from), time(to));
    Err(match labelled.first() {
        None => TuneFault::new("there is no labelled incident")
            .hint("without labels it says how often and how long each choice would have fired"),
        Some(first) => TuneFault::new(format!(
            "no labelled incident lies in the recording, which is of {from} to {to}"
        ))
        .hint(format!(
            "the first is from {}: are the times in UTC, or with their offset?",
            time(first.from)
        )),
    })
}

/// After how long a release was fired against.
fn after(fires: &[Fire], (_, from, to): &(String, Moment, Moment)) -> Option<f64> {
    let fired = fires
        .iter()
        .find(|fire| fire.at >= *from && fire.at < *to)?;
    Some(fired.at.since(*from).as_secs_f64())
}

/// Of the choices that no other beats the one with the best balance of precision
/// and recall; of equals the one that saves most time, and of those the one that
/// changes least.
fn suggested(choices: &[Choice], own: usize) -> Option<usize> {
    let own = choices.get(own)?.place;
    let changes = |place: Option<(usize, usize, usize)>| match (place, own) {
        (Some((a, b, c)), Some((x, y, z))) => a.abs_diff(x) + b.abs_diff(y) + c.abs_diff(z),
        (None, _) => 0,
        (Some(_), None) => 1,
    };
    let unbeaten = choices.iter().enumerate().filter_map(|(i, choice)| {
        let score = choice.score.as_ref().filter(|score| score.unbeaten)?;
        Some((i, score, changes(choice.place)))
    });
    let best = unbeaten.max_by(|(_, a, far), (_, b, further)| {
        let balance = a.balance().total_cmp(&b.balance());
        let saved = a.saved_seconds.total_cmp(&b.saved_seconds);
        balance.then(saved).then(further.cmp(far))
    });
    best.map(|(i, ..)| i)
}

/// What fires are told by.
struct Telling<'a> {
    span: (Moment, Moment),
    /// What the trigger rolls back with, if it does so by itself.
    plan: Option<&'a Plan>,
    interval: Duration,
    incidents: Option<&'a [Labelled]>,
    stretches: &'a [(String, Moment, Moment)],
}

impl Telling<'_> {
    fn choice(&self, planned: &grid::Planned, swept: &Swept) -> Choice {
        let interval = self.interval.as_secs_f64();
        let fires: Vec<Episode> = swept.fires.iter().map(|fire| self.episode(fire)).collect();
        Choice {
            when: planned.trigger.when.text.clone(),
            place: planned.place,
            fired: fires.len(),
            fired_seconds: fires.iter().fold(0.0, |sum, fire| sum + fire.seconds),
            fires_a_month: a_month(fires.len(), self.span),
            breach_seconds: swept.breaches as f64 * interval,
            blind_seconds: swept.blind as f64 * interval,
            score: self
                .incidents
                .map(|incidents| Score::new(&swept.fires, incidents, self.span, self.plan)),
            fires,
        }
    }

    fn episode(&self, fire: &Fire) -> Episode {
        let end = self.span.1;
        let (at, until) = stood(fire, end);
        let ran = self.stretches.iter().rev().find(|(_, from, _)| *from <= at);
        let incidents = self.incidents.unwrap_or_default();
        Episode {
            at: time(at),
            until: fire.until.map(time),
            seconds: until.since(at).as_secs_f64(),
            incident: incident_of(fire, end, incidents),
            release: ran.map(|(version, ..)| version.clone()),
        }
    }

    /// Says how thin the evidence is.
    fn warn(&self, choices: &[Choice], warnings: &mut Vec<String>) {
        let (from, to) = self.span;
        let long = to.since(from);
        let days = long.as_secs_f64() / 86_400.0;
        if let Some(incidents) = self.incidents {
            let n = incidents.len();
            if n < FEW_INCIDENTS {
                let least = bound(&Proof {
                    hits: n as f64,
                    events: n as f64,
                    confidence: 0.95,
                    above: 0.0,
                    min_events: 0,
                    proven: false,
                    against: None,
                });
                warnings.push(format!(
                    "thin evidence: {} in the recording; a choice that catches all of them is \
                     proven to catch {} of such incidents, no more",
                    match n {
                        1 => "one incident".to_owned(),
                        n => format!("{n} incidents"),
                    },
                    value::number(least, Unit::Ratio)
                ));
            }
        }
        if long < SHORT {
            // None in a time is less than three in that time, at 95% (the rule
            // of three).
            warnings.push(format!(
                "thin evidence: the recording covers {}; a choice that never fired in it may \
                 still fire {} times a month",
                value::span(Duration::from_secs(long.as_secs())),
                value::number((3.0 * 30.0 / days.max(1e-6)).round(), Unit::Plain),
            ));
        }
        let ticks = long.as_secs_f64().max(1.0);
        let blind = choices.iter().map(|c| c.blind_seconds / ticks);
        let (least, most) = blind.fold((f64::INFINITY, 0.0_f64), |(least, most), share| {
            (least.min(share), most.max(share))
        });
        if most > MUCH_BLIND {
            let share = |x: f64| value::number(x.min(1.0), Unit::Ratio);
            let (least, most) = (share(least), share(most));
            warnings.push(if least == most {
                format!("for {most} of the time it could not be judged")
            } else {
                format!("for {least} to {most} of the time, by choice, it could not be judged")
            });
        }
        if choices.iter().all(|choice| choice.fired == 0) {
            warnings.push("no choice would ever have fired".to_owned());
        }
    }
}
