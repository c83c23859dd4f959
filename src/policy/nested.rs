//! Steps that are another plan: a rollback of everything, in order.
//!
//! They are unfolded when the policy is loaded, so that a run is one list of
//! steps with one deadline, one budget and one verification, those of the plan
//! that is run; what a plan says of itself does not come along with its steps.

use std::collections::BTreeMap;
use std::ops::Range;

use super::fault::{Draft, listed, nearest};
use super::keys::Reader;
use super::plans::MOST_STEPS;
use crate::model::Step;

/// Plans in plans in plans: deeper than this nobody can follow.
const DEEPEST: usize = 8;

/// A step, or the place of another plan's steps.
pub(super) enum Part {
    Step(Box<Step>),
    Plan(Call),
}

/// Another plan, and where it is named.
pub(super) struct Call {
    pub(super) name: String,
    pub(super) at: Range<usize>,
}

/// The parts of every plan; `None` for one with a fault.
pub(super) type Parts = BTreeMap<String, Option<Vec<Part>>>;

/// Reports calls of plans that are not there.
pub(super) fn check(all: &Parts, r: &mut Reader) {
    let parts = all.values().flatten().flatten();
    for part in parts {
        let Part::Plan(call) = part else { continue };
        if all.contains_key(&call.name) {
            continue;
        }
        let names = all.keys().map(String::as_str);
        let hint = nearest(&call.name, names.clone()).map_or_else(
            || format!("there are {}", listed(names)),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("the plan `{}` is not defined", call.name);
        r.add(Draft::error("undefined", call.at.clone(), message).hint(hint));
    }
}

/// All steps of a plan, those of the plans that it calls in their places, named
/// after them: `cache: flush`.
pub(super) fn unfold(name: &str, all: &Parts, r: &mut Reader) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut path = vec![name];
    match gather(&mut path, all, &mut steps) {
        Ok(()) => Some(steps),
        Err(None) => None,
        Err(Some(draft)) => {
            r.add(*draft);
            None
        }
    }
}

/// Stops at the first fault; `None` is one that is reported elsewhere.
fn gather<'a>(
    path: &mut Vec<&'a str>,
    all: &'a Parts,
    steps: &mut Vec<Step>,
) -> Result<(), Option<Box<Draft>>> {
    let name = path.last().copied().unwrap_or_default();
    let parts = all.get(name).and_then(Option::as_ref).ok_or(None)?;
    for part in parts {
        match part {
            Part::Step(step) => {
                let mut step = (**step).clone();
                for outer in path[1..].iter().rev() {
                    step.name = format!("{outer}: {}", step.name);
                }
                steps.push(step);
            }
            Part::Plan(call) => {
                if let Some(from) = path.iter().position(|plan| *plan == call.name) {
                    let mut round = path[from..].to_vec();
                    // Told once, by the plan of the round that comes first.
                    let first = round.iter().min() == path.first();
                    round.push(&call.name);
                    let message = format!(
                        "the plan `{}` runs itself: {}",
                        call.name,
                        round.join(" → ")
                    );
                    let draft = Draft::error("cycle", call.at.clone(), message)
                        .hint("a plan may call others, but none of them may call it");
                    return Err((first && from == 0).then(|| Box::new(draft)));
                }
                if path.len() >= DEEPEST {
                    let message = format!("plans within plans, deeper than {DEEPEST}");
                    let draft = Draft::error("too-many", call.at.clone(), message)
                        .hint("call the innermost plans directly");
                    return Err(Some(Box::new(draft)));
                }
                path.push(&call.name);
                gather(path, all, steps)?;
                path.pop();
            }
        }
        if steps.len() > MOST_STEPS {
            let message =
                format!("with the plans that it calls this has more than {MOST_STEPS} steps");
            let at = match part {
                Part::Plan(call) => call.at.clone(),
                Part::Step(_) => return Err(None),
            };
            let draft = Draft::error("too-many", at, message).hint("split it");
            return Err(Some(Box::new(draft)));
        }
    }
    Ok(())
}
