//! The seam: facts in, orders out. Total and deterministic; it routes among the
//! services and holds what they share.
//!
//! There is one engine for the live agent, shadow, replay, tests and drills.
//! A driver takes the next event or the next [`Engine::deadline`], whichever is
//! first, calls [`Engine::step`] and hands the commands out.

use std::collections::BTreeMap;

use super::agenda::Agenda;
use super::desk::Desk;
use super::question::Answer;
use super::{Command, Event, Retired, Service, Snapshot};
use crate::model::Moment;

/// Most removed services that are remembered.
const RETIRED: usize = 64;

/// The decision machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Engine {
    state: Snapshot,
    agenda: Agenda,
}

/// Whose state a fact may have changed.
enum Touched {
    Nobody,
    One(String),
    Everybody,
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
        let mut agenda = Agenda::default();
        for (name, service) in &snapshot.services {
            agenda.set(name, service.deadline());
        }
        Self {
            state: snapshot,
            agenda,
        }
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
    pub const fn deadline(&self) -> Option<Moment> {
        self.agenda.earliest()
    }

    /// Takes one fact and says what is to be done.
    ///
    /// Total: any events in any order, also from the past, are taken; what
    /// makes no sense is noted or ignored. `at` is when the fact reached the
    /// agent; a clock that went back is held still.
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
        let mut touched = match &event {
            Event::Restarted { .. } => Vec::new(),
            _ => self.agenda.due_by(now),
        };
        for name in &touched {
            if let Some(service) = services.get_mut(name) {
                service.wake(now, &mut desk);
            }
        }
        desk.at = now;
        match happen(event, services, retired, &mut desk) {
            Touched::Nobody => {}
            Touched::One(name) => touched.push(name),
            Touched::Everybody => touched = services.keys().cloned().collect(),
        }
        for name in &touched {
            settle(name, now, services, retired, &mut desk);
            let service = services.get(name);
            self.agenda.set(name, service.and_then(Service::deadline));
        }
        desk.into_commands()
    }
}

