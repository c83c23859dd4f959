//! The agent's own configuration, checked: who holds which role, and how people
//! are reached.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TokenHash;

/// `backstop.toml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Where metrics, health and the read-only API listen; `None` is nowhere.
    pub http: Option<String>,
    /// Where people reach that address, as links in notices begin: through a
    /// proxy, as often as not. Without a slash at its end.
    pub public_url: Option<String>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// Tokens by name: what a program shows that pushes over HTTP.
    pub tokens: BTreeMap<String, TokenHash>,
    /// Notifiers by name.
    pub notifiers: BTreeMap<String, Notifier>,
    /// How much of the past is kept.
    #[serde(default)]
    pub history: History,
}

/// How much of the past is kept: whichever bound is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// How old samples become.
    pub keep: Duration,
    /// How many bytes samples and decisions take together, about.
    pub size: u64,
}

impl Default for History {
    /// 30 days in 1 GiB.
    fn default() -> Self {
        Self {
            keep: Duration::from_hours(30 * 24),
            size: 1 << 30,
        }
    }
}

/// Who holds a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// People by name: Unix users, and those that notifiers answer as.
    pub users: Vec<String>,
    /// Unix groups by name.
    pub groups: Vec<String>,
    /// Tokens by name.
    pub tokens: Vec<String>,
}

/// A way to reach people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifier {
    /// Which channel.
    pub kind: NotifierKind,
    /// Templates that replace the default texts, by notice kind, in minijinja.
    pub templates: BTreeMap<String, String>,
    /// The template of every kind that has none of its own; `None` is the
    /// default texts.
    pub template: Option<String>,
    /// The deadline of one delivery.
    pub timeout: Duration,
    /// What it is given at most; the rest waits.
    pub rate: Option<Rate>,
    /// The kinds of notice that it is for; empty is all.
    pub only: Vec<String>,
    /// Whom the answers come from that are given by its links; `None` puts no
    /// links into its notices. Some role's `users` names it.
    #[serde(default)]
    pub answers_as: Option<String>,
}

/// At most `notices` in any `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Rate {
    pub notices: u32,
    pub period: Duration,
}

/// The channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotifierKind {
    /// A command, with the notice as JSON on its standard input.
    Run {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// An HTTP POST of the notice as JSON, signed when there is a secret.
    Webhook {
        /// Where to, or the file that says so.
        url: Secret,
        /// The key of the HMAC-SHA256 signature.
        secret: Option<Secret>,
        /// Sent with the request.
        headers: BTreeMap<String, String>,
    },
    /// A Slack incoming webhook.
    Slack {
        /// The webhook's URL, which is itself a secret.
        url: Secret,
    },
    /// PagerDuty's Events API v2.
    PagerDuty {
        /// The integration's key.
        routing_key: Secret,
        /// The base of the API: it differs by region.
        url: String,
        /// Links on each alert: text → address.
        links: BTreeMap<String, String>,
    },
    /// Prometheus's Alertmanager, API v2.
    Alertmanager {
        /// The bases of every one of a cluster; never empty.
        urls: Vec<String>,
        /// A bearer's token.
        token: Option<Secret>,
        /// Put on every alert.
        labels: BTreeMap<String, String>,
    },
    /// An issue of GitHub.
    GitHub {
        /// `owner/name`.
        repository: String,
        /// Of a person or an app that may write issues.
        token: Secret,
        /// The base of the API: an Enterprise server has its own.
        api: String,
        /// Labels that a new issue gets.
        labels: Vec<String>,
    },
    /// Mail, by SMTP.
    Email {
        /// The server's name or address.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is encrypted.
        tls: MailTls,
        /// A file with the authority that signed the server's certificate.
        ca: Option<String>,
        /// User and password.
        login: Option<(Secret, Secret)>,
        /// Whose name is on it.
        from: String,
        /// Who gets it; never empty.
        to: Vec<String>,
    },
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailTls {
    /// After `STARTTLS`, which the server must offer.
    StartTls,
    /// From the first byte.
    Tls,
    /// Not at all: for a server on this host.
    None,
}

/// Where a secret comes from. Never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Secret {
    /// Written in the config: for addresses that are no secret.
    Plain(String),
    /// A file's content, trimmed.
    File(String),
    /// An environment variable.
    Env(String),
    /// A systemd credential, `$CREDENTIALS_DIRECTORY/NAME`.
    Credential(String),
}
