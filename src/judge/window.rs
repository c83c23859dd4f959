//! A sliding sum over the samples of (t − w, t].
//!
//! A sum that adds what enters and subtracts what leaves keeps every rounding
//! error for ever: one absurd value on a page, 1e300, swallows the small ones
//! and leaves nothing behind when it goes. So this is a queue of two stacks.
//! The older entries each carry the sum from themselves to the end of the older
//! part, the newer ones share one running sum; when the older part is used up
//! the newer becomes the older. Nothing is ever subtracted, an entry is added
//! up twice in its life, and a read is one addition.
//!
//! Whole counts below 2^53 are exact. The split is part of the written state,
//! so that after a restore the sums are made in the same order and agree to the
//! last bit.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Moment;

/// Something that can be summed up: associative, with a default that changes
/// nothing.
pub(super) trait Summary: Clone + Default {
    /// Adds `other` to this.
    fn add(&mut self, other: &Self);
}

/// Entries in the order of time, with their sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored<T>", into = "Stored<T>")]
#[serde(bound(
    serialize = "T: Summary + Serialize",
    deserialize = "T: Summary + Deserialize<'de>"
))]
pub(super) struct Window<T: Summary> {
    entries: VecDeque<Entry<T>>,
    /// How many entries, from the front, are the older part.
    older: usize,
    /// The sum of the newer part.
    newer: T,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry<T> {
    at: Moment,
    own: T,
    /// In the older part: the sum from here to its end.
    onward: T,
}

/// What is written of a window.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    entries: Vec<(Moment, T)>,
    older: usize,
}

impl<T: Summary> Default for Window<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            older: 0,
            newer: T::default(),
        }
    }
}

impl<T: Summary> Window<T> {
    /// Adds an entry, later than all before.
    pub(super) fn push(&mut self, at: Moment, own: T) {
        self.newer.add(&own);
        self.entries.push_back(Entry {
            at,
            own,
            onward: T::default(),
        });
    }

    /// Drops what is no longer in (now − span, now].
    pub(super) fn evict(&mut self, now: Moment, span: Duration) {
        let left = left_by(now, span);
        while self.entries.front().is_some_and(|e| Some(e.at) <= left) {
            if self.older == 0 {
                self.turn_over(self.entries.len());
                self.newer = T::default();
            }
            self.entries.pop_front();
            self.older -= 1;
        }
    }

    /// The sum of all entries.
    pub(super) fn sum(&self) -> T {
        if self.older == 0 {
            return self.newer.clone();
        }
        let mut sum = self.entries[0].onward.clone();
        sum.add(&self.newer);
        sum
    }

    /// Makes the first `older` entries the older part.
    fn turn_over(&mut self, older: usize) {
        let mut onward = T::default();
        for entry in self.entries.iter_mut().take(older).rev() {
            let mut sum = entry.own.clone();
            sum.add(&onward);
            entry.onward = sum;
            onward.clone_from(&entry.onward);
        }
        self.older = older;
    }
}

impl<T: Summary> From<Stored<T>> for Window<T> {
    fn from(stored: Stored<T>) -> Self {
        let mut window = Self::default();
        let older = stored.older.min(stored.entries.len());
        for (i, (at, own)) in stored.entries.into_iter().enumerate() {
            if i < older {
                window.entries.push_back(Entry {
                    at,
                    own,
                    onward: T::default(),
                });
            } else {
                window.push(at, own);
            }
        }
        window.turn_over(older);
        window
    }
}

impl<T: Summary> From<Window<T>> for Stored<T> {
    fn from(window: Window<T>) -> Self {
        Self {
            older: window.older,
            entries: window.entries.into_iter().map(|e| (e.at, e.own)).collect(),
        }
    }
}

/// The latest time that has left (now − span, now]; `None` while nothing has.
/// Asked once for a window, and compared with each entry: times are compared
/// faster than spans are added to them.
#[inline]
pub(super) fn left_by(now: Moment, span: Duration) -> Option<Moment> {
    let span = u64::try_from(span.as_millis()).ok()?;
    let left = now.as_millis().checked_sub(span)?;
    Some(Moment::from_millis(left))
}

