//! Goes on where the agent before ended: its last snapshot, and every fact
//! since, stepped again.
//!
//! What the engine orders meanwhile has been carried out already, or will be
//! ordered again by the fact that the agent started anew; so nothing runs here.
//! Notices are handed to the outbox once more, which knows those that it has.

use crate::guard::{Command, Engine, Notice, Snapshot};
use crate::journal::Recovery;
use crate::model::Moment;

/// What a start goes on from.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) engine: Engine,
    /// Notices that may not have reached the outbox.
    pub(super) notices: Vec<Notice>,
    /// What the last fact led to, with its number in the journal, if the agent
    /// ended between the record of the one and that of the other.
    pub(super) unwritten: Option<(u64, Vec<Command>)>,
    /// Facts that were stepped again.
    pub(super) stepped: u64,
    /// What is not as it was written, in words; then nothing acts.
    pub(super) damage: Option<String>,
    /// The latest moment that the journal has seen.
    pub(super) last: Option<Moment>,
}

/// Steps the journal's facts again.
pub(super) fn recover(recovery: Recovery<Snapshot>) -> Recovered {
    for torn in &recovery.torn {
        tracing::info!("{torn}");
    }
    for lost in &recovery.lost {
        tracing::warn!(from = lost.from, why = lost.why, "records were not kept");
    }
    for damage in &recovery.damage {
        tracing::error!(%damage, "the journal is damaged");
    }
    let mut engine = recovery.snapshot.map_or_else(Engine::new, Engine::restore);
    let mut notices = Vec::new();
    let mut stepped = 0;
    let mut differ = 0_u64;
    let mut unwritten = None;
    for step in recovery.steps {
        let commands = engine.step(step.at, step.event);
        stepped += 1;
        differ += u64::from(!step.commands.is_empty() && step.commands != commands);
        notices.extend(commands.iter().filter_map(|command| match command {
            Command::Tell(notice) => Some(notice.clone()),
            Command::Run(_) | Command::Cancel { .. } | Command::Note(_) => None,
        }));
        unwritten =
            (step.commands.is_empty() && !commands.is_empty()).then_some((step.seq, commands));
    }
    if differ > 0 {
        tracing::warn!(
            differ,
            "this version decides otherwise than the one that wrote the journal"
        );
    }
    let damage: Vec<String> = recovery.damage.iter().map(ToString::to_string).collect();
    Recovered {
        engine,
        notices,
        unwritten,
        stepped,
        damage: (!damage.is_empty()).then(|| damage.join("; ")),
        last: recovery.last_at,
    }
}
