//! What the guard does with facts, law by law, through the engine alone: in one
//! program, because each would be linked against the whole house.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod levels;
mod people;
mod plans;
mod post;
mod releases;
mod shadow;
mod told;
