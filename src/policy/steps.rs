//! `[[plans.NAME.steps]]`: exactly one thing each, and its arguments.

use std::time::Duration;

use super::conditions::Known;
use super::fault::{Draft, listed, nearest};
use super::item::Item;
use super::keys::{LONGEST, Reader};
use super::nested::{Call, Part};
use super::quoted::Quoted;
use super::{calls, names, show, triggers, units};
use crate::model::{Approve, Otherwise, PLACEHOLDERS, Step, StepAction, placeholders_in};

const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(60);

const KINDS: [&str; 7] = ["run", "systemd", "http", "symlink", "check", "wait", "plan"];

const STEP: &[&str] = &[
    "name",
    "timeout",
    "retries",
    "on_failure",
    "always",
    "idempotent",
    "run",
    "symlink",
    "check",
    "wait",
    "systemd",
    "http",
    "plan",
    "approve",
];

/// What a step says of itself; the steps of another plan say it there.
const OWN: [&str; 7] = [
    "name",
    "timeout",
    "retries",
    "on_failure",
    "always",
    "idempotent",
    "approve",
];

/// How long people may take to agree to a step: the shortest deadline of the
/// runbooks, because a service stands half way meanwhile.
const DEFAULT_WITHIN: Duration = Duration::from_secs(15 * 60);

/// One step; `None` with a fault.
pub(super) fn read(
    number: usize,
    item: &Item<'_>,
    releases: bool,
    known: &Known,
    r: &mut Reader,
) -> Option<Part> {
    let keys = item.table(format!("step {number}"), STEP, r)?;
    let name = keys.string("name", r);
    let kind = keys.one_of(&KINDS, r);
    let timeout = keys.duration("timeout", Duration::from_millis(100)..=LONGEST, r);
    let retries = keys.count("retries", 0..=100, r).unwrap_or(0);
    let continue_on_failure = keys.choice("on_failure", &[("stop", false), ("continue", true)], r);
    let always = keys.flag("always", r).unwrap_or(false);
    let idempotent = keys.flag("idempotent", r).unwrap_or(false);
    let approve = match keys.get("approve") {
        Some(item) => Some(approve(&item, r)?),
        None => None,
    };
    let kind = kind?;
    if kind.key == "plan" {
        let called = kind.string(r)?.value.to_owned();
        for item in OWN.iter().filter_map(|own| keys.get(own)) {
            r.add(
                Draft::error(
                    "conflict",
                    item.key_at,
                    format!("`{}` cannot be set where another plan's steps go", item.key),
                )
                .hint(format!("set it on the steps of `{called}`")),
            );
        }
        return Some(Part::Plan(Call {
            name: called,
            at: kind.at,
        }));
    }
    let action = action(
        &kind,
        timeout.unwrap_or(DEFAULT_STEP_TIMEOUT),
        releases,
        known,
        r,
    )?;
    let timeout = match &action {
        StepAction::Wait(wait) => {
            if timeout.is_some_and(|timeout| timeout < *wait) {
                r.add(
                    kind.fault(
                        "timeout",
                        format!("this step waits {}, longer than its timeout", show(*wait)),
                    )
                    .hint("drop the step's `timeout`"),
                );
            }
            timeout.unwrap_or(DEFAULT_STEP_TIMEOUT.max(*wait))
        }
        StepAction::Check(condition) => {
            let timeout = timeout.unwrap_or(DEFAULT_STEP_TIMEOUT);
            if condition.hold.span() > timeout {
                let message = format!(
                    "a hold of {} cannot be met within the step's timeout of {}",
                    show(condition.hold.span()),
                    show(timeout)
                );
                r.add(
                    kind.fault("timeout", message)
                        .hint("give the step a longer `timeout`"),
                );
            }
            timeout
        }
        _ => timeout.unwrap_or(DEFAULT_STEP_TIMEOUT),
    };
    Some(Part::Step(Box::new(Step {
        name: name.unwrap_or_else(|| default_name(&action)),
        action,
        timeout,
        retries: u32::try_from(retries).ok()?,
        continue_on_failure: continue_on_failure.unwrap_or(false),
        always,
        idempotent,
        approve,
        measures: None,
    })))
}

/// Whom a step needs. It is done or the run is broken off: it cannot be left
/// out without a word.
fn approve(item: &Item<'_>, r: &mut Reader) -> Option<Approve> {
    let approve = triggers::read_approve(item, DEFAULT_WITHIN, r)?;
    if approve.otherwise == Otherwise::Dismiss {
        r.add(
            item.fault(
                "value",
                "a step cannot be dismissed: the plan would go on without it",
            )
            .hint("`otherwise = \"escalate\"` breaks the plan off and calls a person"),
        );
        return None;
    }
    Some(approve)
}

