//! All processes that a step has started, and how they are ended.
//!
//! A step is here whatever a program is run for: a step of a plan, or a sample
//! of a source.
//!
//! A step's program leads a process group; what it starts is in that group
//! unless it leaves it, by `setsid` or as a job of a shell. The agent is a child
//! subreaper, so that whatever loses its parent becomes a child of the agent
//! instead of init's and stays below it in the tree. Below it, these belong to
//! the step:
//!
//! - the program, and who is in its group;
//! - children of the agent that carry the step's mark in their environment:
//!   what daemonised, wherever it went. A mark survives a new parent, a new
//!   group and a new session, which a walk down the tree alone does not;
//! - whatever was seen to belong before;
//! - and the descendants of all of these.
//!
//! What escapes is a process that wipes its environment *and* leaves the group
//! *and* loses its parent, all before the step is first looked at. Only a
//! control group would hold it; a plan that needs this runs its step as a unit.
//!
//! When a step ends by itself, what it left running is left alone: a restart
//! script may well have started the service. Only when it is ended at its
//! timeout or by a person, everything goes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    waitpid,
};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

/// The environment variable that marks a step's processes.
pub(super) const MARK: &str = "BACKSTOP_STEP";

/// How long something may survive SIGKILL before we stop waiting: it sits in
/// the kernel, on a dead disk or a dead network mount, and may do so for hours.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Between two looks at the processes of a step that is being ended: quick at
/// first, because most end at once, then rarer.
const LOOKS: [Duration; 5] = [
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
];

/// Makes the agent the parent of whatever its steps orphan.
pub(crate) fn adopt_orphans() {
    if let Err(e) = set_child_subreaper(Some(getpid())) {
        tracing::warn!(error = %e, "cannot become a child subreaper: what a step daemonises may outlive it");
    }
}

/// Buries adopted processes that have ended; returns how many.
///
/// What a step left running on purpose ends some day, as a child of the agent,
/// and would stay a zombie. Call it now and then, or when SIGCHLD comes.
///
/// It never takes a process that the agent itself awaits: those lead a group in
/// the agent's session, or are in the agent's group, and a leader cannot leave
/// its session. An orphan that looks the same (a job of a shell with job
/// control) stays a zombie until the agent ends.
pub fn reap_orphans() -> usize {
    let own = Own::ask();
    table()
        .iter()
        .filter(|p| p.zombie && own.adopted(p))
        .filter(|p| bury(p.pid))
        .count()
}

fn bury(pid: i32) -> bool {
    Pid::from_raw(pid)
        .is_some_and(|pid| matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))))
}

/// Who the agent is to its children.
#[derive(Clone, Copy, Debug)]
struct Own {
    pid: i32,
    group: i32,
    session: i32,
}

impl Own {
    /// From the agent's own row of the table, because that is what the others
    /// are compared with. In a PID namespace that was entered without `setsid`
    /// the leaders of group and session are outside, and the kernel says 0 for
    /// both, here as in every row: a number that no call may be given, but that
    /// compares like any other.
    fn ask() -> Self {
        let pid = getpid().as_raw_pid();
        let own = row(Path::new("/proc/self"));
        Self {
            pid,
            group: own.map_or(pid, |p| p.group),
            session: own.map_or(pid, |p| p.session),
        }
    }

    /// Whether `p` is a child that the agent did not start itself.
    const fn adopted(&self, p: &Process) -> bool {
        let started_by_us =
            p.session == self.session && (p.group == p.pid || p.group == self.group);
        p.parent == self.pid && !started_by_us
    }
}

/// The processes of one step.
#[derive(Debug)]
pub(crate) struct Family {
    own: Own,
    /// The program that the step runs; also the number of its group. 0, which
    /// is nobody's, if it was awaited before.
    main: i32,
    mark: Vec<u8>,
    /// Number and start of all that were ever seen to belong.
    seen: BTreeSet<(i32, u64)>,
}

impl Family {
    /// The family of `child`, marked with `id`.
    pub(crate) fn of(child: &Child, id: &str) -> Self {
        Self {
            own: Own::ask(),
            main: child
                .id()
                .and_then(|pid| i32::try_from(pid).ok())
                .unwrap_or(0),
            mark: format!("{MARK}={id}").into_bytes(),
            seen: BTreeSet::new(),
        }
    }

