//! Backstop.

pub mod judge;
pub mod model;
