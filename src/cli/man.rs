//! `backstop man`: the manual, from the same words as `--help`.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::{Cli, Done, Error, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command whose page to print; without one, that of `backstop`.
    #[arg(value_name = "COMMAND")]
    of: Option<String>,
    /// Write every page into this directory instead.
    #[arg(long, value_name = "DIR", conflicts_with = "of")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    if let Some(dir) = &args.dir {
        clap_mangen::generate_to(whole, dir).map_err(|e| {
            let what = format!("cannot write the pages into {}", dir.display());
            Error::failed(what).because_of(Some(&e))
        })?;
        return Ok(Done::Well);
    }
    let command = match &args.of {
        None => whole,
        Some(name) => whole
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Error::usage(format!("there is no command `{name}`")))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|e| Error::failed("cannot write the page").because_of(Some(&e)))?;
    out::say(&String::from_utf8_lossy(&page))?;
    Ok(Done::Well)
}
