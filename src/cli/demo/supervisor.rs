//! Keeps a process running, as systemd does on a real host, and ends it with
//! the demo.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// A process of the demo; it ends when this is dropped.
pub(super) struct Supervised {
    task: JoinHandle<()>,
}

impl Supervised {
    /// Starts this program with these arguments, and again whenever it ends.
    pub(super) fn start(dir: &Path, log: &str, args: Vec<String>) -> io::Result<Self> {
        let dir = dir.to_owned();
        let log = log.to_owned();
        let mut child = spawn(&dir, &log, &args)?;
        let task = tokio::spawn(async move {
            loop {
                let _ = child.wait().await;
                match spawn(&dir, &log, &args) {
                    Ok(next) => child = next,
                    Err(_) => return,
                }
            }
        });
        Ok(Self { task })
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // The child is killed when the task lets go of it.
        self.task.abort();
    }
}

/// Starts this very program with these arguments, its output in a file.
pub(super) fn spawn(dir: &Path, log: &str, args: &[String]) -> io::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join(log))?;
    Command::new(std::env::current_exe()?)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
}
