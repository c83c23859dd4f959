//! Queries of a Prometheus, and of what speaks as one: Mimir, Thanos,
//! `VictoriaMetrics`.
//!
//! Each signal asks one instant query per sample (Prometheus *HTTP API*,
//! "Instant queries"), all at the same time, each on a connection and within a
//! bound of its own: one that hangs costs its own answer. `time=` is left out:
//! the server's clock says what *now* is, and no answer depends on ours.
//!
//! An answer is one number: a scalar, or a vector of one series. Anything else
//! is a fault of that signal with its reason, and the other signals are read all
//! the same. A server that is out (refused, silent, no JSON, too much of it, a
//! status that carries no answer) is a failure of the whole sample, and it is
//! asked less and less often: after an interval, two, four, up to
//! [`MOST_WAIT`], less a random part of up to half, so that the agents of many
//! hosts do not come back together; after a `Retry-After` not before that, up to
//! [`MOST_ASKED_WAIT`]. It says nothing of the service: it is never *down*.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::client::{Asked, Client, Request};
use super::stopwatch::Stopwatch;
use super::{SenseError, headers, url};
use crate::model::{Gap, GapKind, Outcome, Sample, Series, Short, Tls, asked_as};

/// Most bytes of one answer, decompressed: one number takes some hundred.
const MOST_ANSWERED: usize = 1 << 20;

/// Most time between two questions to a server that is out.
const MOST_WAIT: Duration = Duration::from_mins(1);

/// Most that a server may ask for: one that says a year must not blind a policy
/// for a year.
const MOST_ASKED_WAIT: Duration = Duration::from_mins(5);

/// Queries that are under way at once, each on a connection of its own.
const AT_ONCE: usize = 16;

/// A longer query is sent as a form: proxies cut URLs at 8 KiB.
const LONGEST_URL: usize = 4096;

/// A server may answer from a cache. It is stale when its clock stood still for
/// so many intervals, and longer than [`STILL_AT_LEAST`].
const STILL: u32 = 4;
const STILL_AT_LEAST: Duration = Duration::from_secs(15);

/// What is shown of a message of the server, in characters.
const SHOWN: usize = 200;

/// A server, and what is asked of it.
#[derive(Debug)]
pub(super) struct Prometheus {
    questions: Vec<Question>,
    interval: Duration,
    outage: Option<Outage>,
    seeds: RandomState,
}

/// One signal's query.
#[derive(Debug)]
struct Question {
    signal: String,
    series: Arc<Series>,
    request: Request,
    /// The time of the last answer by the server's clock, and since when it has
    /// been that.
    evaluated: Option<(f64, Stopwatch)>,
}

/// A server that is out.
#[derive(Debug)]
struct Outage {
    /// Samples that failed in a row.
    failures: u32,
    why: Gap,
    since: Stopwatch,
    /// It is not asked before so much time has passed.
    wait: Duration,
}

/// Why there is no number.
enum Fault {
    /// The server answered, and it is not one.
    Answer(Gap),
    /// The server did not; it wants to be left alone for so long.
    Server(Gap, Option<Duration>),
}

impl From<Gap> for Fault {
    fn from(gap: Gap) -> Self {
        Self::Server(gap, None)
    }
}

/// The answer of the API; what is not read here is warnings and infos.
#[derive(Deserialize)]
struct Reply {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    kind: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

impl Prometheus {
    pub(super) fn new(
        base: &str,
        extra: &BTreeMap<String, String>,
        tls: &Tls,
        queries: &BTreeMap<String, String>,
        interval: Duration,
        client: &Client,
    ) -> Result<Self, SenseError> {
        let base = url(base)?;
        let headers = headers(extra)?;
        let question = |(signal, promql): (&String, &String)| Question {
            signal: signal.clone(),
            series: Arc::new(asked_as(signal)),
            request: Request::new(client, asked(&base, promql, headers.clone(), tls)),
            evaluated: None,
        };
        Ok(Self {
            questions: queries.iter().map(question).collect(),
            interval,
            outage: None,
            seeds: RandomState::new(),
        })
    }

