//! `[triggers.NAME]`: the rows of the decision matrix.

use std::time::Duration;

use super::conditions::Known;
use super::fault::Draft;
use super::item::Item;
use super::keys::{Keys, LONGEST, Reader};
use super::{names, promote, show};
use crate::model::{Approve, Condition, Mode, Otherwise, Promote, Response, Severity, Trigger};

/// Rows per policy: each is judged at every tick.
const MOST_TRIGGERS: usize = 1000;

const KEYS: &[&str] = &[
    "when",
    "severity",
    "response",
    "plan",
    "approve",
    "mode",
    "promote",
    "min_events",
    "confidence",
    "coverage",
    "max_gap",
    "clear_for",
    "blind_after",
];

const DEFAULT_CLEAR_FOR: Duration = Duration::from_secs(2 * 60);
const DEFAULT_BLIND_AFTER: Duration = Duration::from_secs(5 * 60);
/// The least default of `max_gap`: a restart of the agent takes less.
const LEAST_MAX_GAP: Duration = Duration::from_secs(15);

/// All triggers that can be read, in the file's order, with what the policy says
/// for all of them.
pub(super) fn read(
    item: Option<Item<'_>>,
    policy: (Mode, Option<Promote>),
    known: &Known,
    r: &mut Reader,
) -> Vec<Trigger> {
    let items = item.map_or_else(Vec::new, |item| item.named(MOST_TRIGGERS, r));
    let mut triggers = Vec::with_capacity(items.len());
    triggers.extend(items.iter().filter_map(|item| {
        names::name(item, r);
        trigger(item, policy, known, r)
    }));
    triggers
}

fn trigger(
    item: &Item<'_>,
    (policy, of_all): (Mode, Option<Promote>),
    known: &Known,
    r: &mut Reader,
) -> Option<Trigger> {
    let keys = item.table(format!("trigger `{}`", item.key), KEYS, r)?;
    let when = keys
        .need("when", "\"error_rate > 5% for 15m\"", r)
        .and_then(|item| known.condition(&item, r));
    let severity = keys.need("severity", "\"high\"", r).and_then(|item| {
        item.choice(
            &[
                ("critical", Severity::Critical),
                ("high", Severity::High),
                ("medium", Severity::Medium),
                ("low", Severity::Low),
            ],
            r,
        )
    });
    let response = response(&keys, severity, r);
    let plan = keys
        .string("plan", r)
        .unwrap_or_else(|| super::plans::DEFAULT.to_owned());
    let mode = mode(&keys, policy, r);
    let promote = promote::read(&keys, of_all.unwrap_or_default(), r).or(of_all);
    let min_events = keys.count("min_events", 1..=1_000_000_000, r).unwrap_or(20);
    let confidence = share(
        &keys,
        "confidence",
        0.95,
        |x| (0.0..1.0).contains(&x),
        "[0, 1)",
        r,
    );
    let coverage = share(&keys, "coverage", 0.8, |x| x > 0.0 && x <= 1.0, "(0, 1]", r);
    let max_gap = keys.duration("max_gap", known.tick..=LONGEST, r);
    let clear_for = keys.duration("clear_for", Duration::ZERO..=LONGEST, r);
    let blind_after = keys.duration("blind_after", known.tick..=LONGEST, r);
    let when = when?;
    Some(Trigger {
        name: item.key.clone(),
        max_gap: max_gap.unwrap_or_else(|| default_max_gap(&when, known)),
        when,
        severity: severity?,
        response: response?,
        plan,
        mode,
        promote: promote.filter(|_| mode == Mode::Shadow),
        min_events,
        confidence,
        coverage,
        clear_for: clear_for.unwrap_or(DEFAULT_CLEAR_FOR),
        blind_after: blind_after.unwrap_or(DEFAULT_BLIND_AFTER),
    })
}

