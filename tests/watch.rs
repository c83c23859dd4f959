//! What a pipeline sees: `backstop watch` before the real agent and a real
//! service.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;

use std::process::{Child, Command, Output, Stdio};

use host::Host;
use serde_json::Value;

/// Swaps the link back when the release is bad; then does this.
fn policy(then: &str) -> String {
    format!(
        "{}[triggers.errors]\nwhen = \"error_rate > 5% for 2s\"\nseverity = \"critical\"\n\
         [release]\ncurrent = {{ symlink = \"DIR/current\" }}\ngood_after = \"1s\"\n\
         [plans.rollback]\n\
         verify = {{ require = [\"error_rate < 5% for 1s\"], within = \"30s\", watch = \"1s\" }}\n\
         [[plans.rollback.steps]]\nname = \"point current back\"\n\
         symlink = {{ link = \"DIR/current\", to = \"DIR/releases/{{target}}\" }}\n\
         [[plans.rollback.steps]]\nname = \"then\"\nrun = {then}\n",
        host::SOURCES
    )
}

/// A host whose good release has been found good.
fn host(name: &str, then: &str) -> Host {
    let mut host = Host::new(name);
    host.release("good");
    host.write("shop.toml", &policy(then));
    host.start();
    host.until("judged");
    host
}

fn watch(host: &Host, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_backstop"))
        .arg("--socket")
        .arg(host.dir.join("control.sock"))
        .args(["watch", "shop"])
        .args(arguments)
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_STEP_SUMMARY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The exit code, and the objects that it wrote, one a line.
fn came(child: Child) -> (Option<i32>, Vec<Value>) {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    let lines = text.lines().map(|line| {
        serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("{line}: {e}: {}", String::from_utf8_lossy(&stderr)))
    });
    (status.code(), lines.collect())
}

#[test]
fn a_bad_release_is_followed_to_its_rollback_over_a_restart_of_the_agent() {
    let mut host = host("watch-bad", "[\"/bin/sleep\", \"1\"]");
    let watching = watch(&host, &["--for", "60s", "--version", "bad"]);
    host.release("bad");
    host.until("suspecting");
    assert_eq!(host.stop(), Some(0));
    host.start();
    let (code, lines) = came(watching);
    let events: Vec<&str> = lines.iter().filter_map(|l| l["event"].as_str()).collect();
    assert_eq!(code, Some(10), "{lines:#?}");
    for event in ["baking", "incident", "note", "ended"] {
        assert!(events.contains(&event), "{event}: {lines:#?}");
    }
    let end = lines.last().unwrap();
    assert_eq!(end["verdict"], "rolled_back");
    assert_eq!(end["incident"], 1);
    let cured = lines.iter().filter(|l| l["note"] == "cured").count();
    assert_eq!(cured, 1, "{lines:#?}");
    assert_eq!(host.running(), "good");
}

#[test]
fn a_rollback_that_fails_is_a_person_s() {
    let host = host("watch-failed", "[\"/bin/false\"]");
    host.release("bad");
    let (code, lines) = came(watch(&host, &["--for", "60s", "--version", "bad"]));
    assert_eq!(code, Some(11), "{lines:#?}");
    assert_eq!(lines.last().unwrap()["verdict"], "escalated");
}

#[test]
fn a_healthy_release_is_a_notice_and_a_summary_on_github() {
    let mut host = host("watch-github", "[\"/bin/true\"]");
    let summary = host.dir.join("summary.md");
    let run = |host: &Host| {
        let output = Command::new(env!("CARGO_BIN_EXE_backstop"))
            .arg("--socket")
            .arg(host.dir.join("control.sock"))
            .args(["watch", "shop", "--for", "3s"])
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", &summary)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = run(&host);
    assert_eq!(code, Some(0), "{text}");
    let notice = "::notice title=shop%3A healthy::release good of shop stayed healthy for 3s\n";
    assert!(text.ends_with(notice), "{text}");
    let said = std::fs::read_to_string(&summary).unwrap();
    assert!(said.starts_with("### ✅ shop: healthy\n"), "{said}");
    // Without an agent there is nothing to follow.
    assert_eq!(host.stop(), Some(0));
    let (code, text) = run(&host);
    assert_eq!((code, text.as_str()), (Some(3), ""));
}

#[test]
fn without_a_verdict_for_too_long_nothing_is_called_healthy() {
    let host = host("watch-blind", "[\"/bin/true\"]");
    host.close_shop();
    let (code, lines) = came(watch(&host, &["--for", "4s"]));
    assert_eq!(code, Some(12), "{lines:#?}");
    let end = lines.last().unwrap();
    assert_eq!(end["verdict"], "not_judged");
    let (code, lines) = came(watch(
        &host,
        &["--for", "4s", "--version", "v9", "--appear", "2s"],
    ));
    assert_eq!(code, Some(12), "{lines:#?}");
    assert_eq!(lines[0]["event"], "waiting");
    let end = lines.last().unwrap();
    assert_eq!(end["text"], "release v9 never ran: good does");
}
