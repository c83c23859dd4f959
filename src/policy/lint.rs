//! What is allowed, and probably not meant.
//!
//! Lints see a checked policy and the places of its keys; each says what will
//! happen, and what to write if that is not wanted. They never refuse anything.

use std::collections::BTreeSet;
use std::ops::Range;

use super::conditions::{sources_of, tests, window_of};
use super::fault::{Draft, Fault, listed, nearest};
use super::{Loaded, Marks, quorum, show};
use crate::model::{
    Condition, Config, Current, Expr, LevelOn, Limit, Mode, Op, Plan, Policy, Response, SignalKind,
    StepAction, Test, Trigger, Unit,
};

impl Marks {
    /// The range of a key's value; the file's start if it is not written.
    pub(super) fn at(&self, path: &str) -> Range<usize> {
        self.ranges.get(path).cloned().unwrap_or(0..0)
    }

    /// The first of these keys that is written.
    pub(super) fn first(&self, paths: &[String]) -> Range<usize> {
        paths
            .iter()
            .find_map(|path| self.ranges.get(path).cloned())
            .unwrap_or(0..0)
    }

    /// Where a test stands in a condition; the whole condition if it is not
    /// written there as it is shown.
    pub(super) fn test(&self, path: &str, text: &str) -> Range<usize> {
        let at = self.at(path);
        let found = self
            .page
            .text
            .get(at.clone())
            .and_then(|raw| raw.find(text));
        found.map_or(at.clone(), |i| at.start + i..at.start + i + text.len())
    }

    pub(super) fn warn(&self, drafts: Vec<Draft>) -> Vec<Fault> {
        let mut faults: Vec<_> = drafts.into_iter().map(|d| self.page.locate(d)).collect();
        faults.sort_by_key(|fault| fault.place.as_ref().map(|p| p.offset));
        faults
    }
}

/// The lints that need nothing but the policy.
pub(super) fn alone(policy: &Policy, marks: &Marks) -> Vec<Fault> {
    let mut out = Vec::new();
    for trigger in &policy.triggers {
        hold(policy, trigger, marks, &mut out);
        limits(policy, trigger, marks, &mut out);
        proof(policy, trigger, marks, &mut out);
        said(policy, trigger, marks, &mut out);
        baseline(policy, trigger, marks, &mut out);
    }
    for (name, plan) in &policy.plans {
        cooldown(name, plan, marks, &mut out);
    }
    signals(policy, marks, &mut out);
    unused(policy, marks, &mut out);
    release(policy, marks, &mut out);
    silence(policy, marks, &mut out);
    super::promote::lint(policy, marks, &mut out);
    marks.warn(out)
}

fn hold(policy: &Policy, trigger: &Trigger, marks: &Marks, out: &mut Vec<Draft>) {
    let path = format!("triggers.{}.when", trigger.name);
    // What somebody says has no bad stretches: it is so from the first word on.
    let measured = |test: &&Test| match test {
        Test::Compare { signal, .. } => policy.signals.get(signal).is_none_or(|signal| {
            !matches!(signal.kind, SignalKind::Count(_) | SignalKind::Flag { .. })
        }),
        Test::Source { .. } => true,
    };
    let tests = tests(&trigger.when.expr);
    let said = !tests.iter().any(&measured);
    let window = tests
        .into_iter()
        .filter(measured)
        .filter_map(|test| window_of(test, |name| policy.signals.get(name)))
        .max()
        .unwrap_or_default();
    let span = trigger.when.hold.span();
    if said {
        // Nothing is to be added.
    } else if span.is_zero() {
        out.push(
            Draft::warning(
                "no-hold",
                marks.at(&path),
                format!(
                    "trigger `{}` has no hold: it fires at the first proven breach",
                    trigger.name
                ),
            )
            .hint(format!(
                "end it with `for {}`",
                show((window * 3).max(policy.interval * 3))
            )),
        );
    } else if span < window * 3 {
        out.push(
            Draft::warning(
                "short-hold",
                marks.at(&path),
                format!(
                    "a hold of {} is shorter than 3 windows of {}: one bad stretch of traffic fills it",
                    show(span),
                    show(window)
                ),
            )
            .hint(format!("hold for `{}`, or shorten the window", show(window * 3))),
        );
    }
    let gap = format!("triggers.{}.max_gap", trigger.name);
    if trigger.max_gap < policy.interval * 2 {
        out.push(
            Draft::warning(
                "max-gap",
                marks.at(&gap),
                "one missed tick starts the hold anew",
            )
            .hint(format!("at least `{}`", show(policy.interval * 2))),
        );
    }
}

