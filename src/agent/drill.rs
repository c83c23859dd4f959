//! Drills, as far as the loop has to do with them: what is rehearsed is read off
//! the engine as it stands, what happens meanwhile is shown to a copy of it, and
//! what came of it is stepped as one fact. All that waits is
//! `rehearsal`'s.

use tokio::sync::{mpsc, oneshot};

use super::input::Input;
use super::keeper::Keeper;
use super::rehearsal::{Kit, conditions, rehearse};
use crate::control::{DrillOrder, NoDrill};
use crate::guard::{Drill, Event, Lookout, Sight};
use crate::model::Moment;
use crate::view::{DrillPoint, DrillReport};

/// Where the report of a drill goes.
pub(super) type Answer = oneshot::Sender<Result<Box<DrillReport>, NoDrill>>;

/// Where its points go.
pub(super) type Points = mpsc::UnboundedSender<DrillPoint>;

/// What a drill that goes on looks out for.
#[derive(Debug)]
pub(super) struct Watch {
    lookout: Lookout,
    /// How each condition stands, after every tick.
    sights: mpsc::UnboundedSender<(String, Sight)>,
}

/// A drill that is over.
#[derive(Debug)]
pub(super) struct Rehearsed {
    pub(super) service: String,
    /// What came of it, or why there was none.
    pub(super) came: Result<(Drill, DrillReport), NoDrill>,
    pub(super) answer: Answer,
}

impl Keeper {
    /// A person asks for a drill.
    pub(super) fn drill(&mut self, order: &DrillOrder, points: Points, answer: Answer) {
        match self.kit(order, points) {
            Err(no) => {
                let _ = answer.send(Err(no));
            }
            Ok(kit) => {
                let (service, inputs) = (order.service.clone(), self.inputs.clone());
                tracing::info!(service, by = order.by.name, "a drill begins");
                self.errands.spawn(async move {
                    let came = rehearse(kit).await;
                    let rehearsed = Box::new(Rehearsed {
                        service,
                        came,
                        answer,
                    });
                    let _ = inputs.send(Input::Rehearsed(rehearsed)).await;
                });
            }
        }
    }

    /// All that a drill needs; from now on its conditions are watched.
    fn kit(&mut self, order: &DrillOrder, points: Points) -> Result<Kit, NoDrill> {
        let service = order.service.as_str();
        if self.drills.contains_key(service) {
            let why = format!("a drill of {service} goes on already");
            return Err(NoDrill::Refused(why));
        }
        let rehearsal = self
            .engine
            .rehearse(service, order.plan.as_deref(), order.to.as_deref())
            .map_err(NoDrill::Refused)?;
        let (sights, seen) = mpsc::unbounded_channel();
        let conditions = conditions(&rehearsal);
        if let Some(lookout) = Lookout::new(&self.engine, service, &conditions) {
            let watch = Watch { lookout, sights };
            self.drills.insert(service.to_owned(), watch);
        }
        let scenario = order.scenario.clone();
        let understudy = scenario.as_ref().map(|_| self.engine.understudy(service));
        Ok(Kit {
            rehearsal,
            by: order.by.clone(),
            config: std::sync::Arc::clone(&self.config),
            seen,
            points,
            scenario: scenario.zip(understudy.flatten()),
            host: self.engine.state().host.clone(),
            began: self.clock.now(),
            wall_ahead_ms: self.clock.wall_ahead_ms(),
        })
    }

    /// Shows a fact to the drills that go on.
    pub(super) fn show(&mut self, at: Moment, event: &Event) {
        for watch in self.drills.values_mut() {
            if !watch.lookout.see(at, event) {
                continue;
            }
            for key in watch.lookout.keys() {
                if let Some(sight) = watch.lookout.sight(key) {
                    // Whoever has seen enough of it listens no more.
                    let _ = watch.sights.send((key.to_owned(), sight));
                }
            }
        }
    }

    /// A drill is over: its result is kept, then told.
    pub(super) fn rehearsed(&mut self, rehearsed: Rehearsed) {
        let Rehearsed {
            service,
            came,
            answer,
        } = rehearsed;
        self.drills.remove(&service);
        let (drill, mut report) = match came {
            Ok(came) => came,
            Err(no) => {
                let _ = answer.send(Err(no));
                return;
            }
        };
        self.step(Event::Drilled { service, drill });
        let durable = self.durable();
        self.errands.spawn(async move {
            report.not_durable = match durable.await {
                Ok(Ok(_)) => None,
                Ok(Err(why)) => Some(why),
                Err(_) => Some("the agent is stopping".to_owned()),
            };
            let _ = answer.send(Ok(Box::new(report)));
        });
    }
}
