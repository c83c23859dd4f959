//! What a new release does to a service: whose it is, what becomes of the
//! evidence against the one before, and what a person says of it.
//!
//! Evidence against one release never acts on another; so whatever is under way
//! against the one before ends, unless the agent itself put the release there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::desk::Desk;
use super::rollout::Turned;
use super::{Act, Did, Outcome, Person, Phase, Service, What};
use crate::model::{self, Current, Declaration, Policy, Standing, Word};

impl Service {
    /// What a page says of the versions that run.
    pub(crate) fn paged(&mut self, source: &str, outcome: &model::Outcome, desk: &mut Desk<'_>) {
        let policy = Arc::clone(&self.policy);
        let page = versions(&policy, source, outcome);
        let ours = self.is_rolling_back();
        match self.releases.paged(&page, ours, desk.at) {
            Some(Turned::Running(version)) => self.released(&version, desk),
            Some(Turned::Alone) => {
                let version = self.releases.running.as_deref().unwrap_or_default();
                let reason = format!("release {version} runs alone: the one beside it is gone");
                self.note(What::Release, None, None, &reason, desk);
            }
            None => {}
        }
    }

    pub(crate) fn released(&mut self, version: &str, desk: &mut Desk<'_>) {
        let before = self.releases.running().cloned();
        if before.as_ref().is_some_and(|r| r.version == version) {
            return;
        }
        let ours = self.is_own_target(version);
        if let Some(good) = before.as_ref().filter(|r| r.standing == Standing::Good) {
            self.judge.capture_baselines(&good.version);
        }
        self.releases.released(version, desk.at, !ours);
        if !ours && before.is_some() {
            self.witness_deployment(version, desk.at);
        }
        self.releases.forget(self.policy.release.as_ref());
        let name = self.policy.service.clone();
        let reason = match &before {
            None => format!("release {version} runs"),
            Some(before) if ours => {
                format!("release {version} runs again after {}", before.version)
            }
            Some(before) => match &self.releases.rollout {
                Some(rollout) => format!(
                    "release {version} is being rolled out beside {}: {}",
                    before.version,
                    rollout.in_words()
                ),
                None => format!("release {version} replaces {}", before.version),
            },
        };
        if self.incident.is_some() {
            self.note(What::Release, None, None, &reason, desk);
        } else {
            desk.note(&name, What::Release, &reason);
        }
        if ours {
            // Part of the run: evidence starts anew when its last step ends.
            return;
        }
        if before.is_none() && self.incident.is_none() {
            // First sight is no change: what was counted so far was counted
            // under the release that has just become known.
            return;
        }
        self.start_evidence_anew(desk);
        let reason = format!(
            "release {version} was deployed; evidence against the one before says nothing about it"
        );
        match &mut self.phase {
            Phase::Watching | Phase::Cooling { .. } | Phase::Escalated { .. } => {}
            Phase::Telling | Phase::Held => self.close(Outcome::Recovered, &reason, desk),
            Phase::Asking(_) => {
                self.note(What::Withdrawn, None, None, &reason, desk);
                self.close(Outcome::Recovered, &reason, desk);
            }
            Phase::Acting(_) => {
                let reason = format!("release {version} was deployed while the rollback ran");
                self.break_run(Outcome::Aborted, &reason, desk);
            }
            Phase::Verifying(_) => {
                let reason =
                    format!("release {version} was deployed before the rollback was verified");
                self.abandon_verification(&reason, desk);
            }
        }
    }

    /// Whether this release is where the agent's own last rollback went.
    fn is_own_target(&self, version: &str) -> bool {
        match &self.phase {
            Phase::Acting(run) => run.values.get("target").is_some_and(|t| t == version),
            Phase::Verifying(v) => v.target.as_deref() == Some(version),
            Phase::Cooling { .. } | Phase::Escalated { .. } => self
                .incident
                .as_ref()
                .and_then(|i| i.runs.last())
                .is_some_and(|run| {
                    // What shadow wrote down put nothing anywhere.
                    !run.shadow
                        && run.to.as_deref() == Some(version)
                        && run.from.as_deref() == self.releases.running.as_deref()
                }),
            Phase::Watching | Phase::Telling | Phase::Held | Phase::Asking(_) => false,
        }
    }

    /// Windows, holds and fired triggers start anew.
    pub(crate) fn start_evidence_anew(&mut self, desk: &mut Desk<'_>) {
        let policy = Arc::clone(&self.policy);
        self.judge.restart(&policy, desk.at);
        self.post(desk.at);
        self.spent.clear();
    }

    /// A person says what a release is. Nothing is set in motion by it: a bad
    /// release that runs is no breach, and a breach needs nobody's word.
    pub(crate) fn declared(
        &mut self,
        version: &str,
        word: Word,
        by: &Person,
        reason: &str,
        desk: &mut Desk<'_>,
    ) {
        let said = Declaration {
            by: by.name.clone(),
            at: desk.at,
            reason: reason.to_owned(),
        };
        match self.releases.declared(version, word, said) {
            Ok(()) => {
                let is = match word {
                    Word::Good | Word::Bad => format!("is {}", word.name()),
                    Word::Irreversible => {
                        "comes with a migration that cannot be taken back".to_owned()
                    }
                    Word::Reversible => "can be gone back from".to_owned(),
                    Word::Unproven => "is unproven: what is observed from now on counts".to_owned(),
                };
                let reason = format!("{} says that release {version} {is}: {reason}", by.name);
                self.note(What::Declared, None, None, &reason, desk);
                let did = match word {
                    Word::Bad => Did::CalledBad,
                    Word::Good => Did::CalledGood,
                    Word::Unproven | Word::Irreversible | Word::Reversible => return,
                };
                let act = Act::new(desk.at, did, Some(&by.name), version);
                self.witness_release(version, &act);
            }
            Err(refusal) => self.note(What::Refused, None, None, &refusal, desk),
        }
    }
}

/// How many processes a scrape says run which version: the selected series that
/// are not zero, by the label.
pub(super) fn versions<'a>(
    policy: &Policy,
    source: &str,
    outcome: &'a model::Outcome,
) -> BTreeMap<&'a str, u32> {
    let mut versions = BTreeMap::new();
    if let Some(Current::Metric {
        metric,
        label,
        source: carrier,
    }) = policy.release.as_ref().map(|rule| &rule.current)
        && source == carrier
        && let model::Outcome::Scraped(samples) = outcome
    {
        let said = samples
            .iter()
            .filter(|s| s.value != 0.0 && metric.matches(&s.series))
            .map(|s| s.series.label(label))
            .filter(|v| !v.is_empty());
        for version in said {
            *versions.entry(version).or_default() += 1;
        }
    }
    versions
}
