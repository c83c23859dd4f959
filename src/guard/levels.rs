//! Levels of escalation that are reached by a condition, not by time: an outage
//! that lasts for four hours, or more than a hundred orders lost.
//!
//! They are judged by the same judge as the triggers, all the time, so that an
//! outage counts from its beginning and not from the incident that it opened;
//! and they go on when evidence starts anew, because who is called for a long
//! outage does not ask which release is to blame. Such a level is reached once
//! in an incident. That somebody has acknowledged does not keep it back: it is
//! news, not a second call; its repetitions wait as all do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::desk::Desk;
use super::{Loss, NoticeKind, Service, What};
use crate::model::{Condition, LevelOn, Moment, Short};

/// What the keys begin with: no step and no verification has such a one.
const KEY: &str = "level ";

fn key(condition: &Condition) -> String {
    format!("{KEY}{}", condition.text)
}

/// What was lost so far.
struct Lost<'a>(&'a [Loss]);

impl Lost<'_> {
    /// What is above its bound, in words.
    fn above(&self, bounds: &BTreeMap<String, f64>) -> Option<String> {
        bounds.iter().find_map(|(name, bound)| {
            let known = |loss: &&Loss| loss.name == *name && loss.value.is_some();
            let last = self.0.iter().rfind(known)?;
            let above = last.value.is_some_and(|value| value > *bound);
            above.then(|| format!("{name}: {} lost, more than {bound}", last.in_words()))
        })
    }
}

impl Service {
    /// Has the judge follow the conditions of the levels in force: those of the
    /// policy, and those of the open incident.
    pub(crate) fn watch_levels(&mut self, at: Moment) {
        let policy = Arc::clone(&self.policy);
        let open = self.incident.iter().flat_map(|i| &i.levels);
        let levels = policy
            .escalation
            .iter()
            .chain(open.map(|state| &state.level));
        let wanted: Vec<&Condition> = levels
            .filter_map(|level| match &level.on {
                LevelOn::When(condition) => Some(condition),
                LevelOn::After(_) | LevelOn::Failed | LevelOn::Loss(_) => None,
            })
            .collect();
        let keys: BTreeSet<String> = wanted.iter().map(|condition| key(condition)).collect();
        let idle: Vec<String> = self
            .judge
            .watched_keys()
            .filter(|watched| watched.starts_with(KEY) && !keys.contains(*watched))
            .map(str::to_owned)
            .collect();
        for condition in wanted {
            self.judge
                .watch_lasting(&policy, &key(condition), condition, at);
        }
        for key in idle {
            self.judge.unwatch(&key);
        }
    }

    /// Calls the levels whose condition is met, each once.
    pub(crate) fn reach_levels(&mut self, desk: &mut Desk<'_>) {
        loop {
            let judge = &self.judge;
            let Some(incident) = &mut self.incident else {
                return;
            };
            let (number, opened) = (incident.number, incident.opened);
            let losses = Lost(incident.losses.as_slice());
            let waiting = incident.levels.iter_mut().filter(|state| state.told == 0);
            let reached = waiting.into_iter().find_map(|state| {
                let text = match &state.level.on {
                    LevelOn::When(condition) => {
                        let met = judge.watched(&key(condition)).is_some_and(|j| j.hold_met);
                        met.then(|| condition.text.clone())
                    }
                    LevelOn::Loss(bounds) => losses.above(bounds),
                    LevelOn::After(_) | LevelOn::Failed => None,
                };
                Some((state, text?))
            });
            let Some((state, text)) = reached else {
                return;
            };
            state.told = 1;
            state.due = state.level.repeat.map(|every| desk.at + every);
            let notify = state.level.notify.clone();
            let reason = format!(
                "{text}: incident {number} has been open for {}",
                Short(desk.at.since(opened))
            );
            let stop = format!("backstop ack {number}  says that you look after it");
            self.note(What::Escalated, None, None, &reason, desk);
            self.tell(
                NoticeKind::Escalated,
                None,
                (&reason, "", &stop),
                notify,
                desk,
            );
        }
    }
}
