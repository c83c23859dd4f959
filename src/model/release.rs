//! A version of the service that was seen running.

use serde::{Deserialize, Serialize};

use super::Moment;

/// A release and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its name: the last component of a symlink's target, a label's value, or
    /// what was reported.
    pub version: String,
    /// When it was first seen running; releases are ordered by this.
    pub first_deployed: Moment,
    /// When it last began to run.
    pub deployed: Moment,
    /// What is known of it.
    pub standing: Standing,
    /// The person's word behind that standing, if it is one.
    #[serde(default)]
    pub said: Option<Declaration>,
}

/// A person's word on a release: it outranks what was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// Who, as the socket says.
    pub by: String,
    /// When.
    pub at: Moment,
    /// Why, in that person's words.
    pub reason: String,
}

/// What a person can say of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It may be gone back to.
    Good,
    /// It may not be gone back to.
    Bad,
    /// Takes such a word back: what is observed from now on counts.
    Unproven,
    /// It comes with a migration that cannot be taken back: what was deployed
    /// before it may not be gone back to.
    Irreversible,
    /// Takes that word back.
    Reversible,
}

impl Word {
    /// As a person types it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unproven => "unproven",
            Self::Irreversible => "irreversible",
            Self::Reversible => "reversible",
        }
    }
}

/// Whether a text that was read somewhere can name a release: there is
/// something in it, it fits a line, and it can be shown to people anywhere.
#[must_use]
pub(crate) fn is_version(text: &str) -> bool {
    const LONGEST: usize = 1024;
    !text.trim().is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

/// Good, bad or unproven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Ran `good_after` without a breach, clear in at least 80% of its ticks, or
    /// a person says so.
    Good,
    /// Was rolled back from, or a person says so.
    Bad,
    /// Neither yet.
    Unproven,
}

impl Standing {
    /// As status and reports name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unproven => "unproven",
        }
    }
}
