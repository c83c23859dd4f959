//! The real agent against a real service, over real sockets and real signals:
//! what no simulation shows.
//!
//! Intervals and holds are short and the machine may be busy, so nothing here
//! depends on how long anything takes: events are awaited in the agent's own
//! record, up to a deadline that only a broken agent reaches.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use backstop::guard::{Command, Engine, What};
use backstop::journal::{Body, Record};
use host::Host;

/// Steps that write down that they began and ended, one file for all.
fn told(name: &str, pause: &str, more: &str) -> String {
    format!(
        "[[plans.rollback.steps]]\nname = \"{name}\"\n\
         run = [\"/bin/sh\", \"-c\", \"echo {name} begins >> DIR/ran; sleep {pause}; echo {name} ends >> DIR/ran\"]\n{more}\n"
    )
}

/// A service that is bad from the start, and a plan of these steps that does not
/// need a release.
fn plan(steps: &[String]) -> String {
    format!(
        "{}[triggers.errors]\nwhen = \"error_rate > 5% for 600ms\"\nseverity = \"critical\"\n\
         [plans.rollback]\ncooldown = \"1h\"\nbudget = \"1 per 24h\"\n\
         verify = {{ require = [\"error_rate < 5% for 600ms\"], within = \"30s\", watch = \"1s\" }}\n{}",
        host::SOURCES,
        steps.concat()
    )
}

/// A policy that swaps the link back when the release is bad.
fn swap_back() -> String {
    format!(
        "{}[triggers.errors]\nwhen = \"error_rate > 5% for 1s\"\nseverity = \"critical\"\n\
             [release]\ncurrent = {{ symlink = \"DIR/current\" }}\ngood_after = \"1s\"\n\
             [plans.rollback]\n\
             verify = {{ require = [\"error_rate < 5% for 1s\"], within = \"30s\", watch = \"1s\" }}\n\
             [[plans.rollback.steps]]\nname = \"point current back\"\n\
             symlink = {{ link = \"DIR/current\", to = \"DIR/releases/{{target}}\" }}\n\
             [[plans.rollback.steps]]\nname = \"say so\"\nrun = [\"/bin/echo\", \"{{current}} to {{target}}\"]\n",
        host::SOURCES
    )
}

#[test]
fn a_bad_release_is_rolled_back_and_verified() {
    let mut host = Host::new("verified");
    host.release("good");
    host.write("shop.toml", &swap_back());
    host.start();
    host.until("judged");
    let program = std::fs::read_link(format!("/proc/{}/exe", host.pid())).unwrap();
    assert_eq!(
        program,
        std::path::Path::new(env!("CARGO_BIN_EXE_backstop-agent")),
        "the process goes on as the agent without the rest"
    );
    host.release("bad");
    host.until("cured");
    assert_eq!(host.running(), "good");
    let rolled = host.until("rolling_back");
    assert_eq!(rolled["cause"]["subject"], "error_rate");
    host.until_page(|page| {
        page.contains("backstop_runs_total{service=\"shop\",outcome=\"cured\"} 1")
    });
    assert!(host.get("/healthz").starts_with("ok"));
    host.until("closed");
    assert_eq!(host.count("fired"), 1);
    assert_eq!(host.count("rolling_back"), 1);
    assert_eq!(host.stop(), Some(0), "a graceful end");
}

/// Both ends of the story are commands: one says which release runs, another
/// that the service is well. While the first fails, what it said last stays.
#[test]
fn commands_say_what_runs_and_that_it_is_well() {
    let mut host = Host::new("commands");
    host.release("good");
    let asked = "[\"/bin/sh\", \"-c\", \"test ! -e DIR/mute && basename $(readlink DIR/current)\"]";
    let policy = swap_back()
        .replace(
            "{ symlink = \"DIR/current\" }",
            &format!("{{ run = {asked} }}"),
        )
        .replace(
            "[\"error_rate < 5% for 1s\"]",
            "[\"check is up\", \"error_rate < 5% for 1s\"]",
        );
    let check = "[sources.check]\ntype = \"run\"\ncommand = [\"/bin/sh\", \"-c\", \"echo checked; readlink DIR/current | grep -q /good\"]\n";
    host.write("shop.toml", &format!("{policy}{check}"));
    host.start();
    host.until("judged");
    let mute = host.dir.join("mute");
    std::fs::write(&mute, "").unwrap();
    host.until_page(|page| {
        page.contains("backstop_release_asked_total{service=\"shop\",result=\"expectation\"}")
    });
    std::fs::remove_file(mute).unwrap();
    host.release("bad");
    host.until("cured");
    assert_eq!(host.running(), "good");
    let page = host.get("/metrics");
    assert!(
        page.contains("backstop_samples_total{service=\"shop\",source=\"check\",result=\"ok\"}"),
        "{page}"
    );
    host.until("closed");
    let seen = host.count("release");
    assert_eq!(seen, 3, "good, bad, and good again");
    assert_eq!(host.stop(), Some(0), "a graceful end");
}

