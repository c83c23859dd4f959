//! A replay as one HTML file: a plot for each signal with its limit, the holds,
//! what fired and what was held, and the timeline below.

use std::collections::BTreeSet;

use super::timeline::{long, said, summed};
use super::{Curves, Replay, ToldEvent};
use crate::model::{Moment, Policy, Test};
use crate::view::report::html;
use crate::view::report::page::{Block, Line, Page, Span, code, plain};
use crate::view::report::plot::{Band, Plot, Shade};
use crate::view::value;

/// Rows of the timeline; the text has all.
const ROWS: usize = 1000;

/// The page, of a policy's replay and what its signals read meanwhile.
#[must_use]
pub fn page(policy: &Policy, replay: &Replay, curves: Curves) -> String {
    let mut page = Page::default();
    let told = &replay.told;
    page.heading(1, format!("{}: what would have happened", told.service));
    let (from, to) = replay.span;
    page.facts(vec![
        (
            "Time",
            plain(format!(
                "{}, from {} to {}",
                long(to.since(from)),
                told.from,
                told.to
            )),
        ),
        ("Ticks", plain(value::count(told.ticks as f64))),
        (
            "Policy",
            plain("in shadow: nothing was run, nobody was told"),
        ),
    ]);
    if !replay.remarks.is_empty() {
        page.list(replay.remarks.iter().map(plain).collect());
    }
    triggers(&mut page, policy, replay);
    signals(&mut page, policy, replay, curves);
    timeline(&mut page, replay);
    html::write(&page)
}

fn triggers(page: &mut Page, policy: &Policy, replay: &Replay) {
    page.heading(2, "Triggers");
    let rows = policy.triggers.iter().filter_map(|trigger| {
        let summary = replay.told.triggers.get(&trigger.name)?;
        Some(vec![
            plain(&trigger.name),
            code(&trigger.when.text),
            plain(summed(replay, &trigger.name, *summary)),
        ])
    });
    page.table(&["Trigger", "Fires when", "It"], rows.collect());
}

/// When what follows would not have been so.
fn turn(replay: &Replay) -> Option<Moment> {
    let mut events = replay.told.events.iter();
    let first = events.position(|event| event.counterfactual)?;
    let before = &replay.told.events[..first];
    let decided = before.iter().rev().find(|e| e.event == "would_roll_back");
    decided.map(|event| event.when)
}

fn signals(page: &mut Page, policy: &Policy, replay: &Replay, curves: Curves) {
    page.heading(2, "Signals");
    for curve in curves.finish() {
        let own = readers(policy, &curve.signal);
        let of_own = |event: &&ToldEvent| {
            let trigger = event.trigger.as_deref();
            trigger.is_some_and(|trigger| own.contains(trigger))
        };
        let events = replay.told.events.iter();
        let holds = events.clone().filter(of_own).filter_map(|event| {
            let hold = event.hold.filter(|hold| !hold.held.is_zero())?;
            Some(Band {
                what: Shade::Hold,
                from: event.when - hold.held,
                to: event.when,
            })
        });
        let blind = replay
            .blind
            .iter()
            .filter(|b| own.contains(b.trigger.as_str()));
        let blind = blind.map(|blind| Band {
            what: Shade::Blind,
            from: blind.from,
            to: blind.to,
        });
        let marks = events
            .filter(|event| event.event == "release" || of_own(event))
            .filter_map(|event| Some((event.when, mark(event)?)));
        page.blocks.push(Block::Plot(Plot {
            curve,
            span: replay.span,
            bands: holds.chain(blind).collect(),
            doubtful: turn(replay),
            marks: marks.collect(),
            wall_ahead_ms: 0,
        }));
    }
    page.text(
        "Shaded in colour is a hold, from the beginning of a breach to its firing or its end; in \
         grey, a time in which nothing could be judged. What is dashed follows a rollback that \
         the recording does not have: the samples are recorded, but would have been others.",
    );
}

/// The triggers whose condition reads a signal.
fn readers<'p>(policy: &'p Policy, signal: &str) -> BTreeSet<&'p str> {
    let reads = |test: &&Test| matches!(test, Test::Compare { signal: read, .. } if read == signal);
    let triggers = policy.triggers.iter();
    let reading = triggers.filter(|trigger| trigger.when.expr.tests().iter().any(reads));
    reading.map(|trigger| trigger.name.as_str()).collect()
}

/// What a plot has of an event, if anything.
fn mark(event: &ToldEvent) -> Option<String> {
    let trigger = event.trigger.as_deref().unwrap_or_default();
    Some(match event.event {
        "fired" => format!("{trigger} fired"),
        "would_roll_back" => "would roll back".to_owned(),
        "would_ask" => "would ask".to_owned(),
        "would_tell" => "would tell".to_owned(),
        "held" => format!(
            "held by {}",
            event.gate.unwrap_or("incident").replace('_', " ")
        ),
        "release" => value::one_line(&event.reason, 60),
        _ => return None,
    })
}

fn timeline(page: &mut Page, replay: &Replay) {
    page.heading(2, "Timeline");
    let events = &replay.told.events;
    if events.is_empty() {
        page.text("Nothing happened.");
        return;
    }
    let shown = &events[..events.len().min(ROWS)];
    let turn = shown.partition_point(|event| !event.counterfactual);
    let (recorded, counterfactual) = shown.split_at(turn);
    rows(page, replay, recorded);
    if !counterfactual.is_empty() {
        page.heading(3, "Counterfactual");
        page.text("All of this follows a rollback that the recording does not have.");
        rows(page, replay, counterfactual);
    }
    let left = events.len() - shown.len();
    if left > 0 {
        page.text(format!(
            "{} more events are left out here; as text, a replay has all of them.",
            value::count(left as f64)
        ));
    }
}

fn rows(page: &mut Page, replay: &Replay, events: &[ToldEvent]) {
    let hold = |event: &ToldEvent| -> Line {
        event.hold.map_or_else(Vec::new, |hold| {
            vec![Span::Plain(format!(
                "{}\u{a0}of\u{a0}{}",
                long(hold.held),
                long(hold.of)
            ))]
        })
    };
    let rows = events.iter().map(|event| {
        let at = format!(
            "{} {}",
            value::day(event.when, 0),
            value::clock(event.when, 0)
        );
        vec![plain(at), hold(event), plain(said(replay, event))]
    });
    page.table(&["At", "Hold", "What"], rows.collect());
}
