//! TOML text → a checked [`Policy`] or [`Config`](crate::model::Config), with every fault of the file
//! at once, each with its place and a hint.
//!
//! A policy decides when a machine acts on production, so nothing in it is
//! guessed: unknown keys, unknown names, numbers out of range, limits in the
//! wrong unit and kinds that only a later version knows are refused where they
//! stand. What is allowed but probably not meant is a warning.
//!
//! Nothing here reads a clock or a file, except [`files`].

mod calls;
mod conditions;
mod config;
mod difference;
mod escalation;
mod fault;
pub mod files;
mod item;
mod keys;
mod links;
mod lint;
mod live;
mod losses;
mod names;
mod nested;
mod notifier_keys;
mod notifier_mail;
mod notifier_secrets;
mod notifiers;
mod per;
mod plans;
mod promote;
mod quorum;
mod quoted;
mod releases;
mod render;
mod requests;
mod schema;
mod signals;
mod sources;
mod steps;
mod suite;
mod told;
mod triggers;
mod units;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::de::DeTable;

pub use config::{LoadedConfig, load_config};
pub use difference::{Changes, Difference, difference};
pub use fault::{Fault, FaultSeverity, Place, Related};
pub use lint::lint_with_config;
pub use live::lint_live;
pub use notifiers::{NOTICES, TEXTS};
pub use render::render;
pub use schema::SCHEMA;
pub use suite::{Case, EVENTS, Expectation, LoadedSuite, Point, Script, Suite, Tried, load_suite};

use crate::model::{Mode, Policy, Promote, Short, Trigger};
use conditions::Known;
use fault::{Draft, Faults, Page};
use keys::{Keys, Reader};

/// Bytes of a policy or config file. The largest sensible one is a hundredth of
/// it.
pub const MOST_BYTES: usize = 1 << 20;

/// Intervals that a window or a hold may span: what bounds the memory of a
/// signal.
const MOST_INTERVALS: u128 = 100_000;

/// The same for all windows and holds of a policy: some 100 MB.
const MOST_INTERVALS_TOGETHER: u128 = 1_000_000;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// Slower than this nobody should wait for a rollback.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

const MODES: &[(&str, Mode)] = &[("shadow", Mode::Shadow), ("enforce", Mode::Enforce)];

/// What came of reading a policy file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy, if the file has no errors.
    pub policy: Option<Policy>,
    /// Why there is no policy: every error of the file, in its order.
    pub faults: Vec<Fault>,
    /// What is probably not meant.
    pub warnings: Vec<Fault>,
    /// The file's text, and where each key's value stands in it.
    marks: Marks,
}

/// A file's text and the ranges of its values by path (`triggers.slow.when`).
#[derive(Clone, Debug)]
struct Marks {
    page: Page,
    ranges: BTreeMap<String, Range<usize>>,
}

impl Loaded {
    /// A file that could not even be read.
    fn refused(file_name: &str) -> Self {
        Self {
            policy: None,
            faults: Vec::new(),
            warnings: Vec::new(),
            marks: Marks {
                page: Page::new(file_name, ""),
                ranges: BTreeMap::new(),
            },
        }
    }

    /// The file as it would be read with another condition of a trigger, as an
    /// editor would write it. A trigger that is not there is a file that could
    /// not be read.
    #[must_use]
    pub fn with_when(&self, trigger: &str, when: &str) -> Self {
        let Marks { page, ranges } = &self.marks;
        let Some(place) = ranges.get(&format!("triggers.{trigger}.when")) else {
            return Self::refused(&page.file);
        };
        let (before, after) = (&page.text[..place.start], &page.text[place.end..]);
        let when = toml::Value::from(when);
        load(&page.file, &format!("{before}{when}{after}"))
    }

    /// Adds what only a look beyond the text has found.
    fn add(&mut self, fault: Fault) {
        if fault.is_error() {
            self.policy = None;
            self.faults.push(fault);
        } else {
            self.warnings.push(fault);
        }
    }
}

/// Reads a policy. `file_name` is only what the faults call it.
///
/// Never fails otherwise than by faults, on any text, in time linear in it.
/// Warnings about what is allowed and probably not meant come with a policy
/// that has no errors; those of a broken one would only be in the way.
///
/// ```
/// let text = "service = \"hello\"\nintervall = \"5s\"\n";
/// let loaded = backstop::policy::load("hello.toml", text);
/// assert!(loaded.policy.is_none());
/// let shown = backstop::policy::render(&loaded.faults, text, false);
/// assert!(shown.contains("unknown key `intervall`"));
/// assert!(shown.contains("did you mean `interval`?"));
/// ```
#[must_use]
pub fn load(file_name: &str, text: &str) -> Loaded {
    let (policy, marks, found) = read(file_name, text, document);
    let (faults, mut warnings): (Vec<_>, Vec<_>) = found.into_iter().partition(Fault::is_error);
    let policy = policy.filter(|_| faults.is_empty());
    if let Some(policy) = &policy {
        warnings.extend(lint::alone(policy, &marks));
        warnings.sort_by_key(|fault| fault.place.as_ref().map(|place| place.offset));
    }
    Loaded {
        policy,
        faults,
        warnings,
        marks,
    }
}