/// A fifth of the hold, at least 4 intervals of the slowest source and 15 s
/// (SPEC 3, *The hold*).
fn default_max_gap(when: &Condition, known: &Known) -> Duration {
    (when.hold.span() / 5)
        .max(known.slowest(when) * 4)
        .max(LEAST_MAX_GAP)
}

fn mode(keys: &Keys<'_>, policy: Mode, r: &mut Reader) -> Mode {
    let Some(item) = keys.get("mode") else {
        return policy;
    };
    let mode = item.choice(super::MODES, r).unwrap_or(policy);
    if mode == Mode::Enforce && policy == Mode::Shadow {
        r.add(
            item.fault(
                "mode",
                "a trigger cannot enforce in a policy that is in shadow",
            )
            .hint(
                "set `mode = \"enforce\"` for the policy, and `mode = \"shadow\"` for the \
                     triggers that shall not act yet",
            ),
        );
    }
    mode
}

fn share(
    keys: &Keys<'_>,
    key: &str,
    default: f64,
    good: impl Fn(f64) -> bool,
    range: &str,
    r: &mut Reader,
) -> f64 {
    let Some(item) = keys.get(key) else {
        return default;
    };
    let Some(x) = item.number(r) else {
        return default;
    };
    if !good(x) {
        let draft = item.fault("value", format!("`{key}` lies in {range}, not at {x}"));
        r.add(if x > 1.0 && x <= 100.0 {
            draft.hint(format!("did you mean `{}`?", x / 100.0))
        } else {
            draft
        });
    }
    x
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rollback,
    Approve,
    Alert,
}

/// The response, by default the severity's (SPEC 3, *What a fired trigger
/// does*). An `approve` table alone asks people even where the severity would
/// not: whoever wrote it wants to be asked.
fn response(keys: &Keys<'_>, severity: Option<Severity>, r: &mut Reader) -> Option<Response> {
    let kind = keys.get("response");
    let kind = match &kind {
        Some(item) => Some(item.choice(
            &[
                ("rollback", Kind::Rollback),
                ("approve", Kind::Approve),
                ("alert", Kind::Alert),
            ],
            r,
        )?),
        None => None,
    };
    let approve = keys.get("approve");
    if let (Some(item), Some(Kind::Rollback | Kind::Alert), Some(response)) =
        (&approve, kind, keys.get("response"))
    {
        r.add(
            Draft::error(
                "conflict",
                item.key_at.clone(),
                "`approve` says whom to ask, but this response asks nobody",
            )
            .also(response.at, "the response")
            .hint("write `response = \"approve\"`, or drop `approve`"),
        );
    }
    let within = default_within(severity);
    let approve = match approve {
        Some(item) => Some(read_approve(&item, within, r)?),
        None => None,
    };
    Some(
        match kind.unwrap_or(default_kind(severity?, approve.is_some())) {
            Kind::Rollback => Response::Rollback,
            Kind::Alert => Response::Alert,
            Kind::Approve => Response::Approve(approve.unwrap_or(Approve {
                roles: Vec::new(),
                quorum: 1,
                each: false,
                within,
                otherwise: Otherwise::Escalate,
            })),
        },
    )
}

const fn default_kind(severity: Severity, approve: bool) -> Kind {
    match severity {
        _ if approve => Kind::Approve,
        Severity::Critical => Kind::Rollback,
        Severity::High | Severity::Medium => Kind::Approve,
        Severity::Low => Kind::Alert,
    }
}

/// How long people may take. SPEC gives it for high and medium; a critical
/// trigger that asks gets the 15 minutes of the shortest runbook, a low one as
/// much as a medium one.
const fn default_within(severity: Option<Severity>) -> Duration {
    Duration::from_secs(match severity {
        Some(Severity::Critical) => 15 * 60,
        Some(Severity::High) | None => 3600,
        Some(Severity::Medium | Severity::Low) => 4 * 3600,
    })
}

