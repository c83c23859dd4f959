//! `backstop completions`: what a shell needs to complete commands.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Done, Error, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "backstop", &mut script);
    out::say(&String::from_utf8_lossy(&script))?;
    Ok(Done::Well)
}
