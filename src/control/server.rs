//! The routes, and what they have in common: who may call them, how long an
//! answer takes at most, and that every refusal is JSON with a reason.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::serve::IncomingStream;
use axum::{Extension, Json, Router};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::door::{Door, Window};
use super::links::Links;
use super::peer::{Accounts, Peer};
use super::protocol::{MAX_BODY, Malformed, Problem, shown};
use super::request::{Agent, Chronicle, Gone, Wanted};
use super::tokens::Refusals;
use super::{answer, drill, intake, orders, readings};
use crate::guard::{Incident, Person, Service, Snapshot};
use crate::model::Config;

/// How long the agent may take to answer. It answers between two facts; what
/// takes longer is a disk that hangs, and then the order may still be taken.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to read the policies, whose preflight looks at many
/// files, or the whole journal.
pub(super) const READING_PATIENCE: Duration = Duration::from_secs(60);

/// The API of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    agent: Agent,
    config: watch::Receiver<Arc<Config>>,
    /// One reading of the journal at a time, whoever asks for how many.
    reading: Arc<Semaphore>,
    refusals: Arc<Refusals>,
    links: Option<Arc<Links>>,
}

impl Api {
    /// The API of this agent. Who holds which role, the config says that is
    /// current when an order comes.
    #[must_use]
    pub fn new(agent: Agent, config: watch::Receiver<Arc<Config>>) -> Self {
        Self {
            agent,
            config,
            reading: Arc::new(Semaphore::new(1)),
            refusals: Arc::default(),
            links: None,
        }
    }

    /// With links by which people answer; without, none is known.
    #[must_use]
    pub fn with_links(self, links: Option<Arc<Links>>) -> Self {
        Self { links, ..self }
    }

    pub(super) fn links(&self) -> Option<Arc<Links>> {
        self.links.clone()
    }

    /// How callers were refused, for whoever counts.
    #[must_use]
    pub const fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }

    /// The config in force.
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// The routes that only read, for anybody, those by which sources are told
    /// something, for who shows a token, and the pages of links. What else writes is answered with 405 and
    /// where to go instead. More routes may be merged in.
    pub fn reading(&self) -> Router {
        let orders = Router::new()
            .route("/api/v1/incidents/{number}/{answer}", any(read_only))
            .route("/api/v1/services/{name}/{order}", any(read_only))
            .route("/api/v1/reload", any(read_only));
        let answers = Router::new()
            .route(
                "/answer/{incident}/{question}/{word}/{who}/{signature}",
                get(answer::show).post(answer::take),
            )
            .layer(Extension(self.clone()));
        bounded(
            self.readings()
                .merge(orders)
                .merge(self.intake())
                .merge(answers),
        )
        .method_not_allowed_fallback(read_only)
        .fallback(no_such_route)
    }

    /// All routes, for those whose name the socket knows.
    fn whole(&self) -> Router {
        let orders = Router::new()
            .route("/api/v1/incidents/{number}/{answer}", post(orders::answer))
            .route("/api/v1/services/{name}/{order}", post(orders::order))
            .route(
                "/api/v1/services/{name}/drill",
                post(drill::drill).layer(DefaultBodyLimit::max(drill::MAX_DRILL)),
            )
            .route("/api/v1/reload", post(orders::reload))
            .layer(Extension(self.clone()));
        bounded(self.readings().merge(orders).merge(self.intake()))
            .method_not_allowed_fallback(wrong_method)
            .fallback(no_such_route)
    }

    /// What sources are told.
    fn intake(&self) -> Router {
        Router::new()
            .route(
                "/api/v1/services/{name}/sources/{source}",
                post(intake::take),
            )
            .layer(Extension(self.clone()))
    }

    fn readings(&self) -> Router {
        Router::new()
            .route("/api/v1/status", get(readings::status))
            .route("/api/v1/services/{name}", get(readings::service))
            .route("/api/v1/services/{name}/shadow", get(readings::shadow_of))
            .route("/api/v1/shadow", get(readings::shadow))
            .route("/api/v1/incidents", get(readings::incidents))
            .route("/api/v1/incidents/{number}", get(readings::incident))
            .route("/api/v1/incidents/{number}/report", get(readings::report))
            .route(
                "/api/v1/incidents/{number}/report/html",
                get(readings::report_page),
            )
            .layer(Extension(self.clone()))
    }

    /// Serves the whole API on the socket until `stop`, and then until the
    /// requests under way are answered.
    ///
    /// # Errors
    ///
    /// When the socket fails for good.
    pub async fn serve(
        &self,
        door: Door,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let service = self.whole().into_make_service_with_connect_info::<Caller>();
        axum::serve(door, service)
            .with_graceful_shutdown(stop)
            .await
    }

    /// Serves routes, [`Api::reading`] among them, over TCP until `stop`.
    ///
    /// # Errors
    ///
    /// When the listener fails for good.
    pub async fn serve_http(
        listener: TcpListener,
        routes: Router,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(Window::new(listener), routes)
            .with_graceful_shutdown(stop)
            .await
    }

    pub(super) const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The state, or why there is none.
    pub(super) async fn snapshot(&self) -> Result<Arc<Snapshot>, Refusal> {
        within(PATIENCE, self.agent.snapshot()).await
    }

    /// What the journal has of an incident, if anything.
    pub(super) async fn chronicle(
        &self,
        incident: u64,
        samples: bool,
    ) -> Result<Chronicle, Refusal> {
        let chronicle = async {
            let _turn = self.reading.acquire().await.map_err(|_| Gone)?;
            self.agent.chronicle(incident, samples).await
        };
        let found = within(READING_PATIENCE, chronicle).await?;
        Ok(found.map(|boxed| *boxed).unwrap_or_default())
    }

    /// The last closed incidents that the journal has.
    pub(super) async fn past(&self, wanted: Wanted) -> Result<Vec<(Incident, i64)>, Refusal> {
        let past = async {
            let _turn = self.reading.acquire().await.map_err(|_| Gone)?;
            self.agent.past(wanted).await
        };
        within(READING_PATIENCE, past).await
    }

    /// Who calls, with the roles of the config in force.
    pub(super) async fn person(&self, peer: Peer) -> Person {
        let accounts = Accounts::read().await;
        accounts.person(peer, &self.config.borrow())
    }
}

