//! A step that is one HTTP request, and what its answer has to be.
//!
//! For what has an API instead of a command: a CDN's settings, the webhook of a
//! payment provider, the workflow of a pipeline. It is made once, on a fresh
//! connection; repeating it is the plan's decision (`retries`, `idempotent`),
//! because a request whose answer was lost may have been obeyed.
//!
//! It follows no redirect and uses no proxy: the request goes where the policy
//! says. Only what was certainly not obeyed is sent again here: an answer 429 that
//! says when (`Retry-After`) is waited out, as long as the step has time for it.
//!
//! Secrets are fetched when the request is made and taken out of all that
//! is kept of the answer; errors name no address.

use std::future::Future;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, Method, Response, StatusCode, Url};

use super::Order;
use crate::model::{Expectation, HowEnded, HttpRequest, Output, Short, Tls, secrets_in};
use crate::secret::{Revealed, reveal};

/// Most bytes of a body that are looked through for what is expected, as of a
/// probe's.
const LOOKED_THROUGH: usize = 1 << 20;

/// Makes the request, within the order's time.
pub(super) async fn step(
    order: &Order,
    request: &HttpRequest,
    cancel: impl Future<Output = ()>,
) -> (HowEnded, Output) {
    let mut kept = Kept::default();
    let how = tokio::select! {
        biased;
        done = exchange(request, order.timeout, &mut kept) => match done {
            Ok(()) => HowEnded::Succeeded,
            Err(why) => HowEnded::Failed(why),
        },
        () = cancel => HowEnded::Cancelled,
        () = tokio::time::sleep(order.timeout) => HowEnded::TimedOut,
    };
    // The reason may quote the answer; what was sent must not come back in it.
    let how = match how {
        HowEnded::Failed(why) => HowEnded::Failed(kept.redact(&why)),
        how => how,
    };
    (how, kept.into_output())
}

/// One request and its answer, after as many refusals as there is time for; in
/// words why it is not the one that is wanted.
async fn exchange(request: &HttpRequest, timeout: Duration, kept: &mut Kept) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + timeout;
    for (name, secret) in &request.secrets {
        let revealed = reveal(secret).map_err(|e| e.to_string())?;
        kept.secrets.push((name.clone(), revealed));
    }
    let expectation = Expectation::new(&request.expect)
        .map_err(|(path, e)| format!("`{path}` is not a JSONPath: {e}"))?;
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| format!("`{}` is no HTTP method", request.method))?;
    let url: Url = request
        .url
        .parse()
        .map_err(|e| format!("`{}` is no URL: {e}", request.url))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let bad = || format!("the header `{name}` cannot be sent");
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(&kept.fill(value)).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    let client = client(&url, &request.tls)?;
    let mut sent = client.request(method, url).headers(headers);
    if let Some(body) = &request.body {
        sent = sent.body(kept.fill(body));
    }
    let mut sent = sent.build().map_err(words)?;
    let (status, began, whole) = loop {
        let again = sent.try_clone();
        let began = tokio::time::Instant::now();
        let answer = client.execute(sent).await.map_err(words)?;
        let status = answer.status();
        let asked = limited(&answer);
        kept.head = format!("{status}\n");
        kept.body.clear();
        kept.total = 0;
        let whole = kept.read(answer).await;
        let (Some(wait), Some(again)) = (asked, again) else {
            break (status, began, whole);
        };
        if expectation.accepts(status.as_u16()) {
            break (status, began, whole);
        }
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if wait >= left {
            return Err(format!(
                "it answered {status} and asks for {}, more than the step has left",
                Short(wait)
            ));
        }
        tokio::time::sleep(wait).await;
        sent = again;
    };
    if !expectation.accepts(status.as_u16()) {
        let followed = if status.is_redirection() {
            ", and redirects are not followed"
        } else {
            ""
        };
        return Err(format!("it answered {status}{followed}"));
    }
    if !whole? && expectation.reads_body() {
        return Err(format!("the body is larger than {LOOKED_THROUGH} bytes"));
    }
    if let Some(wrong) = expectation.wrong(&kept.body, began.elapsed()) {
        return Err(wrong.detail);
    }
    Ok(())
}

/// How long a caller who asked too often shall wait: 429 (RFC 6585, 4) with
/// `Retry-After` in seconds (RFC 9110, 10.2.3), as those who limit rates write it.
/// At least a second, so that a zero is no storm.
fn limited(answer: &Response) -> Option<Duration> {
    if answer.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.max(1)))
}

