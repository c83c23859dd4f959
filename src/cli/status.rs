//! `backstop status`: what each trigger sees, and what blocks it.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::socket::{Socket, explained, runtime};
use super::{Done, Error, Format, out};
use crate::control::{Client, ClientError};
use crate::view::Status;

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// This service only.
    service: Option<String>,
    /// Show it anew each second, until interrupted.
    #[arg(long)]
    watch: bool,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, socket: &Socket) -> Result<Done, Error> {
    if args.watch {
        return watch(args, socket);
    }
    let status = socket.ask(async |client| look(args, client).await)?;
    match args.format {
        Format::Json => out::say_json(&status)?,
        Format::Text => out::say(&status.text(out::style()))?,
    }
    Ok(Done::Well)
}

async fn look(args: &Args, client: &Client) -> Result<Status, ClientError> {
    match &args.service {
        Some(service) => client.get(&["services", service]).await,
        None => client.get(&["status"]).await,
    }
}

/// Each second, until somebody interrupts it. An agent that goes away later,
/// for an upgrade say, is waited for.
fn watch(args: &Args, socket: &Socket) -> Result<Done, Error> {
    runtime()?.block_on(async {
        let client = socket.client()?;
        let mut next = tokio::time::interval(EVERY);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = false;
        loop {
            next.tick().await;
            let text = match look(args, &client).await {
                Ok(status) => {
                    seen = true;
                    shown(&status, args.format)?
                }
                Err(error) if seen => explained(&error).to_string(),
                Err(error) => return Err(explained(&error)),
            };
            out::say(&frame(&text, args.format))?;
        }
    })
}

/// As a person sees it, or as one line for a program.
fn shown(status: &Status, format: Format) -> Result<String, Error> {
    match format {
        Format::Text => Ok(status.text(out::style())),
        Format::Json => serde_json::to_string(status)
            .map_err(|e| Error::failed("cannot write the result").because_of(Some(&e))),
    }
}

/// Drawn over the one before: home, each line cleared to its end, then the rest
/// of the screen. Nothing flickers, because nothing is blank in between.
fn frame(text: &str, format: Format) -> String {
    if format == Format::Json || !io::stdout().is_terminal() {
        return format!("{text}\n");
    }
    let mut frame = String::from("\x1b[H");
    for line in text.lines() {
        frame.push_str(line);
        frame.push_str("\x1b[K\n");
    }
    frame.push_str("\x1b[J");
    frame
}
