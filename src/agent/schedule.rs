//! When a service's sources are sampled, and for which tick.
//!
//! Ticks are the multiples of the policy's interval on the agent's clock. A
//! source is sampled for a tick a little after it: all sources of all services
//! are spread over the first fifth of their interval, each always at the same
//! place, so that a hundred targets are not one burst and decisions still come
//! early in the interval. Pure: it is told what time it is.

use std::time::Duration;

use crate::model::{Moment, Policy, millis};

/// Which part of an interval the starts are spread over: its first fifth.
const SPREAD: u32 = 5;

/// The sources of one service and when each begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    interval: Duration,
    /// By offset.
    sources: Vec<Slot>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    name: String,
    interval: Duration,
    offset: Duration,
}

impl Schedule {
    pub(super) fn new(policy: &Policy) -> Self {
        let mut sources: Vec<Slot> = policy
            .sources
            .iter()
            .filter(|(_, source)| !source.kind.is_told())
            .map(|(name, source)| Slot {
                name: name.clone(),
                interval: source.interval,
                offset: offset(&policy.service, name, policy.interval),
            })
            .collect();
        sources.sort_by(|a, b| (a.offset, &a.name).cmp(&(b.offset, &b.name)));
        Self {
            interval: policy.interval,
            sources,
        }
    }

    /// The first tick after `now`.
    pub(super) fn first_after(&self, now: Moment) -> Moment {
        let interval = at_least_one(self.interval);
        Moment::from_millis((now.as_millis() / interval + 1) * interval)
    }

    /// The tick after `tick`: the next one, or when that has been missed, the
    /// first one still to come. Missed ticks are not caught up on.
    pub(super) fn next(&self, tick: Moment, now: Moment) -> Moment {
        let next = self.first_after(tick);
        if self.is_missed(next, now) {
            self.first_after(now)
        } else {
            next
        }
    }

    /// Whether it is too late to begin with a tick: the next one is there.
    pub(super) fn is_missed(&self, tick: Moment, now: Moment) -> bool {
        now.since(tick) >= self.interval
    }

    /// What is to be sampled for a tick: how long after it, and which source.
    pub(super) fn due(&self, tick: Moment) -> impl Iterator<Item = (Duration, &str)> {
        self.sources
            .iter()
            .filter(move |slot| {
                let every = at_least_one(slot.interval);
                // A source slower than the policy has ticks of its own.
                slot.interval <= self.interval
                    || tick.as_millis() % every < at_least_one(self.interval)
            })
            .map(|slot| (slot.offset, slot.name.as_str()))
    }
}

/// Whole milliseconds, at least one.
fn at_least_one(duration: Duration) -> u64 {
    millis(duration).max(1)
}

/// The same place in every interval, over restarts too (FNV-1a, 64 bits).
fn offset(service: &str, source: &str, interval: Duration) -> Duration {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in service.bytes().chain([0]).chain(source.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // Its low bits are the worse ones.
    let span = at_least_one(interval / SPREAD);
    Duration::from_millis((hash >> 32) % span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(interval_ms: u64, sources: &[(&str, u64)]) -> Schedule {
        let interval = Duration::from_millis(interval_ms);
        Schedule {
            interval,
            sources: sources
                .iter()
                .map(|(name, ms)| Slot {
                    name: (*name).to_owned(),
                    interval: Duration::from_millis(*ms),
                    offset: offset("s", name, interval),
                })
                .collect(),
        }
    }

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn ticks_are_multiples_of_the_interval() {
        let schedule = schedule(5000, &[]);
        assert_eq!(schedule.first_after(at(12_345)), at(15_000));
        assert_eq!(schedule.next(at(15_000), at(15_400)), at(20_000));
    }

    #[test]
    fn missed_ticks_are_not_caught_up_on() {
        let schedule = schedule(5000, &[]);
        assert_eq!(schedule.next(at(15_000), at(24_999)), at(20_000));
        assert_eq!(schedule.next(at(15_000), at(61_000)), at(65_000));
    }

    #[test]
    fn a_slow_source_is_due_at_its_own_ticks_only() {
        let schedule = schedule(5000, &[("fast", 5000), ("slow", 15_000)]);
        let slow: Vec<u64> = (0..8)
            .map(|n| n * 5000)
            .filter(|ms| schedule.due(at(*ms)).any(|(_, name)| name == "slow"))
            .collect();
        assert_eq!(slow, [0, 15_000, 30_000]);
    }

    #[test]
    fn starts_are_spread_over_the_first_fifth() {
        let interval = Duration::from_secs(5);
        let offsets: Vec<u128> = (0..200)
            .map(|n| offset(&format!("service-{n}"), "app", interval).as_millis())
            .collect();
        assert!(offsets.iter().all(|o| *o < 1000));
        for fifth in 0..5 {
            let here = offsets
                .iter()
                .filter(|o| (fifth * 200..(fifth + 1) * 200).contains(*o))
                .count();
            assert!((20..=60).contains(&here), "{here} of 200 in part {fifth}");
        }
    }
}
