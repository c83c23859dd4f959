//! `backstop incidents`: the list, or one whole timeline.

use super::socket::Socket;
use super::{Done, Error, Format, out};
use crate::control::{Malformed, parse_number, parse_period};
use crate::view::incidents::{IncidentLine, IncidentView, list_text};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The incident to show whole; without one, all are listed.
    #[arg(value_name = "N", value_parser = parse_number)]
    number: Option<u64>,
    /// Every incident that the journal has.
    #[arg(long, conflicts_with = "number")]
    all: bool,
    /// Every one that was open in this time, such as `7d`.
    #[arg(long, value_name = "TIME", value_parser = checked, conflicts_with = "number")]
    since: Option<String>,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Refused here already, with the place, rather than by the agent.
fn checked(text: &str) -> Result<String, Malformed> {
    parse_period(text).map(|_| text.to_owned())
}

pub(super) fn run(args: &Args, socket: &Socket) -> Result<Done, Error> {
    match args.number {
        None => list(args, socket),
        Some(number) => one(number, args.format, socket),
    }?;
    Ok(Done::Well)
}

fn list(args: &Args, socket: &Socket) -> Result<(), Error> {
    let lines = if args.all || args.since.is_some() {
        past(args.since.as_ref(), socket)?
    } else {
        socket.ask(async |client| client.get(&["incidents"]).await)?
    };
    match args.format {
        Format::Json => out::say_json(&lines),
        Format::Text => out::say(&list_text(&lines, out::style())),
    }
}

/// Page by page, from the newest to the oldest.
fn past(since: Option<&String>, socket: &Socket) -> Result<Vec<IncidentLine>, Error> {
    let mut all: Vec<IncidentLine> = Vec::new();
    loop {
        let before = all.last().map_or(u64::MAX, |line| line.number);
        let mut narrowed = vec![("before", before.to_string())];
        narrowed.extend(since.map(|since| ("within", since.clone())));
        let page: Vec<IncidentLine> =
            socket.ask(async |client| client.list(&["incidents"], &narrowed).await)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn one(number: u64, format: Format, socket: &Socket) -> Result<(), Error> {
    let number = number.to_string();
    let incident: IncidentView =
        socket.ask(async |client| client.get(&["incidents", &number]).await)?;
    match format {
        Format::Json => out::say_json(&incident),
        Format::Text => out::say(&incident.text(out::style())),
    }
}
