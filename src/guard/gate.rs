//! What can keep a fired trigger from acting, in the order in which it is
//! asked. The first that holds is recorded, shown, and told once.

use serde::{Deserialize, Serialize};

/// The gates of SPEC 3, *What a fired trigger does*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// A person, or the agent over a damaged journal, stopped all acting.
    Freeze,
    /// A release was deployed less than `settle` ago.
    Settling,
    /// The breach did not begin within `blame` after a release.
    Attribution,
    /// There is no release to go back to.
    NoTarget,
    /// Another run of this service is not over.
    Incident,
    /// The last run ended less than `cooldown` ago.
    Cooldown,
    /// As many runs as the budget allows were made in its period.
    Budget,
}

impl Gate {
    /// Stable name, as JSON and metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Settling => "settling",
            Self::Attribution => "attribution",
            Self::NoTarget => "no_target",
            Self::Incident => "incident",
            Self::Cooldown => "cooldown",
            Self::Budget => "budget",
        }
    }
}
