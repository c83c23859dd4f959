//! The real agent on a host that is itself in trouble: no descriptors, no
//! loopback, a wall clock that jumps, a process that is stopped, a disk that
//! takes seconds, memory that runs out.
//!
//! None of this is the service's fault, so none of it may roll the service back;
//! and as soon as the host works again, a service that is down is down.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;
mod skip;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backstop::guard::{Engine, Event};
use backstop::journal::{Body, Record};
use backstop::model::{GapKind, HowEnded, Moment, NoReading};
use host::Host;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

/// The plan of every policy here: one step, which says that it ran and when.
const PLAN: &str = r#"
[plans.rollback]
cooldown = "1h"
budget = "1 per 24h"
verify = { require = ["error_rate < 5% for 300ms"], within = "30s", watch = "1s" }
[[plans.rollback.steps]]
name = "one"
run = ["/bin/sh", "-c", "echo one $(/bin/date +%s.%N) $(/bin/cat /proc/self/oom_score_adj) >> DIR/ran"]
"#;

/// A policy with these triggers, judged ten times a second.
fn policy(triggers: &str) -> String {
    let sources = host::SOURCES.replace("200ms", "100ms");
    format!("{sources}{triggers}{PLAN}")
}

/// Down for a second, and said to be blind after another.
const DOWN: &str = r#"
[triggers.down]
when = "app is down for 1s"
severity = "critical"
blind_after = "1s"
"#;

/// What each sample that failed since `from` was for.
fn gaps(host: &Host, from: Moment) -> Vec<GapKind> {
    let records = host.journal().into_iter();
    records
        .filter_map(|record| match record.body {
            Body::Event(Event::Sampled { tick, outcome, .. }) if tick > from => {
                outcome.gap().map(|gap| gap.kind)
            }
            _ => None,
        })
        .collect()
}

fn ticks(host: &Host) -> Vec<Moment> {
    let ticked = |record: Record| match record.body {
        Body::Event(Event::Ticked { tick, .. }) => Some(tick),
        _ => None,
    };
    host.journal().into_iter().filter_map(ticked).collect()
}

fn last_tick(host: &Host) -> Moment {
    host.wait("a tick", || ticks(host).last().copied())
}

// ---- what the agent cannot see ------------------------------------------------

