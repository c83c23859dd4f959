//! `backstop rollback`: a person's order.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::Rollback;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service.
    service: String,
    /// Why, in your words: others will read it.
    #[arg(long)]
    reason: String,
    /// The release to go to, instead of the newest good one.
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// The plan to run, instead of `rollback`.
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let order = Rollback {
        reason: args.reason,
        to: args.to,
        plan: args.plan,
    };
    socket.order(&["services", &args.service, "rollback"], &order)
}
