//! `[release]`: how the running release is known, and what follows from it.

use std::time::Duration;

use super::conditions::Known;
use super::fault::Draft;
use super::item::Item;
use super::keys::{Keys, LONGEST, Reader};
use super::steps::argv;
use super::{names, signals};
use crate::model::{Current, Glob, Pick, ReleaseRule, SourceKind, Unchecked};

const DEFAULT_GOOD_AFTER: Duration = Duration::from_secs(30 * 60);

/// Placeholders that a target check may use: nothing has been decided yet.
const IN_CHECK: [&str; 4] = ["service", "current", "target", "host"];

#[expect(clippy::option_option, reason = "a fault, no table, or a table")]
/// Reads the table; `Some(None)` is a policy without one, `None` a fault.
pub(super) fn read(
    item: Option<Item<'_>>,
    known: &Known,
    r: &mut Reader,
) -> Option<Option<ReleaseRule>> {
    let Some(item) = item else { return Some(None) };
    let keys = item.table(
        "`[release]`".into(),
        &[
            "current",
            "good_after",
            "settle",
            "blame",
            "target",
            "irreversible_since",
        ],
        r,
    )?;
    let current = match keys.get("current") {
        Some(item) => current(&item, known, r),
        None => Some(Current::Reported),
    };
    let good_after = keys
        .duration("good_after", known.tick..=LONGEST, r)
        .unwrap_or(DEFAULT_GOOD_AFTER);
    let settle = keys
        .duration("settle", Duration::ZERO..=LONGEST, r)
        .unwrap_or_default();
    let blame = keys.duration("blame", known.tick..=LONGEST, r);
    let target = match keys.get("target") {
        Some(item) => target(&item, r),
        None => Some(Target::default()),
    };
    let irreversible_since = match keys.get("irreversible_since") {
        Some(item) => Some(version(&item, r)?),
        None => None,
    };
    let target = target?;
    Some(Some(ReleaseRule {
        current: current?,
        good_after,
        settle,
        blame,
        pick: target.pick,
        check: target.check,
        unchecked: target.unchecked,
        fallback_previous: target.fallback_previous,
        irreversible_since,
    }))
}

fn current(item: &Item<'_>, known: &Known, r: &mut Reader) -> Option<Current> {
    if item.value.is_str() {
        return item
            .choice(&[("reported", ())], r)
            .map(|()| Current::Reported);
    }
    let keys = item.table(
        "`current`".into(),
        &["symlink", "file", "metric", "label", "source", "run"],
        r,
    )?;
    let kind = keys.one_of(&["symlink", "file", "metric", "run"], r)?;
    if kind.key != "metric" {
        for key in ["label", "source"] {
            if let Some(item) = keys.get(key) {
                let message = format!("`{key}` goes with `metric`, not with `{}`", kind.key);
                r.add(Draft::error("conflict", item.key_at, message));
            }
        }
    }
    match kind.key.as_str() {
        "symlink" => names::path(&kind, r).map(Current::Symlink),
        "file" => names::path(&kind, r).map(Current::File),
        "run" => argv(&kind, &[], r).map(Current::Run),
        _ => metric(&keys, &kind, known, r),
    }
}

fn metric(keys: &Keys<'_>, kind: &Item<'_>, known: &Known, r: &mut Reader) -> Option<Current> {
    let metric = signals::selector(kind, r);
    let label = keys
        .need("label", "\"version\"", r)
        .and_then(|item| Some(item.string(r)?.value.to_owned()));
    let scrapes = || {
        known.sources.iter().filter(|(_, source)| {
            source
                .as_ref()
                .is_none_or(|s| matches!(s.kind, SourceKind::Scrape { .. }))
        })
    };
    let source = match keys.get("source") {
        Some(item) => {
            let name = item.string(r)?.value;
            if !scrapes().any(|(scrape, _)| scrape == name) {
                if known.sources.contains_key(name) {
                    let message = format!("source `{name}` has no metrics");
                    r.add(
                        item.fault("conflict", message)
                            .hint("name a `scrape` source"),
                    );
                } else {
                    r.add(signals::undefined(
                        "source",
                        name,
                        &item,
                        known.sources.keys(),
                    ));
                }
            }
            name.to_owned()
        }
        None if scrapes().count() == 1 => scrapes().map(|(name, _)| name.clone()).next()?,
        None => {
            r.add(
                Draft::error(
                    "missing",
                    keys.at.clone(),
                    "`current` does not say which source has the metric",
                )
                .hint("add `source = \"NAME\"` of a `scrape` source"),
            );
            return None;
        }
    };
    Some(Current::Metric {
        metric: metric?,
        label: label?,
        source,
    })
}

