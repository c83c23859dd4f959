//! One notice through one notifier, once, at once: for a person who wants to
//! know whether it would be heard.

use super::channel::{Attempt, channel};
use crate::guard::Notice;
use crate::model::Notifier;

/// Delivers a notice past the outbox: nothing is queued, remembered or tried
/// again. `unix` is the wall clock, in seconds. Returns what the receiver said.
///
/// # Errors
///
/// Why it was not delivered, in words without secrets.
pub async fn try_once(notifier: &Notifier, notice: &Notice, unix: i64) -> Result<String, String> {
    let attempt = Attempt {
        notice,
        links: None,
        memory: None,
        unix,
    };
    match channel(notifier).deliver(attempt).await {
        Ok(delivered) => Ok(delivered.said),
        Err(failure) => Err(failure.reason),
    }
}