    /// One request: who is asked.
    pub(super) fn request(&self) -> Option<&Request> {
        self.questions.first().map(|question| &question.request)
    }

    /// Asks everything, within `limit`. Counts the bytes of the answers.
    pub(super) async fn sample(
        &mut self,
        bytes: &mut u64,
        limit: Duration,
    ) -> Result<Outcome, Gap> {
        if let Some(outage) = &self.outage {
            let left = outage.wait.saturating_sub(outage.since.elapsed());
            if !left.is_zero() {
                let Gap { kind, detail } = &outage.why;
                let why = format!("{detail}; asked again within {}", Short(left));
                return Err(Gap::new(*kind, why));
            }
        }
        let still = (self.interval * STILL).max(STILL_AT_LEAST);
        let deadline = Instant::now() + limit;
        let asking: Vec<_> = self
            .questions
            .iter_mut()
            .map(|question| question.ask_by(deadline, still).boxed())
            .collect();
        let answers: Vec<_> = stream::iter(asking).buffered(AT_ONCE).collect().await;
        let mut samples = Vec::new();
        let mut faults = BTreeMap::new();
        let (mut is_in, mut out, mut asked_wait) = (false, None, None);
        for (question, (read, answer)) in self.questions.iter().zip(answers) {
            *bytes += read;
            let gap = match answer {
                Ok(value) => {
                    is_in = true;
                    samples.push(Sample {
                        series: Arc::clone(&question.series),
                        value,
                    });
                    continue;
                }
                Err(Fault::Answer(gap)) => {
                    is_in = true;
                    gap
                }
                Err(Fault::Server(gap, wait)) => {
                    asked_wait = asked_wait.max(wait);
                    out.get_or_insert_with(|| gap.clone());
                    gap
                }
            };
            faults.insert(question.signal.clone(), gap);
        }
        let before = self.outage.take().map_or(0, |outage| outage.failures);
        match out {
            Some(gap) if !is_in => {
                let failures = before.saturating_add(1);
                self.outage = Some(self.outage(failures, gap.clone(), asked_wait));
                Err(gap)
            }
            Some(gap) => {
                // It answers others, but said when it wants to hear from us.
                self.outage = asked_wait.map(|wait| self.outage(0, gap, Some(wait)));
                Ok(Outcome::Answered { samples, faults })
            }
            None => Ok(Outcome::Answered { samples, faults }),
        }
    }

    fn outage(&self, failures: u32, why: Gap, asked: Option<Duration>) -> Outage {
        let bits = self.seeds.hash_one(failures) >> 11;
        let share = bits as f64 / (1_u64 << 53) as f64;
        let own = own_wait(self.interval, failures).mul_f64(1.0 - share / 2.0);
        Outage {
            failures,
            why,
            since: Stopwatch::start(),
            wait: asked.map_or(own, |asked| asked.min(MOST_ASKED_WAIT).max(own)),
        }
    }
}

/// The wait after so many failures in a row: none after the first, whose next
/// sample is an interval away anyway.
fn own_wait(interval: Duration, failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    match failures {
        0 | 1 => Duration::ZERO,
        _ => interval
            .saturating_mul(doubled)
            .min(MOST_WAIT.max(interval)),
    }
}

/// The request for an instant query at the server's own time.
fn asked(base: &Url, promql: &str, headers: HeaderMap, tls: &Tls) -> Asked {
    api(base, "query", &[("query", promql)], headers, tls)
}

/// A request to `/api/v1/…` behind the base.
pub(super) fn api(
    base: &Url,
    endpoint: &str,
    pairs: &[(&str, &str)],
    mut headers: HeaderMap,
    tls: &Tls,
) -> Asked {
    let mut url = base.clone();
    let base = base.path().trim_end_matches('/');
    url.set_path(&format!("{base}/api/v1/{endpoint}"));
    let plain = url.clone();
    url.query_pairs_mut().extend_pairs(pairs);
    if url.as_str().len() <= LONGEST_URL {
        return Asked {
            method: Method::GET,
            url,
            headers,
            body: None,
            tls: tls.clone(),
            answers: Vec::new(),
        };
    }
    let encoded = url.query().unwrap_or_default();
    let before = plain.query().map_or(0, |query| query.len() + 1);
    let body = encoded.get(before..).unwrap_or_default().to_owned();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    Asked {
        method: Method::POST,
        url: plain,
        headers,
        body: Some(body),
        tls: tls.clone(),
        answers: Vec::new(),
    }
}

/// How long a server wants to be left alone (RFC 9110, section 10.2.3), where it
/// says so in seconds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

impl Question {
    /// Asks, and gives the bytes that came besides the answer.
    async fn ask_by(&mut self, deadline: Instant, still: Duration) -> (u64, Result<f64, Fault>) {
        let mut read = 0;
        let answer = timeout_at(deadline, self.ask(&mut read, still)).await;
        let answer = answer.unwrap_or_else(|_| {
            let late = Gap::new(GapKind::TimedOut, "no answer in time");
            Err(Fault::Server(late, None))
        });
        (read, answer)
    }

