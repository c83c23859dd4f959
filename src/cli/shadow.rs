//! `backstop shadow`: what triggers in shadow would have done, and what people
//! did within the hour.

use super::socket::Socket;
use super::{Done, Error, Format, out};
use crate::view::ledger::LedgerView;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// This service only.
    service: Option<String>,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, socket: &Socket) -> Result<Done, Error> {
    let ledgers: Vec<LedgerView> = socket.ask(async |client| match &args.service {
        Some(service) => client.get(&["services", service, "shadow"]).await,
        None => client.get(&["shadow"]).await,
    })?;
    match args.format {
        Format::Json => out::say_json(&ledgers)?,
        Format::Text => out::say(&LedgerView::text(&ledgers, out::style()))?,
    }
    Ok(Done::Well)
}
