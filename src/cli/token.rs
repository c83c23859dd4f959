//! `backstop token`: a secret for a program that tells the agent something over
//! HTTP.

use std::fmt::Write as _;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Done, Error, out};
use crate::control::sha256;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the config calls it, such as `alertmanager` or `ci`.
    #[arg(value_parser = checked)]
    name: String,
}

/// A name that the config takes as it is.
fn checked(text: &str) -> Result<String, String> {
    let fits = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c));
    if fits {
        return Ok(text.to_owned());
    }
    Err("small letters, digits, `-` and `_`, starting with a letter or digit, at most 64".into())
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let mut secret = [0; 32];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| Error::failed("the system gives no random bytes"))?;
    let token = format!("bst_{}", hex(&secret));
    out::say(&format!(
        "{token}\n\n[tokens.{}]\nsha256 = \"{}\"\n",
        args.name,
        hex(&sha256(token.as_bytes()))
    ))?;
    Ok(Done::Well)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
