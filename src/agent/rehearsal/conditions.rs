//! The conditions of a drill: awaited on live samples, all at once, each for as
//! long as the plan would wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::point;
use crate::guard::{Rehearsal, Sight};
use crate::model::{Condition, Short, StepAction};
use crate::view::{DrillPoint, DrillVerdict, note};

/// What the plan and its verification wait for, by key.
pub(in crate::agent) fn conditions(rehearsal: &Rehearsal) -> Vec<(String, Condition)> {
    let steps = rehearsal.plan.steps.iter().enumerate();
    let steps = steps.filter_map(|(i, step)| match &step.action {
        StepAction::Check(condition) => Some((step_key(i), condition.clone())),
        _ => None,
    });
    let verify = rehearsal.plan.verify.require.iter().enumerate();
    let verify = verify.map(|(i, condition)| (verify_key(i), condition.clone()));
    steps.chain(verify).collect()
}

pub(super) fn step_key(index: usize) -> String {
    format!("step {index}")
}

fn verify_key(index: usize) -> String {
    format!("verify {index}")
}

/// How long each condition may take to hold.
pub(super) fn deadlines(rehearsal: &Rehearsal) -> BTreeMap<String, Duration> {
    let steps = rehearsal.plan.steps.iter().enumerate();
    let steps = steps.filter_map(|(i, step)| match &step.action {
        StepAction::Check(_) => Some((step_key(i), step.timeout * (step.retries + 1))),
        _ => None,
    });
    let verify = &rehearsal.plan.verify;
    let require = (0..verify.require.len()).map(|i| (verify_key(i), verify.within));
    steps.chain(require).collect()
}

/// How it went with each condition, and how long that took.
pub(super) type Looked = BTreeMap<String, (Result<String, String>, Duration)>;

/// Awaits every condition, on live samples.
pub(super) async fn look(
    mut open: BTreeMap<String, Duration>,
    mut seen: mpsc::UnboundedReceiver<(String, Sight)>,
) -> Looked {
    let began = Instant::now();
    let mut looked = Looked::new();
    let mut last: BTreeMap<String, Sight> = BTreeMap::new();
    while let Some(next) = open.values().min().copied() {
        tokio::select! {
            sight = seen.recv() => {
                let Some((key, sight)) = sight else { break };
                if sight.holds && open.remove(&key).is_some() {
                    let said = format!("holds: {}", found(&sight));
                    looked.insert(key, (Ok(said), began.elapsed()));
                } else {
                    last.insert(key, sight);
                }
            }
            () = sleep_until(began + next) => {
                open.retain(|key, within| {
                    if *within > next {
                        return true;
                    }
                    let said = match last.get(key) {
                        None => "nothing was judged".to_owned(),
                        Some(sight) => found(sight),
                    };
                    let said = format!("did not hold within {}: {said}", Short(next));
                    looked.insert(key.clone(), (Err(said), next));
                    false
                });
            }
        }
    }
    for (key, _) in open {
        let why = "the service is guarded no more".to_owned();
        looked.insert(key, (Err(why), began.elapsed()));
    }
    looked
}

fn found(sight: &Sight) -> String {
    match (&sight.blind, &sight.found) {
        (Some(why), _) => format!("cannot judge {why}"),
        (None, Some(cause)) => note::evidence(cause),
        (None, None) => "nothing was judged".to_owned(),
    }
}

pub(super) fn verification(rehearsal: &Rehearsal, looked: &Looked) -> Vec<DrillPoint> {
    let require = &rehearsal.plan.verify.require;
    if require.is_empty() {
        let said = "the fired trigger must be clear, and no source that was up be down";
        let point = point("verify", "the cure", Ok(said.to_owned()));
        return vec![point.being(DrillVerdict::NotRun)];
    }
    let points = require.iter().enumerate().map(|(i, condition)| {
        let (said, took) = came_of(looked, &verify_key(i));
        point("verify", &condition.text, said).taking(took)
    });
    points.collect()
}

pub(super) fn came_of(looked: &Looked, key: &str) -> (Result<String, String>, Duration) {
    let nothing = || (Err("nothing was judged".to_owned()), Duration::ZERO);
    looked.get(key).cloned().unwrap_or_else(nothing)
}
