//! `backstop ack`: somebody looks after an incident.

use super::socket::Socket;
use super::{Done, Error, answer};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    answer: answer::Args,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    args.answer.say("ack", socket)
}
