//! An agent whose system calls are written down, and of which one fails or is
//! its last, by way of strace.

use std::collections::BTreeMap;
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
    /// Starts the agent, and writes these calls of it and of its steps down.
    /// `inject` is what happens at one of them (strace(1), *Tampering*): the
    /// n-th such call is that of each thread by itself.
    pub(crate) fn start(host: &Host, calls: &str, inject: Option<&str>) -> Self {
        let trace = host.dir.join("trace");
        let agent = host.command();
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-y", "-ttt", "-e", "signal=none", "-e"])
            .arg(format!("trace={calls}"));
        // Faster by far; and strace 6.1 then gives no signal, without a word.
        if !inject.is_some_and(|inject| inject.contains(":signal=")) {
            command.arg("--seccomp-bpf");
        }
        if let Some(inject) = inject {
            command.arg("-e").arg(format!("inject={inject}"));
        }
        command
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
        self.lives_until(host, "an agent that answers, or none", || {
            host.get("/metrics").contains("backstop_build_info")
        })
    }

    /// Waits until it is so, or the agent and its steps have ended; says which.
    pub(crate) fn lives_until(&mut self, host: &Host, what: &str, so: impl Fn() -> bool) -> bool {
        host.wait(what, || {
            let ended = self.strace.try_wait().unwrap().is_some();
            (ended || so()).then_some(!ended)
        })
    }

    /// Whether a call was made to fail.
    pub(crate) fn has_failed(&self) -> bool {
        let trace = fs::read_to_string(&self.trace).unwrap_or_default();
        trace.contains("(INJECTED)")
    }

    /// How often each call was made, by the thread that made it most.
    pub(crate) fn counts(&self) -> BTreeMap<String, u32> {
        let trace = fs::read_to_string(&self.trace).unwrap();
        let mut each: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for line in trace.lines() {
            // A thread's id, the time, the call; the rest of a call that was
            // interrupted begins with `<...`.
            let mut words = line.split_whitespace();
            let (thread, call) = (words.next(), words.nth(1));
            if let (Some(thread), Some((call, _))) = (thread, call.and_then(|c| c.split_once('(')))
            {
                *each.entry((thread, call)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((_, call), count) in each {
            let most: &mut u32 = most.entry(call.to_owned()).or_default();
            *most = count.max(*most);
        }
        most
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
