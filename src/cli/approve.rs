//! `backstop approve`: yes to what an incident asks.

use super::socket::Socket;
use super::{Done, Error, answer};

/// Agree to the rollback that an incident asks for
///
/// Who you are, the socket knows. A person counts once, however often they say
/// it; the rollback begins when enough people have agreed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    answer: answer::Args,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    args.answer.say("approve", socket)
}
