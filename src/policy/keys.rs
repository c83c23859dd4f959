//! The spanned TOML tree, read by hand: every reader takes what it knows out of a
//! table, and says with a place what it does not know or cannot use.
//!
//! Serde would stop at the first fault and forget where it stood; a person who
//! mends a policy at night wants all of them, each underlined.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Draft, Faults, listed, nearest};
use super::quoted::Quoted;
use crate::judge::grammar;
use crate::model::Short;

/// The longest duration that any key takes.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a file's readers share: the faults so far, and where each key was seen.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) faults: Faults,
    /// The value's range by path (`triggers.slow.when`), for the lints, which
    /// only see checked values.
    pub(super) marks: BTreeMap<String, Range<usize>>,
}

impl Reader {
    pub(super) fn add(&mut self, draft: Draft) {
        self.faults.add(draft);
    }

    pub(super) fn inside(&self, quoted: &Quoted<'_>, offset: usize, len: usize) -> Range<usize> {
        quoted.inside(&self.faults.page.text, offset, len)
    }
}

/// A key that a later version will know, and what works until then.
pub(super) type Later = (&'static str, &'static str);

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

/// One key and its value.
#[derive(Clone, Debug)]
pub(super) struct Item<'t> {
    pub(super) key: String,
    pub(super) key_at: Range<usize>,
    pub(super) path: String,
    pub(super) value: &'t DeValue<'t>,
    pub(super) at: Range<usize>,
}

