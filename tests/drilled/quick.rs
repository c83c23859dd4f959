//! A shipped policy in which time passes quicker: what takes an hour takes a
//! minute, and all that a policy says of times is as true of it as before.

use regex::{Captures, Regex};
use toml::{Table, Value as Toml};

/// How much quicker: as far as the shortest interval of a shipped policy can
/// shrink to the shortest that there may be.
const QUICKER: u64 = 50;

/// All times of a policy become a fiftieth: of sampling, of what must hold, of
/// waiting, and of what is expected and aimed at. Not the time that something may
/// take at most, which a busy machine needs; and the next drill waits for no
/// release to settle, nor for quiet after the one before.
pub(crate) fn quicken(policy: &mut Table) {
    for (_, source) in table(policy, "sources") {
        // Its default is the interval, which would else be shorter.
        source.as_table_mut().unwrap().remove("timeout");
    }
    for (_, signal) in table(policy, "signals") {
        let signal = signal.as_table_mut().unwrap();
        if ["ratio", "quantile", "value"]
            .iter()
            .any(|kind| signal.contains_key(*kind))
        {
            signal.entry("window").or_insert("1m".into());
        }
    }
    table(policy, "release").insert("settle".to_owned(), "0s".into());
    for (_, plan) in table(policy, "plans") {
        table(plan.as_table_mut().unwrap(), "verify").insert("watch".to_owned(), "0s".into());
    }
    let time = Regex::new(r"^(?P<for>)(?P<n>\d+)(?P<unit>[smh])$").unwrap();
    let hold = Regex::new(r"\b(?P<for>for )(?P<n>\d+)(?P<unit>[smh])\b").unwrap();
    let range = Regex::new(r"(?P<for>\[)(?P<n>\d+)(?P<unit>[smh])").unwrap();
    each_text(policy, &mut |key, text| {
        let times = match key {
            "query" => &range,
            "interval" | "window" | "wait" | "expect" | "goal" => &time,
            _ => &hold,
        };
        *text = times.replace_all(text, quicker).into_owned();
    });
}

/// A fiftieth of a time that was found.
fn quicker(found: &Captures<'_>) -> String {
    let unit = match &found["unit"] {
        "s" => 1000,
        "m" => 60_000,
        _ => 3_600_000,
    };
    let ms = found["n"].parse::<u64>().unwrap() * unit / QUICKER;
    format!("{}{ms}ms", &found["for"])
}

/// A table in a table, empty if it is not there.
fn table<'a>(of: &'a mut Table, name: &str) -> &'a mut Table {
    let part = of.entry(name).or_insert(Toml::Table(Table::new()));
    part.as_table_mut().unwrap()
}

/// Changes every text of a policy, by the key that it is nearest to.
pub(crate) fn each_text(policy: &mut Table, change: &mut impl FnMut(&str, &mut String)) {
    fn visit(key: &str, value: &mut Toml, change: &mut impl FnMut(&str, &mut String)) {
        match value {
            Toml::String(text) => change(key, text),
            Toml::Array(all) => all.iter_mut().for_each(|value| visit(key, value, change)),
            Toml::Table(table) => {
                for (key, value) in table.iter_mut() {
                    visit(key, value, change);
                }
            }
            _ => {}
        }
    }
    for (key, value) in policy.iter_mut() {
        visit(key, value, change);
    }
}
