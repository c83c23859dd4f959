//! The agent that a command talks to, and what is said when it does not answer.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::places::Places;
use super::{Done, Error, out};
use crate::control::{Client, ClientError};

/// The system's agent: whoever is in its group reaches it, without a socket of
/// their own.
const SYSTEM: &str = "/run/backstop/control.sock";

/// What to look at when an answer is not understood.
const VERSIONS: &str = "the agent may be of another version: compare `backstop --version` with what `backstop status --format json` says";

/// Where the agent listens.
#[derive(Clone, Debug)]
pub(super) struct Socket(PathBuf);

impl Socket {
    /// The one that was named; else this user's, or the system's where this
    /// user has none.
    pub(super) fn find(named: Option<PathBuf>) -> Self {
        let own = || Places::of_this_user().socket;
        Self(named.unwrap_or_else(|| choose(own(), Path::new(SYSTEM), is_there)))
    }

    /// Asks, and awaits the answer.
    pub(super) fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> Result<T, Error> {
        let client = self.client()?;
        runtime()?.block_on(async { question(&client).await.map_err(|e| explained(&e)) })
    }

    /// A client of it.
    pub(super) fn client(&self) -> Result<Client, Error> {
        Client::new(&self.0).map_err(|e| explained(&e))
    }

    /// Orders something and tells what came of it: an order that the agent does
    /// not follow is a failure, with its reason.
    pub(super) fn order(&self, route: &[&str], body: &impl Serialize) -> Result<Done, Error> {
        let taken = self.ask(async |client| client.order(route, body).await)?;
        if !taken.accepted {
            return Err(Error::failed(taken.said.join("; ")));
        }
        for line in &taken.said {
            out::say(&format!("{line}\n"))?;
        }
        if let Some(why) = &taken.not_durable {
            out::warn(&format!("a crash may make the agent forget this: {why}"));
        }
        Ok(Done::Well)
    }
}

fn choose(own: PathBuf, system: &Path, is_there: impl Fn(&Path) -> bool) -> PathBuf {
    if !is_there(&own) && is_there(system) {
        return system.to_owned();
    }
    own
}

/// A directory that may not be entered has a socket in it, as far as one can
/// tell: the answer will say whose group it takes.
fn is_there(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(e) => e.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// One thread is enough to await one answer.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::failed("cannot start").because_of(Some(&e)))
}

/// What the client says, with what to do about it.
pub(super) fn explained(error: &ClientError) -> Error {
    let message = error.to_string();
    match error {
        ClientError::NoAgent { source, .. } => Error::no_agent(message)
            .because_of(Some(source))
            .hint("`systemctl status backstop` shows the system's agent; `backstop run` starts one; `--socket` names another one's socket"),
        ClientError::Denied { group, .. } => Error::no_agent(message).hint(match group {
            Some(group) => format!("it is for the group `{group}`: have root run `usermod -aG {group} YOU`, then log in again"),
            None => "its directory is for the agent's group: have root run `usermod -aG backstop YOU`, then log in again".to_owned(),
        }),
        ClientError::NoAnswer { source, .. } => {
            Error::no_agent(message).because_of(Some(source))
        }
        ClientError::Nonsense { source, .. } => Error::failed(message)
            .because_of(Some(source))
            .hint(VERSIONS),
        ClientError::Garbled { source, .. } => Error::failed(message)
            .because_of(Some(source))
            .hint(VERSIONS),
        ClientError::Refused { malformed, problem } => {
            let refused = if *malformed {
                Error::usage(message)
            } else {
                Error::failed(message)
            };
            match &problem.hint {
                Some(hint) => refused.hint(hint),
                None => refused,
            }
        }
        ClientError::Setup(source) => Error::failed(message).because_of(Some(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_an_agent_of_their_own_reaches_the_system_s() {
        let own = PathBuf::from("/run/user/1000/backstop/control.sock");
        let system = Path::new(SYSTEM);
        assert_eq!(choose(own.clone(), system, |path| path == system), system);
        assert_eq!(choose(own.clone(), system, |_| true), own);
        assert_eq!(choose(own.clone(), system, |_| false), own);
    }
}
