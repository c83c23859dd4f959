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
//!
//! The entries themselves are kept in bytes (see `packed`). Only the oldest few
//! are there with their sums; of the rest of the older part there is one sum
//! for each [`BLOCK`], from which those of the next few are made when it is
//! their turn.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::packed::{Pack, Packed, Unpacking};
use crate::model::{Moment, millis};

/// Entries whose sums are made together.
const BLOCK: usize = 16;

/// Something that can be summed up: associative, with a default that changes
/// nothing.
pub(super) trait Summary: Clone + Default + Pack {
    /// Adds `other` to this.
    fn add(&mut self, other: &Self);
}

/// Entries in the order of time, with their sum.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
#[serde(bound = "T: Summary")]
pub(super) struct Window<T: Summary> {
    /// All entries: the time since the one before, and what it adds.
    packed: Packed,
    entries: usize,
    /// How many entries, from the front, are the older part.
    older: usize,
    /// The time of the entry before the first, and of the last.
    before: Moment,
    last: Moment,
    /// The oldest entries, the very oldest last. Empty if there is no older
    /// part.
    front: Vec<Front<T>>,
    /// The sums from the end of each block to the end of the older part, but
    /// where that is nothing; the block that comes next last. Blocks end where
    /// the older part does.
    beyond: Vec<T>,
    /// The sum of the newer part.
    newer: T,
}

/// One of the oldest entries.
#[derive(Clone, Debug, Default)]
struct Front<T> {
    at: Moment,
    /// Its bytes.
    len: usize,
    /// The sum from here to the end of the older part.
    onward: T,
}

/// What is written of a window.
#[derive(Serialize, Deserialize)]
struct Stored {
    entries: usize,
    older: usize,
    before: Moment,
    packed: Packed,
}

impl<T: Summary> Default for Window<T> {
    fn default() -> Self {
        Self {
            packed: Packed::default(),
            entries: 0,
            older: 0,
            before: Moment::ZERO,
            last: Moment::ZERO,
            front: Vec::new(),
            beyond: Vec::new(),
            newer: T::default(),
        }
    }
}

/// The same entries, split at the same place.
impl<T: Summary + PartialEq> PartialEq for Window<T> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries && self.older == other.older && self.iter().eq(other.iter())
    }
}

impl<T: Summary> Window<T> {
    /// Adds an entry, later than all before.
    #[expect(clippy::needless_pass_by_value, reason = "it moves into the window")]
    pub(super) fn push(&mut self, at: Moment, own: T) {
        self.newer.add(&own);
        self.append(at, &own);
    }

    /// Drops the entries up to `left` ([`left_by`]).
    #[expect(clippy::inline_always, reason = "mostly there is nothing")]
    #[inline(always)]
    pub(super) fn evict(&mut self, left: Moment) {
        if self.first().is_some_and(|at| at <= left) {
            self.let_go(left);
        }
    }

    fn let_go(&mut self, left: Moment) {
        while self.first().is_some_and(|at| at <= left) {
            if self.older == 0 {
                self.turn_over(self.entries);
                self.newer = T::default();
            }
            self.pop();
        }
    }

    /// The sum of all entries.
    pub(super) fn sum(&self) -> T {
        let Some(oldest) = self.front.last() else {
            return self.newer.clone();
        };
        let mut sum = oldest.onward.clone();
        sum.add(&self.newer);
        sum
    }

    /// The time of the oldest entry.
    #[expect(clippy::inline_always, reason = "once or twice for each entry")]
    #[inline(always)]
    fn first(&self) -> Option<Moment> {
        if let Some(oldest) = self.front.last() {
            return Some(oldest.at);
        }
        let since = || self.packed.read().whole();
        (self.entries > 0).then(|| later(self.before, since()))
    }

    fn iter(&self) -> impl Iterator<Item = (Moment, T)> {
        let (mut reading, mut at) = (self.packed.read(), self.before);
        (0..self.entries).map(move |_| {
            at = later(at, reading.whole());
            (at, T::unpack(&mut reading))
        })
    }

    fn append(&mut self, at: Moment, own: &T) {
        let since = at.as_millis().saturating_sub(self.last.as_millis());
        self.packed.whole(since);
        own.pack(&mut self.packed);
        self.entries += 1;
        self.last = at;
    }

    /// Drops the oldest entry, which is of the older part.
    fn pop(&mut self) {
        let Some(oldest) = self.front.pop() else {
            return;
        };
        self.packed.drop_front(oldest.len);
        self.before = oldest.at;
        self.entries -= 1;
        self.older -= 1;
        if self.front.is_empty() {
            self.bring_forward();
        }
    }

