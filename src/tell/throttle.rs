//! How many attempts a receiver gets in any period.
//!
//! What goes beyond waits in the lane. The times are kept one by one, so that
//! no period, wherever it begins, sees more than was allowed; a restart forgets
//! them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Rate;

/// The attempts of the last period, where there is a limit.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: Option<Rate>,
    made: VecDeque<Instant>,
}

impl Throttle {
    pub(super) const fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            made: VecDeque::new(),
        }
    }

    /// How long the next attempt has to wait.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let over = |made: &Instant| now.duration_since(*made) >= rate.period;
        while self.made.front().is_some_and(over) {
            self.made.pop_front();
        }
        let most = usize::try_from(rate.notices).unwrap_or(usize::MAX);
        match self.made.len().checked_sub(most) {
            None => Duration::ZERO,
            Some(before) => (self.made[before] + rate.period).duration_since(now),
        }
    }

    /// Counts an attempt.
    pub(super) fn count(&mut self, now: Instant) {
        if self.rate.is_some() {
            self.made.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_period_sees_more_than_its_rate() {
        let period = Duration::from_secs(60);
        let mut throttle = Throttle::new(Some(Rate { notices: 3, period }));
        let mut made: Vec<Instant> = Vec::new();
        for n in 0..20 {
            tokio::time::advance(Duration::from_secs(n % 7 * 4)).await;
            tokio::time::advance(throttle.wait(Instant::now())).await;
            let now = Instant::now();
            assert_eq!(throttle.wait(now), Duration::ZERO);
            throttle.count(now);
            made.push(now);
            assert!(throttle.made.len() <= 3);
        }
        assert!(made.windows(4).all(|w| w[3] - w[0] >= period));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits_and_nothing_is_kept() {
        let mut throttle = Throttle::new(None);
        for _ in 0..1000 {
            throttle.count(Instant::now());
            assert_eq!(throttle.wait(Instant::now()), Duration::ZERO);
        }
        assert!(throttle.made.is_empty());
    }
}
