//! What can keep a fired trigger from acting, in the order in which it is
//! asked. The first that holds is recorded, shown, and told once.

use serde::{Deserialize, Serialize};

use super::{Held, RunRecord, Service};
use crate::model::{Mode, Moment, Plan, Short, Trigger};

/// The gates of SPEC 3, *What a fired trigger does*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// A person, or the agent over a damaged journal, stopped all acting.
    Freeze,
    /// A release was deployed less than `settle` ago.
    Settling,
    /// The breach did not begin within `blame` after a release.
    Attribution,
    /// There is no release to go back to.
    NoTarget,
    /// Another run of this service is not over.
    Incident,
    /// The last run ended less than `cooldown` ago.
    Cooldown,
    /// As many runs as the budget allows were made in its period.
    Budget,
}

impl Gate {
    /// Stable name, as JSON and metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Settling => "settling",
            Self::Attribution => "attribution",
            Self::NoTarget => "no_target",
            Self::Incident => "incident",
            Self::Cooldown => "cooldown",
            Self::Budget => "budget",
        }
    }
}

impl Service {
    /// Asks every gate, in order, for a trigger. The release to go to, where
    /// the plan needs one, or the first gate that holds.
    pub(crate) fn gates(&self, trigger: &Trigger, at: Moment) -> Result<Option<String>, Held> {
        let held = |gate, reason: String| Held {
            gate,
            since: at,
            reason,
        };
        self.frozen(at).map_err(|why| held(Gate::Freeze, why))?;
        self.settled(at).map_err(|why| held(Gate::Settling, why))?;
        let Some(plan) = self.policy.plans.get(&trigger.plan) else {
            let why = format!("there is no plan `{}`", trigger.plan);
            return Err(held(Gate::NoTarget, why));
        };
        if plan.goes_back {
            let since = self.judge.trigger(&trigger.name).and_then(|j| j.since);
            self.blamed(since)
                .map_err(|why| held(Gate::Attribution, why))?;
        }
        let target = self.target(plan).map_err(|why| held(Gate::NoTarget, why))?;
        let shadow = trigger.mode == Mode::Shadow;
        self.cooled(&trigger.plan, plan, shadow, at)
            .map_err(|why| held(Gate::Cooldown, why))?;
        self.within_budget(&trigger.plan, plan, shadow, at)
            .map_err(|why| held(Gate::Budget, why))?;
        Ok(target)
    }

    /// The gates of a person's order: all but hold, blame, cooldown and budget.
    pub(crate) fn gates_for_person(
        &self,
        plan: &str,
        to: Option<String>,
        at: Moment,
    ) -> Result<Option<String>, String> {
        if self.is_rolling_back() {
            let incident = self.incident.as_ref().map_or(0, |i| i.number);
            return Err(format!(
                "a rollback of this service is under way or being verified; `backstop abort {incident}` ends it"
            ));
        }
        self.frozen(at)?;
        self.settled(at)?;
        let name = plan;
        let plan = self
            .policy
            .plans
            .get(name)
            .ok_or_else(|| format!("there is no plan `{name}`"))?;
        match to {
            None => self.target(plan),
            Some(to) if !plan.goes_back => Err(format!(
                "the plan `{name}` is no rollback: it does not go to {to}, nor to any other release"
            )),
            Some(to) => {
                let rule = self.policy.release.as_ref();
                let since = rule.and_then(|rule| rule.irreversible_since.as_deref());
                self.releases.admits(&to, since)?;
                Ok(Some(to))
            }
        }
    }

    pub(crate) fn frozen(&self, at: Moment) -> Result<(), String> {
        if let Some(reason) = &self.distrust {
            return Err(format!(
                "the agent's own record cannot be trusted: {reason}; a person has to look and say `backstop unfreeze {}`",
                self.policy.service
            ));
        }
        match &self.freeze {
            Some(freeze) if freeze.until.is_none_or(|until| at < until) => {
                let left = freeze
                    .until
                    .map_or_else(String::new, |u| format!(" for {}", Short(u.since(at))));
                Err(format!(
                    "frozen by {}{left}: {}",
                    freeze.owner, freeze.reason
                ))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn settled(&self, at: Moment) -> Result<(), String> {
        let Some((rule, deployed)) = self.policy.release.as_ref().zip(self.releases.deployed)
        else {
            return Ok(());
        };
        let age = at.since(deployed);
        if age >= rule.settle {
            return Ok(());
        }
        Err(format!(
            "the release was deployed {} ago and settles for {}",
            Short(age),
            Short(rule.settle)
        ))
    }

    pub(super) fn blamed(&self, since: Option<Moment>) -> Result<(), String> {
        let Some(blame) = self.policy.release.as_ref().and_then(|r| r.blame) else {
            return Ok(());
        };
        let Some(deployed) = self.releases.deployed else {
            return Err(
                "no release was deployed since this service is guarded: it is not to blame".into(),
            );
        };
        let Some(since) = since else {
            return Ok(());
        };
        if since < deployed {
            return Err("the breach began before the release was deployed".into());
        }
        let after = since.since(deployed);
        if after <= blame {
            return Ok(());
        }
        Err(format!(
            "the breach began {} after the release, later than the {} in which a release is to blame",
            Short(after),
            Short(blame)
        ))
    }

    /// The release to go to, where the plan has a use for one.
    pub(crate) fn target(&self, plan: &Plan) -> Result<Option<String>, String> {
        let Some(rule) = &self.policy.release else {
            return Ok(None);
        };
        if !plan.goes_back || (!plan.names_target() && rule.check.is_none()) {
            return Ok(None);
        }
        self.releases.target(rule).map(|to| Some(to.to_owned()))
    }

    /// The runs that count against one more of a plan: all rollbacks against a
    /// rollback, and against what is none its own.
    pub fn counted(
        &self,
        name: &str,
        plan: &Plan,
        shadow: bool,
    ) -> impl Iterator<Item = &RunRecord> {
        let alike = move |run: &&RunRecord| {
            run.goes_back == plan.goes_back && (plan.goes_back || run.plan == name)
        };
        // A run that was only written down holds back nothing but its like.
        let runs = self.runs.iter().filter(move |run| shadow || !run.shadow);
        runs.filter(alike)
    }

    pub(super) fn cooled(
        &self,
        name: &str,
        plan: &Plan,
        shadow: bool,
        at: Moment,
    ) -> Result<(), String> {
        let counted = self.counted(name, plan, shadow);
        let Some(ended) = counted.filter_map(|run| run.ended).max() else {
            return Ok(());
        };
        let open = ended + plan.cooldown;
        if at >= open {
            return Ok(());
        }
        Err(format!(
            "the last rollback ended {} ago; the cooldown of {} has {} left",
            Short(at.since(ended)),
            Short(plan.cooldown),
            Short(open.since(at))
        ))
    }

    /// Whether one more run stays within the budget.
    pub(crate) fn within_budget(
        &self,
        name: &str,
        plan: &Plan,
        shadow: bool,
        at: Moment,
    ) -> Result<(), String> {
        let runs = self
            .counted(name, plan, shadow)
            .filter(|run| at.since(run.started) < plan.budget.period)
            .count();
        if runs < plan.budget.runs as usize {
            return Ok(());
        }
        Err(format!(
            "{runs} of {} rollbacks of the last {} are used up",
            plan.budget.runs,
            Short(plan.budget.period)
        ))
    }
}
