//! `answer/…`: a question is answered by a link of a notice.
//!
//! To get the page answers nothing, whoever gets it; the form on it does. What
//! a link that does nothing is worth is said on a page too: used, late,
//! overtaken, withdrawn, or not ours. An answer that comes from a genuine link
//! and changes nothing is noted in the incident all the same.

use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::intake::whole;
use super::links::{Link, Links};
use super::protocol::{Taken, words};
use super::readings::at_hand;
use super::server::{Api, Named, soon};
use super::tokens::{Why, sha256};
use crate::guard::{Command, Event, Outcome, Snapshot};
use crate::view::answer::{Asking, STYLE, said_page};

/// Largest form, in bytes: a few words.
const MAX_FORM: usize = 4096;

/// Of a log line: what a link answers is no secret, but its last part is.
const PATH: &str = "/answer/…";

type Parts = (String, String, String, String, String);

/// What a link can do now.
enum Way {
    /// There is nothing to be had by it: a page that says so.
    Ends(Response),
    /// It is genuine; whether its question is asked, the state says.
    Goes(Arc<Links>, Link, Arc<Snapshot>),
}

/// `GET answer/INCIDENT/QUESTION/WORD/WHO/SIGNATURE`.
pub(super) async fn show(Extension(api): Extension<Api>, Named(parts): Named<Parts>) -> Response {
    let (link, snapshot) = match way(&api, &parts).await {
        Way::Ends(response) => return response,
        Way::Goes(_, link, snapshot) => (link, snapshot),
    };
    match asking(&snapshot, &link) {
        Ok(asking) => paged(StatusCode::OK, asking.page()),
        Err(why) => over(why),
    }
}

/// `POST` of the same: the answer.
pub(super) async fn take(
    Extension(api): Extension<Api>,
    Named(parts): Named<Parts>,
    request: Request,
) -> Response {
    let (links, link, _) = match way(&api, &parts).await {
        Way::Ends(response) => return response,
        Way::Goes(links, link, snapshot) => (links, link, snapshot),
    };
    let Some(by) = links.person(&link) else {
        return revoked(&api);
    };
    let (head, body) = request.into_parts();
    let reason = match reason(&head.headers, body).await {
        Ok(reason) => reason,
        Err((status, why, counted)) => {
            api.refusals().count(counted, PATH);
            let said = [why, "Nothing was answered.".to_owned()];
            return paged(status, said_page("This form cannot be read", &said));
        }
    };
    if !links.may_answer(&link.who) {
        api.refusals().count(Why::Link, PATH);
        return too_often();
    }
    let event = Event::Answered {
        incident: link.incident,
        by,
        role: None,
        approve: link.approve,
        reason,
        link: Some(link.question),
    };
    match soon(api.agent().step(event)).await {
        Ok(stepped) => {
            let notes = stepped.commands.into_iter().filter_map(|c| match c {
                Command::Note(note) if note.incident == Some(link.incident) => Some(note),
                Command::Note(_) | Command::Run(_) | Command::Cancel { .. } | Command::Tell(_) => {
                    None
                }
            });
            taken(&link, Taken::new(notes.collect(), stepped.not_durable))
        }
        Err(refusal) => {
            let (status, error) = refusal.parts();
            let said = [error, "It may have been answered or not.".to_owned()];
            paged(status, said_page("The agent did not answer", &said))
        }
    }
}

/// What came of it.
fn taken(link: &Link, taken: Taken) -> Response {
    if taken.notes.is_empty() {
        return over(Void::Gone);
    }
    let mut said = taken.said;
    said.extend(
        taken
            .not_durable
            .map(|why| format!("It is not on the disk yet, and a crash may forget it: {why}.")),
    );
    if taken.accepted {
        let headline = if link.approve { "Approved" } else { "Rejected" };
        return paged(StatusCode::OK, said_page(headline, &said));
    }
    said.push("It is noted, and changes nothing.".to_owned());
    paged(
        StatusCode::CONFLICT,
        said_page("This answer does not count", &said),
    )
}

async fn way(api: &Api, parts: &Parts) -> Way {
    let (incident, question, word, who, signature) = parts;
    let known = api.links().and_then(|links| {
        let link = links.genuine([incident, question, word, who, signature]);
        Some((links, link?))
    });
    let Some((links, link)) = known else {
        api.refusals().count(Why::Link, PATH);
        let heard = api.links().is_none_or(|links| links.may_ask());
        return Way::Ends(if heard { foreign() } else { too_often() });
    };
    if links.person(&link).is_none() {
        return Way::Ends(revoked(api));
    }
    match api.snapshot().await {
        Ok(snapshot) => Way::Goes(links, link, snapshot),
        Err(refusal) => {
            let (status, error) = refusal.parts();
            let page = said_page("The agent does not answer", &[error]);
            Way::Ends(paged(status, page))
        }
    }
}

