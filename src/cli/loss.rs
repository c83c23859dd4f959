//! `backstop loss`: what a person counted as lost in an incident.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::Loss;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The incident's number.
    incident: u64,
    /// What was counted, such as `orders`.
    name: String,
    /// How much.
    value: f64,
    /// Where that comes from, in your words: others will read it.
    #[arg(long)]
    reason: String,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let loss = Loss {
        name: args.name,
        value: args.value,
        reason: args.reason,
    };
    socket.order(&["incidents", &args.incident.to_string(), "loss"], &loss)
}
