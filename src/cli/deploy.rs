//! `backstop deploy`: a release has been deployed.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::Deploy;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service.
    service: String,
    /// The release that runs now.
    #[arg(long = "version", value_name = "VERSION")]
    release: String,
    /// It came with a migration that cannot be taken back: what was deployed
    /// before it is never gone back to.
    #[arg(long)]
    irreversible: bool,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let deploy = Deploy {
        version: args.release,
        irreversible: args.irreversible,
    };
    socket.order(&["services", &args.service, "deploy"], &deploy)
}
