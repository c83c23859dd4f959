//! Backstop.

pub mod model;
