//! One notifier's queue: in order, bounded, with its own counts, its rate, and
//! what it remembers of the matters that are open at its receiver.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::channel::{Channel, Failure};
use super::ledger::Remembered;
use super::thread::Thread;
use super::throttle::Throttle;
use crate::guard::{Notice, NoticeKind};
use crate::model::{Moment, Rate};

/// After so many failures a notice makes way for the next.
const PATIENCE: u32 = 5;

/// The numbers of one notifier, since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Notices that wait, the one under way included.
    pub queued: usize,
    /// Notices delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Notices given up after failing for a day.
    pub given_up: u64,
    /// Notices dropped because the lane was full.
    pub dropped: u64,
    /// Failures in a row, now.
    pub failing: u32,
    /// Why the last attempt failed; cleared by a delivery. No secrets.
    pub last_failure: Option<String>,
}

/// Where notices go and how.
pub(super) struct Route {
    pub(super) channel: Box<dyn Channel>,
    pub(super) rate: Option<Rate>,
    /// The kinds of notice that it takes; empty is all of them.
    pub(super) only: Vec<String>,
    /// Whom its answers come from.
    pub(super) answers_as: Option<String>,
}

/// One notifier's queue.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) channel: Box<dyn Channel>,
    /// The kinds of notice that it takes; empty is all of them.
    only: Vec<String>,
    /// Whom its answers come from.
    pub(super) answers_as: Option<String>,
    queue: Mutex<Queue>,
    throttle: Mutex<Throttle>,
    threads: Mutex<BTreeMap<String, Remembered>>,
    /// When what is open is told again next.
    refresh_at: Mutex<Option<Instant>>,
    /// Told when a notice was added.
    pub(super) arrived: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Entry>,
    /// The id of the notice being delivered; it is never dropped meanwhile.
    under_way: Option<String>,
    counts: Counts,
}

struct Entry {
    notice: Arc<Notice>,
    failures: u32,
}

impl Lane {
    pub(super) fn new(name: String, route: Route, threads: BTreeMap<String, Remembered>) -> Self {
        Self {
            name,
            channel: route.channel,
            only: route.only,
            answers_as: route.answers_as,
            queue: Mutex::default(),
            throttle: Mutex::new(Throttle::new(route.rate)),
            threads: Mutex::new(threads),
            refresh_at: Mutex::new(None),
            arrived: Notify::new(),
        }
    }