/// What the journal has of a rollback, over a restart in the hold, is all that a
/// new engine needs to order it again: the same orders, to the byte, in answer to
/// the same facts.
#[test]
fn the_journal_of_a_live_run_stepped_again_gives_the_same_commands() {
    let mut host = Host::new("stepped-again");
    host.release("good");
    host.write("shop.toml", &swap_back());
    host.start();
    host.until("judged");
    host.release("bad");
    host.until("suspecting");
    assert_eq!(host.stop(), Some(0));
    host.start();
    host.until("closed");
    assert_eq!(host.stop(), Some(0));
    let mut engine = Engine::new();
    let (mut recorded, mut again) = (BTreeMap::new(), BTreeMap::new());
    for Record { seq, at, body } in host.journal() {
        match body {
            Body::Event(event) => {
                let commands = engine.step(at, event);
                if !commands.is_empty() {
                    again.insert(seq, commands);
                }
            }
            Body::Commands { cause, commands } => {
                recorded
                    .entry(cause)
                    .or_insert_with(Vec::new)
                    .extend(commands);
            }
            Body::Anchor(_) => {}
            Body::Lost(lost) => panic!("{lost:?}"),
        }
    }
    let cured = |command: &Command| matches!(command, Command::Note(n) if n.what == What::Cured);
    assert!(recorded.values().flatten().any(cured), "{recorded:?}");
    let bytes =
        |orders: &BTreeMap<u64, Vec<Command>>| serde_json::to_string_pretty(orders).unwrap();
    assert_eq!(bytes(&again), bytes(&recorded));
}

#[test]
fn a_hold_goes_on_over_a_kill() {
    let mut host = Host::new("hold");
    host.release("bad");
    host.write(
        "shop.toml",
        &plan(&[told("one", "0", "")]).replace("600ms\"\nsev", "4s\"\nsev"),
    );
    host.start();
    let began = host.until("suspecting")["at"].clone();
    host.until_page(|page| host::number(page, "backstop_trigger_held_seconds") >= 1.5);
    host.kill();
    host.start();
    let fired = host.until("fired");
    assert_eq!(fired["cause"]["since"], began, "the hold began anew");
    assert_eq!(host.count("suspecting"), 1);
    host.until("restarted");
}

#[test]
fn a_step_killed_in_the_middle_is_lost_and_never_run_twice() {
    let mut host = Host::new("lost");
    host.release("bad");
    host.write(
        "shop.toml",
        &plan(&[told("one", "1", ""), told("two", "0", "")]),
    );
    host.start();
    host.until_ran("one begins");
    host.kill();
    host.start();
    let lost = host.until("lost_track");
    assert!(lost["reason"].as_str().unwrap().contains("`one`"), "{lost}");
    host.until("escalated");
    host.until_ran("one ends");
    host.until_ticks(3);
    assert_eq!(host.ran(), ["one begins", "one ends"]);
}

#[test]
fn an_idempotent_step_killed_in_the_middle_is_run_again_and_the_plan_goes_on() {
    let mut host = Host::new("again");
    host.release("bad");
    host.write(
        "shop.toml",
        &plan(&[
            told("one", "0.3", "idempotent = true"),
            told("two", "0", ""),
        ]),
    );
    host.start();
    host.until_ran("one begins");
    host.kill();
    host.start();
    host.until_ran("two ends");
    host.release("good");
    host.until("cured");
    let ran = host.ran();
    assert_eq!(
        ran.iter().filter(|l| *l == "one begins").count(),
        2,
        "{ran:?}"
    );
    assert_eq!(
        ran.iter().filter(|l| *l == "two begins").count(),
        1,
        "{ran:?}"
    );
}

