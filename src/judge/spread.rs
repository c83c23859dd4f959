//! How events spread over values: how many are at or below each of some rising
//! bounds. Of a histogram these are its buckets' bounds, of latencies kept one by
//! one the latencies themselves.
//!
//! Where a quantile is for certain follows from counts alone, whatever the shape
//! between the bounds: it is above a bound when the events above it are proven to
//! be more than a share of 1 − q, and at most a bound when those at or below it
//! are proven to be more than q. For single latencies these are the classical
//! bounds by order statistics (David and Nagaraja, *Order Statistics*, 3rd
//! edition, section 7.1), one rank wider, because a bound is proven strictly
//! above its share. A quantile is never interpolated here: what lies inside a
//! bucket is at most its upper bound, and above its lower one.

use serde::{Deserialize, Serialize};

use super::statistics::is_above;

/// Most steps of a spread that is kept for a baseline: of an hour of latencies
/// every hundredth part behind the quantile, and more than histograms have.
const MOST: usize = 100;

/// Bounds and the events at or below each, both rising.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) steps: Vec<(f64, f64)>,
    pub(super) events: f64,
}

impl Spread {
    /// Events above a value, as far as the bounds tell: those that may be below
    /// it do count.
    pub(super) fn above(&self, value: f64) -> f64 {
        let below = self.steps.partition_point(|&(bound, _)| bound <= value);
        let at_or_below = below.checked_sub(1).map_or(0.0, |i| self.steps[i].1);
        (self.events - at_or_below).max(0.0)
    }

    /// The least bound that is not below a limit; the highest, if all are. What
    /// is above it is above the limit, but for that last case.
    pub(super) fn cut(&self, limit: f64) -> Option<f64> {
        let i = self.steps.partition_point(|&(bound, _)| bound < limit);
        self.steps.get(i).or(self.steps.last()).map(|step| step.0)
    }

    /// The least bound that the quantile is at or below, with this confidence.
    /// `None` where the counts do not say.
    pub(super) fn at_most(&self, q: f64, confidence: f64) -> Option<f64> {
        let proven = |count: f64| is_above(count, self.events, confidence, q);
        let i = self.steps.partition_point(|step| !proven(step.1));
        self.steps.get(i).map(|step| step.0)
    }

    /// The highest bound that the quantile is above, with this confidence.
    /// `None` where the counts do not say.
    pub(super) fn is_above(&self, q: f64, confidence: f64) -> Option<f64> {
        let proven = |count: f64| is_above(self.events - count, self.events, confidence, 1.0 - q);
        let i = self.steps.partition_point(|step| proven(step.1));
        i.checked_sub(1).map(|i| self.steps[i].0)
    }

    /// What says how far up a quantile may be: the bounds from it upward, at most
    /// [`MOST`] of them. Those left out make it no lower.
    pub(super) fn upward(mut self, q: f64) -> Self {
        let rank = q * self.events;
        self.steps.retain(|step| step.1 >= rank);
        let every = self.steps.len().div_ceil(MOST).max(1);
        let last = self.steps.len().saturating_sub(1);
        let mut i = 0;
        self.steps.retain(|_| {
            let keep = i % every == every - 1 || i == last;
            i += 1;
            keep
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So many events at each of 1, 2, 3, …
    fn spread(counts: &[u32]) -> Spread {
        let mut events = 0.0;
        let steps = counts
            .iter()
            .enumerate()
            .map(|(i, n)| {
                events += f64::from(*n);
                (i as f64 + 1.0, events)
            })
            .collect();
        Spread { steps, events }
    }

    #[test]
    fn bounds_of_a_median_are_those_of_the_sign_test() {
        // 20 single samples, 95% on each side: P(Bin(20, 1/2) >= 15) = 0.0207 and
        // of 14 it is 0.0577 (tables of the sign test: critical value 5 of 20).
        let one_each = spread(&[1; 20]);
        assert_eq!(one_each.at_most(0.5, 0.95), Some(15.0));
        assert_eq!(one_each.is_above(0.5, 0.95), Some(5.0));
        assert_eq!(one_each.at_most(0.5, 0.99), Some(16.0));
    }

    #[test]
    fn too_few_events_bound_no_quantile() {
        // 0.95^58 = 0.0510 and 0.95^59 = 0.0485: Wilks' (1941) 59 samples.
        assert_eq!(spread(&[1; 58]).at_most(0.95, 0.95), None);
        assert_eq!(spread(&[1; 59]).at_most(0.95, 0.95), Some(59.0));
        assert_eq!(Spread::default().at_most(0.5, 0.95), None);
        assert_eq!(Spread::default().is_above(0.5, 0.95), None);
        assert_eq!(Spread::default().cut(1.0), None);
    }

    #[test]
    fn what_is_beyond_the_last_bound_is_at_most_nothing() {
        let mut beyond = spread(&[900, 20]);
        beyond.events = 1000.0;
        assert_eq!(beyond.at_most(0.95, 0.95), None);
        assert_eq!(beyond.is_above(0.9, 0.95), None);
        assert_eq!(beyond.is_above(0.93, 0.95), Some(1.0));
        assert_eq!(beyond.is_above(0.95, 0.95), Some(2.0));
        assert_eq!((beyond.cut(1.5), beyond.cut(9.0)), (Some(2.0), Some(2.0)));
        assert_eq!((beyond.above(0.5), beyond.above(1.9)), (1000.0, 100.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_quantile_lies_between_its_bounds_and_the_kept_part_says_no_less(
            counts in prop::collection::vec(0_u32..40, 1..400),
            q in 0.05_f64..0.99,
            confidence in 0.6_f64..0.999,
        ) {
            let whole = spread(&counts);
            prop_assume!(whole.events > 0.0);
            let rank = q * whole.events;
            let quantile = whole.steps.iter().find(|s| s.1 >= rank).unwrap().0;
            let most = whole.at_most(q, confidence);
            let above = whole.is_above(q, confidence);
            prop_assert!(most.is_none_or(|most| most >= quantile));
            prop_assert!(above.is_none_or(|above| above < quantile));
            // More confidence never brings them nearer.
            let surer = f64::midpoint(confidence, 1.0);
            prop_assert!(whole.at_most(q, surer).unwrap_or(f64::MAX) >= most.unwrap_or(f64::MAX));
            prop_assert!(whole.is_above(q, surer) <= above);
            let kept = whole.clone().upward(q);
            prop_assert!(kept.steps.len() <= MOST + 1);
            prop_assert!(kept.at_most(q, confidence).unwrap_or(f64::MAX) >= most.unwrap_or(f64::MAX));
            prop_assert_eq!(kept.at_most(q, confidence).is_some(), most.is_some());
        }
    }
}
