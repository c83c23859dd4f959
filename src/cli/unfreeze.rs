//! `backstop unfreeze`: act again.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::Unfreeze;

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
