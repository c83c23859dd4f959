//! The agent's own configuration, checked: who holds which role, and how people
//! are reached.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `backstop.toml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Where metrics, health and the read-only API listen; `None` is nowhere.
    pub http: Option<String>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// Notifiers by name.
    pub notifiers: BTreeMap<String, Notifier>,
}

/// Who holds a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Unix users by name.
    pub users: Vec<String>,
    /// Unix groups by name.
    pub groups: Vec<String>,
}

/// A way to reach people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifier {
    /// Which channel.
    pub kind: NotifierKind,
    /// Templates that replace the default texts, by notice kind, in minijinja.
    pub templates: BTreeMap<String, String>,
    /// The deadline of one delivery.
    pub timeout: Duration,
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
