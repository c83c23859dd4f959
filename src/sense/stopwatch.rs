//! Elapsed time: how long a sample took.
//!
//! The agent's clock says when something happened; this says only how long an
//! answer took, which no decision's time depends on and which milliseconds
//! would be too coarse for. It is the one place in `sense` that reads a clock,
//! and reads tokio's, which the deadlines here are set on as well.

use std::time::Duration;

use tokio::time::Instant;

/// Runs from its making.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
