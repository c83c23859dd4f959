//! How a step of a plan ended, and what it printed.
//!
//! The ways a step can go wrong are told apart because a person who is called
//! at night acts on them differently: a program that is missing needs a
//! package, one that ran into its deadline needs a look at the service. The
//! words come from here so that the journal, status, notices and reports say
//! the same.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The end of one attempt of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEnd {
    /// Succeeded, or why not.
    pub how: HowEnded,
    /// What it printed, bounded.
    pub output: Output,
    /// From the order to the end, everything that was started being gone.
    pub took: Duration,
}

/// The ways an attempt of a step can end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HowEnded {
    /// It did what it should: exit status 0, or the link points where it should.
    Succeeded,
    /// The program ended by itself with this status, never 0.
    Exited(i32),
    /// A signal with this number ended the program; not one of ours.
    Signalled(i32),
    /// There is no such program that the agent can see.
    NotFound,
    /// The program is there but may not be executed.
    NotExecutable,
    /// It could not be started for another reason.
    SpawnFailed(String),
    /// It had not ended at its deadline, and was ended.
    TimedOut,
    /// A person or a stopping agent ended it.
    Cancelled,
    /// Who was asked to do it did not allow it to the agent: the remedy is a
    /// right, not a repair. The reason has both.
    Denied(String),
    /// A step that is not a program failed; the reason has the path in it.
    Failed(String),
    /// It was ordered in shadow, where nothing may run. That it got this far is
    /// a fault of the agent.
    Refused,
}

impl HowEnded {
    /// Whether the step did what it should.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded)
    }

    /// Stable name, as metrics and JSON have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Exited(_) => "exited",
            Self::Signalled(_) => "signalled",
            Self::NotFound => "not_found",
            Self::NotExecutable => "not_executable",
            Self::SpawnFailed(_) => "spawn_failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Denied(_) => "denied",
            Self::Failed(_) => "failed",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for HowEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Exited(126) => {
                f.write_str("exited with status 126: a command was found but could not be executed")
            }
            Self::Exited(127) => {
                f.write_str("exited with status 127: a command in it was not found")
            }
            Self::Exited(code) => write!(f, "exited with status {code}"),
            Self::Signalled(number) => match signal_name(*number) {
                Some(name) => write!(f, "was ended by {name} (signal {number})"),
                None => write!(f, "was ended by signal {number}"),
            },
            Self::NotFound => {
                f.write_str("did not start: the program does not exist, or cannot be seen")
            }
            Self::NotExecutable => f.write_str("did not start: the program may not be executed"),
            Self::SpawnFailed(reason) => write!(f, "did not start: {reason}"),
            Self::TimedOut => f.write_str("did not end in time and was ended"),
            Self::Cancelled => f.write_str("was cancelled"),
            Self::Denied(reason) => write!(f, "was not allowed: {reason}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::Refused => f.write_str("was refused: nothing runs in shadow"),
        }
    }
}

/// The names of the signals that end programs in practice; the numbers are
/// Linux's on all architectures that Rust's standard library supports there,
/// but MIPS and SPARC (signal(7)).
const fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// What a step printed, on both streams in the order in which it came: the
/// beginning, and the end when it does not all fit. Bytes that are not UTF-8
/// are replaced by U+FFFD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The first [`Output::KEPT`] bytes at most.
    pub head: String,
    /// The last [`Output::KEPT`] bytes at most, of what is not in `head`.
    pub tail: String,
    /// Bytes printed in all.
    pub total: u64,
    /// Bytes between `head` and `tail` that were not kept.
    pub left_out: u64,
}

impl Output {
    /// Bytes that are kept of each end: 64 KiB (SPEC 3, *Plans*).
    pub const KEPT: usize = 64 * 1024;

    /// The agent's own words about a step that is not a program.
    #[must_use]
    pub fn said(text: impl Into<String>) -> Self {
        let head = text.into();
        let total = head.len() as u64;
        Self {
            head,
            total,
            ..Self::default()
        }
    }

    /// Whether something was left out in the middle.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.left_out > 0
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        if self.is_cut() {
            write!(f, "\n[… {} bytes left out …]\n", self.left_out)?;
        }
        f.write_str(&self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_told_in_plain_words() {
        let cases = [
            (HowEnded::Succeeded, "succeeded"),
            (HowEnded::Exited(1), "exited with status 1"),
            (
                HowEnded::Exited(127),
                "exited with status 127: a command in it was not found",
            ),
            (HowEnded::Signalled(9), "was ended by SIGKILL (signal 9)"),
            (HowEnded::Signalled(64), "was ended by signal 64"),
            (
                HowEnded::SpawnFailed("too many open files".into()),
                "did not start: too many open files",
            ),
            (HowEnded::TimedOut, "did not end in time and was ended"),
            (HowEnded::Refused, "was refused: nothing runs in shadow"),
        ];
        for (end, words) in cases {
            assert_eq!(end.to_string(), words);
        }
    }

    #[test]
    fn what_was_left_out_is_said_where_it_was() {
        let output = Output {
            head: "first".into(),
            tail: "last".into(),
            total: 20,
            left_out: 11,
        };
        assert_eq!(output.to_string(), "first\n[… 11 bytes left out …]\nlast");
    }
}
