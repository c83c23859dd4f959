//! The tests of policies: those that are shipped pass, and what a person reads
//! when one fails or its file is wrong. A new case of a wrong file is a new file
//! in `tests/tested/bad`, and its snapshot beside it.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use backstop::model::{Expr, Policy, Test, Trigger};
use backstop::policy::files::{read_suite, suite_paths};
use backstop::policy::{EVENTS, render};
use backstop::replay::test;
use proptest::prelude::*;

/// Exit code and output of `backstop test`.
fn run(args: &[&str]) -> (i32, String, String) {
    let came = Command::new(env!("CARGO_BIN_EXE_backstop"))
        .arg("test")
        .args(args)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        came.status.code().unwrap(),
        text(came.stdout),
        text(came.stderr),
    )
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("tested");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The policies of a directory, without their tests.
fn policies_in(dir: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut policies: Vec<_> = paths
        .filter(|path| !path.is_dir() && !path.to_string_lossy().ends_with(".test.toml"))
        .collect();
    policies.sort();
    policies
}

/// What a source that is asked says; that nobody says anything is no blindness.
fn is_measured(policy: &Policy, trigger: &Trigger) -> bool {
    let told = |source: &String| policy.sources[source].kind.is_told();
    tests_in(&trigger.when.expr).iter().any(|test| match test {
        Test::Compare { signal, .. } => !told(&policy.signals[signal].source),
        Test::Source { .. } => true,
    })
}

fn tests_in(expr: &Expr) -> Vec<&Test> {
    match expr {
        Expr::Test(test) => vec![test],
        Expr::All(all) | Expr::Any(all) => all.iter().flat_map(tests_in).collect(),
    }
}

#[test]
fn every_shipped_policy_has_tests_and_passes_them() {
    let mut lacking = Vec::new();
    for (dir, least) in [("policies", 11), ("policies/recipes", 11)] {
        let policies = policies_in(dir);
        assert!(policies.len() >= least, "{dir} has {policies:?}");
        for path in policies {
            let name = path.to_string_lossy().into_owned();
            let file = read_suite(&suite_paths(&path).unwrap()[0]);
            assert_eq!(file.loaded.faults, [], "{name}");
            let suite = file.loaded.suite.unwrap();
            for tested in test(&suite) {
                assert!(tested.passed, "{name}: {tested:#?}");
            }
            let expected: Vec<_> = suite.cases.iter().flat_map(|case| &case.expect).collect();
            for trigger in &suite.policy.triggers {
                let sees = |what: &str| {
                    expected.iter().any(|e| {
                        e.trigger.as_ref() == Some(&trigger.name)
                            && e.event.is_some_and(|event| event.starts_with(what))
                    })
                };
                let row = &trigger.name;
                if !sees("fired") && !sees("would_") {
                    lacking.push(format!("{name}: {row} never fires"));
                }
                if is_measured(&suite.policy, trigger) && !sees("blind") {
                    lacking.push(format!("{name}: {row} is never blind"));
                }
                // Neither under its limit, nor by one bad window.
                let quiet = suite.cases.iter().flat_map(|case| &case.never);
                let quiet = quiet.filter(|never| {
                    never.trigger.as_ref().is_none_or(|named| named == row)
                        && never
                            .event
                            .is_none_or(|event| event == "fired" || event == "suspecting")
                });
                if quiet.count() == 0 {
                    lacking.push(format!("{name}: {row} is never quiet"));
                }
            }
        }
    }
    assert_eq!(lacking, [""; 0]);
}

#[test]
fn a_wrong_file_is_told_whole() {
    for path in suite_paths(Path::new("tests/tested/bad")).unwrap() {
        let file = read_suite(&path);
        assert!(file.loaded.suite.is_none());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let name = name.trim_end_matches(".test.toml");
        for fault in &file.loaded.faults {
            let place = fault.place.as_ref().unwrap();
            let there = &file.text[place.offset..place.offset + place.length];
            assert!(there.starts_with(&place.text), "{fault:?}");
        }
        snapshot(name, &render(&file.loaded.faults, &file.text, false));
    }
}

