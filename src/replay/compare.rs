//! Two policies over one recording: which fires an edit adds, removes, or moves.
//!
//! A fire of one is a fire of the other when it is of the same trigger and their
//! times overlap, each from the beginning of its hold to its end: an edit that
//! shortens a hold fires earlier, and not otherwise.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::timeline::long;
use super::{Replay, ToldEvent};
use crate::model::{Moment, Policy};
use crate::policy::difference;
use crate::view::value;

/// `replay --against --format json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The service.
    pub service: String,
    /// The first tick, RFC 3339 UTC.
    pub from: String,
    /// The last tick, RFC 3339 UTC.
    pub to: String,
    /// What changed in the policy, in a line.
    pub changed: String,
    /// How many rollbacks there would have been.
    pub rollbacks: Counted,
    /// How many fires there were.
    pub fires: Counted,
    /// Each of them, in the order of time.
    pub events: Vec<Compared>,
    #[serde(skip)]
    span: Duration,
    #[serde(skip)]
    remarks: Vec<String>,
}

/// How many there are, and what the edit did to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Under the policy that it is held against.
    pub before: u64,
    /// Under the edit.
    pub after: u64,
    /// Only under the edit.
    pub added: u64,
    /// Only under the other.
    pub removed: u64,
    /// Under both, at another time.
    pub moved: u64,
}

/// What an edit does to a fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Change {
    Added,
    Removed,
    Moved,
    Same,
}

/// A fire under one policy or both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What the edit does to it.
    pub change: Change,
    /// The trigger.
    pub trigger: String,
    /// When it fires under the edit, RFC 3339 UTC.
    pub at: Option<String>,
    /// When it fired under the other.
    pub was: Option<String>,
    /// How much later it is; negative is earlier.
    pub later_seconds: Option<f64>,
    /// What comes of it under the edit: `would_roll_back`, `would_ask`,
    /// `would_tell`, or `held`.
    pub response: Option<&'static str>,
    /// What came of it under the other.
    pub response_was: Option<&'static str>,
    /// What was found when it fired, in words.
    pub reason: String,
    #[serde(skip)]
    when: Moment,
}

/// One fire of a replay.
struct Fire<'r> {
    trigger: &'r str,
    event: &'r ToldEvent,
    /// From the beginning of its hold to its end.
    from: Moment,
    to: Moment,
    response: Option<&'static str>,
}

/// What an edit does: its replay beside that of the policy that it is held
/// against, over the same recording.
#[must_use]
pub fn compare(edit: (&Policy, &Replay), against: (&Policy, &Replay)) -> Comparison {
    let (after, before) = (fires(edit.1), fires(against.1));
    let mut matched = vec![false; before.len()];
    let mut events = Vec::new();
    for fire in &after {
        let mut others = before.iter().enumerate();
        let same = others.find(|(n, other)| !matched[*n] && fire.is(other));
        events.push(match same {
            Some((n, other)) => {
                matched[n] = true;
                compared(Some(fire), Some(other))
            }
            None => compared(Some(fire), None),
        });
    }
    let gone = before
        .iter()
        .zip(&matched)
        .filter(|(_, matched)| !**matched);
    events.extend(gone.map(|(fire, _)| compared(None, Some(fire))));
    events.sort_by_key(|event| event.when);
    let (from, to) = edit.1.span;
    let only = |replay: &Replay, other: &Replay, which: &str| {
        let own = replay.remarks.iter().filter(|r| !other.remarks.contains(r));
        own.map(|remark| format!("{which}: {remark}"))
            .collect::<Vec<_>>()
    };
    let both = edit
        .1
        .remarks
        .iter()
        .filter(|r| against.1.remarks.contains(r));
    Comparison {
        service: edit.1.told.service.clone(),
        from: edit.1.told.from.clone(),
        to: edit.1.told.to.clone(),
        changed: difference(against.0, edit.0).to_string(),
        rollbacks: counted(&events, |r| r == Some("would_roll_back")),
        fires: counted(&events, |_| true),
        span: to.since(from),
        remarks: both
            .cloned()
            .chain(only(edit.1, against.1, "the edit"))
            .chain(only(against.1, edit.1, "before"))
            .collect(),
        events,
    }
}

impl Fire<'_> {
    fn is(&self, other: &Self) -> bool {
        self.trigger == other.trigger && self.from <= other.to && other.from <= self.to
    }
}

fn fires(replay: &Replay) -> Vec<Fire<'_>> {
    let events = &replay.told.events;
    let mut all: Vec<Fire<'_>> = Vec::new();
    for event in events {
        let Some(trigger) = event.trigger.as_deref() else {
            continue;
        };
        let mut open = all.iter_mut().rev();
        let open = open.find(|fire| fire.trigger == trigger);
        match (event.event, open) {
            ("fired", _) => all.push(Fire {
                trigger,
                event,
                from: event.when - event.hold.map_or(Duration::ZERO, |hold| hold.held),
                to: end(replay, event),
                response: None,
            }),
            ("would_roll_back" | "would_ask" | "would_tell", Some(fire))
                if matches!(fire.response, None | Some("held")) =>
            {
                fire.response = Some(event.event);
            }
            ("held", Some(fire)) => fire.response = fire.response.or(Some("held")),
            _ => {}
        }
    }
    all
}

