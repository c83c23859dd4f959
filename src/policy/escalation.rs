//! `[[escalation]]`: who is told, and when.

use std::time::Duration;

use super::fault::Draft;
use super::item::Item;
use super::keys::{LONGEST, Reader};
use crate::model::{Level, LevelOn};

const MOST_LEVELS: usize = 100;

/// The levels in order; `None` with a fault.
pub(super) fn read(item: Option<Item<'_>>, r: &mut Reader) -> Option<Vec<Level>> {
    let Some(item) = item else {
        return Some(Vec::new());
    };
    let items = item.elements(MOST_LEVELS, r)?;
    let levels: Vec<_> = items
        .iter()
        .enumerate()
        .filter_map(|(i, item)| level(i, item, r))
        .collect();
    (levels.len() == items.len()).then_some(levels)
}

fn level(index: usize, item: &Item<'_>, r: &mut Reader) -> Option<Level> {
    let what = format!("escalation level {}", index + 1);
    let keys = item.table(what.clone(), &["after", "on", "notify", "repeat"], &[], r)?;
    let notify = keys.need("notify", "[\"slack\"]", r).and_then(|item| {
        let strings = item.strings(r)?;
        if strings.is_empty() {
            r.add(item.fault("value", format!("{what} reaches nobody")));
        }
        Some(strings.iter().map(|s| s.value.to_owned()).collect())
    });
    let on = keys.get("on");
    let after = keys.get("after");
    let on = match (on, after) {
        (Some(on), Some(after)) => {
            r.add(
                Draft::error(
                    "conflict",
                    after.key_at,
                    "a level is reached at a time or on an event, not both",
                )
                .also(on.key_at, "the event"),
            );
            None
        }
        (Some(on), None) => on.choice(&[("failed", LevelOn::Failed)], r),
        (None, Some(after)) => after
            .duration(Duration::ZERO..=LONGEST, r)
            .map(LevelOn::After),
        (None, None) if index == 0 => Some(LevelOn::After(Duration::ZERO)),
        (None, None) => {
            r.add(
                Draft::error(
                    "missing",
                    keys.at.clone(),
                    format!("{what} does not say when it is reached"),
                )
                .hint("add `after = \"5m\"` or `on = \"failed\"`"),
            );
            None
        }
    };
    let repeat = keys.duration("repeat", Duration::from_secs(1)..=LONGEST, r);
    Some(Level {
        notify: notify?,
        on: on?,
        repeat,
    })
}
