//! `[plans.NAME]`: what is run to roll back, in order, and what proves the cure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::conditions::Known;
use super::fault::Draft;
use super::item::Item;
use super::keys::{Keys, LONGEST, Reader};
use super::nested::{self, Part, Parts};
use super::per::{Counted, per};
use super::{losses, names, show, steps};
use crate::model::{Budget, Condition, NotCured, Plan, Risk, Step, StepAction, Verify};

/// The plan of a trigger that names none.
pub(super) const DEFAULT: &str = "rollback";

const MOST_PLANS: usize = 100;
pub(super) const MOST_STEPS: usize = 100;
const MOST_CONDITIONS: usize = 100;
/// Runs are counted from raw history, which is kept bounded by count.
const MOST_RUNS: u32 = 1000;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const DEFAULT_COOLDOWN: Duration = Duration::from_secs(30 * 60);
const DEFAULT_WITHIN: Duration = Duration::from_secs(5 * 60);
const DEFAULT_WATCH: Duration = Duration::from_secs(15 * 60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// All plans by name; `None` for one with a fault.
pub(super) fn read(
    item: Option<Item<'_>>,
    releases: bool,
    known: &Known,
    r: &mut Reader,
) -> BTreeMap<String, Option<Plan>> {
    let mut read = BTreeMap::new();
    let mut parts = Parts::new();
    for item in item.map_or_else(Vec::new, |item| item.named(MOST_PLANS, r)) {
        names::name(&item, r);
        let (plan, own) = plan(&item, releases, known, r).unzip();
        parts.insert(item.key.clone(), own);
        read.insert(item.key.clone(), plan);
    }
    nested::check(&parts, r);
    let whole = |(name, plan): (String, Option<Unfolded>)| {
        let steps = nested::unfold(&name, &parts, r);
        let plan = plan.and_then(|unfolded| unfolded.with(steps?, r));
        (name, plan)
    };
    read.into_iter().map(whole).collect()
}

/// A plan whose steps are not in their places yet.
struct Unfolded {
    plan: Plan,
    /// What it counts after its steps.
    queries: Vec<Step>,
    /// Where its timeout stands, or the plan.
    timeout_at: Range<usize>,
    /// Where it says that it is no rollback, or the plan.
    goes_back_at: Range<usize>,
}

impl Unfolded {
    /// The plan with its steps, if they fit into its time.
    fn with(self, steps: Vec<Step>, r: &mut Reader) -> Option<Plan> {
        let Self {
            mut plan,
            queries,
            timeout_at,
            goes_back_at,
        } = self;
        let waits = steps
            .iter()
            .map(|step| match step.action {
                StepAction::Wait(d) => d,
                _ => Duration::ZERO,
            })
            .fold(Duration::ZERO, Duration::saturating_add);
        if waits >= plan.timeout {
            r.add(
                Draft::error(
                    "timeout",
                    timeout_at,
                    format!(
                        "the steps wait {}, but the whole plan may take {}",
                        show(waits),
                        show(plan.timeout)
                    ),
                )
                .hint("give the plan a longer `timeout`"),
            );
            return None;
        }
        plan.steps = steps;
        plan.steps.extend(queries);
        if !plan.goes_back && plan.names_target() {
            r.add(
                Draft::error(
                    "target",
                    goes_back_at,
                    "this plan is no rollback, but its steps name `{target}`: there is none",
                )
                .hint("leave `goes_back` out, or name no `{target}`, nor a plan that does"),
            );
            return None;
        }
        Some(plan)
    }
}

fn plan(
    item: &Item<'_>,
    releases: bool,
    known: &Known,
    r: &mut Reader,
) -> Option<(Unfolded, Vec<Part>)> {
    let keys = item.table(
        format!("plan `{}`", item.key),
        &[
            "timeout",
            "cooldown",
            "budget",
            "verify",
            "steps",
            "risk",
            "expect",
            "goal",
            "goes_back",
            "data_loss",
        ],
        r,
    )?;
    let timeout = keys
        .duration("timeout", Duration::from_secs(1)..=LONGEST, r)
        .unwrap_or(DEFAULT_TIMEOUT);
    let cooldown = keys
        .duration("cooldown", Duration::ZERO..=LONGEST, r)
        .unwrap_or(DEFAULT_COOLDOWN);
    let budget = match keys.get("budget") {
        Some(item) => budget(&item, r),
        None => Some(Budget {
            runs: if releases { 2 } else { 1 },
            period: DAY,
        }),
    };
    let verify = match keys.get("verify") {
        Some(item) => verify(&item, releases, known, r),
        None => Some(Verify {
            require: Vec::new(),
            within: DEFAULT_WITHIN,
            otherwise: NotCured::Escalate,
            watch: DEFAULT_WATCH,
        }),
    };
    let risk = keys.choice(
        "risk",
        &[
            ("low", Risk::Low),
            ("medium", Risk::Medium),
            ("high", Risk::High),
        ],
        r,
    );
    let expect = keys.duration("expect", Duration::from_millis(1)..=LONGEST, r);
    let goal = keys.duration("goal", Duration::from_millis(1)..=LONGEST, r);
    let goes_back = keys.flag("goes_back", r).unwrap_or(true);
    if let (false, Some(verify)) = (goes_back, &verify)
        && verify.otherwise == NotCured::Next
    {
        let at = r.marks.get(&format!("plans.{}.verify.otherwise", item.key));
        let at = at.cloned().unwrap_or_else(|| keys.at.clone());
        let message = "`next` goes to the good release before, and this plan is no rollback";
        let draft = Draft::error("release", at, message);
        r.add(draft.hint("leave `goes_back` or `otherwise` out"));
    }
    let queries = match keys.get("data_loss") {
        Some(item) => losses::read(&item, releases, r),
        None => Some(Vec::new()),
    };
    let parts = parts(&keys, releases, known, r);
    let plan = Plan {
        timeout,
        cooldown,
        budget: budget?,
        steps: Vec::new(),
        verify: verify?,
        risk,
        expect,
        goal,
        goes_back,
    };
    let goes_back_at = keys
        .get("goes_back")
        .map_or_else(|| keys.at.clone(), |item| item.at);
    let timeout_at = keys
        .get("timeout")
        .map_or_else(|| keys.at.clone(), |item| item.at);
    let unfolded = Unfolded {
        plan,
        queries: queries?,
        timeout_at,
        goes_back_at,
    };
    Some((unfolded, parts?))
}

/// `2 per 24h`.
fn budget(item: &Item<'_>, r: &mut Reader) -> Option<Budget> {
    let counted = Counted {
        code: "budget",
        what: "a budget",
        noun: "runs",
        most: MOST_RUNS,
        example: "2 per 24h",
        none: (
            "a budget of 0 never runs",
            "to record only, set `mode = \"shadow\"`",
        ),
    };
    let (runs, period) = per(item, &counted, r)?;
    Some(Budget { runs, period })
}

fn verify(item: &Item<'_>, releases: bool, known: &Known, r: &mut Reader) -> Option<Verify> {
    let keys = item.table(
        "`verify`".into(),
        &["require", "within", "otherwise", "watch"],
        r,
    )?;
    let within_item = keys.get("within");
    let within = keys
        .duration("within", known.tick..=LONGEST, r)
        .unwrap_or(DEFAULT_WITHIN);
    let require = match keys.get("require") {
        Some(item) => {
            let items = item.elements(MOST_CONDITIONS, r)?;
            let conditions: Vec<_> = items
                .iter()
                .filter_map(|item| {
                    let condition = known.condition(item, r)?;
                    in_time(&condition, item, within, within_item.as_ref(), known, r);
                    Some(condition)
                })
                .collect();
            (conditions.len() == items.len()).then_some(conditions)
        }
        None => Some(Vec::new()),
    };
    let otherwise = keys.get("otherwise").and_then(|item| {
        let otherwise = item.choice(
            &[("escalate", NotCured::Escalate), ("next", NotCured::Next)],
            r,
        )?;
        if otherwise == NotCured::Next && !releases {
            r.add(
                item.fault(
                    "release",
                    "`next` goes to the good release before, and none are known",
                )
                .hint("add a `[release]` table"),
            );
        }
        Some(otherwise)
    });
    let watch = keys
        .duration("watch", Duration::ZERO..=LONGEST, r)
        .unwrap_or(DEFAULT_WATCH);
    Some(Verify {
        require: require?,
        within,
        otherwise: otherwise.unwrap_or(NotCured::Escalate),
        watch,
    })
}

/// Refuses a condition that cannot be met in time: windows start anew after the
/// last step, have a reading once covered to 80%, and the hold comes on top.
fn in_time(
    condition: &Condition,
    item: &Item<'_>,
    within: Duration,
    within_item: Option<&Item<'_>>,
    known: &Known,
    r: &mut Reader,
) {
    let window = known.longest_window(condition) * 4 / 5;
    let needs = window + condition.hold.span();
    if needs <= within {
        return;
    }
    let draft = item
        .fault(
            "verify",
            format!(
                "this can hold {} after the last step at the earliest, but must within {}",
                show(needs),
                show(within)
            ),
        )
        .hint("windows start anew after the last step: give `within` more time, or ask for less");
    r.add(match within_item {
        Some(within) => draft.also(within.at.clone(), "the deadline"),
        None => draft,
    });
}

fn parts(keys: &Keys<'_>, releases: bool, known: &Known, r: &mut Reader) -> Option<Vec<Part>> {
    let example = "[{ systemd = { unit = \"NAME.service\", action = \"restart\" } }]";
    let item = keys.need("steps", example, r)?;
    let items = item.elements(MOST_STEPS, r)?;
    if items.is_empty() {
        r.add(item.fault("value", "a plan needs at least one step"));
        return None;
    }
    let parts: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(i, item)| steps::read(i + 1, item, releases, known, r))
        .collect();
    (parts.len() == items.len()).then_some(parts)
}
