//! `POST services/NAME/drill`: a rehearsal, or a drill that is really run.
//!
//! It is asked for as a rollback is, by who reaches the socket. A rehearsal takes
//! as long as its checks may; the answer is its report. A drill that is executed
//! is a person's order, and is answered as one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::orders::step;
use super::protocol::{Malformed, name, parse_within, words};
use super::request::{Agent, DrillOrder, NoDrill, ScenarioText};
use super::server::{Api, Known, Named, Refusal, guarded, within};
use crate::guard::Event;
use crate::view::{DrillPoint, DrillReport};

/// Largest body, in bytes: what a scenario may have.
pub const MAX_DRILL: usize = 16 << 20;

/// How long a rehearsal may take. Each of its parts has a deadline of its own,
/// so that only a plan of many long checks comes near it.
pub const DRILL_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How long nothing may be said to whoever waits for a report: much less than
/// what a connection is given.
const BREATH: Duration = Duration::from_secs(15);

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
    /// Whether the answer is [`DrillLine`]s, one JSON object each, as they come;
    /// else it is the report alone.
    pub follow: bool,
}

/// A line of a rehearsal that is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillLine {
    /// What came of one point, as soon as that was known.
    Point(DrillPoint),
    /// The report, which is the last line.
    Report(Box<DrillReport>),
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
    let follow = order.follow;
    let order = DrillOrder {
        service,
        by,
        plan: order.plan,
        to: order.to,
        scenario: order.scenario,
    };
    rehearse(api.agent().clone(), order, follow).await
}

/// A rehearsal that goes on.
struct Rehearsing {
    points: mpsc::UnboundedReceiver<DrillPoint>,
    report: Pin<Box<dyn Future<Output = Result<Came, Refusal>> + Send>>,
}

type Came = Result<Box<DrillReport>, NoDrill>;

/// What comes next of it.
enum Next {
    Point(DrillPoint),
    Came(Result<Came, Refusal>),
    /// Nothing for a while.
    Nothing,
}

impl Rehearsing {
    async fn next(&mut self) -> Next {
        tokio::select! {
            // All points are there before the report.
            biased;
            Some(point) = self.points.recv() => Next::Point(point),
            came = &mut self.report => Next::Came(came),
            () = sleep(BREATH) => Next::Nothing,
        }
    }
}

/// Answers with what comes of it as it comes. Whatever there is to refuse comes
/// before the first point; and whoever hears nothing for long hears an empty
/// line, which is no part of JSON, because a connection that says nothing is hung
/// up on.
async fn rehearse(agent: Agent, order: DrillOrder, follow: bool) -> Result<Response, Refusal> {
    let (heard, points) = mpsc::unbounded_channel();
    let report = async move { within(DRILL_PATIENCE, agent.drill(order, heard)).await };
    let mut rehearsing = Rehearsing {
        points,
        report: Box::pin(report),
    };
    let first = loop {
        match rehearsing.next().await {
            Next::Came(came) => return Ok(Json(reported(came?)?).into_response()),
            Next::Point(point) if follow => break line(&DrillLine::Point(point)),
            Next::Point(_) => break Bytes::from_static(b"\n"),
            // What could still be refused has no status yet.
            Next::Nothing => {}
        }
    };
    let rest = stream::unfold(Some(rehearsing), move |rehearsing| async move {
        let mut rehearsing = rehearsing?;
        Some(match rehearsing.next().await {
            Next::Point(point) if follow => (Ok(line(&DrillLine::Point(point))), Some(rehearsing)),
            Next::Point(_) | Next::Nothing => (Ok(Bytes::from_static(b"\n")), Some(rehearsing)),
            Next::Came(came) => match came.and_then(reported) {
                Ok(report) if follow => (Ok(line(&DrillLine::Report(report))), None),
                Ok(report) => (Ok(line(&report)), None),
                // Too late for a status: the answer breaks off.
                Err(refusal) => (Err(io::Error::other(refusal.parts().1)), None),
            },
        })
    });
    let first = stream::once(async { Ok(first) });
    let kind = if follow {
        "application/x-ndjson"
    } else {
        "application/json"
    };
    let body = Body::from_stream(first.chain(rest));
    Ok(([(CONTENT_TYPE, kind)], body).into_response())
}

fn reported(came: Came) -> Result<Box<DrillReport>, Refusal> {
    came.map_err(|no| match no {
        NoDrill::Malformed(why) => Refusal::new(StatusCode::BAD_REQUEST, why),
        NoDrill::Refused(why) => Refusal::new(StatusCode::CONFLICT, why),
    })
}

fn line(said: &impl Serialize) -> Bytes {
    // Strings and numbers: always JSON.
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    line.into()
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
