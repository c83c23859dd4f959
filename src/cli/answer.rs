//! What a person says to an incident: which one, as whom, and why.

use super::socket::Socket;
use super::{Done, Error};
use crate::control::{Answer, parse_number};

/// The arguments of `ack`, `approve` and `reject`.
#[derive(Debug, clap::Args)]
// Two `Args`, one inside the other, would be two groups of one name.
#[group(skip)]
pub(super) struct Args {
    #[command(flatten)]
    incident: Incident,
    /// The role to speak as; you must hold it.
    #[arg(long = "as", value_name = "ROLE")]
    role: Option<String>,
}

/// An incident, and a reason for what is done about it.
#[derive(Debug, clap::Args)]
pub(super) struct Incident {
    /// The incident.
    #[arg(value_name = "N", value_parser = parse_number)]
    number: u64,
    /// Why, in your words: others will read it.
    #[arg(long)]
    reason: Option<String>,
}

impl Args {
    pub(super) fn say(self, word: &str, socket: &Socket) -> Result<Done, Error> {
        self.incident.say(word, self.role, socket)
    }
}

impl Incident {
    pub(super) fn say(
        self,
        word: &str,
        role: Option<String>,
        socket: &Socket,
    ) -> Result<Done, Error> {
        let answer = Answer {
            role,
            reason: self.reason.unwrap_or_default(),
        };
        socket.order(&["incidents", &self.number.to_string(), word], &answer)
    }
}
