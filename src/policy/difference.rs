//! What changed from one policy of a service to the next, as plain data and in
//! the words of a log line.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::conditions::tests;
use super::show;
use crate::model::{Mode, Policy, Signal, Source, Test, Trigger};

/// The difference between two policies of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// From and to, if it changed.
    pub mode: Option<(Mode, Mode)>,
    /// From and to, if it changed.
    pub interval: Option<(Duration, Duration)>,
    /// Sources, by name.
    pub sources: Changes,
    /// Signals, by name.
    pub signals: Changes,
    /// Triggers, by name.
    pub triggers: Changes,
    /// Those of the changed triggers whose condition is another now, directly or
    /// through a signal or source that it reads: their hold starts anew.
    pub conditions: Vec<String>,
    /// Plans, by name.
    pub plans: Changes,
    /// Whether `[release]` changed.
    pub release: bool,
    /// Whether the escalation changed.
    pub escalation: bool,
}

/// Names that came, went, or stand for something else now; each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Changes {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

impl Changes {
    fn between<T: PartialEq>(old: &BTreeMap<&str, &T>, new: &BTreeMap<&str, &T>) -> Self {
        let names = |from: &BTreeMap<&str, &T>, keep: &dyn Fn(&str, &T) -> bool| {
            from.iter()
                .filter(|(name, value)| keep(name, value))
                .map(|(name, _)| (*name).to_owned())
                .collect()
        };
        Self {
            added: names(new, &|name, _| !old.contains_key(name)),
            removed: names(old, &|name, _| !new.contains_key(name)),
            changed: names(new, &|name, value| {
                old.get(name).is_some_and(|o| *o != value)
            }),
        }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl Difference {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn by_name<T>(map: &BTreeMap<String, T>) -> BTreeMap<&str, &T> {
    map.iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

/// Compares two policies of one service.
#[must_use]
pub fn difference(old: &Policy, new: &Policy) -> Difference {
    let rows = |policy: &'_ Policy| -> Vec<_> {
        policy
            .triggers
            .iter()
            .map(|t| (t.name.clone(), t.clone()))
            .collect()
    };
    let (old_rows, new_rows): (BTreeMap<_, _>, BTreeMap<_, _>) = (
        rows(old).into_iter().collect(),
        rows(new).into_iter().collect(),
    );
    let sources = Changes::between(&by_name(&old.sources), &by_name(&new.sources));
    let signals = Changes::between(&by_name(&old.signals), &by_name(&new.signals));
    let conditions = new_rows
        .iter()
        .filter(|(name, trigger)| {
            old_rows.get(*name).is_some_and(|was| {
                was.when != trigger.when || !read_alike(&reads(old, was), &reads(new, trigger))
            })
        })
        .map(|(name, _)| name.clone())
        .collect();
    Difference {
        mode: (old.mode != new.mode).then_some((old.mode, new.mode)),
        interval: (old.interval != new.interval).then_some((old.interval, new.interval)),
        triggers: Changes::between(&by_name(&old_rows), &by_name(&new_rows)),
        conditions,
        sources,
        signals,
        plans: Changes::between(&by_name(&old.plans), &by_name(&new.plans)),
        release: old.release != new.release,
        escalation: old.escalation != new.escalation,
    }
}

/// A signal and the source that it is read from.
type Read<'a> = (Option<&'a Signal>, Option<&'a Source>);

/// Whether two conditions read the same. What other signals ask of a source is
/// no difference.
fn read_alike(old: &[Read<'_>], new: &[Read<'_>]) -> bool {
    let alike = |a: &Source, b: &Source| {
        let rest = |s: &Source| (s.interval, s.timeout, s.fail_after, s.pass_after);
        rest(a) == rest(b) && a.kind.says_the_same(&b.kind)
    };
    old.len() == new.len()
        && old.iter().zip(new).all(|((old, from), (new, to))| {
            old == new
                && match (from, to) {
                    (Some(from), Some(to)) => alike(from, to),
                    (from, to) => from.is_none() && to.is_none(),
                }
        })
}

/// The signals and sources that a trigger's condition reads, as they are.
fn reads<'a>(policy: &'a Policy, trigger: &Trigger) -> Vec<Read<'a>> {
    tests(&trigger.when.expr)
        .into_iter()
        .map(|test| match test {
            Test::Compare { signal, .. } => {
                let signal = policy.signals.get(signal);
                (signal, signal.and_then(|s| policy.sources.get(&s.source)))
            }
            Test::Source { source, .. } => (None, policy.sources.get(source)),
        })
        .collect()
}

impl fmt::Display for Difference {
    /// One line: `mode shadow → enforce; triggers: +slow, ~down; hold starts
    /// anew: down`, or `nothing changed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some((old, new)) = self.mode {
            parts.push(format!("mode {} → {}", word(old), word(new)));
        }
        if let Some((old, new)) = self.interval {
            parts.push(format!("interval {} → {}", show(old), show(new)));
        }
        for (what, changes) in [
            ("sources", &self.sources),
            ("signals", &self.signals),
            ("triggers", &self.triggers),
            ("plans", &self.plans),
        ] {
            if changes.is_empty() {
                continue;
            }
            let names: Vec<_> = [
                ("+", &changes.added),
                ("-", &changes.removed),
                ("~", &changes.changed),
            ]
            .into_iter()
            .flat_map(|(sign, names)| names.iter().map(move |name| format!("{sign}{name}")))
            .collect();
            parts.push(format!("{what}: {}", names.join(", ")));
        }
        if !self.conditions.is_empty() {
            parts.push(format!("hold starts anew: {}", self.conditions.join(", ")));
        }
        for (changed, what) in [(self.release, "release"), (self.escalation, "escalation")] {
            if changed {
                parts.push(format!("{what} changed"));
            }
        }
        if parts.is_empty() {
            parts.push("nothing changed".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}

const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Shadow => "shadow",
        Mode::Enforce => "enforce",
    }
}
