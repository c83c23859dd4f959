//! Sources → outcomes: one sample at a time, under one deadline.
//!
//! A [`Sensor`] samples one source. Whatever the other side does, hangs, lies or
//! floods, comes back as an [`Outcome`] within the source's timeout, with a
//! reason that says whose fault it looks like; nothing here panics, retries for
//! long, or keeps more of an answer than was asked for. Sensors know neither
//! ticks nor moments: the agent decides when, and stamps what comes back.
//!
//! [`exposition`] is a pure parser and may be used by the replay driver, which
//! reads recorded samples in the same format. Nothing else here is meant for
//! any room but the agent.

mod answer;
mod certificates;
mod client;
mod command;
mod connect;
pub mod exposition;
mod fault;
mod log;
pub mod past;
mod probe;
mod prometheus;
mod resolve;
mod run;
mod scrape;
mod selfcheck;
mod stopwatch;
mod tcp;
mod version;

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

pub use client::Client;
pub use selfcheck::selfcheck;
pub use version::VersionCommand;

use crate::model::{Gap, GapKind, Outcome, Selector, Short, Source, SourceKind};
use log::Log;
use probe::{Probe, Sent};
use prometheus::Prometheus;
use run::Run;
use scrape::Scrape;
use stopwatch::Stopwatch;
use tcp::Tcp;

/// Why a source cannot be sampled at all. A checked policy gives none of these.
#[derive(Debug, thiserror::Error)]
pub enum SenseError {
    /// The URL is none, or not of `http` or `https`.
    #[error("`{url}` is not a URL that can be sampled: {why}")]
    Url {
        /// The URL as written.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A header's name or value has characters that HTTP forbids.
    #[error("the header `{name}` cannot be sent")]
    Header {
        /// Its name.
        name: String,
    },
    /// No HTTP method.
    #[error("`{method}` is not an HTTP method")]
    Method {
        /// The method as written.
        method: String,
    },
    /// No JSONPath (RFC 9535).
    #[error("`{path}` is not a JSONPath")]
    JsonPath {
        /// The path as written.
        path: String,
        /// Where it is wrong.
        #[source]
        error: serde_json_path::ParseError,
    },
    /// Others tell it: there is nothing to sample.
    #[error("the source is told, and not sampled")]
    Told,
    /// No `host:port`.
    #[error("`{address}` is not an address: expected `host:port`")]
    Address {
        /// The address as written.
        address: String,
    },
}

/// What came of one sample, and what it cost.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The samples, the answer, or the gap.
    pub outcome: Outcome,
    /// Bytes of body that were read, decompressed.
    pub bytes: u64,
    /// From the start to the outcome; about the source's timeout at most.
    pub took: Duration,
}

/// Samples one source.
#[derive(Debug)]
pub struct Sensor {
    name: String,
    timeout: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Scrape(Box<Scrape>),
    Probe(Box<Probe>),
    Tcp(Tcp),
    Prometheus(Box<Prometheus>),
    Run(Box<Run>),
    Log(Log),
}

impl Sensor {
    /// A sensor for a source of this name. The selectors are those of all
    /// signals on it, and of the release where it reads a metric; sources that
    /// are not scraped ignore them.
    ///
    /// # Errors
    ///
    /// When the source cannot be sampled at all: its URL, header, method,
    /// JSONPath or address is none.
    pub fn new(
        name: impl Into<String>,
        source: &Source,
        selectors: Vec<Selector>,
        client: &Client,
    ) -> Result<Self, SenseError> {
        let kind = match &source.kind {
            SourceKind::Scrape {
                url,
                headers,
                max_body,
                tls,
            } => Kind::Scrape(Box::new(Scrape::new(
                url, headers, *max_body, tls, selectors, client,
            )?)),
            SourceKind::Probe {
                url,
                method,
                headers,
                body,
                expect,
                tls,
            } => {
                let sent = Sent {
                    url,
                    method,
                    headers,
                    body: body.as_ref(),
                    tls,
                };
                Kind::Probe(Box::new(Probe::new(&sent, expect, client)?))
            }
            SourceKind::Tcp { address } => Kind::Tcp(Tcp::new(address, client)?),
            SourceKind::Prometheus {
                url,
                headers,
                tls,
                queries,
            } => Kind::Prometheus(Box::new(Prometheus::new(
                url,
                headers,
                tls,
                queries,
                source.interval,
                client,
            )?)),
            SourceKind::Run { command } => Kind::Run(Box::new(Run::new(command, selectors))),
            SourceKind::Log { path, matches } => Kind::Log(Log::new(path, matches.iter())),
            SourceKind::Alertmanager { .. } | SourceKind::Push { .. } => {
                return Err(SenseError::Told);
            }
        };
        Ok(Self {
            name: name.into(),
            timeout: source.timeout,
            kind,
        })
    }