/// `target`.
#[derive(Default)]
struct Target {
    pick: Pick,
    check: Option<Vec<String>>,
    unchecked: Unchecked,
    fallback_previous: bool,
}

fn target(item: &Item<'_>, r: &mut Reader) -> Option<Target> {
    let keys = item.table(
        "`target`".into(),
        &[
            "rule",
            "version",
            "pattern",
            "check",
            "otherwise",
            "fallback",
        ],
        r,
    )?;
    let picks = ["rule", "version", "pattern"];
    let pick = if picks.iter().any(|key| keys.has(key)) {
        keys.one_of(&picks, r).and_then(|item| pick(&item, r))
    } else {
        Some(Pick::NewestGood)
    };
    let check = match keys.get("check") {
        Some(item) => Some(argv(&item, &IN_CHECK, r)?),
        None => None,
    };
    let otherwise = keys.get("otherwise").and_then(|item| {
        let choices = [("escalate", Unchecked::Escalate), ("next", Unchecked::Next)];
        let otherwise = item.choice(&choices, r)?;
        if check.is_none() {
            let message = "`otherwise` says what follows when a check fails, and there is none";
            let draft = Draft::error("conflict", item.key_at.clone(), message);
            r.add(draft.hint("add `check = [\"PROGRAM\", \"{target}\"]`"));
        } else if let (Unchecked::Next, Some(Pick::Version(_))) = (otherwise, &pick) {
            let message = "there is no next one: the target is this one version";
            let draft = Draft::error("conflict", item.at.clone(), message);
            r.add(draft.hint("leave `version` out, or write a `pattern`"));
        }
        Some(otherwise)
    });
    if let (Some(Pick::Version(_)), Some(fallback)) = (&pick, keys.get("fallback")) {
        let message = "there is nothing to fall back to: the target is this one version";
        r.add(Draft::error("conflict", fallback.key_at, message));
    }
    let fallback_previous = keys.choice("fallback", &[("previous", ())], r).is_some();
    Some(Target {
        pick: pick?,
        check,
        unchecked: otherwise.unwrap_or_default(),
        fallback_previous,
    })
}

fn pick(item: &Item<'_>, r: &mut Reader) -> Option<Pick> {
    match item.key.as_str() {
        "rule" => item
            .choice(&[("newest-good", ())], r)
            .map(|()| Pick::NewestGood),
        "version" => version(item, r).map(Pick::Version),
        _ => {
            let quoted = item.string(r)?;
            match Glob::parse(quoted.value) {
                Ok(glob) => Some(Pick::Pattern(glob)),
                Err(fault) => {
                    let at = r.inside(&quoted, fault.offset, fault.found.len_utf8());
                    let draft = Draft::error("pattern", at, fault.to_string());
                    r.add(draft.hint("`*` is any text, `?` one character; all else is itself"));
                    None
                }
            }
        }
    }
}

/// A version as it may stand in a placeholder: another is never filled in.
fn version(item: &Item<'_>, r: &mut Reader) -> Option<String> {
    let quoted = item.string(r)?;
    let goes = |c: char| c.is_ascii_alphanumeric() || "._:+@~-/".contains(c);
    if let Some((offset, found)) = quoted.value.char_indices().find(|&(_, c)| !goes(c)) {
        let at = r.inside(&quoted, offset, found.len_utf8());
        let message = format!("{found:?} is in no version");
        let draft = Draft::error("version", at, message);
        r.add(draft.hint("letters, digits and . _ : + @ ~ - / go"));
        return None;
    }
    Some(quoted.value.to_owned())
}
