//! `backstop demo`: the whole story on this machine in about a minute.
//!
//! Nothing in it is acted: the service is a process of its own with two
//! releases on disk behind a `current` symlink, the traffic is HTTP over
//! loopback, the fault is in the bad release, and the agent is the very same
//! `backstop run`, as a process of its own. The demo deploys, sends traffic,
//! and tells what it sees from outside.

mod service;
mod stage;
mod story;
mod supervisor;
mod traffic;

use std::path::PathBuf;

use super::{Done, Error};

pub(super) use service::ServiceArgs;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show what the agent would do, and let the bad release run.
    #[arg(long)]
    shadow: bool,
    /// Where to keep the releases, the agent's state and the report; by default
    /// a new directory among the temporary ones.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    runtime()?.block_on(story::tell(args.dir.clone(), args.shadow))
}

/// The service of the demo: what `backstop demo` starts, and nothing else.
pub(super) fn run_service(args: &ServiceArgs) -> Result<Done, Error> {
    runtime()?.block_on(service::run(args))
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::failed("cannot start the runtime").because_of(Some(&e)))
}
