//! `tune` says of every choice what the policy would have done with it written
//! in: to the tick, over random recordings.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use backstop::policy::{Loaded, load};
use backstop::replay::{Axes, Labelled, Recording, TuneFault, Tuned, labels, replay, tune};
use proptest::prelude::*;

const START: u64 = 1_000_000;

fn policy(when: &str, keys: &str) -> String {
    format!(
        r#"
service = "shop"
[sources.app]
type = "scrape"
url = "http://127.0.0.1:9/metrics"
[sources.web]
type = "probe"
url = "http://127.0.0.1:9/health"
[signals.errors]
source = "app"
ratio = {{ of = 'req{{code="500"}}', to = "req" }}
window = "30s"
[signals.rps]
source = "app"
rate = "req"
window = "30s"
[signals.p90]
source = "web"
quantile = {{ q = 0.9, of = "latency" }}
window = "30s"
[signals.heat]
source = "app"
value = "heat"
[triggers.other]
when = "rps > 100/s for 20s"
severity = "critical"
[triggers.failing]
when = {when:?}
severity = "critical"
{keys}
[release]
current = {{ symlink = "/srv/shop/current" }}
[plans.rollback]
cooldown = "1m"
[[plans.rollback.steps]]
run = ["true"]
"#
    )
}

/// A stretch of time.
#[derive(Clone, Debug)]
struct Stretch {
    ticks: u64,
    rate: u64,
    /// Failed requests of a thousand.
    failed: u64,
    /// Nobody scraped.
    missed: bool,
    /// The counters began anew.
    reset: bool,
    /// A release was deployed at its beginning.
    release: Option<u8>,
}

fn stretch() -> impl Strategy<Value = Stretch> {
    (
        1_u64..30,
        prop_oneof![1 => Just(0_u64), 6 => 1_u64..200],
        prop_oneof![4 => Just(0), 6 => 0_u64..300],
        prop::bool::weighted(0.12),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.12, 0_u8..3),
    )
        .prop_map(|(ticks, rate, failed, missed, reset, release)| Stretch {
            ticks,
            rate,
            failed,
            missed,
            reset,
            release,
        })
}

/// The recording, and when another release was deployed.
fn recording(stretches: &[Stretch]) -> (String, BTreeSet<u64>) {
    let (mut good, mut bad, mut at) = (1000_u64, 0_u64, START);
    let mut lines = vec![format!("backstop_release{{version=\"v9\"}} 1 {at}")];
    let (mut deployed, mut running) = (BTreeSet::new(), 9);
    for (n, stretch) in stretches.iter().enumerate() {
        if let Some(version) = stretch.release.filter(|_| n > 0) {
            lines.push(format!("backstop_release{{version=\"v{version}\"}} 1 {at}"));
            // The same again is no change: what stands stays.
            if version != running {
                deployed.insert(at);
            }
            running = version;
        }
        if stretch.reset {
            (good, bad) = (0, 0);
        }
        for tick in 0..stretch.ticks {
            // Some ticks of a bad stretch are better than others.
            let failed = if tick % 7 == 3 { 0 } else { stretch.failed };
            let failed = stretch.rate * failed / 1000;
            good += stretch.rate - failed;
            bad += failed;
            if !stretch.missed {
                lines.push(format!("req{{code=\"200\"}} {good} {at}"));
                lines.push(format!("req{{code=\"500\"}} {bad} {at}"));
                lines.push(format!("heat {} {at}", failed % 13));
                let latency = 0.01 * failed as f64 + 0.02 * (tick % 5) as f64;
                lines.push(format!("probe_duration_seconds {latency} {at}"));
                lines.push(format!("probe_success 1 {at}"));
            }
            at += 5;
        }
    }
    lines.push("# EOF\n".to_owned());
    (lines.join("\n"), deployed)
}

fn read(file: &Loaded, text: &str) -> Recording {
    Recording::read(file.policy.as_ref().unwrap(), text.as_bytes()).unwrap()
}

fn loaded(text: &str) -> Loaded {
    let file = load("shop.toml", text);
    assert!(file.faults.is_empty(), "{:?}", file.faults);
    file
}

/// Seconds from the epoch to a time as replay writes it.
fn seconds(time: &str) -> u64 {
    let time: jiff::Timestamp = time.parse().unwrap();
    u64::try_from(time.as_second()).unwrap()
}

