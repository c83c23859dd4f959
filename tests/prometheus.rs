//! The agent and Prometheus on the same target under the same rule: where their
//! definitions agree, so do their numbers and the time at which they fire.
//!
//! Where the definitions differ, and what is allowed for it here, with scrapes
//! every second and a window of w seconds:
//!
//! - *Window edges.* The agent's window is w scrapes, each with what it grew
//!   since the one before: w seconds of growth. Prometheus takes the first and
//!   the last sample inside the window: w − 1 seconds of growth.
//! - *Extrapolation.* Prometheus then scales that growth up to the whole window,
//!   the agent counts whole events. In a ratio or a quantile the scale cancels
//!   out, as the series of one page have the same times. A plain `rate` or
//!   `increase` is not compared: there the two are meant to differ.
//! - *Sample phase.* A sample of the agent for tick t is taken within the first
//!   fifth of the interval after t, and t is judged when it is in. Prometheus
//!   scrapes and evaluates at phases of their own: its newest sample is up to one
//!   interval old when a rule looks at it.
//!
//! So while nothing changes the two agree up to the rounding of counts. While the
//! share of errors grows by s a second, the ends of the two windows are less than
//! 1.2 s apart (a second of phase and a fifth of the agent's), and so the values
//! less than 1.2 s. A machine too busy to scrape every second adds what it was
//! late, which the target wrote down.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real peer takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "prometheus/peer.rs"]
mod peer;
#[path = "live/shop.rs"]
mod shop;
mod skip;
#[path = "prometheus/target.rs"]
mod target;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use host::Host;
use peer::Peer;
use serde_json::Value;
use target::{SLOPE, Target, now};

/// Window and hold, in seconds.
const WINDOW: f64 = 8.0;
const HOLD: f64 = 8.0;

const POLICY: &str = r#"service = "shop"
mode = "shadow"
interval = "1s"
[sources.app]
type = "scrape"
url = "http://TARGET/metrics"
[signals.error_rate]
source = "app"
ratio = { of = 'http_requests_total{code=~"5.."}', to = 'http_requests_total' }
window = "8s"
[signals.p95]
source = "app"
quantile = { q = 0.95, of = "http_request_duration_seconds" }
window = "8s"
[triggers.errors]
when = "error_rate > 5% for 8s"
severity = "critical"
[triggers.slow]
when = "p95 > 900ms for 1h"
severity = "low"
[[plans.rollback.steps]]
name = "nothing"
run = ["/bin/true"]
"#;

const RATIO: &str = r#"sum(increase(http_requests_total{code=~"5.."}[8s])) / sum(increase(http_requests_total[8s]))"#;
const QUANTILE: &str =
    "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[8s])))";

/// In constant shares: one event more or less at either end of 7,000, with a
/// reserve. In seconds that is the same part of the widest bucket.
const ROUNDING: f64 = 0.001;

/// The machine may be busy; a whole run takes about 45 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the agent said at a tick.
struct Said {
    /// Unix seconds, cut off.
    tick: i64,
    error_rate: f64,
    p95: f64,
}

/// Follows the agent's status, tick by tick.
struct Follower<'a> {
    host: &'a Host,
    began: Instant,
    said: Vec<Said>,
}

