//! The API of a running agent, on its socket and over HTTP.
//!
//! [`Agent`] is all that this room knows of the agent: a way to ask for its
//! state, to hand it facts, and to have it read its policies again.

mod request;

pub use request::{Agent, Diagnosis, Gone, Reloaded, Request, Stepped};
