//! Samples in, verdicts out: the pure half of every decision.

pub mod grammar;