/// What people call a step that has no name: its own text, shortened.
fn default_name(action: &StepAction) -> String {
    let text = match action {
        StepAction::Run(argv) => argv.join(" "),
        StepAction::Systemd { unit, action } => format!("{} {unit}", action.verb()),
        StepAction::Http(request) => format!("{} {}", request.method, request.url),
        StepAction::Symlink { link, to } => format!("point {link} at {to}"),
        StepAction::Check(condition) => format!("check {}", condition.text),
        StepAction::Wait(d) => format!("wait {}", show(*d)),
    };
    text.chars().take(80).collect()
}

fn action(
    kind: &Item<'_>,
    timeout: Duration,
    releases: bool,
    known: &Known,
    r: &mut Reader,
) -> Option<StepAction> {
    let without = ["service", "incident", "trigger", "host"];
    let allowed: &[&str] = if releases { &PLACEHOLDERS } else { &without };
    match kind.key.as_str() {
        "run" => argv(kind, allowed, r).map(StepAction::Run),
        "systemd" => units::read(kind, allowed, r),
        "http" => calls::read(kind, timeout, allowed, r),
        "symlink" => {
            let keys = kind.table("`symlink`".into(), &["link", "to"], r)?;
            let link = keys.need("link", "\"/srv/NAME/current\"", r);
            let to = keys.need("to", "\"/srv/NAME/releases/{target}\"", r);
            let link = link.and_then(|item| {
                let path = names::path(&item, r)?;
                filled(&item.string(r)?, allowed, r).then_some(path)
            });
            let to = to.and_then(|item| {
                let quoted = item.string(r)?;
                if names::climbs(quoted.value) {
                    let message = format!("`{}` climbs with `..`", quoted.value);
                    r.add(item.fault("path", message));
                    return None;
                }
                filled(&quoted, allowed, r).then(|| quoted.value.to_owned())
            });
            Some(StepAction::Symlink {
                link: link?,
                to: to?,
            })
        }
        "check" => known.condition(kind, r).map(StepAction::Check),
        _ => kind
            .duration(Duration::from_millis(1)..=LONGEST, r)
            .map(StepAction::Wait),
    }
}

/// A program and its arguments: no shell, no placeholder for the program.
pub(super) fn argv(item: &Item<'_>, allowed: &[&str], r: &mut Reader) -> Option<Vec<String>> {
    if let Some(text) = item.value.as_str() {
        let words: Vec<_> = text
            .split_whitespace()
            .map(|word| format!("{word:?}"))
            .collect();
        r.add(
            item.fault(
                "type",
                format!(
                    "`{}` is a program and its arguments: there is no shell",
                    item.key
                ),
            )
            .hint(format!("write `{} = [{}]`", item.key, words.join(", "))),
        );
        return None;
    }
    // An empty argument is an argument, so not `strings()`.
    let items = item.elements(1000, r)?;
    let Some(program) = items.first() else {
        r.add(item.fault("value", format!("`{}` names no program", item.key)));
        return None;
    };
    let mut good = true;
    let mut argv = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        if i > 0 && item.value.as_str() == Some("") {
            argv.push(String::new());
            continue;
        }
        match item.string(r) {
            Some(quoted) => {
                good &= filled(&quoted, allowed, r);
                argv.push(quoted.value.to_owned());
            }
            None => good = false,
        }
    }
    if good && placeholders_in(&argv[0]).next().is_some() {
        r.add(
            program
                .fault(
                    "placeholder",
                    "the program itself cannot come from a placeholder",
                )
                .hint("name the program; its arguments may have placeholders"),
        );
        return None;
    }
    good.then_some(argv)
}

/// Whether every placeholder of a string is one of those allowed.
pub(super) fn filled(quoted: &Quoted<'_>, allowed: &[&str], r: &mut Reader) -> bool {
    let mut good = true;
    for (name, range) in placeholders_in(quoted.value) {
        if allowed.contains(&name) {
            continue;
        }
        good = false;
        let at = r.inside(quoted, range.start, range.len());
        r.add(if PLACEHOLDERS.contains(&name) {
            Draft::error("placeholder", at, format!("`{{{name}}}` has no value here")).hint(
                if matches!(name, "current" | "target") {
                    "it needs a `[release]` table that says which release runs"
                } else {
                    "nothing has been decided yet when this runs"
                },
            )
        } else {
            let hint = nearest(name, PLACEHOLDERS).map_or_else(
                || format!("there are {}", listed(allowed.iter().copied())),
                |near| format!("did you mean `{{{near}}}`?"),
            );
            Draft::error(
                "placeholder",
                at,
                format!("unknown placeholder `{{{name}}}`"),
            )
            .hint(hint)
        });
    }
    good
}
