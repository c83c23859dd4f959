//! `backstop notify test`: would people be reached?

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::places::Places;
use super::{Done, Error, Format, out};
use crate::agent;
use crate::model::Config;
use crate::policy::files::{Writable, read_config};
use crate::policy::render;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Test(Test),
}

/// Send one marked test notice through a notifier
///
/// Delivers it once, at once and directly, by the config on disk and as the
/// user who asks: no agent has to run, and none is disturbed. Prints what the
/// receiver said; exits with 1 if it was not reached. What it opens is closed
/// again: PagerDuty's alert is resolved, GitHub's issue closed.
#[derive(Debug, clap::Args)]
struct Test {
    /// The notifier, by its name in the config.
    #[arg(value_name = "NAME")]
    notifier: String,
    /// The agent's config.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to write the result.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Tried<'a> {
    notifier: &'a str,
    delivered: bool,
    said: &'a str,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let What::Test(args) = &args.what;
    let config = config(args)?;
    let name = args.notifier.as_str();
    let notifier = config.notifiers.get(name).ok_or_else(|| {
        let error = Error::usage(format!("there is no notifier `{name}`"));
        let names: Vec<_> = config.notifiers.keys().map(String::as_str).collect();
        if names.is_empty() {
            error.hint("the config has none: add `[notifiers.NAME]`")
        } else {
            error.hint(format!("there are {}", names.join(", ")))
        }
    })?;
    let outcome = agent::try_notifier(name, notifier).map_err(|e| Error::of(&e))?;
    let (delivered, said) = match &outcome {
        Ok(said) => (true, said),
        Err(reason) => (false, reason),
    };
    match args.format {
        Format::Json => out::say_json(&Tried {
            notifier: name,
            delivered,
            said,
        })?,
        Format::Text if delivered => out::say(&format!("{name}: delivered: {said}\n"))?,
        Format::Text => out::say(&format!("{name}: NOT delivered: {said}\n"))?,
    }
    Ok(if delivered { Done::Well } else { Done::With(1) })
}

fn config(args: &Test) -> Result<Config, Error> {
    let path = match &args.config {
        Some(path) => path.clone(),
        None => Places::of_this_user().config,
    };
    let (text, loaded) = read_config(&path, Writable::Warn);
    loaded.config.ok_or_else(|| {
        Error::usage(format!(
            "the agent's config is refused\n{}",
            render(&loaded.faults, &text, false).trim_end()
        ))
    })
}
