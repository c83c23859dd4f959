//! The outbox: takes notices in at once, and carries them out at least once,
//! however long a notifier is away.
//!
//! Each notifier has a lane of its own, in order, with its own waits; a dead
//! one delays no other and no decision. A lane is bounded: when it is full, the
//! oldest regular update goes first, then the oldest notice, and that is
//! counted and said. A notice that its receiver refuses, or that has failed
//! five times, makes way for the next one and is tried again after it, so that
//! one that cannot be delivered does not block those that can. What comes
//! faster than a notifier's rate waits.
//!
//! Some receivers hold an alert or an issue per incident. What is to be known
//! of it is remembered beside the notices, so that a restart goes on with the
//! same one; alerts that end by themselves are told again from it, whenever the
//! lane waits for something else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::RandomState;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::backoff::{Pace, jitter};
use super::channel::{Attempt, Delivered, Failure, Memory, channel};
use super::lane::{Lane, Route, lock};
use super::ledger::{Fate, Ledger};
use super::thread::Thread;
use crate::guard::Notice;
use crate::model::{Moment, Notifier};
use crate::view::answer::AnswerLinks;
use crate::view::value;

pub use super::lane::Counts;
pub use super::ledger::OutboxError;

/// Tells the moment and how far the wall clock is ahead of it, in milliseconds.
/// The age of a notice is counted by the first, which nobody can set.
pub type Clock = Arc<dyn Fn() -> (Moment, i64) + Send + Sync>;

/// Makes the links by which a notice is answered in this person's name, if it
/// can be. They are made anew for each attempt, and kept nowhere.
pub type Linker = Arc<dyn Fn(&Notice, &str) -> Option<AnswerLinks> + Send + Sync>;

/// The durable queue of notices.
pub struct Outbox {
    lanes: BTreeMap<String, Lane>,
    ledger: Arc<Mutex<Ledger>>,
    pace: Pace,
    clock: Clock,
    linker: Option<Linker>,
    seeds: RandomState,
    settled: Notify,
}

/// What became of a submitted notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Notifiers that will deliver it.
    pub queued: Vec<String>,
    /// Notifiers named that nothing is configured for.
    pub unknown: Vec<String>,
}

impl Outbox {
    /// Opens the outbox in the state directory, with what the agent before left
    /// undelivered. Reads and writes files: not for an async task that must not
    /// wait.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or a newer agent wrote it.
    pub fn open(
        directory: &Path,
        notifiers: &BTreeMap<String, Notifier>,
        pace: Pace,
        clock: Clock,
    ) -> Result<Self, OutboxError> {
        let routes = notifiers.iter().map(|(name, notifier)| {
            let route = Route {
                channel: channel(notifier),
                rate: notifier.rate,
                only: notifier.only.clone(),
                answers_as: notifier.answers_as.clone(),
            };
            (name.clone(), route)
        });
        Self::over(directory, routes.collect(), pace, clock)
    }

    fn over(
        directory: &Path,
        routes: BTreeMap<String, Route>,
        pace: Pace,
        clock: Clock,
    ) -> Result<Self, OutboxError> {
        let (ledger, damaged) = Ledger::open(directory)?;
        if damaged > 0 {
            tracing::error!(
                lines = damaged,
                "the outbox was damaged: notices may be lost; it is kept as outbox.jsonl.damaged"
            );
        }
        let left: Vec<_> = ledger
            .waiting()
            .map(|(notice, to)| (Arc::clone(notice), to.clone()))
            .collect();
        let outbox = Self {
            lanes: routes
                .into_iter()
                .map(|(name, route)| {
                    let threads = ledger.threads(&name);
                    (name.clone(), Lane::new(name, route, threads))
                })
                .collect(),
            ledger: Arc::new(Mutex::new(ledger)),
            pace,
            clock,
            linker: None,
            seeds: RandomState::new(),
            settled: Notify::new(),
        };
        let mut ledger = lock(&outbox.ledger);
        for (notice, to) in left {
            for name in to {
                if let Some(lane) = outbox.lanes.get(&name) {
                    outbox.queue(&mut ledger, lane, &notice);
                } else {
                    tracing::error!(
                        notice = notice.id,
                        notifier = name,
                        "given up: this notifier is not configured any more"
                    );
                    settle(&mut ledger, &notice.id, &name, Fate::GivenUp);
                }
            }
        }
        drop(ledger);
        Ok(outbox)
    }

    /// With links in notices, for the notifiers that answer as somebody.
    #[must_use]
    pub fn with_links(self, linker: Option<Linker>) -> Self {
        Self { linker, ..self }
    }