    async fn ask(&mut self, read: &mut u64, still: Duration) -> Result<f64, Fault> {
        let mut answer = self.request.send().await?;
        let status = answer.status();
        let wait = retry_after(answer.headers());
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            *read += piece.len() as u64;
            if body.len() + piece.len() > MOST_ANSWERED {
                let why = format!(
                    "the answer is larger than {MOST_ANSWERED} bytes: does the query give one number?"
                );
                return Err(Fault::Server(Gap::new(GapKind::TooLarge, why), wait));
            }
            body.extend_from_slice(piece);
        }
        self.request.keep(answer);
        let reply: Option<Reply> = serde_json::from_slice(&body).ok();
        let (time, value) = number(status, reply).map_err(|fault| match fault {
            Fault::Server(gap, None) => Fault::Server(gap, wait),
            fault => fault,
        })?;
        self.check_time(time, still)?;
        Ok(value)
    }

    /// Refuses an answer whose time stands still, or went back, by far.
    fn check_time(&mut self, time: f64, still: Duration) -> Result<(), Fault> {
        let stale = |why: String| Err(Fault::Answer(Gap::new(GapKind::Other, why)));
        match &self.evaluated {
            Some((last, since)) if last.total_cmp(&time).is_eq() => {
                let stood = since.elapsed();
                if stood <= still {
                    return Ok(());
                }
                stale(format!(
                    "the answer is stale: the same for {}",
                    Short(stood)
                ))
            }
            Some((last, _)) if time + still.as_secs_f64() < *last => {
                let back = Duration::try_from_secs_f64(last - time).unwrap_or(Duration::MAX);
                self.evaluated = Some((time, Stopwatch::start()));
                stale(format!(
                    "the answer is stale: {} older than the one before",
                    Short(back)
                ))
            }
            _ => {
                self.evaluated = Some((time, Stopwatch::start()));
                Ok(())
            }
        }
    }
}