impl Follower<'_> {
    /// Until something holds.
    fn until(&mut self, what: &str, log: impl Fn() -> String, holds: impl Fn(&[Said]) -> bool) {
        while !holds(&self.said) {
            assert!(
                self.began.elapsed() < PATIENCE,
                "{what} did not come; the agent's log:\n{}\nPrometheus's:\n{}",
                self.host.log(),
                log()
            );
            self.look();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn look(&mut self) {
        let status: Value =
            serde_json::from_str(&self.host.get("/api/v1/status")).unwrap_or_default();
        let service = &status["services"][0];
        let Some(tick) = service["last_tick"].as_str() else {
            return;
        };
        let tick: jiff::Timestamp = tick.parse().unwrap();
        let tick = tick.as_second();
        let value = |name: &str| {
            let mut signals = service["signals"].as_array().into_iter().flatten();
            signals.find(|s| s["signal"] == name)?["value_number"].as_f64()
        };
        if let (Some(error_rate), Some(p95)) = (value("error_rate"), value("p95"))
            && self.said.last().is_none_or(|last| last.tick != tick)
        {
            self.said.push(Said {
                tick,
                error_rate,
                p95,
            });
        }
    }
}

fn seconds(tick: i64) -> f64 {
    Duration::from_secs(tick.unsigned_abs()).as_secs_f64()
}

#[test]
fn ratio_quantile_and_fire_are_those_of_prometheus() {
    let what = "signals and fires beside Prometheus's";
    if std::env::var_os("BACKSTOP_TEST_PROMETHEUS").is_none() {
        skip::say(&format!("BACKSTOP_TEST_PROMETHEUS is not set: {what}"));
        return;
    }
    if !skip::unless_installed("prometheus", what) {
        return;
    }
    let target = Target::open();
    let mut host = Host::new("prometheus");
    host.write(
        "shop.toml",
        &POLICY.replace("TARGET", &target.address.to_string()),
    );
    let rules = format!(
        "groups: [{{ name: shop, rules: [{{ alert: errors, expr: '{RATIO} > 0.05', for: 8s }}] }}]\n"
    );
    let peer = Peer::start(&host.dir, target.address, host.http.address, &rules);
    host.start();
    let mut follower = Follower {
        host: &host,
        began: Instant::now(),
        said: Vec::new(),
    };
    let log = || peer.log();

    // Healthy, and seen for a whole window by both.
    follower.until("Prometheus's first scrape", log, |_| {
        peer.is_ready() && !target.visits("Prometheus").is_empty()
    });
    let seen = target.visits("Prometheus")[0];
    follower.until("a healthy time", log, |said| {
        said.iter()
            .filter(|s| seconds(s.tick) > seen + WINDOW + 1.0)
            .count()
            >= 6
    });
    assert_eq!(host.count("suspecting"), 0);
    target.worsen();
    follower.until("the fire of both", log, |_| {
        host.count("fired") > 0 && !peer.samples(FIRING).is_empty()
    });
    let steady = |tick: i64| {
        let at = seconds(tick);
        target.is_steady(at - WINDOW - 2.0, at + 2.0)
    };
    follower.until("a bad but steady time", log, |said| {
        let bad = said.iter().filter(|s| s.error_rate > 0.2 && steady(s.tick));
        bad.count() >= 6
    });

    let (ours, theirs) = (target.lateness("backstop"), target.lateness("Prometheus"));
    let said = &follower.said;
    let late = ours.max(theirs);
    let from = seen + WINDOW + 1.0;
    agree(&peer, said, from, late, steady);
    fires_agree(&host, &peer, ours, theirs);
    replay_agrees(&host, &peer, late);

    // Prometheus reads the agent's own page as well.
    let up = peer.samples(r#"up{job="backstop"}"#);
    let (_, last) = up.last().unwrap();
    assert!(*last > 0.5, "Prometheus refuses the agent's page");
    let kept = peer.samples(r#"backstop_ticks_total{service="shop"}"#);
    assert!(
        !kept.is_empty(),
        "the agent's page has no `backstop_ticks_total`"
    );
    assert_eq!(host.stop(), Some(0));
}

/// For who runs it: how near it was.
fn tell(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// At every tick of the run from a time on. The status has whole seconds: the
/// tick is the one that it shows, or it is a few milliseconds before the next.
fn agree(peer: &Peer, said: &[Said], from: f64, late: f64, steady: impl Fn(i64) -> bool) {
    let (first, last) = (said[0].tick, said.last().unwrap().tick);
    let ratios = peer.over(RATIO, first, last + 1);
    let quantiles = peer.over(QUANTILE, first, last + 1);
    let at = |values: &[(i64, f64)], tick: i64| {
        let found = values.iter().find(|(at, _)| *at == tick);
        found
            .unwrap_or_else(|| panic!("Prometheus has no value at {tick}"))
            .1
    };
    let (mut flat, mut growing) = (0, 0);
    // Of the last tick, not both neighbours need be scraped yet.
    let compared = said
        .iter()
        .filter(|s| seconds(s.tick) > from && s.tick + 1 < last);
    for Said {
        tick,
        error_rate,
        p95,
    } in compared
    {
        let is_flat = steady(*tick);
        let before = at(&ratios, *tick);
        let after = at(&ratios, tick + 1);
        let allowed = ROUNDING + if is_flat { 0.0 } else { SLOPE * (1.2 + late) };
        assert!(
            (before - allowed..=after + allowed).contains(error_rate),
            "at {tick} the ratio is {error_rate}, Prometheus's {before} to {after}, allowed {allowed}"
        );
        if is_flat {
            let theirs = at(&quantiles, *tick);
            assert!(
                (p95 - theirs).abs() < ROUNDING,
                "at {tick} the quantile is {p95}, Prometheus's {theirs}"
            );
            flat += 1;
        } else {
            growing += 1;
        }
    }
    tell(&format!(
        "{flat} steady and {growing} growing ticks agree with Prometheus"
    ));
    assert!(
        flat >= 6 && growing >= 5,
        "{flat} steady, {growing} growing ticks"
    );
}

const FIRING: &str = r#"ALERTS{alertname="errors",alertstate="firing"}"#;
const PENDING: &str = r#"ALERTS{alertname="errors",alertstate="pending"}"#;

/// How much earlier the shorter window of Prometheus is above the limit. The
/// share grows from 1% by `SLOPE` a second, so its mean over v seconds is above 5%
/// after √(2 · 4% · v ÷ `SLOPE`).
fn edge() -> f64 {
    let above = |window: f64| (2.0 * 0.04 * window / SLOPE).sqrt();
    above(WINDOW) - above(WINDOW - 1.0)
}

/// Both hold for as long as their rule says, by their own ticks. Ours begins at
/// the first sample past the limit, so within one interval; theirs at the first
/// evaluation after the first such sample, so within two. Hence ours is at most
/// one interval later (and the edge of the window), and at most two earlier (and
/// the fifth of an interval by which a sample follows its tick).
fn fires_agree(host: &Host, peer: &Peer, ours_late: f64, theirs_late: f64) {
    let fired = host.until("fired");
    let ours = fired["at"].as_f64().unwrap() / 1000.0;
    let since = fired["cause"]["since"].as_f64().unwrap() / 1000.0;
    let theirs = peer.samples(FIRING)[0].0;
    let pending = peer.samples(PENDING)[0].0;
    tell(&format!(
        "fired {:+.3} s after Prometheus; held {:.3} s, Prometheus {:.3} s; late {ours_late:.3} s, Prometheus {theirs_late:.3} s",
        ours - theirs,
        ours - since,
        theirs - pending
    ));
    assert!((HOLD..=HOLD + 0.01 + ours_late.ceil()).contains(&(ours - since)));
    let missed = host::number(
        &peer.get("/metrics"),
        "prometheus_rule_group_iterations_missed_total",
    );
    assert!((HOLD - 0.01..=HOLD + 0.01 + missed).contains(&(theirs - pending)));
    let later = ours - theirs;
    let interval = 1.0;
    assert!(
        later <= interval + edge() + ours_late.ceil(),
        "fired {later} s after Prometheus"
    );
    assert!(
        later >= -(2.0 * interval + 0.2 + theirs_late.ceil() + missed),
        "fired {later} s after Prometheus"
    );
    assert!(now() > ours);
}

/// The agent's engine over what Prometheus scraped of the same target fires when
/// the agent did, which scraped it itself: each at a phase of its own, so within
/// an interval, and what the machine was late.
fn replay_agrees(host: &Host, peer: &Peer, late: f64) {
    let live = host.until("fired")["at"].as_f64().unwrap() / 1000.0;
    let asked = |command: &str, more: &[&str]| -> Value {
        let done = Command::new(env!("CARGO_BIN_EXE_backstop"))
            .arg(command)
            .arg(host.dir.join("policies/shop.toml"))
            .arg(format!("--prometheus=http://{}", peer.address()))
            .args([
                "--since",
                "10m",
                "--match",
                "job=\"shop\"",
                "--format",
                "json",
            ])
            .args(more)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{complaint}");
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let told = asked("replay", &[]);
    let events = told["events"].as_array().unwrap();
    let fired = events.iter().find(|event| event["event"] == "fired");
    let fired = fired.unwrap_or_else(|| panic!("it did not fire: {told}"));
    let at: jiff::Timestamp = fired["at"].as_str().unwrap().parse().unwrap();
    // Times are written in whole seconds.
    let apart = Duration::from_millis(at.as_millisecond().unsigned_abs()).as_secs_f64() - live;
    tell(&format!(
        "replayed from Prometheus, it fires {apart:+.3} s after it did"
    ));
    assert!(apart.abs() <= 2.0 + late.ceil(), "{apart} s apart: {told}");
    // So does the policy's own among the choices that a tuning tries.
    let tuned: Value = asked("tune", &["--trigger", fired["trigger"].as_str().unwrap()]);
    let own = usize::try_from(tuned["own"].as_u64().unwrap()).unwrap();
    let fires = &tuned["choices"][own]["fires"];
    assert_eq!(fires[0]["at"], fired["at"], "{fires}");
}

/// The page in the older text format, the only one that `promtool check metrics`
/// reads: there a counter's metadata have its whole name.
fn without_openmetrics(page: &str) -> String {
    let counter = |line: &str| {
        let name = line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?;
        Some(name.to_owned())
    };
    let counters: Vec<String> = page.lines().filter_map(counter).collect();
    let named = |line: &str| {
        let of = |name: &&String| {
            let about = ["# HELP ", "# TYPE "].iter();
            about.into_iter().any(|about| {
                let rest = line
                    .strip_prefix(about)
                    .and_then(|l| l.strip_prefix(name.as_str()));
                rest.is_some_and(|rest| rest.starts_with(' '))
            })
        };
        match counters.iter().find(of) {
            Some(name) => line.replacen(name.as_str(), &format!("{name}_total"), 1) + "\n",
            None => format!("{line}\n"),
        }
    };
    page.lines().filter(|l| *l != "# EOF").map(named).collect()
}

/// What the real one is asked, by the signal.
const QUERIES: [(&str, &str); 7] = [
    ("vector", "sum(vector(0.25))"),
    ("scalar", "scalar(vector(7))"),
    ("scraped", r#"up{job="shop"}"#),
    ("several", "up"),
    ("empty", "no_such_metric"),
    ("nan", "vector(0) / vector(0)"),
    ("refused", "rate(up)"),
];

/// Queries of the real one: what it answers, what it refuses, in its own words,
/// and that its end is blindness.
#[test]
fn queries_are_answered_and_an_outage_is_blindness() {
    let what = "queries of Prometheus";
    if std::env::var_os("BACKSTOP_TEST_PROMETHEUS").is_none() {
        skip::say(&format!("BACKSTOP_TEST_PROMETHEUS is not set: {what}"));
        return;
    }
    if !skip::unless_installed("prometheus", what) {
        return;
    }
    let target = Target::open();
    let mut host = Host::new("queries");
    let peer = Peer::start(&host.dir, target.address, host.http.address, "groups: []\n");
    let policy = format!(
        "service = \"shop\"\nmode = \"shadow\"\ninterval = \"1s\"\n\
         [sources.prom]\ntype = \"prometheus\"\nurl = \"http://{}\"\n\
         [triggers.vector]\nwhen = \"vector < 0.1 for 2s\"\nseverity = \"critical\"\n\
         [[plans.rollback.steps]]\nname = \"nothing\"\nrun = [\"/bin/true\"]\n",
        peer.address()
    );
    let signals = QUERIES
        .map(|(name, query)| format!("[signals.{name}]\nsource = \"prom\"\nquery = '{query}'\n"));
    host.write("shop.toml", &(policy + &signals.concat()));
    host.start();
    let signal = |name: &str| -> Value {
        let status: Value = serde_json::from_str(&host.get("/api/v1/status")).unwrap_or_default();
        let signals = status["services"][0]["signals"].as_array().cloned();
        let mut signals = signals.unwrap_or_default().into_iter();
        signals.find(|s| s["signal"] == name).unwrap_or_default()
    };
    let why = |name: &str| {
        signal(name)["no_reading"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    host.wait("two scrapes of Prometheus", || {
        let up = signal("scraped")["value_number"].as_f64()?;
        (up > 0.5 && why("several").contains("has 2 series")).then_some(())
    });
    assert_eq!(signal("vector")["value_number"], 0.25);
    assert_eq!(signal("scalar")["value_number"], 7.0);
    assert!(
        why("empty").contains("the answer is empty"),
        "{}",
        why("empty")
    );
    assert!(why("nan").contains("not a finite number"), "{}", why("nan"));
    let said = why("refused");
    assert!(said.contains("bad_data: invalid parameter"), "{said}");
    drop(peer);
    host.wait("blindness", || {
        why("vector").contains("connection refused").then_some(())
    });
    host.until_ticks(5);
    assert!(
        why("vector").contains("connection refused"),
        "{}",
        why("vector")
    );
    assert_eq!(host.count("fired"), 0);
    assert_eq!(host.stop(), Some(0));
}

/// What lints of a page of metrics say of the agent's own.
#[test]
fn promtool_finds_nothing_wrong_with_the_agents_page() {
    let what = "the agent's page of metrics";
    if std::env::var_os("BACKSTOP_TEST_PROMETHEUS").is_none() {
        skip::say(&format!("BACKSTOP_TEST_PROMETHEUS is not set: {what}"));
        return;
    }
    if !skip::unless_installed("promtool", what) {
        return;
    }
    let mut host = Host::new("promtool");
    host.release("good");
    host.write(
        "shop.toml",
        &format!(
            "{}[triggers.errors]\nwhen = \"error_rate > 5%\"\nseverity = \"low\"\n",
            host::SOURCES
        ),
    );
    host.start();
    host.until_ticks(3);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let page = without_openmetrics(&host.get("/metrics"));
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let said = promtool.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.is_empty(), "{text}\n{page}");
}
