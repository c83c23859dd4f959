//! Drills of the real agent: what is looked at, what is only filled in, what
//! people hear; that nothing of production is changed by one; and that one which
//! is executed is a rollback that blames nobody.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use backstop::guard::Event;
use backstop::journal::Body;
use host::Host;
use serde_json::Value;

/// A plan with every kind of step, a check of its target, people to ask, and two
/// notifiers of which one is dead.
fn policy() -> String {
    format!(
        "{}[triggers.errors]\nwhen = \"error_rate > 5% for 1s\"\nseverity = \"critical\"\n\
         [triggers.slower]\nwhen = \"error_rate > 1% for 2s\"\nseverity = \"high\"\n\
         approve = {{ roles = [\"lead\"], quorum = 1, within = \"10m\" }}\n\
         [release]\ncurrent = {{ symlink = \"DIR/current\" }}\ngood_after = \"1s\"\n\
         target = {{ check = [\"DIR/bin/exists\", \"{{target}}\"] }}\n\
         [plans.rollback]\ngoal = \"1m\"\nexpect = \"10s\"\n\
         verify = {{ require = [\"error_rate < 5% for 1s\"], within = \"20s\", watch = \"1s\" }}\n\
         [[plans.rollback.steps]]\nname = \"traffic is served\"\ncheck = \"app is up for 400ms\"\n\
         [[plans.rollback.steps]]\nname = \"point current back\"\n\
         symlink = {{ link = \"DIR/current\", to = \"DIR/releases/{{target}}\" }}\n\
         [[plans.rollback.steps]]\nname = \"restart\"\nrun = [\"DIR/bin/restart\", \"{{current}} to {{target}}\"]\n\
         [[plans.rollback.data_loss]]\nname = \"orders\"\nrun = [\"DIR/bin/count\", \"{{target}}\"]\nunit = \"orders\"\n\
         [[escalation]]\nnotify = [\"good\"]\n",
        host::SOURCES
    )
}

