//! The choices: limits, windows and holds, each written into the policy's own
//! text and read back by the loader that reads policies.
//!
//! So a choice is refused where an editor's would be, with the same words, and
//! what depends on it (`max_gap`) is what it would be. Only one test of a
//! condition is varied; what cannot be varied is refused, with what to do
//! instead.

use std::time::Duration;

use super::TuneFault;
use crate::model::{
    Condition, Expr, Hold, Limit, Moment, Policy, Short, Signal, Test, Trigger, Unit,
};
use crate::policy::Loaded;

/// Most choices of one run.
const MOST_CHOICES: usize = 20_000;

/// Neighbours of the policy's own value on either side, where nobody says.
const NEIGHBOURS: usize = 3;

/// Numbers that people choose as limits, times a power of ten.
const MANTISSAS: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0];

/// Times that people choose as holds, in seconds.
const HOLDS: [u64; 18] = [
    10, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 2700, 3600, 7200, 10_800, 21_600, 43_200,
    86_400,
];

/// What is to be varied; what is empty is chosen around the policy's own.
#[derive(Clone, Debug, Default)]
pub struct Axes {
    /// The trigger.
    pub trigger: String,
    /// The signal whose limit is varied, where the condition has several.
    pub signal: Option<String>,
    /// Limits as conditions write them: `2%`, `800ms`.
    pub limits: Vec<String>,
    /// Holds as conditions write them: `10m`, `5m of 10m`, `none`.
    pub holds: Vec<String>,
    /// Windows of the signal: `1m`.
    pub windows: Vec<String>,
}

impl Axes {
    /// Whether there are such choices, before anything is recorded for them.
    ///
    /// # Errors
    ///
    /// As [`tune`](super::tune).
    pub fn check(&self, file: &Loaded) -> Result<(), TuneFault> {
        Grid::new(file, valid(file)?, self).map(drop)
    }
}

/// The policy of a file that has one.
pub(super) fn valid(file: &Loaded) -> Result<&Policy, TuneFault> {
    file.policy.as_ref().ok_or_else(|| {
        TuneFault::new("there is no valid policy")
            .hint("`backstop check` says what is wrong with it")
    })
}

/// One choice as it is judged.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) trigger: Trigger,
    /// Its places on the axes; `None` for the policy's own where that is on none.
    pub(super) place: Option<(usize, usize, usize)>,
}

/// All choices, and the axes that they lie on.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) planned: Vec<Planned>,
    /// Which of them the policy has.
    pub(super) own: usize,
    pub(super) signal: Option<String>,
    pub(super) unit: Unit,
    /// As they are written, in rising order where nobody chose.
    pub(super) windows: Vec<String>,
    pub(super) limits: Vec<String>,
    pub(super) holds: Vec<String>,
}

/// The test that is varied.
#[derive(Clone, Copy)]
struct Varied<'a> {
    test: &'a Test,
    signal: &'a str,
    rule: &'a Signal,
    over: Option<Duration>,
    op: &'static str,
    limit: f64,
}

