//! How often each kind of limit is right: plain limits, limits with a bound,
//! multiples of a baseline, and those with a test on both counts.
//!
//! Synthetic services of 0.1 to 1,000 requests a second, each through many
//! releases. A good release runs for an hour, which makes the baseline; then
//! another one runs for an hour with the same share of errors, with twice as
//! many, or with five times. The limit is always twice the share before: the
//! plain one knows it, the others have to measure it. Requests and errors come
//! at random (Poisson), at a constant rate; the judge is the agent's own, and a
//! seed of its own makes every release, so that each run prints the same.
//!
//! ```text
//! cargo bench --bench regressions            # three quarters of a minute
//! cargo bench --bench regressions -- 200     # so many releases of each kind
//! ```
//!
//! *False* counts releases with no more errors than before that fired, of 1,000;
//! *edge* those with exactly twice as many, which is not more than twice; *found*
//! those with five times as many, and how long that took in the middle.

#![expect(clippy::print_stdout, reason = "a table")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backstop::judge::{Judge, TurnKind};
use backstop::model::{Moment, Outcome, Policy, Sample, Series};
use statrs::function::gamma::ln_gamma;

/// Between two ticks.
const TICK: Duration = Duration::from_secs(5);
/// Ticks of the hour that makes the baseline, and a few more, so that it is full.
const BEFORE: u32 = 724;
/// Ticks of the release that is judged.
const AFTER: u32 = 720;
/// Releases of each kind, where nothing else is asked for.
const RELEASES: u32 = 1000;
/// The rows, as the table names them.
const ROWS: [(&str, &str); 4] = [
    ("plain", "plain limit"),
    ("bound", "limit, 95% bound"),
    ("times", "2x baseline"),
    ("tested", "2x baseline, 95% test"),
];
/// How many times the errors of the release before.
const CHANGES: [f64; 3] = [1.0, 2.0, 5.0];

fn main() {
    // `cargo bench` passes `--bench`.
    let asked = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let releases = asked.unwrap_or(RELEASES);
    println!("{releases} releases of each kind; window 5m, for 15m, an hour each\n");
    println!("| requests | errors before | row | false | edge | found | after |");
    println!("|---|---|---|---|---|---|---|");
    for rate in [0.1, 1.0, 10.0, 100.0, 1000.0] {
        for share in [0.001, 0.01] {
            let service = Service { rate, share };
            let fired = service.judged(releases);
            for (row, (_, name)) in ROWS.iter().enumerate() {
                let per_thousand = |change: usize| {
                    let n = fired[change][row].len() as f64;
                    (n / f64::from(releases) * 1000.0).round()
                };
                let found = fired[2][row].len() as f64 / f64::from(releases) * 100.0;
                println!(
                    "| {rate}/s | {}% | {name} | {} | {} | {found:.0}% | {} |",
                    share * 100.0,
                    per_thousand(0),
                    per_thousand(1),
                    middle(&fired[2][row])
                );
            }
        }
    }
}

/// The time in the middle, in minutes; a dash where there is none.
fn middle(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map_or_else(
        || "–".to_owned(),
        |t| format!("{:.0}m", t.as_secs_f64() / 60.0),
    )
}

/// A service that is asked evenly.
struct Service {
    /// Requests a second.
    rate: f64,
    /// The share of them that fails, before the release.
    share: f64,
}

/// When each row fired, by the change and by the row.
type Fired = [[Vec<Duration>; ROWS.len()]; CHANGES.len()];

impl Service {
    fn policy(&self) -> Policy {
        let limit = self.share * 200.0;
        let row = |name: &str, limit: &str, proof: &str| {
            format!(
                "[triggers.{name}]\nwhen = \"errors > {limit} for 15m\"\nseverity = \"low\"\n{proof}\n"
            )
        };
        let unproven = "confidence = 0\nmin_events = 1";
        let text = format!(
            "service = \"shop\"\ninterval = \"5s\"\n\
             [release]\ncurrent = \"reported\"\n\
             [sources.app]\ntype = \"scrape\"\nurl = \"http://127.0.0.1:9/metrics\"\n\
             [signals.errors]\nsource = \"app\"\nwindow = \"5m\"\n\
             ratio = {{ of = 'requests_total{{code=\"500\"}}', to = 'requests_total' }}\n{}{}{}{}",
            row("plain", &format!("{limit}%"), unproven),
            row("bound", &format!("{limit}%"), ""),
            row("times", "2x baseline", unproven),
            row("tested", "2x baseline", ""),
        );
        let loaded = backstop::policy::load("bench.toml", &text);
        assert!(loaded.faults.is_empty(), "{:?}", loaded.faults);
        loaded.policy.expect("a policy")
    }

