//! What a command takes, told to clap when that command is typed.
//!
//! clap learns all of a program's arguments before it reads the first one. An
//! agent would keep that in memory for as long as it runs: a megabyte of the
//! program's pages that nothing else has a use for, to read `backstop run`.

use clap::builder::Resettable;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// The arguments of a command, with nothing said of them before it is typed:
/// no help of their own stands on them, but on the command.
#[derive(Debug)]
pub(super) struct Later<A>(pub(super) A);

impl<A: Args> Args for Later<A> {
    fn augment_args(command: Command) -> Command {
        command.defer(|command| say_again(command, A::augment_args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(|command| say_again(command, A::augment_args_for_update))
    }
}

impl<A: FromArgMatches> FromArgMatches for Later<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Adds arguments, and keeps what the command says of itself: arguments that
/// several commands share have words of their own.
fn say_again(command: Command, add: fn(Command) -> Command) -> Command {
    let about = Resettable::from(command.get_about().cloned());
    let long_about = Resettable::from(command.get_long_about().cloned());
    add(command).about(about).long_about(long_about)
}
