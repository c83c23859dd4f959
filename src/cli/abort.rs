//! `backstop abort`: stop a rollback that runs or is being verified.

use super::socket::Socket;
use super::{Done, Error, answer};

/// Stop a running rollback after its current step
///
/// The step under way is left to end; steps that always run still do. Where
/// only the verification is left, it ends at once. Then a person is called.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    incident: answer::Incident,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    args.incident.say("abort", None, socket)
}
