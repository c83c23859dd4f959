//! `backstop replay`: the very same engine over recorded samples.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::recorded::Recorded;
use super::{Done, Error, Format, out};
use crate::policy::files::{Writable, read_policy};
use crate::policy::render;
use crate::replay::{Replay, replay};

/// Run the same engine over recorded samples: what would have happened
///
/// The recording is OpenMetrics text with timestamps. Nothing is run and nobody
/// is told, whatever the policy's mode.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The policy file.
    policy: PathBuf,
    #[command(flatten)]
    recorded: Recorded,
    /// How to write the result.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let file = read_policy(&args.policy, Writable::Warn);
    let Some(policy) = file.loaded.policy else {
        return Err(Error::usage(format!(
            "{} is not a valid policy\n{}",
            args.policy.display(),
            render(&file.loaded.faults, &file.text, false)
        )));
    };
    let recording = args.recorded.read(&policy)?;
    let replayed = replay(&policy, &recording);
    match args.format {
        Format::Json => out::say_json(&replayed.told)?,
        Format::Text => out::say(&text(&replayed))?,
    }
    Ok(Done::Well)
}

fn text(replayed: &Replay) -> String {
    let told = &replayed.told;
    let mut text = format!(
        "{}: {} ticks from {} to {}\n",
        told.service, told.ticks, told.from, told.to
    );
    for remark in &replayed.remarks {
        let _ = writeln!(text, "  note: {remark}");
    }
    text.push('\n');
    for event in &told.events {
        let mark = if event.counterfactual {
            " (counterfactual)"
        } else {
            ""
        };
        let _ = writeln!(text, "{}  {}{mark}", event.at, event.line);
    }
    if told.events.is_empty() {
        text.push_str("Nothing happened.\n");
    }
    text.push('\n');
    for (name, summary) in &told.triggers {
        let _ = writeln!(
            text,
            "{name}: fired {}, {:.0} s in breach, {:.0} s blind",
            match summary.fired {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            },
            summary.breach_seconds,
            summary.blind_seconds
        );
    }
    text
}
