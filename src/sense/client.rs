//! HTTP as the sources need it: one request at a time, on a connection of the
//! source's own.
//!
//! HTTP/1 only, because targets speak it and connections stay simple to reason
//! about. Proxies from the environment are not asked: whether a service is up
//! must not depend on who started the agent. Redirects are followed here: at
//! most three, never to another host, never from TLS to plain text.
//!
//! On `hyper`'s connections rather than on a client with a pool. A pool keeps a
//! task for each target that wakes up when the target goes away, and the buffer
//! that its largest page needed: more than 100 KB for one of 1,000 series.
//! Between two samples there is only a socket here (see `answer`).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::answer::Answer;
use super::certificates::Certificates;
use super::connect::{self, Wire};
use super::fault;
use super::resolve::Resolver;
use super::stopwatch::Stopwatch;
use crate::model::{Gap, GapKind, Tls};

/// Most redirects of one sample.
const MAX_REDIRECTS: u32 = 3;

/// Bytes of a redirect's body that are read for the sake of its connection.
const REDIRECT_BODY: usize = 64 << 10;

/// How long a connection may have been unused: longer than the usual intervals,
/// so that a target costs one connection, and shorter than most servers wait.
const IDLE: Duration = Duration::from_mins(1);

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("backstop/", env!("CARGO_PKG_VERSION")));

/// What an agent's sensors share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    certificates: Certificates,
    resolver: Resolver,
}

impl Client {
    /// A client that has read no certificates yet and asked no name server.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Host names → addresses.
    pub(super) fn resolver(&self) -> &Resolver {
        &self.shared.resolver
    }

    /// A new connection for a URL.
    async fn connect(&self, url: &Url, tls: &Tls) -> Result<Box<dyn Wire>, Gap> {
        let config = match url.scheme() {
            "https" => Some(self.shared.certificates.config(tls)?),
            _ => None,
        };
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let addresses = self.resolver().lookup(host, port).await;
        let addresses = addresses.map_err(|error| fault::gap(&error))?;
        let stream = connect::connect(addresses).await;
        let stream = stream.map_err(|error| fault::gap(&error))?;
        let Some(config) = config else {
            return Ok(Box::new(stream));
        };
        match connect::secure(stream, host, config).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => {
                let gap = fault::gap(&error);
                if gap.kind == GapKind::Tls {
                    self.shared.certificates.forget(tls);
                }
                Err(gap)
            }
        }
    }
}

/// What a source asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    pub(super) tls: Tls,
    /// Redirects of these statuses are answers rather than followed.
    pub(super) answers: Vec<u16>,
}

/// One request that is made again and again.
#[derive(Debug)]
pub(super) struct Request {
    client: Client,
    asked: Asked,
    body: Bytes,
    kept: Option<Kept>,
}

/// A connection between two requests.
#[derive(Debug)]
struct Kept {
    wire: Box<dyn Wire>,
    /// A URL of the server that it leads to.
    url: Url,
    idle: Stopwatch,
}

/// One request on its way, redirected or not.
struct Step {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    pub(super) fn new(client: &Client, mut asked: Asked) -> Self {
        let body = asked.body.take().map(Bytes::from).unwrap_or_default();
        let headers = &mut asked.headers;
        for (name, value) in [
            (ACCEPT, HeaderValue::from_static("*/*")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
            (USER_AGENT, AGENT),
        ] {
            headers.entry(name).or_insert(value);
        }
        if let Some(credentials) = credentials(&asked.url) {
            headers.entry(AUTHORIZATION).or_insert(credentials);
        }
        Self {
            client: client.clone(),
            asked,
            body,
            kept: None,
        }
    }

    /// The host that is asked.
    pub(super) fn host(&self) -> &str {
        self.asked.url.host_str().unwrap_or_default()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends it, follows redirects, and comes back with the head of the answer.
    pub(super) async fn send(&mut self) -> Result<Answer, Gap> {
        let mut step = Step {
            method: self.asked.method.clone(),
            url: self.asked.url.clone(),
            headers: self.asked.headers.clone(),
            body: self.body.clone(),
        };
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.exchange(&step).await?;
            let status = answer.status();
            let Some(to) = self.redirect(&answer)? else {
                return Ok(answer);
            };
            if !same_port(&to, &step.url) {
                for secret in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE] {
                    step.headers.remove(secret);
                }
            }
            let repeat = [
                StatusCode::TEMPORARY_REDIRECT,
                StatusCode::PERMANENT_REDIRECT,
            ];
            if !repeat.contains(&status) && step.method != Method::HEAD {
                step.method = Method::GET;
                step.body = Bytes::new();
            }
            step.url = to;
            self.skim(answer);
        }
        Err(Gap::new(
            GapKind::Redirect,
            format!("more than {MAX_REDIRECTS} redirects"),
        ))
    }

