//! How often, how long and how much: the numbers of the outbox, and the wait
//! between two attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The numbers of the outbox. [`Pace::default`] is what the agent uses; tests
/// run the same code faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The longest wait of our own choosing.
    pub most: Duration,
    /// The longest wait that a receiver may ask for with `Retry-After`: one
    /// that says a year must not silence a channel for a year.
    pub asked_most: Duration,
    /// A notice older than this that fails once more is given up.
    pub give_up: Duration,
    /// Most notices that wait for one notifier, at least 1.
    pub capacity: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_mins(5),
            asked_most: Duration::from_hours(1),
            give_up: Duration::from_hours(24),
            capacity: 1000,
        }
    }
}

impl Pace {
    /// The wait after this many failures in a row (from 1). `asked` is what the
    /// receiver wants; `jitter` in [0, 1] takes up to half of our own wait off,
    /// so that agents that failed together do not come back together.
    pub(super) fn wait(&self, failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let own = self.first.saturating_mul(doubled).min(self.most);
        let own = own.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
        asked.map_or(own, |asked| asked.min(self.asked_most).max(own))
    }
}

/// A number in [0, 1) that differs between agents and between calls: the
/// standard library's hasher is seeded anew in each process.
pub(super) fn jitter(seeds: &RandomState, name: &str, failures: u32) -> f64 {
    let bits = seeds.hash_one((name, failures)) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let share = bits as f64 / (1_u64 << 53) as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let pace = Pace::default();
        let waits = [1, 2, 3, 9, 10, u32::MAX].map(|n| pace.wait(n, None, 0.0).as_secs());
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
        assert_eq!(pace.wait(1, None, 1.0), Duration::from_millis(500));
    }

    #[test]
    fn a_receiver_may_ask_for_more_but_not_for_ever() {
        let pace = Pace::default();
        let asked = |s| Some(Duration::from_secs(s));
        assert_eq!(pace.wait(1, asked(30), 0.5), Duration::from_secs(30));
        assert_eq!(pace.wait(1, asked(u64::MAX), 0.5), pace.asked_most);
        assert_eq!(pace.wait(4, asked(0), 0.0), Duration::from_secs(8));
    }

    #[test]
    fn jitter_stays_in_its_range_and_differs() {
        let seeds = RandomState::new();
        let all: Vec<f64> = (0..100).map(|n| jitter(&seeds, "slack", n)).collect();
        assert!(all.iter().all(|j| (0.0..1.0).contains(j)));
        assert!(all.windows(2).any(|w| (w[0] - w[1]).abs() > 0.01));
    }
}