/// What is known of an exchange, and what must not be shown of it.
#[derive(Default)]
struct Kept {
    secrets: Vec<(String, Revealed)>,
    /// The status.
    head: String,
    body: Vec<u8>,
    /// Bytes of body that came.
    total: u64,
}

impl Kept {
    /// Puts the secrets in. One that is not declared stays as it is written;
    /// policies are refused for it.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut from = 0;
        for (name, at) in secrets_in(text) {
            if let Some((_, secret)) = self.secrets.iter().find(|(known, _)| known == name) {
                filled.push_str(&text[from..at.start]);
                filled.push_str(secret.expose());
                from = at.end;
            }
        }
        filled.push_str(&text[from..]);
        filled
    }

    /// Reads the body, as far as anybody looks; whether that was all of it.
    async fn read(&mut self, mut answer: Response) -> Result<bool, String> {
        while let Some(chunk) = answer.chunk().await.map_err(words)? {
            self.total += chunk.len() as u64;
            let room = LOOKED_THROUGH - self.body.len();
            self.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn redact(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.to_owned(), |text, (_, secret)| secret.redact(&text))
    }

    /// The status and the beginning of the body. The whole of what was read is
    /// searched for secrets before it is cut, so that none is cut in two.
    fn into_output(mut self) -> Output {
        if self.total > self.body.len() as u64 {
            // What may be the beginning of one.
            let longest = self.secrets.iter().map(|(_, s)| s.expose().len()).max();
            let end = self.body.len().saturating_sub(longest.unwrap_or(0));
            self.body.truncate(end);
        }
        let text: String = String::from_utf8_lossy(&self.body)
            .chars()
            .map(|c| match c {
                '\n' | '\t' => c,
                c if c.is_control() => char::REPLACEMENT_CHARACTER,
                c => c,
            })
            .collect();
        let mut head = format!("{}{}", self.head, self.redact(&text));
        let mut left_out = self.total.saturating_sub(self.body.len() as u64);
        if head.len() > Output::KEPT {
            let mut end = Output::KEPT;
            while !head.is_char_boundary(end) {
                end -= 1;
            }
            left_out += (head.len() - end) as u64;
            head.truncate(end);
        }
        Output {
            total: head.len() as u64 + left_out,
            head,
            tail: String::new(),
            left_out,
        }
    }
}

/// A client for this one request: steps are rare, and a connection that was
/// kept from the last one would only be stale.
fn client(url: &Url, tls: &Tls) -> Result<Client, String> {
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("backstop/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .no_proxy()
        .referer(false)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0);
    let read = |path: &str| std::fs::read(path).map_err(|e| format!("cannot read {path}: {e}"));
    let broken = |path: &str, e: reqwest::Error| format!("{path} is no PEM that can be used: {e}");
    if let Some(path) = &tls.ca {
        let roots = Certificate::from_pem_bundle(&read(path)?).map_err(|e| broken(path, e))?;
        builder = builder.tls_certs_only(roots);
    } else if url.scheme() == "http" {
        // Loads no certificates of the system that nobody asks for.
        builder = builder.tls_certs_only([]);
    }
    if let Some(path) = &tls.cert {
        let mut pem = read(path)?;
        if let Some(key) = &tls.key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        builder = builder.identity(Identity::from_pem(&pem).map_err(|e| broken(path, e))?);
    }
    builder
        .build()
        .map_err(|e| format!("no HTTP client can be made: {e}"))
}

/// What went wrong, without the address.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let tried = if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "its answer broke off"
    } else {
        "no answer"
    };
    format!("{tried}: {innermost}")
}

/// What a preflight finds: secrets and certificates that cannot be read.
pub(super) fn unreadable(request: &HttpRequest) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for secret in request.secrets.values() {
        if let Err(e) = reveal(secret) {
            found.push((
                e.to_string(),
                "give the agent's user the secret, and nobody else",
            ));
        }
    }
    let Tls { ca, cert, key } = &request.tls;
    for path in [ca, cert, key].into_iter().flatten() {
        if let Err(e) = std::fs::File::open(path) {
            let why = crate::process::plain(&e);
            found.push((
                format!("cannot read `{path}`: {why}"),
                "correct the path, or give the agent's user the right to read it",
            ));
        }
    }
    found
}
