//! Stretches of time in which something was not there, and why; the longest of
//! them, because a source that flaps for a month has a hundred thousand.

use serde::Serialize;

use crate::model::Moment;
use crate::view::value;

/// Stretches that are kept: whoever needs all of them exports `up`.
const KEPT: usize = 20;

/// A stretch of time without something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// The last time that it was there before, or the first that it was not;
    /// RFC 3339 UTC.
    pub from: String,
    /// The last time that it was not there.
    pub to: String,
    /// How long, in seconds.
    pub seconds: u64,
    /// Samples that failed in it; none where nothing was tried.
    pub samples: u64,
    /// Why.
    pub reason: String,
}

/// One that is still being followed.
#[derive(Clone, Debug)]
struct Open {
    from: Moment,
    to: Moment,
    samples: u64,
    reason: String,
}

/// The longest stretches, and how many there were.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretches {
    longest: Vec<Open>,
    open: Option<Open>,
    all: u64,
}

impl Stretches {
    /// It is not there, for this reason; goes on with the stretch before if
    /// nothing came between.
    pub(super) fn fails(&mut self, at: Moment, reason: &str) {
        if let Some(open) = self.open.as_mut().filter(|open| open.reason == reason) {
            open.to = at;
            open.samples += 1;
            return;
        }
        self.works();
        self.open = Some(Open {
            from: at,
            to: at,
            samples: 1,
            reason: reason.to_owned(),
        });
    }

    /// It is there.
    pub(super) fn works(&mut self) {
        if let Some(open) = self.open.take() {
            self.keep(open);
        }
    }

    /// It was not there between two times.
    pub(super) fn between(&mut self, from: Moment, to: Moment, reason: &str) {
        self.keep(Open {
            from,
            to,
            samples: 0,
            reason: reason.to_owned(),
        });
    }

    fn keep(&mut self, open: Open) {
        self.all += 1;
        let length = |s: &Open| (s.to.since(s.from), s.samples);
        let shorter = |s: &Open| length(s) < length(&open);
        let place = self.longest.iter().position(shorter);
        self.longest
            .insert(place.unwrap_or(self.longest.len()), open);
        self.longest.truncate(KEPT);
    }

    /// How many there were, and the longest in the order of time.
    pub(super) fn told(mut self) -> (u64, Vec<Stretch>) {
        self.works();
        self.longest.sort_by_key(|stretch| stretch.from);
        let told = self.longest.into_iter().map(|open| Stretch {
            from: value::time(open.from, 0),
            to: value::time(open.to, 0),
            seconds: open.to.since(open.from).as_secs(),
            samples: open.samples,
            reason: open.reason,
        });
        (self.all, told.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Moment {
        Moment::from_millis(s * 1000)
    }

    #[test]
    fn failures_of_one_reason_are_one_stretch_until_it_works() {
        let mut stretches = Stretches::default();
        for s in [5, 10, 15] {
            stretches.fails(at(s), "refused");
        }
        stretches.fails(at(20), "timed out");
        stretches.works();
        stretches.fails(at(30), "timed out");
        let (all, told) = stretches.told();
        assert_eq!(all, 3);
        let told: Vec<_> = told
            .iter()
            .map(|s| (s.seconds, s.samples, s.reason.as_str()))
            .collect();
        assert_eq!(
            told,
            [(10, 3, "refused"), (0, 1, "timed out"), (0, 1, "timed out")]
        );
    }

    #[test]
    fn the_longest_are_kept_in_the_order_of_time() {
        let mut stretches = Stretches::default();
        for n in 0..1000_u64 {
            let length = n * 7919 % 1000;
            stretches.between(at(n * 2000), at(n * 2000 + length), "away");
        }
        let (all, told) = stretches.told();
        assert_eq!((all, told.len()), (1000, KEPT));
        assert!(told.iter().all(|s| s.seconds >= 980));
        assert!(told.is_sorted_by_key(|s| s.from.clone()));
    }
}
