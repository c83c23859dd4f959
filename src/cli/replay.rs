//! `backstop replay`: the very same engine over recorded samples.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::recorded::Recorded;
use super::{Done, Error, out};
use crate::model::Policy;
use crate::policy::files::{Writable, read_policy};
use crate::policy::render;
use crate::replay::{Curves, compare, page, replay, replay_before, timeline};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The policy file.
    policy: PathBuf,
    #[command(flatten)]
    recorded: Recorded,
    /// Compare with this policy, the one before the edit: which fires and
    /// rollbacks the edit adds, removes or moves.
    #[arg(long, value_name = "OTHER")]
    against: Option<PathBuf>,
    /// How to write the result.
    #[arg(long, value_enum, default_value_t)]
    format: ReplayFormat,
    /// Where to write it, rather than to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The formats of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReplayFormat {
    /// A timeline, for people.
    #[default]
    Text,
    /// For programs, with stable names.
    Json,
    /// One file with a plot for each signal, for a browser.
    Html,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let policy = read(&args.policy)?;
    let written = match &args.against {
        Some(against) => against_other(args, &policy, &read(against)?)?,
        None => alone(args, &policy)?,
    };
    out::put(args.output.as_deref(), &written)?;
    Ok(Done::Well)
}

fn alone(args: &Args, policy: &Policy) -> Result<String, Error> {
    let recording = args.recorded.read(&[policy])?;
    Ok(match args.format {
        ReplayFormat::Text => timeline(&replay(policy, &recording)),
        ReplayFormat::Json => out::json(&replay(policy, &recording).told)?,
        ReplayFormat::Html => {
            let mut curves = Curves::new(policy, &recording);
            let replayed = replay_before(policy, &recording, &mut curves);
            page(policy, &replayed, curves)
        }
    })
}

fn against_other(args: &Args, policy: &Policy, other: &Policy) -> Result<String, Error> {
    if policy.service != other.service {
        return Err(Error::usage(format!(
            "{} is of {}, and {} of another service, {}",
            args.policy.display(),
            policy.service,
            args.against.as_deref().unwrap_or(Path::new("")).display(),
            other.service
        )));
    }
    if args.format == ReplayFormat::Html {
        return Err(Error::usage("a comparison is text or JSON")
            .hint("each policy has a page of its own, without --against"));
    }
    let recording = args.recorded.read(&[policy, other])?;
    let (edit, before) = (replay(policy, &recording), replay(other, &recording));
    let comparison = compare((policy, &edit), (other, &before));
    Ok(match args.format {
        ReplayFormat::Json => out::json(&comparison)?,
        ReplayFormat::Text | ReplayFormat::Html => comparison.text(),
    })
}

fn read(path: &Path) -> Result<Policy, Error> {
    let file = read_policy(path, Writable::Warn);
    file.loaded.policy.ok_or_else(|| {
        Error::usage(format!(
            "{} is not a valid policy\n{}",
            path.display(),
            render(&file.loaded.faults, &file.text, false)
        ))
    })
}
