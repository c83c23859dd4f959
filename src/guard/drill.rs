//! Drills: what a rollback would do now, and what came of trying it.
//!
//! A [`Rehearsal`] is asked of a service as it stands and changes nothing: the
//! release that would be gone back to, what every gate answers, what the
//! placeholders stand for. Whoever drives it looks at the rest, and tells the
//! engine what came of it, which keeps the last [`Drill`] and does nothing else
//! with it. A drill that is executed is a person's order with a mark: the same
//! gates, the same run; only that no release is to blame, and that it goes no
//! further than it was ordered to.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::{Engine, Gate, Ledger, Outcome, Person, Phase, Service, Snapshot, Values, What};
use crate::judge::Judge;
use crate::model::{Mode, Moment, Plan, Policy, Short, Unchecked};

/// What came of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// Who asked for it.
    pub by: Person,
    /// The plan.
    pub plan: String,
    /// When it began.
    pub began: Moment,
    /// How long it took.
    pub took: Duration,
    /// The incident, when the plan was really run.
    pub incident: Option<u64>,
    /// Points that were looked at; of an executed one there are none.
    pub points: u64,
    /// What was not as it should be, each in a few words. Bounded:
    /// [`Drill::FAILED`].
    pub failed: Vec<String>,
}

impl Drill {
    /// Most failed points that are kept.
    pub const FAILED: usize = 16;

    /// Whether all was as it should be.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.failed.is_empty()
    }

    /// `passed, 14 points in 3s`, `failed: check the target`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let took = Short(self.took);
        if !self.passed() {
            return format!("failed after {took}: {}", self.failed.join(", "));
        }
        match self.incident {
            None => format!("passed, {} points in {took}", self.points),
            Some(number) => format!("passed, executed in {took} as incident {number}"),
        }
    }
}

/// What one gate says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateAnswer {
    /// The gate.
    pub gate: Gate,
    /// Why it holds; `None` when it is open.
    pub holds: Option<String>,
    /// Whether it would hold a person's order too, and not only a trigger.
    pub for_people: bool,
}

/// A rollback as it would be decided now.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// The plan's name.
    pub plan_name: String,
    /// The plan.
    pub plan: Plan,
    /// The release that runs.
    pub current: Option<String>,
    /// The release to go to, where the plan has a use for one; or why there is
    /// none.
    pub target: Result<Option<String>, String>,
    /// Releases that take its place when it fails its check, the best first.
    pub others: Vec<String>,
    /// Every gate, in the order in which they are asked.
    pub gates: Vec<GateAnswer>,
    /// What the placeholders stand for.
    pub values: Values,
    /// How long the last run of the plan took, if there was one.
    pub last_took: Option<Duration>,
}

impl Engine {
    /// What a rollback of this service would be now. Changes nothing.
    ///
    /// # Errors
    ///
    /// Why there is nothing to rehearse, in a sentence.
    pub fn rehearse(
        &self,
        service: &str,
        plan: Option<&str>,
        to: Option<&str>,
    ) -> Result<Rehearsal, String> {
        let state = self.state();
        let guarded = state
            .services
            .get(service)
            .ok_or_else(|| format!("no service `{service}` is guarded"))?;
        let mut rehearsal = guarded.rehearse(plan.unwrap_or("rollback"), to, state.now)?;
        let values = &mut rehearsal.values;
        values.insert("host".to_owned(), state.host.clone());
        let next = state.last_incident + 1;
        values.insert("incident".to_owned(), next.to_string());
        Ok(rehearsal)
    }

    /// A copy that guards this service alone, in shadow and with evidence that
    /// starts anew: for samples that never were. What is done with it reaches
    /// nobody.
    #[must_use]
    pub fn understudy(&self, service: &str) -> Option<Self> {
        let state = self.state();
        let mut copy = state.services.get(service)?.clone();
        let enforced = copy.policy.mode == Mode::Enforce;
        let mut policy = (*copy.policy).clone();
        policy.mode = Mode::Shadow;
        for trigger in &mut policy.triggers {
            trigger.mode = Mode::Shadow;
            trigger.promote = None;
        }
        copy.judge = Judge::new(&policy);
        copy.policy = Arc::new(policy);
        copy.phase = Phase::Watching;
        copy.incident = None;
        copy.ledger = Ledger::default();
        copy.closed.clear();
        copy.spent.clear();
        if enforced {
            // In shadow they would hold back what they do not hold back now.
            copy.runs.retain(|run| !run.shadow);
        }
        Some(Self::restore(Snapshot {
            services: [(service.to_owned(), copy)].into(),
            retired: std::collections::BTreeMap::new(),
            ..Snapshot {
                now: state.now,
                host: state.host.clone(),
                last_ticket: state.last_ticket,
                last_incident: state.last_incident,
                ..Snapshot::default()
            }
        }))
    }
}