/// The time and the number of an answer (Prometheus *HTTP API*, "Format
/// overview" and "Expression query result formats").
fn number(status: StatusCode, reply: Option<Reply>) -> Result<(f64, f64), Fault> {
    let server = |kind, why: String| Err(Fault::Server(Gap::new(kind, why), None));
    let answer = |kind, why: String| Err(Fault::Answer(Gap::new(kind, why)));
    let Some(reply) = reply else {
        return if status == StatusCode::OK {
            server(
                GapKind::Malformed,
                "the answer is not Prometheus's JSON".into(),
            )
        } else {
            server(GapKind::Status, format!("status {}", status.as_u16()))
        };
    };
    if reply.status != "success" || status != StatusCode::OK {
        let kind = reply.kind.unwrap_or_else(|| reply.status.clone());
        let message = reply.error.unwrap_or_default();
        let said = one_line(&format!("{kind}: {message}"));
        // 400 and 422 are about the query; the rest is about the server.
        return match status.as_u16() {
            200 | 400 | 422 => answer(GapKind::Malformed, said),
            code => server(GapKind::Status, format!("status {code}: {said}")),
        };
    }
    let Some(Data { kind, result }) = reply.data else {
        return server(GapKind::Malformed, "the answer has no data".into());
    };
    let pair = match (kind.as_str(), &result) {
        ("scalar", pair) => pair,
        ("vector", Value::Array(series)) => match series.as_slice() {
            [] => {
                return answer(GapKind::Other, "the answer is empty".into());
            }
            [one] => match one.get("value") {
                Some(pair) => pair,
                None => {
                    return answer(
                        GapKind::Malformed,
                        "the answer is a histogram, not a number".into(),
                    );
                }
            },
            several => {
                let n = several.len();
                return answer(
                    GapKind::Malformed,
                    format!("the answer has {n} series, not one: aggregate them, as with `sum(…)`"),
                );
            }
        },
        ("matrix" | "string", _) => {
            return answer(
                GapKind::Malformed,
                format!("the answer is a {kind}, not a number"),
            );
        }
        _ => return server(GapKind::Malformed, "the answer is of no known type".into()),
    };
    let time = pair.get(0).and_then(Value::as_f64);
    let value = pair.get(1).and_then(Value::as_str);
    match (time, value.and_then(|value| value.parse().ok())) {
        (Some(time), Some(value)) => Ok((time, value)),
        _ => server(GapKind::Malformed, "the answer's number is none".into()),
    }
}

/// What a server said, as a person may see it anywhere.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.trim().chars().take(SHOWN) {
        line.push(if c.is_control() { ' ' } else { c });
    }
    line.trim_end_matches([' ', ':']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let second = Duration::from_secs(1);
        let waits: Vec<u64> = (0..10).map(|n| own_wait(second, n).as_secs()).collect();
        assert_eq!(waits, [0, 0, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(own_wait(second * 600, 9), second * 600);
        assert_eq!(own_wait(second, u32::MAX), MOST_WAIT);
    }

    #[test]
    fn a_query_goes_behind_the_base_and_a_long_one_into_a_form() {
        let of = |base: &str, promql: &str| {
            let base = Url::parse(base).unwrap();
            asked(&base, promql, HeaderMap::new(), &Tls::default())
        };
        for (base, url) in [
            ("http://p:9090", "http://p:9090/api/v1/query?query=a%2Bb"),
            ("http://p/prom/", "http://p/prom/api/v1/query?query=a%2Bb"),
            (
                "http://p/?dedup=true",
                "http://p/api/v1/query?dedup=true&query=a%2Bb",
            ),
        ] {
            let asked = of(base, "a+b");
            assert_eq!((asked.method, asked.url.as_str()), (Method::GET, url));
        }
        let long = format!("sum({})", "x".repeat(5000));
        let asked = of("http://p/?dedup=true", &long);
        assert_eq!(asked.method, Method::POST);
        assert_eq!(asked.url.as_str(), "http://p/api/v1/query?dedup=true");
        assert!(asked.body.unwrap().starts_with("query=sum%28xxx"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_stands_still_or_goes_back_by_far_is_stale() {
        let client = Client::new();
        let base = Url::parse("http://p").unwrap();
        let mut question = Question {
            signal: "q".into(),
            series: Arc::new(asked_as("q")),
            request: Request::new(
                &client,
                asked(&base, "q", HeaderMap::new(), &Tls::default()),
            ),
            evaluated: None,
        };
        let still = Duration::from_secs(20);
        let mut at = async |time| {
            tokio::time::advance(Duration::from_secs(5)).await;
            question.check_time(time, still).is_ok()
        };
        for (time, fresh) in [
            (100.0, true),
            (100.0, true),
            (100.0, true),
            (100.0, true),
            (100.0, true),
            (100.0, false),
            (130.0, true),
            (120.0, true),
            (90.0, false),
            (95.0, true),
        ] {
            assert_eq!(at(time).await, fresh, "{time}");
        }
    }
}
