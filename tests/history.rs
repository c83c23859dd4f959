//! The past that a real agent leaves: what there is of it, out of it, into it,
//! and judged again.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;
mod skip;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use host::Host;
use serde_json::Value;

/// A policy that swaps the link back when the release is bad, and is told things.
const POLICY: &str = r#"
[sources.gone]
type = "tcp"
address = "127.0.0.1:1"
[sources.people]
type = "push"
[signals.breach]
source = "people"
flag = "breach-confirmed"
[signals.tickets]
source = "people"
count = "tickets"
window = "5s"
[triggers.errors]
when = "error_rate > 5% for 1s"
severity = "critical"
[triggers.tickets]
when = "tickets > 2"
severity = "low"
[triggers.breach]
when = "breach is set"
severity = "low"
[release]
current = { symlink = "DIR/current" }
good_after = "1s"
[plans.rollback]
verify = { require = ["error_rate < 5% for 1s"], within = "30s", watch = "1s" }
[[plans.rollback.steps]]
name = "point current back"
symlink = { link = "DIR/current", to = "DIR/releases/{target}" }
"#;

/// What a command said: exit code, standard output, standard error.
fn backstop(args: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_backstop"))
        .args(args)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        done.status.code().unwrap(),
        text(done.stdout),
        text(done.stderr),
    )
}

fn well(args: &[&str]) -> String {
    let (code, out, err) = backstop(args);
    assert_eq!(code, 0, "{args:?}\n{out}{err}");
    out
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&well(args)).unwrap()
}

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    all
}

/// The events of a replay, without what only one of two replays can know: the
/// words for why something failed or was said, and whether a rollback was really
/// begun.
fn events(told: &Value) -> Vec<String> {
    let events = told["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            let part = |name: &str| event[name].to_string();
            ["at", "event", "trigger", "value", "limit"]
                .map(part)
                .join(" ")
        })
        .collect()
}

/// One life of an agent: a good release, words, a bad release that is rolled
/// back, a kill in between.
fn lived(name: &str) -> Host {
    let mut host = Host::new(name);
    host.release("good");
    host.write("shop.toml", &format!("{}{POLICY}", host::SOURCES));
    host.start();
    host.until("judged");
    for words in [
        ["breach-confirmed", "set"],
        ["tickets", "+3"],
        ["breach-confirmed", "clear"],
    ] {
        let [what, value] = words;
        let (code, said) = host.order(&["push", "shop", what, value, "--reason", "a test"]);
        assert_eq!(code, Some(0), "{said}");
        host.until_ticks(2);
    }
    host.release("bad");
    host.until("suspecting");
    host.kill();
    host.start();
    host.until("cured");
    let (code, said) = host.order(&["freeze", "shop", "--for", "1h", "--reason", "a test"]);
    assert_eq!(code, Some(0), "{said}");
    host.until("closed");
    host
}

#[test]
fn what_there_is_is_told_beside_the_agent_and_without_it() {
    let mut host = lived("history-told");
    let state = host.dir.join("state");
    let state = state.to_str().unwrap();
    let beside = json(&["history", "--state", state, "--format", "json"]);
    assert_eq!(host.stop(), Some(0));
    let before = files(&host.dir.join("state"));
    let after = json(&["history", "shop", "--state", state, "--format", "json"]);
    let text = well(&["history", "--state", state]);
    assert!(files(&host.dir.join("state")) == before, "reading wrote");
    for told in [&beside, &after] {
        assert_eq!(told["remarks"], Value::Array(vec![]), "{told:#}");
        let shop = &told["services"][0];
        assert_eq!(shop["service"], "shop");
        let source = |name: &str| {
            let mut sources = shop["sources"].as_array().unwrap().iter();
            sources.find(|s| s["source"] == name).unwrap().clone()
        };
        let app = source("app");
        assert_eq!((&app["failed"], &app["series"]), (&0.into(), &2.into()));
        let sampled = app["sampled"].as_u64().unwrap();
        assert!(sampled > 10, "{app:#}");
        assert_eq!(app["samples"], sampled * 2);
        let gone = source("gone");
        assert_eq!(gone["failed"], gone["sampled"]);
        // Killed and started anew, it fails as before.
        assert_eq!(gone["gaps_in_all"], 1, "{gone:#}");
        let why = gone["gaps"][0]["reason"].as_str().unwrap();
        assert!(why.contains("refused"), "{why}");
        assert_eq!(gone["gaps"][0]["samples"], gone["failed"]);
        let releases = shop["releases"].as_array().unwrap();
        let versions: Vec<_> = releases.iter().map(|r| r["version"].clone()).collect();
        assert_eq!(versions, ["good", "bad", "good"]);
        for what in [
            "suspecting",
            "fired",
            "rolling_back",
            "cured",
            "frozen",
            "closed",
        ] {
            assert!(
                shop["decisions"][what].as_u64() >= Some(1),
                "{what}: {shop:#}"
            );
        }
    }
    let ticks = |told: &Value| told["services"][0]["ticks"].as_u64().unwrap();
    assert!(ticks(&after) >= ticks(&beside));
    assert!(text.contains("shop: 2"), "{text}");
    assert!(text.contains("connection refused"), "{text}");
    let (code, _, said) = backstop(&["history", "shoop", "--state", state]);
    assert_eq!(code, 1);
    assert!(
        said.contains("nothing of shoop") && said.contains("there is shop"),
        "{said}"
    );
}

