//! A checked policy: everything Backstop knows about one service.
//!
//! `policy::load` makes these from TOML and is the only place that does outside
//! tests; whatever is here has been checked there. Field meanings and defaults
//! are SPEC 3's; durations are spans of time, never zero unless said.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Condition, Glob, Pattern, Plan, Promote, Selector, Series, Unit};

/// One service's policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The service's name.
    pub service: String,
    /// Shadow or enforce.
    pub mode: Mode,
    /// The sampling and judging tick, at least 100 ms.
    pub interval: Duration,
    /// Where samples come from, by name.
    pub sources: BTreeMap<String, Source>,
    /// Values derived from them, by name.
    pub signals: BTreeMap<String, Signal>,
    /// The decision matrix, in the file's order.
    pub triggers: Vec<Trigger>,
    /// How the running release is known; without it there are no gates on
    /// releases and no `{target}`.
    pub release: Option<ReleaseRule>,
    /// Plans by name.
    pub plans: BTreeMap<String, Plan>,
    /// Escalation levels in order.
    pub escalation: Vec<Level>,
}

/// Record and tell only, or act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mode {
    Shadow,
    Enforce,
}

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

/// A value derived from a source over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The source it reads.
    pub source: String,
    /// How it is computed.
    pub kind: SignalKind,
    /// Over how long; at least two intervals of its source.
    pub window: Duration,
    /// What its numbers are.
    pub unit: Unit,
}

impl Signal {
    /// The name that its source is told of, for signals that are told.
    #[must_use]
    pub fn told_name(&self) -> Option<&str> {
        match &self.kind {
            SignalKind::Count(of) | SignalKind::Flag { of, .. } | SignalKind::Value { of, .. } => {
                of.name()
            }
            SignalKind::Ratio { .. }
            | SignalKind::Rate(_)
            | SignalKind::Increase(_)
            | SignalKind::Histogram { .. }
            | SignalKind::Latency { .. }
            | SignalKind::Age { .. }
            | SignalKind::Query { .. } => None,
        }
    }
}

/// The kinds of signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SignalKind {
    /// increase(of) ÷ increase(to).
    Ratio {
        /// The part.
        of: Selector,
        /// The whole.
        to: Selector,
    },
    /// Increase per second.
    Rate(Selector),
    /// Events in the window.
    Increase(Selector),
    /// A quantile of a classic histogram.
    Histogram {
        /// Which quantile, in (0, 1).
        q: f64,
        /// Selects the `…_bucket` series.
        buckets: Selector,
    },
    /// A quantile of a probe's or connection's latency, exact.
    Latency {
        /// Which quantile, in (0, 1).
        q: f64,
    },
    /// A gauge.
    Value {
        /// Which.
        of: Selector,
        /// How several series are combined.
        by: By,
        /// How the window is combined.
        over: Over,
    },
    /// Now − the gauge, read as Unix seconds.
    Age {
        /// Which; of several series the oldest counts.
        of: Selector,
    },
    /// One number that a Prometheus answers.
    Query {
        /// The query, in PromQL.
        promql: String,
        /// The series that the answer is kept as: see [`asked_as`].
        of: Selector,
    },
    /// Events that a source was told of in the window. Unlike an increase it
    /// needs no coverage: none can be missed.
    Count(Selector),
    /// Set or not, as a source was told.
    Flag {
        /// Which.
        of: Selector,
        /// How long it stays set when nobody clears it; `None` is for ever.
        ttl: Option<Duration>,
    },
}

/// The series that the answers to a signal's query are kept as, live and in a
/// recording: `backstop_query{signal="NAME"}`.
#[must_use]
pub fn asked_as(signal: &str) -> Series {
    let labels = vec![("signal".to_owned(), signal.to_owned())];
    Series::new("backstop_query", labels)
}

impl SignalKind {
    /// What it reads of its source's series; nothing of a latency.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let (of, to) = match self {
            Self::Ratio { of, to } => (Some(of), Some(to)),
            Self::Rate(of)
            | Self::Increase(of)
            | Self::Histogram { buckets: of, .. }
            | Self::Value { of, .. }
            | Self::Age { of }
            | Self::Query { of, .. }
            | Self::Count(of)
            | Self::Flag { of, .. } => (Some(of), None),
            Self::Latency { .. } => (None, None),
        };
        of.into_iter().chain(to)
    }
}

/// How several series of a gauge are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum By {
    Max,
    Min,
    Sum,
    Avg,
}

