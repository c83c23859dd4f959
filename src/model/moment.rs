//! A point on the agent's own clock.
//!
//! The pure rooms never ask what time it is. They are told, as a [`Moment`]:
//! milliseconds on a clock that only goes forward and is carried over restarts.
//! It starts at the wall clock's Unix time when a state directory is made and
//! is counted by the monotonic clock from then on, so setting the wall clock
//! moves no hold and no cooldown. The distance to the wall clock is a fact like
//! any other ([`crate::guard::Event::Ticked`] carries it), used for display and
//! for `age` signals only.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds on the agent's forward-only clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(u64);

impl Moment {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// The moment `ms` milliseconds after the start of the clock.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the start of the clock.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Unix time in milliseconds, given how far the wall clock is ahead of this
    /// one (see [`crate::guard::Event::Ticked`]).
    #[must_use]
    pub const fn unix_millis(self, wall_ahead_ms: i64) -> i64 {
        self.0.cast_signed().saturating_add(wall_ahead_ms)
    }
}

/// Whole milliseconds, saturating: no duration that a policy can name overflows.
/// In 64 bits throughout: dividing 128 would be the dearest thing that a tick
/// does.
#[must_use]
#[inline]
pub const fn millis(d: Duration) -> u64 {
    let seconds = d.as_secs().saturating_mul(1000);
    seconds.saturating_add(d.subsec_millis() as u64)
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(millis(d)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(millis(d)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1000, self.0 % 1000)
    }
}