/// Awaits the agent, for a while.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, Gone>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(gone)) => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            gone.to_string(),
        )),
        Err(_) => Err(Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!(
                "the agent has not answered within {} s; what was ordered may still be taken",
                patience.as_secs()
            ),
        )),
    }
}

/// Steps are awaited as long as anything else.
pub(super) async fn soon<T>(answer: impl Future<Output = Result<T, Gone>>) -> Result<T, Refusal> {
    within(PATIENCE, answer).await
}

fn bounded(routes: Router) -> Router {
    routes.layer(DefaultBodyLimit::max(MAX_BODY))
}

/// A guarded service by name, or who is guarded instead.
pub(super) fn guarded<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Service, Refusal> {
    if let Some(service) = snapshot.services.get(name) {
        return Ok(service);
    }
    let nearest = snapshot
        .services
        .keys()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, _)| *distance <= 3)
        .min();
    let hint = match nearest {
        Some((_, near)) => format!("did you mean `{near}`?"),
        None if snapshot.services.is_empty() => "no service is guarded at all".to_owned(),
        None => {
            let some: Vec<&str> = snapshot
                .services
                .keys()
                .take(8)
                .map(String::as_str)
                .collect();
            let more = if snapshot.services.len() > some.len() {
                ", …"
            } else {
                ""
            };
            format!("guarded are {}{more}", some.join(", "))
        }
    };
    let error = format!("no service `{}` is guarded", shown(name));
    Err(Refusal::new(StatusCode::NOT_FOUND, error).hint(hint))
}

/// A body, or why there is none.
pub(super) fn whole_body(
    body: Result<axum::body::Bytes, BytesRejection>,
) -> Result<axum::body::Bytes, Refusal> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body has at most {MAX_BODY} bytes"),
        ),
        status => Refusal::new(status, "the body did not arrive whole"),
    })
}

/// The process at the other end of the connection, as far as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(Option<Peer>);

impl Connected<IncomingStream<'_, Door>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(Peer::of(stream.io().stream()).ok())
    }
}

impl Caller {
    pub(super) const fn peer(self) -> Option<Peer> {
        self.0
    }
}

/// A caller that is known: what an order needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known(pub(super) Peer);

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts
            .extensions
            .get::<axum::extract::ConnectInfo<Caller>>()
            .and_then(|info| info.0.0)
            .map(Self)
            .ok_or_else(|| {
                Refusal::new(
                    StatusCode::FORBIDDEN,
                    "the socket does not say who you are: nothing is done",
                )
            })
    }
}

/// The named segments of a path, whatever bytes they were.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "the path is not UTF-8 text",
            )),
        }
    }
}

/// A request that was not put to the agent, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    problem: Problem,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem {
                error: error.into(),
                hint: None,
            },
        }
    }

    /// For a page: the status, and why in a sentence.
    pub(super) fn parts(self) -> (StatusCode, String) {
        let Problem { error, hint } = self.problem;
        let hint = hint.map_or_else(String::new, |hint| format!(": {hint}"));
        (self.status, format!("{error}{hint}"))
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::new(StatusCode::BAD_REQUEST, malformed.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}

async fn read_only() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "over HTTP everything is read-only: nobody can tell who is calling",
    )
    .hint("use the agent's socket, as the commands of `backstop` do")
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let error = format!("{} does not take {method}", shown(uri.path()));
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error)
}

async fn no_such_route(uri: Uri) -> Refusal {
    let error = format!("there is nothing at {}", shown(uri.path()));
    Refusal::new(StatusCode::NOT_FOUND, error).hint("the API begins at /api/v1/status")
}
