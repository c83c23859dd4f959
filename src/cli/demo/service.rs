//! The service of the demo: a small HTTP service that runs the release that
//! `current` points at when it starts.
//!
//! It knows nothing of the agent. Its fault is what its release says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Deserialize;

use super::super::{Done, Error};

/// How long a restart may take.
const RESTART: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(in super::super) struct ServiceArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Serves the current release until it is ended.
    Serve {
        /// The directory of the demo.
        #[arg(long)]
        dir: PathBuf,
        /// Where to listen on 127.0.0.1.
        #[arg(long)]
        port: u16,
    },
    /// Ends the running service and waits until its supervisor has started it
    /// again.
    Restart {
        /// The directory of the demo.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// What a release is made of.
#[derive(Debug, Deserialize)]
struct Release {
    version: String,
    /// Every how manieth checkout fails; 0 is none.
    fails_one_in: u64,
}

struct Shop {
    release: Release,
    checkouts: AtomicU64,
    failed: AtomicU64,
}

pub(super) async fn run(args: &ServiceArgs) -> Result<Done, Error> {
    match &args.what {
        What::Serve { dir, port } => serve(dir, *port).await,
        What::Restart { dir } => restart(dir).await,
    }
}

async fn serve(dir: &Path, port: u16) -> Result<Done, Error> {
    let path = dir.join("current/release.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| failed(&path, &e))?;
    let release: Release = toml::from_str(&text).map_err(|e| failed(&path, &e))?;
    let shop = Arc::new(Shop {
        release,
        checkouts: AtomicU64::new(0),
        failed: AtomicU64::new(0),
    });
    let routes = Router::new()
        .route("/checkout", get(checkout))
        .route("/health", get(|| async { "ok" }))
        .route("/metrics", get(metrics))
        .with_state(shop);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|e| failed(Path::new("127.0.0.1"), &e))?;
    let pid = dir.join("service.pid");
    std::fs::write(&pid, std::process::id().to_string()).map_err(|e| failed(&pid, &e))?;
    axum::serve(listener, routes)
        .await
        .map_err(|e| failed(Path::new("the listener"), &e))?;
    Ok(Done::Well)
}

async fn checkout(State(shop): State<Arc<Shop>>) -> impl IntoResponse {
    let n = shop.checkouts.fetch_add(1, Ordering::Relaxed) + 1;
    let one_in = shop.release.fails_one_in;
    if one_in > 0 && n.is_multiple_of(one_in) {
        shop.failed.fetch_add(1, Ordering::Relaxed);
        return (StatusCode::INTERNAL_SERVER_ERROR, "the cart is empty\n");
    }
    (StatusCode::OK, "thank you\n")
}

/// Prometheus text exposition format 0.0.4.
async fn metrics(State(shop): State<Arc<Shop>>) -> impl IntoResponse {
    let failed = shop.failed.load(Ordering::Relaxed);
    let good = shop
        .checkouts
        .load(Ordering::Relaxed)
        .saturating_sub(failed);
    let version = &shop.release.version;
    let page = format!(
        "# TYPE http_requests_total counter\n\
         http_requests_total{{code=\"200\"}} {good}\n\
         http_requests_total{{code=\"500\"}} {failed}\n\
         # TYPE app_build_info gauge\n\
         app_build_info{{version=\"{version}\"}} 1\n"
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}

async fn restart(dir: &Path) -> Result<Done, Error> {
    let path = dir.join("service.pid");
    let before = std::fs::read_to_string(&path).map_err(|e| failed(&path, &e))?;
    let pid = before
        .trim()
        .parse()
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(|| Error::failed(format!("{} has no process id", path.display())))?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        .map_err(|e| failed(&path, &e))?;
    let again = async {
        while std::fs::read_to_string(&path).is_ok_and(|now| now == before || now.is_empty()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(RESTART, again)
        .await
        .map_err(|_| Error::failed("the service did not come back"))?;
    Ok(Done::Well)
}

fn failed(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::failed(format!("{}: {error}", path.display()))
}
