//! `backstop push`: something that only people or other programs know.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::{Malformed, Push, parse_said};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service.
    service: String,
    /// The flag, counter or value, as a signal of the policy names it.
    name: String,
    /// `set` or `clear` a flag; `+1` for one more of what is counted; or a
    /// number.
    #[arg(value_parser = checked, allow_hyphen_values = true)]
    value: String,
    /// Why, in your words: others will read it.
    #[arg(long)]
    reason: Option<String>,
}

/// Refused here already, with the place, rather than by the agent.
fn checked(text: &str) -> Result<String, Malformed> {
    parse_said(text).map(|_| text.to_owned())
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let push = Push {
        name: args.name,
        value: args.value.into(),
        reason: args.reason.unwrap_or_default(),
    };
    socket.order(&["services", &args.service, "push"], &push)
}