impl Grid {
    pub(super) fn new(file: &Loaded, policy: &Policy, axes: &Axes) -> Result<Self, TuneFault> {
        let name = &axes.trigger;
        let found = policy.triggers.iter().find(|t| t.name == *name);
        let Some(trigger) = found else {
            let names = policy.triggers.iter().map(|t| t.name.as_str());
            return Err(
                TuneFault::new(format!("the policy has no trigger `{name}`"))
                    .hint(format!("it has {}", names.collect::<Vec<_>>().join(", "))),
            );
        };
        let varied = varied(policy, trigger, axes)?;
        let text = single_spaced(&trigger.when.text);
        let (tests, own_hold) = halves(&text);
        let limits = match (&varied, &*axes.limits) {
            (None, _) => vec![String::new()],
            (Some(varied), []) => limits_around(varied),
            (Some(_), limits) => limits.to_vec(),
        };
        let holds = if axes.holds.is_empty() {
            holds_around(trigger.when.hold, policy.interval)
        } else {
            axes.holds.clone()
        };
        let windows = match (&varied, &*axes.windows) {
            (Some(varied), []) => vec![varied.over.map_or(String::new(), short)],
            (None, _) => vec![String::new()],
            (Some(_), windows) => windows.to_vec(),
        };
        let size = windows.len() * limits.len() * holds.len();
        if size > MOST_CHOICES {
            let message = format!("{size} choices: at most {MOST_CHOICES} go");
            return Err(TuneFault::new(message).hint("name fewer limits, holds or windows"));
        }
        // What a hold brings with it does not depend on the tests, nor the tests
        // on the hold: so each is written once, not each pair.
        let mut rows = Vec::with_capacity(windows.len() * limits.len());
        for window in &windows {
            for limit in &limits {
                let tests = match &varied {
                    Some(varied) => varied.rewritten(tests, window, limit)?,
                    None => tests.to_owned(),
                };
                let when = format!("{tests}{own_hold}");
                let read = written(file, name, &when)?;
                if !only_numbers_differ(&read.when.expr, &trigger.when.expr) {
                    return Err(
                        TuneFault::new(format!("`{when}` is another condition")).hint(
                            "a limit is a number with its unit, such as 5%, and no multiple of a \
                               baseline; a window is a time",
                        ),
                    );
                }
                rows.push((tests, read));
            }
        }
        let mut columns = Vec::with_capacity(holds.len());
        for hold in &holds {
            let clause = match hold.trim() {
                "none" | "0s" | "0" => String::new(),
                hold => format!(" for {hold}"),
            };
            let read = written(file, name, &format!("{tests}{clause}"))?;
            columns.push((clause, read));
        }
        let mut planned = Vec::with_capacity(size + 1);
        for (index, (tests, row)) in rows.iter().enumerate() {
            let (window, limit) = (index / limits.len(), index % limits.len());
            for (hold, (clause, column)) in columns.iter().enumerate() {
                let when = Condition {
                    expr: row.when.expr.clone(),
                    hold: column.when.hold,
                    text: format!("{tests}{clause}"),
                };
                planned.push(Planned {
                    trigger: Trigger {
                        when,
                        max_gap: column.max_gap,
                        ..trigger.clone()
                    },
                    place: Some((window, limit, hold)),
                });
            }
        }
        let is_own = |planned: &Planned| same(&planned.trigger.when, &trigger.when, policy);
        let own = planned.iter().position(is_own).unwrap_or_else(|| {
            planned.push(Planned {
                trigger: trigger.clone(),
                place: None,
            });
            planned.len() - 1
        });
        // It may be spelled otherwise.
        planned[own].trigger.when.text.clone_from(&text);
        Ok(Self {
            planned,
            own,
            signal: varied.as_ref().map(|varied| varied.signal.to_owned()),
            unit: varied.map_or(Unit::Plain, |varied| varied.rule.unit),
            windows,
            limits,
            holds,
        })
    }
}

impl Grid {
    /// Whether nothing further was tried on one side of this limit.
    pub(super) fn is_edge(&self, limit: usize) -> bool {
        self.limits.len() > 1 && (limit == 0 || limit + 1 == self.limits.len())
    }
}

/// The test to vary; `None` where the condition compares nothing and only its
/// hold can be.
fn varied<'a>(
    policy: &'a Policy,
    trigger: &'a Trigger,
    axes: &Axes,
) -> Result<Option<Varied<'a>>, TuneFault> {
    let (name, condition) = (&trigger.name, &trigger.when.text);
    let mut all = Vec::new();
    tests(&trigger.when.expr, &mut all);
    let mut comparisons = Vec::new();
    for test in all {
        let Test::Compare {
            signal,
            over,
            op,
            limit,
            ..
        } = test
        else {
            continue;
        };
        let limit = match limit {
            Limit::Fixed(limit) => *limit,
            Limit::Baseline(_) => {
                let message = format!("`{condition}` has a limit relative to the baseline");
                return Err(TuneFault::new(message).hint(
                    "which release was good, and so the baseline, depends on the limit itself: \
                     edit a copy of the policy and replay each",
                ));
            }
        };
        if let Some(rule) = policy.signals.get(signal).filter(|s| s.unit != Unit::Flag) {
            comparisons.push(Varied {
                test,
                signal,
                rule,
                over: *over,
                op: op.text(),
                limit,
            });
        }
    }
    let names = || {
        let mut names: Vec<_> = comparisons.iter().map(|c| c.signal).collect();
        names.dedup();
        names.join(", ")
    };
    let mut wanted = comparisons
        .iter()
        .filter(|c| axes.signal.as_ref().is_none_or(|signal| c.signal == signal));
    match (wanted.next(), wanted.next(), &axes.signal) {
        (Some(one), None, _) => Ok(Some(*one)),
        (None, _, Some(signal)) => {
            let fault = TuneFault::new(format!(
                "`{condition}` does not compare `{signal}` with a limit"
            ));
            Err(if comparisons.is_empty() {
                fault.hint("leave `--signal` out: only its hold can be varied")
            } else {
                fault.hint(format!("it compares {}", names()))
            })
        }
        (None, _, None) if axes.limits.is_empty() && axes.windows.is_empty() => Ok(None),
        (None, _, None) => Err(TuneFault::new(format!(
            "trigger `{name}` compares nothing with a limit"
        ))
        .hint("leave `--limits` and `--windows` out: only its hold can be varied")),
        (Some(_), Some(_), None) if names().contains(',') => Err(TuneFault::new(format!(
            "`{condition}` has several limits: which is to be varied?"
        ))
        .hint(format!("say `--signal NAME`: one of {}", names()))),
        (Some(one), Some(_), _) => Err(TuneFault::new(format!(
            "`{condition}` compares `{}` more than once",
            one.signal
        ))
        .hint("make a trigger of each comparison, and tune each")),
    }
}

