//! HTTP as the sources need it: one client for plain HTTP, one more for each
//! set of certificates.
//!
//! Loading the system's root certificates takes 9 ms and a megabyte, so a host
//! that only scrapes `http://` never does it. HTTP/1 only, because targets
//! speak it and connections stay simple to reason about. Proxies from the
//! environment are off: whether a service is up must not depend on who started
//! the agent. Redirects are followed here rather than by the library: at most
//! three, never to another host, never from TLS to plain text.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, LOCATION, PROXY_AUTHORIZATION};
use reqwest::{Method, StatusCode, Url};

use super::resolve::Resolver;
use super::{SenseError, fault};
use crate::model::{Gap, GapKind, Tls};

/// Most redirects of one sample.
const MAX_REDIRECTS: u32 = 3;

/// How long an unused connection is kept: longer than the usual intervals, so
/// that a target costs one connection.
const IDLE: Duration = Duration::from_mins(1);

/// Connections to sources, shared by all of an agent's sensors. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plain: reqwest::Client,
    /// Made when first needed, and few: one for each set of certificates.
    tls: Mutex<Vec<(Tls, reqwest::Client)>>,
    resolver: Resolver,
}

impl Client {
    /// A client without connections. Installs `ring` as the process's TLS
    /// provider if none is installed yet.
    ///
    /// # Errors
    ///
    /// When the HTTP client cannot be set up at all.
    pub fn new() -> Result<Self, SenseError> {
        // Fails only when there is one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Resolver::default();
        let plain = builder(&resolver)
            .tls_certs_only([])
            .build()
            .map_err(SenseError::Client)?;
        Ok(Self {
            shared: Arc::new(Shared {
                plain,
                tls: Mutex::default(),
                resolver,
            }),
        })
    }

    /// Host names → addresses.
    pub(super) fn resolver(&self) -> &Resolver {
        &self.shared.resolver
    }

    /// The client for a URL of this scheme.
    fn of(&self, url: &Url, tls: &Tls) -> Result<reqwest::Client, Gap> {
        if url.scheme() == "http" {
            return Ok(self.shared.plain.clone());
        }
        let mut known = self.tls();
        if let Some((_, client)) = known.iter().find(|(t, _)| t == tls) {
            return Ok(client.clone());
        }
        let client = with_certificates(builder(&self.shared.resolver), tls)?;
        known.push((tls.clone(), client.clone()));
        Ok(client)
    }

    /// Forgets the client of these certificates after a TLS failure, so that
    /// certificates replaced on disk are read at the next sample.
    fn forget(&self, tls: &Tls) {
        if *tls != Tls::default() {
            self.tls().retain(|(t, _)| t != tls);
        }
    }

    fn tls(&self) -> std::sync::MutexGuard<'_, Vec<(Tls, reqwest::Client)>> {
        self.shared
            .tls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn builder(resolver: &Resolver) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("backstop/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .gzip(true)
        .no_proxy()
        .referer(false)
        .redirect(reqwest::redirect::Policy::none())
        // One idle connection a host: a retry after a stale one is then
        // certainly made on a fresh one.
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE)
        .dns_resolver(resolver.clone())
}

fn with_certificates(
    mut builder: reqwest::ClientBuilder,
    tls: &Tls,
) -> Result<reqwest::Client, Gap> {
    let read = |path: &str| {
        std::fs::read(path)
            .map_err(|error| Gap::new(GapKind::Tls, format!("cannot read {path}: {error}")))
    };
    let broken = |path: &str, error: &reqwest::Error| {
        Gap::new(
            GapKind::Tls,
            format!("{path} is no PEM that can be used: {error}"),
        )
    };
    if let Some(path) = &tls.ca {
        let roots = reqwest::Certificate::from_pem_bundle(&read(path)?)
            .map_err(|error| broken(path, &error))?;
        builder = builder.tls_certs_only(roots);
    }
    if let Some(path) = &tls.cert {
        let mut pem = read(path)?;
        if let Some(key) = &tls.key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        let identity = reqwest::Identity::from_pem(&pem).map_err(|error| broken(path, &error))?;
        builder = builder.identity(identity);
    }
    builder
        .build()
        .map_err(|error| Gap::new(GapKind::Tls, format!("TLS cannot be set up: {error}")))
}

