//! The conditions of a drill: awaited on live samples, all at once, each for as
//! long as the plan would wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Heard, point};
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

pub(super) fn verify_key(index: usize) -> String {
    format!("verify {index}")
}

/// A condition that is awaited.
struct Open {
    key: String,
    /// `check` or `verify`, and what it is called there.
    part: &'static str,
    name: String,
    /// How long it may take to hold.
    within: Duration,
    last: Option<Sight>,
}

impl Open {
    fn came(&self, said: Result<String, String>, took: Duration) -> DrillPoint {
        point(self.part, &self.name, said).taking(took)
    }
}

fn open(rehearsal: &Rehearsal) -> Vec<Open> {
    let steps = rehearsal.plan.steps.iter().enumerate();
    let steps = steps.filter_map(|(i, step)| match &step.action {
        StepAction::Check(_) => Some(Open {
            key: step_key(i),
            part: "check",
            name: step.name.clone(),
            within: step.timeout * (step.retries + 1),
            last: None,
        }),
        _ => None,
    });
    let verify = &rehearsal.plan.verify;
    let require = verify.require.iter().enumerate();
    let require = require.map(|(i, condition)| Open {
        key: verify_key(i),
        part: "verify",
        name: condition.text.clone(),
        within: verify.within,
        last: None,
    });
    steps.chain(require).collect()
}

/// How it went with each condition, by key.
pub(super) type Looked = BTreeMap<String, DrillPoint>;

/// Awaits every condition, on live samples.
pub(super) async fn look(
    rehearsal: &Rehearsal,
    mut seen: mpsc::UnboundedReceiver<(String, Sight)>,
    heard: &Heard,
) -> Looked {
    let began = Instant::now();
    let mut looked = Looked::new();
    if rehearsal.plan.verify.require.is_empty() {
        let said = "the fired trigger must be clear, and no source that was up be down";
        let point = point("verify", "the cure", Ok(said.to_owned()));
        let point = heard.one(point.being(DrillVerdict::NotRun));
        looked.insert(verify_key(0), point);
    }
    let mut open = open(rehearsal);
    while let Some(next) = open.iter().map(|open| open.within).min() {
        tokio::select! {
            sight = seen.recv() => {
                let Some((key, sight)) = sight else { break };
                let Some(i) = open.iter().position(|open| open.key == key) else {
                    continue;
                };
                if sight.holds {
                    let said = format!("holds: {}", found(&sight));
                    let point = open.swap_remove(i).came(Ok(said), began.elapsed());
                    looked.insert(key, heard.one(point));
                } else {
                    open[i].last = Some(sight);
                }
            }
            () = sleep_until(began + next) => {
                for late in open.extract_if(.., |open| open.within <= next) {
                    let said = match &late.last {
                        None => "nothing was judged".to_owned(),
                        Some(sight) => found(sight),
                    };
                    let said = format!("did not hold within {}: {said}", Short(next));
                    let point = heard.one(late.came(Err(said), next));
                    looked.insert(late.key, point);
                }
            }
        }
    }
    for left in open {
        let why = "the service is guarded no more".to_owned();
        let point = heard.one(left.came(Err(why), began.elapsed()));
        looked.insert(left.key, point);
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
