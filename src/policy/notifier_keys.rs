//! The kinds of notifier, and the keys that each of them knows.

/// The ways to give a value: plain, file, environment, credential.
pub(super) type Ways = [&'static str; 4];

pub(super) const URL: Ways = ["url", "url_file", "url_env", "url_credential"];
pub(super) const SIGNED: Ways = ["secret", "secret_file", "secret_env", "secret_credential"];
pub(super) const ROUTING_KEY: Ways = [
    "routing_key",
    "routing_key_file",
    "routing_key_env",
    "routing_key_credential",
];
pub(super) const USER: Ways = ["user", "user_file", "user_env", "user_credential"];
pub(super) const PASSWORD: Ways = [
    "password",
    "password_file",
    "password_env",
    "password_credential",
];
pub(super) const TOKEN: Ways = ["token", "token_file", "token_env", "token_credential"];

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Run,
    Webhook,
    Slack,
    PagerDuty,
    Alertmanager,
    GitHub,
    Email,
}

pub(super) const KINDS: [(&str, Kind); 7] = [
    ("run", Kind::Run),
    ("webhook", Kind::Webhook),
    ("slack", Kind::Slack),
    ("pagerduty", Kind::PagerDuty),
    ("alertmanager", Kind::Alertmanager),
    ("github", Kind::GitHub),
    ("email", Kind::Email),
];

const RUN: &[&str] = &[
    "type",
    "timeout",
    "rate",
    "only",
    "answers_as",
    "text",
    "template",
    "templates",
    "command",
];
const WEBHOOK: &[&str] = &[
    "type",
    "timeout",
    "rate",
    "only",
    "answers_as",
    "text",
    "template",
    "templates",
    "url",
    "url_file",
    "url_env",
    "url_credential",
    "secret",
    "secret_file",
    "secret_env",
    "secret_credential",
    "headers",
];
const SLACK: &[&str] = &[
    "type",
    "timeout",
    "rate",
    "only",
    "answers_as",
    "text",
    "template",
    "templates",
    "url",
    "url_file",
    "url_env",
    "url_credential",
];
// What holds an alert or an issue per incident has no `only`: it must hear of the
// end of what it has opened. It has no `answers_as` either: it keeps what it is
// told, for more than one person to read.
const PAGERDUTY: &[&str] = &[
    "type",
    "timeout",
    "rate",
    "text",
    "template",
    "templates",
    "url",
    "routing_key",
    "routing_key_file",
    "routing_key_env",
    "routing_key_credential",
    "links",
];
const ALERTMANAGER: &[&str] = &[
    "type",
    "timeout",
    "rate",
    "text",
    "template",
    "templates",
    "urls",
    "token",
    "token_file",
    "token_env",
    "token_credential",
    "labels",
];
const GITHUB: &[&str] = &[
    "type",
    "timeout",
    "rate",
    "text",
    "template",
    "templates",
    "repository",
    "token",
    "token_file",
    "token_env",
    "token_credential",
    "api",
    "labels",
];
const EMAIL: &[&str] = &[
    "type",
    "timeout",
    "rate",
    "only",
    "answers_as",
    "text",
    "template",
    "templates",
    "server",
    "tls",
    "ca",
    "user",
    "user_file",
    "user_env",
    "user_credential",
    "password",
    "password_file",
    "password_env",
    "password_credential",
    "from",
    "to",
];
/// For a channel whose type is not known: no key of any is called unknown.
const ANY: &[&str] = &[
    "type",
    "timeout",
    "rate",
    "only",
    "answers_as",
    "text",
    "template",
    "templates",
    "command",
    "url",
    "url_file",
    "url_env",
    "url_credential",
    "secret",
    "secret_file",
    "secret_env",
    "secret_credential",
    "headers",
    "routing_key",
    "routing_key_file",
    "routing_key_env",
    "routing_key_credential",
    "links",
    "urls",
    "token",
    "token_file",
    "token_env",
    "token_credential",
    "labels",
    "from",
    "to",
    "server",
    "repository",
    "api",
    "tls",
    "ca",
    "user",
    "user_file",
    "user_env",
    "user_credential",
    "password",
    "password_file",
    "password_env",
    "password_credential",
];

/// The keys of a kind.
pub(super) const fn known(kind: Option<Kind>) -> &'static [&'static str] {
    match kind {
        Some(Kind::Run) => RUN,
        Some(Kind::Webhook) => WEBHOOK,
        Some(Kind::Slack) => SLACK,
        Some(Kind::PagerDuty) => PAGERDUTY,
        Some(Kind::Alertmanager) => ALERTMANAGER,
        Some(Kind::GitHub) => GITHUB,
        Some(Kind::Email) => EMAIL,
        None => ANY,
    }
}
