//! `[[escalation]]`: who is told, and when.

use std::time::Duration;

use super::conditions::Known;
use super::fault::Draft;
use super::item::Item;
use super::keys::{LONGEST, Reader};
use super::losses;
use crate::model::{Level, LevelOn};

const MOST_LEVELS: usize = 100;

/// The levels in order; `None` with a fault.
pub(super) fn read(item: Option<Item<'_>>, known: &Known, r: &mut Reader) -> Option<Vec<Level>> {
    let Some(item) = item else {
        return Some(Vec::new());
    };
    let items = item.elements(MOST_LEVELS, r)?;
    let levels: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(i, item)| level(i, item, known, r))
        .collect();
    (levels.len() == items.len()).then_some(levels)
}

fn level(index: usize, item: &Item<'_>, known: &Known, r: &mut Reader) -> Option<Level> {
    let what = format!("escalation level {}", index + 1);
    let keys = item.table(
        what.clone(),
        &["after", "on", "when", "loss", "notify", "repeat"],
        r,
    )?;
    let notify = keys.need("notify", "[\"slack\"]", r).and_then(|item| {
        let strings = item.strings(r)?;
        if strings.is_empty() {
            r.add(item.fault("value", format!("{what} reaches nobody")));
        }
        Some(strings.iter().map(|s| s.value.to_owned()).collect())
    });
    let kinds = ["after", "on", "when", "loss"];
    let on = if kinds.iter().any(|kind| keys.has(kind)) {
        keys.one_of(&kinds, r)
            .and_then(|item| reached(&item, known, r))
    } else if index == 0 {
        Some(LevelOn::After(Duration::ZERO))
    } else {
        r.add(
            Draft::error(
                "missing",
                keys.at.clone(),
                format!("{what} does not say when it is reached"),
            )
            .hint("add `after = \"5m\"`, `on = \"failed\"` or `when = \"CONDITION\"`"),
        );
        None
    };
    let repeat = keys.duration("repeat", Duration::from_secs(1)..=LONGEST, r);
    Some(Level {
        notify: notify?,
        on: on?,
        repeat,
    })
}

/// By what a level is reached.
fn reached(item: &Item<'_>, known: &Known, r: &mut Reader) -> Option<LevelOn> {
    match item.key.as_str() {
        "after" => item
            .duration(Duration::ZERO..=LONGEST, r)
            .map(LevelOn::After),
        "on" => item.choice(&[("failed", ())], r).map(|()| LevelOn::Failed),
        "loss" => losses::bounds(item, r).map(LevelOn::Loss),
        _ => known.condition(item, r).map(LevelOn::When),
    }
}