impl<'t> Keys<'t> {
    /// Opens a table and reports every key that is not known.
    pub(super) fn open(
        table: &'t DeTable<'t>,
        at: Range<usize>,
        what: String,
        path: String,
        known: &'static [&'static str],
        later: &[Later],
        r: &mut Reader,
    ) -> Self {
        for (key, value) in table {
            let (name, key_at) = (key.get_ref().as_ref(), key.span());
            r.marks.insert(join(&path, name), value.span());
            if known.contains(&name) {
                continue;
            }
            if let Some(draft) =
                unsupported(name, key_at.clone(), &format!("`{name}` in {what}"), later)
            {
                r.add(draft);
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

    /// Exactly one of these keys or of those that a later version knows, or a
    /// fault.
    pub(super) fn one_of(
        &self,
        kinds: &[&str],
        later: &[Later],
        r: &mut Reader,
    ) -> Option<Item<'t>> {
        let all = kinds
            .iter()
            .copied()
            .chain(later.iter().map(|(kind, _)| *kind));
        let mut present = all.filter(|kind| self.table.contains_key(*kind));
        let (first, second) = (present.next(), present.next());
        match (first, second) {
            (Some(kind), None) => {
                let item = self.get(kind)?;
                let subject = format!("`{kind}` in {}", self.what);
                if let Some(draft) = unsupported(kind, item.key_at.clone(), &subject, later) {
                    r.add(draft);
                    return None;
                }
                Some(item)
            }
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

impl<'t> Item<'t> {
    /// A fault of the value.
    pub(super) fn fault(&self, code: &'static str, message: impl Into<String>) -> Draft {
        Draft::error(code, self.at.clone(), message)
    }

    fn mismatch(&self, wanted: &str, r: &mut Reader) {
        r.add(
            self.fault(
                "type",
                format!("`{}` must be {wanted}, not {}", self.key, kind(self.value)),
            )
            .label(format!("expected {wanted}")),
        );
    }

    pub(super) fn string(&self, r: &mut Reader) -> Option<Quoted<'t>> {
        let value = self.value.as_str();
        if value.is_none() {
            self.mismatch("a string in quotes", r);
        }
        let quoted = Quoted {
            value: value?,
            at: self.at.clone(),
        };
        if quoted.value.trim().is_empty() {
            r.add(self.fault("value", format!("`{}` is empty", self.key)));
            return None;
        }
        if quoted.value.contains('\0') {
            r.add(self.fault("value", format!("`{}` has a NUL byte", self.key)));
            return None;
        }
        Some(quoted)
    }

    pub(super) fn duration(
        &self,
        range: RangeInclusive<Duration>,
        r: &mut Reader,
    ) -> Option<Duration> {
        if let DeValue::Integer(n) = self.value {
            r.add(
                self.fault(
                    "type",
                    format!(
                        "`{}` must be a duration in quotes, not a bare number",
                        self.key
                    ),
                )
                .hint(format!(
                    "did you mean `{} = \"{}s\"`?",
                    self.key,
                    n.as_str()
                )),
            );
            return None;
        }
        if !self.value.is_str() {
            self.mismatch("a duration in quotes, such as \"5s\"", r);
            return None;
        }
        let quoted = self.string(r)?;
        match grammar::duration_or_zero(quoted.value) {
            Ok(d) if range.contains(&d) => Some(d),
            Ok(d) => {
                let (least, most) = (Short(*range.start()), Short(*range.end()));
                r.add(
                    self.fault("duration", format!("`{}` cannot be {}", self.key, Short(d)))
                        .hint(format!("from {least} to {most} go")),
                );
                None
            }
            Err(e) => {
                let at = r.inside(&quoted, e.offset, e.len);
                let message = format!("`{}`: {}", self.key, e.message);
                r.add(Draft::error("duration", at, message).maybe_hint(e.hint));
                None
            }
        }
    }

    pub(super) fn count(&self, range: RangeInclusive<u64>, r: &mut Reader) -> Option<u64> {
        let DeValue::Integer(n) = self.value else {
            self.mismatch("a whole number", r);
            return None;
        };
        let n = u64::from_str_radix(n.as_str(), n.radix()).ok();
        let n = n.filter(|n| range.contains(n));
        if n.is_none() {
            r.add(self.fault(
                "value",
                format!(
                    "`{}` must be a whole number from {} to {}",
                    self.key,
                    range.start(),
                    range.end()
                ),
            ));
        }
        n
    }

    /// A finite number, whole or not.
    pub(super) fn number(&self, r: &mut Reader) -> Option<f64> {
        let n = match self.value {
            DeValue::Integer(n) if n.radix() == 10 => n.as_str().parse::<f64>().ok(),
            DeValue::Float(n) => n.as_str().parse::<f64>().ok(),
            _ => {
                self.mismatch("a number", r);
                return None;
            }
        };
        let n = n.filter(|n| n.is_finite());
        if n.is_none() {
            r.add(self.fault("value", format!("`{}` must be a finite number", self.key)));
        }
        n
    }

    pub(super) fn flag(&self, r: &mut Reader) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.mismatch("`true` or `false`", r);
        }
        value
    }

    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)], r: &mut Reader) -> Option<T> {
        let quoted = self.string(r)?;
        let found = choices.iter().find(|(name, _)| *name == quoted.value);
        if found.is_none() {
            let names = choices.iter().map(|(name, _)| *name);
            let hint = nearest(quoted.value, names.clone()).map_or_else(
                || format!("known are {}", listed(names)),
                |near| format!("did you mean `{near}`?"),
            );
            r.add(
                self.fault(
                    "value",
                    format!("`{}` cannot be `{}`", self.key, quoted.value),
                )
                .hint(hint),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// As [`Item::choice`], where a later version will know some more.
    pub(super) fn choice_or_later<T: Copy>(
        &self,
        choices: &[(&str, T)],
        later: &[Later],
        r: &mut Reader,
    ) -> Option<T> {
        let word = self.string(r)?.value;
        let subject = format!("`{} = \"{word}\"`", self.key);
        if let Some(draft) = unsupported(word, self.at.clone(), &subject, later) {
            r.add(draft);
            return None;
        }
        self.choice(choices, r)
    }

    /// The table below the key, its keys checked.
    pub(super) fn table(
        &self,
        what: String,
        known: &'static [&'static str],
        later: &[Later],
        r: &mut Reader,
    ) -> Option<Keys<'t>> {
        let Some(table) = self.value.as_table() else {
            self.mismatch("a table", r);
            return None;
        };
        Some(Keys::open(
            table,
            self.at.clone(),
            what,
            self.path.clone(),
            known,
            later,
            r,
        ))
    }

    /// The entries of a table whose keys are names, in the file's order, at most
    /// `most`.
    pub(super) fn named(&self, most: usize, r: &mut Reader) -> Vec<Item<'t>> {
        let Some(table) = self.value.as_table() else {
            self.mismatch("a table", r);
            return Vec::new();
        };
        let mut items = entries(table, &self.path);
        if let Some(first) = items.get(most) {
            r.add(
                Draft::error(
                    "too-many",
                    first.key_at.clone(),
                    format!("{} {}: at most {most} go", items.len(), self.key),
                )
                .label(format!("the {}th", most + 1))
                .hint("split the policy, one service each"),
            );
            items.truncate(most);
        }
        for item in &items {
            r.marks.insert(item.path.clone(), item.key_at.clone());
        }
        items
    }

    /// The elements of an array.
    pub(super) fn elements(&self, most: usize, r: &mut Reader) -> Option<Vec<Item<'t>>> {
        let Some(array) = self.value.as_array() else {
            self.mismatch("a list in brackets", r);
            return None;
        };
        if array.len() > most {
            r.add(self.fault(
                "too-many",
                format!(
                    "`{}` has {} elements: at most {most} go",
                    self.key,
                    array.len()
                ),
            ));
            return None;
        }
        Some(
            array
                .iter()
                .enumerate()
                .map(|(i, value)| Item {
                    key: self.key.clone(),
                    key_at: value.span(),
                    path: join(&self.path, &i.to_string()),
                    value: value.get_ref(),
                    at: value.span(),
                })
                .collect(),
        )
    }

    /// A list of strings, none of them empty.
    pub(super) fn strings(&self, r: &mut Reader) -> Option<Vec<Quoted<'t>>> {
        let items = self.elements(1000, r)?;
        let strings: Vec<_> = items.iter().filter_map(|item| item.string(r)).collect();
        (strings.len() == items.len()).then_some(strings)
    }
}

/// The fault of a word that only a later version knows.
fn unsupported(word: &str, at: Range<usize>, subject: &str, later: &[Later]) -> Option<Draft> {
    let (_, instead) = later.iter().find(|(known, _)| *known == word)?;
    let message = format!("{subject} is not supported by this version");
    Some(Draft::error("unsupported", at, message).hint(*instead))
}

fn entries<'t>(table: &'t DeTable<'t>, path: &str) -> Vec<Item<'t>> {
    let mut items: Vec<_> = table
        .iter()
        .map(|(key, value): (&Spanned<_>, &Spanned<DeValue<'t>>)| {
            let key_name: &str = AsRef::<str>::as_ref(key.get_ref());
            Item {
                key: key_name.to_owned(),
                key_at: key.span(),
                path: join(path, key_name),
                value: value.get_ref(),
                at: value.span(),
            }
        })
        .collect();
    items.sort_by_key(|item| item.key_at.start);
    items
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