    /// Takes a notice in for the notifiers that it names, but for those that it
    /// was taken in for before, in this run or an earlier one. Returns when
    /// that is durable: one write to the disk, and never the network. Call it
    /// where waiting for the disk is allowed.
    ///
    /// # Errors
    ///
    /// [`OutboxError::NotDurable`]: it is queued all the same, and would be
    /// forgotten by a crash.
    pub fn submit(&self, notice: Notice) -> Result<Accepted, OutboxError> {
        let (known, unknown): (Vec<String>, Vec<String>) = notice
            .notify
            .iter()
            .cloned()
            .partition(|name| self.lanes.contains_key(name));
        if !unknown.is_empty() {
            tracing::error!(
                notice = notice.id,
                notifiers = unknown.join(", "),
                "not told: no such notifier is configured"
            );
        }
        let wanted = known.into_iter().filter(|name| {
            let lane = self.lanes.get(name);
            lane.is_some_and(|lane| lane.takes(notice.kind))
        });
        let wanted: Vec<String> = wanted.collect();
        let notice = Arc::new(notice);
        let mut ledger = lock(&self.ledger);
        let (new, durable) = ledger.accept(&notice, wanted);
        for name in &new {
            if let Some(lane) = self.lanes.get(name) {
                self.queue(&mut ledger, lane, &notice);
            }
        }
        drop(ledger);
        durable.map(|()| Accepted {
            queued: new.into_iter().collect(),
            unknown,
        })
    }

    /// Delivers, for as long as it is polled; never returns. Dropping it leaves
    /// what is under way undelivered: it is tried again after a restart.
    pub async fn deliver(&self) -> Infallible {
        join_all(self.lanes.values().map(|lane| self.serve(lane))).await;
        std::future::pending().await
    }

    /// Waits until nothing waits any more. For a grace at the agent's end; set
    /// a limit to it.
    pub async fn idle(&self) {
        loop {
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable();
            if self.lanes.values().all(Lane::is_idle) {
                return;
            }
            settled.await;
        }
    }

