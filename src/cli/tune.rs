//! `backstop tune`: which limit, and how long a hold?

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::recorded::{Recorded, WHOSE};
use super::{Done, Error, out};
use crate::model::Unit;
use crate::policy::files::{Writable, read_policy};
use crate::policy::render;
use crate::replay::{
    Axes, Choice, Labelled, OwnFault, Score, TuneFault, Tuned, labels, own_incidents, tune,
    tuning_page,
};
use crate::view::value;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The policy file.
    policy: PathBuf,
    /// The trigger; may be left out where the policy has only one.
    #[arg(long, value_name = "NAME")]
    trigger: Option<String>,
    /// The signal whose limit is varied, where the condition compares several.
    #[arg(long, value_name = "NAME")]
    signal: Option<String>,
    /// Limits to try, such as 1%,2%,5%; by default some around the policy's own.
    #[arg(long, value_name = "LIMIT,…", value_delimiter = ',')]
    limits: Vec<String>,
    /// Holds to try, such as 5m,10m,"5m of 10m",none; by default some around the
    /// policy's own.
    #[arg(long, value_name = "HOLD,…", value_delimiter = ',')]
    holds: Vec<String>,
    /// Windows of the signal to try, such as 1m,5m; by default its own.
    #[arg(long, value_name = "WINDOW,…", value_delimiter = ',')]
    windows: Vec<String>,
    /// When things were really wrong: a CSV of `from,to`, an incident a line.
    #[arg(long, value_name = "FILE")]
    incidents: Option<PathBuf>,
    /// Take the agent's own incidents instead, from its state directory: those
    /// that a rollback cured, or a person approved, acknowledged or counted losses
    /// of.
    #[arg(long, conflicts_with = "incidents")]
    own_incidents: bool,
    #[command(flatten)]
    recorded: Recorded,
    /// How to write the result.
    #[arg(long, value_enum, default_value_t)]
    format: TuneFormat,
    /// Where to write it, rather than to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum TuneFormat {
    /// For people.
    #[default]
    Text,
    /// For programs, with stable names.
    Json,
    /// One file with plots, for people too.
    Html,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let file = read_policy(&args.policy, Writable::Warn);
    let Some(policy) = &file.loaded.policy else {
        return Err(Error::usage(format!(
            "{} is not a valid policy\n{}",
            args.policy.display(),
            render(&file.loaded.faults, &file.text, false)
        )));
    };
    let names: Vec<_> = policy.triggers.iter().map(|t| t.name.as_str()).collect();
    let trigger = match (&args.trigger, &*names) {
        (Some(name), _) => name.clone(),
        (None, [only]) => (*only).to_owned(),
        (None, _) => {
            return Err(
                Error::usage("the policy has several triggers: which is to be tuned?")
                    .hint(format!("say `--trigger NAME`: one of {}", names.join(", "))),
            );
        }
    };
    let axes = Axes {
        trigger,
        signal: args.signal.clone(),
        limits: args.limits.clone(),
        holds: args.holds.clone(),
        windows: args.windows.clone(),
    };
    // A month of a Prometheus is not fetched for a name that is misspelt.
    axes.check(&file.loaded).map_err(refused)?;
    let labelled = args.labelled(&policy.service)?;
    let recording = args.recorded.read(&[policy])?;
    let tuned = tune(&file.loaded, &recording, &axes, labelled.as_deref()).map_err(refused)?;
    let written = match args.format {
        TuneFormat::Json => out::json(&tuned)?,
        TuneFormat::Html => tuning_page(&tuned),
        TuneFormat::Text => text(&tuned),
    };
    out::put(args.output.as_deref(), &written)?;
    Ok(Done::Well)
}