    /// Whether it takes notices of this kind.
    pub(super) fn takes(&self, kind: NoticeKind) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == kind.name())
    }

    /// How long its rate makes the next attempt wait.
    pub(super) fn held_back(&self) -> Duration {
        lock(&self.throttle).wait(Instant::now())
    }

    /// What its channel has remembered of a thread.
    pub(super) fn memory(&self, key: &str) -> Option<String> {
        lock(&self.threads)
            .get(key)
            .map(|(_, memory)| memory.clone())
    }

    /// Remembers, or forgets.
    pub(super) fn remember(&self, key: &str, at: Moment, memory: Option<&str>) {
        let mut threads = lock(&self.threads);
        match memory {
            Some(memory) => threads.insert(key.to_owned(), (at, memory.to_owned())),
            None => threads.remove(key),
        };
    }

    /// Waits until what is open has to be told again; for ever where nothing
    /// has to be.
    pub(super) async fn refresh_due(&self) {
        let Some(every) = self.channel.keep_alive() else {
            return std::future::pending().await;
        };
        let next = *lock(&self.refresh_at).get_or_insert_with(|| Instant::now() + every);
        tokio::time::sleep_until(next).await;
        *lock(&self.refresh_at) = Some(Instant::now() + every);
    }

    /// What is open: told of within `longest` before `now`.
    pub(super) fn open(&self, now: Moment, longest: Duration) -> Vec<String> {
        let mut threads = lock(&self.threads);
        threads.retain(|_, (at, _)| now.since(*at) < longest);
        threads.values().map(|(_, memory)| memory.clone()).collect()
    }

    /// Telling again failed: it counts, and the next time may fare better.
    pub(super) fn not_refreshed(&self, failure: &Failure) {
        let mut queue = lock(&self.queue);
        queue.counts.failed += 1;
        queue.counts.last_failure = Some(failure.reason.clone());
    }

    /// Its numbers, now.
    pub(super) fn counts(&self) -> Counts {
        let queue = lock(&self.queue);
        Counts {
            queued: queue.waiting.len(),
            ..queue.counts.clone()
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.queue).waiting.is_empty()
    }

    /// Adds a notice; returns the ids of those that had to go.
    pub(super) fn push(&self, notice: &Arc<Notice>, capacity: usize) -> Vec<String> {
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(Entry {
            notice: Arc::clone(notice),
            failures: 0,
        });
        let mut dropped = Vec::new();
        while queue.waiting.len() > capacity.max(1) {
            let Some(victim) = queue.victim() else { break };
            if let Some(entry) = queue.waiting.remove(victim) {
                queue.counts.dropped += 1;
                dropped.push(entry.notice.id.clone());
            }
        }
        dropped
    }

    /// The next notice to deliver, which is then under way.
    pub(super) fn next(&self) -> Option<Arc<Notice>> {
        let mut queue = lock(&self.queue);
        let notice = Arc::clone(&queue.waiting.front()?.notice);
        queue.under_way = Some(notice.id.clone());
        lock(&self.throttle).count(Instant::now());
        Some(notice)
    }

    pub(super) fn delivered(&self, notice: &Notice) {
        let mut queue = lock(&self.queue);
        queue.take(notice);
        queue.counts.delivered += 1;
        queue.counts.last_failure = None;
        if std::mem::take(&mut queue.counts.failing) > 0 {
            tracing::info!(notifier = self.name, "notices are delivered again");
        }
    }

    /// Takes out what was made before a matter's last notice and still waits:
    /// it would open again what is closed. Returns the ids.
    pub(super) fn supersede(&self, last: &Notice, thread: &Thread) -> Vec<String> {
        let mut queue = lock(&self.queue);
        let mut superseded = Vec::new();
        queue.waiting.retain(|entry| {
            let late = entry.notice.id != last.id
                && entry.notice.at <= last.at
                && Thread::of(&entry.notice).is_some_and(|t| t.key == thread.key);
            if late {
                superseded.push(entry.notice.id.clone());
            }
            !late
        });
        superseded
    }

    /// Counts a failure and puts the notice back, unless it is given up.
    /// Returns the failures in a row.
    pub(super) fn failed(&self, notice: &Notice, failure: &Failure, give_up: bool) -> u32 {
        let mut queue = lock(&self.queue);
        queue.counts.failed += 1;
        queue.counts.failing = queue.counts.failing.saturating_add(1);
        queue.counts.last_failure = Some(failure.reason.clone());
        let entry = queue.take(notice);
        if give_up {
            queue.counts.given_up += 1;
        } else if let Some(mut entry) = entry {
            entry.failures = entry.failures.saturating_add(1);
            if failure.refused || entry.failures >= PATIENCE {
                queue.waiting.push_back(entry);
            } else {
                queue.waiting.push_front(entry);
            }
        }
        queue.counts.failing
    }
}

impl Queue {
    /// Takes the notice that is under way out of the queue.
    fn take(&mut self, notice: &Notice) -> Option<Entry> {
        self.under_way = None;
        let place = self.waiting.iter().position(|e| e.notice.id == notice.id)?;
        self.waiting.remove(place)
    }

    /// Which one goes when there is no room: the oldest regular update, else
    /// the oldest; never the one under way.
    fn victim(&self) -> Option<usize> {
        let free = |e: &Entry| self.under_way.as_deref() != Some(e.notice.id.as_str());
        let update = |e: &Entry| free(e) && e.notice.kind == NoticeKind::Update;
        self.waiting
            .iter()
            .position(update)
            .or_else(|| self.waiting.iter().position(free))
    }
}

/// A panic elsewhere leaves these values whole: they are changed in one go.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
