//! PagerDuty, by its Events API v2 (<https://developer.pagerduty.com>, *Events
//! API v2*): an incident of ours is one alert there, told apart by its
//! `dedup_key`, triggered by every notice, acknowledged by `backstop ack` and
//! resolved by its close. A trigger that cannot be judged is an alert of its
//! own.
//!
//! What nobody is to be woken for is no alert: a freeze is sent as a *change
//! event*, which the service's page shows and no pager rings for. Steps and
//! regular updates are passed over: they would wake anew whoever has resolved
//! the alert by hand. In shadow every alert is `info`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::channel::{Attempt, Channel, Delivered, Failure};
use super::http::{Call, READ, json_headers};
use super::message::{Message, Texts};
use super::secret::{Revealed, reveal};
use super::template::Escape;
use super::thread::Thread;
use crate::guard::{Notice, NoticeKind};
use crate::model::{Mode, Secret, Severity};
use crate::view::{NoticeView, value};

/// Longest summary, in characters: 1024 are taken.
const SUMMARY: usize = 1000;

/// A service of PagerDuty, by its integration's key.
pub(super) struct PagerDuty {
    pub(super) routing_key: Secret,
    /// The base of the API.
    pub(super) url: String,
    /// Links that stand on each alert: text → address.
    pub(super) links: BTreeMap<String, String>,
    pub(super) texts: Texts,
    pub(super) timeout: Duration,
}

/// What a notice is to PagerDuty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Trigger,
    Acknowledge,
    Resolve,
    Change,
    Nothing,
}

const fn what(kind: NoticeKind) -> What {
    match kind {
        NoticeKind::Opened
        | NoticeKind::Asked
        | NoticeKind::Decided
        | NoticeKind::Held
        | NoticeKind::RollingBack
        | NoticeKind::Cured
        | NoticeKind::NotCured
        | NoticeKind::Failed
        | NoticeKind::Blind
        | NoticeKind::Escalated
        | NoticeKind::Test => What::Trigger,
        NoticeKind::Acknowledged => What::Acknowledge,
        NoticeKind::SeesAgain | NoticeKind::Closed => What::Resolve,
        NoticeKind::Frozen | NoticeKind::FreezeEnding => What::Change,
        NoticeKind::StepDone | NoticeKind::Update | NoticeKind::Fit => What::Nothing,
    }
}

/// PagerDuty's words. A rollback that failed is never less than an error,
/// whatever the row that asked for it.
fn severity(notice: &Notice) -> &'static str {
    let failed = matches!(
        notice.kind,
        NoticeKind::NotCured | NoticeKind::Failed | NoticeKind::Escalated
    );
    match notice.severity {
        _ if notice.mode == Mode::Shadow || notice.kind == NoticeKind::Test => "info",
        _ if notice.drill && !failed => "info",
        _ if notice.kind == NoticeKind::Blind => "warning",
        Some(Severity::Critical) => "critical",
        Some(Severity::High) => "error",
        _ if failed => "error",
        Some(Severity::Medium) | None => "warning",
        Some(Severity::Low) => "info",
    }
}

impl Channel for PagerDuty {
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>> {
        Box::pin(async move {
            let what = what(attempt.notice.kind);
            if what == What::Nothing {
                return Ok(Delivered::saying("nothing was sent: it wakes nobody"));
            }
            let key = reveal(&self.routing_key).map_err(|e| Failure::new(e.to_string()))?;
            let path = if what == What::Change {
                "/v2/change/enqueue"
            } else {
                "/v2/enqueue"
            };
            let view = Message::new(attempt.notice, None, &self.texts, Escape::Nothing).into_view();
            let mut event = self.event(what, attempt.notice, &view);
            event["routing_key"] = key.expose().into();
            let said = self.send(path, &event, &key, attempt.unix).await?;
            if attempt.notice.kind != NoticeKind::Test {
                return Ok(Delivered::saying(said));
            }
            // A test opens an alert that no incident will ever resolve.
            event["event_action"] = "resolve".into();
            let resolved = self.send(path, &event, &key, attempt.unix).await;
            Ok(Delivered::saying(match resolved {
                Ok(_) => format!("{said}; the alert was resolved again"),
                Err(why) => {
                    let why = why.reason;
                    format!("{said}; the alert is open, resolve it by hand: {why}")
                }
            }))
        })
    }

