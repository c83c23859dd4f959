//! How well a choice did, by the labelled incidents, and which choices no other
//! beats.

use std::time::Duration;

use serde::Serialize;

use super::Labelled;
use crate::judge::Fire;
use crate::model::{Budget, Moment, Plan};

/// A choice against the labelled incidents.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Incidents during which a true fire stood.
    pub caught: usize,
    /// Incidents of which it said nothing, or was wrong already.
    pub missed: usize,
    /// Fires that came during an incident, or before one and stood in it for at
    /// least as long as before it.
    pub true_fires: usize,
    /// All other fires.
    pub false_fires: usize,
    /// True fires of all fires; `None` when it never fired.
    pub precision: Option<f64>,
    /// Caught of all incidents.
    pub recall: f64,
    /// From an incident's beginning to the fire, on average of those that were
    /// caught; nothing where it stood as fired already.
    pub detect_seconds: Option<f64>,
    /// From the fire to the incident's end, of all that were caught: the time
    /// that a rollback could have saved.
    pub saved_seconds: f64,
    /// False fires in thirty days, at the rate of the recording.
    pub false_fires_a_month: f64,
    /// False fires that would have led to a rollback: the plan's cooldown and
    /// budget, counted over all fires, hold the others back. `None` where the
    /// trigger does not roll back by itself.
    pub false_rollbacks: Option<usize>,
    /// Those in thirty days, at the rate of the recording.
    pub false_rollbacks_a_month: Option<f64>,
    /// No other choice catches as much with as few false fires and saves as much
    /// time, and is better in one of them.
    pub unbeaten: bool,
}

/// When a fire stood; one that stands yet stands until the end.
pub(super) fn stood(fire: &Fire, end: Moment) -> (Moment, Moment) {
    (fire.at, fire.until.unwrap_or(end).max(fire.at))
}

fn stood_in(fire: &Fire, end: Moment, incident: &Labelled) -> bool {
    let (at, until) = stood(fire, end);
    at < incident.to && until >= incident.from
}

/// The first incident that a fire is of. One that came before it is of it where
/// people may well have noticed late: a choice that always stands would else be
/// right about everything.
pub(super) fn incident_of(fire: &Fire, end: Moment, incidents: &[Labelled]) -> Option<usize> {
    let (at, until) = stood(fire, end);
    incidents.iter().position(|incident| {
        let before = incident.from.since(at);
        let in_it = until.min(incident.to).since(incident.from.max(at));
        stood_in(fire, end, incident) && in_it >= before
    })
}

/// The fires that a rollback would have come of, by the plan's cooldown and
/// budget. One that is held back is rolled back for as soon as that is allowed,
/// if it stands then. How long a run takes nobody knows: it is counted as over at
/// once, so that these are never too few.
fn rolled_back(fires: &[Fire], end: Moment, cooldown: Duration, budget: Budget) -> Vec<&Fire> {
    let runs = budget.runs as usize;
    let mut began: Vec<Moment> = Vec::new();
    let mut rolled = Vec::new();
    for fire in fires {
        let (mut at, until) = stood(fire, end);
        if let Some(last) = began.last() {
            at = at.max(*last + cooldown);
        }
        match began.len().checked_sub(runs).map(|nth| began.get(nth)) {
            // As many as the budget has came before it.
            Some(Some(first)) => at = at.max(*first + budget.period),
            Some(None) => return Vec::new(),
            None => {}
        }
        // A fire that is over is none, but for the tick at which it came.
        if at == fire.at || at < until {
            began.push(at);
            rolled.push(fire);
        }
    }
    rolled
}

impl Score {
    /// Of a trigger that rolls back by itself with its plan.
    pub(super) fn new(
        fires: &[Fire],
        incidents: &[Labelled],
        span: (Moment, Moment),
        plan: Option<&Plan>,
    ) -> Self {
        let end = span.1;
        let is_true = |fire: &&Fire| incident_of(fire, end, incidents).is_some();
        let (mut caught, mut detect, mut saved) = (0, Duration::ZERO, Duration::ZERO);
        for incident in incidents {
            let mut of_it = fires.iter().filter(|fire| stood_in(fire, end, incident));
            let Some(fire) = of_it.find(is_true) else {
                continue;
            };
            caught += 1;
            detect += fire.at.since(incident.from);
            saved += incident.to.since(fire.at.max(incident.from));
        }
        let true_fires = fires.iter().filter(is_true).count();
        let false_fires = fires.len() - true_fires;
        let false_rollbacks = plan.map(|plan| {
            let rolled = rolled_back(fires, end, plan.cooldown, plan.budget);
            rolled.iter().filter(|fire| !is_true(fire)).count()
        });
        let share = |part: usize, of: usize| part as f64 / of as f64;
        Self {
            caught,
            missed: incidents.len() - caught,
            true_fires,
            false_fires,
            precision: (!fires.is_empty()).then(|| share(true_fires, fires.len())),
            recall: share(caught, incidents.len().max(1)),
            detect_seconds: (caught > 0).then(|| detect.as_secs_f64() / caught as f64),
            saved_seconds: saved.as_secs_f64(),
            false_fires_a_month: a_month(false_fires, span),
            false_rollbacks,
            false_rollbacks_a_month: false_rollbacks.map(|n| a_month(n, span)),
            unbeaten: false,
        }
    }

    /// Whether this one is as good as the other in all, and better in one.
    fn beats(&self, other: &Self) -> bool {
        let as_good = self.caught >= other.caught
            && self.false_fires <= other.false_fires
            && self.saved_seconds >= other.saved_seconds;
        let better = self.caught > other.caught
            || self.false_fires < other.false_fires
            || self.saved_seconds > other.saved_seconds;
        as_good && better
    }

