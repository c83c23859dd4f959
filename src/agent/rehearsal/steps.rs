//! The steps of a drill: what only looks is run, the rest is filled in and asked
//! whether it could be done.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::conditions::{Looked, step_key, verify_key};
use super::{Heard, point};
use crate::act::{self, ready};
use crate::agent::clock;
use crate::guard::{Rehearsal, Values, counted, environment, fill_all, render};
use crate::model::{Action, Short, Step, StepAction, StepEnd};
use crate::view::{DrillPoint, DrillVerdict, value};

/// How long one check of a target may take, as in a run.
const CHECK: Duration = Duration::from_mins(1);

/// Most targets that are checked, as in a run.
const MOST_TARGETS: usize = 5;

/// The release that a rollback would go to, its check being run; and what came
/// of that.
pub(super) async fn try_targets(rehearsal: &Rehearsal) -> (Option<String>, Vec<DrillPoint>) {
    let Ok(Some(first)) = &rehearsal.target else {
        return (None, Vec::new());
    };
    let rule = rehearsal.policy.release.as_ref();
    let Some(check) = rule.and_then(|rule| rule.check.as_ref()) else {
        return (Some(first.clone()), Vec::new());
    };
    let mut points = Vec::new();
    let all = std::iter::once(first).chain(&rehearsal.others);
    for (i, target) in all.take(MOST_TARGETS).enumerate() {
        let mut values = rehearsal.values.clone();
        values.insert("target".to_owned(), target.clone());
        let (said, took) = match fill_all(check, &values) {
            Err(unfilled) => (Err(unfilled.to_string()), Duration::ZERO),
            Ok(argv) => {
                let shown = shown(&argv);
                let env = environment(&values);
                let end = run(Action::Run { argv, env }, CHECK, &format!("check.{i}")).await;
                let said = if end.how.is_success() {
                    Ok(format!("{shown} succeeded"))
                } else {
                    Err(format!("{shown} {}{}", end.how, printed(&end)))
                };
                (said, end.took)
            }
        };
        let goes = said.is_ok();
        points.push(point("check", format!("target {target}"), said).taking(took));
        if goes {
            // Those before it were passed over, as they would be in a run.
            for point in points.iter_mut().take(i) {
                point.verdict = DrillVerdict::Held;
            }
            return (Some(target.clone()), points);
        }
    }
    (Some(first.clone()), points)
}

/// Every step of the plan, in its order; `None` for one that waits for a
/// condition, which is looked at meanwhile.
pub(super) async fn steps(
    rehearsal: &Rehearsal,
    values: &Values,
    heard: &Heard,
) -> Vec<Option<DrillPoint>> {
    let mut points = Vec::new();
    // What a program may have made by then cannot be missed now.
    let mut programs = false;
    for (i, step) in rehearsal.plan.steps.iter().enumerate() {
        let point = match &step.action {
            StepAction::Check(_) => None,
            StepAction::Wait(time) => {
                let said = format!("would wait {}", Short(*time));
                let point = point("step", &step.name, Ok(said));
                Some(point.being(DrillVerdict::NotRun))
            }
            StepAction::Run(_)
            | StepAction::Systemd { .. }
            | StepAction::Http(_)
            | StepAction::Symlink { .. } => Some(rendered(i, step, values, programs).await),
        };
        points.push(point.map(|point| heard.one(point)));
        programs |= !matches!(step.action, StepAction::Symlink { .. });
    }
    points
}

/// The steps and the verification in the order of a rollback, each condition in
/// its place.
pub(super) fn in_order(stepped: Vec<Option<DrillPoint>>, mut looked: Looked) -> Vec<DrillPoint> {
    let mut points = Vec::new();
    for (i, point) in stepped.into_iter().enumerate() {
        points.extend(point.or_else(|| looked.remove(&step_key(i))));
    }
    // What is left is the verification's.
    points.extend((0..looked.len()).filter_map(|i| looked.remove(&verify_key(i))));
    points
}

/// A step that `act` would be told to do.
async fn rendered(index: usize, step: &Step, values: &Values, programs: bool) -> DrillPoint {
    let action = match render(&step.action, values) {
        Ok(Some(action)) => action,
        Ok(None) => return point("step", &step.name, Err("nobody does it".to_owned())),
        Err(unfilled) => return point("step", &step.name, Err(unfilled.to_string())),
    };
    let shown = in_words(&action);
    if let Some(measure) = &step.measures {
        let end = run(action, step.timeout, &format!("{index}.0")).await;
        let said = if end.how.is_success() {
            counted(&end).map(|n| {
                format!("{shown} counts {n} {}", measure.unit)
                    .trim_end()
                    .to_owned()
            })
        } else {
            Err(format!("{shown} {}{}", end.how, printed(&end)))
        };
        return point("count", &step.name, said).taking(end.took);
    }
    let (looked, made) = (action.clone(), programs);
    // systemd is asked, and file systems may hang.
    let problems = spawn_blocking(move || ready(&looked)).await;
    let problems = problems.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let link = matches!(action, Action::Symlink { .. });
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        return point("step", &step.name, Ok(format!("would {shown}"))).being(DrillVerdict::NotRun);
    }
    if link && made {
        let said = format!("would {shown}; as things are now: {}", problems.join("; "));
        return point("step", &step.name, Ok(said)).being(DrillVerdict::NotRun);
    }
    let said = format!("could not {shown}: {}", problems.join("; "));
    point("step", &step.name, Err(said))
}

/// Runs what only looks.
async fn run(action: Action, timeout: Duration, id: &str) -> StepEnd {
    let order = act::Order {
        id: format!("drill.{}.{id}", clock::unix_ms()),
        action,
        timeout,
        grace: act::GRACE,
        shadow: false,
    };
    let (lines, mut printed) = mpsc::channel(16);
    let quiet = async move { while printed.recv().await.is_some() {} };
    let (ended, ()) = tokio::join!(act::act(&order, lines, std::future::pending()), quiet);
    if let Some(rest) = ended.rest {
        tokio::spawn(rest.drained());
    }
    ended.end
}

/// What a step would do, after *would*.
fn in_words(action: &Action) -> String {
    match action {
        Action::Run { argv, .. } => format!("run {}", shown(argv)),
        Action::Systemd { unit, action } => format!("have systemd {} {unit}", action.verb()),
        Action::Http(request) => format!("{} {}", request.method, request.url),
        Action::Symlink { link, to } => format!("point {link} at {to}"),
    }
}

/// A command line, its arguments told apart.
fn shown(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%^".contains(c);
    let shown: Vec<String> = argv
        .iter()
        .map(|argument| {
            if !argument.is_empty() && argument.chars().all(plain) {
                argument.clone()
            } else {
                format!("'{}'", argument.replace('\'', "'\\''"))
            }
        })
        .collect();
    value::one_line(&shown.join(" "), 300)
}

/// The last line that a program printed.
fn printed(end: &StepEnd) -> String {
    let text = end.output.to_string();
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", value::one_line(line.trim(), 200)),
        None => String::new(),
    }
}