/// Why a genuine link answers nothing.
#[derive(Clone, Copy)]
enum Void {
    /// The person has answered this very question.
    Used,
    /// The incident has gone on without this question, or asks another one.
    Asked,
    /// The incident is closed.
    Closed(Option<Outcome>),
    /// The agent does not know the incident any more.
    Gone,
}

/// What the link asks, if it is still asked.
fn asking<'a>(snapshot: &'a Snapshot, link: &'a Link) -> Result<Asking<'a>, Void> {
    let incident = at_hand(snapshot, link.incident).ok_or(Void::Gone)?;
    if incident.closed.is_some() {
        return Err(Void::Closed(incident.outcome));
    }
    let service = snapshot.services.get(&incident.service).ok_or(Void::Gone)?;
    let question = service.phase.question().ok_or(Void::Asked)?;
    if question.number != link.question {
        return Err(Void::Asked);
    }
    if link.approve && question.approvals.iter().any(|p| p.name == link.who) {
        return Err(Void::Used);
    }
    Ok(Asking {
        service,
        incident,
        question,
        host: &snapshot.host,
        approve: link.approve,
        who: &link.who,
        now: snapshot.now,
    })
}

fn over(void: Void) -> Response {
    let (headline, said) = match void {
        Void::Used => (
            "This link is used up",
            "The question is still open, and this answer to it is counted already.".to_owned(),
        ),
        Void::Asked => (
            "This is asked no more",
            "It was answered, its time is up, or the incident went on without it.".to_owned(),
        ),
        Void::Closed(outcome) => {
            let outcome = outcome.map_or_else(String::new, |outcome| {
                format!(" as {}", outcome.name().replace('_', " "))
            });
            (
                "The incident is closed",
                format!("It was closed{outcome}: there is nothing to answer any more."),
            )
        }
        Void::Gone => (
            "The incident is over",
            "The agent has forgotten it: there is nothing to answer any more.".to_owned(),
        ),
    };
    paged(StatusCode::GONE, said_page(headline, &[said]))
}

fn foreign() -> Response {
    let said = ["The agent did not make it, or its key was changed since.".to_owned()];
    paged(
        StatusCode::NOT_FOUND,
        said_page("This link is not known", &said),
    )
}

fn revoked(api: &Api) -> Response {
    api.refusals().count(Why::Link, PATH);
    let said = ["The agent's config no longer has anybody answer by it.".to_owned()];
    paged(
        StatusCode::FORBIDDEN,
        said_page("This link was taken back", &said),
    )
}

fn too_often() -> Response {
    let said = ["Nothing was looked at. Try again in a minute.".to_owned()];
    let mut response = paged(
        StatusCode::TOO_MANY_REQUESTS,
        said_page("Too many at once", &said),
    );
    let minute = header::HeaderValue::from_static("60");
    response.headers_mut().insert(header::RETRY_AFTER, minute);
    response
}

/// The words in a form, as browsers post it (HTML Living Standard,
/// *application/x-www-form-urlencoded*). Other fields are nobody's.
async fn reason(headers: &HeaderMap, body: Body) -> Result<String, (StatusCode, String, Why)> {
    let body = whole(headers, body, MAX_FORM).await;
    let body = body.map_err(|(refusal, why)| {
        let (status, error) = refusal.parts();
        (status, error, why.unwrap_or(Why::Malformed))
    })?;
    let malformed = |why: String| (StatusCode::BAD_REQUEST, why, Why::Malformed);
    let text = std::str::from_utf8(&body)
        .map_err(|_| malformed("The form is not UTF-8 text.".to_owned()))?;
    let field = text
        .split('&')
        .find_map(|field| field.trim_end().strip_prefix("reason="));
    let spaced = field.unwrap_or_default().replace('+', " ");
    let said = percent_decode_str(&spaced)
        .decode_utf8()
        .map_err(|_| malformed("The form is not UTF-8 text.".to_owned()))?;
    words(&said).map_err(|why| malformed(format!("{why}.")))
}

/// A page that nobody keeps, frames or is told of.
fn paged(status: StatusCode, page: String) -> Response {
    /// The style that is in it is the only one, and nothing else is let in.
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        format!(
            "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
            STANDARD.encode(sha256(STYLE.as_bytes()))
        )
    });
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
    ];
    (status, head, page).into_response()
}
