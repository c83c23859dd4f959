//! `expect` and `expect_none`: what must happen in a test, and what must not.

use std::time::Duration;

use super::super::fault::{Draft, Place};
use super::super::item::Item;
use super::super::keys::{Keys, LONGEST, Reader};
use super::super::show;
use super::super::signals::undefined;
use crate::model::Policy;

/// Expectations of a test, of each kind.
const MOST_EXPECTATIONS: usize = 1000;

/// The events that a replay tells, and a test may expect.
pub const EVENTS: [&str; 10] = [
    "suspecting",
    "fired",
    "cleared",
    "resolved",
    "blind",
    "would_roll_back",
    "would_ask",
    "would_tell",
    "held",
    "release",
];

/// An event that is expected, or not. What is not said matches anything; one of
/// event and trigger is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Where it stands in the file.
    pub place: Place,
    /// When, from the start of the test; always said of what must happen.
    pub at: Option<Duration>,
    /// Which; always said of what must happen.
    pub event: Option<&'static str>,
    /// Of which trigger.
    pub trigger: Option<String>,
}

/// What must happen and what must not; `None` with a fault. `end` is when the
/// series of the test end, if that is known.
pub(super) fn read(
    keys: &Keys<'_>,
    policy: Option<&Policy>,
    end: Option<Duration>,
    r: &mut Reader,
) -> (Option<Vec<Expectation>>, Option<Vec<Expectation>>) {
    let (expect, none) = (keys.get("expect"), keys.get("expect_none"));
    if !keys.has("expect") && !keys.has("expect_none") {
        r.add(
            Draft::error(
                "missing",
                keys.at.clone(),
                format!("{} expects nothing", keys.what),
            )
            .hint("add `expect = [{ at = \"15m\", event = \"fired\", trigger = \"…\" }]` or `expect_none = [\"fired\"]`"),
        );
    }
    let mut all = |item: Option<Item<'_>>, happens: bool| {
        let Some(item) = item else {
            return Some(Vec::new());
        };
        let items = item.elements(MOST_EXPECTATIONS, r)?;
        if items.is_empty() {
            let message = format!("`{}` is empty", item.key);
            r.add(
                item.fault("value", message)
                    .hint("say what, or leave it out"),
            );
        }
        let read: Vec<_> = items
            .iter()
            .filter_map(|item| one(item, happens, policy, end, r))
            .collect();
        (read.len() == items.len()).then_some(read)
    };
    (all(expect, true), all(none, false))
}

fn one(
    item: &Item<'_>,
    happens: bool,
    policy: Option<&Policy>,
    end: Option<Duration>,
    r: &mut Reader,
) -> Option<Expectation> {
    let place = r.faults.page.place(&item.at);
    let choices = EVENTS.map(|event| (event, event));
    if !happens && item.value.is_str() {
        let event = item.choice(&choices, r)?;
        return Some(Expectation {
            place,
            at: None,
            event: Some(event),
            trigger: None,
        });
    }
    let what = "an expectation".to_owned();
    let keys = item.table(what, &["at", "event", "trigger"], r)?;
    let at_item = if happens {
        keys.need("at", "\"15m\"", r)
    } else {
        keys.get("at")
    };
    let event_item = if happens {
        keys.need("event", "\"fired\"", r)
    } else {
        keys.get("event")
    };
    let trigger_item = keys.get("trigger");
    if !happens && event_item.is_none() && trigger_item.is_none() {
        let message = "this names neither an event nor a trigger";
        r.add(
            Draft::error("missing", item.at.clone(), message)
                .hint("write `{ event = \"fired\", trigger = \"…\" }`"),
        );
        return None;
    }
    let at = at_item.as_ref().map(|item| time(item, policy, end, r));
    let event = event_item.as_ref().map(|item| item.choice(&choices, r));
    let trigger = trigger_item.as_ref().map(|item| {
        let name = item.string(r)?.value;
        if let Some(policy) = policy
            && policy.triggers.iter().all(|trigger| trigger.name != name)
        {
            let names: Vec<_> = policy.triggers.iter().map(|t| t.name.clone()).collect();
            r.add(undefined("trigger", name, item, names.iter()));
            return None;
        }
        Some(name.to_owned())
    });
    if let (Some(Some("release")), Some(item)) = (event, &trigger_item) {
        let message = "a release is seen, whatever the triggers say";
        let draft = Draft::error("conflict", item.key_at.clone(), message);
        r.add(draft.hint("leave `trigger` out"));
        return None;
    }
    if happens && (at.is_none() || event.is_none()) {
        return None;
    }
    // What is not written is well; what is written and wrong has been told.
    Some(Expectation {
        place,
        at: at.map_or(Some(None), |at| at.map(Some))?,
        event: event.map_or(Some(None), |event| event.map(Some))?,
        trigger: trigger.map_or(Some(None), |trigger| trigger.map(Some))?,
    })
}

/// A time at which something is judged.
fn time(
    item: &Item<'_>,
    policy: Option<&Policy>,
    end: Option<Duration>,
    r: &mut Reader,
) -> Option<Duration> {
    let at = item.duration(Duration::ZERO..=LONGEST, r)?;
    if let Some(end) = end.filter(|end| at > *end) {
        let message = format!("the series of this test end at {}", show(end));
        r.add(
            item.fault("time", message)
                .hint("make them longer, or expect it earlier"),
        );
        return None;
    }
    let Some(interval) = policy.map(|policy| policy.interval.as_millis().max(1)) else {
        return Some(at);
    };
    if !at.as_millis().is_multiple_of(interval) {
        let before = u64::try_from(at.as_millis() / interval * interval).unwrap_or(u64::MAX);
        let before = Duration::from_millis(before);
        let next = before + policy.map(|policy| policy.interval).unwrap_or_default();
        let message = format!("nothing is judged at {}", show(at));
        r.add(item.fault("time", message).hint(format!(
            "ticks are at {} and {}",
            show(before),
            show(next)
        )));
        return None;
    }
    Some(at)
}