    /// Ends them all: SIGTERM once, SIGKILL after `grace` to whoever is left,
    /// until nobody is. Those that start meanwhile are not asked to end: they
    /// are likely the program's way of cleaning up.
    pub(crate) async fn end(&mut self, child: &mut Child, grace: Duration) {
        let asked = self.look();
        self.signal(child, &asked, Signal::TERM);
        if timeout(grace, self.gone(child, None)).await.is_ok() {
            return;
        }
        if timeout(KILL_LIMIT, self.gone(child, Some(Signal::KILL)))
            .await
            .is_err()
        {
            let left: Vec<i32> = self.look().iter().map(|p| p.pid).collect();
            tracing::error!(processes = ?left, "survived SIGKILL; no longer waiting for them");
        }
    }

    /// Whether nobody is left, as far as one look can tell.
    pub(crate) fn is_gone(&mut self, child: &mut Child) -> bool {
        let ended = !matches!(child.try_wait(), Ok(None));
        self.look().is_empty() && ended
    }

    /// Kills whoever is left and waits for nobody: for an end that cannot wait.
    /// The program itself is reaped by the runtime, orphans by
    /// [`reap_orphans`].
    pub(crate) fn kill(&mut self, child: &mut Child) {
        if !self.is_gone(child) {
            let left = self.look();
            self.signal(child, &left, Signal::KILL);
        }
    }

    /// Returns when nobody is left, after sending `signal` at every look.
    async fn gone(&mut self, child: &mut Child, signal: Option<Signal>) {
        let mut looks = 0;
        loop {
            // The program itself is the runtime's to await, not ours.
            let ended = !matches!(child.try_wait(), Ok(None));
            let left = self.look();
            if ended && left.is_empty() {
                return;
            }
            if let Some(signal) = signal {
                self.signal(child, &left, signal);
            }
            sleep(LOOKS[looks]).await;
            looks = (looks + 1).min(LOOKS.len() - 1);
        }
    }

    /// Who of the step is alive now. Buries those that have ended and were
    /// orphaned to us.
    fn look(&mut self) -> Vec<Process> {
        let table = table();
        let mark = self.mark.clone();
        let (dead, alive): (Vec<_>, Vec<_>) = self
            .members(&table, |pid| is_marked(pid, &mark))
            .into_iter()
            .partition(|p| p.zombie);
        for p in dead {
            if p.parent == self.own.pid && p.pid != self.main {
                bury(p.pid);
            }
        }
        alive
    }

    /// Who in `table` belongs to the step, as said at the head of this file.
    fn members(&mut self, table: &[Process], marked: impl Fn(i32) -> bool) -> Vec<Process> {
        let mut found: Vec<Process> = table
            .iter()
            .filter(|p| p.parent == self.own.pid)
            .filter(|p| {
                p.group == self.main || self.seen.contains(&(p.pid, p.started)) || marked(p.pid)
            })
            .copied()
            .collect();
        let mut next = 0;
        while let Some(parent) = found.get(next).map(|p| p.pid) {
            found.extend(table.iter().filter(|p| p.parent == parent));
            next += 1;
        }
        self.seen.extend(found.iter().map(|p| (p.pid, p.started)));
        found
    }

    /// Sends `signal` to the whole group at once, so that nobody can slip away
    /// by forking, and to the members outside it one by one.
    ///
    /// The group's number is ours for as long as the program is not awaited or
    /// one of its members is seen; only then is it used. The first holds even
    /// where `/proc` hides the processes of other users.
    fn signal(&self, child: &Child, members: &[Process], signal: Signal) {
        let in_group = |p: &Process| p.group == self.main;
        if (child.id().is_some() || members.iter().any(in_group))
            && let Some(group) = Pid::from_raw(self.main)
        {
            // Fails only if the group ended meanwhile, or is not ours to signal;
            // the next look shows which.
            let _ = kill_process_group(group, signal);
        }
        for p in members.iter().filter(|p| !in_group(p)) {
            if let Some(pid) = Pid::from_raw(p.pid) {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// A row of the kernel's table of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    session: i32,
    /// In clock ticks since boot: with the number it names a process for good.
    started: u64,
    zombie: bool,
}

impl Process {
    /// From a line of `/proc/PID/stat` (proc(5)). The second field is a
    /// name that the program chose: it may hold blanks and parentheses, so the
    /// rest is counted from the last closing one.
    fn parse(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            pid: pid.parse().ok()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            session: fields.next()?.parse().ok()?,
            started: fields.nth(15)?.parse().ok()?,
            zombie: matches!(state, "Z" | "X"),
        })
    }
}

/// All processes that can be seen. One that ends while we look is left out.
fn table() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| row(&entry.path()))
        .collect()
}