impl Varied<'_> {
    /// The tests of the condition with another window and limit of this one.
    fn rewritten(&self, tests: &str, window: &str, limit: &str) -> Result<String, TuneFault> {
        let over = if window.is_empty() {
            String::new()
        } else {
            format!(" over {window}")
        };
        let test = format!("{}{over} {} {}", self.signal, self.op, limit.trim());
        let was = self.test.text();
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '%');
        let place = tests.match_indices(was).map(|(at, _)| at).find(|at| {
            let before = tests[..*at].chars().next_back();
            let after = tests[at + was.len()..].chars().next();
            !before.is_some_and(part) && !after.is_some_and(part)
        });
        let Some(at) = place else {
            let message = format!("cannot find the comparison `{was}` in `{tests}`");
            return Err(TuneFault::new(message).hint("write each comparison with single spaces"));
        };
        let (before, after) = (&tests[..at], &tests[at + was.len()..]);
        Ok(format!("{before}{test}{after}"))
    }
}

/// The trigger as it would be read with this condition.
fn written(file: &Loaded, trigger: &str, when: &str) -> Result<Trigger, TuneFault> {
    let read = file.with_when(trigger, when);
    let found = read.policy.and_then(|policy| {
        let mut triggers = policy.triggers.into_iter();
        triggers.find(|t| t.name == trigger)
    });
    found.ok_or_else(|| match read.faults.into_iter().next() {
        Some(fault) => TuneFault {
            message: format!("`{when}`: {}", fault.message),
            hint: fault.hint,
        },
        None => TuneFault::new(format!("`{when}` cannot stand in the policy")),
    })
}

/// The tests of a condition, and its hold as it is written: ` for 10m`, or
/// nothing.
fn halves(text: &str) -> (&str, &str) {
    text.rfind(" for ")
        .map_or((text, ""), |at| text.split_at(at))
}

/// As the parser keeps the text of a test.
fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn tests<'a>(expr: &'a Expr, out: &mut Vec<&'a Test>) {
    match expr {
        Expr::Any(parts) | Expr::All(parts) => parts.iter().for_each(|part| tests(part, out)),
        Expr::Test(test) => out.push(test),
    }
}

/// Whether two expressions have as many tests, and none a limit that moves by
/// itself.
fn only_numbers_differ(a: &Expr, b: &Expr) -> bool {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    tests(a, &mut left);
    tests(b, &mut right);
    let is_baseline = |test: &&Test| match test {
        Test::Compare { limit, .. } => matches!(limit, Limit::Baseline(_)),
        Test::Source { .. } => false,
    };
    left.len() == right.len() && !left.iter().any(is_baseline)
}

/// Whether two conditions say the same, however they are spelled.
fn same(a: &Condition, b: &Condition, policy: &Policy) -> bool {
    let window = |signal: &str, over: Option<Duration>| {
        over.or_else(|| policy.signals.get(signal).map(|s| s.window))
    };
    let (mut left, mut right) = (Vec::new(), Vec::new());
    tests(&a.expr, &mut left);
    tests(&b.expr, &mut right);
    a.hold == b.hold
        && left.len() == right.len()
        && left.iter().zip(right).all(|(a, b)| match (a, b) {
            (
                Test::Compare {
                    signal: a,
                    over: of_a,
                    limit: to_a,
                    ..
                },
                Test::Compare {
                    signal: b,
                    over: of_b,
                    limit: to_b,
                    ..
                },
            ) => a == b && window(a, *of_a) == window(b, *of_b) && to_a == to_b,
            (a, b) => a.text() == b.text(),
        })
}