/// Leaves the agent `free` descriptors or, with `None`, not even those that it
/// gives back. Returns what it had.
fn leave_descriptors(host: &Host, free: Option<u64>) -> Rlimit {
    let open = || -> Vec<u64> {
        let numbers = fs::read_dir(format!("/proc/{}/fd", host.pid())).unwrap();
        numbers
            .map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect()
    };
    // The connections that asked for its page come to their ends.
    let mut last = (Vec::new(), Instant::now());
    host.wait("descriptors that stay as they are", || {
        let open = open();
        if open != last.0 {
            last = (open, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(300)).then_some(())
    });
    let limit = free.map_or(0, |free| {
        let unused = (0..).filter(|number| !last.0.contains(number));
        unused
            .take(usize::try_from(free).unwrap() + 1)
            .last()
            .unwrap()
    });
    let before = getrlimit(Resource::Nofile);
    limit_descriptors(
        host,
        Rlimit {
            current: Some(limit),
            maximum: before.maximum,
        },
    );
    before
}

fn limit_descriptors(host: &Host, limit: Rlimit) {
    let pid = Pid::from_raw(i32::try_from(host.pid()).unwrap());
    prlimit(pid, Resource::Nofile, limit).unwrap();
}

/// The service dies while the agent has no more descriptors than that.
fn it_abstains_with(free: Option<u64>) {
    let name = free.map_or("none".to_owned(), |free| free.to_string());
    let mut host = Host::new(&format!("descriptors-{name}"));
    host.release("good");
    host.write("shop.toml", &policy(DOWN));
    host.start();
    host.until_ticks(3);
    let before = leave_descriptors(&host, free);
    let from = last_tick(&host);
    host.close_shop();
    host.until("blind");
    let gaps = gaps(&host, from);
    assert!(gaps.iter().all(|kind| *kind == GapKind::Own), "{gaps:?}");
    assert_eq!(host.count("suspecting"), 0);
    limit_descriptors(&host, before);
    host.until("fired");
    host.until_file("ran");
}

#[test]
fn without_descriptors_it_judges_blind_and_with_them_a_dead_service_is_dead() {
    it_abstains_with(None);
}

/// Enough to be refused by the service, and not enough to connect to itself.
#[test]
fn refused_by_every_source_it_asks_itself_first_and_judges_blind_if_that_fails_too() {
    it_abstains_with(Some(0));
}

#[test]
fn without_loopback_it_judges_blind_and_with_it_a_dead_service_is_dead() {
    let what = "an agent without a loopback interface";
    let tools = ["unshare", "nsenter", "ip"];
    if !tools.iter().all(|tool| skip::unless_installed(tool, what))
        || !skip::unless_allowed(&["unshare", "--net", "true"], what)
    {
        return;
    }
    let mut host = Host::new("loopback");
    host.release("good");
    host.write("shop.toml", &policy(DOWN));
    // A new namespace has a loopback interface that is down, and nobody in it.
    host.serves = false;
    host.spawn(host.command_below(&["unshare", "--net"]));
    host.until("blind");
    let gaps = gaps(&host, Moment::ZERO);
    assert!(
        gaps.iter()
            .all(|kind| matches!(kind, GapKind::Own | GapKind::NoRoute)),
        "{gaps:?}"
    );
    assert_eq!(host.count("suspecting"), 0);
    let pid = host.pid().to_string();
    let up = Command::new("nsenter")
        .args(["--net", "--target", &pid, "ip", "link", "set", "lo", "up"])
        .status();
    assert!(up.unwrap().success());
    host.until("fired");
    host.until_file("ran");
}

// ---- what time it is ----------------------------------------------------------

/// Debian's libfaketime, which puts another wall clock in the place of libc's.
fn libfaketime() -> Option<PathBuf> {
    let dirs = fs::read_dir("/usr/lib").ok()?;
    dirs.filter_map(Result::ok)
        .map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
}

#[test]
fn a_wall_clock_that_jumps_or_stands_still_fires_nothing_and_unfires_nothing() {
    let Some(library) = libfaketime() else {
        skip::skipped("no libfaketime: an agent whose wall clock jumps");
        return;
    };
    let mut host = Host::new("clock");
    host.release("bad");
    host.write(
        "shop.toml",
        &policy(
            "[signals.silence]\nsource = \"app\"\nage = \"last_sale_seconds\"\n\
             [triggers.silent]\nwhen = \"silence > 800d\"\nseverity = \"critical\"\n\
             [triggers.dead]\nwhen = \"error_rate > 90%\"\nseverity = \"critical\"\n\
             [triggers.errors]\nwhen = \"error_rate > 5% for 6s\"\nseverity = \"critical\"\n\
             clear_for = \"1h\"\n",
        ),
    );
    let (clock, new) = (host.dir.join("clock"), host.dir.join("clock.new"));
    let set = |to: &str| {
        fs::write(&new, to).unwrap();
        fs::rename(&new, &clock).unwrap();
    };
    set("+0");
    let mut command = host.command();
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_NO_CACHE", "1")
        .env("NO_FAKE_STAT", "1");
    host.spawn(command);
    let since = host.until("suspecting")["at"].as_u64().unwrap();
    // An hour and a year on, two hours back, and a clock that stands still.
    for to in ["+1h", "+1y", "-2h", "2026-01-01 00:00:00", "+0"] {
        set(to);
        host.until_ticks(5);
    }
    let fired = host.until("fired");
    assert_eq!(fired["trigger"], "errors");
    assert_eq!(fired["cause"]["since"].as_u64().unwrap(), since, "{fired}");
    assert!(fired["at"].as_u64().unwrap() - since >= 6000, "{fired}");
    host.until_file("ran");
    set("+1y");
    host.until_ticks(5);
    assert_eq!(host.stop(), Some(0));
    assert_eq!(host.count("suspecting"), 1, "it began anew");
    assert_eq!(host.count("fired"), 1);
    assert_eq!(host.count("resolved"), 0);
    let records = host.journal();
    assert!(records.is_sorted_by(|a, b| a.seq < b.seq && a.at <= b.at));
    ages_know_that_the_clock_moved(records);
}

/// Steps what an agent has journaled, and looks at each tick's age.
fn ages_know_that_the_clock_moved(records: Vec<Record>) {
    let mut engine = Engine::new();
    let (mut before, mut jumps, mut ages) = (None, 0, 0);
    for record in records {
        let Body::Event(event) = record.body else {
            continue;
        };
        let ahead = match &event {
            Event::Ticked { wall_ahead_ms, .. } => Some(*wall_ahead_ms),
            _ => None,
        };
        engine.step(record.at, event);
        let Some(ahead) = ahead else { continue };
        let moved = before.is_some_and(|before: i64| before.abs_diff(ahead) > 2000);
        before = Some(ahead);
        jumps += u32::from(moved);
        let judge = &engine.state().services["shop"].judge;
        let (_, age) = judge
            .signals()
            .find(|(name, _)| *name == "silence")
            .unwrap();
        assert_eq!(
            matches!(age, Err(NoReading::ClockMoved)),
            moved,
            "at {:?}: {age:?}",
            record.at
        );
        ages += u32::from(age.is_ok());
    }
    assert!(jumps >= 5, "the clock was seen to move {jumps} times");
    assert!(ages > jumps, "{ages} ages");
}

// ---- time that was slept through ----------------------------------------------

/// Stops the agent for a while; returns the last tick before.
fn stop_dead(host: &Host, length: Duration) -> Moment {
    host.signal(Signal::STOP);
    let before = last_tick(host);
    std::thread::sleep(length);
    let scrapes = host.scrapes();
    let began = Instant::now();
    host.signal(Signal::CONT);
    host.wait("ticks after the stop", || {
        let after = ticks(host).into_iter().filter(|tick| *tick > before);
        (after.count() >= 10).then_some(())
    });
    let intervals = began.elapsed().as_millis() / 100;
    let scrapes = u128::from(host.scrapes() - scrapes);
    // One for the tick that it was stopped in, one for the one that it woke in.
    assert!(
        scrapes <= intervals + 2,
        "{scrapes} scrapes in {intervals} intervals: it caught up"
    );
    let ticks = ticks(host);
    let hole = ticks.windows(2).find(|two| two[1].since(two[0]) >= length);
    hole.expect("ticks were judged that nobody sampled")[0]
}

#[test]
fn a_stop_within_the_gap_is_missed_ticks_and_the_hold_goes_on() {
    let mut host = Host::new("stopped");
    host.release("bad");
    host.write(
        "shop.toml",
        &policy(
            "[triggers.errors]\nwhen = \"error_rate > 5% for 5s\"\nseverity = \"critical\"\n\
             coverage = 0.8\nmax_gap = \"30s\"\n",
        ),
    );
    host.start();
    let since = host.until("suspecting")["at"].clone();
    let before = stop_dead(&host, Duration::from_secs(3));
    let fired = host.until("fired");
    assert_eq!(fired["cause"]["since"], since, "the hold began anew");
    // Missed ticks do not count: the hole alone is more than a fifth of 5 s.
    let at = Moment::from_millis(fired["at"].as_u64().unwrap());
    assert!(at.since(before) >= Duration::from_secs(6), "{fired}");
    assert_eq!(host.count("suspecting"), 1);
}

#[test]
fn a_stop_beyond_the_gap_starts_the_hold_again() {
    let mut host = Host::new("stopped-long");
    host.release("bad");
    host.write(
        "shop.toml",
        &policy(
            "[triggers.errors]\nwhen = \"error_rate > 5% for 4s\"\nseverity = \"critical\"\n\
             max_gap = \"2s\"\n",
        ),
    );
    host.start();
    host.until("suspecting");
    let before = stop_dead(&host, Duration::from_secs(4));
    let fired = host.until("fired");
    let since = Moment::from_millis(fired["cause"]["since"].as_u64().unwrap());
    assert!(since.since(before) >= Duration::from_secs(4), "{fired}");
    let at = Moment::from_millis(fired["at"].as_u64().unwrap());
    assert!(at.since(since) >= Duration::from_secs(4), "{fired}");
}

// ---- a slow disk, and little memory -------------------------------------------

#[test]
fn while_a_sync_takes_seconds_judging_goes_on_and_the_step_waits_for_its_intent() {
    let what = "an agent on a disk that takes seconds over a sync";
    if std::env::var_os("BACKSTOP_TEST_STRACE").is_none() {
        skip::say(&format!("BACKSTOP_TEST_STRACE is not set: {what}"));
        return;
    }
    if !skip::unless_installed("strace", what) {
        return;
    }
    let mut host = Host::new("slow-disk");
    host.release("good");
    host.write(
        "shop.toml",
        &policy(
            "[triggers.errors]\nwhen = \"error_rate > 5% for 500ms\"\nseverity = \"critical\"\n",
        ),
    );
    host.start();
    host.until_ticks(12);
    let mut strace = Command::new("strace")
        .args(["-f", "-e", "trace=fdatasync,fsync", "-o", "/dev/null", "-e"])
        .arg("inject=fdatasync,fsync:delay_enter=1500000")
        .args(["-p", &host.pid().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
    let attached = said.next().unwrap().unwrap();
    assert!(attached.contains("attached"), "{attached}");
    host.release("bad");
    let ran = host.wait("the step's line", || host.ran().pop());
    strace.kill().unwrap();
    strace.wait().unwrap();
    let rolling = |record: &serde_json::Value| {
        let commands = record["commands"].as_array().cloned().unwrap_or_default();
        commands.iter().any(|note| note["what"] == "rolling_back")
    };
    let decided = host.records().into_iter().find(rolling).unwrap();
    let began: f64 = ran.split(' ').nth(1).unwrap().parse().unwrap();
    let waited = began * 1000.0 - decided["wall_ms"].as_f64().unwrap();
    // The order, and that it is about to start: each is synced by itself.
    assert!(
        waited >= 3000.0,
        "the step began {waited} ms after the decision"
    );
    let decided = Moment::from_millis(decided["at"].as_u64().unwrap());
    let judged = ticks(&host)
        .into_iter()
        .filter(|tick| *tick > decided && tick.since(decided).as_millis() < 3000)
        .count();
    assert!(judged >= 5, "{judged} ticks in the 3 s of two syncs");
}

/// A control group with this much memory; gone with this.
struct Memory(PathBuf);

impl Memory {
    /// `None` where the kernel does not let us.
    fn limited(name: &str, bytes: u32) -> Option<Self> {
        let name = format!("backstop-{name}-{}", std::process::id());
        // Of version 1, where there is one that counts memory; else of version 2.
        let old = PathBuf::from("/sys/fs/cgroup/memory");
        let (dir, limit) = if old.exists() {
            (old.join(name), "memory.limit_in_bytes")
        } else {
            (PathBuf::from("/sys/fs/cgroup").join(name), "memory.max")
        };
        fs::create_dir(&dir).ok()?;
        let group = Self(dir);
        // Without the controller there is no such file, and none can be made.
        let file = group.0.join(limit);
        (file.exists() && fs::write(file, bytes.to_string()).is_ok()).then_some(group)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let began = Instant::now();
        // Its last process may still be on its way out.
        while fs::remove_dir(&self.0).is_err() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// As `MemoryMax=` and `OOMPolicy=continue` of the unit have it: the steps are in
/// the agent's own group.
#[test]
fn a_step_that_eats_the_memory_is_ended_by_the_kernel_and_the_agent_goes_on() {
    let Some(memory) = Memory::limited("eats", 96 << 20) else {
        skip::skipped("no control group for memory: an agent beside a step that eats all of it");
        return;
    };
    let mut host = Host::new("eats");
    host.release("bad");
    let policy = policy(
        "[triggers.errors]\nwhen = \"error_rate > 5% for 500ms\"\nseverity = \"critical\"\n",
    );
    let (plan, _) = policy.rsplit_once("run = ").unwrap();
    // One line that never ends.
    host.write(
        "shop.toml",
        &format!("{plan}run = [\"tail\", \"/dev/zero\"]\n"),
    );
    let enter = format!(
        "echo $$ > {}/cgroup.procs && exec \"$@\"",
        memory.0.display()
    );
    host.spawn(host.command_below(&["sh", "-c", &enter, "sh"]));
    host.until("failed");
    host.until("escalated");
    host.until_ticks(3);
    let ended = host
        .journal()
        .into_iter()
        .find_map(|record| match record.body {
            Body::Event(Event::Finished { end, .. }) => Some(end.how),
            _ => None,
        });
    assert_eq!(ended, Some(HowEnded::Signalled(9)));
    assert_eq!(host.count("restarted"), 0);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn a_step_has_the_score_of_any_service_when_the_agent_is_protected_from_the_kernel() {
    let what = "an agent that the kernel is to spare when memory runs out";
    if !skip::unless_installed("choom", what) {
        return;
    }
    let may = Command::new("choom")
        .args(["-n", "-500", "--", "true"])
        .output();
    if !may.unwrap().status.success() {
        // CI's root may lack CAP_SYS_RESOURCE: no package gives it that.
        skip::say(&format!("nobody here may lower a score: {what}"));
        return;
    }
    let mut host = Host::new("score");
    host.release("bad");
    host.write(
        "shop.toml",
        &policy(
            "[triggers.errors]\nwhen = \"error_rate > 5% for 500ms\"\nseverity = \"critical\"\n",
        ),
    );
    host.spawn(host.command_below(&["choom", "-n", "-500", "--"]));
    host.until_file("ran");
    let own = fs::read_to_string(format!("/proc/{}/oom_score_adj", host.pid()));
    assert_eq!(own.unwrap().trim(), "-500");
    let ran = host.wait("the step's line", || host.ran().pop());
    assert_eq!(ran.split(' ').nth(2), Some("0"), "{ran}");
}
