//! The routes that read: the state as `view` tells it.

use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use super::protocol::{parse_number, parse_period};
use super::request::{Chronicle, Diagnosis, Wanted};
use super::server::{Api, Named, Refusal, guarded, soon};
use crate::guard::{Incident, Snapshot};
use crate::model::{Moment, Policy};
use crate::view::incidents::{IncidentLine, IncidentView, lines, list};
use crate::view::ledger::LedgerView;
use crate::view::status::AgentStatus;
use crate::view::{Report, Status, value};

pub(super) async fn status(Extension(api): Extension<Api>) -> Result<Json<Status>, Refusal> {
    let diagnosis = soon(api.agent().diagnosis()).await?;
    let snapshot = api.snapshot().await?;
    Ok(Json(Status::new(
        &snapshot,
        None,
        Some(of_agent(diagnosis)),
    )))
}

pub(super) async fn service(
    Extension(api): Extension<Api>,
    Named(name): Named<String>,
) -> Result<Json<Status>, Refusal> {
    let diagnosis = soon(api.agent().diagnosis()).await?;
    let snapshot = api.snapshot().await?;
    guarded(&snapshot, &name)?;
    let agent = Some(of_agent(diagnosis));
    Ok(Json(Status::new(&snapshot, Some(&name), agent)))
}

/// What the triggers in shadow would have done.
pub(super) async fn shadow(
    Extension(api): Extension<Api>,
) -> Result<Json<Vec<LedgerView>>, Refusal> {
    let snapshot = api.snapshot().await?;
    Ok(Json(LedgerView::of(&snapshot, None)))
}

pub(super) async fn shadow_of(
    Extension(api): Extension<Api>,
    Named(name): Named<String>,
) -> Result<Json<Vec<LedgerView>>, Refusal> {
    let snapshot = api.snapshot().await?;
    guarded(&snapshot, &name)?;
    Ok(Json(LedgerView::of(&snapshot, Some(&name))))
}

fn of_agent(diagnosis: Diagnosis) -> AgentStatus {
    let time = |at| value::time(at, diagnosis.wall_ahead_ms);
    AgentStatus {
        version: diagnosis.version,
        started: time(diagnosis.started),
        reloaded: time(diagnosis.reloaded_at),
        refused: diagnosis.reloaded.refused,
        preflight: diagnosis.reloaded.preflight,
        restart: diagnosis.reloaded.restart,
        journal_broken: diagnosis.journal_broken,
    }
}

/// What the list may be narrowed by.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Narrowed {
    service: Option<String>,
    /// A page of all that the journal has, from the number below this on down.
    before: Option<u64>,
    /// How long ago one was closed at most.
    within: Option<String>,
}

/// Incidents on a page of the list.
pub(super) const PAGE: usize = 100;

pub(super) async fn incidents(
    Extension(api): Extension<Api>,
    narrowed: Result<Query<Narrowed>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<IncidentLine>>, Refusal> {
    let Query(narrowed) = narrowed.map_err(|_| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "the list takes `service=NAME`, `before=N` and `within=7d`, and nothing else",
        )
    })?;
    let within = narrowed.within.as_deref().map(parse_period).transpose()?;
    let snapshot = api.snapshot().await?;
    let Some(before) = narrowed.before else {
        if let Some(name) = &narrowed.service {
            guarded(&snapshot, name)?;
        }
        return Ok(Json(list(&snapshot, narrowed.service.as_deref())));
    };
    let wanted = Wanted {
        before,
        service: narrowed.service,
        since: within.map_or(Moment::ZERO, |within| snapshot.now - within),
        most: PAGE,
    };
    let recalled = api.past(wanted.clone()).await?;
    let mut all = at_hand_all(&snapshot);
    all.retain(|(incident, _)| wanted.has(incident));
    let known: Vec<u64> = all.iter().map(|(incident, _)| incident.number).collect();
    let unknown = recalled.iter().filter(|(i, _)| !known.contains(&i.number));
    all.extend(unknown.map(|(incident, ahead)| (incident, *ahead)));
    let mut lines = lines(all, snapshot.now);
    lines.truncate(PAGE);
    Ok(Json(lines))
}