/// Limits that every value, or none, is beyond.
fn limits(policy: &Policy, trigger: &Trigger, marks: &Marks, out: &mut Vec<Draft>) {
    let path = format!("triggers.{}.when", trigger.name);
    for test in tests(&trigger.when.expr) {
        let Test::Compare {
            signal,
            op,
            limit: Limit::Fixed(limit),
            text,
            ..
        } = test
        else {
            continue;
        };
        let Some(signal) = policy.signals.get(signal) else {
            continue;
        };
        let at_zero = *limit == 0.0;
        let at_one = signal.unit == Unit::Ratio && *limit >= 1.0;
        let never_negative = !matches!(
            signal.kind,
            SignalKind::Value { .. } | SignalKind::Query { .. }
        );
        let message = match op {
            _ if never(*op, at_zero && never_negative, at_one) => "no value breaches this",
            _ if always(*op, at_zero && never_negative, at_one) => "every value breaches this",
            Op::Greater if at_zero && signal.unit != Unit::Plain => {
                "a limit of 0: the smallest value breaches this"
            }
            Op::Greater
                if at_zero
                    && matches!(signal.kind, SignalKind::Increase(_) | SignalKind::Count(_)) =>
            {
                "a limit of 0: a single event breaches this"
            }
            _ => continue,
        };
        out.push(Draft::warning("limit", marks.test(&path, text), message));
    }
}

/// Whether no value of a range is beyond a limit at its least or its most.
const fn never(op: Op, at_least: bool, at_most: bool) -> bool {
    (at_least && matches!(op, Op::Less)) || (at_most && matches!(op, Op::Greater))
}

/// Whether every one is.
const fn always(op: Op, at_least: bool, at_most: bool) -> bool {
    (at_least && matches!(op, Op::GreaterOrEqual)) || (at_most && matches!(op, Op::LessOrEqual))
}

/// Ratios and quantiles above a limit whose proof is switched off; and what a
/// proof takes, where there is none to give.
fn proof(policy: &Policy, trigger: &Trigger, marks: &Marks, out: &mut Vec<Draft>) {
    let counted = tests(&trigger.when.expr).into_iter().any(|test| {
        let Test::Compare { signal, op, .. } = test else {
            return false;
        };
        matches!(op, Op::Greater | Op::GreaterOrEqual)
            && policy.signals.get(signal).is_some_and(|signal| {
                matches!(
                    signal.kind,
                    SignalKind::Ratio { .. }
                        | SignalKind::Histogram { .. }
                        | SignalKind::Latency { .. }
                )
            })
    });
    if counted && trigger.confidence == 0.0 && trigger.response != Response::Alert {
        let at = marks.at(&format!("triggers.{}.confidence", trigger.name));
        out.push(
            Draft::warning(
                "confidence",
                at,
                "without a confidence chance alone may fire this trigger",
            )
            .hint("the default is `0.95`"),
        );
    }
    if counted {
        return;
    }
    for key in ["confidence", "min_events"] {
        let path = format!("triggers.{}.{key}", trigger.name);
        if let Some(at) = marks.ranges.get(&path) {
            out.push(
                Draft::warning(
                    "confidence",
                    at.clone(),
                    format!("`{key}` means nothing here: this condition proves nothing on counts"),
                )
                .hint("only a ratio or a quantile above a limit is proven; take it out"),
            );
        }
    }
}

/// Limits that are multiples of a baseline which there never is.
fn baseline(policy: &Policy, trigger: &Trigger, marks: &Marks, out: &mut Vec<Draft>) {
    if policy.release.is_some() {
        return;
    }
    let path = format!("triggers.{}.when", trigger.name);
    for test in tests(&trigger.when.expr) {
        if let Test::Compare {
            limit: Limit::Baseline(_),
            text,
            ..
        } = test
        {
            out.push(
                Draft::warning(
                    "baseline",
                    marks.test(&path, text),
                    "there never is a baseline: the policy knows no releases, and this cannot be judged",
                )
                .hint("add `[release]` with `current = …`; without a better one `current = \"reported\"`"),
            );
        }
    }
}