/// The policy's own limit with its neighbours among those that people choose.
fn limits_around(varied: &Varied<'_>) -> Vec<String> {
    let own = varied.test.text();
    let own = own.rsplit_once(varied.op).map_or(own, |(_, limit)| limit);
    let own = own.trim().to_owned();
    let (scale, unit) = scale(varied.limit, varied.rule.unit);
    let number = varied.limit / scale;
    if number <= 0.0 {
        let more = match varied.rule.unit {
            Unit::Plain if number >= 0.0 => vec!["1", "2", "5", "10"],
            _ => Vec::new(),
        };
        let more = more.into_iter().map(str::to_owned);
        return std::iter::once(own).chain(more).collect();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a power of ten of a number"
    )]
    let power = number.log10().floor() as i32;
    let mut below = Vec::new();
    let mut above = Vec::new();
    for power in power - 1..=power + 1 {
        for mantissa in MANTISSAS {
            let near = mantissa * 10_f64.powi(power);
            let decimals = usize::try_from(1 - power).unwrap_or(0);
            let mut text = format!("{near:.decimals$}");
            if text.contains('.') {
                text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
            }
            let text = format!("{text}{unit}");
            if near < number * 0.99 {
                below.push(text);
            } else if near > number * 1.01 && (unit != "%" || near <= 100.0) {
                above.push(text);
            }
        }
    }
    around(&below, own, &above)
}

/// How a unit is written: its size in the signal's base unit, and its name.
fn scale(limit: f64, unit: Unit) -> (f64, &'static str) {
    const KIB: f64 = 1024.0;
    let limit = limit.abs();
    match unit {
        Unit::Ratio => (0.01, "%"),
        Unit::Seconds if limit < 1.0 => (0.001, "ms"),
        Unit::Seconds if limit < 120.0 => (1.0, "s"),
        Unit::Seconds if limit < 7200.0 => (60.0, "m"),
        Unit::Seconds => (3600.0, "h"),
        Unit::PerSecond if limit >= 0.1 => (1.0, "/s"),
        Unit::PerSecond => (1.0 / 60.0, "/m"),
        Unit::Bytes if limit >= KIB.powi(3) => (KIB.powi(3), "GiB"),
        Unit::Bytes if limit >= KIB.powi(2) => (KIB.powi(2), "MiB"),
        Unit::Bytes if limit >= KIB => (KIB, "KiB"),
        Unit::Bytes => (1.0, "B"),
        Unit::Plain | Unit::Flag => (1.0, ""),
    }
}

/// The policy's own hold with its neighbours among those that people choose.
fn holds_around(own: Hold, interval: Duration) -> Vec<String> {
    let (span, of) = match own {
        Hold::None => (Duration::ZERO, None),
        Hold::For(d) => (d, None),
        Hold::ForOf(x, y) => (x, Some(y.as_secs_f64() / x.as_secs_f64().max(1e-3))),
    };
    let write = |d: Duration| match of {
        Some(of) => format!(
            "{} of {}",
            short(d),
            short(Duration::from_secs_f64((d.as_secs_f64() * of).round()))
        ),
        None => short(d),
    };
    let ladder = HOLDS.map(Duration::from_secs);
    let ladder = || ladder.iter().filter(|d| **d >= interval);
    let below: Vec<_> = ladder().filter(|d| **d < span).map(|d| write(*d)).collect();
    let above: Vec<_> = ladder().filter(|d| **d > span).map(|d| write(*d)).collect();
    let own = match own {
        Hold::None => "none".to_owned(),
        Hold::For(d) => short(d),
        Hold::ForOf(x, y) => format!("{} of {}", short(x), short(y)),
    };
    around(&below, own, &above)
}

fn around(below: &[String], own: String, above: &[String]) -> Vec<String> {
    let below = &below[below.len().saturating_sub(NEIGHBOURS)..];
    let above = &above[..above.len().min(NEIGHBOURS)];
    let mut all = below.to_vec();
    all.push(own);
    all.extend_from_slice(above);
    all
}

fn short(d: Duration) -> String {
    Short(d).to_string()
}

/// The stretches of time for which a release ran.
pub(super) fn stretches(ran: &[(Moment, String)], until: Moment) -> Vec<(String, Moment, Moment)> {
    let mut stretches: Vec<(String, Moment, Moment)> = Vec::new();
    for (at, version) in ran {
        if stretches.last().is_some_and(|(last, ..)| last == version) {
            continue;
        }
        if let Some((.., end)) = stretches.last_mut() {
            *end = *at;
        }
        stretches.push((version.clone(), *at, until));
    }
    stretches
}