/// Lets the fact reach those whom it concerns.
#[expect(
    clippy::too_many_lines,
    reason = "one arm for each event: the compiler asks for a new one"
)]
fn happen(
    event: Event,
    services: &mut BTreeMap<String, Service>,
    retired: &mut BTreeMap<String, Retired>,
    desk: &mut Desk<'_>,
) -> Touched {
    match event {
        Event::Woke => Touched::Nobody,
        Event::Sampled {
            service,
            source,
            tick,
            outcome,
        } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.sampled(&source, tick, &outcome, desk);
            }
            Touched::One(service)
        }
        Event::Ticked {
            service,
            tick,
            wall_ahead_ms,
        } => {
            if let Some(guarded) = services.get_mut(&service) {
                desk.at = tick.min(desk.at);
                guarded.ticked(tick, wall_ahead_ms, desk);
            }
            Touched::One(service)
        }
        Event::Released { service, version } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.released(&version, desk);
            }
            Touched::One(service)
        }
        Event::Declared {
            service,
            version,
            word,
            by,
            reason,
        } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.declared(&version, word, &by, &reason, desk);
            }
            Touched::One(service)
        }
        Event::Starting {
            service,
            ticket,
            step,
        } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.starting(ticket, step, desk);
            }
            Touched::One(service)
        }
        Event::Finished {
            service,
            ticket,
            step,
            end,
        } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.finished(ticket, step, &end, desk);
            }
            Touched::One(service)
        }
        Event::Answered {
            incident,
            by,
            role,
            approve,
            reason,
            link,
        } => {
            let answer = Answer {
                by: &by,
                role: role.as_deref(),
                approve,
                reason: &reason,
                link,
            };
            if let Some((name, guarded)) = with_incident(services, incident) {
                guarded.answered(&answer, desk);
                return Touched::One(name.clone());
            }
            // Who comes too late on the socket is told so at once; a link was
            // given away, and what becomes of it is on record.
            let closed = |s: &Service| s.closed.iter().any(|i| i.number == incident);
            match services.iter_mut().find(|(_, s)| closed(s)) {
                Some((name, guarded)) if link.is_some() => {
                    guarded.answered_too_late(incident, &answer, desk);
                    Touched::One(name.clone())
                }
                _ => Touched::Nobody,
            }
        }
        Event::Counted {
            incident,
            name,
            value,
            by,
            reason,
        } => {
            let of = |s: &Service| {
                let all = s.incident.iter().chain(&s.closed);
                all.into_iter().any(|i| i.number == incident)
            };
            let Some((service, guarded)) = services.iter_mut().find(|(_, s)| of(s)) else {
                return Touched::Nobody;
            };
            if value.is_finite() && value >= 0.0 {
                guarded.lost(incident, (&name, value), &by, &reason, desk);
            }
            Touched::One(service.clone())
        }
        Event::Acknowledged {
            incident,
            by,
            reason,
        } => {
            let Some((name, guarded)) = with_incident(services, incident) else {
                return Touched::Nobody;
            };
            guarded.acknowledged(by, &reason, desk);
            Touched::One(name.clone())
        }
        Event::Ordered {
            service,
            by,
            reason,
            to,
            plan,
            drill,
        } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.ordered(by, &reason, (to, plan), drill, desk);
            }
            Touched::One(service)
        }
        Event::Drilled { service, drill } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.drilled(drill, desk);
            }
            Touched::One(service)
        }
        Event::Aborted {
            incident,
            by,
            reason,
        } => {
            let Some((name, guarded)) = with_incident(services, incident) else {
                return Touched::Nobody;
            };
            guarded.aborted(&by, &reason, desk);
            Touched::One(name.clone())
        }
        Event::Froze { service, freeze } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.froze(freeze, desk);
            }
            Touched::One(service)
        }
        Event::Unfroze {
            service,
            by,
            reason,
        } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.unfroze(&by, &reason, desk);
            }
            Touched::One(service)
        }
        Event::Pushed {
            service,
            source,
            by,
            push,
        } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.pushed(&source, &by, push, desk);
            }
            Touched::One(service)
        }
        Event::Revised { policy, hash } => {
            let name = policy.service.clone();
            if let Some(guarded) = services.get_mut(&name) {
                guarded.revised(policy, hash, desk);
            } else {
                let before = retired.remove(&name).unwrap_or_default();
                services.insert(name.clone(), Service::new(policy, hash, before, desk));
            }
            Touched::One(name)
        }
        Event::Removed { service } => {
            if let Some(guarded) = services.get_mut(&service) {
                guarded.removed(desk);
            }
            Touched::One(service)
        }
        Event::Restarted { .. } => {
            for service in services.values_mut() {
                service.restarted(desk);
            }
            Touched::Everybody
        }
        Event::Distrusted { reason } => {
            for service in services.values_mut() {
                service.distrusted(&reason, desk);
            }
            Touched::Everybody
        }
    }
}

/// What the fact set in motion may itself be due already, or be the last thing
/// that a service was kept for.
fn settle(
    name: &str,
    now: Moment,
    services: &mut BTreeMap<String, Service>,
    retired: &mut BTreeMap<String, Retired>,
    desk: &mut Desk<'_>,
) {
    let Some(service) = services.get_mut(name) else {
        return;
    };
    if !service.is_gone() {
        service.wake(now, desk);
    }
    if service.is_gone() {
        service.close_as_it_stands("the policy was removed", desk);
        if let Some((name, service)) = services.remove_entry(name) {
            retired.insert(name, service.retire());
        }
        while retired.len() > RETIRED {
            retired.pop_first();
        }
    }
}

/// The service whose open incident has this number.
fn with_incident(
    services: &mut BTreeMap<String, Service>,
    number: u64,
) -> Option<(&String, &mut Service)> {
    services
        .iter_mut()
        .find(|(_, s)| s.incident.as_ref().is_some_and(|i| i.number == number))
}
