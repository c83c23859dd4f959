//! `backstop abort`: stop a rollback that runs or is being verified.

use super::socket::Socket;
use super::{Done, Error, answer};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    incident: answer::Incident,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    args.incident.say("abort", None, socket)
}