    /// Takes back the connection of an answer that was read to its end.
    pub(super) fn keep(&mut self, answer: Answer) {
        let url = answer.url().clone();
        self.kept = answer.into_wire().map(|wire| Kept {
            wire,
            url,
            idle: Stopwatch::start(),
        });
    }

    /// Reads what has come of a redirect's body, and waits for nothing: its
    /// connection is kept if that was all.
    fn skim(&mut self, mut answer: Answer) {
        let mut read = 0;
        while let Some(Ok(piece)) = answer.chunk().now_or_never() {
            match piece {
                Some(piece) => read += piece.len(),
                None => return self.keep(answer),
            }
            if read > REDIRECT_BODY {
                return;
            }
        }
    }

    /// Where an answer sends us, if it does and that is allowed.
    fn redirect(&self, answer: &Answer) -> Result<Option<Url>, Gap> {
        let status = answer.status().as_u16();
        if !matches!(status, 301 | 302 | 303 | 307 | 308) || self.asked.answers.contains(&status) {
            return Ok(None);
        }
        let refuse = |why: String| Err(Gap::new(GapKind::Redirect, why));
        let from = answer.url();
        let to = answer
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
    /// to be stale is replaced once by a fresh one. What may not be repeated is
    /// sent on a fresh one from the start.
    async fn exchange(&mut self, step: &Step) -> Result<Answer, Gap> {
        let repeatable = matches!(step.method, Method::GET | Method::HEAD);
        if let Some(kept) = self
            .kept
            .take()
            .filter(|kept| repeatable && kept.fits(step))
        {
            match Answer::to(step.request()?, &step.url, kept.wire).await {
                Err(gap) if fault::may_be_stale(&gap) => {}
                answer => return answer,
            }
        }
        let wire = self.client.connect(&step.url, &self.asked.tls).await?;
        Answer::to(step.request()?, &step.url, wire).await
    }
}

impl Kept {
    /// Whether it can be expected to take this request.
    fn fits(&self, step: &Step) -> bool {
        self.url.host_str() == step.url.host_str()
            && same_port(&self.url, &step.url)
            && self.idle.elapsed() < IDLE
            && self.wire.is_quiet()
    }
}

impl Step {
    fn request(&self) -> Result<hyper::Request<Full<Bytes>>, Gap> {
        let path = match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        };
        let port = self.url.port().map(|port| format!(":{port}"));
        let host = self.url.host_str().unwrap_or_default();
        let host = format!("{host}{}", port.unwrap_or_default());
        let mut request = hyper::Request::builder()
            .method(&self.method)
            .uri(path)
            .body(Full::new(self.body.clone()))
            .map_err(|error| self.unaskable(&error))?;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        if !headers.contains_key(HOST) {
            let host = HeaderValue::from_str(&host).map_err(|error| self.unaskable(&error))?;
            headers.insert(HOST, host);
        }
        Ok(request)
    }

    fn unaskable(&self, error: &dyn std::error::Error) -> Gap {
        let Self { url, .. } = self;
        Gap::new(
            GapKind::Other,
            format!("{url} cannot be asked for: {error}"),
        )
    }
}

fn same_port(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.port_or_known_default() == b.port_or_known_default()
}

/// The user and password of a URL, as *Basic* credentials (RFC 7617).
fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let text = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(url: &str) -> Step {
        Step {
            method: Method::GET,
            url: url.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    #[test]
    fn a_url_is_asked_for_as_rfc_9112_says() {
        for (url, uri, host) in [
            ("http://a", "/", "a"),
            ("http://a:80/m", "/m", "a"),
            ("http://a:81/m?x=1&y=%20#z", "/m?x=1&y=%20", "a:81"),
            ("https://[::1]:443/", "/", "[::1]"),
            ("http://u:p@[::1]:9/", "/", "[::1]:9"),
        ] {
            let request = step(url).request().unwrap();
            assert_eq!(request.uri(), uri, "{url}");
            assert_eq!(request.headers()[HOST], host, "{url}");
        }
    }

    #[test]
    fn credentials_of_a_url_become_a_header() {
        let of = |url: &str| credentials(&url.parse().unwrap());
        assert_eq!(of("http://a/"), None);
        // RFC 7617, section 2.
        let known = of("http://Aladdin:open%20sesame@a/").unwrap();
        assert_eq!(known, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(known.is_sensitive());
    }
}