fn row(process: &Path) -> Option<Process> {
    let stat = fs::read(process.join("stat")).ok()?;
    Process::parse(&String::from_utf8_lossy(&stat))
}

fn is_marked(pid: i32, mark: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|&b| b == 0).any(|entry| entry == mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_cannot_lie_about_itself_with_its_name() {
        let stat = "42 (a) Z 1 (b) S 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2";
        assert_eq!(
            Process::parse(stat),
            Some(Process {
                pid: 42,
                parent: 7,
                group: 40,
                session: 39,
                started: 123_456,
                zombie: false
            })
        );
        assert_eq!(Process::parse(""), None);
        assert_eq!(Process::parse("42 (x) Z 1"), None);
    }

    const OWN: Own = Own {
        pid: 100,
        group: 90,
        session: 90,
    };

    const fn process(pid: i32, parent: i32, group: i32, session: i32) -> Process {
        Process {
            pid,
            parent,
            group,
            session,
            started: 1000 + pid.unsigned_abs() as u64,
            zombie: false,
        }
    }

    fn family(main: i32) -> Family {
        Family {
            own: OWN,
            main,
            mark: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    fn numbers(members: &[Process]) -> Vec<i32> {
        let mut numbers: Vec<i32> = members.iter().map(|p| p.pid).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_family_is_group_mark_and_descendants_and_nobody_else() {
        let table = [
            process(100, 1, 90, 90),
            process(200, 100, 200, 90),  // the program
            process(201, 200, 200, 90),  // its child
            process(202, 201, 202, 202), // a grandchild that called setsid
            process(203, 100, 200, 90),  // in the group, orphaned
            process(204, 100, 204, 204), // daemonised, marked
            process(205, 204, 204, 204), // the daemon's child
            process(300, 100, 300, 90),  // another step
            process(301, 300, 300, 90),  // its child
            process(400, 1, 200, 400),   // not below us, whatever its group
        ];
        let mut family = family(200);
        let members = family.members(&table, |pid| pid == 204);
        assert_eq!(numbers(&members), [200, 201, 202, 203, 204, 205]);
    }

    #[test]
    fn whoever_was_seen_once_still_belongs_after_losing_its_parent() {
        let mut family = family(200);
        let before = [process(200, 100, 200, 90), process(201, 200, 201, 201)];
        family.members(&before, |_| false);
        let orphaned = process(201, 100, 201, 201);
        assert_eq!(numbers(&family.members(&[orphaned], |_| false)), [201]);
        let same_number = Process {
            started: 5000,
            ..orphaned
        };
        assert!(family.members(&[same_number], |_| false).is_empty());
    }

    #[test]
    fn a_leader_outside_the_pid_namespace_is_compared_as_what_it_is_said_to_be() {
        let inside = Own {
            pid: 100,
            group: 0,
            session: 0,
        };
        assert!(
            !inside.adopted(&process(200, 100, 200, 0)),
            "leads its group"
        );
        assert!(!inside.adopted(&process(201, 100, 0, 0)), "in our group");
        assert!(inside.adopted(&process(204, 100, 204, 204)));
    }

    #[test]
    fn only_orphans_are_buried() {
        let started_by_us = [
            process(200, 100, 200, 90), // leads its group
            process(201, 100, 90, 90),  // in our group
            process(202, 1, 202, 202),  // not our child
        ];
        for p in started_by_us {
            assert!(!OWN.adopted(&p), "{p:?}");
        }
        assert!(OWN.adopted(&process(203, 100, 200, 90)));
        assert!(OWN.adopted(&process(204, 100, 204, 204)));
    }
}
