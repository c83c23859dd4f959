//! The real agent killed at many instants of a rollback, and on a disk that fails
//! at many.
//!
//! `tests/live.rs` kills it at the boundaries that the agent's own record shows.
//! Here the instants are not chosen: a sweep of delays after the decision, and
//! kills from inside the steps themselves, and each of its calls of the kernel
//! (`swept`). Whatever the instant, the laws are the
//! same, and they are read off what the steps wrote: what is not idempotent runs
//! at most once, and the incident ends cured or with a person who knows.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;
mod skip;
#[path = "killed/swept.rs"]
mod swept;
#[path = "killed/traced.rs"]
mod traced;

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host::Host;
use traced::Traced;

/// Rounds at the same time: they mostly wait.
const AT_ONCE: usize = 6;

/// Two steps that must not run twice, the second of which mends the service, and
/// one that may.
const STEPS: [(&str, bool); 3] = [("one", false), ("two", false), ("three", true)];

/// When the agent is killed.
#[derive(Clone, Copy, Debug)]
enum Instant {
    /// So long after the decision was first to be seen.
    After(Duration),
    /// By a step, as the first or the last thing that it does; once.
    Begin(&'static str),
    End(&'static str),
}

impl Instant {
    fn name(self) -> String {
        match self {
            Self::After(delay) => format!("killed-{}", delay.as_millis()),
            Self::Begin(step) => format!("killed-begin-{step}"),
            Self::End(step) => format!("killed-end-{step}"),
        }
    }
}

/// A service that is bad from the start, and the plan of [`STEPS`]. Each step
/// writes its incident and when it began.
fn policy(instant: Option<Instant>) -> String {
    let mut text = host::SOURCES
        .replace("200ms", "100ms")
        .replace("\"1s\"", "\"400ms\"");
    text.push_str(
        "[triggers.errors]\nwhen = \"error_rate > 5%\"\nseverity = \"critical\"\n\
         [plans.rollback]\ncooldown = \"1h\"\nbudget = \"1 per 24h\"\n\
         verify = { require = [\"error_rate < 5% for 300ms\"], within = \"30s\", watch = \"1s\" }\n",
    );
    let kill = "[ -e DIR/killed ] || { : > DIR/killed; kill -9 $PPID; }; ";
    for (step, idempotent) in STEPS {
        let (mut begin, mut end) = ("", "");
        match instant {
            Some(Instant::Begin(by)) if by == step => begin = kill,
            Some(Instant::End(by)) if by == step => end = kill,
            _ => {}
        }
        let mend = if step == "two" {
            "/bin/ln -s DIR/releases/good DIR/mended; /bin/mv -T DIR/mended DIR/current; "
        } else {
            ""
        };
        let _ = write!(
            text,
            "[[plans.rollback.steps]]\nname = \"{step}\"\nidempotent = {idempotent}\n\
             run = [\"/bin/sh\", \"-ec\", '''{begin}echo \"{step} {{incident}} $(/bin/date +%s.%N)\" >> DIR/ran; \
             {mend}/bin/sleep 0.03; {end}true''']\n"
        );
    }
    text
}

/// How often a step ran.
fn runs(ran: &[String], step: &str) -> usize {
    let begins = format!("{step} ");
    ran.iter().filter(|line| line.starts_with(&begins)).count()
}

/// Awaits one of these ends.
fn end_of(host: &Host, ends: &[&str]) -> String {
    let note = host.until_any(ends);
    note["what"].as_str().unwrap().to_owned()
}

/// Kills the agent once, starts it again, and follows it to the end of the
/// incident. Returns that end.
fn round(instant: Instant) -> String {
    let mut host = Host::new(&instant.name());
    host.release("bad");
    host.write("shop.toml", &policy(Some(instant)));
    host.start();
    match instant {
        Instant::After(delay) => {
            host.until("rolling_back");
            std::thread::sleep(delay);
        }
        Instant::Begin(_) | Instant::End(_) => host.until_file("killed"),
    }
    host.kill();
    host.start();
    let end = end_of(&host, &["cured", "lost_track"]);
    if end == "lost_track" {
        host.until("escalated");
    }
    // Whatever would still run would do so now.
    host.until_ticks(2);
    assert_eq!(host.stop(), Some(0), "{instant:?}");
    let ran = host.ran();
    let incidents: Vec<_> = ran.iter().map(|l| l.split(' ').nth(1)).collect();
    assert!(
        incidents.windows(2).all(|pair| pair[0] == pair[1]),
        "{ran:?}"
    );
    for (step, idempotent) in STEPS {
        let runs = runs(&ran, step);
        let most = if idempotent { 2 } else { 1 };
        assert!(
            runs <= most,
            "{instant:?}: `{step}` ran {runs} times: {ran:?}"
        );
        assert!(
            runs >= 1 || end == "lost_track",
            "{instant:?}: cured without `{step}`: {ran:?}"
        );
    }
    assert_eq!(host.count("rolling_back"), 1, "{instant:?}");
    journal_is_whole(&host, instant);
    end
}

/// Every record can be read, and none is missing.
fn journal_is_whole(host: &Host, instant: impl Debug) {
    let records = backstop::journal::read(&host.dir.join("state")).unwrap();
    let mut last = None;
    for record in records {
        let record = record.unwrap_or_else(|damage| panic!("{instant:?}: {damage}"));
        assert!(last.is_none_or(|last| record.seq > last), "{instant:?}");
        last = Some(record.seq);
    }
    assert!(last.is_some(), "{instant:?}");
    assert!(
        !host.log().contains("damaged"),
        "{instant:?}: {}",
        host.log()
    );
}

/// Runs many rounds, a few at a time, and returns what they came to.
fn all<T: Copy + Sync, R: Send>(rounds: &[T], run: impl Fn(T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    let mut results = Vec::new();
                    while let Some(one) = rounds.get(next.fetch_add(1, Ordering::Relaxed)) {
                        results.push(run(*one));
                    }
                    results
                })
            })
            .collect();
        workers
            .into_iter()
            // A round that failed has said why; nothing is added to that.
            .flat_map(|worker| worker.join().unwrap_or_else(|why| resume_unwind(why)))
            .collect()
    })
}

