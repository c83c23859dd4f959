//! The spanned TOML tree, read by hand: every reader takes what it knows out of a
//! table, and says with a place what it does not know or cannot use.
//!
//! Serde would stop at the first fault and forget where it stood; a person who
//! mends a policy at night wants all of them, each underlined.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::de::DeTable;

use super::LONGEST_INTERVAL;
use super::fault::{Draft, Faults, listed, nearest};
use super::item::Item;
use super::quoted::Quoted;

/// The longest duration that any key takes.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a file's readers share: the faults so far, and where each key was seen.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) faults: Faults,
    /// The value's range by path (`triggers.slow.when`), for the lints, which
    /// only see checked values.
    pub(super) marks: BTreeMap<String, Range<usize>>,
    /// An interval could not be read, and the default stands in for it: nothing
    /// that is measured by one is a fault until that is mended.
    pub(super) interval_unread: bool,
}

impl Reader {
    pub(super) fn add(&mut self, draft: Draft) {
        if !(draft.by_interval && self.interval_unread) {
            self.faults.add(draft);
        }
    }

    /// An interval, at least 100 ms.
    pub(super) fn interval(&mut self, item: &Item<'_>) -> Option<Duration> {
        let read = item.duration(Duration::from_millis(100)..=LONGEST_INTERVAL, self);
        self.interval_unread |= read.is_none();
        read
    }

    pub(super) fn inside(&self, quoted: &Quoted<'_>, offset: usize, len: usize) -> Range<usize> {
        quoted.inside(&self.faults.page.text, offset, len)
    }
}

/// A table whose keys have been checked against those that are known.
#[derive(Debug)]
pub(super) struct Keys<'t> {
    table: &'t DeTable<'t>,
    /// The header, or the whole inline table.
    pub(super) at: Range<usize>,
    /// For messages: "trigger `slow`".
    pub(super) what: String,
    /// For marks: `triggers.slow`.
    pub(super) path: String,
    #[cfg(debug_assertions)]
    known: &'static [&'static str],
}

impl<'t> Keys<'t> {
    /// Opens a table and reports every key that is not known.
    pub(super) fn open(
        table: &'t DeTable<'t>,
        at: Range<usize>,
        what: String,
        path: String,
        known: &'static [&'static str],
        r: &mut Reader,
    ) -> Self {
        for (key, value) in table {
            let (name, key_at) = (key.get_ref().as_ref(), key.span());
            r.marks.insert(join(&path, name), value.span());
            if known.contains(&name) {
                continue;
            }
            if r.faults.full() {
                continue;
            }
            let hint = nearest(name, known.iter().copied()).map_or_else(
                || format!("known are {}", listed(known.iter().copied())),
                |near| format!("did you mean `{near}`?"),
            );
            r.add(
                Draft::error(
                    "unknown-key",
                    key_at,
                    format!("unknown key `{name}` in {what}"),
                )
                .label("no such key")
                .hint(hint),
            );
        }
        Self {
            table,
            at,
            what,
            path,
            #[cfg(debug_assertions)]
            known,
        }
    }

    /// The key, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Item<'t>> {
        #[cfg(debug_assertions)]
        debug_assert!(self.known.contains(&key), "{key} is read but not known");
        let (name, value) = self.table.get_key_value(key)?;
        // A value that the syntax error recovery made up has no text.
        (!value.span().is_empty()).then(|| Item {
            key: key.to_owned(),
            key_at: name.span(),
            path: join(&self.path, key),
            value: value.get_ref(),
            at: value.span(),
        })
    }

    /// Whether the key is written at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The key, or a fault that it is missing.
    pub(super) fn need(&self, key: &str, example: &str, r: &mut Reader) -> Option<Item<'t>> {
        if !self.table.contains_key(key) {
            r.add(
                Draft::error(
                    "missing",
                    self.at.clone(),
                    format!("{} has no `{key}`", self.what),
                )
                .hint(format!("add `{key} = {example}`")),
            );
        }
        self.get(key)
    }

    pub(super) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        r: &mut Reader,
    ) -> Option<Duration> {
        self.get(key)?.duration(range, r)
    }

    pub(super) fn count(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        r: &mut Reader,
    ) -> Option<u64> {
        self.get(key)?.count(range, r)
    }

    pub(super) fn flag(&self, key: &str, r: &mut Reader) -> Option<bool> {
        self.get(key)?.flag(r)
    }

    pub(super) fn string(&self, key: &str, r: &mut Reader) -> Option<String> {
        Some(self.get(key)?.string(r)?.value.to_owned())
    }

    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        r: &mut Reader,
    ) -> Option<T> {
        self.get(key)?.choice(choices, r)
    }

    /// Exactly one of these keys, or a fault.
    pub(super) fn one_of(&self, kinds: &[&str], r: &mut Reader) -> Option<Item<'t>> {
        let mut present = kinds.iter().filter(|kind| self.table.contains_key(**kind));
        let (first, second) = (present.next(), present.next());
        match (first, second) {
            (Some(kind), None) => self.get(kind),
            (None, _) => {
                r.add(
                    Draft::error(
                        "missing",
                        self.at.clone(),
                        format!(
                            "{} needs one of {}",
                            self.what,
                            listed(kinds.iter().copied())
                        ),
                    )
                    .hint("add exactly one of them"),
                );
                None
            }
            (Some(a), Some(b)) => {
                if let (Some(a), Some(b)) = (self.get(a), self.get(b)) {
                    r.add(
                        Draft::error(
                            "conflict",
                            b.key_at,
                            format!(
                                "{} has `{}` and `{}`: exactly one of {} goes",
                                self.what,
                                a.key,
                                b.key,
                                listed(kinds.iter().copied())
                            ),
                        )
                        .also(a.key_at, "the first is here"),
                    );
                }
                None
            }
        }
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
