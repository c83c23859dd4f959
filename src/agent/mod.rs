//! The shell around the engine: clock, loop, reload, dispatch, systemd.

mod error;
mod setup;

pub use error::AgentError;
pub use setup::Setup;

/// Runs the agent until it is told to stop.
///
/// # Errors
///
/// Why it could not start, or had to end.
pub fn run(setup: Setup) -> Result<(), AgentError> {
    drop(setup);
    Ok(())
}
