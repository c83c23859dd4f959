//! The scenario of a drill, played to a copy of the engine, away from the loop
//! that judges.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::control::{NoDrill, ScenarioText};
use crate::guard::{Engine, Rehearsal};
use crate::replay::{Played, Scenario, Unplayable};
use crate::view::{ScenarioEvent, ScenarioReport};

/// Plays a scenario to a copy of the engine, away from the loop that judges.
pub(super) async fn play(
    rehearsal: &Rehearsal,
    scenario: ScenarioText,
    understudy: Engine,
) -> Result<Vec<ScenarioReport>, NoDrill> {
    let policy = Arc::clone(&rehearsal.policy);
    let played = spawn_blocking(move || {
        let ScenarioText { name, text } = scenario;
        let scenario = Scenario::read(&policy, &name, &text)?;
        Ok(scenario.play(&understudy, &policy.service, &name))
    });
    let played = played
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let played = played
        .map_err(|why: Unplayable| NoDrill::Malformed(why.to_string().trim_end().to_owned()))?;
    Ok(played.into_iter().map(reported).collect())
}

fn reported(played: Played) -> ScenarioReport {
    let events = played.happened.into_iter().map(|event| ScenarioEvent {
        at: event.at,
        event: event.event.to_owned(),
        trigger: event.trigger,
        text: event.line,
    });
    let differences = played.differences.into_iter().map(|difference| {
        format!(
            "line {}: {}: {}",
            difference.line, difference.expected, difference.instead
        )
    });
    ScenarioReport {
        name: played.name,
        passed: played.passed,
        judged: format!("{} ticks", played.ticks),
        events: events.collect(),
        differences: differences.collect(),
        remarks: played.remarks,
    }
}
