//! `backstop run`: the agent.

use std::path::PathBuf;

use super::places::Places;
use super::{Done, Error, line};
use crate::agent::{self, Setup};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory of policies; directories in it are not read.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// The agent's config; without one everything has a default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The state directory; one agent each.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where metrics, health and the read-only API listen, instead of what the
    /// config says: an address, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// What to log, such as `debug` or `backstop::agent=debug`.
    #[arg(
        long,
        value_name = "FILTER",
        env = "BACKSTOP_LOG",
        hide_env_values = true,
        default_value = "info"
    )]
    log: String,
}

pub(super) fn run(args: Args, socket: Option<PathBuf>) -> Result<Done, Error> {
    let places = Places::of_this_user();
    let named = args.config.is_some();
    let setup = Setup {
        policies: args.policies.unwrap_or(places.policies),
        config: Some(args.config.unwrap_or(places.config)).filter(|p| named || p.exists()),
        state: args.state.unwrap_or(places.state),
        socket: socket.unwrap_or(places.socket),
        http: args.http,
        log: args.log,
    };
    line::hand_over(&setup);
    on(&setup)
}

/// Runs the agent on what is set up.
pub(super) fn on(setup: &Setup) -> Result<Done, Error> {
    agent::run(setup).map_err(|e| {
        let error = if e.is_usage() {
            Error::usage(e.to_string())
        } else {
            Error::failed(e.to_string())
        };
        error.because_of(std::error::Error::source(&e))
    })?;
    Ok(Done::Well)
}
