//! `data_loss` of a plan: programs that count what was lost, after its steps.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::Draft;
use super::item::Item;
use super::keys::Reader;
use super::steps::argv;
use crate::model::{Measure, PLACEHOLDERS, Step, StepAction};

const MOST: usize = 10;
/// Verification waits for them: a query that takes longer belongs elsewhere.
const LONGEST: Duration = Duration::from_mins(5);
const DEFAULT: Duration = Duration::from_secs(30);

/// The queries as steps that always run, last, and break nothing.
pub(super) fn read(item: &Item<'_>, releases: bool, r: &mut Reader) -> Option<Vec<Step>> {
    let items = item.elements(MOST, r)?;
    let mut seen: Vec<String> = Vec::new();
    let mut queries = Vec::new();
    for item in &items {
        let Some((query, name)) = query(item, releases, r) else {
            continue;
        };
        if seen.contains(&name) {
            let message = format!("`{name}` is counted twice");
            r.add(Draft::error("conflict", item.at.clone(), message));
        }
        seen.push(name);
        queries.push(query);
    }
    (queries.len() == items.len()).then_some(queries)
}

fn query(item: &Item<'_>, releases: bool, r: &mut Reader) -> Option<(Step, String)> {
    let keys = item.table(
        "a query of `data_loss`".into(),
        &["name", "run", "unit", "timeout"],
        r,
    )?;
    let name = keys
        .need("name", "\"orders\"", r)
        .and_then(|item| name(&item, r));
    let allowed: Vec<&str> = PLACEHOLDERS
        .into_iter()
        .filter(|p| releases || !matches!(*p, "current" | "target"))
        .collect();
    let run = keys
        .need("run", "[\"psql\", \"-Atc\", \"SELECT count(*) …\"]", r)
        .and_then(|item| argv(&item, &allowed, r));
    let unit = keys.string("unit", r).unwrap_or_default();
    let timeout = keys.duration("timeout", Duration::from_millis(100)..=LONGEST, r);
    let name = name?;
    let step = Step {
        name: format!("count lost {name}"),
        action: StepAction::Run(run?),
        timeout: timeout.unwrap_or(DEFAULT),
        retries: 0,
        continue_on_failure: true,
        always: true,
        idempotent: true,
        approve: None,
        measures: Some(Measure {
            name: name.clone(),
            unit,
        }),
    };
    Some((step, name))
}

/// What is counted: one word, as people type it.
fn name(item: &Item<'_>, r: &mut Reader) -> Option<String> {
    let name = item.string(r)?.value;
    if name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    {
        return Some(name.to_owned());
    }
    let message = format!("`{name}` cannot be counted under that name");
    r.add(
        item.fault("name", message)
            .hint("letters, digits, _ and - go"),
    );
    None
}

/// `loss = { orders = 100 }` of a level of escalation.
pub(super) fn bounds(item: &Item<'_>, r: &mut Reader) -> Option<BTreeMap<String, f64>> {
    let items = item.named(MOST, r);
    let mut bounds = BTreeMap::new();
    for item in &items {
        let bound = item.number(r)?;
        if bound < 0.0 {
            r.add(item.fault("value", "nothing is ever lost less than not at all"));
            return None;
        }
        bounds.insert(item.key.clone(), bound);
    }
    if bounds.is_empty() {
        r.add(
            item.fault("value", "no bound is given")
                .hint("write `loss = { orders = 100 }`"),
        );
        return None;
    }
    Some(bounds)
}