/// What is said speaks of the release that ran then, so after the last step of a
/// plan it is blind until it is said anew; verified by the trigger alone, a
/// rollback that helped is told as one that did not.
fn said(policy: &Policy, trigger: &Trigger, marks: &Marks, out: &mut Vec<Draft>) {
    let Some(plan) = policy.plans.get(&trigger.plan) else {
        return;
    };
    let said = |test: &Test| match test {
        Test::Compare { signal, .. } => policy.signals.get(signal).is_some_and(|signal| {
            let told = policy.sources.get(&signal.source);
            told.is_some_and(|source| source.kind.is_told())
                && !matches!(signal.kind, SignalKind::Count(_))
        }),
        Test::Source { .. } => false,
    };
    let asked = trigger.response != Response::Alert && plan.verify.require.is_empty();
    if !asked || !is_blind(&trigger.when.expr, &said) {
        return;
    }
    let tests = tests(&trigger.when.expr).into_iter();
    let names: Vec<_> = tests
        .filter(|test| said(test))
        .filter_map(|test| match test {
            Test::Compare { signal, .. } => Some(signal.as_str()),
            Test::Source { .. } => None,
        })
        .collect();
    let checked = policy.sources.iter().find(|(_, s)| s.kind.has_health());
    let example = checked.map_or("error_rate < 5% for 2m".to_owned(), |(name, _)| {
        format!("{name} is up for 1m")
    });
    out.push(
        Draft::warning(
            "said",
            marks.at(&format!("triggers.{}.when", trigger.name)),
            format!(
                "after the plan `{}` nothing shows that it helped: {} {} blind until said anew \
                 or taken back",
                trigger.plan,
                listed(names.iter().copied()),
                if names.len() == 1 { "is" } else { "are" }
            ),
        )
        .hint(format!(
            "have something measured show it: `[plans.{}] verify = {{ require = [\"{example}\"] }}`",
            trigger.plan
        )),
    );
}

/// Whether a condition is blind while these tests are, and all others clear.
fn is_blind(expr: &Expr, blind: &impl Fn(&Test) -> bool) -> bool {
    match expr {
        Expr::Any(parts) => parts.iter().any(|part| is_blind(part, blind)),
        Expr::All(parts) => parts.iter().all(|part| is_blind(part, blind)),
        Expr::Test(test) => blind(test),
    }
}

fn cooldown(name: &str, plan: &Plan, marks: &Marks, out: &mut Vec<Draft>) {
    let path = format!("plans.{name}");
    let at = marks.first(&[format!("{path}.cooldown"), path.clone()]);
    if plan.cooldown < plan.verify.within {
        out.push(
            Draft::warning(
                "cooldown",
                at,
                format!(
                    "a cooldown of {} is shorter than the verification, {}",
                    show(plan.cooldown),
                    show(plan.verify.within)
                ),
            )
            .hint("a second rollback could start on what the first one left behind"),
        );
    }
}

fn signals(policy: &Policy, marks: &Marks, out: &mut Vec<Draft>) {
    for (name, signal) in &policy.signals {
        if let SignalKind::Ratio { of, to } = &signal.kind
            && of == to
        {
            out.push(Draft::warning(
                "ratio",
                marks.at(&format!("signals.{name}.ratio")),
                "`of` and `to` select the same: this is always 100%",
            ));
        }
    }
}

/// Every condition of a policy: of triggers, verifications, check steps and
/// levels of escalation.
fn conditions(policy: &Policy) -> impl Iterator<Item = &Condition> {
    let plans = policy.plans.values();
    let steps = plans.clone().flat_map(|plan| &plan.steps);
    policy
        .triggers
        .iter()
        .map(|trigger| &trigger.when)
        .chain(plans.flat_map(|plan| &plan.verify.require))
        .chain(steps.filter_map(|step| match &step.action {
            StepAction::Check(condition) => Some(condition),
            _ => None,
        }))
        .chain(
            policy
                .escalation
                .iter()
                .filter_map(|level| match &level.on {
                    LevelOn::When(condition) => Some(condition),
                    LevelOn::After(_) | LevelOn::Failed | LevelOn::Loss(_) => None,
                }),
        )
}

