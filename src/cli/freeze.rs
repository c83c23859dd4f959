//! `backstop freeze`: stop acting for a while.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::{Freeze, Malformed, parse_lease};
use crate::guard::Override;

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
    /// This is an emergency override: it bypasses the guard for a critical fix,
    /// and stays on record.
    #[arg(long = "override", requires_all = ["authorised_by", "risk", "plan"])]
    emergency: bool,
    /// Who authorised the override.
    #[arg(long, value_name = "A", requires = "emergency")]
    authorised_by: Option<String>,
    /// What may go wrong meanwhile.
    #[arg(long, value_name = "R", requires = "emergency")]
    risk: Option<String>,
    /// How it is validated afterwards.
    #[arg(long, value_name = "P", requires = "emergency")]
    plan: Option<String>,
}

/// Refused here already, with the place, rather than by the agent.
fn checked(text: &str) -> Result<String, Malformed> {
    parse_lease(text).map(|_| text.to_owned())
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let freeze = Freeze {
        lease: args.lease,
        reason: args.reason,
        emergency: args.emergency.then(|| Override {
            authorised_by: args.authorised_by.unwrap_or_default(),
            risk: args.risk.unwrap_or_default(),
            plan: args.plan.unwrap_or_default(),
        }),
    };
    socket.order(&["services", &args.service, "freeze"], &freeze)
}
