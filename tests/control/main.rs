//! The API as callers meet it: over a real socket and real TCP, before an agent
//! that is an engine and nothing else.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod commands;
mod drill;
mod fake;
mod http;
mod routes;
