//! `backstop reload`: read the policies again.

use std::fmt::Write as _;

use super::socket::Socket;
use super::{Done, Error, out};
use crate::control::Reloaded;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, socket: &Socket) -> Result<Done, Error> {
    let reloaded: Reloaded = socket.ask(async |client| client.post(&["reload"]).await)?;
    out::say(&told(&reloaded))?;
    Ok(if reloaded.successful {
        Done::Well
    } else {
        Done::With(2)
    })
}

fn told(reloaded: &Reloaded) -> String {
    let mut text = String::new();
    for refused in &reloaded.refused {
        let _ = writeln!(text, "{}\n", refused.trim_end());
    }
    for problem in &reloaded.preflight {
        let _ = writeln!(text, "not ready: {problem}");
    }
    for (verb, services) in [
        ("in force", &reloaded.revised),
        ("guarded no more", &reloaded.removed),
    ] {
        if !services.is_empty() {
            let _ = writeln!(text, "{verb}: {}", services.join(", "));
        }
    }
    if !reloaded.config.is_empty() {
        let _ = writeln!(
            text,
            "in force of the agent's config: {}",
            reloaded.config.join(", ")
        );
    }
    if !reloaded.restart.is_empty() {
        let _ = writeln!(text, "takes a restart: {}", reloaded.restart.join(", "));
    }
    if !reloaded.refused.is_empty() {
        text.push_str("what was refused is guarded as before\n");
    } else if text.is_empty() {
        text.push_str("nothing has changed\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_and_what_was_refused_are_both_told() {
        assert_eq!(told(&Reloaded::default()), "nothing has changed\n");
        let reloaded = Reloaded {
            successful: false,
            revised: vec!["cart".into(), "checkout".into()],
            removed: vec!["old".into()],
            refused: vec!["error: unknown key\n".into()],
            preflight: vec!["checkout: `systemctl` is not there".into()],
            config: vec!["roles".into(), "tokens".into()],
            restart: vec!["http".into()],
        };
        assert_eq!(
            told(&reloaded),
            "error: unknown key\n\n\
             not ready: checkout: `systemctl` is not there\n\
             in force: cart, checkout\n\
             guarded no more: old\n\
             in force of the agent's config: roles, tokens\n\
             takes a restart: http\n\
             what was refused is guarded as before\n"
        );
    }
}
