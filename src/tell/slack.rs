//! Slack's incoming webhooks, and what speaks their language (Mattermost,
//! Rocket.Chat): `{"text": …}`.
//!
//! Plain text rather than blocks: it reads the same in a notification, on a
//! watch and through a screen reader. Names and reasons are escaped, so that
//! none can mention a channel or forge a link.

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::channel::{Attempt, Channel, Delivered, Failure};
use super::http;
use super::message::{Message, Texts};
use super::secret::reveal;
use super::template::{Escape, escape_slack};
use crate::model::Secret;

/// A Slack channel, by its incoming webhook.
pub(super) struct Slack {
    pub(super) url: Secret,
    pub(super) texts: Texts,
    pub(super) timeout: Duration,
}

impl Channel for Slack {
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>> {
        Box::pin(async move {
            let url = reveal(&self.url).map_err(|e| Failure::new(e.to_string()))?;
            let message = Message::new(attempt.notice, attempt.links, &self.texts, Escape::Slack);
            let body = serde_json::json!({ "text": text(message) }).to_string();
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let said =
                http::post(&url, headers, body.into_bytes(), self.timeout, attempt.unix).await?;
            // Slack answers `ok`, others answer JSON. A page is what a captive
            // portal or a login wall puts in between: nobody was told.
            if said.body.trim_start().starts_with('<') {
                return Err(Failure::new(
                    "it answered with a web page, not as Slack does",
                ));
            }
            Ok(Delivered::saying(said.in_words()))
        })
    }
}

fn text(message: Message) -> String {
    message.own.unwrap_or_else(|| {
        format!(
            "*{}*\n{}",
            escape_slack(&message.view.title),
            escape_slack(&message.view.text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::template::full;

    #[test]
    fn a_version_mentions_nobody() {
        let mut notice = full();
        notice.current = Some("<!channel> & co".into());
        let text = text(Message::new(
            &notice,
            None,
            &Texts::default(),
            Escape::Slack,
        ));
        insta::assert_snapshot!(text, @r"
        *checkout: payment-failure fired, critical (incident 12)*
        What: payment-failure has held for 10m.
        Where: checkout on web-1, running &lt;!channel&gt; &amp; co; v41 is the release to go back to.
        Value: payment_failure is 14.2%, the limit is 10% (142 of 1,000 events in 1m).
        Proof: 1,420 of 10,000 events mean at least 13.6%, more than 10% is needed.
        Since: 2026-11-21T08:30:00Z, for 10m.
        Condition: payment_failure &gt; 10% for 10m; that is payment-failure, critical.
        Next: the plan `rollback` starts at once.
        Your part: backstop ack 12 (says that you look after it)
        ");
        assert!(!text.contains('<'));
    }
}