#[test]
fn a_test_that_fails_says_what_happened_instead() {
    let (code, text, _) = run(&["tests/tested/failing.test.toml"]);
    assert_eq!(code, 1, "{text}");
    snapshot("failing", &text);
    let (code, json, _) = run(&["tests/tested/failing.test.toml", "--format", "json"]);
    assert_eq!(code, 1);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["tests"], &json["passed"], &json["failed"]),
        (&5.into(), &2.into(), &3.into())
    );
    assert_eq!(json["ok"], false);
    let difference = &json["files"][0]["tests"][0]["differences"][0];
    assert_eq!(
        (&difference["line"], &difference["event"], &difference["at"]),
        (&5.into(), &"fired".into(), &"15m".into())
    );
    let happened = difference["happened"].as_array().unwrap();
    assert!(
        happened
            .iter()
            .any(|e| e["event"] == "fired" && e["at"] == "15m50s" && e["limit"] == 0.05),
        "{happened:#?}"
    );
}

#[test]
fn exit_codes_say_how_it_went() {
    let (code, text, _) = run(&["policies"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with(" passed, 0 failed\n"), "{text}");
    // A policy means the tests beside it.
    let (code, text, _) = run(&["policies/minimal.toml"]);
    assert_eq!(
        (code, &*text),
        (0, "4 tests in 1 file: 4 passed, 0 failed\n")
    );
    // One file wrong: the others are run all the same.
    let (code, text, _) = run(&["tests/tested/bad/stray.test.toml", "policies/minimal.toml"]);
    assert_eq!(code, 2);
    assert!(
        text.contains("4 passed, 0 failed, 1 file refused"),
        "{text}"
    );
    for nothing in [
        "tests/policy/lint",
        "no-such-directory",
        "no-such.test.toml",
    ] {
        let (code, text, told) = run(&[nothing]);
        assert_eq!(code, 2, "{nothing}: {text}{told}");
    }
    let (_, _, told) = run(&["tests/policy/lint"]);
    assert!(
        told.starts_with("error: no test in tests/policy/lint\nhint: "),
        "{told}"
    );
}

#[test]
fn a_refused_policy_is_told_with_its_own_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("a.toml"),
        "service = \"a\"\nintervall = \"5s\"\n",
    )
    .unwrap();
    let tests = dir.path().join("a.test.toml");
    fs::write(
        &tests,
        "[[test]]\nname = \"x\"\nseries = { probe_success = \"1x\" }\nexpect_none = [\"fired\"]\n",
    )
    .unwrap();
    let (code, text, _) = run(&[tests.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(text.contains("unknown key `intervall`"), "{text}");
    assert!(text.contains("`1x` is not a value of a series"), "{text}");
}

#[test]
fn the_events_that_can_be_expected_are_those_of_a_replay() {
    // The README and SPEC 5 name the same.
    assert_eq!(EVENTS.len(), 10);
    let readme = fs::read_to_string("README.md").unwrap();
    for event in EVENTS {
        assert!(readme.contains(&format!("`{event}`")), "{event}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_mangled_test_file_is_read_or_refused(
        at in any::<prop::sample::Index>(),
        len in 0_usize..30,
        other in "[-+_x0-9a-z{}\\[\\]=\"',. \n]{0,30}|\\PC{0,10}",
    ) {
        let text = fs::read_to_string("policies/minimal.test.toml").unwrap();
        let from = text.floor_char_boundary(at.index(text.len()));
        let to = text.ceil_char_boundary((from + len).min(text.len()));
        let text = format!("{}{other}{}", &text[..from], &text[to..]);
        let policy = backstop::policy::load("m.toml", &fs::read_to_string("policies/minimal.toml").unwrap());
        let loaded = backstop::policy::load_suite("m.test.toml", &text, |_| {
            backstop::policy::Tried::Policy(Box::new(policy.policy.clone().unwrap()))
        });
        prop_assert!(loaded.suite.is_some() == loaded.faults.is_empty());
        prop_assert!(!render(&loaded.faults, &text, false).is_empty() || loaded.suite.is_some());
    }
}
