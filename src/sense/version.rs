//! A command that says which release runs: the first line of what it prints.

use std::time::Duration;

use super::command::{Command, unknown};
use crate::model::{Gap, GapKind, Short, is_version};

/// Asks a command which release runs, again and again.
///
/// It is run like the command of a source: one at a time, within its timeout,
/// with the environment of a step and no input, and nothing of it is left over.
#[derive(Debug)]
pub struct VersionCommand {
    command: Command,
    timeout: Duration,
}

impl VersionCommand {
    /// Program and arguments, and how long one answer may take.
    #[must_use]
    pub fn new(argv: &[String], timeout: Duration) -> Self {
        Self {
            command: Command::new(argv),
            timeout,
        }
    }

    /// Program and arguments.
    #[must_use]
    pub fn argv(&self) -> &[String] {
        self.command.argv()
    }

    /// How long one answer may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs it once. The version is the first line with something in it,
    /// trimmed.
    ///
    /// # Errors
    ///
    /// It did not end in time or not with 0, or printed no version: nothing, a
    /// line of more than 1 KiB, or one that cannot be printed.
    pub async fn read(&mut self) -> Result<String, Gap> {
        let run = tokio::time::timeout(self.timeout, self.command.run(|_| ()));
        let Ok(ended) = run.await else {
            let within = Short(self.timeout);
            return Err(unknown(format!("did not end within {within}")));
        };
        let ended = ended?;
        // Where it goes wrong, what it printed is no answer.
        if let Some(gap) = ended.gap([&ended.said, &ended.first]) {
            return Err(gap);
        }
        let malformed = |why: String| Err(Gap::new(GapKind::Malformed, why));
        match ended.first.exactly() {
            Some("") => malformed("it printed no version".to_owned()),
            Some(version) if is_version(version) => Ok(version.to_owned()),
            _ => malformed(format!(
                "its first line is no version: {}",
                ended.first.shown()
            )),
        }
    }

    /// Whether it left something running: see [`VersionCommand::settle`].
    #[must_use]
    pub const fn is_unsettled(&self) -> bool {
        self.command.is_unsettled()
    }

    /// Ends what it left running. One that is dropped instead kills it.
    pub async fn settle(&mut self) {
        self.command.settle().await;
    }
}
