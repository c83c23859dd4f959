//! Backstop.

pub mod act;
pub mod agent;
pub mod cli;
pub mod control;
pub mod guard;
pub mod journal;
pub mod judge;
pub mod model;
pub mod policy;
pub mod sense;
pub mod tell;
pub mod view;