#[test]
fn an_export_replays_as_the_history_does_and_comes_back_by_an_import() {
    let mut host = lived("history-export");
    let dir = host.dir.clone();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (state, file, policy) = (at("state"), at("all.om"), at("policies/shop.toml"));
    // Beside the running agent.
    well(&[
        "history",
        "export",
        "--state",
        &state,
        "-o",
        &at("beside.om"),
    ]);
    assert_eq!(host.stop(), Some(0));
    well(&["history", "export", "shop", "--state", &state, "-o", &file]);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, well(&["history", "export", "--state", &state]));
    assert!(text.ends_with("\n# EOF\n"));

    let of_file = json(&["replay", &policy, "--samples", &file, "--format", "json"]);
    let of_history = json(&[
        "replay",
        &policy,
        "--history",
        "--state",
        &state,
        "--format",
        "json",
    ]);
    assert_eq!(events(&of_file), events(&of_history));
    for name in ["from", "to", "ticks", "triggers"] {
        assert_eq!(of_file[name], of_history[name], "{name}");
    }
    // To the tick as it was live, and the rollback was real: what follows is no
    // conjecture.
    let fired: Vec<_> = of_history["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "fired")
        .collect();
    let names: Vec<_> = fired.iter().map(|event| event["trigger"].clone()).collect();
    assert_eq!(names, ["breach", "tickets", "errors"], "{of_history:#}");
    assert!(of_history.to_string().contains("would_roll_back"));
    assert!(
        !of_history.to_string().contains("counterfactual"),
        "{of_history:#}"
    );
    assert!(
        of_file.to_string().contains("counterfactual"),
        "{of_file:#}"
    );

    // Into an empty directory, and out again.
    let other = at("other");
    fs::create_dir(&other).unwrap();
    let import = [
        "history",
        "import",
        &file,
        "--service",
        "shop",
        "--state",
        &other,
    ];
    let said = well(&import);
    assert!(said.contains("series of shop from"), "{said}");
    // A source that is told is imported as one that has a page: then it is up.
    let again = well(&["history", "export", "--state", &other]);
    let lines = again
        .lines()
        .filter(|line| !line.contains("up{backstop_source=\"people\"}"));
    assert!(lines.eq(text.lines()), "{again}");
    let imported = json(&[
        "replay",
        &policy,
        "--history",
        "--state",
        &other,
        "--format",
        "json",
    ]);
    assert_eq!(events(&of_file), events(&imported));
    // Once more is refused, and changes nothing; as beside the agent's own.
    let before = files(Path::new(&other));
    let (code, _, said) = backstop(&import);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("already") && said.contains("--from and --to"),
        "{said}"
    );
    assert!(files(Path::new(&other)) == before);
    let (code, _, said) = backstop(&[
        "history",
        "import",
        &file,
        "--service",
        "shop",
        "--state",
        &state,
    ]);
    assert_eq!(code, 1, "{said}");
}

