//! When a trigger in shadow is fit to enforce, by the rule of its policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What must have been seen of a trigger in shadow before it is said to be fit to
/// enforce. It is said and nothing else: a person changes the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promote {
    /// So long it has been judged.
    pub after: Duration,
    /// So often it had a verdict, clear or breach; at least 1.
    pub evaluations: u64,
    /// Most fires that nobody agreed with.
    pub false_fires: u64,
}

impl Default for Promote {
    /// Two weeks, so that each day of the week was seen twice; with a verdict at
    /// least 10,000 times; and no false alarm.
    fn default() -> Self {
        Self {
            after: Duration::from_hours(14 * 24),
            evaluations: 10_000,
            false_fires: 0,
        }
    }
}
