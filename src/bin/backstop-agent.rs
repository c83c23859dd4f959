//! The agent without the rest of `backstop`, which `backstop run` becomes: a name
//! for what [`backstop::cli::agent`] does.

use std::process::ExitCode;

fn main() -> ExitCode {
    backstop::cli::agent()
}