pub(super) fn read_approve(item: &Item<'_>, within: Duration, r: &mut Reader) -> Option<Approve> {
    let keys = item.table(
        "`approve`".into(),
        &["roles", "quorum", "each", "within", "otherwise"],
        r,
    )?;
    let roles = keys.get("roles").and_then(|item| item.strings(r));
    let each = keys.flag("each", r).unwrap_or(false);
    let most_roles = roles.as_ref().map_or(0, Vec::len) as u64;
    let least = if each { most_roles.clamp(1, 100) } else { 1 };
    let quorum = keys.count("quorum", 1..=100, r).unwrap_or(least);
    if let Some(item) = keys.get("each").filter(|_| each && most_roles == 0) {
        r.add(
            item.fault(
                "value",
                "`each` asks for one of each role, and none is named",
            )
            .hint("add `roles = [\"technical-lead\", \"release-manager\"]`"),
        );
    }
    if let Some(item) = keys.get("quorum").filter(|_| quorum < least) {
        r.add(
            item.fault(
                "value",
                format!("{quorum} cannot be one of each of {least} roles: a person speaks for one"),
            )
            .hint(format!("leave `quorum` out, or write `{least}`")),
        );
    }
    let within = keys
        .duration("within", Duration::from_secs(1)..=LONGEST, r)
        .unwrap_or(within);
    let otherwise = keys.choice(
        "otherwise",
        &[
            ("escalate", Otherwise::Escalate),
            ("rollback", Otherwise::Rollback),
            ("dismiss", Otherwise::Dismiss),
        ],
        r,
    );
    Some(Approve {
        roles: roles
            .unwrap_or_default()
            .iter()
            .map(|role| role.value.to_owned())
            .collect(),
        quorum: u32::try_from(quorum).ok()?,
        each,
        within,
        otherwise: otherwise.unwrap_or(Otherwise::Escalate),
    })
}

/// Checks that every trigger's plan is there, and that it can do its work.
pub(super) fn check_plans(
    triggers: &[Trigger],
    plans: &std::collections::BTreeMap<String, Option<crate::model::Plan>>,
    known: &Known,
    r: &mut Reader,
) {
    for trigger in triggers {
        let path = format!("triggers.{}", trigger.name);
        let named = r.marks.get(&format!("{path}.plan")).cloned();
        let acts = trigger.response != Response::Alert;
        let missing = !plans.contains_key(&trigger.plan);
        let at = named.clone().or_else(|| r.marks.get(&path).cloned());
        let Some(at) = at else { continue };
        if missing && (acts || named.is_some()) {
            let message = format!(
                "trigger `{}` runs the plan `{}`, which is not defined",
                trigger.name, trigger.plan
            );
            let near = super::fault::nearest(&trigger.plan, plans.keys().map(String::as_str));
            let hint = near.map_or_else(
                || {
                    format!(
                        "add `[plans.{}]` with its steps, or `response = \"alert\"`",
                        trigger.plan
                    )
                },
                |near| format!("did you mean `{near}`?"),
            );
            let draft = if trigger.mode == Mode::Enforce || named.is_some() {
                Draft::error("undefined", at, message)
            } else {
                Draft::warning("no-plan", at, message)
            };
            r.add(draft.hint(hint));
        } else if let Some(Some(plan)) = plans.get(&trigger.plan)
            && acts
            && plan.verify.require.is_empty()
        {
            // The default verification wants the trigger clear, and a window
            // that starts anew is judged once it is covered to 80%.
            let window = known.longest_window(&trigger.when);
            if window * 4 / 5 > plan.verify.within {
                r.add(
                    Draft::warning(
                        "verify",
                        at,
                        format!(
                            "after a rollback `{}` can be judged only after {}, but the plan `{}` \
                             verifies within {}",
                            trigger.name,
                            show(window * 4 / 5),
                            trigger.plan,
                            show(plan.verify.within)
                        ),
                    )
                    .hint(
                        "give the plan a longer `verify.within`, or a `verify.require` of its own",
                    ),
                );
            }
        }
    }
}
