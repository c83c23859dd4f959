//! `backstop freeze`: stop acting for a while.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::{Freeze, Malformed, parse_lease};

/// Stop acting on a service for a while
///
/// It goes on judging and telling, and acts again when the time is over or
/// somebody says `backstop unfreeze`. A rollback that runs already goes on.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service.
    service: String,
    /// How long, such as 45m, 1h30m or 2d; 30 days at most.
    #[arg(long = "for", value_name = "TIME", value_parser = checked)]
    lease: String,
    /// Why, in your words: others will read it.
    #[arg(long)]
    reason: String,
}

/// Refused here already, with the place, rather than by the agent.
fn checked(text: &str) -> Result<String, Malformed> {
    parse_lease(text).map(|_| text.to_owned())
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let freeze = Freeze {
        lease: args.lease,
        reason: args.reason,
    };
    socket.order(&["services", &args.service, "freeze"], &freeze)
}
