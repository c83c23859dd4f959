//! Conditions that are watched for a drill, on a copy of the engine: the live
//! one judges, holds and acts as if nobody were watching.
//!
//! The copy sees every fact of its service that the live engine sees, so that a
//! condition is judged as the plan's own step would judge it. What the copy
//! orders is thrown away unread.

use std::collections::BTreeMap;

use super::{Cause, Engine, Event, Ledger, Snapshot};
use crate::model::{Condition, Finding, Moment, Verdict};

/// A copy of the engine that watches conditions of one service.
#[derive(Clone, Debug)]
pub struct Lookout {
    engine: Engine,
    service: String,
    /// What is watched, as the policy has it, by key.
    texts: BTreeMap<String, String>,
}

/// How a watched condition stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// Whether its whole hold is met at this tick.
    pub holds: bool,
    /// Why it cannot be judged, if it cannot.
    pub blind: Option<String>,
    /// What its deciding test found.
    pub found: Option<Cause>,
}

impl Lookout {
    /// Watches these conditions from now on, each under its key. `None` when the
    /// service is not guarded.
    #[must_use]
    pub fn new(engine: &Engine, service: &str, conditions: &[(String, Condition)]) -> Option<Self> {
        let state = engine.state();
        let mut copy = state.services.get(service)?.clone();
        copy.closed.clear();
        copy.runs.clear();
        copy.ledger = Ledger::default();
        let policy = std::sync::Arc::clone(&copy.policy);
        for (key, condition) in conditions {
            copy.judge.watch(&policy, &of(key), condition, state.now);
        }
        let snapshot = Snapshot {
            now: state.now,
            host: state.host.clone(),
            services: [(service.to_owned(), copy)].into(),
            ..Snapshot::default()
        };
        Some(Self {
            engine: Engine::restore(snapshot),
            service: service.to_owned(),
            texts: conditions
                .iter()
                .map(|(key, condition)| (key.clone(), condition.text.clone()))
                .collect(),
        })
    }

    /// Sees a fact that the live engine sees. Says whether a tick was judged.
    pub fn see(&mut self, at: Moment, event: &Event) -> bool {
        let (service, ticked) = match event {
            Event::Sampled { service, .. }
            | Event::Released { service, .. }
            | Event::Pushed { service, .. } => (service, false),
            Event::Ticked { service, .. } => (service, true),
            Event::Declared { .. }
            | Event::Starting { .. }
            | Event::Finished { .. }
            | Event::Answered { .. }
            | Event::Counted { .. }
            | Event::Acknowledged { .. }
            | Event::Ordered { .. }
            | Event::Drilled { .. }
            | Event::Aborted { .. }
            | Event::Froze { .. }
            | Event::Unfroze { .. }
            | Event::Revised { .. }
            | Event::Removed { .. }
            | Event::Restarted { .. }
            | Event::Distrusted { .. }
            | Event::Woke => return false,
        };
        if *service != self.service {
            return false;
        }
        drop(self.engine.step(at, event.clone()));
        ticked
    }

    /// The keys of what is watched.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// How a condition stands; `None` for a key that is not watched.
    #[must_use]
    pub fn sight(&self, key: &str) -> Option<Sight> {
        let text = self.texts.get(key)?;
        let service = self.engine.state().services.get(&self.service)?;
        let judgement = service.judge.watched(&of(key))?;
        let decides = |f: &&Finding| f.verdict == judgement.verdict;
        let findings = &judgement.findings;
        let finding = findings.iter().find(decides).or_else(|| findings.first());
        let blind = match &judgement.verdict {
            Verdict::Blind { subject, why } => Some(format!("{subject}: {why}")),
            Verdict::Clear | Verdict::Breach => None,
        };
        Some(Sight {
            holds: judgement.hold_met,
            blind,
            found: finding.map(|f| Cause::new(text, judgement.since, f, &service.policy_hash)),
        })
    }
}

/// A key of its own: the copy may be watching others.
fn of(key: &str) -> String {
    format!("drill {key}")
}
