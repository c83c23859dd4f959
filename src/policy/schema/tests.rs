//! What the schema says, held against the loader: its keys, its choices, and that it
//! refuses nothing that the loader takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use boon::{Compiler, Schemas};
use proptest::prelude::*;
use regex::Regex;
use serde_json::Value;

use super::SCHEMA;
use crate::judge::grammar::duration_or_zero;
use crate::policy::load;

/// No key and no choice.
const STRANGE: &str = "qqqqqqqqqqqq";

/// Every table of the schema, and a policy with a strange key in it.
const TABLES: [(&str, &str); 28] = [
    ("", "? = 1"),
    ("definitions/promote", "promote = { ? = 1 }"),
    ("definitions/scrape", "[sources.a]\ntype = 'scrape'\n? = 1"),
    ("definitions/probe", "[sources.a]\ntype = 'probe'\n? = 1"),
    ("definitions/tcp", "[sources.a]\ntype = 'tcp'\n? = 1"),
    (
        "definitions/prometheus",
        "[sources.a]\ntype = 'prometheus'\n? = 1",
    ),
    ("definitions/run", "[sources.a]\ntype = 'run'\n? = 1"),
    ("definitions/log", "[sources.a]\ntype = 'log'\n? = 1"),
    (
        "definitions/alertmanager",
        "[sources.a]\ntype = 'alertmanager'\n? = 1",
    ),
    ("definitions/push", "[sources.a]\ntype = 'push'\n? = 1"),
    (
        "definitions/expect",
        "[sources.a]\ntype = 'probe'\nexpect = { ? = 1 }",
    ),
    ("definitions/signal", "[signals.s]\n? = 1"),
    (
        "definitions/signal/properties/ratio",
        "[signals.s]\nsource = 'app'\nratio = { ? = 1 }",
    ),
    (
        "definitions/signal/properties/quantile",
        "[signals.s]\nsource = 'app'\nquantile = { ? = 1 }",
    ),
    ("definitions/trigger", "[triggers.t]\n? = 1"),
    ("definitions/approve", "[triggers.t]\napprove = { ? = 1 }"),
    ("definitions/release", "[release]\n? = 1"),
    (
        "definitions/release/properties/current/oneOf/1",
        "[release]\ncurrent = { ? = 1 }",
    ),
    (
        "definitions/release/properties/target",
        "[release]\ntarget = { ? = 1 }",
    ),
    ("definitions/plan", "[plans.p]\n? = 1"),
    (
        "definitions/plan/properties/verify",
        "[plans.p]\nverify = { ? = 1 }",
    ),
    (
        "definitions/plan/properties/data_loss/items",
        "[plans.p]\ndata_loss = [{ ? = 1 }]",
    ),
    ("definitions/step", "[[plans.p.steps]]\n? = 1"),
    (
        "definitions/step/properties/symlink",
        "[[plans.p.steps]]\nsymlink = { ? = 1 }",
    ),
    (
        "definitions/step/properties/systemd",
        "[[plans.p.steps]]\nsystemd = { ? = 1 }",
    ),
    (
        "definitions/step/properties/http",
        "[[plans.p.steps]]\nhttp = { ? = 1 }",
    ),
    (
        "definitions/step/properties/http/properties/secrets/additionalProperties",
        "[[plans.p.steps]]\nhttp = { secrets = { s = { ? = 1 } } }",
    ),
    ("definitions/level", "[[escalation]]\n? = 1"),
];

/// Every choice of the schema, and a policy with a strange one.
const CHOICES: [(&str, &str); 18] = [
    ("definitions/mode", "mode = ?"),
    (
        "definitions/probe/properties/method",
        "[sources.a]\ntype = 'probe'\nmethod = ?",
    ),
    (
        "definitions/signal/properties/by",
        "[signals.s]\nsource = 'app'\nvalue = 'x'\nby = ?",
    ),
    (
        "definitions/signal/properties/over",
        "[signals.s]\nsource = 'app'\nvalue = 'x'\nover = ?",
    ),
    (
        "definitions/signal/properties/unit",
        "[signals.s]\nsource = 'prom'\nquery = 'x'\nunit = ?",
    ),
    (
        "definitions/approve/properties/otherwise",
        "[triggers.t]\napprove = { otherwise = ? }",
    ),
    (
        "definitions/trigger/properties/severity",
        "[triggers.t]\nseverity = ?",
    ),
    (
        "definitions/trigger/properties/response",
        "[triggers.t]\nresponse = ?",
    ),
    (
        "definitions/release/properties/current/oneOf/0",
        "[release]\ncurrent = ?",
    ),
    (
        "definitions/release/properties/target/properties/rule",
        "[release]\ntarget = { rule = ? }",
    ),
    (
        "definitions/release/properties/target/properties/otherwise",
        "[release]\ntarget = { check = ['x'], otherwise = ? }",
    ),
    (
        "definitions/release/properties/target/properties/fallback",
        "[release]\ntarget = { fallback = ? }",
    ),
    (
        "definitions/plan/properties/verify/properties/otherwise",
        "[plans.p]\nverify = { otherwise = ? }",
    ),
    ("definitions/plan/properties/risk", "[plans.p]\nrisk = ?"),
    (
        "definitions/step/properties/on_failure",
        "[[plans.p.steps]]\non_failure = ?",
    ),
    (
        "definitions/step/properties/systemd/properties/action",
        "[[plans.p.steps]]\nsystemd = { unit = 'a.service', action = ? }",
    ),
    (
        "definitions/step/properties/http/properties/method",
        "[[plans.p.steps]]\nhttp = { method = ?, url = 'http://h/' }",
    ),
    ("definitions/level/properties/on", "[[escalation]]\non = ?"),
];

