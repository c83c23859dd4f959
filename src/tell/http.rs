//! Sending a body to an address: one client for the whole process, one
//! deadline for the whole exchange, and an answer that is read only as far as
//! it helps to say what went wrong.
//!
//! An address may itself be a secret (Slack's are), so no reason here has one
//! in it, and what a receiver answers is searched for every secret that was
//! sent.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode};

use super::channel::Failure;
use super::secret::Revealed;
use crate::view::value;

/// As much of an answer as is read where it only has to be shown, in bytes.
pub(super) const READ: usize = 4096;

/// As much of an answer as is shown, in characters.
const SHOWN: usize = 200;

/// A request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The deadline of the whole exchange.
    pub(super) timeout: Duration,
    /// The wall clock, in seconds.
    pub(super) unix: i64,
    /// What is taken out of the answer.
    pub(super) hidden: &'a [&'a Revealed],
    /// As much of the answer's body as is read, in bytes.
    pub(super) read: usize,
}

/// What came back, whatever it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The body's first bytes, without secrets.
    pub(super) body: String,
    /// How long the receiver wants to be left alone.
    retry_after: Option<Duration>,
}

/// Posts a body to an address that is itself a secret.
///
/// # Errors
///
/// Everything but a 2xx answer within `timeout`.
pub(super) async fn post(
    url: &Revealed,
    headers: HeaderMap,
    body: Vec<u8>,
    timeout: Duration,
    unix: i64,
) -> Result<Answer, Failure> {
    let call = Call {
        method: Method::POST,
        url: url.expose(),
        headers,
        body,
        timeout,
        unix,
        hidden: &[url],
        read: READ,
    };
    call.send().await?.accepted()
}

/// The headers of a body in JSON, with a bearer's token where there is one.
pub(super) fn json_headers(token: Option<&Revealed>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(token) = token {
        let mut bearer = HeaderValue::try_from(token.after("Bearer "))
            .map_err(|_| Failure::new("its token cannot be sent in a header"))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

impl Call<'_> {
    /// Sends it and reads the beginning of the answer.
    ///
    /// # Errors
    ///
    /// No answer within the deadline.
    pub(super) async fn send(self) -> Result<Answer, Failure> {
        let address: reqwest::Url = self
            .url
            .parse()
            .map_err(|e| Failure::new(format!("its address is not a URL: {e}")))?;
        let answer = client()?
            .request(self.method, address)
            .headers(self.headers)
            .body(self.body)
            .timeout(self.timeout)
            .send()
            .await
            .map_err(|e| Failure::new(words(e, self.timeout)))?;
        let status = answer.status();
        let retry_after = retry_after(status, answer.headers(), self.unix);
        let mut body = beginning(answer, self.read).await.unwrap_or_default();
        for secret in self.hidden {
            body = secret.redact(&body);
        }
        Ok(Answer {
            status,
            body,
            retry_after,
        })
    }
}

impl Answer {
    /// Whether it is a 2xx.
    ///
    /// # Errors
    ///
    /// What it says instead.
    pub(super) fn accepted(self) -> Result<Self, Failure> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(self.failure())
        }
    }

    /// What it says, as the reason why nobody was told.
    pub(super) fn failure(&self) -> Failure {
        Failure {
            reason: self.in_words(),
            refused: is_refusal(self.status) && self.retry_after.is_none(),
            retry_after: self.retry_after,
        }
    }

    /// `it answered 400 Bad Request: …`
    pub(super) fn in_words(&self) -> String {
        let mut text = format!("it answered {}", self.status);
        if self.status.is_redirection() {
            text.push_str(", and redirects are not followed");
        }
        let said = explained(&self.body).unwrap_or_else(|| self.body.clone());
        let said = value::one_line(&said, SHOWN);
        if !said.is_empty() {
            text.push_str(": ");
            text.push_str(&said);
        }
        text
    }
}

/// What an answer in JSON says to people, as PagerDuty and GitHub put it: a
/// `message`, and `errors` that are texts or objects with texts in them.
fn explained(body: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let mut text = json.get("message")?.as_str()?.to_owned();
    let errors = json.get("errors").and_then(serde_json::Value::as_array);
    let errors: Vec<String> = errors
        .into_iter()
        .flatten()
        .filter_map(|error| match error {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Object(fields) => {
                let texts = fields.values().filter_map(serde_json::Value::as_str);
                Some(texts.collect::<Vec<_>>().join(" "))
            }
            _ => None,
        })
        .collect();
    if !errors.is_empty() {
        text.push_str(": ");
        text.push_str(&errors.join("; "));
    }
    Some(text)
}

