//! What a person types, and what it means: one file per subcommand.
//!
//! Each file has its `Args`, as clap reads them, and a `run` that takes them and
//! ends in a [`Done`] or an [`Error`]. Nothing is decided here: the agent
//! decides, and these talk to it or read what it wrote down.

mod check;
mod error;
mod places;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

pub use error::Error;

/// Rolls a bad release back, proves that this cured it, and calls a person when
/// it did not.
#[derive(Debug, Parser)]
#[command(name = "backstop", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
}

/// How a command that could be carried out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// As it should.
    Well,
    /// With an exit code that says something: SPEC 2 lists them.
    With(u8),
}

/// How output is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs, with stable names.
    Json,
}

/// The program.
///
/// clap ends it by itself with 0 for `--help` and `--version`, and with 2 for
/// what it cannot read.
pub fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::With(code)) => ExitCode::from(code),
        Err(error) => {
            error.print();
            ExitCode::from(error.code())
        }
    }
}

impl Cli {
    /// Does what was typed.
    ///
    /// # Errors
    ///
    /// What could not be done, and what to do about it.
    pub fn run(self) -> Result<Done, Error> {
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Check(args) => check::run(&args),
        }
    }
}