/// One request that is made again and again.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) client: Client,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    pub(super) tls: Tls,
    /// Redirects of these statuses are answers rather than followed.
    pub(super) answers: Vec<u16>,
    /// Whether a connection may have been kept from the request before.
    pub(super) kept: bool,
}

impl Request {
    /// The host that is asked.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Sends it, follows redirects, and comes back with the head of the answer.
    pub(super) async fn send(&mut self) -> Result<reqwest::Response, Gap> {
        let mut method = self.method.clone();
        let mut url = self.url.clone();
        let mut headers = self.headers.clone();
        let mut body = self.body.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self
                .exchange(&method, &url, &headers, body.as_ref())
                .await?;
            let status = response.status();
            let Some(to) = self.redirect(&response, &url)? else {
                return Ok(response);
            };
            if to.port_or_known_default() != url.port_or_known_default()
                || to.scheme() != url.scheme()
            {
                for secret in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE] {
                    headers.remove(secret);
                }
            }
            let repeat = [
                StatusCode::TEMPORARY_REDIRECT,
                StatusCode::PERMANENT_REDIRECT,
            ];
            if !repeat.contains(&status) && method != Method::HEAD {
                method = Method::GET;
                body = None;
            }
            url = to;
        }
        Err(Gap::new(
            GapKind::Redirect,
            format!("more than {MAX_REDIRECTS} redirects"),
        ))
    }

    /// Where an answer sends us, if it does and that is allowed.
    fn redirect(&self, response: &reqwest::Response, from: &Url) -> Result<Option<Url>, Gap> {
        let status = response.status().as_u16();
        if !matches!(status, 301 | 302 | 303 | 307 | 308) || self.answers.contains(&status) {
            return Ok(None);
        }
        let refuse = |why: String| Err(Gap::new(GapKind::Redirect, why));
        let to = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| from.join(location).ok());
        let Some(to) = to else {
            return refuse(format!("status {status} without a place to go to"));
        };
        if to.host_str() != from.host_str() {
            let host = to.host_str().unwrap_or("nowhere");
            return refuse(format!("redirected to another host, {host}"));
        }
        match (from.scheme(), to.scheme()) {
            (_, "https") | ("http", "http") => Ok(Some(to)),
            (_, scheme) => refuse(format!("redirected to {scheme}://")),
        }
    }

    /// One request and the head of its answer. A kept connection that turns out
    /// to be stale is replaced once by a fresh one, where the request may be
    /// repeated.
    async fn exchange(
        &mut self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<&String>,
    ) -> Result<reqwest::Response, Gap> {
        let client = self.client.of(url, &self.tls)?;
        let request = || {
            let mut request = client
                .request(method.clone(), url.clone())
                .headers(headers.clone());
            if let Some(body) = body {
                request = request.body(body.clone());
            }
            request.send()
        };
        let repeatable = matches!(*method, Method::GET | Method::HEAD);
        let kept = std::mem::replace(&mut self.kept, false);
        let mut answer = request().await.map_err(|error| head(&error));
        if let Err(gap) = &answer
            && kept
            && repeatable
            && fault::may_be_stale(gap)
        {
            answer = request().await.map_err(|error| head(&error));
        }
        match &answer {
            Ok(_) => self.kept = true,
            Err(gap) if gap.kind == GapKind::Tls => self.client.forget(&self.tls),
            Err(_) => {}
        }
        answer
    }
}

/// A failure before the head of an answer.
fn head(error: &reqwest::Error) -> Gap {
    let gap = fault::gap(error);
    if gap.kind == GapKind::Truncated {
        return Gap::new(GapKind::Reset, "the connection closed before an answer");
    }
    gap
}

/// A failure in the body of an answer.
pub(super) fn body(error: &reqwest::Error) -> Gap {
    let gap = fault::gap(error);
    match gap.kind {
        GapKind::Other if error.is_decode() => Gap::new(
            GapKind::Malformed,
            format!("the body cannot be decompressed: {}", gap.detail),
        ),
        GapKind::Other => Gap::new(
            GapKind::Truncated,
            format!("the body broke off: {}", gap.detail),
        ),
        _ => gap,
    }
}
