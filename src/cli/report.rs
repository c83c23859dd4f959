//! `backstop report`: the incident report.

use clap::ValueEnum;

use super::socket::Socket;
use super::{Done, Error, out};
use crate::control::parse_number;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The incident.
    #[arg(value_name = "N", value_parser = parse_number)]
    number: u64,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
}

/// The formats of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people, and for where they keep such pages.
    #[default]
    Markdown,
    /// One file with its plots, for a browser, for a mail, or to print.
    Html,
}

pub(super) fn run(args: &Args, socket: &Socket) -> Result<Done, Error> {
    let number = args.number.to_string();
    let report = socket.ask(async |client| match args.format {
        ReportFormat::Markdown => client.text(&["incidents", &number, "report"]).await,
        ReportFormat::Html => client.text(&["incidents", &number, "report", "html"]).await,
    })?;
    out::say(&report)?;
    Ok(Done::Well)
}