#[test]
fn killed_at_any_instant_nothing_runs_twice_and_nobody_is_left_in_the_dark() {
    let after = (0..32).map(|n| Instant::After(Duration::from_millis(10 * n)));
    let steps = STEPS
        .iter()
        .flat_map(|(step, _)| [Instant::Begin(step), Instant::End(step)]);
    let instants: Vec<Instant> = after.chain(steps).collect();
    let ends = all(&instants, |instant| (instant, round(instant)));
    for (instant, end) in &ends {
        match instant {
            // The agent was dead when it ended: nobody can say how it did.
            Instant::Begin("one" | "two") | Instant::End("one" | "two") => {
                assert_eq!(end, "lost_track", "{instant:?}");
            }
            Instant::Begin(_) | Instant::End(_) => assert_eq!(end, "cured", "{instant:?}"),
            Instant::After(_) => {}
        }
    }
    tell(&ends);
}

/// For who runs it: what the sweep came to.
fn tell(ends: &[(Instant, String)]) {
    let of = |what: &str| ends.iter().filter(|(_, end)| end == what).count();
    let _ = writeln!(
        std::io::stderr(),
        "{} killed: {} cured, {} lost track",
        ends.len(),
        of("cured"),
        of("lost_track")
    );
}

/// What fails, and at which of its calls in each thread.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: &'static str,
    error: &'static str,
    nth: u32,
}

/// What became of an agent on a disk that fails once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sick {
    /// It did not start.
    Refused,
    /// Its record of decisions was not what failed.
    Elsewhere,
    /// The record failed before any rollback began, and none did.
    Before,
    /// The record failed after the rollback had begun.
    Amid,
}

fn on_a_sick_disk(fault: Fault) -> Sick {
    let host = Host::new(&format!("sick-{}-{}", fault.call, fault.nth));
    host.release("bad");
    host.write("shop.toml", &policy(None));
    let Fault { call, error, nth } = fault;
    let inject = format!("{call}:error={error}:when={nth}");
    let mut agent = Traced::start(&host, call, Some(&inject));
    if !agent.is_up(&host) {
        // It may refuse to begin on such a disk, and says why.
        assert!(host.log().contains("os error"), "{fault:?}: {}", host.log());
        assert_eq!(host.ran(), [""; 0], "{fault:?}");
        return Sick::Refused;
    }
    let distrust = || {
        let status: serde_json::Value =
            serde_json::from_str(&host.get("/api/v1/status")).unwrap_or_default();
        let why = &status["services"][0]["distrust"];
        why.as_str().map(str::to_owned)
    };
    let over = |_: &str| distrust().is_some() || host.count("verifying") > 0;
    host.until_page(over);
    // It goes on judging, and answers.
    host.until_ticks(5);
    let failed = agent.first_failure("decisions-");
    let ran = host.ran();
    if let Some(failed) = failed {
        let began = ran.iter().find(|line| line.starts_with("one "));
        let began = began.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        assert!(
            began.is_none_or(|began| began < failed),
            "{fault:?}: a rollback began at {began:?}, after the failure at {failed}"
        );
        let why = distrust().unwrap_or_default();
        assert!(
            why.contains("journal"),
            "{fault:?}: distrust is {why:?}; {}",
            host.log()
        );
        assert!(host.log().contains("journal"), "{fault:?}: {}", host.log());
    }
    for (step, _) in STEPS {
        assert!(runs(&ran, step) <= 1, "{fault:?}: {ran:?}");
    }
    agent.stop();
    match failed {
        None => Sick::Elsewhere,
        Some(_) if ran.is_empty() => Sick::Before,
        Some(_) => Sick::Amid,
    }
}

#[test]
fn after_a_failed_write_or_sync_no_rollback_begins_and_judging_goes_on() {
    let what = "an agent on a disk that fails";
    if std::env::var_os("BACKSTOP_TEST_STRACE").is_none() {
        skip::say(&format!("BACKSTOP_TEST_STRACE is not set: {what}"));
        return;
    }
    if !skip::unless_installed("strace", what) {
        return;
    }
    let syncs = (1..=10).map(|nth| Fault {
        call: "fdatasync",
        error: "EIO",
        nth,
    });
    let writes = (1..=16).map(|nth| Fault {
        call: "pwrite64",
        error: "ENOSPC",
        nth,
    });
    let faults: Vec<Fault> = syncs.chain(writes).collect();
    let ends = all(&faults, |fault| (fault, on_a_sick_disk(fault)));
    let _ = writeln!(std::io::stderr(), "on a disk that fails: {ends:?}");
    for call in ["fdatasync", "pwrite64"] {
        let mut of = ends.iter().filter(|(fault, _)| fault.call == call);
        assert!(
            of.any(|(_, end)| *end == Sick::Before),
            "no {call} failed before the rollback: {ends:?}"
        );
    }
}
