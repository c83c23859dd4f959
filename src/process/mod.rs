//! Programs, from their start to the end of whatever they started.
//!
//! A step of a plan, a notifier and a source may each be a program. They differ
//! in what they are given and in what is made of what they print; what is the
//! same lives here: finding the file and telling *missing* from *not
//! executable*, a process group and an environment of its own, a mark by which
//! its descendants are known wherever they go, output that is drained as fast
//! as it comes and kept within bounds, TERM and then KILL.
//!
//! What it refuses: a shell, the agent's own environment, and to decide when a
//! program has had its time: that is said by whoever started it.

mod family;
mod group;
mod output;
mod program;

pub use family::reap_orphans;
pub(crate) use family::{Family, adopt_orphans};
pub(crate) use group::Group;
pub(crate) use output::{Capture, text as shown};
pub use output::{OutputLine, Rest};
pub use program::Problem;
pub(crate) use program::{INHERITED, Program, find, plain, problem, search_path};

/// What a program that has to be ended gets between SIGTERM and SIGKILL (SPEC 3,
/// *Plans*).
pub const GRACE: std::time::Duration = std::time::Duration::from_secs(5);
