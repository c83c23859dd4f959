//! Prometheus's Alertmanager, by `POST /api/v2/alerts`: an incident is one
//! alert, kept alive while it is open and ended at its close.
//!
//! An Alertmanager takes an alert for over when its `endsAt` has passed, and a
//! peer that restarts has forgotten it. So the alert is posted with an `endsAt`
//! five minutes ahead and again each minute, from what was remembered of it:
//! also after a restart of the agent. An agent that stays away for longer ends
//! its alerts, as a Prometheus that stays away does.
//!
//! The labels are the alert's identity and stay what they were at first; only a
//! severity that rises starts an alert of its own and ends the one before.
//! Every Alertmanager of a cluster is told, as its documentation wants; one
//! that takes the alert is enough, and the others have it with the next minute.
//! A freeze is no alert: it is passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::channel::{Attempt, Channel, Delivered, Failure};
use super::http::{Call, READ, json_headers};
use super::message::{Message, Texts};
use super::secret::{Revealed, reveal};
use super::template::Escape;
use super::thread::Thread;
use crate::guard::{Notice, NoticeKind};
use crate::model::Secret;
use crate::view::NoticeView;

/// How far ahead an alert ends if nobody says that it goes on: five times
/// [`AGAIN`], so that a few lost posts end nothing.
const AHEAD: i64 = 5 * 60;

/// How often it is said that an alert goes on.
const AGAIN: Duration = Duration::from_secs(60);

/// One or more Alertmanagers.
pub(super) struct Alertmanager {
    /// Their bases, such as `http://127.0.0.1:9093`.
    pub(super) urls: Vec<String>,
    /// A bearer's token, where one is asked for.
    pub(super) token: Option<Secret>,
    /// Put on every alert, for its routes.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) texts: Texts,
    pub(super) timeout: Duration,
}

/// An alert, as it is posted and as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
}

impl Alert {
    /// The same, ending so many seconds after the epoch.
    fn ending(&self, unix: i64) -> Self {
        let ends_at = jiff::Timestamp::from_second(unix).ok();
        Self {
            ends_at: ends_at.map(|at| at.to_string()),
            ..self.clone()
        }
    }

    fn severity(&self) -> Option<usize> {
        let name = self.labels.get("severity")?;
        ["low", "medium", "high", "critical"]
            .iter()
            .position(|known| known == name)
    }
}

impl Channel for Alertmanager {
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>> {
        Box::pin(async move {
            let Attempt {
                notice,
                memory,
                unix,
                ..
            } = attempt;
            let thread = Thread::of(notice);
            if thread.is_none() && notice.kind != NoticeKind::Test {
                return Ok(Delivered::saying("nothing was posted: it is no alert"));
            }
            let message = Message::new(notice, None, &self.texts, Escape::Nothing);
            let mut alert = self.alert(notice, &message.into_view());
            let mut posted = Vec::new();
            // What cannot be read was written by another version: the alert of
            // then ends by itself.
            if let Some(before) = memory.and_then(|m| serde_json::from_str::<Alert>(m).ok()) {
                if alert.severity() > before.severity() {
                    posted.push(before.ending(unix));
                } else {
                    alert.labels = before.labels;
                }
                alert.starts_at = before.starts_at;
            }
            let over = thread.is_some_and(|thread| thread.ends);
            let ends = if over { unix } else { unix + AHEAD };
            posted.push(alert.ending(ends));
            let said = self.post(&posted, unix).await?;
            let kept = serde_json::to_string(&alert)
                .map_err(|e| Failure::new(format!("the alert cannot be written as JSON: {e}")))?;
            Ok(Delivered::saying(said).keeping(kept))
        })
    }

    fn is_threaded(&self) -> bool {
        true
    }

    fn keep_alive(&self) -> Option<Duration> {
        Some(AGAIN)
    }

    fn refresh<'a>(&'a self, memory: &'a str, unix: i64) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let Ok(alert) = serde_json::from_str::<Alert>(memory) else {
                return Ok(());
            };
            self.post(&[alert.ending(unix + AHEAD)], unix)
                .await
                .map(drop)
        })
    }
}

impl Alertmanager {
    fn alert(&self, notice: &Notice, view: &NoticeView) -> Alert {
        let name = match notice.kind {
            NoticeKind::Blind | NoticeKind::SeesAgain => "BackstopBlind",
            NoticeKind::Test => "BackstopTest",
            _ => "BackstopIncident",
        };
        let own = [
            ("alertname", Some(name.to_owned())),
            ("service", Some(view.service.clone())),
            ("host", Some(view.host.clone())),
            ("mode", Some(view.mode.to_owned())),
            ("severity", view.severity.map(ToOwned::to_owned)),
            ("incident", view.incident.map(|n| n.to_string())),
            ("trigger", view.trigger.clone()),
        ];
        let mut labels = self.labels.clone();
        labels.extend(
            own.into_iter()
                .filter_map(|(name, text)| Some((name.to_owned(), text?))),
        );
        let said = [
            ("summary", &view.title),
            ("description", &view.text),
            ("next", &view.next),
            ("stop", &view.stop),
        ];
        Alert {
            labels,
            annotations: said
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(name, text)| (name.to_owned(), text.clone()))
                .collect(),
            starts_at: view.at.clone(),
            ends_at: None,
        }
    }

    /// Posts to all of them at once; says what the first that took it said.
    async fn post(&self, alerts: &[Alert], unix: i64) -> Result<String, Failure> {
        let token = match &self.token {
            Some(token) => Some(reveal(token).map_err(|e| Failure::new(e.to_string()))?),
            None => None,
        };
        let body = serde_json::to_vec(alerts)
            .map_err(|e| Failure::new(format!("the alert cannot be written as JSON: {e}")))?;
        let all = join_all(
            self.urls
                .iter()
                .map(|url| self.post_to(url, token.as_ref(), body.clone(), unix)),
        )
        .await;
        let mut taken = None;
        let mut worst: Option<Failure> = None;
        for (url, outcome) in self.urls.iter().zip(all) {
            match outcome {
                Ok(said) => taken = taken.or(Some(said)),
                Err(failure) => {
                    if self.urls.len() > 1 {
                        tracing::warn!(
                            url,
                            reason = failure.reason,
                            "an Alertmanager was not told"
                        );
                    }
                    // One that may yet take it outweighs one that refuses it.
                    if worst.as_ref().is_none_or(|w| w.refused) {
                        worst = Some(failure);
                    }
                }
            }
        }
        match (taken, worst) {
            (Some(said), _) => Ok(said),
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(Failure::new("it has no address")),
        }
    }

    async fn post_to(
        &self,
        url: &str,
        token: Option<&Revealed>,
        body: Vec<u8>,
        unix: i64,
    ) -> Result<String, Failure> {
        let hidden: Vec<&Revealed> = token.into_iter().collect();
        let call = Call {
            method: Method::POST,
            url: &format!("{}/api/v2/alerts", url.trim_end_matches('/')),
            headers: json_headers(token)?,
            body,
            timeout: self.timeout,
            unix,
            hidden: &hidden,
            read: READ,
        };
        let answer = call.send().await?.accepted()?;
        if answer.body.trim_start().starts_with('<') {
            return Err(Failure::new(
                "it answered with a web page, not as Alertmanager does",
            ));
        }
        Ok(answer.in_words())
    }
}
