//! The seam: facts in, orders out. Total and deterministic; it routes among the
//! services and holds what they share.
//!
//! There is one engine for the live agent, shadow, replay, tests and drills.
//! A driver takes the next event or the next [`Engine::deadline`], whichever is
//! first, calls [`Engine::step`] and hands the commands out.

use super::desk::Desk;
use super::{Command, Event, Service, Snapshot};
use crate::model::Moment;

/// Most removed services that are remembered.
const RETIRED: usize = 64;

/// The decision machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Engine {
    state: Snapshot,
}

impl Engine {
    /// An engine that guards nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on where a snapshot was taken, as if it had never stopped.
    #[must_use]
    pub fn restore(snapshot: Snapshot) -> Self {
        Self { state: snapshot }
    }

    /// The whole state, to keep.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.state.clone()
    }

    /// The whole state, to look at.
    #[must_use]
    pub const fn state(&self) -> &Snapshot {
        &self.state
    }

    /// When something is due by time alone: later than the last step, or never.
    /// Derived from the phases, so no timer can leak.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        self.state
            .services
            .values()
            .filter_map(Service::deadline)
            .min()
    }

    /// Takes one fact and says what is to be done.
    ///
    /// Total: any events in any order, also from the past, are taken; what
    /// makes no sense is noted or ignored. `at` is when the fact reached the
    /// agent; a clock that went back is held still.
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each event: the compiler asks for a new one"
    )]
    pub fn step(&mut self, at: Moment, event: Event) -> Vec<Command> {
        let now = at.max(self.state.now);
        self.state.now = now;
        let Snapshot {
            host,
            last_ticket,
            last_incident,
            services,
            retired,
            ..
        } = &mut self.state;

        if let Event::Restarted { host: name } = &event {
            host.clone_from(name);
        }
        let mut desk = Desk::new(now, host, last_ticket, last_incident);

        // What was due before this fact comes before it: an answer after the
        // deadline is late even when nobody woke in between.
        // Not so a restart: an order that time alone makes is not one that was
        // lost with the agent, and must not be given twice.
        if !matches!(event, Event::Restarted { .. }) {
            for service in services.values_mut() {
                service.wake(now, &mut desk);
            }
        }
        desk.at = now;
        match event {
            Event::Woke => {}
            Event::Sampled {
                service,
                source,
                tick,
                outcome,
            } => {
                if let Some(guarded) = services.get_mut(&service) {
                    guarded.sampled(&source, tick, &outcome, &mut desk);
                }
            }
            Event::Ticked {
                service,
                tick,
                wall_ahead_ms,
            } => {
                if let Some(guarded) = services.get_mut(&service) {
                    desk.at = tick.min(now);
                    guarded.ticked(tick, wall_ahead_ms, &mut desk);
                }
            }
            Event::Released { service, version } => {
                if let Some(guarded) = services.get_mut(&service) {
                    guarded.released(&version, &mut desk);
                }
            }
            Event::Starting {
                service,
                ticket,
                step,
            } => {
                if let Some(guarded) = services.get_mut(&service) {
                    guarded.starting(ticket, step, &mut desk);
                }
            }
            Event::Finished {
                service,
                ticket,
                step,
                end,
            } => {
                if let Some(guarded) = services.get_mut(&service) {
                    guarded.finished(ticket, step, &end, &mut desk);
                }
            }
            Event::Answered {
                incident,
                by,
                role,
                approve,
                reason,
            } => {
                if let Some(guarded) = with_incident(services, incident) {
                    guarded.answered(&by, role.as_deref(), approve, &reason, &mut desk);
                }
            }
            Event::Acknowledged {
                incident,
                by,
                reason,
            } => {
                if let Some(guarded) = with_incident(services, incident) {
                    guarded.acknowledged(by, &reason, &mut desk);
                }
            }
            Event::Ordered {
                service,
                by,
                reason,
                to,
                plan,
            } => {
                if let Some(guarded) = services.get_mut(&service) {
                    guarded.ordered(by, &reason, to, plan, &mut desk);
                }
            }
            Event::Aborted {
                incident,
                by,
                reason,
            } => {
                if let Some(guarded) = with_incident(services, incident) {
                    guarded.aborted(&by, &reason, &mut desk);
                }
            }
            Event::Froze { service, freeze } => {
                if let Some(guarded) = services.get_mut(&service) {
                    guarded.froze(freeze, &mut desk);
                }
            }
            Event::Unfroze {
                service,
                by,
                reason,
            } => {
                if let Some(guarded) = services.get_mut(&service) {
                    guarded.unfroze(&by, &reason, &mut desk);
                }
            }
            Event::Revised { policy, hash } => {
                if let Some(guarded) = services.get_mut(&policy.service) {
                    guarded.revised(policy, hash, &mut desk);
                } else {
                    let name = policy.service.clone();
                    let before = retired.remove(&name).unwrap_or_default();
                    services.insert(name, Service::new(policy, hash, before, &mut desk));
                }
            }
            Event::Removed { service } => {
                if let Some(guarded) = services.get_mut(&service) {
                    guarded.removed(&mut desk);
                }
            }
            Event::Restarted { .. } => {
                for service in services.values_mut() {
                    service.restarted(&mut desk);
                }
            }
            Event::Distrusted { reason } => {
                for service in services.values_mut() {
                    service.distrusted(&reason, &mut desk);
                }
            }
        }
        for service in services.values_mut().filter(|s| s.is_gone()) {
            service.close_as_it_stands("the policy was removed", &mut desk);
        }
        for (name, service) in services.extract_if(.., |_, service| service.is_gone()) {
            retired.insert(name, service.retire());
        }
        while retired.len() > RETIRED {
            retired.pop_first();
        }
        // What the fact set in motion may itself be due already.
        for service in services.values_mut() {
            service.wake(now, &mut desk);
        }
        desk.into_commands()
    }
}

/// The service whose open incident has this number.
fn with_incident(
    services: &mut std::collections::BTreeMap<String, Service>,
    number: u64,
) -> Option<&mut Service> {
    services
        .values_mut()
        .find(|s| s.incident.as_ref().is_some_and(|i| i.number == number))
}
