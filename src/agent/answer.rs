//! What the loop says of itself and of what it sees: to the API, to whoever
//! collects metrics, and to the service manager.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::chronicle::{chronicle, past};
use super::curves::signals;
use super::keeper::{Keeper, Page};
use super::metrics::Rest;
use crate::control::{self, Diagnosis, Request};
use crate::guard::Snapshot;

/// How long who reads the journal waits for what is being written to it.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

impl Keeper {
    /// Answers what the API asks.
    pub(super) fn answer(&mut self, request: Request, tasks: &mut JoinSet<()>) {
        match request {
            Request::Snapshot(answer) => {
                let _ = answer.send(self.view());
            }
            Request::Step { event, answer } => {
                let commands = self.step(*event);
                self.follow(tasks);
                let at = self.engine.state().now;
                let durable = self.durable();
                self.errands.spawn(async move {
                    let not_durable = match durable.await {
                        Ok(Ok(_)) => None,
                        Ok(Err(why)) => Some(why),
                        Err(_) => Some("the agent is stopping".to_owned()),
                    };
                    let _ = answer.send(control::Stepped {
                        at,
                        commands,
                        not_durable,
                    });
                });
            }
            Request::Reload(answer) => {
                // The channel holds more than anybody asks for at once; who is
                // refused sees the answer's channel closed.
                let _ = self.reloads.try_send(answer);
            }
            Request::Diagnosis(answer) => {
                let _ = answer.send(self.diagnosis());
            }
            Request::Drill {
                order,
                points,
                answer,
            } => self.drill(&order, points, answer),
            Request::Chronicle {
                incident,
                samples,
                answer,
            } => {
                let state = self.state.clone();
                let now = self.clock.now();
                let services = self.engine.state().services.iter();
                let policies: BTreeMap<_, _> = services
                    .map(|(name, service)| (name.clone(), Arc::clone(&service.policy)))
                    .collect();
                // The journal has the whole of an incident when that is closed.
                let services = self.engine.state().services.values();
                let mut open = services.filter_map(|service| service.incident.as_ref());
                let open = open.find(|open| open.number == incident).cloned();
                self.read_journal(move || {
                    let mut found = chronicle(&state, incident);
                    if let Some(found) = found.as_mut().filter(|_| samples)
                        && let Some(incident) = found.incident.as_ref().or(open.as_ref())
                        && let Some(policy) = found
                            .policy
                            .as_ref()
                            .or_else(|| policies.get(&incident.service))
                    {
                        found.signals = signals(&state, policy, incident, now);
                    }
                    let _ = answer.send(found.map(Box::new));
                });
            }
            Request::Past { wanted, answer } => {
                let state = self.state.clone();
                self.read_journal(move || {
                    let _ = answer.send(past(&state, wanted));
                });
            }
        }
    }

    /// Reads the journal beside the loop, as soon as it has all that was stepped
    /// so far: nobody is told of an incident's end before they can read of it.
    fn read_journal(&mut self, read: impl FnOnce() + Send + 'static) {
        let durable = self.durable();
        self.errands.spawn(async move {
            // On a disk that hangs or is full there is what there is.
            let _late = timeout(DISK_PATIENCE, durable).await;
            let _panicked = spawn_blocking(read).await;
        });
    }

    /// The state, shared with whoever else asks before the next fact.
    fn view(&mut self) -> Arc<Snapshot> {
        let engine = &self.engine;
        Arc::clone(self.view.get_or_insert_with(|| Arc::new(engine.snapshot())))
    }

    /// What the agent knows of itself.
    fn diagnosis(&self) -> Diagnosis {
        Diagnosis {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: self.clock.now(),
            wall_ahead_ms: self.clock.wall_ahead_ms(),
            started: self.started,
            reloaded: self.reloaded.clone(),
            reloaded_at: self.reloaded_at,
            journal_broken: self.scribe.health().broken,
            ailing: self.ailing(),
        }
    }

    /// The page of metrics.
    pub(super) fn page(&mut self, page: Page) {
        let (handed, written) = self.scribe.progress();
        let text = self.metrics.page(
            self.engine.state(),
            &Rest {
                diagnosis: &self.diagnosis(),
                journal: &self.scribe.health(),
                refusals: &self.refusals,
                journal_waiting: handed.saturating_sub(written),
                outbox: &self.outbox.counts(),
            },
        );
        let _ = page.send(text);
    }

    /// Why the agent does not do what it is for, if it does not.
    fn ailing(&self) -> Option<String> {
        let (service, since) = self.roster.stalled(self.clock.now())?;
        Some(format!(
            "{service} has not been judged for {}",
            crate::model::Short(since)
        ))
    }

    /// What it sees, in one line.
    pub(super) fn line(&self) -> String {
        let services = &self.engine.state().services;
        let mut busy = Vec::new();
        for (name, service) in services {
            let suspected = service
                .judge
                .triggers()
                .find(|(_, j)| j.verdict.is_breach())
                .map(|(trigger, _)| trigger);
            match (&service.incident, suspected) {
                (Some(incident), _) => busy.push(format!(
                    "{name}: incident {} {}",
                    incident.number,
                    service.phase.name()
                )),
                (None, Some(trigger)) => busy.push(format!("{name}: suspecting {trigger}")),
                (None, None) => {}
            }
        }
        let guarded = match services.len() {
            1 => "guarding 1 service".to_owned(),
            n => format!("guarding {n} services"),
        };
        if busy.is_empty() {
            return format!("{guarded}; all is quiet");
        }
        let more = busy.len().saturating_sub(3);
        busy.truncate(3);
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        format!("{guarded}; {}{more}", busy.join("; "))
    }
}