fn refused(fault: TuneFault) -> Error {
    let error = Error::usage(fault.message);
    match fault.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

impl Args {
    fn labelled(&self, service: &str) -> Result<Option<Vec<Labelled>>, Error> {
        if self.own_incidents {
            return match own_incidents(&self.recorded.journal()?, service) {
                Ok(own) => {
                    out::warn(&format!(
                        "of the own incidents {} are taken as real; {} were dismissed, of {} nobody \
                         said anything",
                        own.labelled.len(),
                        own.dismissed,
                        own.unknown
                    ));
                    Ok(Some(own.labelled))
                }
                Err(OwnFault::Past(e)) => Err(Error::of(&e).hint(WHOSE)),
                Err(OwnFault::None(fault)) => Err(refused(fault)),
            };
        }
        let Some(path) = &self.incidents else {
            return Ok(None);
        };
        let name = path.display();
        let csv = fs::read_to_string(path)
            .map_err(|e| Error::failed(format!("cannot read {name}")).because_of(Some(&e)))?;
        match labels(&csv) {
            Ok(labelled) => Ok(Some(labelled)),
            Err(faults) => Err(Error::usage(format!("{name}: {faults}"))),
        }
    }
}

fn text(tuned: &Tuned) -> String {
    let own = &tuned.choices[tuned.own];
    let mut text = format!(
        "{}: {}, `{}`\n{} ticks from {} to {}",
        tuned.service,
        tuned.trigger,
        own.when,
        value::count(tuned.ticks as f64),
        tuned.from,
        tuned.to
    );
    match &tuned.incidents {
        Some(incidents) => {
            let _ = writeln!(text, "; {}", counted(incidents.len(), "labelled incident"));
        }
        None => text.push_str("; no labelled incidents\n"),
    }
    for warning in &tuned.warnings {
        let _ = writeln!(text, "  note: {warning}");
    }
    for (w, window) in tuned.windows.iter().enumerate() {
        text.push('\n');
        if tuned.windows.len() > 1 {
            let _ = writeln!(text, "over {window}");
        }
        grid(tuned, w, &mut text);
    }
    text.push('\n');
    if let Some(incidents) = &tuned.incidents {
        text.push_str(
            "Shaded by the balance of precision and recall; incidents caught + false fires; * no \
             other choice beats it, = the policy's own.\n",
        );
        unbeaten(tuned, incidents.len(), &mut text);
    } else {
        text.push_str("How often each choice would have fired; = the policy's own.\n");
        fired(tuned, &mut text);
    }
    releases(tuned, &mut text);
    paste(tuned, &mut text);
    text
}

/// A line for each limit, a column for each hold.
fn grid(tuned: &Tuned, w: usize, text: &mut String) {
    let most = tuned
        .choices
        .iter()
        .map(|c| c.fired)
        .max()
        .unwrap_or(0)
        .max(1);
    let cell = |l: usize, h: usize| {
        tuned
            .at((w, l, h))
            .map_or_else(String::new, |(index, choice)| {
                let (shade, said, unbeaten) = match &choice.score {
                    Some(score) => (
                        score.balance(),
                        format!("{}+{}", score.caught, score.false_fires),
                        score.unbeaten,
                    ),
                    None => (
                        choice.fired as f64 / most as f64,
                        choice.fired.to_string(),
                        false,
                    ),
                };
                let mark = match (unbeaten, index == tuned.own) {
                    (true, true) => "*=",
                    (true, false) => "*",
                    (false, true) => "=",
                    (false, false) => "",
                };
                format!("{}{said}{mark}", block(shade))
            })
    };
    let lines: Vec<Vec<String>> = (0..tuned.limits.len())
        .map(|l| (0..tuned.holds.len()).map(|h| cell(l, h)).collect())
        .collect();
    let chars = |text: &String| text.chars().count();
    let corner = if tuned.signal.is_some() {
        "limit \\ hold"
    } else {
        "hold"
    };
    let first = tuned.limits.iter().map(chars).max().unwrap_or(0);
    let first = first.max(corner.chars().count());
    let width = |h: usize| {
        let cells = lines.iter().map(|line| chars(&line[h]));
        cells.max().unwrap_or(0).max(chars(&tuned.holds[h]))
    };
    let widths: Vec<usize> = (0..tuned.holds.len()).map(width).collect();
    let mut line = |name: &str, cells: &[String]| {
        let _ = write!(text, "{name:>first$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "  {cell:<width$}");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    line(corner, &tuned.holds);
    for (limit, cells) in tuned.limits.iter().zip(&lines) {
        line(limit, cells);
    }
}

/// How dark a share is, 0 to 1.
fn block(share: f64) -> char {
    match share {
        share if share <= 0.0 => '·',
        share if share < 0.34 => '░',
        share if share < 0.67 => '▒',
        share if share < 0.95 => '▓',
        _ => '█',
    }
}

fn unbeaten(tuned: &Tuned, incidents: usize, text: &mut String) {
    let mut rows: Vec<(&Choice, &Score, usize)> = Vec::new();
    for (index, choice) in tuned.choices.iter().enumerate() {
        let Some(score) = choice.score.as_ref().filter(|score| score.unbeaten) else {
            continue;
        };
        // Choices that did the very same are told once, by the one to paste.
        match rows.iter_mut().find(|(_, known, _)| *known == score) {
            Some((first, _, more)) => {
                *more += 1;
                if tuned.suggested == Some(index) {
                    *first = choice;
                }
            }
            None => rows.push((choice, score, 0)),
        }
    }
    rows.sort_by(|(_, a, _), (_, b, _)| b.balance().total_cmp(&a.balance()));
    text.push('\n');
    let own = tuned.choices[tuned.own].score.as_ref();
    let own = own.filter(|score| !score.unbeaten);
    let own = own.map(|score| (&tuned.choices[tuned.own], score, 0));
    for (choice, score, more) in rows.into_iter().chain(own) {
        let more = match more {
            0 => String::new(),
            more => format!(" (and {more} more that did the same)"),
        };
        let mark = if score.unbeaten { '*' } else { '=' };
        let _ = writeln!(text, "{mark} {}{more}", choice.when);
        let share = |x: f64| value::number(x, Unit::Ratio);
        let _ = writeln!(
            text,
            "    caught {} of {incidents}, {}, precision {}, recall {}, detected after {}, {} saved",
            score.caught,
            false_ones(score),
            score.precision.map_or_else(|| "-".to_owned(), share),
            share(score.recall),
            score.detect_seconds.map_or_else(|| "-".to_owned(), span),
            span(score.saved_seconds),
        );
    }
}

/// `2 false fires (8.4 a month), 1 false rollback (4.2 a month)`.
fn false_ones(score: &Score) -> String {
    let said = |n: usize, a_month: f64, what: &str| match n {
        0 => format!("0 {what}s"),
        n => format!(
            "{} ({} a month)",
            counted(n, what),
            value::number(a_month, Unit::Plain)
        ),
    };
    let fires = said(score.false_fires, score.false_fires_a_month, "false fire");
    match (score.false_rollbacks, score.false_rollbacks_a_month) {
        (Some(n), Some(a_month)) => format!("{fires}, {}", said(n, a_month, "false rollback")),
        _ => fires,
    }
}

fn fired(tuned: &Tuned, text: &mut String) {
    let own = &tuned.choices[tuned.own];
    let _ = write!(
        text,
        "\n= {}\n    fired {}",
        own.when,
        value::times(own.fired as u64)
    );
    if own.fired > 0 {
        let _ = write!(
            text,
            ", {} in all, {} a month",
            span(own.fired_seconds),
            value::number(own.fires_a_month, Unit::Plain)
        );
    }
    text.push('\n');
    for fire in own.fires.iter().take(10) {
        let _ = writeln!(text, "    {} for {}", fire.at, span(fire.seconds));
    }
    if own.fires.len() > 10 {
        let _ = writeln!(
            text,
            "    and {} more: `--format json` has all",
            own.fires.len() - 10
        );
    }
}

fn releases(tuned: &Tuned, text: &mut String) {
    if tuned.releases.is_empty() {
        return;
    }
    text.push_str("\nReleases, and when each would have been fired against:\n");
    let fired = |after: Option<f64>| {
        after.map_or_else(|| "never".to_owned(), |s| format!("after {}", span(s)))
    };
    for ran in &tuned.releases {
        let _ = write!(
            text,
            "  {} from {}: the policy's own {}",
            value::one_line(&ran.version, 80),
            ran.from,
            fired(ran.own_fired_after_seconds)
        );
        if tuned.suggested.is_some_and(|best| best != tuned.own) {
            let _ = write!(
                text,
                ", the suggested {}",
                fired(ran.suggested_fired_after_seconds)
            );
        }
        let _ = writeln!(
            text,
            "; {} of {} choices",
            ran.choices_that_fired,
            tuned.choices.len()
        );
    }
}

fn paste(tuned: &Tuned, text: &mut String) {
    match (&tuned.paste, &tuned.incidents) {
        (Some(_), _) if tuned.suggested == Some(tuned.own) => {
            text.push_str("\nNo choice is better than the policy's own: it can stay.\n");
        }
        (Some(line), _) => {
            let _ = write!(
                text,
                "\nOf the choices that no other beats this has the best balance:\n\n[triggers.{}]\n{line}\n",
                tuned.trigger
            );
        }
        (None, Some(_)) => text.push_str("\nNo choice caught a labelled incident.\n"),
        (None, None) => text.push_str(
            "\nWhich of these were right? `--incidents FILE` takes a CSV of `from,to`, and tells \
             true fires from false ones.\n",
        ),
    }
}

fn span(seconds: f64) -> String {
    value::span(Duration::try_from_secs_f64(seconds.round()).unwrap_or_default())
}

fn counted(n: usize, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {one}{s}")
}