const SOURCES: &str = "[sources.app]\ntype = 'scrape'\nurl = 'http://127.0.0.1:9/'\n\
        [sources.prom]\ntype = 'prometheus'\nurl = 'http://127.0.0.1:9'\n";

const GOOD: &str = "service = 'shop'\n[sources.web]\ntype = 'probe'\nurl = 'http://127.0.0.1:9/'\n\
        [triggers.down]\nwhen = 'web is down for 1m'\nseverity = 'low'\n";

/// Those of durations, and some that are none.
const UNITS: [&str; 38] = [
    "nanos", "nsec", "ns", "usec", "us", "µs", "millis", "msec", "ms", "seconds", "second", "secs",
    "sec", "s", "minutes", "minute", "min", "mins", "m", "hours", "hour", "hr", "hrs", "h", "days",
    "day", "d", "weeks", "week", "wk", "wks", "w", "months", "M", "y", "q", "", "µ",
];

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// What stands between backticks in the hint of the fault that a strange word
/// makes.
fn known(code: &str, text: &str) -> BTreeSet<String> {
    let text = if text.starts_with('[') {
        format!("{text}\n{SOURCES}")
    } else {
        format!("{text}\n")
    };
    let faults = load("policy.toml", &text).faults;
    let strange = |message: &str| message.contains(STRANGE);
    let fault = faults
        .iter()
        .find(|f| f.code == code && strange(&f.message));
    let fault = fault.unwrap_or_else(|| panic!("{text}\n{faults:#?}"));
    let hint = fault.hint.as_deref().unwrap();
    assert!(!hint.contains('…'), "not all are told: {hint}");
    hint.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Every place of the schema that has this key, with what is there.
fn places<'s>(at: &str, schema: &'s Value, key: &str, out: &mut BTreeMap<String, &'s Value>) {
    let below = |name: &str| format!("{at}/{name}");
    match schema {
        Value::Object(map) => {
            // A key of a policy may be called as one of a schema is.
            if !at.ends_with("/properties")
                && let Some(found) = map.get(key)
            {
                out.insert(at.trim_start_matches('/').to_owned(), found);
            }
            for (name, value) in map {
                places(&below(name), value, key, out);
            }
        }
        Value::Array(all) => {
            for (i, value) in all.iter().enumerate() {
                places(&below(&i.to_string()), value, key, out);
            }
        }
        _ => {}
    }
}

fn all(schema: &Value, key: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    places("", schema, key, &mut found);
    let words = |value: &Value| match value {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Array(all) => all.iter().map(|v| v.as_str().unwrap().to_owned()).collect(),
        one => BTreeSet::from([one.as_str().unwrap().to_owned()]),
    };
    found
        .into_iter()
        .map(|(at, value)| (at, words(value)))
        .collect()
}

#[test]
fn it_has_every_key_of_the_loader_and_no_other() {
    let schema = schema();
    let loader = TABLES.map(|(at, text)| {
        (
            at.to_owned(),
            known("unknown-key", &text.replace('?', STRANGE)),
        )
    });
    assert_eq!(all(&schema, "properties"), BTreeMap::from(loader));
    let mut closed = BTreeMap::new();
    places("", &schema, "additionalProperties", &mut closed);
    for (at, _) in TABLES {
        assert_eq!(closed.get(at), Some(&&Value::Bool(false)), "{at}");
    }
}

#[test]
fn it_has_every_choice_of_the_loader_and_no_other() {
    let schema = schema();
    let mut choices = all(&schema, "enum");
    choices.extend(all(&schema, "const"));
    // The types of sources are where their tables are.
    choices.retain(|at, _| !at.ends_with("/properties/type"));
    let quoted = format!("'{STRANGE}'");
    let loader =
        CHOICES.map(|(at, text)| (at.to_owned(), known("value", &text.replace('?', &quoted))));
    assert_eq!(choices, BTreeMap::from(loader));
}

