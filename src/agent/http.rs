//! What the agent serves over HTTP to anybody: its metrics and its health. It
//! changes nothing.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::AgentError;
use super::keeper::Page;
use crate::control::{self, Api};

/// A loop that does not answer within this time does not judge either.
const PATIENCE: Duration = Duration::from_secs(2);

/// The OpenMetrics 1.0 media type.
const PAGE_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Asked {
    pages: mpsc::Sender<Page>,
    agent: control::Agent,
}

/// Listens where it should.
pub(super) async fn listen(address: &str) -> Result<TcpListener, AgentError> {
    TcpListener::bind(address)
        .await
        .map_err(|e| AgentError::system(format!("listen for HTTP on {address}"), e))
}

/// Serves until it is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    pages: mpsc::Sender<Page>,
    agent: control::Agent,
    api: Router,
) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .with_state(Asked { pages, agent })
        .merge(api);
    if let Err(error) = Api::serve_http(listener, router, std::future::pending()).await {
        tracing::error!(%error, "HTTP is no longer served");
    }
}

async fn metrics(State(asked): State<Asked>) -> impl IntoResponse {
    let (page, answer) = oneshot::channel();
    let answered = timeout(PATIENCE, async {
        asked.pages.send(page).await.ok()?;
        answer.await.ok()
    });
    match answered.await {
        Ok(Some(page)) => (StatusCode::OK, [(header::CONTENT_TYPE, PAGE_TYPE)], page),
        Ok(None) | Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::CONTENT_TYPE, "text/plain")],
            "the loop that judges does not answer\n".to_owned(),
        ),
    }
}

async fn health(State(asked): State<Asked>) -> (StatusCode, String) {
    let ailing = match timeout(PATIENCE, asked.agent.diagnosis()).await {
        Ok(Ok(diagnosis)) => diagnosis.ailing,
        Ok(Err(gone)) => Some(gone.to_string()),
        Err(_) => Some("the loop that judges does not answer".to_owned()),
    };
    match ailing {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
