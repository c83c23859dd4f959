//! Finding a program and starting it.
//!
//! The program is looked for here rather than by `execvp`, for two reasons:
//! *missing* and *not executable* must be told apart before and after the fact
//! by the same code, and `execvp` hands a file that is no program to a shell.
//!
//! A step gets an environment of its own. The agent's has secrets in it
//! (credentials, tokens) and the addresses of its supervisor (`NOTIFY_SOCKET`,
//! `WATCHDOG_USEC`, `LISTEN_FDS`), with which a step could speak in its name.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::family::MARK;
use crate::model::HowEnded;

/// What a step inherits, where the agent has it. The last two let a step of an
/// agent that runs as a user speak to that user's own systemd.
pub(crate) const INHERITED: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "USER",
    "LOGNAME",
    "TZ",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// Where programs are when the agent was started without a `PATH`: systemd's
/// default for services.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A file that is written while it is started is busy (ETXTBSY) for as long as
/// its writer takes, or as another thread of ours takes from fork to exec. It
/// is tried this often, at this distance.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// Why a name is not a program that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// There is no such file that can be seen, or none of that name in `PATH`.
    Missing,
    /// It is there, but is a directory or may not be executed.
    NotExecutable,
    /// It names a file relative to a directory that nobody has stated.
    Relative,
}

/// Why something could not be done as things are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What was found.
    pub found: String,
    /// What mends it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.found, self.remedy)
    }
}

/// The value of `PATH` that steps get and are looked up in.
pub(crate) fn search_path() -> OsString {
    env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into())
}

/// The file that `name` means: itself if it is absolute, else the first that
/// can be executed in `PATH`.
pub(crate) fn find(name: &str) -> Result<PathBuf, Unfit> {
    find_in(name, &search_path())
}

fn find_in(name: &str, path: &std::ffi::OsStr) -> Result<PathBuf, Unfit> {
    let fit = |file: &Path| match accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) if file.is_file() => Ok(()),
        // A directory that may not be searched hides what is in it, and says
        // EACCES as a file does that may not be executed.
        Err(_) if file.metadata().is_err() => Err(Unfit::Missing),
        _ => Err(Unfit::NotExecutable),
    };
    if name.is_empty() {
        return Err(Unfit::Missing);
    }
    if name.starts_with('/') {
        let file = PathBuf::from(name);
        return fit(&file).map(|()| file);
    }
    if name.contains('/') {
        return Err(Unfit::Relative);
    }
    let mut why = Unfit::Missing;
    for dir in env::split_paths(path).filter(|dir| dir.is_absolute()) {
        let file = dir.join(name);
        match fit(&file) {
            Ok(()) => return Ok(file),
            Err(Unfit::Missing) => {}
            // As the shell: another directory may have one that can be executed.
            Err(unfit) => why = unfit,
        }
    }
    Err(why)
}

/// What stands in the way of starting a program of this name.
pub(crate) fn problem(name: &str) -> Option<Problem> {
    let (found, remedy) = match find(name) {
        Ok(_) => return None,
        Err(Unfit::Missing) if name.starts_with('/') => (
            format!("`{name}` does not exist, or cannot be seen from here"),
            "install it, or correct the path".to_owned(),
        ),
        Err(Unfit::Missing) => (
            format!("`{name}` is not in the agent's PATH"),
            "install it, or write its whole path".to_owned(),
        ),
        Err(Unfit::NotExecutable) => (
            format!("`{name}` may not be executed by the agent's user"),
            format!("`chmod +x {name}`, and see that its file system is not mounted noexec"),
        ),
        Err(Unfit::Relative) => (
            format!("`{name}` is relative to a directory that nobody has stated"),
            "write its whole path".to_owned(),
        ),
    };
    Some(Problem { found, remedy })
}

/// A program that is to be started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    /// Marks its processes, so that they are known wherever they go: another
    /// one for each start.
    pub(crate) id: &'a str,
    /// Its name or path, and its arguments.
    pub(crate) argv: &'a [String],
    /// What it inherits of the agent's environment, by name.
    pub(crate) inherits: &'a [&'a str],
    /// What it gets besides.
    pub(crate) env: &'a BTreeMap<String, String>,
}

