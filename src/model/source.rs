//! Where raw samples come from: the sources of a policy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Pattern, Selector};

/// Where raw samples come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// What is sampled, and how.
    pub kind: SourceKind,
    /// How often; a multiple of the policy's interval.
    pub interval: Duration,
    /// The deadline of one whole sample.
    pub timeout: Duration,
    /// Failures in a row that make it *down*.
    pub fail_after: u32,
    /// Successes in a row that make it *up*.
    pub pass_after: u32,
}

/// The types of source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SourceKind {
    /// A Prometheus text or OpenMetrics page.
    Scrape {
        /// Where it is.
        url: String,
        /// Sent with the request.
        headers: BTreeMap<String, String>,
        /// Most bytes of a body, decompressed.
        max_body: u64,
        /// Certificates.
        tls: Tls,
    },
    /// One HTTP request.
    Probe {
        /// Where to.
        url: String,
        /// `GET` by default.
        method: String,
        /// Sent with the request.
        headers: BTreeMap<String, String>,
        /// Sent with the request.
        body: Option<String>,
        /// What makes an answer a success.
        expect: Expect,
        /// Certificates.
        tls: Tls,
    },
    /// A TCP connection.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// Queries of a Prometheus, or of what speaks as one.
    Prometheus {
        /// The base of its API: `/api/v1/query` goes behind it.
        url: String,
        /// Sent with the requests.
        headers: BTreeMap<String, String>,
        /// Certificates.
        tls: Tls,
        /// What the signals on it ask, by the signal's name.
        queries: BTreeMap<String, String>,
    },
    /// A command: its exit status, and the series that it prints.
    Run {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// Lines of a file, counted.
    Log {
        /// The file.
        path: String,
        /// What is counted, by the name of the counter.
        matches: BTreeMap<String, Pattern>,
    },
    /// Alerts that Alertmanager posts. Nothing is sampled: it is told.
    Alertmanager {
        /// The flags that alerts set, by name: what their labels must match.
        matches: BTreeMap<String, Selector>,
        /// Who may post; empty is anybody who may speak to the agent.
        roles: Vec<String>,
    },
    /// What people and programs say with `backstop push` or over HTTP.
    Push {
        /// Who may; empty is anybody who may speak to the agent.
        roles: Vec<String>,
    },
}

impl SourceKind {
    /// The `type` of the source as policies write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scrape { .. } => "scrape",
            Self::Probe { .. } => "probe",
            Self::Tcp { .. } => "tcp",
            Self::Prometheus { .. } => "prometheus",
            Self::Run { .. } => "run",
            Self::Log { .. } => "log",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Push { .. } => "push",
        }
    }

    /// Whether a sample of it is a page of series, rather than an answer.
    #[must_use]
    pub const fn has_series(&self) -> bool {
        match self {
            Self::Scrape { .. }
            | Self::Prometheus { .. }
            | Self::Run { .. }
            | Self::Log { .. }
            | Self::Alertmanager { .. }
            | Self::Push { .. } => true,
            Self::Probe { .. } | Self::Tcp { .. } => false,
        }
    }

    /// Whether its series are those of an exposition: every kind of metric.
    #[must_use]
    pub const fn has_exposition(&self) -> bool {
        matches!(self, Self::Scrape { .. } | Self::Run { .. })
    }

    /// Whether its samples say the same: what other signals ask of it changes
    /// nothing for one.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Prometheus {
                    url, headers, tls, ..
                },
                Self::Prometheus {
                    url: its_url,
                    headers: its_headers,
                    tls: its_tls,
                    ..
                },
            ) => (url, headers, tls) == (its_url, its_headers, its_tls),
            _ => self == other,
        }
    }

    /// Whether it can be said to be up or down: a log is no check of anything,
    /// that nobody says anything is no fault, and a Prometheus that is out says
    /// nothing of the service.
    #[must_use]
    pub const fn has_health(&self) -> bool {
        match self {
            Self::Scrape { .. } | Self::Probe { .. } | Self::Tcp { .. } | Self::Run { .. } => true,
            Self::Prometheus { .. }
            | Self::Log { .. }
            | Self::Alertmanager { .. }
            | Self::Push { .. } => false,
        }
    }

    /// Whether others tell it, rather than the agent sampling it.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        match self {
            Self::Alertmanager { .. } | Self::Push { .. } => true,
            Self::Scrape { .. }
            | Self::Probe { .. }
            | Self::Tcp { .. }
            | Self::Prometheus { .. }
            | Self::Run { .. }
            | Self::Log { .. } => false,
        }
    }

    /// Who may tell it something: one of these roles must be held. Empty is
    /// anybody, also for a source that is told nothing.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        match self {
            Self::Alertmanager { roles, .. } | Self::Push { roles } => roles,
            Self::Scrape { .. }
            | Self::Probe { .. }
            | Self::Tcp { .. }
            | Self::Prometheus { .. }
            | Self::Run { .. }
            | Self::Log { .. } => &[],
        }
    }
}

/// Paths of PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Root certificates to trust instead of the system's.
    pub ca: Option<String>,
    /// Client certificate.
    pub cert: Option<String>,
    /// Client key.
    pub key: Option<String>,
}

/// What makes the answer to a probe, or to a step, a success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// Accepted statuses; empty means any 2xx.
    pub status: Vec<u16>,
    /// Text that the body must contain.
    pub body_contains: Option<String>,
    /// JSONPath (RFC 9535) → the value that it must have.
    pub json: BTreeMap<String, serde_json::Value>,
    /// The latest at which the whole answer must be in.
    pub within: Option<Duration>,
}
