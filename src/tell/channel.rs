//! What a notifier is to the outbox: something that a notice can be handed to,
//! and that says why when it cannot.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::alertmanager::Alertmanager;
use super::email::Email;
use super::github::GitHub;
use super::message::Texts;
use super::pagerduty::PagerDuty;
use super::run::Run;
use super::slack::Slack;
use super::webhook::Webhook;
use crate::guard::Notice;
use crate::model::{Notifier, NotifierKind};
use crate::view::answer::AnswerLinks;

/// A way to reach people. One attempt, with a deadline of its own; retrying is
/// the outbox's.
pub(super) trait Channel: Send + Sync {
    /// Hands a notice over. A future that is dropped leaves nothing running.
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>>;

    /// Whether its notices of one matter make one thing at the receiver, which
    /// must not be opened again by a late notice once it was closed.
    fn is_threaded(&self) -> bool {
        false
    }

    /// How often the receiver has to be told again of what is open, lest it
    /// takes it for over; most never.
    fn keep_alive(&self) -> Option<Duration> {
        None
    }

    /// Tells it again, from what was remembered. `unix` is the wall clock, in
    /// seconds.
    fn refresh<'a>(&'a self, _memory: &'a str, _unix: i64) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A notice to hand over.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    /// The notice.
    pub(super) notice: &'a Notice,
    /// Links to answer it by, where the notifier answers as somebody. No secret
    /// of them may stay anywhere.
    pub(super) links: Option<&'a AnswerLinks>,
    /// What this channel has remembered of the notice's thread.
    pub(super) memory: Option<&'a str>,
    /// The wall clock, in seconds.
    pub(super) unix: i64,
}

/// A notice was handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// What the receiver said, for people; no secret in it.
    pub(super) said: String,
    /// What is to be remembered of the notice's thread from now on.
    pub(super) memory: Memory,
}

impl Delivered {
    /// With nothing to remember.
    pub(super) fn saying(said: impl Into<String>) -> Self {
        Self {
            said: said.into(),
            memory: Memory::default(),
        }
    }

    /// With something to remember.
    pub(super) fn keeping(self, memory: impl Into<String>) -> Self {
        Self {
            memory: Memory::Is(memory.into()),
            ..self
        }
    }
}

/// What a channel remembers of a thread, over restarts: the number of an issue,
/// an alert as it was posted. No secrets: it stands in the outbox's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Memory {
    /// What it was.
    #[default]
    AsItWas,
    /// This.
    Is(String),
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

    /// The receiver said no to this very notice.
    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self {
            refused: true,
            ..Self::new(reason)
        }
    }
}

/// The channel of a configured notifier.
pub(super) fn channel(notifier: &Notifier) -> Box<dyn Channel> {
    let texts = Texts::of(notifier);
    let timeout = notifier.timeout;
    match &notifier.kind {
        NotifierKind::Run { command } => Box::new(Run {
            command: command.clone(),
            texts,
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
            texts,
            timeout,
        }),
        NotifierKind::Slack { url } => Box::new(Slack {
            url: url.clone(),
            texts,
            timeout,
        }),
        NotifierKind::PagerDuty {
            routing_key,
            url,
            links,
        } => Box::new(PagerDuty {
            routing_key: routing_key.clone(),
            url: url.clone(),
            links: links.clone(),
            texts,
            timeout,
        }),
        NotifierKind::Email {
            host,
            port,
            tls,
            ca,
            login,
            from,
            to,
        } => Box::new(Email {
            host: host.clone(),
            port: *port,
            tls: *tls,
            ca: ca.clone(),
            login: login.clone(),
            from: from.clone(),
            to: to.clone(),
            texts,
            timeout,
        }),
        NotifierKind::GitHub {
            repository,
            token,
            api,
            labels,
        } => Box::new(GitHub {
            repository: repository.clone(),
            token: token.clone(),
            api: api.clone(),
            labels: labels.clone(),
            texts,
            timeout,
        }),
        NotifierKind::Alertmanager {
            urls,
            token,
            labels,
        } => Box::new(Alertmanager {
            urls: urls.clone(),
            token: token.clone(),
            labels: labels.clone(),
            texts,
            timeout,
        }),
    }
}
