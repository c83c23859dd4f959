//! `backstop release`: what a person says of a release.

use clap::ValueEnum;

use super::socket::Socket;
use super::{Done, Error};
use crate::control::Declare;
use crate::model;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service.
    service: String,
    /// What the release is.
    #[arg(value_enum)]
    word: Word,
    /// The release.
    version: String,
    /// Why, in your words: others will read it.
    #[arg(long)]
    reason: String,
}

/// What a release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Word {
    /// It may be gone back to.
    Good,
    /// It is never gone back to.
    Bad,
    /// Takes your word back: what is observed from now on counts.
    Unproven,
    /// It comes with a migration that cannot be taken back: what was deployed
    /// before it is never gone back to. Say so before the migration runs.
    Irreversible,
    /// Takes that word back.
    Reversible,
}

impl From<Word> for model::Word {
    fn from(word: Word) -> Self {
        match word {
            Word::Good => Self::Good,
            Word::Bad => Self::Bad,
            Word::Unproven => Self::Unproven,
            Word::Irreversible => Self::Irreversible,
            Word::Reversible => Self::Reversible,
        }
    }
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let declare = Declare {
        version: args.version,
        word: args.word.into(),
        reason: args.reason,
    };
    socket.order(&["services", &args.service, "release"], &declare)
}
