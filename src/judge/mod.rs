//! Samples in, verdicts out: the pure half of every decision.

pub mod grammar;
// Stands in until the windows land; goes with them.
mod stub;
pub use stub::*;