/// The incidents that the state has, each with how far the wall clock is ahead.
fn at_hand_all(snapshot: &Snapshot) -> Vec<(&Incident, i64)> {
    let services = snapshot.services.values();
    let all = services.flat_map(|s| {
        let all = s.closed.iter().chain(s.incident.as_ref());
        all.map(|incident| (incident, s.wall_ahead_ms))
    });
    all.collect()
}

pub(super) async fn incident(
    Extension(api): Extension<Api>,
    Named(number): Named<String>,
) -> Result<Json<IncidentView>, Refusal> {
    let found = find(&api, &number, false).await?;
    let notes = found.chronicle.notes.as_slice();
    Ok(Json(IncidentView::new(
        &found.incident,
        Some(notes).filter(|n| !n.is_empty()),
        found.snapshot.now,
        found.wall_ahead_ms,
    )))
}

pub(super) async fn report(
    Extension(api): Extension<Api>,
    Named(number): Named<String>,
) -> Result<Response, Refusal> {
    let found = find(&api, &number, true).await?;
    let head = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Ok((head, found.report().markdown()).into_response())
}

pub(super) async fn report_page(
    Extension(api): Extension<Api>,
    Named(number): Named<String>,
) -> Result<Response, Refusal> {
    let found = find(&api, &number, true).await?;
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // It has nothing but its own style; should anything slip in, it is dead.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
    ];
    Ok((head, found.report().html()).into_response())
}

/// An incident, and what there is to tell about it.
struct Found {
    incident: Incident,
    chronicle: Chronicle,
    snapshot: std::sync::Arc<Snapshot>,
    wall_ahead_ms: i64,
}

impl Found {
    fn report(&self) -> Report<'_> {
        let notes = self.chronicle.notes.as_slice();
        Report {
            incident: &self.incident,
            notes: Some(notes).filter(|n| !n.is_empty()),
            steps: &self.chronicle.steps,
            signals: self.chronicle.signals.as_ref(),
            policy: self.policy(),
            host: &self.snapshot.host,
            now: self.snapshot.now,
            wall_ahead_ms: self.wall_ahead_ms,
        }
    }

    fn policy(&self) -> Option<&Policy> {
        let service = self.snapshot.services.get(&self.incident.service);
        let then = self.chronicle.policy.as_ref();
        then.or(service.map(|s| &s.policy)).map(AsRef::as_ref)
    }
}

/// From the state, or else from the journal.
async fn find(api: &Api, number: &str, samples: bool) -> Result<Found, Refusal> {
    let number = parse_number(number)?;
    let snapshot = api.snapshot().await?;
    let at_hand = at_hand(&snapshot, number).cloned();
    if number > snapshot.last_incident {
        return Err(no_incident(&snapshot, number));
    }
    let chronicle = api.chronicle(number, samples).await?;
    let Some(incident) = at_hand.or_else(|| chronicle.incident.clone()) else {
        return Err(no_incident(&snapshot, number));
    };
    let service = snapshot.services.get(&incident.service);
    let wall_ahead_ms = chronicle
        .wall_ahead_ms
        .or(service.map(|s| s.wall_ahead_ms))
        .unwrap_or_default();
    Ok(Found {
        incident,
        chronicle,
        snapshot,
        wall_ahead_ms,
    })
}

/// An open incident, or one of the closed ones that the state still has.
pub(super) fn at_hand(snapshot: &Snapshot, number: u64) -> Option<&Incident> {
    let guarded = snapshot
        .services
        .values()
        .flat_map(|s| s.incident.iter().chain(&s.closed));
    let retired = snapshot.retired.values().flat_map(|r| &r.closed);
    guarded.chain(retired).find(|i| i.number == number)
}

pub(super) fn no_incident(snapshot: &Snapshot, number: u64) -> Refusal {
    let error = format!("there is no incident {number}");
    let hint = match snapshot.last_incident {
        0 => "there has been none yet".to_owned(),
        last if number > last => format!("the last one is {last}"),
        _ => "it is too old: the journal does not have its opening any more".to_owned(),
    };
    Refusal::new(StatusCode::NOT_FOUND, error).hint(hint)
}
