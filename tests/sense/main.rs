//! What targets do to the agent, and what it makes of it: in one program,
//! because each would be linked against the whole house.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod faults;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]
#[path = "../hostile/mod.rs"]
mod hostile;
mod prometheus;
mod run;
mod tls;