/// When a fired trigger was resolved, or fired anew.
fn end(replay: &Replay, fired: &ToldEvent) -> Moment {
    let later = replay.told.events.iter().filter(|event| {
        event.when > fired.when
            && event.trigger == fired.trigger
            && matches!(event.event, "resolved" | "fired")
    });
    later
        .map(|event| event.when)
        .next()
        .unwrap_or(replay.span.1)
}

fn compared(after: Option<&Fire<'_>>, before: Option<&Fire<'_>>) -> Compared {
    let times = after.zip(before).map(|(a, b)| (a.event.when, b.event.when));
    let later = times.map(|(a, b)| a.since(b).as_secs_f64() - b.since(a).as_secs_f64());
    let change = match (after, times) {
        (_, Some((a, b))) if a == b => Change::Same,
        (_, Some(_)) => Change::Moved,
        (Some(_), None) => Change::Added,
        (None, None) => Change::Removed,
    };
    let shown = after.or(before);
    Compared {
        change,
        trigger: shown.map_or_else(String::new, |fire| fire.trigger.to_owned()),
        at: after.map(|fire| fire.event.at.clone()),
        was: before.map(|fire| fire.event.at.clone()),
        later_seconds: later,
        response: after.and_then(|fire| fire.response),
        response_was: before.and_then(|fire| fire.response),
        reason: shown.map_or_else(String::new, |fire| fire.event.line.clone()),
        when: shown.map_or(Moment::ZERO, |fire| fire.event.when),
    }
}

fn counted(events: &[Compared], counts: impl Fn(Option<&str>) -> bool) -> Counted {
    let mut counted = Counted::default();
    for event in events {
        let after = event.at.is_some() && counts(event.response);
        let before = event.was.is_some() && counts(event.response_was);
        counted.after += u64::from(after);
        counted.before += u64::from(before);
        counted.added += u64::from(after && !before);
        counted.removed += u64::from(before && !after);
        counted.moved += u64::from(after && before && event.change == Change::Moved);
    }
    counted
}

impl Comparison {
    /// For people. Ends with a newline.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} in {}, from {} to {}\n  changed: {}\n",
            self.service,
            self.sentence(),
            long(self.span),
            self.from,
            self.to,
            self.changed
        );
        for remark in &self.remarks {
            let _ = writeln!(text, "  note: {remark}");
        }
        text.push('\n');
        if self.events.is_empty() {
            text.push_str("Neither fires.\n");
        }
        for event in &self.events {
            let _ = writeln!(text, "{}", event.line());
        }
        text
    }

    /// `this edit adds 2 rollbacks and removes 1`; and what it does to fires,
    /// where that is something else: `; of the fires it moves 3`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let rollbacks = self.rollbacks.in_words(Some("rollback"));
        if self.fires.changes() == self.rollbacks.changes() {
            return format!(
                "this edit {}",
                rollbacks.as_deref().unwrap_or("changes nothing")
            );
        }
        let rollbacks = rollbacks.as_deref().unwrap_or("changes no rollback");
        match self.fires.in_words(None) {
            Some(fires) => format!("this edit {rollbacks}; of the fires it {fires}"),
            None => format!("this edit {rollbacks}, and no fire"),
        }
    }
}

impl Counted {
    const fn changes(&self) -> (u64, u64, u64) {
        (self.added, self.removed, self.moved)
    }

    /// `adds 2 rollbacks, removes 1 and moves 1`, or without what is counted
    /// `adds 2 and moves 1`; `None` where nothing changes.
    fn in_words(&self, counted: Option<&str>) -> Option<String> {
        let all = [
            ("adds", self.added),
            ("removes", self.removed),
            ("moves", self.moved),
        ];
        let some = all.into_iter().filter(|(_, n)| *n > 0).enumerate();
        let mut parts: Vec<String> = some
            .map(|(place, (verb, n))| match (counted, place, n) {
                (Some(one), 0, 1) => format!("{verb} a {one}"),
                (Some(one), 0, n) => format!("{verb} {n} {one}s"),
                _ => format!("{verb} {n}"),
            })
            .collect();
        let last = parts.pop()?;
        Some(if parts.is_empty() {
            last
        } else {
            format!("{} and {last}", parts.join(", "))
        })
    }
}

impl Compared {
    /// `+ Sat 2026-11-14 09:00:00  high-error-rate fired: …; would roll back`.
    fn line(&self) -> String {
        let sign = match self.change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Moved => '~',
            Change::Same => '=',
        };
        let mut line = format!(
            "{sign} {} {}  {}",
            value::day(self.when, 0),
            value::clock(self.when, 0),
            self.reason
        );
        if let Some(later) = self.later_seconds.filter(|later| *later != 0.0) {
            let by = Duration::try_from_secs_f64(later.abs()).unwrap_or_default();
            let word = if later > 0.0 { "later" } else { "earlier" };
            let _ = write!(line, "; {} {word}", long(by));
        }
        let said =
            |response: Option<&str>| response.map_or("nothing".to_owned(), |r| r.replace('_', " "));
        let (now, was) = (said(self.response), said(self.response_was));
        let _ = match self.change {
            Change::Removed => write!(line, "; {was}"),
            Change::Moved | Change::Same if now != was => {
                write!(line, "; {now}, before: {was}")
            }
            Change::Added | Change::Moved | Change::Same => write!(line, "; {now}"),
        };
        line
    }
}
