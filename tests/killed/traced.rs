//! An agent of which one system call fails, by way of strace.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::host::Host;

/// strace with the agent below it; both end with this.
pub(crate) struct Traced {
    strace: Child,
    trace: PathBuf,
}

impl Traced {
    /// Starts the agent. The `nth` such call of each of its threads fails.
    pub(crate) fn start(host: &Host, call: &str, error: &str, nth: u32) -> Self {
        let trace = host.dir.join("trace");
        let agent = host.command();
        let mut command = Command::new("strace");
        command
            .args([
                "-f",
                "--seccomp-bpf",
                "-qq",
                "-y",
                "-ttt",
                "-e",
                "signal=none",
            ])
            .arg("-e")
            .arg(format!("trace={call}"))
            .arg("-e")
            .arg(format!("inject={call}:error={error}:when={nth}"))
            .arg("-o")
            .arg(&trace)
            .arg(agent.get_program())
            .args(agent.get_args());
        for (name, value) in agent.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let strace = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(host.dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { strace, trace }
    }

    /// Waits until the agent answers, or has ended.
    pub(crate) fn is_up(&mut self, host: &Host) -> bool {
        let mut ended = false;
        host.wait("an agent that answers, or none", || {
            ended = self.strace.try_wait().unwrap().is_some();
            (ended || host.get("/metrics").contains("backstop_build_info")).then_some(())
        });
        !ended
    }

    /// When a call on a file with this in its name first failed, in Unix seconds.
    pub(crate) fn first_failure(&self, name: &str) -> Option<f64> {
        let trace = fs::read_to_string(&self.trace).unwrap_or_default();
        let line = trace
            .lines()
            .find(|line| line.contains("(INJECTED)") && line.contains(name))?;
        // A thread's id, the time, the call.
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// SIGTERM to the agent; strace ends with it.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        self.strace.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let strace = self.strace.id();
        let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"));
        for pid in children.unwrap_or_default().split_whitespace() {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // What has been waited for has no children any more.
        if matches!(self.strace.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            let _ = self.strace.wait();
        }
    }
}
