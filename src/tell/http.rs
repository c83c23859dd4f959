//! Posting a body to an address: one client for the whole process, one
//! deadline for the whole exchange, and an answer that is read only as far as
//! it helps to say what went wrong.
//!
//! An address may itself be a secret (Slack's are), so no reason here has one
//! in it, and what a receiver answers is searched for it.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};

use super::channel::Failure;
use super::secret::Revealed;
use crate::view::value;

/// As much of an answer as is read, in bytes.
const READ: usize = 4096;

/// As much of an answer as is shown, in characters.
const SHOWN: usize = 200;

/// Posts a body. Returns the first bytes of a 2xx answer.
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
) -> Result<String, Failure> {
    let address: reqwest::Url = url
        .expose()
        .parse()
        .map_err(|e| Failure::new(format!("its address is not a URL: {e}")))?;
    let answer = client()?
        .post(address)
        .headers(headers)
        .body(body)
        .timeout(timeout)
        .send()
        .await
        .map_err(|e| Failure::new(words(e, timeout)))?;
    let status = answer.status();
    let retry_after = retry_after(answer.headers(), unix);
    let said = beginning(answer).await;
    if status.is_success() {
        return Ok(said.unwrap_or_default());
    }
    let mut reason = format!("it answered {status}");
    if status.is_redirection() {
        reason.push_str(", and redirects are not followed");
    }
    let said = value::one_line(&url.redact(&said.unwrap_or_default()), SHOWN);
    if !said.is_empty() {
        reason.push_str(": ");
        reason.push_str(&said);
    }
    Err(Failure {
        reason,
        refused: is_refusal(status),
        retry_after,
    })
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
async fn beginning(mut answer: Response) -> Option<String> {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        read.extend_from_slice(&chunk[..chunk.len().min(READ - read.len())]);
        if read.len() >= READ {
            break;
        }
    }
    (!read.is_empty()).then(|| String::from_utf8_lossy(&read).into_owned())
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.
fn retry_after(headers: &HeaderMap, unix: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    u64::try_from(at.as_second().saturating_sub(unix))
        .ok()
        .map(Duration::from_secs)
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
        retry_after(&headers, 1_445_412_480 - 60)
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
}