    /// The source's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Other selectors from now on. Everything known of the source's series is
    /// forgotten; samples carry fresh `Arc`s.
    pub fn select(&mut self, selectors: Vec<Selector>) {
        match &mut self.kind {
            Kind::Scrape(scrape) => scrape.select(selectors),
            Kind::Run(run) => run.select(selectors),
            Kind::Probe(_) | Kind::Tcp(_) | Kind::Prometheus(_) | Kind::Log(_) => {}
        }
    }

    /// Whether the last sample left something running that has to be ended
    /// before the next one: see [`Sensor::settle`].
    #[must_use]
    pub const fn is_unsettled(&self) -> bool {
        match &self.kind {
            Kind::Run(run) => run.command.is_unsettled(),
            Kind::Scrape(_)
            | Kind::Probe(_)
            | Kind::Tcp(_)
            | Kind::Prometheus(_)
            | Kind::Log(_) => false,
        }
    }

    /// Ends what the last sample left running: within some ten seconds, even if
    /// a process sits in the kernel and cannot be killed. A sensor that is
    /// dropped instead kills it.
    pub async fn settle(&mut self) {
        if let Kind::Run(run) = &mut self.kind {
            run.command.settle().await;
        }
    }

    /// One whole sample, from the connection to the last byte, within the
    /// source's timeout. May be cancelled at any time.
    pub async fn sample(&mut self) -> Sampled {
        let watch = Stopwatch::start();
        let mut bytes = 0;
        let sampled =
            tokio::time::timeout(self.timeout, self.kind.sample(&mut bytes, self.timeout)).await;
        let outcome = match sampled {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(gap)) => Outcome::Failed(gap),
            Err(_) => Outcome::Failed(self.late(bytes)),
        };
        Sampled {
            outcome,
            bytes,
            took: watch.elapsed(),
        }
    }

    /// Why no whole answer came in time. A silent name server is blindness, not
    /// a service that is down.
    fn late(&self, bytes: u64) -> Gap {
        let within = Short(self.timeout);
        if let Kind::Run(_) = self.kind {
            return command::unknown(format!("did not end within {within}"));
        }
        if self.kind.is_resolving() {
            return Gap::new(
                GapKind::Unresolved,
                format!("the name server did not answer within {within}"),
            );
        }
        let detail = if bytes > 0 {
            format!("no whole answer within {within}: {bytes} bytes of body came")
        } else {
            format!("no answer within {within}")
        };
        Gap::new(GapKind::TimedOut, detail)
    }
}

impl Kind {
    async fn sample(&mut self, bytes: &mut u64, timeout: Duration) -> Result<Outcome, Gap> {
        match self {
            Self::Scrape(scrape) => scrape.sample(bytes).await.map(Outcome::Scraped),
            Self::Probe(probe) => probe.sample(bytes).await,
            Self::Tcp(tcp) => tcp.sample().await,
            // A little less, for one that hangs costs only its own answer.
            Self::Prometheus(prometheus) => {
                let spare = (timeout / 20).min(Duration::from_millis(50));
                prometheus
                    .sample(bytes, timeout.saturating_sub(spare))
                    .await
            }
            Self::Run(run) => run.sample(bytes).await.map(Outcome::Scraped),
            Self::Log(log) => log.sample(bytes).await.map(Outcome::Scraped),
        }
    }

    fn is_resolving(&self) -> bool {
        let (client, host) = match self {
            Self::Scrape(scrape) => (scrape.request.client(), scrape.request.host()),
            Self::Probe(probe) => (probe.request.client(), probe.request.host()),
            Self::Tcp(tcp) => (&tcp.client, tcp.host.as_str()),
            Self::Prometheus(prometheus) => match prometheus.request() {
                Some(request) => (request.client(), request.host()),
                None => return false,
            },
            Self::Run(_) | Self::Log(_) => return false,
        };
        client.resolver().is_out(host)
    }
}

fn url(text: &str) -> Result<Url, SenseError> {
    let refuse = |why: String| SenseError::Url {
        url: text.to_owned(),
        why,
    };
    let url = Url::parse(text).map_err(|error| refuse(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(refuse(format!("expected http or https, not {scheme}"))),
    }
}

fn headers(extra: &BTreeMap<String, String>) -> Result<HeaderMap, SenseError> {
    let mut headers = HeaderMap::new();
    for (name, value) in extra {
        let refuse = || SenseError::Header { name: name.clone() };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?;
        let value = HeaderValue::from_str(value).map_err(|_| refuse())?;
        headers.insert(key, value);
    }
    Ok(headers)
}