fn check(text: &str) -> Result<(), String> {
    let policy: Value = toml::from_str(text).unwrap();
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.add_resource("schema.json", schema()).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    schemas
        .validate(&policy, index)
        .map_err(|e| format!("{e:#}"))
}

#[test]
fn every_shipped_policy_is_one() {
    let mut seen = 0;
    for dir in ["policies", "policies/recipes"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.extension() != Some("toml".as_ref()) || name.ends_with(".test.toml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            check(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

proptest! {
    #[test]
    fn every_duration_of_the_loader_is_one(
        spans in prop::collection::vec(
            ("[0-9]{1,4}", "[ ]?", "([.][0-9]{1,2})?", "[ ]?", prop::sample::select(UNITS.as_slice())),
            1..4,
        ),
    ) {
        let spans = spans.into_iter().map(|(n, a, part, b, unit)| n + &a + &part + &b + unit);
        let text: String = spans.collect();
        let schema = schema();
        let pattern = schema["definitions"]["duration"]["pattern"].as_str().unwrap();
        let matches = Regex::new(pattern).unwrap().is_match(&text);
        // What is too fine or too long is no matter of the schema.
        prop_assert!(matches || duration_or_zero(&text).is_err(), "{text}");
    }
}

#[test]
fn what_the_loader_takes_it_takes() {
    for (from, to) in [
        ("'low'", "'low'\nclear_for = '0'"),
        ("'low'", "'low'\nclear_for = '1.5h'"),
        ("'low'", "'low'\nclear_for = ' 1 wk 2days'"),
        (
            "'low'",
            "'low'\nmin_events = 1\nconfidence = 0\ncoverage = 1",
        ),
        ("'low'", "'low'\napprove = { roles = [] }"),
        ("http://127.0.0.1:9/", "HTTP:127.0.0.1:9"),
        (
            "[triggers.down]",
            "[plans.rollback]\nbudget = ' 2 per 1d'\nsteps = [{ run = ['a'] }]\n[triggers.down]",
        ),
    ] {
        let good = GOOD.replace(from, to);
        assert_ne!(good, GOOD, "{from}");
        let faults = load("p.toml", &good).faults;
        assert!(faults.is_empty(), "{good}\n{faults:#?}");
        assert_eq!(check(&good), Ok(()), "{good}");
    }
}

#[test]
fn what_it_refuses_the_loader_refuses_too() {
    assert_eq!(check(GOOD), Ok(()));
    assert!(load("p.toml", GOOD).faults.is_empty());
    for (from, to) in [
        ("'shop'", "'Shop'"),
        ("service = 'shop'", ""),
        ("severity = 'low'", ""),
        ("severity = 'low'", "severity = 'lowest'"),
        ("severity = 'low'", "severity = 'low'\nclear_for = 120"),
        (
            "severity = 'low'",
            "severity = 'low'\nclear_for = '2 fortnights'",
        ),
        ("severity = 'low'", "severity = 'low'\nclear_for = '1y'"),
        ("severity = 'low'", "severity = 'low'\nconfidence = 1"),
        ("severity = 'low'", "severity = 'low'\nmin_events = 0"),
        ("severity = 'low'", "severity = 'low'\ncoverage = 0"),
        (
            "severity = 'low'",
            "severity = 'low'\napprove = { quorum = 0 }",
        ),
        ("'probe'", "'prob'"),
        ("http:", "ftp:"),
        ("[sources.web]", "[sources.Web]"),
        ("url = ", "fail_after = 0\nurl = "),
        ("[triggers.down]", "[plans.p]\nsteps = []\n[triggers.down]"),
        (
            "[triggers.down]",
            "[plans.p]\ntimeout = '1m'\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[plans.p]\nsteps = [{ run = [] }]\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[plans.p]\nsteps = [{ run = ['a'], retries = 101 }]\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[release]\ncurrent = { label = 'v' }\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[[escalation]]\nnotify = []\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[sources.p]\ntype = 'push'\nroles = []\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[sources.l]\ntype = 'log'\npath = '/l'\nmatch = {}\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[plans.p]\nsteps = [{ run = ['a'], wait = '1s' }]\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[plans.p]\nsteps = [{ run = 'a' }]\n[triggers.down]",
        ),
        (
            "[triggers.down]",
            "[signals.s]\nsource = 'web'\n[triggers.down]",
        ),
    ] {
        let bad = GOOD.replace(from, to);
        assert_ne!(bad, GOOD, "{from}");
        assert!(check(&bad).is_err(), "{bad}");
        assert!(!load("p.toml", &bad).faults.is_empty(), "{bad}");
    }
}
