//! Policy test files: `checkout.test.toml` beside `checkout.toml` → a checked
//! [`Suite`], every fault at once, each underlined and with a hint.
//!
//! A test that tests nothing is worse than none, so nothing in it may be empty
//! talk: a trigger, a source or an event that is not there, a series that no
//! signal reads, a time at which nothing is judged any more, a test that expects
//! nothing are errors of the file, as unknown keys are.
//!
//! Nothing is judged here: that is the engine's work, see [`crate::replay`]. And
//! no file is read: whoever asks finds the policy.

mod expectation;
mod notation;
mod series;

use std::ops::Range;
use std::time::Duration;

use toml::de::DeTable;

pub use expectation::{EVENTS, Expectation};
pub use notation::Point;
pub use series::Script;

use super::fault::{Draft, Fault, Place};
use super::item::Item;
use super::keys::{Keys, Reader};
use super::show;
use crate::model::{Policy, Short};

/// Tests of a file.
const MOST_TESTS: usize = 1000;

/// Ticks and values of a file together: about a second of judging.
const MOST_WORK: u128 = 2_000_000;

/// What an interval of a test may be; of what is told only now and then, an
/// hour.
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

/// The tests of one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// What is tested.
    pub policy: Policy,
    /// In the file's order, at least one.
    pub cases: Vec<Case>,
}

/// One `[[test]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name, unique in the file.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// What the sources say.
    pub series: Vec<Script>,
    /// From one value of a series to the next.
    pub interval: Duration,
    /// When the longest series ends: the last tick is at or before it.
    pub end: Duration,
    /// What must happen.
    pub expect: Vec<Expectation>,
    /// What must not.
    pub never: Vec<Expectation>,
}

/// What became of looking for the policy of a test file.
#[derive(Debug)]
pub enum Tried {
    /// It is there.
    Policy(Box<Policy>),
    /// It has faults of its own, which its reader tells.
    Refused,
    /// There is none; why.
    Missing(String),
}

/// What came of reading a test file.
#[derive(Clone, Debug)]
pub struct LoadedSuite {
    /// The tests, if neither file nor policy has errors.
    pub suite: Option<Suite>,
    /// Every error of the file, in its order.
    pub faults: Vec<Fault>,
}

/// Reads a test file. `file_name` is only what the faults call it; `find` gets
/// the value of the key `policy`, if there is one, and gives the policy.
///
/// Never fails otherwise than by faults, on any text.
pub fn load_suite(
    file_name: &str,
    text: &str,
    find: impl FnOnce(Option<&str>) -> Tried,
) -> LoadedSuite {
    let (suite, _, faults) = super::read(file_name, text, |tree, r| document(tree, find, r));
    LoadedSuite {
        suite: suite.filter(|_| faults.is_empty()),
        faults,
    }
}

fn document(
    tree: &DeTable<'_>,
    find: impl FnOnce(Option<&str>) -> Tried,
    r: &mut Reader,
) -> Option<Suite> {
    let start = 0..r.faults.page.text.lines().next().map_or(0, str::len);
    let keys = Keys::open(
        tree,
        start,
        "the test file".into(),
        String::new(),
        &["policy", "test"],
        r,
    );
    let policy = policy(&keys, find, r);
    let items = match keys.get("test") {
        Some(item) => item.elements(MOST_TESTS, r),
        None => None,
    };
    if !keys.has("test") || items.as_ref().is_some_and(Vec::is_empty) {
        r.add(
            Draft::error("missing", keys.at.clone(), "the file has no test")
                .hint("add `[[test]]` with `name`, `series` and `expect` or `expect_none`"),
        );
    }
    let items = items?;
    let mut names: Vec<(String, Range<usize>)> = Vec::new();
    let mut work = 0;
    let mut cases = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let case = case(i, item, policy.as_ref(), &mut names, r);
        if let (Some(case), Some(policy)) = (&case, &policy) {
            let before = work;
            work += case.work(policy);
            if work > MOST_WORK && before <= MOST_WORK {
                let message = format!(
                    "up to here the tests of this file have {work} ticks and values: at most {MOST_WORK} go"
                );
                r.add(
                    item.fault("size", message)
                        .hint("test a shorter time, or in several files"),
                );
            }
        }
        cases.extend(case);
    }
    Some(Suite {
        policy: policy?,
        cases,
    })
}

