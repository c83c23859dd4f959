//! `backstop approve`: yes to what an incident asks.

use super::socket::Socket;
use super::{Done, Error, answer};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    answer: answer::Args,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    args.answer.say("approve", socket)
}
