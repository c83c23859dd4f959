//! Backstop.

pub mod guard;
pub mod judge;
pub mod model;
