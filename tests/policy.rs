//! Policies as data: what loads, what is refused, and what a person reads then.
//! A new case is a new file in `tests/policy`, and its snapshot beside it.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backstop::guard::NoticeKind;
use backstop::model::{
    Approve, Budget, Condition, Current, Expect, Expr, Gap, GapKind, Hold, Level, LevelOn, Limit,
    Mode, NotCured, Op, Otherwise, Outcome, Pick, Plan, Policy, ReleaseRule, Response, Sample,
    Selector, Series, Severity, Signal, SignalKind, Source, SourceKind, Step, StepAction, Test,
    Tls, Trigger, Unchecked, Unit, Verify,
};
use backstop::policy::{
    Fault, Loaded, NOTICES, TEXTS, difference, lint_live, lint_with_config, load, load_config,
    render,
};
use backstop::tell::{check_template, preview_template};

fn files(dir: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .filter(|path| !path.to_string_lossy().ends_with(".test.toml"))
        .map(|path: PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{dir} has no cases");
    files
}

/// Holds what a person reads against the snapshot beside the case.
fn snapshot(dir: &str, name: &str, rendered: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(dir.trim_start_matches("tests/"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name.trim_end_matches(".toml"), rendered));
}

/// Every fault has its place in the text, and quotes what stands there.
fn check_places(faults: &[Fault], text: &str, name: &str) {
    for fault in faults {
        for place in fault
            .place
            .iter()
            .chain(fault.related.iter().map(|related| &related.place))
        {
            let there = text.get(place.offset..place.offset + place.length);
            let there = there.unwrap_or_else(|| panic!("{name}: {fault:?} lies outside"));
            assert!(there.starts_with(&place.text), "{name}: {fault:?}");
            let before = &text[..place.offset];
            assert_eq!(
                place.line,
                before.matches('\n').count() + 1,
                "{name}: {fault:?}"
            );
            let line = before.rsplit('\n').next().unwrap_or_default();
            assert_eq!(place.column, line.chars().count() + 1, "{name}: {fault:?}");
        }
    }
}

fn load_checked(name: &str, text: &str) -> Loaded {
    let loaded = load(name, text);
    check_places(&loaded.faults, text, name);
    check_places(&loaded.warnings, text, name);
    assert_eq!(loaded.policy.is_none(), !loaded.faults.is_empty(), "{name}");
    assert!(loaded.faults.iter().all(Fault::is_error), "{name}");
    assert!(!loaded.warnings.iter().any(Fault::is_error), "{name}");
    loaded
}

#[test]
fn a_bad_policy_is_refused_with_all_its_faults() {
    let dir = "tests/policy/bad";
    for (name, text) in files(dir) {
        let loaded = load_checked(&name, &text);
        assert!(loaded.policy.is_none(), "{name} loads");
        snapshot(dir, &name, &render(&loaded.faults, &text, false));
    }
}

#[test]
fn a_dubious_policy_loads_with_warnings() {
    let dir = "tests/policy/lint";
    let config = load_config(
        "dubious.toml",
        &fs::read_to_string("tests/policy/config/dubious.toml").unwrap(),
    );
    let config = config.config.unwrap();
    for (name, text) in files(dir) {
        let loaded = load_checked(&name, &text);
        assert!(loaded.policy.is_some(), "{name}: {:#?}", loaded.faults);
        let with_config = lint_with_config(&loaded, &config);
        check_places(&with_config, &text, &name);
        let mut rendered = render(&loaded.warnings, &text, false);
        if !with_config.is_empty() {
            rendered.push_str("\nwith the agent config:\n\n");
            rendered.push_str(&render(&with_config, &text, false));
        }
        assert!(!rendered.is_empty(), "{name} is not dubious");
        snapshot(dir, &name, &rendered);
    }
}

#[test]
fn an_agent_config_is_checked_as_a_policy_is() {
    let dir = "tests/policy/config";
    for (name, text) in files(dir) {
        let loaded = load_config(&name, &text);
        check_places(&loaded.faults, &text, &name);
        check_places(&loaded.warnings, &text, &name);
        let mut faults = loaded.faults;
        faults.extend(loaded.warnings);
        snapshot(dir, &name, &render(&faults, &text, false));
    }
}

#[test]
fn a_template_is_for_a_notice_that_there_is() {
    assert_eq!(NOTICES, NoticeKind::ALL.map(NoticeKind::name));
}

#[test]
fn every_shipped_text_reads_well_for_every_notice() {
    for (name, source) in TEXTS {
        check_template(source).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let all: Vec<_> = NoticeKind::ALL
            .into_iter()
            .flat_map(|kind| [(kind, Some(12)), (kind, None)])
            .map(|(kind, incident)| preview_template(source, kind, incident).unwrap())
            .collect();
        for text in &all {
            let (subject, rest) = text.split_once('\n').unwrap();
            assert!(
                !subject.trim().is_empty() && subject.len() < 120,
                "{name}: {text}"
            );
            assert!(
                rest.starts_with('\n') && !rest.contains("\n\n\n"),
                "{name}: {text}"
            );
        }
        insta::assert_snapshot!(format!("text_{name}"), all.join("\n----\n"));
    }
}

#[test]
fn no_config_at_all_is_the_default_one() {
    let config = load_config("backstop.toml", "").config.unwrap();
    assert_eq!(config.http.as_deref(), Some("127.0.0.1:9911"));
    assert!(config.roles.is_empty() && config.notifiers.is_empty());
    let off = load_config("backstop.toml", "http = \"off\"")
        .config
        .unwrap();
    assert_eq!(off.http, None);
}

#[test]
fn the_shipped_policies_load_without_a_warning() {
    let text = fs::read_to_string("policies/agent/backstop.toml").unwrap();
    let config = load_config("backstop.toml", &text);
    assert_eq!((config.faults, config.warnings), (vec![], vec![]));
    let config = config.config.unwrap();
    for (name, text) in files("policies") {
        let loaded = load_checked(&name, &text);
        assert_eq!(loaded.faults, [], "{name}");
        assert_eq!(loaded.warnings, [], "{name}");
        assert_eq!(lint_with_config(&loaded, &config), [], "{name}");
        let policy = loaded.policy.unwrap();
        assert_eq!(policy.mode, Mode::Shadow, "{name} acts from the first day");
    }
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn minutes(n: u64) -> Duration {
    seconds(n * 60)
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

fn signal(kind: SignalKind, unit: Unit) -> Signal {
    Signal {
        source: "app".into(),
        kind,
        window: minutes(1),
        unit,
    }
}

fn condition(test: Test, hold: u64, written: &str) -> Condition {
    Condition {
        expr: Expr::Test(test),
        hold: Hold::For(minutes(hold)),
        text: written.into(),
    }
}

fn compare(signal: &str, op: Op, limit: f64, text: &str) -> Test {
    Test::Compare {
        signal: signal.into(),
        over: None,
        op,
        limit: Limit::Fixed(limit),
        text: text.into(),
    }
}

fn web_is(up: bool) -> Test {
    Test::Source {
        source: "web".into(),
        up,
        text: format!("web is {}", if up { "up" } else { "down" }),
    }
}

fn trigger(name: &str, when: Condition, response: Response, max_gap: u64) -> Trigger {
    Trigger {
        name: name.into(),
        when,
        severity: match response {
            Response::Rollback => Severity::Critical,
            _ => Severity::High,
        },
        response,
        plan: "rollback".into(),
        mode: Mode::Shadow,
        min_events: 20,
        confidence: 0.95,
        coverage: 0.8,
        max_gap: seconds(max_gap),
        clear_for: minutes(2),
        blind_after: minutes(5),
        promote: None,
    }
}

fn step(name: &str, action: StepAction) -> Step {
    Step {
        name: name.into(),
        action,
        timeout: minutes(1),
        retries: 0,
        continue_on_failure: false,
        always: false,
        idempotent: false,
        approve: None,
        measures: None,
    }
}

fn contract_sources() -> BTreeMap<String, Source> {
    let source = |kind, timeout| Source {
        kind,
        interval: seconds(5),
        timeout: seconds(timeout),
        fail_after: 3,
        pass_after: 2,
    };
    let app = SourceKind::Scrape {
        url: "http://127.0.0.1:9464/metrics".into(),
        headers: BTreeMap::new(),
        max_body: 64 << 20,
        tls: Tls::default(),
    };
    let web = SourceKind::Probe {
        url: "http://127.0.0.1:8080/health".into(),
        method: "GET".into(),
        headers: BTreeMap::new(),
        body: None,
        expect: Expect {
            status: vec![200],
            body_contains: None,
            json: [("$.status".into(), "ok".into())].into(),
            within: None,
        },
        tls: Tls::default(),
    };
    [
        ("app".into(), source(app, 5)),
        ("web".into(), source(web, 2)),
    ]
    .into()
}

fn contract_triggers() -> Vec<Trigger> {
    let asks = |roles: &[&str], quorum, within| {
        Response::Approve(Approve {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            quorum,
            each: false,
            within: minutes(within),
            otherwise: Otherwise::Escalate,
        })
    };
    let payment = compare("payment_failure", Op::Greater, 0.1, "payment_failure > 10%");
    let errors = compare("error_rate", Op::Greater, 0.05, "error_rate > 5%");
    let slow = compare("p95", Op::Greater, 2.0, "p95 > 2000ms");
    vec![
        trigger(
            "service-down",
            condition(web_is(false), 30, "web is down for 30m"),
            Response::Rollback,
            6 * 60,
        ),
        trigger(
            "payment-failure",
            condition(payment, 10, "payment_failure > 10% for 10m"),
            Response::Rollback,
            2 * 60,
        ),
        trigger(
            "high-error-rate",
            condition(errors, 15, "error_rate > 5% for 15m"),
            asks(&["technical-lead", "release-manager"], 2, 15),
            3 * 60,
        ),
        trigger(
            "slow",
            condition(slow, 15, "p95 > 2000ms for 15m"),
            asks(&[], 1, 60),
            3 * 60,
        ),
    ]
}

/// SPEC 3's example, field by field.
fn contract_policy() -> Policy {
    let requests = || selector("http_requests_total");
    let ratio = |of: &str, to| {
        let of = selector(of);
        signal(SignalKind::Ratio { of, to }, Unit::Ratio)
    };
    let p95 = SignalKind::Histogram {
        q: 0.95,
        buckets: selector("http_request_duration_seconds_bucket"),
    };
    let link = "/srv/checkout/current".to_owned();
    let to = "/srv/checkout/releases/{target}".to_owned();
    let restart = ["systemctl", "restart", "checkout.service"].map(str::to_owned);
    let fewer = compare("error_rate", Op::Less, 0.05, "error_rate < 5%");
    let level = |notify: &str, after, repeat| Level {
        notify: vec![notify.into()],
        on: LevelOn::After(after),
        repeat,
    };
    Policy {
        service: "checkout".into(),
        mode: Mode::Shadow,
        interval: seconds(5),
        sources: contract_sources(),
        signals: [
            (
                "error_rate".into(),
                ratio(r#"http_requests_total{code=~"5.."}"#, requests()),
            ),
            ("p95".into(), signal(p95, Unit::Seconds)),
            (
                "payment_failure".into(),
                ratio(
                    r#"payments_total{outcome="failed"}"#,
                    selector("payments_total"),
                ),
            ),
        ]
        .into(),
        triggers: contract_triggers(),
        release: Some(ReleaseRule {
            current: Current::Symlink(link.clone()),
            good_after: minutes(30),
            settle: minutes(2),
            blame: Some(minutes(6 * 60)),
            pick: Pick::NewestGood,
            check: None,
            unchecked: Unchecked::Escalate,
            fallback_previous: false,
            irreversible_since: None,
        }),
        plans: [(
            "rollback".into(),
            Plan {
                timeout: minutes(10),
                cooldown: minutes(30),
                budget: Budget {
                    runs: 2,
                    period: minutes(24 * 60),
                },
                steps: vec![
                    step(
                        "point current at the previous release",
                        StepAction::Symlink { link, to },
                    ),
                    step("restart", StepAction::Run(restart.into())),
                ],
                verify: Verify {
                    require: vec![
                        condition(web_is(true), 1, "web is up for 1m"),
                        condition(fewer, 2, "error_rate < 5% for 2m"),
                    ],
                    within: minutes(5),
                    otherwise: NotCured::Escalate,
                    watch: minutes(15),
                },
                risk: None,
                expect: None,
                goal: None,
                goes_back: true,
            },
        )]
        .into(),
        escalation: vec![
            level("slack", Duration::ZERO, None),
            level("pager", minutes(5), Some(minutes(15))),
        ],
    }
}

#[test]
fn the_policy_of_the_contract_means_what_the_contract_says() {
    let text = fs::read_to_string("tests/policy/good/checkout.toml").unwrap();
    let loaded = load_checked("checkout.toml", &text);
    assert_eq!(loaded.faults, []);
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.policy.unwrap(), contract_policy());
}

/// The least policy around one trigger.
fn row(keys: &str, rest: &str) -> String {
    format!(
        "service = \"a\"\n[sources.web]\ntype = \"tcp\"\naddress = \"db:1\"\n\
         [triggers.down]\nwhen = \"web is down for 5m\"\n{keys}\n\
         [[plans.rollback.steps]]\nrun = [\"true\"]\n{rest}"
    )
}

fn policy(text: &str) -> Policy {
    let loaded = load_checked("a.toml", text);
    assert_eq!(loaded.faults, [], "{text}");
    loaded.policy.unwrap()
}

#[test]
fn the_severity_decides_unless_the_policy_does() {
    let asked = |within| {
        Response::Approve(Approve {
            roles: vec![],
            quorum: 1,
            each: false,
            within: minutes(within),
            otherwise: Otherwise::Escalate,
        })
    };
    for (keys, expected) in [
        ("severity = \"critical\"", Response::Rollback),
        ("severity = \"high\"", asked(60)),
        ("severity = \"medium\"", asked(240)),
        ("severity = \"low\"", Response::Alert),
        (
            "severity = \"low\"\nresponse = \"rollback\"",
            Response::Rollback,
        ),
        ("severity = \"high\"\nresponse = \"alert\"", Response::Alert),
        ("severity = \"critical\"\nresponse = \"approve\"", asked(15)),
        // Whoever says whom to ask wants somebody to be asked.
        (
            "severity = \"critical\"\napprove = { quorum = 1 }",
            asked(15),
        ),
    ] {
        let policy = policy(&row(keys, ""));
        assert_eq!(policy.triggers[0].response, expected, "{keys}");
    }
}

#[test]
fn defaults_follow_the_interval_the_hold_and_the_release() {
    let slow =
        policy(&row("severity = \"low\"", "").replace("service", "interval = \"1m\"\nservice"));
    assert_eq!(slow.sources["web"].timeout, seconds(10));
    // A fifth of 5m is less than 4 intervals.
    assert_eq!(slow.triggers[0].max_gap, minutes(4));
    let fast = policy(&row("severity = \"low\"", "").replace("5m", "10s"));
    assert_eq!(fast.triggers[0].max_gap, seconds(20));
    let day = minutes(24 * 60);
    let budget = |policy: &Policy| policy.plans["rollback"].budget;
    assert_eq!(
        budget(&fast),
        Budget {
            runs: 1,
            period: day
        }
    );
    let released = policy(&row("severity = \"low\"", "[release]\n"));
    assert_eq!(
        budget(&released),
        Budget {
            runs: 2,
            period: day
        }
    );
    assert_eq!(released.release.unwrap().current, Current::Reported);
    let text = "service = \"a\"\ninterval = \"2m\"\n[sources.app]\ntype = \"scrape\"\n\
                url = \"http://h/\"\n[signals.x]\nsource = \"app\"\nrate = \"x\"\n\
                [triggers.t]\nwhen = \"x > 1/s for 15m\"\nseverity = \"low\"\n";
    // A minute would be less than two samples.
    assert_eq!(policy(text).signals["x"].window, minutes(4));
}

#[test]
fn ten_thousand_triggers_are_refused_with_their_place() {
    let rows = (0..10_000)
        .map(|i| format!("[triggers.t{i}]\nwhen = \"web is down for 5m\"\nseverity = \"low\"\n"))
        .collect::<Vec<_>>()
        .concat();
    let text = row("severity = \"low\"", &rows);
    let loaded = load_checked("many.toml", &text);
    let fault = &loaded.faults[0];
    assert_eq!(fault.code, "too-many");
    assert_eq!(fault.place.as_ref().unwrap().text, "t999");
}

#[test]
fn windows_that_together_want_too_much_memory_are_refused() {
    let signals = (0..20)
        .map(|i| format!("[signals.s{i}]\nsource = \"app\"\nrate = \"x\"\nwindow = \"5d\"\n"))
        .collect::<Vec<_>>()
        .concat();
    let app = "[sources.app]\ntype = \"scrape\"\nurl = \"http://h/\"\n";
    let text = row("severity = \"low\"", &format!("{app}{signals}"));
    let loaded = load_checked("wide.toml", &text);
    assert_eq!(loaded.faults[0].code, "size", "{:?}", loaded.faults);
}

#[test]
fn a_file_of_more_than_a_megabyte_is_refused_unread() {
    let loaded = load("large.toml", &"#".repeat((1 << 20) + 1));
    assert_eq!(loaded.faults[0].code, "size");
    assert_eq!(loaded.faults[0].place, None);
}

#[test]
fn a_fault_as_json_has_stable_names() {
    let text = row("severity = \"hihg\"", "");
    let loaded = load_checked("a.toml", &text);
    insta::assert_json_snapshot!(loaded.faults);
}

#[test]
fn no_secret_is_shown_with_its_fault() {
    let hunter =
        "[notifiers.hook]\ntype = \"webhook\"\nurl = \"https://h/\"\nsecret = \"hunter2\"\n";
    let loaded = load_config("backstop.toml", hunter);
    let shown = render(&loaded.faults, hunter, false);
    assert!(shown.contains("backstop.toml:4:1"), "{shown}");
    let json = serde_json::to_string(&loaded.faults).unwrap();
    assert!(
        !shown.contains("hunter2") && !json.contains("hunter2"),
        "{shown}{json}"
    );
}

#[test]
fn what_changed_is_said_in_one_line() {
    let old = contract_policy();
    assert!(difference(&old, &old).is_empty());
    assert_eq!(difference(&old, &old).to_string(), "nothing changed");

    let mut new = old.clone();
    new.mode = Mode::Enforce;
    new.interval = seconds(10);
    new.triggers.retain(|t| t.name != "payment-failure");
    new.triggers[0].clear_for = minutes(3);
    new.triggers.push(trigger(
        "very-slow",
        condition(
            compare("p95", Op::Greater, 9.0, "p95 > 9s"),
            5,
            "p95 > 9s for 5m",
        ),
        Response::Rollback,
        60,
    ));
    new.signals.get_mut("error_rate").unwrap().window = minutes(2);
    new.release = None;
    let difference = difference(&old, &new);
    insta::assert_snapshot!(
        difference,
        @"mode shadow → enforce; interval 5s → 10s; signals: ~error_rate; triggers: +very-slow, -payment-failure, ~service-down; hold starts anew: high-error-rate; release changed"
    );
    // Only a condition that means something else now starts its hold anew.
    assert_eq!(difference.conditions, ["high-error-rate"]);
}

#[test]
fn live_samples_show_what_no_text_can() {
    let text = fs::read_to_string("tests/policy/good/checkout.toml").unwrap();
    let loaded = load_checked("checkout.toml", &text);
    let sample = |name: &str, labels: &[(&str, &str)]| Sample {
        series: Arc::new(Series::new(
            name,
            labels.iter().map(|&(a, b)| (a.into(), b.into())).collect(),
        )),
        value: 1.0,
    };
    let bucket = |le: &str| sample("http_request_duration_seconds_bucket", &[("le", le)]);
    let page = |bounds: &[&str]| {
        let mut samples = vec![sample("http_requests_total", &[("code", "200")])];
        samples.extend(bounds.iter().map(|le| bucket(le)));
        let refused = Gap::new(GapKind::Refused, "connection refused");
        BTreeMap::from([
            ("app".to_owned(), Outcome::Scraped(samples)),
            ("web".to_owned(), Outcome::Failed(refused)),
        ])
    };
    let faults = lint_live(&loaded, &page(&["0.5", "2.5", "+Inf"]));
    check_places(&faults, &text, "checkout.toml");
    snapshot("tests/policy/good", "live", &render(&faults, &text, false));
    let codes = |bounds: &[&str]| {
        let faults = lint_live(&loaded, &page(bounds));
        faults.iter().filter(|f| f.code == "live-bound").count()
    };
    assert_eq!(
        codes(&["1.0", "2.0", "+Inf"]),
        0,
        "a limit on a bound is exact"
    );
    assert_eq!(
        codes(&["0.5", "1", "+Inf"]),
        1,
        "nothing above the top bound is known"
    );
}

/// A small deterministic generator (SplitMix64): a failing case is its number.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

/// Cuts, doubles, swaps and garbles pieces of a text.
fn mutate(text: &str, rng: &mut Rng) -> String {
    const PIECES: [&str; 24] = [
        "\"",
        "'",
        "\"\"\"",
        "\\",
        "[",
        "]",
        "[[",
        "{",
        "}",
        "=",
        "\n",
        "\r\n",
        "\0",
        "é",
        "🦀",
        "9",
        "18446744073709551616",
        "1e999",
        "-",
        "M",
        " for 1y",
        "{target}",
        "\\u00e9",
        ",",
    ];
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=rng.below(4) {
        let a = rng.below(text.len() + 1);
        let b = (a + rng.below(20)).min(text.len());
        match rng.below(4) {
            0 => drop(text.drain(a..b)),
            1 => {
                let piece = text[a..b].to_vec();
                let at = rng.below(text.len() + 1);
                text.splice(at..at, piece);
            }
            _ => {
                let piece = PIECES[rng.below(PIECES.len())];
                text.splice(a..a, piece.chars());
            }
        }
    }
    text.into_iter().collect()
}

#[test]
fn any_text_is_a_policy_or_has_faults_with_places() {
    let mut seeds = files("policies");
    for dir in ["good", "bad", "lint", "config"] {
        seeds.extend(files(&format!("tests/policy/{dir}")));
    }
    for case in 0..1_000 {
        let mut rng = Rng(case);
        let (name, text) = &seeds[rng.below(seeds.len())];
        let text = mutate(text, &mut rng);
        let name = format!("{name}, mutation {case}");
        let loaded = load_checked(&name, &text);
        assert_eq!(
            render(&loaded.faults, &text, false).is_empty(),
            loaded.faults.is_empty()
        );
        assert_eq!(
            render(&loaded.warnings, &text, true).is_empty(),
            loaded.warnings.is_empty()
        );
        let config = load_config(&name, &text);
        check_places(&config.faults, &text, &name);
    }
}

/// Texts made to be slow: each would take minutes if anything in the way were
/// quadratic in it.
#[test]
fn hostile_texts_end_in_faults_and_in_time() {
    let n = 150_000;
    let large = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let keys = (0..n / 3)
        .map(|i| format!("k{i}=1\n"))
        .collect::<Vec<_>>()
        .concat();
    let one_line = (0..n / 3)
        .map(|i| format!("k{i}=1,"))
        .collect::<Vec<_>>()
        .concat();
    let condition = "x > 1 or ".repeat(n / 2);
    for text in [
        large("[["),
        large("a."),
        large("a=["),
        large("= \""),
        large("é"),
        keys,
        format!("triggers = {{{one_line}}}"),
        row(&format!("severity = \"{}\"", "x".repeat(n)), ""),
        row(
            "severity = \"low\"",
            &format!("[triggers.x]\nseverity = \"low\"\nwhen = \"{condition}\""),
        ),
        row(
            "severity = \"low\"",
            &format!(
                "[triggers.x]\nseverity = \"low\"\nwhen = \"{}\"",
                "(".repeat(n)
            ),
        ),
        row(
            "severity = \"low\"",
            &format!("[plans.p]\nsteps = [{}]", "{run = [\"{x}\"]},".repeat(99)),
        ),
        row(
            "severity = \"low\"",
            &format!("clear_for = \"{}\"", "1h ".repeat(n)),
        ),
    ] {
        let loaded = load("hostile.toml", &text);
        assert!(!loaded.faults.is_empty());
        assert!(loaded.faults.len() <= 101);
        assert!(render(&loaded.faults, &text, false).len() < 10 << 20);
    }
}