    /// Makes the first `older` entries the older part.
    fn turn_over(&mut self, older: usize) {
        self.older = older;
        self.beyond.clear();
        self.front.clear();
        let mut own = Vec::with_capacity(older);
        let mut reading = self.packed.read();
        for _ in 0..older {
            reading.whole();
            own.push(T::unpack(&mut reading));
        }
        let mut onward = T::default();
        // The first entry begins what is in front, whatever block it is in.
        for (i, mut own) in own.into_iter().enumerate().skip(1).rev() {
            own.add(&onward);
            onward = own;
            if (older - i).is_multiple_of(BLOCK) {
                self.beyond.push(onward.clone());
            }
        }
        self.bring_forward();
    }

    /// Makes the sums of the oldest block.
    fn bring_forward(&mut self) {
        if self.older == 0 {
            return;
        }
        let block = (self.older - 1) % BLOCK + 1;
        let (mut reading, mut at) = (self.packed.read(), self.before);
        self.front.reserve_exact(block);
        self.front.resize_with(block, Front::default);
        for entry in self.front.iter_mut().rev() {
            let left = reading.left();
            at = later(at, reading.whole());
            let onward = T::unpack(&mut reading);
            let len = left - reading.left();
            *entry = Front { at, len, onward };
        }
        let mut onward = self.beyond.pop().unwrap_or_default();
        for entry in &mut self.front {
            entry.onward.add(&onward);
            onward.clone_from(&entry.onward);
        }
    }
}

impl<T: Summary> TryFrom<Stored> for Window<T> {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let Stored {
            entries,
            older,
            before,
            packed,
        } = stored;
        let mut newer = T::default();
        let mut last = before;
        let mut reading = packed.read();
        for i in 0..entries {
            if reading.left() == 0 {
                return Err("a window has fewer entries than it says");
            }
            last = later(last, reading.whole());
            let own = T::unpack(&mut reading);
            if i >= older {
                newer.add(&own);
            }
        }
        if reading.left() > 0 {
            return Err("a window has more entries than it says");
        }
        let mut window = Self {
            packed,
            entries,
            before,
            last,
            newer,
            ..Self::default()
        };
        window.turn_over(older.min(entries));
        Ok(window)
    }
}

impl<T: Summary> From<Window<T>> for Stored {
    fn from(window: Window<T>) -> Self {
        Self {
            entries: window.entries,
            older: window.older,
            before: window.before,
            packed: window.packed,
        }
    }
}

/// So many milliseconds later.
const fn later(at: Moment, ms: u64) -> Moment {
    Moment::from_millis(at.as_millis().saturating_add(ms))
}

/// The latest time that has left (now − span, now]; `None` while nothing has.
/// Asked once for a window, and compared with each entry: times are compared
/// faster than spans are added to them.
#[inline]
pub(super) fn left_by(now: Moment, span: Duration) -> Option<Moment> {
    let left = now.as_millis().checked_sub(millis(span))?;
    Some(Moment::from_millis(left))
}

/// `a + b`, kept finite: a state that holds an infinity cannot be written.
#[inline]
pub(super) fn plus(a: f64, b: f64) -> f64 {
    (a + b).clamp(f64::MIN, f64::MAX)
}

/// How much of a window its samples account for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cover {
    /// Milliseconds between samples that were counted.
    pub(super) ms: u64,
    /// The samples.
    pub(super) scrapes: u32,
}

impl Cover {
    /// Of one sample that accounts for this time.
    pub(super) fn of(time: Duration) -> Self {
        Self {
            ms: millis(time),
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

impl Pack for Cover {
    #[expect(clippy::inline_always, reason = "once or twice for each entry")]
    #[inline(always)]
    fn pack(&self, into: &mut Packed) {
        into.whole(self.ms);
        into.whole(self.scrapes.into());
    }

    #[expect(clippy::inline_always, reason = "once or twice for each entry")]
    #[inline(always)]
    fn unpack(from: &mut Unpacking<'_>) -> Self {
        Self {
            ms: from.whole(),
            scrapes: u32::try_from(from.whole()).unwrap_or(u32::MAX),
        }
    }
}

/// Events of one or several scrapes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// A ratio's `of`; 0 for other signals.
    pub(super) hits: f64,
    pub(super) events: f64,
    pub(super) cover: Cover,
}

impl Pack for Counts {
    #[expect(clippy::inline_always, reason = "once or twice for each entry")]
    #[inline(always)]
    fn pack(&self, into: &mut Packed) {
        into.float(self.hits);
        into.float(self.events);
        self.cover.pack(into);
    }

    #[expect(clippy::inline_always, reason = "once or twice for each entry")]
    #[inline(always)]
    fn unpack(from: &mut Unpacking<'_>) -> Self {
        Self {
            hits: from.float(),
            events: from.float(),
            cover: Cover::unpack(from),
        }
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
                if let Some(left) = left_by(now, span) {
                    window.evict(left);
                }
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
            if let Some(left) = left_by(at(s), span) {
                window.evict(left);
            }
            window.push(at(s), events(1.0));
        }
        assert_eq!(window.sum().events, 4.0 + 9.0);
    }
}