/// A host with that policy and the programs that it names; each writes down that
/// it ran, and with what.
fn host(name: &str) -> Host {
    let mut host = Host::new(name);
    fs::create_dir_all(host.dir.join("bin")).unwrap();
    for (program, does) in [
        ("exists", "test -d DIR/releases/$1"),
        ("restart", "true"),
        ("count", "echo 12"),
        ("hear", "cat >> DIR/heard; echo >> DIR/heard"),
    ] {
        let path = host.dir.join("bin").join(program);
        let script = format!("#!/bin/sh\necho \"{program} $*\" >> DIR/ran\n{does}\n");
        let script = script.replace("DIR", host.dir.to_str().unwrap());
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let dir = host.dir.display();
    host.configure(&format!(
        "[roles.lead]\nusers = [\"root\"]\n\
         [notifiers.good]\ntype = \"run\"\ncommand = [\"{dir}/bin/hear\"]\n\
         [notifiers.dead]\ntype = \"run\"\ncommand = [\"{dir}/bin/not-there\"]\n"
    ));
    host.write("shop.toml", &policy());
    host.release("good-1");
    host.start();
    let good = |version: &str| {
        let page = || -> Value { serde_json::from_str(&host.get("/api/v1/status")).unwrap() };
        host.wait("a good release", || {
            let good = page()["services"][0]["release"]["good"].to_string();
            good.contains(version).then_some(())
        });
    };
    good("good-1");
    host.release("good-2");
    good("good-2");
    host
}

fn drill(host: &Host, more: &[&str]) -> (Option<i32>, Value) {
    let mut arguments = vec!["drill", "shop", "--format", "json"];
    arguments.extend(more);
    let (code, said) = host.order(&arguments);
    let report = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    (code, report)
}

/// A point of the report, as `verdict: said`.
fn point(report: &Value, part: &str, name: &str) -> String {
    let points = report["points"].as_array().unwrap();
    let found = points
        .iter()
        .find(|p| p["part"] == part && p["name"].as_str().unwrap().starts_with(name))
        .unwrap_or_else(|| panic!("no {part} {name}: {report:#}"));
    format!(
        "{}: {}",
        found["verdict"].as_str().unwrap(),
        found["said"].as_str().unwrap()
    )
}

/// The facts that people brought or that steps made: all but what is sampled.
fn facts(host: &Host) -> Vec<Event> {
    let records = host.journal().into_iter();
    let events = records.filter_map(|record| match record.body {
        Body::Event(event) => Some(event),
        _ => None,
    });
    events
        .filter(|event| {
            !matches!(
                event,
                Event::Sampled { .. } | Event::Ticked { .. } | Event::Woke
            )
        })
        .collect()
}

#[test]
fn a_rehearsal_looks_at_everything_and_changes_nothing() {
    let host = host("rehearsal");
    let before = facts(&host).len();
    let (code, report) = drill(&host, &[]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["passed"], true);
    assert_eq!(
        (&report["current"], &report["target"]),
        (&"good-2".into(), &"good-1".into())
    );
    for (part, name, begins) in [
        ("gate", "freeze", "passed: open"),
        ("gate", "no target", "passed: open"),
        ("check", "target good-1", "passed: "),
        ("check", "traffic is served", "passed: holds"),
        ("step", "point current back", "not_run: would point "),
        ("step", "restart", "not_run: would run "),
        ("count", "", "passed: "),
        ("verify", "error_rate < 5% for 1s", "passed: holds"),
        ("people", "trigger slower", "passed: 1 of lead (root)"),
        ("notice", "good (at once)", "passed: delivered"),
    ] {
        let said = point(&report, part, name);
        assert!(said.starts_with(begins), "{part} {name}: {said}");
    }
    // A sample, 80% of the window after it, then the hold.
    let times = report["times"].as_array().unwrap();
    let verify = times.iter().find(|time| time["part"] == "verify");
    assert_eq!(verify.unwrap()["expected_ms"], 2000, "{report:#}");
    assert!(point(&report, "step", "restart").contains("'good-2 to good-1'"));
    assert!(point(&report, "count", "").contains("counts 12 orders"));
    // What only looks was run, with its placeholders filled in; nothing else was.
    let mut ran = host.ran();
    ran.sort();
    assert_eq!(ran, ["count good-1", "exists good-1", "hear "]);
    assert_eq!(host.running(), "good-2");
    let heard = fs::read_to_string(host.dir.join("heard")).unwrap();
    assert!(
        heard.contains("[drill] shop: a TEST, nothing has happened"),
        "{heard}"
    );
    // The audit line is all that production knows of it.
    let after = facts(&host);
    assert_eq!(after.len(), before + 1, "{after:#?}");
    let Some(Event::Drilled { drill, .. }) = after.last() else {
        panic!("{after:#?}");
    };
    assert!(drill.passed() && drill.incident.is_none());
    assert_eq!(host.count("drilled"), 1);
    assert_eq!(host.count("opened"), 0);
    let (_, status) = host.order(&["status", "shop"]);
    let line = status
        .lines()
        .find(|line| line.starts_with("  drill "))
        .unwrap();
    assert!(line.ends_with(" ago, plan rollback: passed"), "{line}");
}

#[test]
fn what_would_fail_is_found_and_the_result_survives_a_restart() {
    let mut host = host("found");
    let text = policy()
        .replace("notify = [\"good\"]", "notify = [\"good\", \"dead\"]")
        .replace("DIR/bin/restart", "DIR/bin/no-such-program")
        .replace("DIR/bin/exists", "DIR/bin/count-nothing")
        .replace("[\"lead\"]", "[\"release-manager\"]")
        .replace("error_rate < 5% for 1s", "error_rate > 90% for 1s")
        .replace("within = \"20s\"", "within = \"2s\"")
        .replace("goal = \"1m\"", "goal = \"5s\"");
    host.write("shop.toml", &text);
    let (code, said) = host.order(&["reload"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, report) = drill(&host, &[]);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["passed"], false);
    for (part, name, begins) in [
        ("check", "target good-1", "failed: "),
        ("step", "restart", "failed: could not run "),
        (
            "verify",
            "error_rate > 90% for 1s",
            "failed: did not hold within 2s: error_rate is 0%",
        ),
        (
            "people",
            "trigger slower",
            "failed: the agent's config has no role `release-manager`",
        ),
        ("notice", "dead", "failed: "),
        ("notice", "good", "passed: "),
    ] {
        let said = point(&report, part, name);
        assert!(said.starts_with(begins), "{part} {name}: {said}");
    }
    let recover = report["times"].as_array().unwrap();
    let recover = recover
        .iter()
        .find(|time| time["part"] == "recover")
        .unwrap();
    assert_eq!(recover["met"], false, "{recover}");
    host.kill();
    host.start();
    let status: Value = serde_json::from_str(&host.get("/api/v1/status")).unwrap();
    let last = &status["services"][0]["drill"];
    assert_eq!(last["passed"], false, "{status:#}");
    assert!(last["failed"].to_string().contains("notice dead"), "{last}");
    let page = host.get("/metrics");
    assert!(
        host::number(&page, "backstop_drill_last_success{").abs() < 0.5,
        "{page}"
    );
    assert!(host::number(&page, "backstop_drill_last_timestamp_seconds{") > 1e9);
}

#[test]
fn a_gate_that_would_refuse_is_no_pass_and_one_drill_goes_on_at_a_time() {
    let host = host("gates");
    host.order(&["freeze", "shop", "--for", "1h", "--reason", "inventory"]);
    let (code, report) = drill(&host, &[]);
    assert_eq!(code, Some(1));
    let said = point(&report, "gate", "freeze");
    assert!(
        said.starts_with("refused: frozen by") && said.contains("inventory"),
        "{said}"
    );
    host.order(&["unfreeze", "shop"]);
    let (code, said) = host.order(&["drill", "shop", "--plan", "databse"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("there is no plan `databse`: there are rollback"),
        "{said}"
    );
    let (code, said) = host.order(&["drill", "shopp"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("did you mean `shop`?"), "{said}");
    let drills: Vec<(Option<i32>, String)> = std::thread::scope(|scope| {
        let drills: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| host.order(&["drill", "shop"])))
            .collect();
        drills.into_iter().map(|d| d.join().unwrap()).collect()
    });
    let refused: Vec<_> = drills.iter().filter(|(code, _)| *code == Some(1)).collect();
    assert_eq!(refused.len(), 1, "{drills:#?}");
    assert!(
        refused[0].1.contains("a drill of shop goes on already"),
        "{drills:#?}"
    );
}

#[test]
fn a_scenario_fires_in_the_copy_and_leaves_production_alone() {
    let host = host("scenario");
    let before = facts(&host).len();
    let scenario = host.dir.join("errors.test.toml");
    let text = "[[test]]\nname = \"errors roll back\"\n\
         [test.series]\n'http_requests_total{code=\"500\"}' = \"0+10x20\"\n\
         'http_requests_total{code=\"200\"}' = \"0+10x20\"\n";
    let expect =
        "[[test.expect]]\nat = \"1800ms\"\nevent = \"would_roll_back\"\ntrigger = \"errors\"\n";
    fs::write(&scenario, format!("{text}{expect}")).unwrap();
    let path = scenario.to_str().unwrap();
    let (code, report) = drill(&host, &["--scenario", path]);
    assert_eq!(code, Some(0), "{report:#}");
    let played = &report["scenarios"][0];
    let events: Vec<&str> = played["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["trigger"] == "errors")
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        ["suspecting", "fired", "would_roll_back"],
        "{played:#}"
    );
    // From the live state: the release that runs, and the good one before it.
    assert!(
        played.to_string().contains("from release good-2 to good-1"),
        "{played:#}"
    );
    // The live engine has seen none of it.
    assert_eq!(facts(&host).len(), before + 1);
    for what in [
        "suspecting",
        "fired",
        "opened",
        "would_roll_back",
        "rolling_back",
    ] {
        assert_eq!(host.count(what), 0, "{what}");
    }
    assert_eq!(host.running(), "good-2");
    // Frozen it would not: the copy has the live freeze.
    host.order(&["freeze", "shop", "--for", "1h", "--reason", "inventory"]);
    let (code, report) = drill(&host, &["--scenario", path]);
    assert_eq!(code, Some(1));
    assert_eq!(report["scenarios"][0]["passed"], false);
    assert!(
        report["scenarios"][0].to_string().contains("frozen by"),
        "{report:#}"
    );
    // A recording goes too; and what is none is refused with its fault.
    host.order(&["unfreeze", "shop"]);
    let recording = host.dir.join("errors.om");
    let mut lines = String::from("# TYPE http_requests counter\n");
    for i in 0..20 {
        for code in [200, 500] {
            let at = 1_790_000_000.0 + f64::from(i) * 0.2;
            let value = i * 10;
            let _ = writeln!(lines, "http_requests_total{{code=\"{code}\"}} {value} {at}");
        }
    }
    fs::write(&recording, lines + "# EOF\n").unwrap();
    let (code, report) = drill(&host, &["--scenario", recording.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{report:#}");
    fs::write(
        &scenario,
        text.replace("http_requests_total", "http_request_total") + expect,
    )
    .unwrap();
    let (code, said) = host.order(&["drill", "shop", "--scenario", path]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("http_request_total") && said.contains("errors.test.toml"),
        "{said}"
    );
}

#[test]
fn an_executed_drill_is_a_run_that_blames_no_release_and_is_marked_everywhere() {
    let host = host("executed");
    let (code, said) = host.order(&["drill", "shop", "--execute", "--reason", "quarterly"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ordered a drill: quarterly"), "{said}");
    assert!(
        said.ends_with("the drill ended as cured; `backstop report 1` has all of it\n"),
        "{said}"
    );
    assert_eq!(host.running(), "good-1");
    assert!(host.ran().contains(&"restart good-2 to good-1".to_owned()));
    let status: Value = serde_json::from_str(&host.get("/api/v1/status")).unwrap();
    let service = &status["services"][0];
    assert_eq!(
        service["release"]["bad"],
        serde_json::json!([]),
        "{service:#}"
    );
    assert_eq!(service["drill"]["incident"], 1, "{service:#}");
    assert_eq!(service["drill"]["passed"], true);
    let (_, listed) = host.order(&["incidents"]);
    assert!(listed.contains("a drill, critical"), "{listed}");
    let (_, report) = host.order(&["report", "1"]);
    assert!(
        report.starts_with("# `[drill]` Incident 1: shop"),
        "{report}"
    );
    let heard = fs::read_to_string(host.dir.join("heard")).unwrap();
    assert!(
        heard.contains("[drill] shop: a person ordered a drill"),
        "{heard}"
    );
    // Every notice of it says so.
    assert!(
        heard
            .lines()
            .filter(|l| !l.is_empty())
            .all(|l| l.contains("[drill]")),
        "{heard}"
    );
    // While its incident is open there is no second one.
    host.until("closed");
    host.order(&["freeze", "shop", "--for", "1h", "--reason", "inventory"]);
    let (code, said) = host.order(&["drill", "shop", "--execute"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("frozen by"), "{said}");
}

#[test]
fn each_point_is_printed_as_soon_as_it_is_known() {
    let mut host = host("told");
    // In shadow, so that what is to go wrong below goes no further.
    let text = policy()
        .replace("mode = \"enforce\"", "mode = \"shadow\"")
        .replace("error_rate < 5% for 1s", "app is down")
        .replace("within = \"20s\"", "within = \"5m\"");
    host.write("shop.toml", &text);
    host.order(&["reload"]);
    let mut drill = Command::new(env!("CARGO_BIN_EXE_backstop"))
        .arg("--socket")
        .arg(host.dir.join("control.sock"))
        .args(["drill", "shop"])
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(drill.stdout.take().unwrap()).lines();
    let mut until = |parts: &[&str]| -> Vec<String> {
        let mut told: Vec<String> = Vec::new();
        let there = |told: &[String], part: &&str| told.iter().any(|line| line.contains(part));
        while !parts.iter().all(|part| there(&told, part)) {
            told.push(lines.next().unwrap().unwrap());
        }
        told
    };
    let told = until(&["traffic is served: holds", "good (at once): delivered"]);
    assert_eq!(told[0], "  part    verdict  took   what");
    assert_eq!(told[1], "  gate    ok       –      freeze: open");
    assert!(!told.iter().any(|line| line.contains("app is down")));
    assert_eq!(host.count("drilled"), 0, "it goes on");
    host.close_shop();
    let told = until(&["shop: drill of plan rollback"]);
    assert!(told[0].starts_with("  verify  ok "), "{told:#?}");
    assert!(told[0].contains("app is down: holds"), "{told:#?}");
    assert!(told.last().unwrap().ends_with(": passed"), "{told:#?}");
    assert!(drill.wait().unwrap().success());
    host.kill();
}
