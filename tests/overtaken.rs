//! Somebody else deploys while the agent suspects, asks or rolls back: evidence
//! against one release never acts on another.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;

use host::Host;
use serde_json::Value;

/// A good release that is known to be good, then a bad one; the first step says
/// that it began and waits for a file, the second swaps the link.
fn bad_release(name: &str, trigger: &str) -> Host {
    let mut host = Host::new(name);
    host.configure(&format!("[roles.sre]\nusers = [\"{}\"]\n", user()));
    host.release("good");
    host.write(
        "shop.toml",
        &format!(
            "{}[triggers.errors]\nwhen = \"error_rate > 5% for 2s\"\n{trigger}\n\
             [release]\ncurrent = {{ symlink = \"DIR/current\" }}\ngood_after = \"1s\"\n\
             [plans.rollback]\n\
             verify = {{ require = [\"error_rate < 5% for 600ms\"], within = \"30s\", watch = \"1s\" }}\n\
             [[plans.rollback.steps]]\nname = \"drain\"\n\
             run = [\"/bin/sh\", \"-c\", \"echo drain >> DIR/ran; until [ -e DIR/go ]; do sleep 0.05; done\"]\n\
             [[plans.rollback.steps]]\nname = \"point current back\"\n\
             symlink = {{ link = \"DIR/current\", to = \"DIR/releases/{{target}}\" }}\n",
            host::SOURCES
        ),
    );
    host.start();
    host.until("judged");
    host.release("bad");
    host
}

/// Who runs this, as the agent knows them.
fn user() -> String {
    let id = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

/// Awaits that the agent has seen a release.
fn until_seen(host: &Host, version: &str) {
    let says = format!("release {version} replaces");
    host.wait(&says, || {
        let seen = |record: &Value| record.to_string().contains(&says);
        host.records().iter().any(seen).then_some(())
    });
}

/// Longer than any hold here: whatever would still happen has happened.
const QUIET: u32 = 25;

#[test]
fn a_release_that_arrives_during_a_hold_is_not_judged_by_what_came_before() {
    let host = bad_release("hold-overtaken", "severity = \"critical\"");
    host.until("suspecting");
    host.release("new");
    until_seen(&host, "new");
    host.until_ticks(QUIET);
    assert_eq!(host.count("fired"), 0);
    assert_eq!(host.running(), "new");
    assert_eq!(host.ran(), [""; 0]);
}

#[test]
fn a_bad_release_that_replaces_a_bad_one_earns_a_hold_of_its_own() {
    let host = bad_release("hold-renewed", "severity = \"critical\"");
    host.until("suspecting");
    host.release("bad-too");
    until_seen(&host, "bad-too");
    let released = host
        .records()
        .iter()
        .filter(|record| record["event"]["event"] == "released")
        .filter_map(|record| record["at"].as_u64())
        .next_back();
    let fired = host.until("fired");
    assert!(fired["cause"]["since"].as_u64() > released, "{fired}");
    std::fs::write(host.dir.join("go"), "").unwrap();
    host.until("cured");
    assert_eq!(host.running(), "good");
}

#[test]
fn a_release_that_arrives_while_people_are_asked_withdraws_the_question() {
    let host = bad_release(
        "question-overtaken",
        "severity = \"high\"\napprove = { roles = [\"sre\"], within = \"1h\" }",
    );
    let asked = host.until("asked");
    let incident = asked["incident"].to_string();
    host.release("new");
    host.until("withdrawn");
    let (code, said) = host.order(&["approve", &incident, "--as", "sre"]);
    assert_eq!(code, Some(1), "{said}");
    host.until_ticks(QUIET);
    assert_eq!(host.count("rolling_back"), 0);
    assert_eq!(host.running(), "new");
    assert_eq!(host.ran(), [""; 0]);
}

#[test]
fn a_release_that_arrives_during_a_rollback_is_left_where_it_is() {
    let host = bad_release("rollback-overtaken", "severity = \"critical\"");
    host.until_ran("drain");
    host.release("new");
    until_seen(&host, "new");
    std::fs::write(host.dir.join("go"), "").unwrap();
    host.until("aborted");
    host.until("escalated");
    host.until_ticks(QUIET);
    assert_eq!(host.running(), "new");
    assert_eq!(host.count("rolling_back"), 1);
}