    fn is_threaded(&self) -> bool {
        true
    }
}

impl PagerDuty {
    /// Sends an event. Returns what was answered.
    async fn send(
        &self,
        path: &str,
        event: &Value,
        key: &Revealed,
        unix: i64,
    ) -> Result<String, Failure> {
        let call = Call {
            method: Method::POST,
            url: &format!("{}{path}", self.url.trim_end_matches('/')),
            headers: json_headers(None)?,
            body: event.to_string().into_bytes(),
            timeout: self.timeout,
            unix,
            hidden: &[key],
            read: READ,
        };
        let answer = call.send().await?;
        // Only 202 says that the event was taken in; a portal in between
        // answers 200 with a page.
        if answer.status == StatusCode::ACCEPTED {
            Ok(answer.in_words())
        } else {
            Err(answer.failure())
        }
    }

    /// The event, without the key that lets it in.
    fn event(&self, what: What, notice: &Notice, view: &NoticeView) -> Value {
        let links: Vec<_> = self
            .links
            .iter()
            .map(|(text, href)| json!({ "text": text, "href": href }))
            .collect();
        let summary = value::one_line(&view.title, SUMMARY);
        let payload = json!({
            "summary": summary,
            "source": view.host,
            "timestamp": view.at,
            "custom_details": view,
        });
        if what == What::Change {
            return json!({ "payload": payload, "links": links });
        }
        let mut event = json!({
            "event_action": match what {
                What::Acknowledge => "acknowledge",
                What::Resolve => "resolve",
                What::Trigger | What::Change | What::Nothing => "trigger",
            },
            "dedup_key": Thread::of(notice).map_or_else(|| notice.id.clone(), |t| t.key),
        });
        if what == What::Trigger {
            event["client"] = "Backstop".into();
            event["links"] = links.into();
            event["payload"] = payload;
            event["payload"]["severity"] = severity(notice).into();
            event["payload"]["component"] = view.service.as_str().into();
            event["payload"]["class"] = view.trigger.as_deref().into();
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::template::full;

    fn notice(severity: Option<Severity>, kind: NoticeKind, mode: Mode) -> Notice {
        Notice {
            kind,
            mode,
            severity,
            ..full()
        }
    }

    #[test]
    fn severities_are_put_into_its_words() {
        let of = |s| severity(&notice(s, NoticeKind::Opened, Mode::Enforce));
        let all = [
            Some(Severity::Critical),
            Some(Severity::High),
            Some(Severity::Medium),
            Some(Severity::Low),
            None,
        ];
        assert_eq!(
            all.map(of),
            ["critical", "error", "warning", "info", "warning"]
        );
    }

    #[test]
    fn a_failed_rollback_is_an_error_and_shadow_wakes_nobody() {
        let low = Some(Severity::Low);
        let of = |kind, mode| severity(&notice(low, kind, mode));
        assert_eq!(of(NoticeKind::NotCured, Mode::Enforce), "error");
        assert_eq!(of(NoticeKind::Failed, Mode::Enforce), "error");
        assert_eq!(of(NoticeKind::Asked, Mode::Enforce), "info");
        let critical = notice(Some(Severity::Critical), NoticeKind::Opened, Mode::Shadow);
        assert_eq!(severity(&critical), "info");
    }

    #[test]
    fn a_long_title_is_cut_to_what_is_taken() {
        let pagerduty = PagerDuty {
            routing_key: Secret::Env("X".into()),
            url: String::new(),
            links: BTreeMap::new(),
            texts: Texts::default(),
            timeout: Duration::from_secs(1),
        };
        let mut view = NoticeView::new(&full());
        view.title = "é".repeat(5000);
        let event = pagerduty.event(What::Trigger, &full(), &view);
        let summary = event["payload"]["summary"].as_str().unwrap();
        assert!((SUMMARY..=1024).contains(&summary.chars().count()));
    }
}
