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
mod line;
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
mod schema;
mod shadow;
mod socket;
mod status;
mod test;
mod token;
mod tune;
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

/// The commands, as `--help` lists them. What one takes is in its own file.
#[derive(Debug, Subcommand)]
enum Command {
    /// Guard services: the agent
    ///
    /// Runs until it is stopped by SIGTERM or SIGINT; SIGHUP reads the policies
    /// again.
    Run(run::Args),
    /// The whole story on this machine in about a minute, nothing installed
    ///
    /// Starts a small HTTP service with a good and a bad release, sends it traffic,
    /// deploys the bad one, and lets the agent find it, roll it back and verify the
    /// cure. Exits with 0 only if the rollback was verified.
    Demo(demo::Args),
    /// Check config and policies
    ///
    /// Reports every fault with its place and a hint, then what is allowed but
    /// probably not meant. Exits with 2 if anything is refused.
    Check(check::Args),
    /// Show what each trigger sees
    ///
    /// For every row of the decision matrix: its value and limit, how far it is
    /// into its hold, what blocks it, and why.
    Status(status::Args),
    /// Show what triggers in shadow would have done
    ///
    /// For each trigger in shadow: every fire with its time and value, what it would
    /// have done or which gate held it, what people did within the hour, and whether
    /// the trigger is fit to enforce by its policy's `promote`.
    Shadow(shadow::Args),
    /// List incidents, or show one with its timeline
    ///
    /// Listed are those that are open and the last sixteen of each service. With
    /// `--all` or `--since` the journal is read for older ones.
    Incidents(incidents::Args),
    /// Write an incident's report
    ///
    /// What happened, on what evidence, who decided, what was run, and whether it
    /// helped; with room for what people find out afterwards.
    Report(report::Args),
    /// Agree to the rollback that an incident asks for
    ///
    /// Who you are, the socket knows. A person counts once, however often they say
    /// it; the rollback begins when enough people have agreed.
    Approve(approve::Args),
    /// Refuse the rollback that an incident asks for
    ///
    /// One refusal is enough: the incident is dismissed.
    Reject(reject::Args),
    /// Say that you look after an incident
    ///
    /// Escalation pauses for 30 minutes. It decides nothing: an acknowledgement is
    /// no approval.
    Ack(ack::Args),
    /// Say what was lost in an incident
    ///
    /// It goes into the report, beside what the queries of the plan counted, and
    /// calls the levels of escalation whose bound it is above. Also of an incident
    /// that is closed: then nobody is called.
    Loss(loss::Args),
    /// Roll a service back now
    ///
    /// The same plan and the same gates as for a trigger, except hold, cooldown and
    /// budget; it counts against the budget all the same.
    Rollback(rollback::Args),
    /// Rehearse a rollback: would it work?
    ///
    /// Nothing is changed: the release to go to is looked for, every gate is asked,
    /// every check is run, every other step is filled in and asked whether it could
    /// be done, and whoever would be told gets one notice that says that it is a
    /// drill. Exits with 1 unless all was as it should be. With `--execute` the
    /// plan is really run, as by `backstop rollback`, and followed until its cure
    /// is proven.
    Drill(drill::Args),
    /// Stop a running rollback after its current step
    ///
    /// The step under way is left to end; steps that always run still do. Where
    /// only the verification is left, it ends at once. Then a person is called.
    Abort(abort::Args),
    /// Stop acting on a service for a while
    ///
    /// It goes on judging and telling, and acts again when the time is over or
    /// somebody says `backstop unfreeze`. A rollback that runs already goes on.
    Freeze(freeze::Args),
    /// Act on a service again
    ///
    /// Lifts a freeze before its time; also what the agent waits for when it does
    /// not trust its own record.
    Unfreeze(unfreeze::Args),
    /// Tell the agent that a release has been deployed
    ///
    /// For services whose running release nothing else shows: a pipeline says it
    /// when it has deployed.
    Deploy(deploy::Args),
    /// Say what a release is: good, bad, irreversible
    ///
    /// Your word outranks what the agent observed: a bad release is never gone back
    /// to, a good one may be. `irreversible` is said of the release that comes with
    /// a migration: nothing from before it can be gone back to. Your word sets nothing in motion: a bad release that runs is
    /// rolled back by `backstop rollback`. When the agent rolls back from a release,
    /// that is newer than what was said of it before.
    Release(release::Args),
    /// Tell a service's policy something that nothing measures
    ///
    /// A confirmed breach, a ticket, a number from another system. The policy's
    /// `push` sources say what may be told, and who may. It is on disk when this
    /// command returns, and judged at the next tick.
    Push(push::Args),
    /// Have the agent read its policies and its config again
    ///
    /// It does so by itself when they change; this waits for it, and says what came
    /// of it. A policy that is refused leaves the one that ran before in force;
    /// then it exits with 2.
    Reload(reload::Args),
    /// Wait until a release has proven itself, for pipelines
    ///
    /// Waits through the bake time, follows an incident to its end, and says by its
    /// exit code what became of the release. Where GitHub Actions runs it, it
    /// annotates the run and writes a step summary.
    Watch(watch::Args),
    /// Try how people are reached
    Notify(notify::Args),
    /// Make a token for a program that pushes over HTTP
    ///
    /// Prints the token, which is shown this once, and the lines for the agent's
    /// config, which hold only its hash. Nothing is written and no agent is asked;
    /// the agent notices by itself when its config changes.
    Token(token::Args),
    /// Print the JSON Schema of policies, for editors
    ///
    /// For example: `backstop schema > policy.schema.json`, and as the first line of
    /// a policy `#:schema ./policy.schema.json`. Editors with Taplo (Even Better
    /// TOML) complete keys by it and say what they mean; `backstop check` says more.
    Schema,
    /// Write completions for a shell
    ///
    /// For example: `backstop completions bash >
    /// /usr/share/bash-completion/completions/backstop`.
    Completions(completions::Args),
    /// Write the man pages
    ///
    /// Prints the page of one command, or writes all of them into a directory.
    Man(man::Args),
    /// What `backstop demo` starts.
    #[command(hide = true)]
    DemoService(demo::ServiceArgs),
    /// Run the same engine over recorded samples: what would have happened
    ///
    /// The samples are OpenMetrics text with timestamps, the agent's own history, or
    /// what a Prometheus has kept. Nothing is run and nobody is told, whatever the
    /// policy's mode.
    Replay(replay::Args),
    /// What there is of the past: from when to when, with gaps and why
    ///
    /// Reads the files of the state directory, whether an agent runs or not, and
    /// writes nothing there.
    History(history::Args),
    /// Run the tests of policies
    ///
    /// A test file stands beside its policy: checkout.test.toml tests
    /// checkout.toml. Each test says what the sources answer and what must come of
    /// it, and is run by the engine that the agent runs. Nothing else is run, and
    /// nobody is told. Exits with 1 if a test fails, with 2 if a file is wrong.
    Test(test::Args),
    /// Sweep the limit and the hold of a trigger over recorded samples
    ///
    /// Every choice is judged by the same engine, in one pass. With labelled
    /// incidents it says which of them each choice would have caught, how soon and
    /// with how many false fires, and which choices no other beats; without, how
    /// often and how long each would have fired. Nothing is run and nobody is told.
    Tune(tune::Args),
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
    exit(Cli::parse().run())
}

/// The agent's own program, as `backstop run` starts it. Exits as that does.
pub fn agent() -> ExitCode {
    exit(line::follow())
}

fn exit(done: Result<Done, Error>) -> ExitCode {
    match done {
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
            Command::Shadow(args) => shadow::run(&args, &socket()),
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
            Command::Schema => schema::run(),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
            Command::Replay(args) => replay::run(&args),
            Command::History(args) => history::run(&args),
            Command::Test(args) => test::run(&args),
            Command::Tune(args) => tune::run(&args),
        }
    }
}
