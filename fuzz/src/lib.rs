//! What each fuzz target does with its bytes: the laws that hold for any input.
//!
//! One function a target, so that `cargo fuzz run TARGET` and `tests/fuzz.rs`,
//! which needs no nightly compiler, check the same.

pub mod api;
pub mod condition;
pub mod exposition;
pub mod policy;
pub mod recording;
pub mod selector;
