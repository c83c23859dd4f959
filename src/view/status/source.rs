//! What comes in: the sources, and the signals made of them.

use serde::{Deserialize, Serialize};

use super::{TEXT, number};
use crate::guard::Service;
use crate::judge::SourceHealth;
use crate::model::{GapKind, Unit};
use crate::view::note::said;
use crate::view::value;

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub source: String,
    /// Its type, as policies write it.
    pub kind: String,
    /// `up`, `down`, `undecided`, `own` (the agent's side is at fault) or
    /// `unknown` (a check that could not check); `read` or `unread` where being
    /// up is no question, as of a log; `told` where nothing is sampled.
    pub state: String,
    /// Why the last sample was not good.
    pub failure: Option<String>,
}

/// One signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalStatus {
    /// Its name.
    pub signal: String,
    /// Its value with its unit.
    pub value: Option<String>,
    /// Its value in its base unit.
    pub value_number: Option<f64>,
    /// What it rests on.
    pub evidence: Option<String>,
    /// Who said so last, where it was told and not measured.
    pub told: Option<String>,
    /// Why it has no reading.
    pub no_reading: Option<String>,
    /// Its selector has never matched a series.
    pub never_matched: bool,
}

pub(super) fn sources(service: &Service) -> Vec<SourceStatus> {
    service
        .policy
        .sources
        .iter()
        .map(|(name, source)| {
            let gap = service.judge.last_gap(name);
            let state = match (source.kind.has_health(), gap) {
                _ if source.kind.is_told() => "told",
                (true, Some(gap)) if gap.kind == GapKind::Unknown => "unknown",
                (true, _) => health(service.judge.source_up(name)),
                (false, None) => "read",
                (false, Some(_)) => "unread",
            };
            SourceStatus {
                source: name.clone(),
                kind: source.kind.name().into(),
                state: state.into(),
                failure: gap.map(|gap| value::one_line(&gap.to_string(), TEXT)),
            }
        })
        .collect()
}

pub(super) fn signals(service: &Service) -> Vec<SignalStatus> {
    let never = service.judge.never_matched();
    service
        .judge
        .signals()
        .map(|(name, reading)| {
            let unit = service
                .policy
                .signals
                .get(name)
                .map_or(Unit::Plain, |s| s.unit);
            SignalStatus {
                signal: name.to_owned(),
                value: reading.ok().map(|r| value::value(r.value, unit)),
                value_number: reading.ok().map(|r| number(r.value)),
                evidence: reading.ok().map(|r| value::evidence(&r.evidence)),
                told: service.told_of(name).map(|told| {
                    let at = value::time(told.at, service.wall_ahead_ms);
                    format!("{} at {at}", value::one_line(&said(told), TEXT))
                }),
                no_reading: reading
                    .err()
                    .map(|why| value::one_line(&why.to_string(), TEXT)),
                never_matched: never.iter().any(|(signal, _)| *signal == name),
            }
        })
        .collect()
}

pub(super) const fn health(health: SourceHealth) -> &'static str {
    match health {
        SourceHealth::Up => "up",
        SourceHealth::Down => "down",
        SourceHealth::Undecided { .. } => "undecided",
        SourceHealth::Own => "own",
    }
}
