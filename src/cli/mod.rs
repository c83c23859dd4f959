//! What a person types, and what it means: one file per subcommand.
//!
//! Each file has its `Args`, as clap reads them, and a `run` that takes them and
//! ends in a [`Done`] or an [`Error`]. Nothing is decided here: the agent
//! decides, and these talk to it or read what it wrote down.

mod abort;
mod ack;
mod answer;
mod approve;
mod check;
mod completions;
mod demo;
mod deploy;
mod drill;
mod error;
mod freeze;
mod history;
mod incidents;
mod loss;
mod man;
mod notify;
mod out;
mod places;
mod prometheus;
mod push;
mod range;
mod recorded;
mod reject;
mod release;
mod reload;
mod replay;
mod report;
mod rollback;
mod run;
mod socket;
mod status;
mod test;
mod token;
mod unfreeze;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

pub use error::Error;
use socket::Socket;

/// What scripts go by.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 bad usage or an invalid policy; \
                          3 no agent answers on the socket.";

/// Rolls a bad release back, proves that this cured it, and calls a person when
/// it did not.
#[derive(Debug, Parser)]
#[command(name = "backstop", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// The agent's control socket.
    #[arg(
        long,
        global = true,
        display_order = 900,
        value_name = "PATH",
        env = "BACKSTOP_SOCKET",
        hide_env_values = true
    )]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Check(check::Args),
    Status(status::Args),
    Incidents(incidents::Args),
    Report(report::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Ack(ack::Args),
    Loss(loss::Args),
    Rollback(rollback::Args),
    Drill(drill::Args),
    Abort(abort::Args),
    Freeze(freeze::Args),
    Unfreeze(unfreeze::Args),
    Deploy(deploy::Args),
    Release(release::Args),
    Push(push::Args),
    Reload(reload::Args),
    Watch(watch::Args),
    Notify(notify::Args),
    Token(token::Args),
    Completions(completions::Args),
    Man(man::Args),
    DemoService(demo::ServiceArgs),
    Replay(replay::Args),
    History(history::Args),
    Test(test::Args),
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
        let named = self.socket;
        let socket = || Socket::find(named.clone());
        match self.command {
            Command::Demo(args) => demo::run(&args),
            Command::DemoService(args) => demo::run_service(&args),
            Command::Run(args) => run::run(args, named),
            Command::Check(args) => check::run(&args),
            Command::Status(args) => status::run(&args, &socket()),
            Command::Incidents(args) => incidents::run(&args, &socket()),
            Command::Report(args) => report::run(&args, &socket()),
            Command::Approve(args) => approve::run(args, &socket()),
            Command::Reject(args) => reject::run(args, &socket()),
            Command::Ack(args) => ack::run(args, &socket()),
            Command::Loss(args) => loss::run(args, &socket()),
            Command::Rollback(args) => rollback::run(args, &socket()),
            Command::Drill(args) => drill::run(args, &socket()),
            Command::Abort(args) => abort::run(args, &socket()),
            Command::Freeze(args) => freeze::run(args, &socket()),
            Command::Unfreeze(args) => unfreeze::run(args, &socket()),
            Command::Deploy(args) => deploy::run(args, &socket()),
            Command::Release(args) => release::run(args, &socket()),
            Command::Push(args) => push::run(args, &socket()),
            Command::Reload(args) => reload::run(&args, &socket()),
            Command::Watch(args) => watch::run(args, &socket()),
            Command::Notify(args) => notify::run(&args),
            Command::Token(args) => token::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
            Command::Replay(args) => replay::run(&args),
            Command::History(args) => history::run(&args),
            Command::Test(args) => test::run(&args),
        }
    }
}