/// The policy that is tested.
fn policy(
    keys: &Keys<'_>,
    find: impl FnOnce(Option<&str>) -> Tried,
    r: &mut Reader,
) -> Option<Policy> {
    let named = keys.get("policy");
    let path = match &named {
        Some(item) => Some(item.string(r)?),
        None => None,
    };
    match find(path.as_ref().map(|path| path.value)) {
        Tried::Policy(policy) => Some(*policy),
        Tried::Refused => None,
        Tried::Missing(why) => {
            let (at, hint) = match named {
                Some(item) => (item.at, "the path counts from the directory of this file"),
                None => (keys.at.clone(), "name it: `policy = \"other.toml\"`"),
            };
            r.add(Draft::error("policy", at, why).hint(hint));
            None
        }
    }
}

fn case(
    index: usize,
    item: &Item<'_>,
    policy: Option<&Policy>,
    names: &mut Vec<(String, Range<usize>)>,
    r: &mut Reader,
) -> Option<Case> {
    let what = format!("test {}", index + 1);
    let known = &["name", "interval", "series", "expect", "expect_none"];
    let keys = item.table(what.clone(), known, r)?;
    let name = keys
        .need("name", "\"a breach fires after its hold\"", r)
        .and_then(|item| {
            let name = item.string(r)?.value.to_owned();
            if let Some((_, first)) = names.iter().find(|(other, _)| *other == name) {
                r.add(
                    item.fault("twin", format!("two tests are named `{name}`"))
                        .also(first.clone(), "the first")
                        .hint("a name says what one test shows"),
                );
            }
            names.push((name.clone(), item.at.clone()));
            let place = r.faults.page.place(&item.at);
            Some((name, place))
        });
    let interval_item = keys.get("interval");
    let interval = match &interval_item {
        Some(item) => item.duration(INTERVALS, r),
        None => policy.map(|policy| policy.interval),
    };
    let written = keys.need(
        "series",
        "{ 'http_requests_total{code=\"500\"}' = \"0+10x60\" }",
        r,
    );
    let at = interval_item.map_or_else(|| keys.at.clone(), |item| item.at);
    let series =
        written.and_then(|item| series::read(&item, policy, interval.map(|i| (i, at)).as_ref(), r));
    let end = series.as_ref().zip(interval).map(|(series, interval)| {
        let longest = series.iter().map(|script| script.points.len()).max();
        let steps = longest.unwrap_or(1).saturating_sub(1);
        interval * u32::try_from(steps).unwrap_or(u32::MAX)
    });
    let (expect, never) = expectation::read(&keys, policy, end, r);
    let (name, place) = name?;
    Some(Case {
        name,
        place,
        series: series?,
        interval: interval?,
        end: end?,
        expect: expect?,
        never: never?,
    })
}

impl Case {
    /// Ticks that are judged and values that are looked at.
    fn work(&self, policy: &Policy) -> u128 {
        let ticks = self.end.as_millis() / policy.interval.as_millis().max(1);
        let values: usize = self.series.iter().map(|script| script.points.len()).sum();
        ticks + values as u128
    }
}

/// What makes a test's interval unfit for a source, if anything.
fn unfit(source: &str, sampled: Duration, interval: Duration) -> Option<String> {
    let fits = sampled
        .as_millis()
        .is_multiple_of(interval.as_millis().max(1));
    (!fits).then(|| {
        format!(
            "`{source}` is sampled every {}, and values {} apart do not say what it would see",
            show(sampled),
            Short(interval)
        )
    })
}
