//! `backstop incidents`: the list, or one whole timeline.

use super::socket::Socket;
use super::{Done, Error, Format, out};
use crate::control::parse_number;
use crate::view::incidents::{IncidentLine, IncidentView, list_text};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The incident to show whole; without one, all are listed.
    #[arg(value_name = "N", value_parser = parse_number)]
    number: Option<u64>,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, socket: &Socket) -> Result<Done, Error> {
    match args.number {
        None => list(args.format, socket),
        Some(number) => one(number, args.format, socket),
    }?;
    Ok(Done::Well)
}

fn list(format: Format, socket: &Socket) -> Result<(), Error> {
    let lines: Vec<IncidentLine> = socket.ask(async |client| client.get(&["incidents"]).await)?;
    match format {
        Format::Json => out::say_json(&lines),
        Format::Text => out::say(&list_text(&lines, out::style())),
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