fn list(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// Holds every choice against a replay of the policy that has it.
fn check(
    tuned: &Tuned,
    keys: &str,
    text: &str,
    deployed: &BTreeSet<u64>,
) -> Result<(), TestCaseError> {
    for choice in &tuned.choices {
        let file = loaded(&policy(&choice.when, keys));
        let replayed = replay(file.policy.as_ref().unwrap(), &read(&file, text)).told;
        let times = |event: &str| -> Vec<u64> {
            let events = replayed.events.iter();
            events
                .filter(|e| e.event == event && e.trigger.as_deref() == Some("failing"))
                .map(|e| seconds(&e.at))
                .collect()
        };
        let fired: Vec<u64> = choice.fires.iter().map(|fire| seconds(&fire.at)).collect();
        prop_assert_eq!(fired, times("fired"), "{}", choice.when);
        let over = choice.fires.iter().filter_map(|fire| fire.until.as_deref());
        let resolved: Vec<u64> = over
            .map(seconds)
            .filter(|at| !deployed.contains(at))
            .collect();
        prop_assert_eq!(resolved, times("resolved"), "{}", choice.when);
        let summary = replayed.triggers["failing"];
        prop_assert_eq!(choice.fired as u64, summary.fired);
        let off = (choice.breach_seconds - summary.breach_seconds).abs();
        prop_assert!(off < 1e-6, "breach of {}: {off}", choice.when);
        let off = (choice.blind_seconds - summary.blind_seconds).abs();
        prop_assert!(off < 1e-6, "blind of {}: {off}", choice.when);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24)
    ))]
    #[test]
    fn every_choice_says_what_a_replay_of_the_policy_that_has_it_says(
        stretches in prop::collection::vec(stretch(), 2..14),
        condition in prop::sample::select(vec![
            ("errors > 5% for 1m", "errors", true),
            ("errors >= 5%", "errors", true),
            ("errors > 5% for 20s of 1m", "errors", true),
            ("errors over 1m > 5% and rps > 1/s for 1m", "errors", true),
            ("(rps < 2/s or errors > 5%) and heat > 3 for 30s", "errors", true),
            ("errors > 10% or p90 > 300ms for 40s", "p90", false),
            ("heat != 5 and heat < 7 or p90 > 200ms for 30s", "p90", false),
            ("rps <= 40/s for 30s", "rps", false),
        ]),
        keys in prop::sample::select(vec![
            "",
            "min_events = 1\nconfidence = 0\nclear_for = \"20s\"",
            "max_gap = \"20s\"\ncoverage = 0.5",
            "max_gap = \"1m\"\nclear_for = \"1m\"\nmin_events = 200",
        ]),
    ) {
        let (when, signal, ratio) = condition;
        let (text, deployed) = recording(&stretches);
        let file = loaded(&policy(when, keys));
        let axes = Axes {
            trigger: "failing".to_owned(),
            signal: Some(signal.to_owned()),
            limits: list(match signal {
                _ if ratio => &["0%", "2%", "5%", "20%"],
                "p90" => &["50ms", "300ms", "1s"],
                _ => &["0/s", "3/s", "40/s"],
            }),
            holds: list(&["none", "10s", "1m", "3m", "20s of 1m", "1m of 4m"]),
            windows: list(&["30s", "1m30s"]),
        };
        match tune(&file, &read(&file, &text), &axes, None) {
            Ok(tuned) => check(&tuned, keys, &text, &deployed)?,
            // Nobody scraped for long enough.
            Err(fault) => prop_assert!(fault.message.contains("never judged"), "{fault:?}"),
        }
    }
}

/// Ten minutes well, then ill, then well.
fn incident() -> String {
    let stretch = |ticks, failed| Stretch {
        ticks,
        rate: 50,
        failed,
        missed: false,
        reset: false,
        release: None,
    };
    let mut stretches = [
        stretch(120, 0),
        stretch(20, 40),
        stretch(120, 0),
        stretch(100, 200),
        stretch(120, 0),
    ];
    stretches[3].release = Some(1);
    stretches[4].release = Some(0);
    recording(&stretches).0
}

fn tuned(when: &str, axes: Axes, csv: Option<&str>) -> Result<Tuned, TuneFault> {
    let file = loaded(&policy(when, ""));
    let labelled: Option<Vec<Labelled>> = csv.map(|csv| labels(csv).unwrap());
    let axes = Axes {
        trigger: "failing".to_owned(),
        ..axes
    };
    tune(&file, &read(&file, &incident()), &axes, labelled.as_deref())
}

fn refused(when: &str, axes: Axes) -> String {
    let fault = tuned(when, axes, None).unwrap_err();
    let mut text = fault.message;
    if let Some(hint) = fault.hint {
        let _ = write!(text, " | {hint}");
    }
    text
}

fn limits(limits: &[&str]) -> Axes {
    Axes {
        limits: list(limits),
        ..Axes::default()
    }
}

