//! `backstop abort`: stop a rollback that runs.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::{Answer, parse_number};

/// Stop a running rollback after its current step
///
/// The step under way is left to end; steps that always run still do. Then a
/// person is called.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The incident.
    #[arg(value_name = "N", value_parser = parse_number)]
    number: u64,
    /// Why, in your words: others will read it.
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let answer = Answer {
        role: None,
        reason: args.reason.unwrap_or_default(),
    };
    socket.order(&["incidents", &args.number.to_string(), "abort"], &answer)
}
