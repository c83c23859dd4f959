//! `backstop unfreeze`: act again.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::Unfreeze;

/// Act on a service again
///
/// Lifts a freeze before its time; also what the agent waits for when it does
/// not trust its own record.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service.
    service: String,
    /// Why, in your words: others will read it.
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let unfreeze = Unfreeze {
        reason: args.reason.unwrap_or_default(),
    };
    socket.order(&["services", &args.service, "unfreeze"], &unfreeze)
}