impl Program<'_> {
    /// Starts it as the leader of a process group of its own. `wire` says where
    /// its streams go; a program that is being written to is tried again, and
    /// wired again.
    ///
    /// # Errors
    ///
    /// It did not start, in the words of a step's end.
    pub(crate) async fn start(
        &self,
        wire: impl Fn(&mut Command) -> io::Result<()>,
    ) -> Result<Child, HowEnded> {
        let Some((name, arguments)) = self.argv.split_first() else {
            return Err(HowEnded::SpawnFailed("there is no program to run".into()));
        };
        let file = find(name).map_err(|unfit| match unfit {
            Unfit::Missing => HowEnded::NotFound,
            Unfit::NotExecutable => HowEnded::NotExecutable,
            Unfit::Relative => {
                HowEnded::SpawnFailed(format!("`{name}` is relative; write the whole path"))
            }
        })?;
        let mut tries = 1;
        loop {
            let mut command = Command::new(&file);
            command
                .arg0(name)
                .args(arguments)
                .current_dir("/")
                .env_clear()
                .envs(self.inherits.iter().filter_map(|key| {
                    let value = env::var_os(key)?;
                    Some((key, value))
                }))
                .env("PATH", search_path())
                .envs(self.env)
                .env(MARK, self.id)
                .process_group(0);
            wire(&mut command).map_err(|e| HowEnded::SpawnFailed(plain(&e)))?;
            let started = command.spawn();
            // The command has the program's ends of its pipes; whoever reads
            // must not wait for us.
            drop(command);
            match started {
                Ok(child) => {
                    unprotect(&child);
                    return Ok(child);
                }
                Err(e) if Errno::from_io_error(&e) == Some(Errno::TXTBSY) && tries < BUSY_TRIES => {
                    tries += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(e) => return Err(why_not_started(&e)),
            }
        }
    }
}

/// Takes from a step what the agent's unit gives the agent alone: when memory
/// runs out the kernel is to end the step that eats it, and `OOMScoreAdjust=` of
/// the agent is inherited. A step gets the score of any other service (proc(5),
/// `oom_score_adj`); raising it is always allowed.
///
/// What the program starts before this is written would keep the agent's score:
/// it would have to fork before the dynamic linker is done with it.
fn unprotect(child: &Child) {
    let Some(pid) = child.id() else { return };
    let score = format!("/proc/{pid}/oom_score_adj");
    // It may have ended by now; and if /proc cannot be written, the step is
    // worth more than its score.
    let protected = fs::read_to_string(&score).is_ok_and(|score| score.starts_with('-'));
    if protected && let Err(error) = fs::write(&score, "0") {
        tracing::debug!(pid, %error, "the step keeps the agent's protection from the OOM killer");
    }
}

/// What an error of starting a file that is there and executable means.
fn why_not_started(e: &io::Error) -> HowEnded {
    match Errno::from_io_error(e) {
        Some(Errno::NOENT) => HowEnded::SpawnFailed(
            "the interpreter that its first line names, or its loader, does not exist".into(),
        ),
        Some(Errno::ACCESS) => HowEnded::NotExecutable,
        Some(Errno::NOEXEC) => HowEnded::SpawnFailed(
            "it is not a program for this machine, nor a script that begins with `#!`".into(),
        ),
        Some(Errno::TXTBSY) => HowEnded::SpawnFailed("it is being written to".into()),
        _ => HowEnded::SpawnFailed(plain(e)),
    }
}

/// An error of the system in its own words, without its number.
pub(crate) fn plain(e: &io::Error) -> String {
    let mut words = e.to_string();
    if let Some(number) = words.find(" (os error") {
        words.truncate(number);
    }
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_a_shell_would_and_never_beside_us() {
        assert!(find_in("sh", "/nowhere:/usr/bin:/bin".as_ref()).is_ok());
        assert_eq!(find_in("sh", "/nowhere".as_ref()), Err(Unfit::Missing));
        assert_eq!(find_in("sh", ".:".as_ref()), Err(Unfit::Missing));
        assert_eq!(find_in("./sh", "/bin".as_ref()), Err(Unfit::Relative));
        assert_eq!(find_in("", "/bin".as_ref()), Err(Unfit::Missing));
        assert_eq!(
            find_in("/etc/passwd", "/bin".as_ref()),
            Err(Unfit::NotExecutable)
        );
        assert_eq!(find_in("/bin", "/bin".as_ref()), Err(Unfit::NotExecutable));
        assert_eq!(
            find_in("/bin/nothing-of-this-name", "/bin".as_ref()),
            Err(Unfit::Missing)
        );
    }
}
