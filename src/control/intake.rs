//! The one thing that is taken in over HTTP: what sources that listen are told.
//!
//! `POST services/NAME/sources/SOURCE` takes Alertmanager's webhook for an
//! `alertmanager` source and [`Push`](super::Push) for a `push` source. Over TCP
//! a token says who calls, on the socket the kernel does. Who may not is told so
//! before a byte of the body is read, and of a body no more is read than goes.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::orders::step;
use super::protocol::{Malformed, Taken, parse_push};
use super::server::{Api, Caller, Named, Refusal, guarded};
use super::tokens::{Why, holder};
use super::webhook::parse_webhook;
use crate::guard::{Event, Person, Push, flags_of, may_tell};
use crate::model::{Policy, SourceKind};

/// Largest body, in bytes: some thousand alerts.
pub const MAX_INTAKE: usize = 1 << 20;

/// `POST services/NAME/sources/SOURCE`.
pub(super) async fn take(
    Extension(api): Extension<Api>,
    Named((service, source)): Named<(String, String)>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    match taken(&api, &service, &source, request).await {
        Ok(response) => response,
        Err((refusal, why)) => {
            if let Some(why) = why {
                api.refusals().count(why, &path);
            }
            let mut response = refusal.into_response();
            if why == Some(Why::Unknown) {
                let bearer = header::HeaderValue::from_static("Bearer");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, bearer);
            }
            response
        }
    }
}

pub(super) type Refused = (Refusal, Option<Why>);

async fn taken(
    api: &Api,
    service: &str,
    source: &str,
    request: Request,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<Caller>>();
    let by = match peer.and_then(|info| info.0.peer()) {
        Some(peer) => api.person(peer).await,
        None => bearer(api, &parts.headers)?,
    };
    let plain = |refusal: Refusal| (refusal, None);
    let snapshot = api.snapshot().await.map_err(plain)?;
    let policy = &guarded(&snapshot, service).map_err(plain)?.policy;
    if policy.sources.get(source).is_none_or(|s| !s.kind.is_told()) {
        return Err(plain(no_source(policy, source)));
    }
    may_tell(policy, source, &by).map_err(|why| {
        (
            Refusal::new(StatusCode::FORBIDDEN, why),
            Some(Why::Forbidden),
        )
    })?;
    let body = whole(&parts.headers, body, MAX_INTAKE).await?;
    let malformed = |why: Malformed| (Refusal::from(why), Some(Why::Malformed));
    let posted = matches!(policy.sources[source].kind, SourceKind::Alertmanager { .. });
    let push = if posted {
        let message = parse_webhook(&body).map_err(malformed)?;
        let all = message.alerts.len();
        let mut alerts = message.alerts;
        alerts.retain(|alert| !flags_of(policy, source, &alert.labels).is_empty());
        if alerts.is_empty() {
            return Ok(nothing(all, message.truncated));
        }
        Push::Alerts {
            alerts,
            truncated: message.truncated,
        }
    } else {
        let (name, what, reason) = parse_push(&body).map_err(malformed)?;
        Push::Said { name, what, reason }
    };
    let event = Event::Pushed {
        service: service.to_owned(),
        source: source.to_owned(),
        by,
        push,
    };
    let unguarded = format!("service `{service}` is guarded no more");
    step(api, service, event, &unguarded).await.map_err(plain)
}

fn bearer(api: &Api, headers: &HeaderMap) -> Result<Person, Refused> {
    let config = api.config();
    if config.tokens.is_empty() {
        let refusal = Refusal::new(
            StatusCode::UNAUTHORIZED,
            "the agent's config has no token: nothing is taken in over HTTP",
        );
        let hint = "`backstop token NAME` makes one";
        return Err((refusal.hint(hint), Some(Why::Unknown)));
    }
    holder(headers, &config).map_err(|why| {
        (
            Refusal::new(StatusCode::UNAUTHORIZED, why),
            Some(Why::Unknown),
        )
    })
}

/// The body, which is refused by what it says of its length, or at the bound.
pub(super) async fn whole(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Refused> {
    let too_large = || {
        let error = format!("a body has at most {most} bytes");
        let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error);
        (refusal, Some(Why::TooLarge))
    };
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > most as u64) {
        return Err(too_large());
    }
    to_bytes(body, most).await.map_err(|error| {
        let cause = std::error::Error::source(&error);
        if cause.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>) {
            return too_large();
        }
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "the body did not arrive whole");
        (refusal, Some(Why::Malformed))
    })
}

/// Alerts that concern no flag are no fact of the service.
fn nothing(alerts: usize, truncated: u64) -> Response {
    let mut said = format!("none of {alerts} alerts sets a flag");
    if truncated > 0 {
        said = format!("{said}; Alertmanager left {truncated} out of its message");
    }
    Json(Taken {
        accepted: true,
        said: vec![said],
        notes: Vec::new(),
        not_durable: None,
    })
    .into_response()
}

fn no_source(policy: &Policy, source: &str) -> Refusal {
    let told = policy.sources.iter().filter(|(_, s)| s.kind.is_told());
    let told: Vec<&str> = told.map(|(name, _)| name.as_str()).collect();
    let error = format!(
        "{} has no source `{}` that is told",
        policy.service,
        super::protocol::shown(source)
    );
    let refusal = Refusal::new(StatusCode::NOT_FOUND, error);
    if told.is_empty() {
        refusal.hint("its policy has no `push` or `alertmanager` source")
    } else {
        refusal.hint(format!("there are {}", told.join(", ")))
    }
}
