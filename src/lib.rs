//! Backstop.

pub mod act;
pub mod guard;
pub mod judge;
pub mod model;
pub mod view;
pub mod policy;
