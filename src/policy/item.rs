//! One key of a TOML tree and its value, taken for what the reader wants: a
//! string, a duration, a choice, a table, or a fault that says what it is
//! instead.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Draft, listed, nearest};
use super::keys::{Keys, Reader, join};
use super::quoted::Quoted;
use crate::judge::grammar;
use crate::model::Short;

/// One key and its value.
#[derive(Clone, Debug)]
pub(super) struct Item<'t> {
    pub(super) key: String,
    pub(super) key_at: Range<usize>,
    pub(super) path: String,
    pub(super) value: &'t DeValue<'t>,
    pub(super) at: Range<usize>,
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

    /// The table below the key, its keys checked.
    pub(super) fn table(
        &self,
        what: String,
        known: &'static [&'static str],
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
