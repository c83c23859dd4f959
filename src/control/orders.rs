//! The routes that order: a body becomes a fact, the agent steps it, and its
//! notes are the answer.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::peer::Peer;
use super::protocol::{
    Taken, parse_answer, parse_declare, parse_deploy, parse_freeze, parse_loss, parse_number,
    parse_push, parse_rollback, parse_unfreeze, shown,
};
use super::readings::{at_hand, no_incident};
use super::request::Reloaded;
use super::server::{
    Api, Known, Named, READING_PATIENCE, Refusal, guarded, soon, whole_body, within,
};
use crate::guard::{Command, Event, Freeze, Person, Push, Service, listens_to};
use crate::model::{Current, Word};

/// `POST incidents/N/WORD`.
pub(super) async fn answer(
    Extension(api): Extension<Api>,
    Known(peer): Known,
    Named((number, word)): Named<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    if word == "loss" {
        return lost(&api, peer, &number, body).await;
    }
    let incident = parse_number(&number)?;
    let said = parse_answer(&whole_body(body)?)?;
    let by = api.person(peer).await;
    if let ("ack" | "abort", Some(role)) = (word.as_str(), &said.role) {
        holds(&by, role)?;
    }
    let reason = said.reason;
    let event = match word.as_str() {
        "approve" | "reject" => Event::Answered {
            incident,
            by,
            role: said.role,
            approve: word == "approve",
            reason,
            link: None,
        },
        "ack" => Event::Acknowledged {
            incident,
            by,
            reason,
        },
        "abort" => Event::Aborted {
            incident,
            by,
            reason,
        },
        _ => return Err(unknown(&word, "approve, reject, ack, abort and loss")),
    };
    let snapshot = api.snapshot().await?;
    let Some(known) = at_hand(&snapshot, incident) else {
        return Err(no_incident(&snapshot, incident));
    };
    if known.closed.is_some() {
        let outcome = known
            .outcome
            .map_or_else(String::new, |o| format!(": {}", o.name().replace('_', " ")));
        let error = format!("incident {incident} is closed{outcome}");
        return Err(Refusal::new(StatusCode::CONFLICT, error));
    }
    let closed_meanwhile = format!("incident {incident} was closed in the meantime");
    step(&api, &known.service, event, &closed_meanwhile).await
}

/// `POST incidents/N/loss`: also of an incident that is closed, because what
/// was lost is found out later.
async fn lost(
    api: &Api,
    peer: Peer,
    number: &str,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let incident = parse_number(number)?;
    let loss = parse_loss(&whole_body(body)?)?;
    let by = api.person(peer).await;
    let snapshot = api.snapshot().await?;
    let Some(known) = at_hand(&snapshot, incident) else {
        return Err(no_incident(&snapshot, incident));
    };
    let event = Event::Counted {
        incident,
        name: loss.name,
        value: loss.value,
        by,
        reason: loss.reason,
    };
    let gone = format!("incident {incident} is no longer at hand");
    step(api, &known.service, event, &gone).await
}

/// `POST services/NAME/WORD`.
pub(super) async fn order(
    Extension(api): Extension<Api>,
    Known(peer): Known,
    Named((name, word)): Named<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = whole_body(body)?;
    let snapshot = api.snapshot().await?;
    let service = guarded(&snapshot, &name)?;
    let event = match word.as_str() {
        "rollback" => {
            let order = parse_rollback(&body)?;
            Event::Ordered {
                service: name.clone(),
                by: api.person(peer).await,
                reason: order.reason,
                to: order.to,
                plan: order.plan,
                drill: false,
            }
        }
        "freeze" => freeze(&api, peer, &name, &body).await?,
        "unfreeze" => Event::Unfroze {
            service: name.clone(),
            by: api.person(peer).await,
            reason: parse_unfreeze(&body)?.reason,
        },
        "deploy" => {
            let deploy = parse_deploy(&body)?;
            let version = deploy.version;
            let known = deployed_already(service, &version)?;
            if deploy.irreversible {
                // First, so that there is no moment at which the release runs
                // and what was before it may be gone back to.
                let by = api.person(peer).await;
                soon(api.agent().step(irreversible(&name, &version, by))).await?;
            }
            if let Some(known) = known {
                return Ok(Json(known).into_response());
            }
            Event::Released {
                service: name.clone(),
                version,
            }
        }
        "release" => {
            let said = parse_declare(&body)?;
            Event::Declared {
                service: name.clone(),
                version: said.version,
                word: said.word,
                by: api.person(peer).await,
                reason: said.reason,
            }
        }
        "push" => {
            let (told, what, reason) = parse_push(&body)?;
            let source = listens_to(&service.policy, &told)
                .map_err(|why| Refusal::new(StatusCode::CONFLICT, why))?;
            Event::Pushed {
                service: name.clone(),
                source: source.to_owned(),
                by: api.person(peer).await,
                push: Push::Said {
                    name: told,
                    what,
                    reason,
                },
            }
        }
        _ => {
            let known = "rollback, drill, freeze, unfreeze, deploy, release and push";
            return Err(unknown(&word, known));
        }
    };
    let unguarded = format!("service `{name}` is guarded no more");
    step(&api, &name, event, &unguarded).await
}

