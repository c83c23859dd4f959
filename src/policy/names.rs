//! Names and paths: the few shapes that a key or a string may have.

use std::ops::Range;

use super::fault::Draft;
use super::item::Item;
use super::keys::Reader;
use super::quoted::Quoted;
use crate::judge::grammar::KEYWORDS;

const LONGEST_NAME: usize = 64;

/// Checks the name of a service: it goes into paths, metrics and unit names.
pub(super) fn service(quoted: &Quoted<'_>, r: &mut Reader) {
    let good = shaped(
        quoted.value,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
        "-",
    );
    if !good {
        r.add(
            Draft::error(
                "name",
                quoted.at.clone(),
                format!("`{}` cannot name a service", quoted.value),
            )
            .hint("small letters, digits and `-`, starting with a letter or digit, at most 64"),
        );
    }
}

/// Checks a key that names a trigger, a plan, a role or a notifier.
pub(super) fn name(item: &Item<'_>, r: &mut Reader) {
    let good = shaped(
        &item.key,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
        "-_",
    );
    if !good {
        r.add(
            Draft::error(
                "name",
                item.key_at.clone(),
                format!("`{}` cannot be a name", item.key),
            )
            .hint(
                "small letters, digits, `-` and `_`, starting with a letter or digit, at most 64",
            ),
        );
    }
}

/// Checks a key that names a signal or a source: conditions have to read it as a
/// word.
pub(super) fn subject(item: &Item<'_>, r: &mut Reader) {
    let at = item.key_at.clone();
    if KEYWORDS.contains(&item.key.as_str()) {
        r.add(
            Draft::error(
                "name",
                at,
                format!("`{}` is a word of the condition language", item.key),
            )
            .hint("give it another name"),
        );
    } else if !shaped(&item.key, |c| c.is_ascii_lowercase(), "-_") {
        r.add(
            Draft::error("name", at, format!("`{}` cannot be a name", item.key)).hint(
                "conditions use it: small letters, digits, `-` and `_`, starting with a letter, at most 64",
            ),
        );
    }
}

/// The name of a counter: it is selected like a metric, and no dash goes there.
pub(super) fn counter(item: &Item<'_>, r: &mut Reader) {
    if !shaped(&item.key, |c| c.is_ascii_lowercase(), "_") {
        r.add(
            Draft::error(
                "name",
                item.key_at.clone(),
                format!("`{}` cannot be a counter's name", item.key),
            )
            .hint("small letters, digits and `_`, starting with a letter, at most 64"),
        );
    }
}

/// What a source is told of. At most [`LONGEST_NAME`] bytes.
pub(super) fn told(name: &str, at: Range<usize>, r: &mut Reader) -> bool {
    let fits = shaped(name, |c| c.is_ascii_lowercase(), "-_");
    if !fits {
        r.add(
            Draft::error("name", at, format!("`{name}` cannot be told"))
                .hint("it is a name: small letters, digits, `-` and `_`, starting with a letter, at most 64"),
        );
    }
    fits
}

fn shaped(name: &str, first: impl Fn(char) -> bool, marks: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(first)
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c))
}

/// An absolute path without `..`.
pub(super) fn path(item: &Item<'_>, r: &mut Reader) -> Option<String> {
    let quoted = item.string(r)?;
    let problem = if !quoted.value.starts_with('/') {
        Some("is not an absolute path: the agent's working directory is nobody's business")
    } else if climbs(quoted.value) {
        Some("climbs with `..`")
    } else {
        None
    };
    if let Some(problem) = problem {
        r.add(item.fault("path", format!("`{}` {problem}", quoted.value)));
        return None;
    }
    Some(quoted.value.to_owned())
}

/// Whether a path has a `..` in it.
pub(super) fn climbs(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}
