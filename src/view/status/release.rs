//! What bears on going back: the releases, a freeze, cooldown and budget.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desk, TEXT, rounded};
use crate::model::{Mode, Plan, Standing, Word, millis};
use crate::view::value;

/// The releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// The version that runs, once known.
    pub running: Option<String>,
    /// `good`, `bad` or `unproven`.
    pub standing: Option<String>,
    /// Since when it has been running.
    pub since: Option<String>,
    /// How long that is.
    pub lasting: Option<String>,
    /// The versions that run at once, while there are several:
    /// `v1 3 of 5 processes, v2 2 of 5`.
    pub mixed: Option<String>,
    /// The version that a rollback would go to.
    pub target: Option<String>,
    /// Why there is none.
    pub no_target: Option<String>,
    /// Good releases, the oldest first.
    pub good: Vec<String>,
    /// Bad releases, the oldest first.
    pub bad: Vec<String>,
    /// What people said of releases, the oldest release first.
    pub said: Vec<SaidStatus>,
}

/// A person's word on a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidStatus {
    /// The release.
    pub version: String,
    /// `good`, `bad` or `irreversible`.
    pub standing: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: String,
    /// Why.
    pub reason: String,
}

impl ReleaseStatus {
    pub(super) fn new(desk: &Desk<'_>) -> Option<Self> {
        let releases = &desk.service.releases;
        let rule = desk.service.policy.release.as_ref();
        if rule.is_none() && releases.seen.is_empty() {
            return None;
        }
        let of = |standing: Standing| -> Vec<String> {
            releases
                .seen
                .iter()
                .filter(|r| r.standing == standing)
                .map(|r| value::one_line(&r.version, TEXT))
                .collect()
        };
        let running = releases.running();
        let target = rule.map(|rule| releases.target(rule));
        Some(Self {
            running: running.map(|r| value::one_line(&r.version, TEXT)),
            standing: running.map(|r| r.standing.name().into()),
            since: running.map(|r| desk.time(r.deployed)),
            lasting: running.map(|r| desk.ago(r.deployed)),
            mixed: releases
                .rollout
                .as_ref()
                .map(|rollout| value::one_line(&rollout.in_words(), TEXT)),
            target: target
                .as_ref()
                .and_then(|t| t.as_ref().ok())
                .map(|version| value::one_line(version, TEXT)),
            no_target: target
                .and_then(Result::err)
                .map(|why| value::one_line(&why, TEXT)),
            good: of(Standing::Good),
            bad: of(Standing::Bad),
            said: said(desk),
        })
    }
}

/// What people said: of what is good or bad, then of migrations.
fn said(desk: &Desk<'_>) -> Vec<SaidStatus> {
    let releases = &desk.service.releases;
    let seen = releases.seen.iter();
    let judged = seen.filter_map(|r| Some((&r.version, r.standing.name(), r.said.as_ref()?)));
    let crossed = releases.irreversible.iter();
    let crossed = crossed.map(|i| (&i.version, Word::Irreversible.name(), &i.said));
    judged
        .chain(crossed)
        .map(|(version, standing, said)| SaidStatus {
            version: value::one_line(version, TEXT),
            standing: standing.into(),
            by: value::one_line(&said.by, TEXT),
            at: desk.time(said.at),
            reason: value::one_line(&said.reason, TEXT),
        })
        .collect()
}

/// A freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeStatus {
    /// Who holds it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// When it ends by itself.
    pub until: Option<String>,
    /// How long that is.
    pub left: Option<String>,
    /// Who authorised it, where it is an emergency override.
    pub authorised_by: Option<String>,
    /// The risk of the override, in people's words.
    pub risk: Option<String>,
    /// How the override is validated afterwards.
    pub plan: Option<String>,
}

impl FreezeStatus {
    pub(super) fn new(desk: &Desk<'_>) -> Option<Self> {
        let freeze = desk.service.freeze.as_ref()?;
        let emergency = freeze.emergency.as_ref();
        Some(Self {
            owner: value::one_line(&freeze.owner, TEXT),
            reason: value::one_line(&freeze.reason, TEXT),
            since: desk.time(freeze.since),
            until: freeze.until.map(|u| desk.time(u)),
            left: freeze.until.map(|u| desk.left(u)),
            authorised_by: emergency.map(|e| value::one_line(&e.authorised_by, TEXT)),
            risk: emergency.map(|e| value::one_line(&e.risk, TEXT)),
            plan: emergency.map(|e| value::one_line(&e.plan, TEXT)),
        })
    }
}

/// Cooldown and budget of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStatus {
    /// The plan's name.
    pub plan: String,
    /// What is left of the cooldown; null when it is over.
    pub cooldown_left: Option<String>,
    /// The same in milliseconds; 0 when it is over.
    pub cooldown_left_ms: u64,
    /// Runs of the budget's period.
    pub budget_used: u32,
    /// The most runs in that period.
    pub budget: u32,
    /// That period.
    pub budget_period: String,
    /// `low`, `medium` or `high`, as people said of it.
    pub risk: Option<String>,
    /// How long people expect it to take.
    pub expect: Option<String>,
    /// How long its last run took.
    pub took: Option<String>,
}

impl PlanStatus {
    pub(super) fn new(desk: &Desk<'_>, name: &str, plan: &Plan) -> Self {
        let shadow = desk.service.policy.mode == Mode::Shadow;
        let runs = || desk.service.counted(name, plan, shadow);
        let left = runs()
            .filter_map(|run| run.ended)
            .max()
            .map_or(Duration::ZERO, |ended| {
                (ended + plan.cooldown).since(desk.now)
            });
        let used = runs()
            .filter(|run| desk.now.since(run.started) < plan.budget.period)
            .count();
        Self {
            plan: name.to_owned(),
            cooldown_left: (!left.is_zero()).then(|| rounded(left)),
            cooldown_left_ms: millis(left),
            budget_used: u32::try_from(used).unwrap_or(u32::MAX),
            budget: plan.budget.runs,
            budget_period: value::span(plan.budget.period),
            risk: plan.risk.map(|risk| risk.name().into()),
            expect: plan.expect.map(value::span),
            took: desk
                .service
                .runs
                .iter()
                .rfind(|run| run.plan == name && !run.shadow)
                .and_then(|run| Some(rounded(run.ended?.since(run.started)))),
        }
    }
}
