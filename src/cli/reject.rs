//! `backstop reject`: no to what an incident asks.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::{Answer, parse_number};

/// Refuse the rollback that an incident asks for
///
/// One refusal is enough: the incident is dismissed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The incident.
    #[arg(value_name = "N", value_parser = parse_number)]
    number: u64,
    /// The role to answer as; you must hold it.
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
    socket.order(&["incidents", &args.number.to_string(), "reject"], &answer)
}
