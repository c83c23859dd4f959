//! Where a notifier's secrets are: a file, an environment variable or a systemd
//! credential has them, never the config itself.

use super::fault::{Draft, SECRET};
use super::keys::{Keys, Reader};
use super::notifier_keys::Ways;
use super::{names, requests};
use crate::model::Secret;

/// What the first of the four ways to give a value takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// It is not offered.
    No,
    Url,
    Text,
}

/// A secret that may be left out, and never stands in the file. `Some(None)` is
/// none.
#[expect(clippy::option_option, reason = "a fault, none, or a secret")]
pub(super) fn kept(keys: &Keys<'_>, ways: Ways, r: &mut Reader) -> Option<Option<Secret>> {
    if let Some(item) = keys.get(ways[0]) {
        r.add(
            Draft::error(
                SECRET,
                item.key_at,
                "a secret does not belong into a config file",
            )
            .hint(format!(
                "write `{}`, `{}` or `{}` instead",
                ways[1], ways[2], ways[3]
            )),
        );
    }
    if ways[1..].iter().any(|way| keys.has(way)) {
        secret(keys, ways, Plain::No, r).map(Some)
    } else {
        Some(None)
    }
}

/// A secret that must be there, and never stands in the file.
pub(super) fn needed(keys: &Keys<'_>, ways: Ways, r: &mut Reader) -> Option<Secret> {
    let kept = kept(keys, ways, r)?;
    if kept.is_none() && !keys.has(ways[0]) {
        // Says which keys there are.
        return secret(keys, ways, Plain::No, r);
    }
    kept
}

/// Exactly one of the four ways to give a value.
pub(super) fn secret(keys: &Keys<'_>, ways: Ways, plain: Plain, r: &mut Reader) -> Option<Secret> {
    let offered = if plain == Plain::No {
        &ways[1..]
    } else {
        &ways
    };
    let item = keys.one_of(offered, r)?;
    if item.key == ways[0] {
        let text = match plain {
            Plain::Text => item.string(r)?.value.to_owned(),
            Plain::No | Plain::Url => requests::url(&item, r)?,
        };
        return Some(Secret::Plain(text));
    }
    if item.key == ways[1] {
        return names::path(&item, r).map(Secret::File);
    }
    let text = item.string(r)?.value;
    if item.key == ways[2] {
        let good = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            let message = format!("`{text}` is not the name of an environment variable");
            r.add(item.fault("name", message));
            return None;
        }
        return Some(Secret::Env(text.to_owned()));
    }
    if text.contains('/') || text.starts_with('.') {
        let message = format!("`{text}` is not the name of a credential");
        r.add(
            item.fault("name", message)
                .hint("the name in the unit's `LoadCredential=NAME:/path`"),
        );
        return None;
    }
    Some(Secret::Credential(text.to_owned()))
}
