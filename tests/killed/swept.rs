//! The agent killed at its calls of the kernel, one after the other, and refused
//! them: every call of a rollback that changes anything outside its memory.
//!
//! A first run counts the calls, and strace then has the n-th of a kind fail or
//! be the last. The steps run below strace as well, so that some of the calls
//! are theirs: then it is a step that dies, and the laws are the same.
//!
//! These are some two hundred blows, which take a minute or two.

use std::io::Write as _;

use super::host::Host;
use super::traced::Traced;
use super::{STEPS, all, end_of, journal_is_whole, policy, runs, skip};

/// What changes files, processes, or what others hear.
const CALLS: [&str; 22] = [
    "write",
    "pwrite64",
    "writev",
    "fsync",
    "fdatasync",
    "fallocate",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "clone",
    "clone3",
    "vfork",
    "execve",
    "wait4",
    "waitid",
];

/// Calls that a disk may refuse, and with what. (That a sync fails with EIO and
/// a write with ENOSPC is `after_a_failed_write_or_sync` next door.)
const REFUSED: [(&str, &str); 5] = [
    ("rename", "error=EIO"),
    ("renameat", "error=EIO"),
    ("fallocate", "error=ENOSPC"),
    ("unlinkat", "error=EIO"),
    ("mkdir", "error=ENOSPC"),
];

/// Calls on files that a signal may interrupt, of which nobody may notice.
const INTERRUPTED: [&str; 4] = ["pwrite64", "fsync", "fdatasync", "fallocate"];

/// As many of each kind are tried at most: a machine so slow that there are more
/// repeats itself, sample by sample.
const OF_EACH: u32 = 60;

/// The ends of an incident that somebody hears of.
const ENDS: [&str; 4] = ["cured", "not_cured", "lost_track", "failed"];

/// What happens at the `nth` call of a kind.
#[derive(Clone, Copy, Debug)]
struct Blow {
    call: &'static str,
    nth: u32,
    /// As strace has it.
    what: &'static str,
}

impl Blow {
    fn is_kill(self) -> bool {
        self.what == "signal=KILL"
    }
}

#[test]
fn at_every_call_killed_or_refused_nothing_runs_twice_and_the_journal_reads() {
    let what = "an agent killed at its calls of the kernel";
    if std::env::var_os("BACKSTOP_TEST_STRACE").is_none() {
        skip::say(&format!("BACKSTOP_TEST_STRACE is not set: {what}"));
        return;
    }
    if !skip::unless_installed("strace", what) {
        return;
    }
    let blows = blows();
    let ends = all(&blows, |blow| (blow, blown(blow)));
    let of = |end: &str| ends.iter().filter(|(_, found)| found == end).count();
    let _ = writeln!(
        std::io::stderr(),
        "{} blows: {} cured, {} lost track, {} failed or not cured, {} distrusted, {} missed",
        ends.len(),
        of("cured"),
        of("lost_track"),
        of("failed") + of("not_cured"),
        of("distrusted"),
        of("missed")
    );
    assert!(of("missed") * 3 < ends.len(), "{ends:?}");
    let killed = |end: &str| {
        let mut of = ends.iter().filter(|(blow, _)| blow.is_kill());
        of.any(|(_, found)| found == end)
    };
    assert!(killed("cured") && killed("lost_track"), "{ends:?}");
}

/// Counts the calls of a run that nothing happens to.
fn blows() -> Vec<Blow> {
    let host = Host::new("swept");
    host.release("bad");
    host.write("shop.toml", &policy(None));
    let calls: Vec<_> = CALLS.iter().map(|call| format!("?{call}")).collect();
    let agent = Traced::start(&host, &calls.join(","), None);
    host.until("cured");
    let counts = agent.counts();
    agent.stop();
    let mut blows = Vec::new();
    let mut add = |call: &'static str, what| {
        let count = counts.get(call).copied().unwrap_or(0);
        blows.extend((1..=count.min(OF_EACH)).map(|nth| Blow { call, nth, what }));
    };
    for call in CALLS {
        add(call, "signal=KILL");
    }
    for call in INTERRUPTED {
        add(call, "error=EINTR");
    }
    for (call, what) in REFUSED {
        add(call, what);
    }
    assert!(blows.len() > 50, "only {counts:?} were seen");
    blows
}

/// Follows an agent through one blow to the end of its incident, and returns
/// that; `missed` when there were fewer such calls than in the run that was
/// counted.
fn blown(blow: Blow) -> String {
    let Blow { call, nth, what } = blow;
    let kind = what.replace('=', "-");
    let mut host = Host::new(&format!("swept-{call}-{nth}-{kind}"));
    host.release("bad");
    host.write("shop.toml", &policy(None));
    let inject = format!("{call}:{what}:when={nth}");
    let mut agent = Traced::start(&host, call, Some(&inject));
    let over = || ENDS.iter().any(|end| host.count(end) > 0);
    let held = || {
        host.get("/api/v1/status").contains("\"distrust\": \"")
            || host.get("/api/v1/status").contains("\"distrust\":\"")
    };
    let lives = agent.lives_until(&host, "the end of the incident", || over() || held());
    let distrusts = lives && !over();
    let mut landed = !lives || agent.has_failed();
    if lives {
        agent.stop();
    } else if !blow.is_kill() {
        assert!(host.log().contains("os error"), "{blow:?}: {}", host.log());
    }
    assert!(!host.log().contains("panicked"), "{blow:?}: {}", host.log());
    if distrusts {
        assert!(
            !blow.what.ends_with("EINTR"),
            "{blow:?} was noticed: {}",
            host.log()
        );
    }
    // Whatever it ended with, the next start reads what it left.
    host.start();
    let end = if distrusts {
        host.until_ticks(2);
        "distrusted".to_owned()
    } else {
        end_of(&host, &ENDS)
    };
    if end == "lost_track" {
        host.until("escalated");
    }
    assert_eq!(host.stop(), Some(0), "{blow:?}");
    if blow.what.ends_with("EINTR") {
        assert_eq!(end, "cured", "{blow:?}: {}", host.log());
    }
    let ran = host.ran();
    for (step, idempotent) in STEPS {
        let most = if idempotent { 2 } else { 1 };
        let runs = runs(&ran, step);
        assert!(runs <= most, "{blow:?}: `{step}` ran {runs} times: {ran:?}");
        assert!(
            runs >= 1 || end != "cured",
            "{blow:?}: cured without `{step}`: {ran:?}"
        );
    }
    assert!(host.count("rolling_back") <= 1, "{blow:?}");
    if blow.is_kill() {
        journal_is_whole(&host, blow);
        // It may have been a step that was killed.
        landed |= end != "cured";
    }
    if landed { end } else { "missed".to_owned() }
}
