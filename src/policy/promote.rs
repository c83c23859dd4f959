//! `promote`: when a trigger in shadow is said to be fit to enforce. For all of a
//! policy's triggers that are in shadow, or for one.

use std::time::Duration;

use super::fault::Draft;
use super::keys::{Keys, Reader};
use super::{Marks, show};
use crate::model::{Mode, Policy, Promote};

/// Less says nothing about anything.
const SHORTEST: Duration = Duration::from_mins(1);
/// Who waits longer has forgotten what for.
const LONGEST: Duration = Duration::from_hours(365 * 24);

const MOST_EVALUATIONS: u64 = 1_000_000_000;
const MOST_FALSE_FIRES: u64 = 1_000_000;

/// The rule that a table states, if it has one; what is left out is as in `base`.
pub(super) fn read(keys: &Keys<'_>, base: Promote, r: &mut Reader) -> Option<Promote> {
    let item = keys.get("promote")?;
    let table = item.table(
        "`promote`".into(),
        &["after", "evaluations", "false_fires"],
        r,
    )?;
    let after = table.duration("after", SHORTEST..=LONGEST, r);
    let evaluations = table.count("evaluations", 1..=MOST_EVALUATIONS, r);
    let false_fires = table.count("false_fires", 0..=MOST_FALSE_FIRES, r);
    Some(Promote {
        after: after.unwrap_or(base.after),
        evaluations: evaluations.unwrap_or(base.evaluations),
        false_fires: false_fires.unwrap_or(base.false_fires),
    })
}

/// Rules that nothing is promoted by, or that are slower than they say.
pub(super) fn lint(policy: &Policy, marks: &Marks, out: &mut Vec<Draft>) {
    let mut warn = |at, message: String, hint: String| {
        out.push(Draft::warning("promote", at, message).hint(hint));
    };
    let of_all = marks.ranges.get("promote");
    let in_shadow = |mode| mode == Mode::Shadow;
    if let Some(at) = of_all
        && !policy.triggers.iter().any(|t| in_shadow(t.mode))
    {
        let message = "no trigger of this policy is in shadow: there is nothing to promote";
        let hint = "take it out, or set `mode = \"shadow\"`";
        warn(at.clone(), message.into(), hint.into());
    }
    // Of all triggers that the policy's own rule is for, the first tells.
    let mut told = false;
    for trigger in &policy.triggers {
        let path = format!("triggers.{}.promote", trigger.name);
        let own = marks.ranges.get(&path);
        let Some(rule) = trigger.promote else {
            if let Some(at) = own {
                let message = format!(
                    "trigger `{}` enforces already: there is nothing to promote",
                    trigger.name
                );
                let hint = "take it out, or set `mode = \"shadow\"` for the trigger";
                warn(at.clone(), message, hint.into());
            }
            continue;
        };
        if own.is_none() && std::mem::replace(&mut told, true) {
            continue;
        }
        let ticks = rule.after.as_millis() / policy.interval.as_millis().max(1);
        if u128::from(rule.evaluations) > ticks {
            let takes = policy.interval.saturating_mul(
                // Far beyond any life of a policy it does not matter by how much.
                u32::try_from(rule.evaluations).unwrap_or(u32::MAX),
            );
            let named = [
                format!("{path}.evaluations"),
                path,
                "promote.evaluations".to_owned(),
                "promote".to_owned(),
            ];
            let message = format!(
                "{} evaluations take at least {} at an interval of {}: longer than `after`",
                rule.evaluations,
                show(takes),
                show(policy.interval)
            );
            let hint = format!(
                "`evaluations = {ticks}` is as many as {} has",
                show(rule.after)
            );
            warn(marks.first(&named), message, hint);
        }
    }
}
