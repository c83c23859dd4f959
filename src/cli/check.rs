//! `backstop check`: every fault of the config and the policies, with its place
//! and a hint; then the lints.

use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use super::out::colour;
use super::places::Places;
use super::{Done, Error, Format};
use crate::agent;
use crate::model::Config;
use crate::policy::files::{Writable, read_config, read_folder, read_policy};
use crate::policy::{Fault, lint_live, lint_with_config, render};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy files, or directories of them, without what is in directories
    /// below; by default those of the agent.
    paths: Vec<PathBuf>,
    /// The agent's config, for notifiers and roles.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sample every source once, and look whether each step could be done as
    /// things are, by the user who asks.
    #[arg(long)]
    live: bool,
    /// How to write the result.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One file's faults and the text that they stand in.
struct Checked {
    text: String,
    faults: Vec<Fault>,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    files: usize,
    faults: Vec<&'a Fault>,
    /// Steps that could not be done as things are; only looked for with `--live`.
    problems: &'a [String],
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let places = Places::of_this_user();
    let mut checked = Vec::new();
    let config = config(args, &places, &mut checked);
    let paths = if args.paths.is_empty() {
        vec![places.policies]
    } else {
        args.paths.clone()
    };
    let mut files = 0;
    let mut problems = Vec::new();
    for path in &paths {
        let mut read = Vec::new();
        if path.is_dir() {
            let folder = read_folder(path, Writable::Warn);
            checked.push(Checked {
                text: String::new(),
                faults: [folder.faults, folder.warnings].concat(),
            });
            read.extend(folder.files);
        } else {
            read.push(read_policy(path, Writable::Warn));
        }
        for file in read {
            files += 1;
            let mut faults = [file.loaded.faults.clone(), file.loaded.warnings.clone()].concat();
            if let Some(config) = &config {
                faults.extend(lint_with_config(&file.loaded, config));
            }
            if let (true, Some(policy)) = (args.live, &file.loaded.policy) {
                let look = agent::look(policy).map_err(|e| Error::of(&e))?;
                faults.extend(lint_live(&file.loaded, &look.outcomes));
                problems.extend(look.problems);
            }
            checked.push(Checked {
                text: file.text,
                faults,
            });
        }
    }
    let refused = checked.iter().flat_map(|c| &c.faults).any(Fault::is_error);
    write(args.format, files, refused, &checked, &problems)
        .map_err(|e| Error::failed("cannot write the result").because_of(Some(&e)))?;
    Ok(if refused { Done::With(2) } else { Done::Well })
}

/// The config that was named, or the agent's where there is one.
fn config(args: &Args, places: &Places, checked: &mut Vec<Checked>) -> Option<Config> {
    let path = match &args.config {
        Some(path) => path,
        None if args.paths.is_empty() && places.config.exists() => &places.config,
        None => return None,
    };
    let (text, loaded) = read_config(path, Writable::Warn);
    checked.push(Checked {
        text,
        faults: [loaded.faults, loaded.warnings].concat(),
    });
    loaded.config
}

fn write(
    format: Format,
    files: usize,
    refused: bool,
    checked: &[Checked],
    problems: &[String],
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => {
            let report = Report {
                ok: !refused,
                files,
                faults: checked.iter().flat_map(|c| &c.faults).collect(),
                problems,
            };
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)
        }
        Format::Text => {
            let colour = colour();
            for file in checked.iter().filter(|c| !c.faults.is_empty()) {
                writeln!(out, "{}", render(&file.faults, &file.text, colour))?;
            }
            for problem in problems {
                writeln!(out, "not ready: {problem}")?;
            }
            let all = || checked.iter().flat_map(|c| &c.faults);
            let errors = all().filter(|f| f.is_error()).count();
            writeln!(
                out,
                "{}, {}, {}",
                counted(files, "policy", "policies"),
                counted(errors, "error", "errors"),
                counted(all().count() - errors, "warning", "warnings")
            )
        }
    }
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