#[test]
fn the_past_is_tuned_against_the_agents_own_incidents() {
    let mut host = lived("history-tuned");
    assert_eq!(host.stop(), Some(0));
    let dir = host.dir.clone();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (state, policy, file) = (at("state"), at("policies/shop.toml"), at("all.om"));
    let choices = ["--limits", "1%,5%,100%", "--holds", "none,1s,1m"];
    let tuned = |recorded: &[&str]| {
        let what = ["tune", &policy, "--trigger", "errors", "--format", "json"];
        json(&[&what[..], &choices, &["--state", &state], recorded].concat())
    };
    let own = tuned(&["--history", "--own-incidents"]);
    let incidents = own["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{own:#}");
    let name = incidents[0]["name"].as_str().unwrap();
    assert!(name.ends_with(" errors"), "{name}");

    // The policy's own choice fired when a replay says so, which is when it was.
    let replayed = json(&[
        "replay",
        &policy,
        "--history",
        "--state",
        &state,
        "--format",
        "json",
    ]);
    let fired: Vec<_> = replayed["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "fired" && event["trigger"] == "errors")
        .map(|event| event["at"].clone())
        .collect();
    let choice = |tuned: &Value, index: &str| {
        tuned["choices"][usize::try_from(tuned[index].as_u64().unwrap()).unwrap()].clone()
    };
    let fires = choice(&own, "own")["fires"].clone();
    let fires = fires.as_array().unwrap();
    let times: Vec<_> = fires.iter().map(|fire| fire["at"].clone()).collect();
    assert_eq!(times, fired);
    assert_eq!(times.len(), 1);
    assert_eq!(fires[0]["release"], "bad");
    assert_eq!(fires[0]["incident"], 0);
    assert_eq!(choice(&own, "suggested")["score"]["caught"], 1);

    // How each release would have been judged.
    let ran = own["releases"].as_array().unwrap();
    let judged: Vec<_> = ran
        .iter()
        .map(|ran| {
            (
                ran["version"].as_str().unwrap(),
                ran["own_fired_after_seconds"].is_f64(),
            )
        })
        .collect();
    assert_eq!(judged, [("good", false), ("bad", true), ("good", false)]);

    // An export of it, with the agent's own incidents or the same by hand.
    well(&["history", "export", "shop", "--state", &state, "-o", &file]);
    let csv = at("incidents.csv");
    let part = |name: &str| incidents[0][name].as_str().unwrap();
    fs::write(&csv, format!("{},{},{name}\n", part("from"), part("to"))).unwrap();
    let of_file = tuned(&["--samples", &file, "--own-incidents"]);
    let by_hand = tuned(&["--samples", &file, "--incidents", &csv]);
    for other in [&of_file, &by_hand] {
        for index in ["own", "suggested"] {
            let (ours, theirs) = (choice(&own, index), choice(other, index));
            assert_eq!(ours["fires"], theirs["fires"]);
            assert_eq!(ours["score"]["caught"], theirs["score"]["caught"]);
        }
    }
    let unlabelled = tuned(&["--history"]);
    assert_eq!(unlabelled["suggested"], Value::Null);
    assert_eq!(choice(&unlabelled, "own")["fires"][0]["at"], times[0]);
}

/// What Prometheus's own tool makes of an export.
#[test]
fn promtool_makes_blocks_of_an_export() {
    if !skip::unless_installed("promtool", "an export becomes blocks of Prometheus") {
        return;
    }
    let mut host = lived("history-promtool");
    assert_eq!(host.stop(), Some(0));
    let dir = host.dir.clone();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (file, blocks) = (at("all.om"), at("blocks"));
    // Not what was pushed: its name has a dash, which needs Prometheus 3.
    well(&["history", "export", "--state", &at("state"), "-o", &file]);
    let text = fs::read_to_string(&file).unwrap();
    let plain: String = text
        .lines()
        .filter(|line| !line.starts_with("{\""))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(plain.len() < text.len(), "{text}");
    fs::write(&file, &plain).unwrap();
    let promtool = |args: &[&str]| {
        let done = Command::new("promtool").args(args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{args:?}\n{said}");
        String::from_utf8(done.stdout).unwrap()
    };
    let made = promtool(&["tsdb", "create-blocks-from", "openmetrics", &file, &blocks]);
    assert!(made.contains("NUM SAMPLES"), "{made}");
    // What reads a database wants its log, which blocks alone do not have.
    fs::create_dir(Path::new(&blocks).join("wal")).unwrap();
    let dumped = promtool(&["tsdb", "dump", &blocks]);
    let samples = plain.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(dumped.lines().count(), samples, "{dumped}");
    for series in [
        r#"{__name__="up", backstop_source="app"} 1 "#,
        r#"{__name__="probe_success", backstop_source="#,
        r#"{__name__="backstop_release", version="bad"} 1 "#,
        r#"{__name__="http_requests_total", backstop_source="app", code="500"}"#,
        r#"{__name__="tickets", backstop_source="people"} 3 "#,
    ] {
        let there = dumped.contains(series) || series.contains("probe_success");
        assert!(there, "{series} in\n{dumped}");
    }
}