/// One client for the process, made when the first notice goes out: making it
/// costs a few milliseconds and loads the system's certificates. It keeps no
/// connection: notices are rare, and a stale one would only fail.
fn client() -> Result<&'static Client, Failure> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    // Fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .user_agent(concat!("backstop/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| Failure::new(format!("no HTTP client can be made: {e}")))?;
    Ok(CLIENT.get_or_init(|| client))
}

/// Whether the receiver understood and said no to this very request, rather
/// than being out of order or busy.
fn is_refusal(status: StatusCode) -> bool {
    !status.is_server_error()
        && !matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The first bytes of an answer's body; an answer that breaks off has said what
/// it said.
async fn beginning(mut answer: Response, most: usize) -> Option<String> {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        read.extend_from_slice(&chunk[..chunk.len().min(most - read.len())]);
        if read.len() >= most {
            break;
        }
    }
    (!read.is_empty()).then(|| String::from_utf8_lossy(&read).into_owned())
}

/// How long the receiver wants to be left alone: `Retry-After` (RFC 9110,
/// 10.2.3) in seconds or as a date, or what GitHub says when nothing is left of
/// its rate (REST API, *Rate limits*).
fn retry_after(status: StatusCode, headers: &HeaderMap, unix: i64) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let until = |at: i64| {
        let seconds = u64::try_from(at.saturating_sub(unix)).ok()?;
        Some(Duration::from_secs(seconds))
    };
    if let Some(text) = text(RETRY_AFTER.as_str()) {
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        return until(at.as_second());
    }
    let limited = matches!(
        status,
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
    );
    if limited && text("x-ratelimit-remaining") == Some("0") {
        return until(text("x-ratelimit-reset")?.parse().ok()?);
    }
    None
}

/// What went wrong, without the address.
fn words(error: reqwest::Error, timeout: Duration) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return format!("no answer within {}", value::span(timeout));
    }
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let reason = value::one_line(&innermost.to_string(), SHOWN);
    if error.is_connect() {
        format!("cannot connect: {reason}")
    } else {
        format!("no answer: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        // Wed, 21 Oct 2015 07:28:00 GMT, less a minute.
        retry_after(StatusCode::OK, &headers, 1_445_412_480 - 60)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            asked("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(asked("Wed, 21 Oct 2015 07:26:00 GMT"), None);
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }

    #[test]
    fn a_busy_receiver_has_not_refused() {
        let refused = |code| is_refusal(StatusCode::from_u16(code).unwrap());
        for code in [408, 425, 429, 500, 502, 503] {
            assert!(!refused(code), "{code}");
        }
        for code in [301, 400, 401, 403, 404, 410] {
            assert!(refused(code), "{code}");
        }
    }

    #[test]
    fn a_spent_rate_is_waited_for_until_it_is_renewed() {
        let asked = |status, remaining: &'static str, reset: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-ratelimit-remaining", HeaderValue::from_static(remaining));
            headers.insert("x-ratelimit-reset", HeaderValue::from_static(reset));
            retry_after(status, &headers, 1000)
        };
        let forbidden = StatusCode::FORBIDDEN;
        assert_eq!(asked(forbidden, "0", "1060"), Some(Duration::from_secs(60)));
        assert_eq!(asked(forbidden, "12", "1060"), None);
        assert_eq!(asked(forbidden, "0", "soon"), None);
        assert_eq!(asked(forbidden, "0", "900"), None);
        assert_eq!(asked(StatusCode::NOT_FOUND, "0", "1060"), None);
    }

    #[test]
    fn what_an_answer_says_to_people_is_taken_out_of_its_json() {
        let cases = [
            (
                r#"{"status":"invalid event","message":"Event object is invalid","errors":["'summary' is missing","x"]}"#,
                Some("Event object is invalid: 'summary' is missing; x"),
            ),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"Issue","field":"title","code":"missing_field"}]}"#,
                Some("Validation Failed: missing_field title Issue"),
            ),
            (r#"{"message":"Not Found"}"#, Some("Not Found")),
            (r#"{"message":7}"#, None),
            ("<html>", None),
        ];
        for (body, expected) in cases {
            assert_eq!(explained(body).as_deref(), expected, "{body}");
        }
    }
}