/// Whatever the instant, what is not idempotent runs at most once, and the
/// incident ends cured or with a person who knows.
#[test]
fn killed_at_any_boundary_nothing_runs_twice() {
    type Reached = fn(&Host);
    let boundaries: [(&str, Reached); 4] = [
        ("decided", |host| drop(host.until("rolling_back"))),
        ("starting", |host| host.until_event("starting", 1)),
        ("finished", |host| host.until_event("finished", 1)),
        ("verifying", |host| drop(host.until("verifying"))),
    ];
    for (boundary, reached) in boundaries {
        let mut host = Host::new(boundary);
        host.release("bad");
        host.write(
            "shop.toml",
            &plan(&[
                told("one", "0", ""),
                told("two", "0", ""),
                told("three", "0", ""),
            ]),
        );
        host.start();
        reached(&host);
        host.kill();
        // Only a plan that ran to its end cures.
        host.start();
        let over = host.until_any(&["lost_track", "verifying"]);
        let ran = host.ran();
        for step in ["one", "two", "three"] {
            let begun = ran
                .iter()
                .filter(|l| **l == format!("{step} begins"))
                .count();
            assert!(begun <= 1, "killed when {boundary}: {ran:?}");
            assert!(
                begun == 1 || over["what"] == "lost_track",
                "killed when {boundary}: {step} was left out: {ran:?}"
            );
        }
        if over["what"] == "verifying" {
            host.release("good");
            host.until("cured");
        }
        assert_eq!(host.count("rolling_back"), 1, "killed when {boundary}");
    }
}

#[test]
fn a_step_that_runs_is_finished_before_a_graceful_end() {
    let mut host = Host::new("graceful");
    host.release("bad");
    host.write(
        "shop.toml",
        &plan(&[told("one", "1", ""), told("two", "0", "")]),
    );
    host.start();
    host.until_ran("one begins");
    assert_eq!(host.stop(), Some(0));
    assert_eq!(host.ran(), ["one begins", "one ends"]);
    host.start();
    host.until("verifying");
    assert_eq!(
        host.ran(),
        ["one begins", "one ends", "two begins", "two ends"]
    );
}

#[test]
fn a_broken_file_keeps_the_policy_that_ran_before() {
    let mut host = Host::new("broken");
    host.release("good");
    let policy = plan(&[told("one", "0", "")]);
    host.write("shop.toml", &policy);
    host.start();
    host.until_page(|page| host::number(page, "backstop_ticks_total") >= 2.0);
    let reload = "backstop_policy_last_reload_successful";
    host.write("shop.toml", &policy.replace("interval", "intervall"));
    host.until_page(|page| host::number(page, reload) < 0.5);
    assert!(host.log().contains("intervall"), "{}", host.log());
    host.until_ticks(3);
    // Over a restart too.
    host.kill();
    host.start();
    host.until_page(|page| host::number(page, reload) < 0.5);
    host.until_ticks(3);
    host.write("shop.toml", &policy.replace("5% for", "6% for"));
    host.until_page(|page| host::number(page, reload) > 0.5);
    assert_eq!(host.count("revised"), 2, "set up, then changed");
    // A service whose file is gone is guarded no more.
    std::fs::remove_file(host.dir.join("policies/shop.toml")).unwrap();
    host.until_page(|page| !page.contains("backstop_phase{service=\"shop\""));
}

#[test]
fn the_second_agent_on_a_state_directory_is_refused_and_told_by_whom() {
    let mut host = Host::new("second");
    host.release("good");
    host.write("shop.toml", &plan(&[told("one", "0", "")]));
    host.start();
    host.until_ticks(1);
    let second = host.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    let pid = host.pid();
    assert!(
        said.contains(&format!("another agent holds it (pid {pid}")),
        "{said}"
    );
    host.until_ticks(2);
}

#[test]
fn in_shadow_nothing_runs() {
    let mut host = Host::new("shadow");
    host.release("bad");
    let policy = plan(&[told("one", "0", "")]).replace("\"enforce\"", "\"shadow\"");
    host.write("shop.toml", &policy);
    host.start();
    host.until("would_roll_back");
    host.until_ticks(3);
    assert_eq!(host.ran(), [""; 0]);
    assert_eq!(host.count("rolling_back"), 0);
}

/// What systemd would hear: `Type=notify`, `WatchdogSec=` and `ExecReload=`.
#[test]
fn the_service_manager_hears_what_it_should() {
    let mut host = Host::new("manager");
    host.release("good");
    host.write("shop.toml", &plan(&[told("one", "0", "")]));
    let path = host.dir.join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(40)))
        .unwrap();
    let until = |line: &str| {
        let mut datagram = [0; 4096];
        loop {
            let n = manager.recv(&mut datagram).unwrap();
            let text = String::from_utf8_lossy(&datagram[..n]).into_owned();
            if text.lines().any(|l| l.starts_with(line)) {
                return text;
            }
        }
    };
    let mut command = host.command();
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000");
    host.spawn(command);
    until("READY=1");
    assert_eq!(
        until("STATUS="),
        "STATUS=guarding 1 service; all is quiet\n"
    );
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    host.signal(rustix::process::Signal::HUP);
    let reloading = until("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    until("READY=1");
    host.release("bad");
    until("STATUS=guarding 1 service; shop: suspecting errors");
    host.signal(rustix::process::Signal::TERM);
    until("STOPPING=1");
}
