//! What a notifier is to the outbox: something that a notice can be handed to,
//! and that says why when it cannot.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::run::Run;
use super::slack::Slack;
use super::webhook::Webhook;
use crate::guard::Notice;
use crate::model::{Notifier, NotifierKind};

/// A way to reach people. One attempt, with a deadline of its own; retrying is
/// the outbox's.
pub(super) trait Channel: Send + Sync {
    /// Hands a notice over. `unix` is the wall clock, in seconds. A future that
    /// is dropped leaves nothing running.
    fn deliver<'a>(&'a self, notice: &'a Notice, unix: i64) -> BoxFuture<'a, Result<(), Failure>>;
}

/// Why one attempt failed. The reason is for people and has no secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What was tried and what was found.
    pub(super) reason: String,
    /// Whether the receiver understood and said no to this very notice, so that
    /// the next one may fare better.
    pub(super) refused: bool,
    /// How long the receiver wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that may pass by itself.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            refused: false,
            retry_after: None,
        }
    }
}

/// The channel of a configured notifier.
pub(super) fn channel(notifier: &Notifier) -> Box<dyn Channel> {
    let templates: BTreeMap<String, String> = notifier.templates.clone();
    let timeout = notifier.timeout;
    match &notifier.kind {
        NotifierKind::Run { command } => Box::new(Run {
            command: command.clone(),
            templates,
            timeout,
        }),
        NotifierKind::Webhook {
            url,
            secret,
            headers,
        } => Box::new(Webhook {
            url: url.clone(),
            secret: secret.clone(),
            headers: headers.clone(),
            templates,
            timeout,
        }),
        NotifierKind::Slack { url } => Box::new(Slack {
            url: url.clone(),
            templates,
            timeout,
        }),
    }
}
