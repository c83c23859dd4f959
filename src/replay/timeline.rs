//! What a replay says, for people: a line for each event under its day, with the
//! hold as far as it was filled, and a summary of each trigger.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Progress, Replay, ToldEvent, TriggerSummary};
use crate::view::value;

/// Columns of a hold.
const CELLS: usize = 10;

/// The whole replay as text. Ends with a newline.
#[must_use]
pub fn timeline(replay: &Replay) -> String {
    let mut text = head(replay);
    text.push('\n');
    let (mut day, mut counterfactual) = (String::new(), false);
    for event in &replay.told.events {
        let today = value::day(event.when, 0);
        if today != day {
            let _ = writeln!(text, "{today}");
            day = today;
        }
        if event.counterfactual && !counterfactual {
            counterfactual = true;
            text.push_str(
                "~ from here on counterfactual: it follows a rollback that the recording does not have\n",
            );
        }
        let _ = writeln!(
            text,
            "{} {}  {}  {}",
            if event.counterfactual { '~' } else { ' ' },
            value::clock(event.when, 0),
            event.hold.map_or_else(|| " ".repeat(CELLS), bar),
            said(replay, event),
        );
    }
    if replay.told.events.is_empty() {
        text.push_str("Nothing happened.\n");
    }
    text.push('\n');
    for (name, summary) in &replay.told.triggers {
        let _ = writeln!(text, "{name}: {}", summed(replay, name, *summary));
    }
    text
}

/// What was replayed, and what there is to know about it.
pub(super) fn head(replay: &Replay) -> String {
    let told = &replay.told;
    let (from, to) = replay.span;
    let mut text = format!(
        "{}: {} ticks, {}, from {} to {}\n",
        told.service,
        value::count(told.ticks as f64),
        long(to.since(from)),
        told.from,
        told.to
    );
    for remark in &replay.remarks {
        let _ = writeln!(text, "  note: {remark}");
    }
    text
}

/// An event in a line, without its time.
pub(super) fn said(replay: &Replay, event: &ToldEvent) -> String {
    let mut line = event.line.clone();
    if let (Some(gate), Some(why)) = (event.gate, event.line.strip_prefix("held: ")) {
        line = format!("held by {}: {why}", gate.replace('_', " "));
    }
    match (event.event, event.hold) {
        ("cleared", Some(Progress { held, of })) => {
            let _ = write!(line, "; after {} of {}", long(held), long(of));
        }
        ("blind", _) => line.push_str(&blind_time(replay, event)),
        _ => {}
    }
    line
}

fn blind_time(replay: &Replay, event: &ToldEvent) -> String {
    let own = |trigger: &str| event.trigger.as_deref() == Some(trigger);
    let mut all = replay.blind.iter();
    let Some(blind) = all.find(|b| own(&b.trigger) && b.from <= event.when && event.when <= b.to)
    else {
        return String::new();
    };
    let until = if blind.to == replay.span.1 {
        "to the end".to_owned()
    } else if value::day(blind.to, 0) == value::day(event.when, 0) {
        format!("until {}", value::clock(blind.to, 0))
    } else {
        format!("until {}", value::time(blind.to, 0))
    };
    format!("; blind {until}, for {}", long(blind.to.since(blind.from)))
}

/// `fired twice, 16m45s in breach, 50s blind; would roll back once; held once
/// (cooldown)`.
pub(super) fn summed(replay: &Replay, name: &str, summary: TriggerSummary) -> String {
    let fired = match summary.fired {
        0 => "never fired".to_owned(),
        n => format!("fired {}", value::times(n)),
    };
    let mut text = format!(
        "{fired}, {} in breach, {} blind",
        seconds(summary.breach_seconds),
        seconds(summary.blind_seconds)
    );
    let own = || {
        let events = replay.told.events.iter();
        events.filter(|event| event.trigger.as_deref() == Some(name))
    };
    for would in ["would_roll_back", "would_ask", "would_tell"] {
        let times = own().filter(|event| event.event == would).count() as u64;
        if times > 0 {
            let _ = write!(
                text,
                "; {} {}",
                would.replace('_', " "),
                value::times(times)
            );
        }
    }
    let mut gates: BTreeMap<&str, u64> = BTreeMap::new();
    for event in own().filter(|event| event.event == "held") {
        *gates.entry(event.gate.unwrap_or("incident")).or_default() += 1;
    }
    if !gates.is_empty() {
        let held = gates.values().sum();
        let by: Vec<_> = gates.keys().map(|gate| gate.replace('_', " ")).collect();
        let _ = write!(text, "; held {} ({})", value::times(held), by.join(", "));
    }
    text
}

fn bar(hold: Progress) -> String {
    let share = hold.held.as_secs_f64() / hold.of.as_secs_f64().max(1e-3);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of cells"
    )]
    let filled = (share.clamp(0.0, 1.0) * CELLS as f64) as usize;
    format!("{}{}", "█".repeat(filled), "·".repeat(CELLS - filled))
}

fn seconds(seconds: f64) -> String {
    long(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A span in its two largest units: `3d4h`, `16m45s`.
pub(super) fn long(span: Duration) -> String {
    let whole = span.as_secs();
    let (size, unit, part, of) = match whole {
        86_400.. => (86_400, "d", 3600, "h"),
        3600.. => (3600, "h", 60, "m"),
        60.. => (60, "m", 1, "s"),
        _ => return value::span(span),
    };
    match whole % size / part {
        0 => format!("{}{unit}", whole / size),
        rest => format!("{}{unit}{rest}{of}", whole / size),
    }
}
