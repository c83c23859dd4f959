//! What time it is: the only file that asks.
//!
//! The agent's clock only goes forward and counts time asleep (`CLOCK_BOOTTIME`,
//! `clock_gettime(2)`), so a suspend is a gap and not a standstill, and setting
//! the wall clock moves nothing. Over restarts it is carried by anchors in the
//! journal: within one boot by the boot clock, which is exact; over a reboot by
//! the wall clock, which is the only one that went on, and never backwards.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::journal::Anchor;
use crate::model::Moment;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const HOST: &str = "/proc/sys/kernel/hostname";

/// The agent's clock.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    boot_id: String,
    /// The moment minus the boot clock, in milliseconds.
    ahead_of_boot_ms: i64,
}

/// The host's clocks at one instant.
#[derive(Clone, Copy, Debug)]
struct Reading {
    boot: Duration,
    /// Since the Unix epoch; zero before it.
    wall: Duration,
}

impl Reading {
    /// The boot clock is asked of the kernel, which nobody can set. The wall
    /// clock is asked by way of libc like everybody else's, so that a rehearsal
    /// can put another in its place (libfaketime) and see that it decides
    /// nothing.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that asks what time it is"
    )]
    fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        Self {
            boot: Duration::new(
                u64::try_from(boot.tv_sec).unwrap_or(0),
                u32::try_from(boot.tv_nsec).unwrap_or(0),
            ),
            wall: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The wall clock, for a time that precedes any anchor: Unix milliseconds.
pub(super) fn unix_ms() -> i64 {
    millis(Reading::now().wall)
}

/// The name of this host.
pub(super) fn host() -> String {
    std::fs::read_to_string(HOST)
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

impl Clock {
    /// Goes on from the last anchor, and never before the last moment that the
    /// journal has seen. A state directory without either starts at the wall
    /// clock's time.
    pub(super) fn carry(anchor: Option<&Anchor>, last: Option<Moment>) -> Self {
        // Without a boot id every start counts as a reboot.
        let boot_id = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        Self::carried(boot_id.trim(), Reading::now(), anchor, last)
    }

    fn carried(boot_id: &str, now: Reading, anchor: Option<&Anchor>, last: Option<Moment>) -> Self {
        let (boot, wall) = (millis(now.boot), millis(now.wall));
        let moment = match anchor {
            None => wall,
            Some(anchor) => {
                let passed = if !boot_id.is_empty() && anchor.boot_id == boot_id {
                    boot.saturating_sub_unsigned(anchor.boottime_ms)
                } else {
                    wall.saturating_sub(anchor.unix_ms)
                };
                anchor
                    .moment
                    .as_millis()
                    .cast_signed()
                    .saturating_add(passed.max(0))
            }
        };
        let last = last.map_or(0, |last| last.as_millis().cast_signed());
        Self {
            boot_id: boot_id.to_owned(),
            ahead_of_boot_ms: moment.max(last).saturating_sub(boot),
        }
    }

    /// The moment now.
    pub(super) fn now(&self) -> Moment {
        self.moment(Reading::now())
    }

    fn moment(&self, reading: Reading) -> Moment {
        let ms = millis(reading.boot).saturating_add(self.ahead_of_boot_ms);
        Moment::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// How far the wall clock is ahead of the moment now, in milliseconds,
    /// rounded: both are read to the nanosecond, so that it stands still as long
    /// as nobody sets the wall clock.
    pub(super) fn wall_ahead_ms(&self) -> i64 {
        self.ahead(Reading::now())
    }

    fn ahead(&self, reading: Reading) -> i64 {
        let nanos = reading.wall.as_nanos().cast_signed() - reading.boot.as_nanos().cast_signed();
        let ms = (nanos + 500_000).div_euclid(1_000_000);
        i64::try_from(ms)
            .unwrap_or(i64::MAX)
            .saturating_sub(self.ahead_of_boot_ms)
    }

    /// How the clocks stand.
    pub(super) fn anchor(&self) -> Anchor {
        let reading = Reading::now();
        Anchor {
            moment: self.moment(reading),
            boot_id: self.boot_id.clone(),
            boottime_ms: u64::try_from(millis(reading.boot)).unwrap_or(0),
            unix_ms: millis(reading.wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(boot_ms: u64, wall_ms: u64) -> Reading {
        Reading {
            boot: Duration::from_millis(boot_ms),
            wall: Duration::from_millis(wall_ms),
        }
    }

    fn anchor(moment: u64, boot_id: &str, boottime_ms: u64, unix_ms: i64) -> Anchor {
        Anchor {
            moment: Moment::from_millis(moment),
            boot_id: boot_id.to_owned(),
            boottime_ms,
            unix_ms,
        }
    }

    fn carried(now: Reading, anchor: Option<&Anchor>, last: Option<u64>) -> u64 {
        Clock::carried("b", now, anchor, last.map(Moment::from_millis))
            .moment(now)
            .as_millis()
    }

    #[test]
    fn a_new_state_directory_starts_at_the_wall_clock() {
        assert_eq!(carried(reading(5, 1_700_000), None, None), 1_700_000);
    }

    #[test]
    fn within_a_boot_setting_the_wall_clock_changes_nothing() {
        let anchor = anchor(1_000, "b", 500, 9_000);
        assert_eq!(carried(reading(800, 1), Some(&anchor), None), 1_300);
        assert_eq!(carried(reading(800, 99_999), Some(&anchor), None), 1_300);
    }

    #[test]
    fn over_a_reboot_the_wall_clock_counts_and_never_backwards() {
        let anchor = anchor(1_000, "a", 500, 9_000);
        assert_eq!(carried(reading(3, 9_400), Some(&anchor), None), 1_400);
        assert_eq!(carried(reading(3, 8_000), Some(&anchor), None), 1_000);
        assert_eq!(
            carried(reading(3, 8_000), Some(&anchor), Some(1_200)),
            1_200
        );
    }

    #[test]
    fn the_distance_to_the_wall_clock_is_rounded_and_signed() {
        let clock = Clock::carried("b", reading(0, 10_000), None, None);
        assert_eq!(clock.ahead(reading(700, 10_700)), 0);
        assert_eq!(clock.ahead(reading(700, 9_700)), -1_000);
        let late = Reading {
            boot: Duration::from_nanos(700_400_000),
            wall: Duration::from_nanos(10_701_000_000),
        };
        assert_eq!(clock.ahead(late), 1);
    }
}