/// Parses a file and walks it.
fn read<T>(
    file_name: &str,
    text: &str,
    walk: impl FnOnce(&DeTable<'_>, &mut Reader) -> Option<T>,
) -> (Option<T>, Marks, Vec<Fault>) {
    if text.len() > MOST_BYTES {
        let mut fault = Fault::of_file(
            file_name,
            "size",
            format!("the file has {} bytes: at most {MOST_BYTES} go", text.len()),
        );
        fault.hint = Some("is it the right file?".to_owned());
        let marks = Marks {
            page: Page::new(file_name, ""),
            ranges: BTreeMap::new(),
        };
        return (None, marks, vec![fault]);
    }
    let mut r = Reader {
        faults: Faults::new(Page::new(file_name, text)),
        marks: BTreeMap::new(),
        interval_unread: false,
    };
    let (tree, errors) = DeTable::parse_recoverable(text);
    for e in errors {
        let at = e.span().unwrap_or(0..0);
        r.faults.syntax(Draft::error("syntax", at, e.message()));
    }
    let checked = walk(tree.get_ref(), &mut r);
    let (page, faults) = r.faults.into_sorted();
    let marks = Marks {
        page,
        ranges: r.marks,
    };
    (checked, marks, faults)
}

fn document(tree: &DeTable<'_>, r: &mut Reader) -> Option<Policy> {
    let start = 0..r.faults.page.text.lines().next().map_or(0, str::len);
    let keys = Keys::open(
        tree,
        start,
        "the policy".into(),
        String::new(),
        &[
            "service",
            "mode",
            "promote",
            "interval",
            "sources",
            "signals",
            "triggers",
            "release",
            "plans",
            "escalation",
        ],
        r,
    );
    let service = keys.need("service", "\"checkout\"", r).and_then(|item| {
        let quoted = item.string(r)?;
        names::service(&quoted, r);
        Some(quoted.value.to_owned())
    });
    let mode = keys.choice("mode", MODES, r).unwrap_or(Mode::Shadow);
    let interval = keys.get("interval").and_then(|item| r.interval(&item));
    let interval = interval.unwrap_or(DEFAULT_INTERVAL);
    let mut sources = sources::read(keys.get("sources"), interval, r);
    let signals = signals::read(keys.get("signals"), &sources, r);
    signals::ask(&mut sources, &signals);
    let known = Known::new(interval, sources, signals);
    let promote = promote::read(&keys, Promote::default(), r);
    let triggers = triggers::read(keys.get("triggers"), (mode, promote), &known, r);
    if triggers.is_empty() && !keys.has("triggers") {
        r.add(
            Draft::error("missing", keys.at.clone(), "the policy has no triggers")
                .hint("add `[triggers.NAME]` with `when` and `severity`"),
        );
    }
    bound_memory(&known, &triggers, r);
    let release = releases::read(keys.get("release"), &known, r);
    let plans = plans::read(keys.get("plans"), keys.get("release").is_some(), &known, r);
    triggers::check_plans(&triggers, &plans, &known, r);
    let escalation = escalation::read(keys.get("escalation"), &known, r);
    Some(Policy {
        service: service?,
        mode,
        interval,
        sources: all(known.sources)?,
        signals: all(known.signals)?,
        triggers,
        release: release?,
        plans: all(plans)?,
        escalation: escalation?,
    })
}

/// Refuses a policy whose windows and holds are each in bounds, and together are
/// not.
fn bound_memory(known: &Known, triggers: &[Trigger], r: &mut Reader) {
    let ticks = |span: Duration, interval: Duration| span.as_millis() / interval.as_millis().max(1);
    let windows = known.signals.values().flatten().map(|signal| {
        let source = known.sources.get(&signal.source).and_then(Option::as_ref);
        ticks(
            signal.window,
            source.map_or(known.tick, |source| source.interval),
        )
    });
    let holds = triggers
        .iter()
        .map(|t| ticks(t.when.hold.span(), known.tick));
    let (windows, holds): (u128, u128) = (windows.sum(), holds.sum());
    if windows + holds > MOST_INTERVALS_TOGETHER {
        let widest = if windows > holds {
            "signals"
        } else {
            "triggers"
        };
        let at = r.marks.get(widest).cloned().unwrap_or(0..0);
        r.add(
            Draft::error(
                "size",
                at,
                format!(
                    "all windows and holds together span {} intervals: at most \
                     {MOST_INTERVALS_TOGETHER} go",
                    windows + holds
                ),
            )
            .hint("shorten the longest, or set a longer `interval`"),
        );
    }
}

/// The map without its options, if none is missing.
fn all<T>(map: BTreeMap<String, Option<T>>) -> Option<BTreeMap<String, T>> {
    map.into_iter()
        .map(|(name, value)| Some((name, value?)))
        .collect()
}

/// A duration as people read it: `1m30s`.
fn show(duration: Duration) -> String {
    Short(duration).to_string()
}
