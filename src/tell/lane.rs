//! One notifier's queue: in order, bounded, with its own counts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

use super::channel::{Channel, Failure};
use crate::guard::{Notice, NoticeKind};

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

/// One notifier's queue.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) channel: Box<dyn Channel>,
    queue: Mutex<Queue>,
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
    pub(super) fn new(name: String, channel: Box<dyn Channel>) -> Self {
        Self {
            name,
            channel,
            queue: Mutex::default(),
            arrived: Notify::new(),
        }
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
