//! The policy language as a JSON Schema (draft 7), for editors: they complete
//! keys, show what they mean, and underline what cannot be, while one writes.
//!
//! It says less than [`load`](super::load), which alone decides: that a signal is
//! defined, that units agree or that windows are long enough is in no schema.
//! What it refuses is refused there too; its tests hold its keys and choices
//! against the loader's own.

/// The schema, as JSON.
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests;
