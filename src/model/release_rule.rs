//! How the running release is known, and which one is gone back to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Glob, Selector};

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