    /// The harmonic mean of precision and recall, 0 to 1.
    #[must_use]
    pub fn balance(&self) -> f64 {
        let precision = self.precision.unwrap_or(0.0);
        let sum = precision + self.recall;
        if sum > 0.0 {
            2.0 * precision * self.recall / sum
        } else {
            0.0
        }
    }
}

/// How many that would be in thirty days.
pub(super) fn a_month(fires: usize, (from, to): (Moment, Moment)) -> f64 {
    const MONTH: f64 = 30.0 * 86_400.0;
    fires as f64 * MONTH / to.since(from).as_secs_f64().max(1.0)
}

/// Marks the scores that no other beats (Pareto's front). One that catches
/// nothing helps nobody, however seldom it errs.
pub(super) fn mark(scores: &mut [&mut Score]) {
    let marks: Vec<bool> = scores
        .iter()
        .map(|score| score.caught > 0 && !scores.iter().any(|other| other.beats(score)))
        .collect();
    for (score, mark) in scores.iter_mut().zip(marks) {
        score.unbeaten = mark;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(s: u64) -> Moment {
        Moment::from_millis(s * 1000)
    }

    fn fire(from: u64, until: Option<u64>) -> Fire {
        Fire {
            since: at(from),
            at: at(from),
            until: until.map(at),
        }
    }

    fn incident(from: u64, to: u64) -> Labelled {
        Labelled {
            from: at(from),
            to: at(to),
            name: String::new(),
        }
    }

    #[test]
    fn a_fire_is_true_if_it_came_during_an_incident() {
        let incidents = [incident(100, 200), incident(500, 600), incident(900, 950)];
        let fires = [
            fire(90, Some(100)),
            fire(140, Some(300)),
            fire(300, Some(400)),
            fire(560, None),
        ];
        let score = Score::new(&fires, &incidents, (at(0), at(1000)), None);
        // The last stands to the end, and so through the third incident.
        assert_eq!((score.caught, score.missed), (3, 0));
        assert_eq!((score.true_fires, score.false_fires), (2, 2));
        // 40 s in the first, 60 s in the second, and it stood in the third.
        assert_eq!(score.detect_seconds, Some(100.0 / 3.0));
        assert!((score.saved_seconds - (60.0 + 40.0 + 50.0)).abs() < 1e-9);
        assert!((score.false_fires_a_month - 5184.0).abs() < 1e-9);
        let never = Score::new(&[], &incidents, (at(0), at(1000)), None);
        assert_eq!((never.precision, never.detect_seconds), (None, None));
        assert_eq!((never.caught, never.missed), (0, 3));
    }

    #[test]
    fn cooldown_and_budget_hold_fires_back() {
        let budget = Budget {
            runs: 2,
            period: Duration::from_secs(1000),
        };
        let fires = [
            fire(100, Some(150)),
            // Over before the cooldown is.
            fire(200, Some(390)),
            // Stands yet when it is.
            fire(395, Some(405)),
            // The budget is used up until 1100.
            fire(800, Some(1100)),
            fire(1090, Some(1101)),
            // One tick is enough where nothing holds back.
            fire(1400, Some(1400)),
        ];
        let rolled = rolled_back(&fires, at(2000), Duration::from_secs(300), budget);
        let rolled: Vec<u64> = rolled.iter().map(|f| f.at.as_millis() / 1000).collect();
        assert_eq!(rolled, [100, 395, 1090, 1400]);
    }

    #[test]
    fn what_stood_long_before_an_incident_is_no_catch_of_it() {
        let incidents = [incident(1000, 1400), incident(3000, 4000)];
        let scored = |from, until| {
            let score = Score::new(&[fire(from, until)], &incidents, (at(0), at(9000)), None);
            (score.caught, score.false_fires, score.detect_seconds)
        };
        assert_eq!(scored(300, None), (0, 1, None));
        // It stood as long in it as before it: the same trouble, noticed late.
        assert_eq!(scored(800, Some(1200)), (1, 0, Some(0.0)));
        assert_eq!(scored(800, Some(1199)), (0, 1, None));
        // What comes after its beginning is of it, however soon it is over.
        assert_eq!(scored(1000, Some(1000)), (1, 0, Some(0.0)));
        assert_eq!(scored(1399, Some(1400)), (1, 0, Some(399.0)));
        assert_eq!(scored(1400, Some(1500)), (0, 1, None));
    }

    #[test]
    fn what_no_other_beats_is_marked_and_equals_both_are() {
        let score = |caught, false_fires, saved_seconds| Score {
            caught,
            missed: 3 - caught,
            true_fires: caught,
            false_fires,
            precision: None,
            recall: 0.0,
            detect_seconds: None,
            saved_seconds,
            false_fires_a_month: 0.0,
            false_rollbacks: None,
            false_rollbacks_a_month: None,
            unbeaten: false,
        };
        let mut scores = [
            score(3, 2, 100.0),
            score(3, 2, 100.0),
            score(3, 3, 100.0),
            score(2, 0, 50.0),
            score(3, 9, 300.0),
            score(2, 0, 40.0),
            score(0, 0, 0.0),
        ];
        mark(&mut scores.iter_mut().collect::<Vec<_>>());
        let marked: Vec<_> = scores.iter().map(|s| s.unbeaten).collect();
        assert_eq!(marked, [true, true, false, true, true, false, false]);
    }
}
