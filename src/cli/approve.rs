//! `backstop approve`: yes to what an incident asks.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::{Answer, parse_number};

/// Agree to the rollback that an incident asks for
///
/// Who you are, the socket knows. A person counts once, however often they say
/// it; the rollback begins when enough people have agreed.
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
    socket.order(&["incidents", &args.number.to_string(), "approve"], &answer)
}
