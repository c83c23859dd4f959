//! The server that is asked, one question at a time, and what its refusals
//! mean.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use reqwest::Url;
use serde::de::DeserializeOwned;

use super::reply::{Kept, Labels, Matrix, Reply};
use crate::model::{Gap, GapKind, Moment, Tls};
use crate::sense::client::{Client, Request};
use crate::sense::prometheus::{api, one_line, retry_after};
use crate::sense::{SenseError, headers, url};

/// Most bytes of one answer, decompressed: an hour of a thousand series.
const MOST_ANSWERED: usize = 64 << 20;

/// A Prometheus, or what speaks as one, and how it is spoken to.
#[derive(Debug)]
pub struct Archive {
    base: Url,
    headers: HeaderMap,
    tls: Tls,
    client: Client,
    timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) kind: Refusal,
    pub(super) why: Gap,
    /// It wants to be left alone for so long.
    pub(super) wait: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A shorter time may be answered.
    TooMuch,
    /// The question is wrong.
    Query,
    /// The server is out, or busy.
    Server,
}

impl From<Gap> for Refused {
    fn from(why: Gap) -> Self {
        Self {
            kind: Refusal::Server,
            why,
            wait: None,
        }
    }
}

impl Archive {
    /// The server at this URL; `/api/v1/…` goes behind it. Each question has
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// When the URL or a header is none.
    pub fn new(
        base: &str,
        extra: &BTreeMap<String, String>,
        tls: &Tls,
        timeout: Duration,
    ) -> Result<Self, SenseError> {
        Ok(Self {
            base: url(base)?,
            headers: headers(extra)?,
            tls: tls.clone(),
            client: Client::new(),
            timeout,
        })
    }

    /// The stored samples of what a selector selects, later than the first time
    /// and not later than the second.
    ///
    /// Prometheus before 3.0 gives those of the first time too, and it is asked
    /// for them always: so no sample is given twice, and none is lost.
    pub(super) async fn stored(
        &self,
        selector: &str,
        span: (Moment, Moment),
    ) -> Result<Vec<Kept>, Refused> {
        let (from, to) = span;
        let query = format!("{selector}[{}ms]", to.since(from).as_millis());
        let pairs = [("query", query.as_str()), ("time", &seconds(to))];
        let mut kept = self.matrix("query", &pairs).await?;
        for one in &mut kept {
            one.samples.retain(|(at, _)| *at > from && *at <= to);
        }
        kept.retain(|one| !one.samples.is_empty());
        Ok(kept)
    }

    /// The values of a query at every interval, later than the first time and
    /// not later than the second.
    pub(super) async fn answers(
        &self,
        promql: &str,
        span: (Moment, Moment),
        every: Duration,
    ) -> Result<Vec<Kept>, Refused> {
        let (from, to) = span;
        let step = format!("{}ms", every.as_millis());
        let pairs = [
            ("query", promql),
            ("start", &*seconds(from + every)),
            ("end", &*seconds(to)),
            ("step", &*step),
        ];
        if from + every > to {
            return Ok(Vec::new());
        }
        self.matrix("query_range", &pairs).await
    }

    /// The series that these select, as far as they have a sample in this time.
    pub(super) async fn series(
        &self,
        selectors: &[String],
        span: (Moment, Moment),
    ) -> Result<Vec<crate::model::Series>, Refused> {
        let (from, to) = (seconds(span.0), seconds(span.1));
        let selectors = selectors
            .iter()
            .map(|selector| ("match[]", selector.as_str()));
        let span = [("start", &*from), ("end", &*to)];
        let pairs: Vec<_> = selectors.chain(span).collect();
        let labels: Vec<Labels> = self.ask("series", &pairs).await?;
        Ok(labels.into_iter().map(Labels::series).collect())
    }

    async fn matrix(&self, endpoint: &str, pairs: &[(&str, &str)]) -> Result<Vec<Kept>, Refused> {
        let matrix: Matrix = self.ask(endpoint, pairs).await?;
        if matrix.kind != "matrix" {
            let why = format!("the answer is a {}, not a matrix", one_line(&matrix.kind));
            return Err(Gap::new(GapKind::Malformed, why).into());
        }
        Ok(matrix
            .result
            .into_iter()
            .map(super::reply::Row::kept)
            .collect())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        pairs: &[(&str, &str)],
    ) -> Result<T, Refused> {
        let asked = api(&self.base, endpoint, pairs, self.headers.clone(), &self.tls);
        let mut request = Request::new(&self.client, asked);
        let answered = tokio::time::timeout(self.timeout, answer(&mut request)).await;
        answered.unwrap_or_else(|_| {
            Err(Refused {
                kind: Refusal::TooMuch,
                why: Gap::new(GapKind::TimedOut, "no whole answer in time"),
                wait: None,
            })
        })
    }
}

async fn answer<T: DeserializeOwned>(request: &mut Request) -> Result<T, Refused> {
    let mut answer = request.send().await?;
    let status = answer.status();
    let wait = retry_after(answer.headers());
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > MOST_ANSWERED {
            let why = format!("the answer is larger than {MOST_ANSWERED} bytes");
            return Err(Refused {
                kind: Refusal::TooMuch,
                why: Gap::new(GapKind::TooLarge, why),
                wait: None,
            });
        }
        body.extend_from_slice(piece);
    }
    if status == StatusCode::OK
        && let Ok(Reply {
            status: said,
            data: Some(data),
            ..
        }) = serde_json::from_slice::<Reply<T>>(&body)
        && said == "success"
    {
        return Ok(data);
    }
    let reply = serde_json::from_slice::<Reply<serde::de::IgnoredAny>>(&body).ok();
    Err(refused(status, reply, wait))
}

/// What a refusal means: 422 is a query that cannot be carried out, nearly
/// always because it needs too many samples, and 503 one that took too long or
/// was cancelled (Prometheus *HTTP API*, "Format overview"). Gateways say 504,
/// and 413 of what is too large.
fn refused(
    status: StatusCode,
    reply: Option<Reply<serde::de::IgnoredAny>>,
    wait: Option<Duration>,
) -> Refused {
    let code = status.as_u16();
    let Some(reply) = reply else {
        let (kind, why) = match code {
            200 => (
                Refusal::Server,
                "the answer is not Prometheus's JSON".to_owned(),
            ),
            413 | 504 => (Refusal::TooMuch, format!("status {code}")),
            400 | 401 | 403 | 404 | 405 => (Refusal::Query, format!("status {code}")),
            _ => (Refusal::Server, format!("status {code}")),
        };
        return Refused {
            kind,
            why: Gap::new(GapKind::Status, why),
            wait,
        };
    };
    let kind = reply.kind.unwrap_or(reply.status);
    let said = one_line(&format!("{kind}: {}", reply.error.unwrap_or_default()));
    let (refusal, why) = match (code, kind.as_str()) {
        (200, "success") => (
            Refusal::Server,
            "the answer is not of the kind that was asked for".to_owned(),
        ),
        (422 | 413 | 504, _) | (503, "timeout" | "canceled") => (Refusal::TooMuch, said),
        (200 | 400 | 401 | 403 | 404 | 405, _) => (Refusal::Query, said),
        _ => (Refusal::Server, format!("status {code}: {said}")),
    };
    Refused {
        kind: refusal,
        why: Gap::new(GapKind::Status, why),
        wait,
    }
}

/// Unix seconds, to the millisecond.
fn seconds(at: Moment) -> String {
    let ms = at.as_millis();
    format!("{}.{:03}", ms / 1000, ms % 1000)
}