fn unused(policy: &Policy, marks: &Marks, out: &mut Vec<Draft>) {
    let used: BTreeSet<_> = conditions(policy)
        .flat_map(|condition| tests(&condition.expr))
        .filter_map(|test| match test {
            Test::Compare { signal, .. } => Some(signal.as_str()),
            Test::Source { .. } => None,
        })
        .collect();
    for name in policy
        .signals
        .keys()
        .filter(|name| !used.contains(name.as_str()))
    {
        out.push(
            Draft::warning(
                "unused",
                marks.at(&format!("signals.{name}")),
                format!("no trigger uses the signal `{name}`"),
            )
            .hint("use it, or take it out: it costs a window of memory"),
        );
    }
    let mut used: BTreeSet<_> = conditions(policy)
        .flat_map(|condition| sources_of(condition, |name| policy.signals.get(name)))
        .chain(policy.signals.values().map(|signal| signal.source.as_str()))
        .collect();
    if let Some(Current::Metric { source, .. }) = policy.release.as_ref().map(|r| &r.current) {
        used.insert(source);
    }
    for name in policy
        .sources
        .keys()
        .filter(|name| !used.contains(name.as_str()))
    {
        out.push(
            Draft::warning(
                "unused",
                marks.at(&format!("sources.{name}")),
                format!("nothing uses the source `{name}`"),
            )
            .hint("derive a signal from it, test whether it `is down`, or take it out"),
        );
    }
}

fn release(policy: &Policy, marks: &Marks, out: &mut Vec<Draft>) {
    let Some(release) = &policy.release else {
        return;
    };
    if let Some(blame) = release.blame
        && release.settle >= blame
    {
        out.push(
            Draft::warning(
                "blame",
                marks.at("release.blame"),
                format!(
                    "nothing is ever blamed on a release: for {} it settles, and after {} it is too late",
                    show(release.settle),
                    show(blame)
                ),
            )
            .hint("`blame` is the longer of the two"),
        );
    }
}

/// An enforcing policy of which no person hears.
fn silence(policy: &Policy, marks: &Marks, out: &mut Vec<Draft>) {
    let enforces = policy.mode == Mode::Enforce;
    if enforces && policy.escalation.is_empty() {
        out.push(
            Draft::warning(
                "silent",
                marks.at("mode"),
                "no person hears of anything: the policy enforces and has no `[[escalation]]`",
            )
            .hint(
                "add `[[escalation]]` with `notify = [\"NAME\"]` of a notifier in the agent config",
            ),
        );
    } else if enforces
        && !policy
            .escalation
            .iter()
            .any(|l| matches!(l.on, LevelOn::After(_)))
    {
        out.push(
            Draft::warning(
                "silent",
                marks.at("escalation.0.on"),
                "people hear only of rollbacks that failed: nobody is asked, or told of the others",
            )
            .hint("add a level with `after = \"0s\"`"),
        );
    }
}

/// The lints that need the agent's config too: notifiers and roles that are not
/// in it.
#[must_use]
pub fn lint_with_config(loaded: &Loaded, config: &Config) -> Vec<Fault> {
    let Some(policy) = &loaded.policy else {
        return Vec::new();
    };
    let marks = &loaded.marks;
    let mut out = Vec::new();
    for (i, level) in policy.escalation.iter().enumerate() {
        let path = format!("escalation.{i}.notify");
        for name in level
            .notify
            .iter()
            .filter(|n| !config.notifiers.contains_key(*n))
        {
            out.push(
                Draft::warning(
                    "notifier",
                    marks.test(&path, name),
                    format!("`{name}` reaches nobody: the agent config has no such notifier"),
                )
                .hint(suggestion(name, config.notifiers.keys())),
            );
        }
    }
    for trigger in &policy.triggers {
        if let Response::Approve(approve) = &trigger.response {
            let path = format!("triggers.{}.approve", trigger.name);
            quorum::people(approve, &path, config, marks, &mut out);
        }
    }
    for (name, plan) in &policy.plans {
        for (i, step) in plan.steps.iter().enumerate() {
            // The steps of a plan that this one calls are told there.
            let path = format!("plans.{name}.steps.{i}.approve");
            if let Some(approve) = &step.approve
                && marks.ranges.contains_key(&path)
            {
                quorum::people(approve, &path, config, marks, &mut out);
            }
        }
    }
    marks.warn(out)
}

pub(super) fn suggestion<'a>(
    name: &str,
    known: impl Iterator<Item = &'a String> + Clone,
) -> String {
    let known = known.map(String::as_str);
    match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.clone().next().is_none() => "it has none".to_owned(),
        None => format!("there are {}", listed(known)),
    }
}
