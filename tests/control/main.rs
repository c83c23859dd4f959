//! The API as callers meet it: over a real socket and real TCP, before an agent
//! that is an engine and nothing else.

mod commands;
mod fake;
mod http;
mod routes;
