//! Latencies of a probe or a connection, kept one by one.
//!
//! A probe makes a handful of samples a minute, so its quantile needs no
//! estimate: it is the nearest-rank one, the smallest latency that at least a
//! fraction `q` of the samples does not exceed. Every answer counts, also one
//! that was not the expected answer; an attempt without an answer has no
//! latency and only leaves time uncovered.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use super::window::Cover;
use crate::model::{Moment, millis};

/// The latencies of (t − w, t].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(super) struct Latencies {
    /// When, how long in nanoseconds, and the time it accounts for.
    entries: VecDeque<(Moment, u64, u64)>,
    /// The latencies, rising.
    sorted: Vec<u64>,
    covered_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored(VecDeque<(Moment, u64, u64)>);

impl From<Latencies> for Stored {
    fn from(latencies: Latencies) -> Self {
        Self(latencies.entries)
    }
}

impl From<Stored> for Latencies {
    fn from(Stored(entries): Stored) -> Self {
        let mut sorted: Vec<_> = entries.iter().map(|e| e.1).collect();
        sorted.sort_unstable();
        Self {
            covered_ms: entries.iter().fold(0, |sum, e| sum.saturating_add(e.2)),
            sorted,
            entries,
        }
    }
}

impl Latencies {
    pub(super) fn push(&mut self, at: Moment, latency: Duration, covers: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let ms = millis(covers);
        self.entries.push_back((at, nanos, ms));
        self.covered_ms = self.covered_ms.saturating_add(ms);
        let place = self.sorted.partition_point(|x| *x < nanos);
        self.sorted.insert(place, nanos);
    }

    /// Drops what is not later than `left` ([`left_by`](super::window::left_by)).
    pub(super) fn evict(&mut self, left: Moment) {
        while let Some(&(at, nanos, ms)) = self.entries.front()
            && at <= left
        {
            self.entries.pop_front();
            self.covered_ms -= ms.min(self.covered_ms);
            if let Ok(place) = self.sorted.binary_search(&nanos) {
                self.sorted.remove(place);
            }
        }
    }

    pub(super) fn cover(&self) -> Cover {
        Cover {
            ms: self.covered_ms,
            scrapes: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The nearest-rank quantile in seconds; `None` without samples.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        // Less a hair: 0.07 · 100 is a little more than 7 in doubles.
        let rank = (q * self.sorted.len() as f64 - 1e-9).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to the number of samples"
        )]
        let rank = rank.max(1.0) as usize;
        self.sorted
            .get(rank - 1)
            .or(self.sorted.last())
            .map(|nanos| seconds(*nanos))
    }

    /// How they spread: a step at each latency that there is, and one right below
    /// it. A quantile that is above the latter is at the former, or higher.
    pub(super) fn spread(&self) -> Spread {
        let mut steps: Vec<(f64, f64)> = Vec::new();
        let mut before = None;
        for (i, &nanos) in self.sorted.iter().enumerate() {
            let at_or_below = (i + 1) as f64;
            match steps.last_mut() {
                Some(last) if before == Some(nanos) => last.1 = at_or_below,
                _ => {
                    let next = before.map_or(0, |before: u64| before + 1);
                    if nanos > next {
                        steps.push((seconds(nanos - 1), i as f64));
                    }
                    steps.push((seconds(nanos), at_or_below));
                }
            }
            before = Some(nanos);
        }
        Spread {
            steps,
            events: self.sorted.len() as f64,
        }
    }

    /// How many latencies are above a limit in seconds, or at it if `or_equal`.
    pub(super) fn above(&self, limit: f64, or_equal: bool) -> usize {
        let below = self.sorted.partition_point(|nanos| {
            let x = seconds(*nanos);
            if or_equal { x < limit } else { x <= limit }
        });
        self.sorted.len() - below
    }
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::window::left_by;
    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_samples_in_the_window(
            latencies in prop::collection::vec(0_u64..50, 1..80),
            q in 0.01_f64..0.999,
            span in 1_u64..60,
        ) {
            let span = Duration::from_secs(span);
            let mut window = Latencies::default();
            for (i, ms) in latencies.iter().enumerate() {
                let at = Moment::from_millis(i as u64 * 1000);
                window.push(at, Duration::from_millis(*ms), Duration::from_secs(1));
                if let Some(left) = left_by(at, span) {
                    window.evict(left);
                }
                let mut naive: Vec<u64> =
                    latencies[..=i].iter().rev().take(usize::try_from(span.as_secs()).unwrap()).copied().collect();
                naive.sort_unstable();
                let rank = (1..=naive.len()).find(|r| *r as f64 >= q * naive.len() as f64).unwrap();
                let expected = Duration::from_millis(naive[rank - 1]).as_secs_f64();
                prop_assert_eq!(window.quantile(q), Some(expected));
                let above = naive.iter().filter(|x| **x > 20).count();
                prop_assert_eq!(window.above(0.020, false), above);
                prop_assert_eq!(window.cover().ms, naive.len() as u64 * 1000);
                let text = serde_json::to_string(&window).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Latencies>(&text).unwrap(), &window);
            }
        }
    }
}
