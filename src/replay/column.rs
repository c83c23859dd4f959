//! One recorded series: its times and values, in as few bytes as is easy.
//!
//! A month of five-second samples of twenty series is ten million of them, and
//! a replay must not need their weight in memory twice. The samples of a series
//! are evenly apart, more or less, so a time is written as how much its
//! distance from the one before differs from the distance before: one byte,
//! nearly always. Values stay eight bytes, because nothing is lost that way and
//! they are read once.

use crate::journal::varint::{Bytes, put, unzigzag, zigzag};
use crate::model::Moment;

/// The samples of one series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    times: Vec<u8>,
    values: Vec<f64>,
    last: Clock,
    /// A time was not later than the one before it.
    disordered: bool,
}

/// Samples of a time that had one already, and were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Doubles {
    /// Of the same value.
    pub(super) alike: u64,
    /// Of another value.
    pub(super) unlike: u64,
}

/// Where a column's times are, written or read.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    ms: u64,
    step: i64,
}

impl Column {
    pub(crate) fn push(&mut self, at: Moment, value: f64) {
        let ms = at.as_millis();
        // Wrapping: times a whole age apart must come back as they went in.
        let step = ms.wrapping_sub(self.last.ms).cast_signed();
        put(&mut self.times, zigzag(step.wrapping_sub(self.last.step)));
        self.disordered |= ms <= self.last.ms && !self.values.is_empty();
        self.values.push(value);
        self.last = Clock { ms, step };
    }

    /// Puts the samples into the order of their times; those of one time stay
    /// as they came.
    pub(crate) fn sort(&mut self) {
        if self.disordered {
            let samples = self.sorted();
            self.refill(samples);
        }
    }

    /// All is told: puts the samples into the order of their times, keeps the
    /// first of those at one time, and gives back what memory is not needed.
    pub(super) fn settle(&mut self) -> Doubles {
        let mut doubles = Doubles::default();
        if self.disordered {
            let mut samples = self.sorted();
            samples.dedup_by(|later, first| {
                let again = later.0 == first.0;
                let alike = later.1.to_bits() == first.1.to_bits();
                doubles.alike += u64::from(again && alike);
                doubles.unlike += u64::from(again && !alike);
                again
            });
            self.refill(samples);
        }
        self.times.shrink_to_fit();
        self.values.shrink_to_fit();
        doubles
    }

    fn sorted(&self) -> Vec<(Moment, f64)> {
        let mut samples: Vec<_> = self.play().collect();
        samples.sort_by_key(|&(at, _)| at);
        samples
    }

    fn refill(&mut self, samples: Vec<(Moment, f64)>) {
        *self = Self::default();
        for (at, value) in samples {
            self.push(at, value);
        }
    }

    /// How many samples it has.
    pub(super) const fn len(&self) -> usize {
        self.values.len()
    }

    /// The last time; `None` without samples.
    pub(crate) fn last(&self) -> Option<Moment> {
        (!self.values.is_empty()).then_some(Moment::from_millis(self.last.ms))
    }

    /// The samples from the first on.
    pub(crate) fn play(&self) -> Play<'_> {
        let mut play = Play {
            times: Bytes(&self.times),
            values: self.values.iter(),
            clock: Clock::default(),
            ahead: None,
        };
        play.wind();
        play
    }
}

/// A column as it is read.
#[derive(Clone, Debug)]
pub(crate) struct Play<'a> {
    times: Bytes<'a>,
    values: std::slice::Iter<'a, f64>,
    clock: Clock,
    ahead: Option<(Moment, f64)>,
}

impl Play<'_> {
    /// When the next sample is; `None` after the last.
    #[inline]
    pub(crate) fn at(&self) -> Option<Moment> {
        self.ahead.map(|(at, _)| at)
    }

    /// The next sample if it is at this time; those before it are passed over.
    #[inline]
    pub(crate) fn next_at(&mut self, at: Moment) -> Option<f64> {
        while let Some((when, value)) = self.ahead.filter(|(when, _)| *when <= at) {
            self.wind();
            if when == at {
                return Some(value);
            }
        }
        None
    }

    /// The last of the samples at this time; those before it are passed over.
    pub(crate) fn last_at(&mut self, at: Moment) -> Option<f64> {
        let mut last = None;
        while let Some(value) = self.next_at(at) {
            last = Some(value);
        }
        last
    }

    #[inline]
    fn wind(&mut self) {
        self.ahead = self
            .times
            .varint()
            .zip(self.values.next())
            .map(|(n, value)| {
                let Clock { ms, step } = &mut self.clock;
                *step = step.wrapping_add(unzigzag(n));
                *ms = ms.wrapping_add_signed(*step);
                (Moment::from_millis(*ms), *value)
            });
    }
}

impl Iterator for Play<'_> {
    type Item = (Moment, f64);

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.ahead;
        self.wind();
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn samples_come_back_in_the_order_of_their_times_each_time_once(
            samples in prop::collection::vec(
                (prop_oneof![any::<u64>(), 1_790_000_000_000..1_790_000_100_000_u64], any::<f64>()),
                0..50,
            ),
        ) {
            let mut column = Column::default();
            let mut naive: Vec<_> = samples
                .into_iter()
                .map(|(ms, value)| (Moment::from_millis(ms), value.to_bits()))
                .collect();
            for &(at, bits) in &naive {
                column.push(at, f64::from_bits(bits));
            }
            let given = naive.len();
            let doubles = column.settle();
            naive.sort_by_key(|&(at, _)| at);
            naive.dedup_by_key(|&mut (at, _)| at);
            prop_assert_eq!(
                doubles.alike + doubles.unlike,
                (given - naive.len()) as u64
            );
            prop_assert_eq!(column.last(), naive.last().map(|&(at, _)| at));
            let played: Vec<_> = column.play().map(|(at, value)| (at, value.to_bits())).collect();
            prop_assert_eq!(played, naive);
        }
    }

    #[test]
    fn a_regular_sample_takes_nine_bytes() {
        let mut column = Column::default();
        for i in 0..1000 {
            column.push(Moment::from_millis(1_790_000_000_000 + i * 5000), 1.0);
        }
        assert!(column.times.len() < 1020, "{} bytes", column.times.len());
    }

    #[test]
    fn of_several_samples_at_a_time_each_or_the_last_is_read() {
        let at = Moment::from_millis;
        let mut column = Column::default();
        for (ms, value) in [(1, 1.0), (2, 2.0), (2, 3.0), (4, 4.0)] {
            column.push(at(ms), value);
        }
        let mut play = column.play();
        assert_eq!(play.last_at(at(2)), Some(3.0));
        assert_eq!(play.next_at(at(3)), None);
        assert_eq!(play.at(), Some(at(4)));
        assert_eq!(play.next_at(at(5)), None);
        assert_eq!(play.at(), None);
    }
}
