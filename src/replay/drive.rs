//! Drives the engine over a recording: the next fact or the next deadline,
//! whichever is first.

use std::sync::Arc;

use super::reel::Fact;
use super::told::ToldEvent;
use super::{Recording, Told, TriggerSummary};
use crate::guard::{Command, Engine, Event, What};
use crate::model::{Current, Mode, Moment, Policy};

/// A replay that is over.
#[derive(Debug)]
pub struct Replay {
    /// What it says.
    pub told: Told,
    /// What its reader should know about how far it can be trusted.
    pub remarks: Vec<String>,
}

/// What would have happened under this policy, given these samples.
///
/// The first tick is at the first sample, then one per interval, the last at or
/// before the last sample; the tick at t sees all samples at or before t. The
/// policy is replayed in shadow, whatever its mode.
#[must_use]
pub fn replay(policy: &Policy, recording: &Recording) -> Replay {
    let mut remarks = Vec::new();
    let policy = Arc::new(in_shadow(policy, recording, &mut remarks));
    for (source, samples) in &recording.foreign {
        remarks.push(format!(
            "{samples} samples of `{source}` were passed over: the policy has no use for them"
        ));
    }
    let mut driver = Driver {
        engine: Engine::new(),
        service: policy.service.clone(),
        events: Vec::new(),
        counterfactual: false,
    };
    let (first, last) = recording.span;
    driver.step(
        first,
        Event::Revised {
            policy: Arc::clone(&policy),
            hash: "replayed".to_owned(),
        },
    );
    let mut facts = recording.facts();
    let (mut tick, mut ticks) = (first, 0);
    let mut to = first;
    while tick <= last {
        while let Some((at, fact)) = facts.next_by(tick) {
            driver.fact(at, fact);
        }
        driver.step(
            tick,
            Event::Ticked {
                service: policy.service.clone(),
                tick,
                wall_ahead_ms: 0,
            },
        );
        ticks += 1;
        to = tick;
        tick = tick + policy.interval;
    }
    let triggers = driver.summaries(&policy);
    Replay {
        told: Told {
            service: policy.service.clone(),
            from: crate::view::value::time(first, 0),
            to: crate::view::value::time(to, 0),
            ticks,
            triggers,
            events: driver.events,
        },
        remarks,
    }
}

/// The policy in shadow; without its release rule where the recording cannot
/// say which release ran.
fn in_shadow(policy: &Policy, recording: &Recording, remarks: &mut Vec<String>) -> Policy {
    let mut policy = policy.clone();
    policy.mode = Mode::Shadow;
    for trigger in &mut policy.triggers {
        trigger.mode = Mode::Shadow;
    }
    let in_samples = policy
        .release
        .as_ref()
        .is_some_and(|rule| matches!(rule.current, Current::Metric { .. }));
    if policy.release.is_some() && !in_samples && !recording.names_releases {
        policy.release = None;
        remarks.push(
            "the recording does not say which release ran (`backstop_release`): the gates on releases were not asked"
                .to_owned(),
        );
    }
    policy
}

struct Driver {
    engine: Engine,
    service: String,
    events: Vec<ToldEvent>,
    counterfactual: bool,
}

impl Driver {
    fn fact(&mut self, at: Moment, fact: Fact<'_>) {
        let service = self.service.clone();
        let event = match fact {
            Fact::Sampled(source, outcome) => Event::Sampled {
                service,
                source: source.to_owned(),
                tick: at,
                outcome,
            },
            Fact::Ran(version) => Event::Released {
                service,
                version: version.to_owned(),
            },
        };
        self.step(at, event);
    }

    fn step(&mut self, at: Moment, event: Event) {
        while let Some(due) = self.engine.deadline().filter(|due| *due < at) {
            let commands = self.engine.step(due, Event::Woke);
            self.tell(commands);
        }
        let commands = self.engine.step(at, event);
        self.tell(commands);
    }

    fn tell(&mut self, commands: Vec<Command>) {
        for command in commands {
            let Command::Note(note) = command else {
                continue;
            };
            self.events
                .extend(ToldEvent::of(&note, self.counterfactual));
            self.counterfactual |= note.what == What::WouldRollBack;
        }
    }

    fn summaries(&self, policy: &Policy) -> std::collections::BTreeMap<String, TriggerSummary> {
        let service = self.engine.state().services.get(&policy.service);
        policy
            .triggers
            .iter()
            .map(|trigger| {
                let judgement = service.and_then(|s| s.judge.trigger(&trigger.name));
                let summary = judgement.map_or_else(TriggerSummary::default, |j| TriggerSummary {
                    fired: j.fired_count,
                    breach_seconds: j.breach_ms as f64 / 1000.0,
                    blind_seconds: j.blind_ms as f64 / 1000.0,
                });
                (trigger.name.clone(), summary)
            })
            .collect()
    }
}