impl Service {
    fn rehearse(&self, name: &str, to: Option<&str>, at: Moment) -> Result<Rehearsal, String> {
        if let Some(why) = self.undrillable() {
            return Err(why);
        }
        let plan = self.policy.plans.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.policy.plans.keys().map(String::as_str).collect();
            match names.as_slice() {
                [] => format!("the policy of {} has no plan", self.policy.service),
                names => format!("there is no plan `{name}`: there are {}", names.join(", ")),
            }
        })?;
        let rule = self.policy.release.as_ref();
        let goes = match to {
            None => self.target(plan),
            Some(to) if !plan.goes_back => {
                return Err(format!(
                    "the plan `{name}` is no rollback: it does not go to {to}, nor to any other release"
                ));
            }
            Some(to) => {
                let since = rule.and_then(|rule| rule.irreversible_since.as_deref());
                self.releases
                    .admits(to, since)
                    .map(|()| Some(to.to_owned()))
            }
        };
        let others = match rule {
            Some(rule) if to.is_none() && rule.unchecked == Unchecked::Next => {
                let all = self.releases.candidates(rule).into_iter().skip(1);
                all.map(str::to_owned).collect()
            }
            Some(_) | None => Vec::new(),
        };
        let answer = |gate, said: Result<(), String>, for_people| GateAnswer {
            gate,
            holds: said.err(),
            for_people,
        };
        let blamed = if plan.goes_back {
            self.blamed(Some(at))
        } else {
            Ok(())
        };
        let aimed = goes.as_ref().map(|_| ()).map_err(Clone::clone);
        let gates = vec![
            answer(Gate::Freeze, self.frozen(at), true),
            answer(Gate::Settling, self.settled(at), true),
            answer(Gate::Attribution, blamed, false),
            answer(Gate::NoTarget, aimed, true),
            answer(Gate::Cooldown, self.cooled(name, plan, false, at), false),
            answer(
                Gate::Budget,
                self.within_budget(name, plan, false, at),
                false,
            ),
        ];
        let mut triggers = self.policy.triggers.iter();
        let trigger = triggers.find(|t| Self::acts(t) && t.plan == name);
        let named = [
            ("service", Some(self.policy.service.clone())),
            ("current", self.releases.running.clone()),
            ("target", goes.clone().ok().flatten()),
            (
                "trigger",
                Some(trigger.map_or_else(String::new, |t| t.name.clone())),
            ),
        ];
        let known = named.into_iter();
        let took = |run: &super::RunRecord| Some(run.ended?.since(run.started));
        let mut runs = self
            .runs
            .iter()
            .rev()
            .filter(|r| !r.shadow && r.plan == name);
        Ok(Rehearsal {
            policy: Arc::clone(&self.policy),
            plan_name: name.to_owned(),
            plan: plan.clone(),
            current: self.releases.running.clone(),
            target: goes,
            others,
            gates,
            values: known
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
            last_took: runs.find_map(took),
        })
    }

    /// Why this is no time for a drill, if it is none.
    pub(super) fn undrillable(&self) -> Option<String> {
        let incident = self.incident.as_ref()?;
        Some(format!(
            "incident {} is open: a drill would be in the way of whoever looks after it",
            incident.number
        ))
    }

    /// Whether what goes on is a drill.
    pub(super) fn is_drill(&self) -> bool {
        self.incident.as_ref().is_some_and(|i| i.drill)
    }

    /// A plan was rehearsed.
    pub(crate) fn drilled(&mut self, mut drill: Drill, desk: &mut Desk<'_>) {
        drill.failed.truncate(Drill::FAILED);
        let reason = format!(
            "{} rehearsed plan {}: {}",
            drill.by.name,
            drill.plan,
            drill.in_words()
        );
        self.drill = Some(drill);
        let name = self.policy.service.clone();
        desk.note(&name, What::Drilled, reason);
    }

    /// A run that was a drill is over.
    pub(super) fn executed(&mut self, ticket: u64, outcome: Outcome, at: Moment) {
        let Some(incident) = self.incident.as_ref().filter(|i| i.drill) else {
            return;
        };
        let Some(run) = incident.runs.iter().find(|r| r.ticket == ticket) else {
            return;
        };
        let Some(by) = run.ordered_by.clone() else {
            return;
        };
        let cured = outcome == Outcome::Cured;
        let failed = (!cured).then(|| outcome.name().replace('_', " "));
        self.drill = Some(Drill {
            by,
            plan: run.plan.clone(),
            began: run.started,
            took: at.since(run.started),
            incident: Some(incident.number),
            points: 0,
            failed: failed.into_iter().collect(),
        });
    }
}