/// `POST reload`.
pub(super) async fn reload(
    Extension(api): Extension<Api>,
    Known(_): Known,
) -> Result<Json<Reloaded>, Refusal> {
    let reloaded = within(READING_PATIENCE, api.agent().reload()).await?;
    Ok(Json(reloaded))
}

fn irreversible(service: &str, version: &str, by: Person) -> Event {
    Event::Declared {
        service: service.to_owned(),
        version: version.to_owned(),
        word: Word::Irreversible,
        by,
        reason: "deployed as irreversible".to_owned(),
    }
}

async fn freeze(api: &Api, peer: Peer, name: &str, body: &[u8]) -> Result<Event, Refusal> {
    let (lease, reason, emergency) = parse_freeze(body)?;
    let owner = api.person(peer).await.name;
    let now = soon(api.agent().diagnosis()).await?.now;
    Ok(Event::Froze {
        service: name.to_owned(),
        freeze: Freeze {
            owner,
            reason,
            since: now,
            until: Some(now + lease),
            emergency,
        },
    })
}

/// The answer when the version runs already. A report that the agent's own eyes
/// would contradict at the next tick is refused.
fn deployed_already(service: &Service, version: &str) -> Result<Option<Taken>, Refusal> {
    let seen = match service.policy.release.as_ref().map(|r| &r.current) {
        Some(Current::Symlink(path)) => Some(format!("the link {path}")),
        Some(Current::File(path)) => Some(format!("the file {path}")),
        Some(Current::Metric { metric, .. }) => Some(format!("the metric {metric}")),
        Some(Current::Run(command)) => Some(format!("the command {}", command.join(" "))),
        Some(Current::Reported) | None => None,
    };
    if let Some(seen) = seen {
        let error = format!("the policy has the agent read the running release from {seen}");
        return Err(Refusal::new(StatusCode::CONFLICT, error)
            .hint("it sees a deployment by itself; reports need no `current` in `[release]`, and a migration is told with `backstop release SERVICE irreversible VERSION`"));
    }
    Ok(
        (service.releases.running.as_deref() == Some(version)).then(|| Taken {
            accepted: true,
            said: vec![format!("release {version} runs already")],
            notes: Vec::new(),
            not_durable: None,
        }),
    )
}

/// Steps an order; `nothing` is why it may have met nobody.
pub(super) async fn step(
    api: &Api,
    service: &str,
    event: Event,
    nothing: &str,
) -> Result<Response, Refusal> {
    let stepped = soon(api.agent().step(event)).await?;
    let notes: Vec<_> = stepped
        .commands
        .into_iter()
        .filter_map(|command| match command {
            // Time that passed may have brought notes of others.
            Command::Note(note) if note.service == service => Some(note),
            Command::Note(_) | Command::Run(_) | Command::Cancel { .. } | Command::Tell(_) => None,
        })
        .collect();
    if notes.is_empty() {
        return Err(Refusal::new(StatusCode::CONFLICT, nothing));
    }
    let taken = Taken::new(notes, stepped.not_durable);
    let status = if taken.accepted {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    Ok((status, Json(taken)).into_response())
}

/// Whether a claimed role is held. The guard asks the same of answers; what it
/// has no use for a role for is asked here.
fn holds(by: &Person, role: &str) -> Result<(), Refusal> {
    if by.roles.iter().any(|held| held == role) {
        return Ok(());
    }
    let error = format!("{} does not hold the role {}", by.name, shown(role));
    Err(Refusal::new(StatusCode::FORBIDDEN, error))
}

fn unknown(word: &str, known: &str) -> Refusal {
    let error = format!("there is no `{}` here", shown(word));
    Refusal::new(StatusCode::NOT_FOUND, error).hint(format!("there are {known}"))
}
