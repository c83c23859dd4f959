//! Sources that are told rather than sampled, and the signals on them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::Draft;
use super::item::Item;
use super::keys::{Keys, LONGEST, Reader};
use super::signals::{gauge, selector, undefined};
use super::{names, show};
use crate::model::{Selector, Signal, SignalKind, Source, SourceKind, Unit};

pub(super) const ALERTMANAGER: &[&str] = &["type", "match", "roles"];
pub(super) const PUSH: &[&str] = &["type", "roles"];

/// Flags per `alertmanager` source; each is looked at with every alert.
const MOST_FLAGS: usize = 100;

pub(super) fn push(keys: &Keys<'_>, r: &mut Reader) -> Option<SourceKind> {
    Some(SourceKind::Push {
        roles: roles(keys, r)?,
    })
}

pub(super) fn alertmanager(keys: &Keys<'_>, r: &mut Reader) -> Option<SourceKind> {
    const EXAMPLE: &str = "{ breach = '{alertname=\"DataExposed\"}' }";
    let flags = keys.need("match", EXAMPLE, r);
    let roles = roles(keys, r);
    let flags = flags?;
    if flags.value.as_table().is_none_or(toml::map::Map::is_empty) {
        let message = "`match` must be a table of flags and the alerts that set them";
        let fault = flags.fault("type", message);
        r.add(fault.hint(format!("write `match = {EXAMPLE}`")));
        return None;
    }
    let mut matches = BTreeMap::new();
    for entry in flags.named(MOST_FLAGS, r) {
        names::told(&entry.key, entry.key_at.clone(), r);
        let Some(labels) = selector(&entry, r) else {
            continue;
        };
        if labels.name().is_some() {
            let message = format!(
                "`{}` names a metric, and alerts have only labels",
                entry.key
            );
            r.add(
                entry
                    .fault("selector", message)
                    .hint("write `{alertname=\"…\"}`"),
            );
            continue;
        }
        matches.insert(entry.key.clone(), labels);
    }
    Some(SourceKind::Alertmanager {
        matches,
        roles: roles?,
    })
}

fn roles(keys: &Keys<'_>, r: &mut Reader) -> Option<Vec<String>> {
    let Some(item) = keys.get("roles") else {
        return Some(Vec::new());
    };
    let roles = item.strings(r)?;
    if roles.is_empty() {
        r.add(
            item.fault("value", "`roles` names nobody, which lets everybody in")
                .hint("name a role of the agent config, or leave the key out"),
        );
    }
    Some(roles.iter().map(|role| role.value.to_owned()).collect())
}

/// The signal of a source that is told.
pub(super) fn signal(
    keys: &Keys<'_>,
    kind: &Item<'_>,
    source: &Source,
    r: &mut Reader,
) -> Option<(SignalKind, Unit)> {
    let of = named(kind, r)?;
    if let SourceKind::Alertmanager { matches, .. } = &source.kind
        && let Some(name) = of.name().filter(|name| !matches.contains_key(*name))
    {
        r.add(undefined("flag", name, kind, matches.keys()));
        return None;
    }
    match kind.key.as_str() {
        "flag" => {
            let ttl = match keys.get("ttl") {
                Some(item) => Some(item.duration(Duration::from_secs(1)..=LONGEST, r)?),
                None => None,
            };
            if let Some(item) = keys.get("window") {
                let message = "`window` goes with what is counted, and a flag is set or not";
                r.add(
                    Draft::error("conflict", item.key_at, message)
                        .hint("how long it stays set says `ttl`"),
                );
            }
            Some((SignalKind::Flag { of, ttl }, Unit::Flag))
        }
        "count" => Some((SignalKind::Count(of), Unit::Plain)),
        _ => Some(gauge(keys, of, r)),
    }
}

/// A name that can be told: it is selected like a metric without labels.
fn named(item: &Item<'_>, r: &mut Reader) -> Option<Selector> {
    let name = item.string(r)?;
    if !names::told(name.value, name.at.clone(), r) {
        return None;
    }
    // Quoted, because a metric's name has no dash.
    Selector::parse(&format!("{{\"{}\"}}", name.value)).ok()
}

/// Whoever tells a name says neither which source is meant nor what is made of
/// it: both must be one.
pub(super) fn agree(
    signals: &BTreeMap<String, Option<Signal>>,
    sources: &BTreeMap<String, Option<Source>>,
    r: &mut Reader,
) {
    let mut known: BTreeMap<&str, (&str, &Signal)> = BTreeMap::new();
    let read = signals.iter().filter_map(|(n, s)| Some((n, s.as_ref()?)));
    for (name, signal) in read {
        let source = sources.get(&signal.source).and_then(Option::as_ref);
        let Some(told) = source
            .filter(|s| s.kind.is_told())
            .and_then(|_| signal.told_name())
        else {
            continue;
        };
        let Some((first, other)) = known.get(told) else {
            known.insert(told, (name, signal));
            continue;
        };
        let message = if other.source == signal.source {
            match (&other.kind, &signal.kind) {
                (SignalKind::Flag { ttl: a, .. }, SignalKind::Flag { ttl: b, .. }) if a != b => {
                    let was = a.map_or_else(|| "none".to_owned(), show);
                    format!("`{told}` has a ttl already, for `{first}`: {was}")
                }
                (SignalKind::Flag { .. }, SignalKind::Flag { .. })
                | (SignalKind::Count(_), SignalKind::Count(_))
                | (SignalKind::Value { .. }, SignalKind::Value { .. }) => continue,
                _ => format!("`{told}` is something else already, for `{first}`"),
            }
        } else {
            format!(
                "`{told}` is told to `{}` already, for `{first}`: nobody could say which is meant",
                other.source
            )
        };
        let path = format!("signals.{name}");
        let at = r.marks.get(&path).cloned().unwrap_or(0..0);
        r.add(Draft::error("conflict", at, message).hint("give it a name of its own"));
    }
}