/// `a + b`, kept finite: a state that holds an infinity cannot be written.
pub(super) fn plus(a: f64, b: f64) -> f64 {
    (a + b).clamp(f64::MIN, f64::MAX)
}

/// How much of a window its samples account for. Written as a pair, like all
/// that windows hold in numbers: a snapshot has thousands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, u32)", into = "(u64, u32)")]
pub(super) struct Cover {
    /// Milliseconds between samples that were counted.
    pub(super) ms: u64,
    /// The samples.
    pub(super) scrapes: u32,
}

impl From<(u64, u32)> for Cover {
    fn from((ms, scrapes): (u64, u32)) -> Self {
        Self { ms, scrapes }
    }
}

impl From<Cover> for (u64, u32) {
    fn from(cover: Cover) -> Self {
        (cover.ms, cover.scrapes)
    }
}

impl Cover {
    /// Of one sample that accounts for this time.
    pub(super) fn of(time: Duration) -> Self {
        Self {
            ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            scrapes: 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.ms = self.ms.saturating_add(other.ms);
        self.scrapes = self.scrapes.saturating_add(other.scrapes);
    }

    pub(super) const fn time(self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

/// Events of one or several scrapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, f64, Cover)", into = "(f64, f64, Cover)")]
pub(super) struct Counts {
    /// A ratio's `of`; 0 for other signals.
    pub(super) hits: f64,
    pub(super) events: f64,
    pub(super) cover: Cover,
}

impl From<(f64, f64, Cover)> for Counts {
    fn from((hits, events, cover): (f64, f64, Cover)) -> Self {
        Self {
            hits,
            events,
            cover,
        }
    }
}

impl From<Counts> for (f64, f64, Cover) {
    fn from(counts: Counts) -> Self {
        (counts.hits, counts.events, counts.cover)
    }
}

impl Summary for Counts {
    fn add(&mut self, other: &Self) {
        self.hits = plus(self.hits, other.hits);
        self.events = plus(self.events, other.events);
        self.cover.add(other.cover);
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "whole counts and closed forms are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(n: f64) -> Counts {
        Counts {
            events: n,
            ..Counts::default()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_window_equals_the_naive_sum_and_survives_writing_at_every_step(
            steps in prop::collection::vec((0_u64..40, 0_u32..1_000_000), 0..120),
            span in 1_u64..200,
            written in 0_usize..120,
        ) {
            let span = Duration::from_millis(span);
            let mut window = Window::default();
            let mut all = Vec::new();
            let mut now = Moment::ZERO;
            for (i, (ms, n)) in steps.into_iter().enumerate() {
                now = now + Duration::from_millis(ms);
                if ms > 0 {
                    window.push(now, events(f64::from(n)));
                    all.push((now, f64::from(n)));
                }
                window.evict(now, span);
                let naive: f64 = all.iter().filter(|(at, _)| *at + span > now).map(|x| x.1).sum();
                prop_assert_eq!(window.sum().events, naive);
                if i == written {
                    let text = serde_json::to_string(&window).unwrap();
                    let read: Window<Counts> = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(&read, &window);
                    window = read;
                }
            }
        }
    }

    #[test]
    fn an_absurd_value_leaves_with_its_scrape() {
        let mut window = Window::default();
        let span = Duration::from_secs(10);
        let at = |s: u64| Moment::from_millis(s * 1000);
        for (s, n) in [(1, 3.0), (2, 1e300), (3, f64::MAX), (4, f64::MAX), (5, 4.0)] {
            window.push(at(s), events(n));
            assert!(window.sum().events.is_finite());
        }
        for s in 6..=14 {
            window.evict(at(s), span);
            window.push(at(s), events(1.0));
        }
        assert_eq!(window.sum().events, 4.0 + 9.0);
    }
}