/// How a gauge's window is combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Over {
    Last,
    Avg,
    Max,
    Min,
}

/// One row of the decision matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// When it fires.
    pub when: Condition,
    /// How bad that is.
    pub severity: Severity,
    /// What it does then.
    pub response: Response,
    /// The plan it runs.
    pub plan: String,
    /// Shadow, or the policy's mode. Never enforce in a shadow policy.
    pub mode: Mode,
    /// When it is said to be fit to enforce; only of one in shadow.
    #[serde(default)]
    pub promote: Option<Promote>,
    /// Least events of the proof.
    pub min_events: u64,
    /// Confidence of the proof, in [0, 1); 0 switches the bound off.
    pub confidence: f64,
    /// Least share of judged ticks in the hold, in (0, 1].
    pub coverage: f64,
    /// Neighbouring judged ticks further apart than this start the hold anew.
    pub max_gap: Duration,
    /// How long it must be clear to be resolved.
    pub clear_for: Duration,
    /// How long it may be blind before somebody is told.
    pub blind_after: Duration,
}

/// How bad a fired trigger is. Ordered: low is least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// As policies write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What a fired trigger does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Rolls back at once.
    Rollback,
    /// Asks people first.
    Approve(Approve),
    /// Tells only.
    Alert,
}

impl Response {
    /// As policies write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Approve(_) => "approve",
            Self::Alert => "alert",
        }
    }
}

/// Who is asked, how many must agree, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approve {
    /// Roles that may answer; empty means anybody who may use the socket.
    pub roles: Vec<String>,
    /// Distinct people who must agree, at least 1.
    pub quorum: u32,
    /// One of each role must be among them: a person speaks for one.
    #[serde(default)]
    pub each: bool,
    /// Until when, from the question.
    pub within: Duration,
    /// What happens after that.
    pub otherwise: Otherwise,
}

/// What happens when nobody answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Otherwise {
    Escalate,
    Rollback,
    Dismiss,
}

/// How the running release is known, and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseRule {
    /// What says which release runs.
    pub current: Current,
    /// How long a release must run without a breach to be good.
    pub good_after: Duration,
    /// No rollback so soon after a release; zero switches it off.
    pub settle: Duration,
    /// Only breaches that began within this time of a release are its fault;
    /// `None` does not ask.
    pub blame: Option<Duration>,
    /// Which release is gone back to.
    #[serde(default)]
    pub pick: Pick,
    /// Must succeed before anything is touched.
    pub check: Option<Vec<String>>,
    /// What follows when it does not.
    #[serde(default)]
    pub unchecked: Unchecked,
    /// Where there is no good release, take the one before.
    pub fallback_previous: bool,
    /// The release that came with a migration which cannot be taken back: what
    /// was deployed before it is never gone back to.
    #[serde(default)]
    pub irreversible_since: Option<String>,
}

/// Which of the releases before the running one is gone back to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pick {
    /// The newest good one.
    #[default]
    NewestGood,
    /// This one, good or not proven.
    Version(String),
    /// The newest good one of these.
    Pattern(Glob),
}

/// What follows when a target fails its check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unchecked {
    /// A person is called.
    #[default]
    Escalate,
    /// The next best target is checked, a few of them.
    Next,
}

/// What says which release runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Current {
    /// The last component of this link's target.
    Symlink(String),
    /// The first line of this file, trimmed.
    File(String),
    /// A label of a metric.
    Metric {
        /// Selects the metric, such as `app_build_info`.
        metric: Selector,
        /// The label that has the version.
        label: String,
        /// The scrape source that carries it.
        source: String,
    },
    /// The first line that this command prints, trimmed.
    Run(Vec<String>),
    /// `backstop deploy` says so.
    Reported,
}

/// One level of escalation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Names of notifiers.
    pub notify: Vec<String>,
    /// From the moment the incident opens, or when a rollback failed.
    pub on: LevelOn,
    /// Told again this often until acknowledged.
    pub repeat: Option<Duration>,
}

/// When a level of escalation is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LevelOn {
    /// So long after the incident opened; may be zero.
    After(Duration),
    /// At once when a rollback failed, was not cured or lost track.
    Failed,
    /// While an incident is open and this condition's whole hold is met, which
    /// may have begun before it.
    When(Condition),
    /// While an incident is open and more than this was lost of one of these.
    Loss(BTreeMap<String, f64>),
}
