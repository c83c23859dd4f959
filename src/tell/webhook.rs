//! An HTTP POST of the notice as JSON, signed when there is a secret.
//!
//! The signature is `X-Backstop-Signature: t=UNIX,v1=HEX`, HEX being the
//! HMAC-SHA256 (RFC 2104) of `UNIX`, a full stop and the body's bytes, under
//! the secret. The time is inside what is signed, so that a receiver that
//! refuses old times cannot be played yesterday's notice again. The id is in
//! `X-Backstop-Notice`: delivery is at least once, and a receiver that has seen
//! an id can drop it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use super::channel::{Attempt, Channel, Delivered, Failure};
use super::http;
use super::message::{Message, Texts};
use super::secret::{Revealed, reveal};
use super::template::Escape;
use crate::guard::Notice;
use crate::model::Secret;

/// A receiver of notices as JSON.
pub(super) struct Webhook {
    pub(super) url: Secret,
    pub(super) secret: Option<Secret>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) texts: Texts,
    pub(super) timeout: Duration,
}

impl Channel for Webhook {
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>> {
        let Attempt {
            notice,
            links,
            unix,
            ..
        } = attempt;
        Box::pin(async move {
            let url = reveal(&self.url).map_err(|e| Failure::new(e.to_string()))?;
            let secret = match &self.secret {
                Some(secret) => Some(reveal(secret).map_err(|e| Failure::new(e.to_string()))?),
                None => None,
            };
            let view = Message::new(notice, links, &self.texts, Escape::Nothing).into_view();
            let body = serde_json::to_vec(&view)
                .map_err(|e| Failure::new(format!("the notice cannot be written as JSON: {e}")))?;
            let headers = self.headers(notice, secret.as_ref(), &body, unix)?;
            let answer = http::post(&url, headers, body, self.timeout, unix).await?;
            Ok(Delivered::saying(answer.in_words()))
        })
    }
}

impl Webhook {
    fn headers(
        &self,
        notice: &Notice,
        secret: Option<&Revealed>,
        body: &[u8],
        unix: i64,
    ) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for (name, text) in &self.headers {
            let bad = || Failure::new(format!("the header `{name}` cannot be sent"));
            let name = HeaderName::try_from(name).map_err(|_| bad())?;
            let mut text = HeaderValue::try_from(text).map_err(|_| bad())?;
            // A token, as often as not.
            text.set_sensitive(true);
            headers.insert(name, text);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let own = [
            ("x-backstop-notice", Some(notice.id.clone())),
            ("x-backstop-kind", Some(notice.kind.name().to_owned())),
            (
                "x-backstop-signature",
                secret.map(|s| signature(s.expose(), unix, body)),
            ),
        ];
        for (name, text) in own {
            // What the configuration sets under these names is not ours.
            headers.remove(name);
            if let Some(text) = text.and_then(|t| HeaderValue::try_from(t).ok()) {
                headers.insert(HeaderName::from_static(name), text);
            }
        }
        Ok(headers)
    }
}

/// `t=UNIX,v1=HEX`, as the head of this file says.
fn signature(secret: &str, unix: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(unix.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = format!("t={unix},v1=");
    for byte in context.sign().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::template::full;

    /// Computed with `printf '1445412480.{"a":1}' | openssl dgst -sha256 -hmac
    /// hunter2`.
    #[test]
    fn the_signature_is_what_others_compute() {
        assert_eq!(
            signature("hunter2", 1_445_412_480, br#"{"a":1}"#),
            "t=1445412480,v1=0e94f2030624ac60471b7b911f1ec30cceffc7ced6cf43ce43189b4787b82b8c"
        );
    }

    #[test]
    fn a_configured_header_forges_no_signature() {
        let webhook = Webhook {
            url: Secret::Plain("http://127.0.0.1:9".into()),
            secret: None,
            headers: BTreeMap::from([
                ("X-Backstop-Signature".into(), "t=1,v1=00".into()),
                ("Authorization".into(), "Bearer x".into()),
            ]),
            texts: Texts::default(),
            timeout: Duration::from_secs(1),
        };
        let headers = webhook.headers(&full(), None, b"{}", 0).unwrap();
        assert!(!headers.contains_key("x-backstop-signature"));
        assert_eq!(headers["x-backstop-notice"], "checkout/12/1");
        assert_eq!(headers["authorization"], "Bearer x");
        assert!(!format!("{headers:?}").contains("Bearer"));
    }
}