    /// The numbers of each notifier.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.lanes
            .iter()
            .map(|(name, lane)| (name.clone(), lane.counts()))
            .collect()
    }

    /// Puts a notice into a lane, making room for it where there is none.
    fn queue(&self, ledger: &mut Ledger, lane: &Lane, notice: &Arc<Notice>) {
        for dropped in lane.push(notice, self.pace.capacity) {
            tracing::error!(
                notice = dropped,
                notifier = lane.name,
                capacity = self.pace.capacity,
                "dropped: too many notices wait for this notifier"
            );
            settle(ledger, &dropped, &lane.name, Fate::Dropped);
        }
        lane.arrived.notify_one();
    }

    async fn serve(&self, lane: &Lane) {
        // Nobody knows how long the agent was away.
        self.refresh(lane).await;
        loop {
            if lane.is_idle() {
                self.meanwhile(lane, lane.arrived.notified()).await;
                continue;
            }
            let held_back = lane.held_back();
            if !held_back.is_zero() {
                self.meanwhile(lane, sleep(held_back)).await;
                continue;
            }
            let Some(notice) = lane.next() else { continue };
            match self.attempt(lane, &notice).await {
                Ok(delivered) => self.delivered(lane, &notice, delivered).await,
                Err(failure) => self.failed(lane, &notice, failure).await,
            }
        }
    }

    /// Waits for something, and tells again meanwhile what would be taken for
    /// over.
    async fn meanwhile(&self, lane: &Lane, something: impl Future<Output = ()>) {
        let mut something = pin!(something);
        loop {
            tokio::select! {
                () = &mut something => return,
                () = lane.refresh_due() => self.refresh(lane).await,
            }
        }
    }

    async fn refresh(&self, lane: &Lane) {
        if lane.channel.keep_alive().is_none() {
            return;
        }
        let (now, ahead) = (self.clock)();
        let unix = now.unix_millis(ahead).div_euclid(1000);
        // A notice is tried for as long: what nobody has told of since then is
        // over, and word of it was lost.
        for memory in lane.open(now, self.pace.give_up) {
            let again = AssertUnwindSafe(lane.channel.refresh(&memory, unix)).catch_unwind();
            if let Ok(Err(failure)) = again.await {
                lane.not_refreshed(&failure);
                tracing::warn!(
                    notifier = lane.name,
                    reason = failure.reason,
                    "an open alert could not be kept alive"
                );
            }
        }
    }

    async fn attempt(&self, lane: &Lane, notice: &Notice) -> Result<Delivered, Failure> {
        let (moment, ahead) = (self.clock)();
        let memory = Thread::of(notice).and_then(|thread| lane.memory(&thread.key));
        let links = self.links(lane, notice, moment);
        let attempt = Attempt {
            notice,
            links: links.as_ref(),
            memory: memory.as_deref(),
            unix: moment.unix_millis(ahead).div_euclid(1000),
        };
        let delivered = AssertUnwindSafe(lane.channel.deliver(attempt))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Failure::new("the notifier panicked")));
        // A receiver may say again what it was told.
        let Some(links) = links else { return delivered };
        delivered
            .map(|delivered| Delivered {
                said: links.redact(&delivered.said),
                ..delivered
            })
            .map_err(|failure| Failure {
                reason: links.redact(&failure.reason),
                ..failure
            })
    }

    /// Links to answer by, as long as there is time to.
    fn links(&self, lane: &Lane, notice: &Notice, now: Moment) -> Option<AnswerLinks> {
        let who = lane.answers_as.as_ref()?;
        let asked = notice.question.as_ref()?;
        let linker = self.linker.as_ref().filter(|_| now < asked.deadline)?;
        linker(notice, who)
    }

    /// Remembers what is to be remembered, then settles.
    async fn delivered(&self, lane: &Lane, notice: &Notice, delivered: Delivered) {
        tracing::debug!(
            notice = notice.id,
            notifier = lane.name,
            said = delivered.said,
            "delivered"
        );
        let mut settled = vec![(notice.id.clone(), Fate::Delivered)];
        let mut memory = None;
        if let Some(thread) = Thread::of(notice).filter(|_| lane.channel.is_threaded()) {
            if thread.ends {
                let late = lane.supersede(notice, &thread);
                settled.extend(late.into_iter().map(|id| (id, Fate::Superseded)));
                memory = lane.memory(&thread.key).map(|_| (thread.key, None));
            } else if let Memory::Is(text) = delivered.memory {
                memory = Some((thread.key, Some(text)));
            }
        }
        if let Some((key, text)) = &memory {
            lane.remember(key, notice.at, text.as_deref());
        }
        lane.delivered(notice);
        self.settle(
            lane,
            settled,
            memory.map(|(key, text)| (key, notice.at, text)),
        )
        .await;
    }

    /// Gives up or waits.
    async fn failed(&self, lane: &Lane, notice: &Notice, failure: Failure) {
        let age = (self.clock)().0.since(notice.at);
        let give_up = age >= self.pace.give_up;
        let asked = failure.retry_after;
        let failures = lane.failed(notice, &failure, give_up);
        let wait = self
            .pace
            .wait(failures, asked, jitter(&self.seeds, &lane.name, failures));
        if give_up {
            tracing::error!(
                notice = notice.id,
                notifier = lane.name,
                reason = failure.reason,
                "given up: it could not be delivered for {}",
                value::span(age)
            );
            let given_up = vec![(notice.id.clone(), Fate::GivenUp)];
            self.settle(lane, given_up, None).await;
        } else if failures == 1 {
            tracing::warn!(
                notice = notice.id,
                notifier = lane.name,
                reason = failure.reason,
                "not delivered, tried again in {}",
                value::span(wait)
            );
        } else {
            tracing::debug!(
                notice = notice.id,
                notifier = lane.name,
                reason = failure.reason,
                failures,
                "still not delivered, tried again in {}",
                value::span(wait)
            );
        }
        self.meanwhile(lane, sleep(wait)).await;
    }

    /// Writes down what became of notices and what is remembered, away from the
    /// tasks that deliver: the disk may be slow.
    async fn settle(
        &self,
        lane: &Lane,
        notices: Vec<(String, Fate)>,
        memory: Option<(String, Moment, Option<String>)>,
    ) {
        let ledger = Arc::clone(&self.ledger);
        let name = lane.name.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut ledger = lock(&ledger);
            if let Some((key, at, memory)) = memory
                && let Err(error) = ledger.remember(&name, &key, at, memory.as_deref())
            {
                tracing::warn!(
                    notifier = name,
                    thread = key,
                    %error,
                    "the outbox cannot be written: after a restart this matter may be told as a new one"
                );
            }
            for (id, fate) in notices {
                settle(&mut ledger, &id, &name, fate);
            }
        });
        if written.await.is_err() {
            tracing::error!(notifier = lane.name, "the outbox's file could not be kept");
        }
        self.settled.notify_waiters();
    }
}

fn settle(ledger: &mut Ledger, id: &str, to: &str, fate: Fate) {
    if let Err(error) = ledger.settle(id, to, fate) {
        tracing::warn!(
            notice = id,
            notifier = to,
            %error,
            "the outbox cannot be written: after a restart this notice may be told once more"
        );
    }
}

#[cfg(test)]
mod tests;
