//! The `backstop` program: a name for what [`backstop::cli`] does.

use std::process::ExitCode;

fn main() -> ExitCode {
    backstop::cli::main()
}
