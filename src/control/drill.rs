//! `POST services/NAME/drill`: a rehearsal, or a drill that is really run.
//!
//! It is asked for as a rollback is, by who reaches the socket. A rehearsal takes
//! as long as its checks may; the answer is its report. A drill that is executed
//! is a person's order, and is answered as one.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::orders::step;
use super::protocol::{Malformed, name, parse_within, words};
use super::request::{DrillOrder, NoDrill, ScenarioText};
use super::server::{Api, Known, Named, Refusal, guarded, within};
use crate::guard::Event;

/// Largest body, in bytes: what a scenario may have.
pub const MAX_DRILL: usize = 16 << 20;

/// How long a rehearsal may take. Each of its parts has a deadline of its own,
/// so that only a plan of many long checks comes near it.
pub const DRILL_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A drill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drill {
    /// The plan, instead of `rollback`.
    pub plan: Option<String>,
    /// The version to go to, instead of the rule's.
    pub to: Option<String>,
    /// Whether the plan is really run.
    pub execute: bool,
    /// Why, in the person's words; may be empty.
    pub reason: String,
    /// Samples that never were, to be played to a copy of the engine.
    pub scenario: Option<ScenarioText>,
}

/// The body of a drill. It may be empty.
///
/// # Errors
///
/// [`Malformed`], also of a scenario that is to be executed.
pub fn parse_drill(body: &[u8]) -> Result<Drill, Malformed> {
    let drill: Drill = if body.trim_ascii().is_empty() {
        Drill::default()
    } else {
        parse_within(body, MAX_DRILL)?
    };
    if drill.execute && drill.scenario.is_some() {
        return Err(Malformed::new(
            "a scenario is played to a copy of the engine: it goes without `execute`",
        ));
    }
    Ok(Drill {
        plan: drill.plan.map(|p| name("plan", &p)).transpose()?,
        to: drill.to.map(|v| name("to", &v)).transpose()?,
        reason: words(&drill.reason)?,
        ..drill
    })
}

/// `POST services/NAME/drill`.
pub(super) async fn drill(
    Extension(api): Extension<Api>,
    Known(peer): Known,
    Named(service): Named<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a drill has at most {MAX_DRILL} bytes, its scenario included"),
        ),
        status => Refusal::new(status, "the body did not arrive whole"),
    })?;
    let order = parse_drill(&body)?;
    guarded(&*api.snapshot().await?, &service)?;
    let by = api.person(peer).await;
    if order.execute {
        let reason = if order.reason.is_empty() {
            "a drill".to_owned()
        } else {
            order.reason
        };
        let unguarded = format!("service `{service}` is guarded no more");
        let event = Event::Ordered {
            service: service.clone(),
            by,
            reason,
            to: order.to,
            plan: order.plan,
            drill: true,
        };
        return step(&api, &service, event, &unguarded).await;
    }
    let order = DrillOrder {
        service,
        by,
        plan: order.plan,
        to: order.to,
        scenario: order.scenario,
    };
    match within(DRILL_PATIENCE, api.agent().drill(order)).await? {
        Ok(report) => Ok(Json(report).into_response()),
        Err(NoDrill::Malformed(why)) => Err(Refusal::new(StatusCode::BAD_REQUEST, why)),
        Err(NoDrill::Refused(why)) => Err(Refusal::new(StatusCode::CONFLICT, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_needs_no_words_and_changes_nothing_unless_it_says_so() {
        for body in [&b""[..], b" \n", b"{}"] {
            assert_eq!(parse_drill(body), Ok(Drill::default()));
        }
        let body = br#"{"plan": "database", "execute": true, "reason": " quarterly\n drill "}"#;
        let drill = parse_drill(body).unwrap();
        assert!(drill.execute);
        assert_eq!(drill.reason, "quarterly drill");
        for body in [
            r#"{"plan": ""}"#,
            r#"{"plan": "a b"}"#,
            r#"{"to": "v\n1"}"#,
            r#"{"by": "root"}"#,
            r#"{"execute": "yes"}"#,
            r#"{"scenario": {"name": "x"}}"#,
            r#"{"execute": true, "scenario": {"name": "x", "text": "y"}}"#,
            "null",
            "\u{7}",
        ] {
            assert!(parse_drill(body.as_bytes()).is_err(), "{body}");
        }
    }
}
