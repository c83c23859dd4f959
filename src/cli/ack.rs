//! `backstop ack`: somebody looks after an incident.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::{Answer, parse_number};

/// Say that you look after an incident
///
/// Escalation pauses for 30 minutes. It decides nothing: an acknowledgement is
/// no approval.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The incident.
    #[arg(value_name = "N", value_parser = parse_number)]
    number: u64,
    /// The role to speak as; you must hold it.
    #[arg(long = "as", value_name = "ROLE")]
    role: Option<String>,
    /// Why, in your words: others will read it.
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let answer = Answer {
        role: args.role,
        reason: args.reason.unwrap_or_default(),
    };
    socket.order(&["incidents", &args.number.to_string(), "ack"], &answer)
}