    fn judged(&self, releases: u32) -> Fired {
        let policy = self.policy();
        let mut fired = Fired::default();
        for seed in 0..releases {
            let mut before = Release::new(&policy, u64::from(seed) << 8);
            for _ in 0..BEFORE {
                before.tick(&policy, self.rate, self.share);
            }
            before.judge.capture_baselines("v1");
            before.judge.restart(&policy, before.now);
            for (change, times) in CHANGES.iter().enumerate() {
                let mut after = before.clone();
                after.rng = Rng(u64::from(seed) << 8 | (change as u64 + 1));
                let began = after.now;
                let mut first = BTreeMap::new();
                for _ in 0..AFTER {
                    for name in after.tick(&policy, self.rate, self.share * times) {
                        first.entry(name).or_insert(after.now.since(began));
                    }
                }
                for (row, (name, _)) in ROWS.iter().enumerate() {
                    fired[change][row].extend(first.get(*name));
                }
            }
        }
        fired
    }
}

/// A release that runs, and who judges it.
#[derive(Clone)]
struct Release {
    judge: Judge,
    rng: Rng,
    now: Moment,
    /// Counters of good and of failed requests.
    page: [Sample; 2],
}

impl Release {
    fn new(policy: &Policy, seed: u64) -> Self {
        let counter = |code: &str| Sample {
            series: Arc::new(Series::new(
                "requests_total",
                vec![("code".to_owned(), code.to_owned())],
            )),
            value: 0.0,
        };
        Self {
            judge: Judge::new(policy),
            rng: Rng(seed),
            now: Moment::from_millis(1_000_000),
            page: ["200", "500"].map(counter),
        }
    }

    /// One tick of traffic, and its judgement: the rows that fired.
    fn tick(&mut self, policy: &Policy, rate: f64, share: f64) -> Vec<String> {
        self.now = self.now + TICK;
        let requests = rate * TICK.as_secs_f64();
        // Poisson's requests of which a share fails at random are two of Poisson's.
        self.page[0].value += self.rng.poisson(requests * (1.0 - share));
        self.page[1].value += self.rng.poisson(requests * share);
        let outcome = Outcome::Scraped(self.page.to_vec());
        self.judge.sampled(policy, "app", self.now, &outcome);
        let turns = self.judge.judge(policy, self.now, 0);
        let fired = turns.into_iter().filter(|t| t.what == TurnKind::Fired);
        fired.map(|turn| turn.trigger).collect()
    }
}

/// `SplitMix64` (Steele, Lea and Flood 2014).
#[derive(Clone)]
struct Rng(u64);

impl Rng {
    /// In (0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Of this mean: by multiplication where it is small (Knuth), by transformed
    /// rejection where it is not (Hörmann 1993, PTRS).
    fn poisson(&mut self, mean: f64) -> f64 {
        if mean < 10.0 {
            let enough = (-mean).exp();
            let mut product = self.uniform();
            let mut n = 0.0;
            while product > enough {
                product *= self.uniform();
                n += 1.0;
            }
            return n;
        }
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.024_83 * b;
        let inverse = 1.1239 + 1.1328 / (b - 3.4);
        let edge = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let near = 0.5 - u.abs();
            let n = ((2.0 * a / near + b) * u + mean + 0.43).floor();
            if near >= 0.07 && v <= edge {
                return n;
            }
            if n < 0.0 || (near < 0.013 && v > near) {
                continue;
            }
            let accepted = (v * inverse / (a / (near * near) + b)).ln();
            if accepted <= n * mean.ln() - mean - ln_gamma(n + 1.0) {
                return n;
            }
        }
    }
}