#[test]
fn the_choice_that_catches_the_incident_and_nothing_else_is_suggested() {
    // The bad release ran from 260 ticks on for 100 ticks.
    let (from, to) = (START + 260 * 5, START + 360 * 5);
    let axes = Axes {
        limits: list(&["1%", "10%", "30%"]),
        holds: list(&["1m", "5m"]),
        ..Axes::default()
    };
    let csv = format!("from,to\n{from},{to}\n");
    let tuned = tuned("errors > 30% for 5m", axes, Some(&csv)).unwrap();
    let scores: Vec<_> = tuned
        .choices
        .iter()
        .map(|choice| {
            let score = choice.score.as_ref().unwrap();
            (score.caught, score.false_fires, score.unbeaten)
        })
        .collect();
    assert_eq!(
        scores,
        [
            (1, 1, false),
            (1, 0, false),
            (1, 0, true),
            (1, 0, false),
            (0, 0, false),
            (0, 0, false)
        ],
        "{:?}",
        tuned.choices
    );
    assert_eq!(
        tuned.paste.as_deref(),
        Some("when = \"errors > 10% for 1m\"")
    );
    assert_eq!(tuned.choices[tuned.own].when, "errors > 30% for 5m");
    let ran: Vec<_> = tuned
        .releases
        .iter()
        .map(|ran| {
            let suggested = ran.suggested_fired_after_seconds.is_some();
            (ran.version.as_str(), ran.own_fired_after_seconds, suggested)
        })
        .collect();
    assert_eq!(
        ran,
        [("v9", None, false), ("v1", None, true), ("v0", None, false)]
    );
    assert!(
        tuned.warnings.iter().any(|w| w.contains("one incident")),
        "{:?}",
        tuned.warnings
    );
    assert!(
        tuned
            .warnings
            .iter()
            .any(|w| w.contains("the recording covers")),
        "{:?}",
        tuned.warnings
    );
}

#[test]
fn without_axes_they_lie_around_the_policys_own() {
    let tuned = tuned("errors   >  5% for 1m", Axes::default(), None).unwrap();
    let limits = ["1.5%", "2%", "3%", "5%", "7%", "10%", "15%"];
    assert_eq!(tuned.limits, limits);
    assert_eq!(tuned.holds, ["10s", "20s", "30s", "1m", "2m", "3m", "5m"]);
    assert_eq!(tuned.choices.len(), 49);
    assert_eq!(tuned.choices[tuned.own].place, Some((0, 3, 3)));
    assert_eq!(
        (tuned.suggested, tuned.paste, tuned.incidents),
        (None, None, None)
    );
}

#[test]
fn what_cannot_be_varied_is_refused_with_what_to_do() {
    let signal = |name: &str| Axes {
        signal: Some(name.to_owned()),
        ..Axes::default()
    };
    for (said, parts) in [
        (
            refused("errors > 2x baseline for 1m", Axes::default()),
            ["relative to the baseline", "replay each"],
        ),
        (
            refused("errors > 5% and rps > 1/s for 1m", Axes::default()),
            ["several limits", "`--signal NAME`: one of errors, rps"],
        ),
        (
            refused("errors > 5% or errors over 1m > 2%", Axes::default()),
            ["`errors` more than once", "a trigger of each"],
        ),
        (
            refused("errors > 5% for 1m", signal("heat")),
            ["does not compare `heat`", "it compares errors"],
        ),
        (
            refused("web is down for 1m", limits(&["1%"])),
            ["compares nothing", "leave `--limits`"],
        ),
        (
            refused("errors > 5% for 1m", limits(&["1%", "5"])),
            ["`errors > 5 for 1m`: ", "5%"],
        ),
        (
            refused("errors > 5% for 1m", limits(&["5% for 2m or heat > 1"])),
            ["`errors > 5% for 2m or heat > 1 for 1m`: ", ""],
        ),
    ] {
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let holds = Axes {
        holds: list(&["2y"]),
        ..Axes::default()
    };
    assert!(refused("errors > 5% for 1m", holds).contains("`errors > 5% for 2y`: "));
    // Of what compares nothing the hold is varied all the same.
    let held = tuned("web is down for 1m", Axes::default(), None).unwrap();
    assert_eq!(
        (held.limits.len(), held.holds.len(), held.signal),
        (1, 7, None)
    );
}

#[test]
fn labels_that_are_not_of_the_recording_are_said_or_refused() {
    let within = |csv: &str| tuned("errors > 5% for 1m", Axes::default(), Some(csv));
    let said = within(&format!("5,10\n1,{}", START + 100)).unwrap();
    let incidents = said.incidents.unwrap();
    assert_eq!(incidents.len(), 1);
    assert_eq!(seconds(&incidents[0].from), START);
    let has = |part: &str| said.warnings.iter().any(|w| w.contains(part));
    assert!(
        has("lies outside of the recording") || has("only partly recorded"),
        "{:?}",
        said.warnings
    );
    let fault = within("5,10").unwrap_err();
    assert!(
        fault
            .message
            .contains("no labelled incident lies in the recording"),
        "{fault:?}"
    );
    let none = within("from,to\n").unwrap_err();
    assert!(none.hint.unwrap().contains("without labels"));
}

#[test]
fn a_trigger_that_is_never_judged_is_no_choice() {
    let file = loaded(&policy("heat > 5 for 1m", ""));
    let text = "req 1 100\nreq 2 105\nreq 3 110\n# EOF\n";
    let axes = Axes {
        trigger: "failing".to_owned(),
        ..Axes::default()
    };
    let fault = tune(&file, &read(&file, text), &axes, None).unwrap_err();
    assert!(fault.message.contains("never judged"), "{fault:?}");
    assert!(fault.hint.unwrap().contains("heat"), "{}", fault.message);
    let axes = Axes {
        trigger: "falling".to_owned(),
        ..Axes::default()
    };
    let fault = tune(&file, &read(&file, text), &axes, None).unwrap_err();
    assert_eq!(fault.hint.as_deref(), Some("it has other, failing"));
}
