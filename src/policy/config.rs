//! `backstop.toml`, the agent's own configuration: where it listens, who holds
//! which role, and how people are reached.
//!
//! Secrets are never in it: it says which file, environment variable or systemd
//! credential has them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeTable;

use super::fault::{Draft, Fault, SECRET, listed, nearest};
use super::item::Item;
use super::keys::{Keys, LONGEST, Later, Reader};
use super::steps::argv;
use super::{names, requests};
use crate::model::{Config, Notifier, NotifierKind, Role, Secret};

/// The notices whose texts can be replaced: the names of
/// `guard::NoticeKind`, which this room may not see; a test holds them equal.
pub const NOTICES: [&str; 16] = [
    "opened",
    "asked",
    "decided",
    "held",
    "rolling_back",
    "step_done",
    "cured",
    "not_cured",
    "failed",
    "blind",
    "sees_again",
    "frozen",
    "freeze_ending",
    "update",
    "escalated",
    "closed",
];

/// Where HTTP listens when the config does not say.
const DEFAULT_HTTP: &str = "127.0.0.1:9911";

const MOST_ROLES: usize = 1000;
const MOST_NOTIFIERS: usize = 100;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Channels of later versions, and the nearest thing that works.
const LATER: [Later; 4] = [
    (
        "pagerduty",
        "post to it with `type = \"run\"` and a small command",
    ),
    (
        "email",
        "send it with `type = \"run\"` and `command = [\"mail\", …]`",
    ),
    (
        "alertmanager",
        "post to it with `type = \"run\"` and `command = [\"amtool\", …]`",
    ),
    (
        "github",
        "open the issue with `type = \"run\"` and `command = [\"gh\", …]`",
    ),
];

/// What came of reading the agent's config file.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The config, if the file has no errors.
    pub config: Option<Config>,
    /// Every error of the file, in its order.
    pub faults: Vec<Fault>,
    /// What is probably not meant.
    pub warnings: Vec<Fault>,
}

/// Reads the agent's config; an empty text is the default one. `file_name` is
/// only what the faults call it.
#[must_use]
pub fn load_config(file_name: &str, text: &str) -> LoadedConfig {
    let (config, _, found) = super::read(file_name, text, document);
    let (faults, warnings): (Vec<_>, Vec<_>) = found.into_iter().partition(Fault::is_error);
    LoadedConfig {
        config: config.filter(|_| faults.is_empty()),
        faults,
        warnings,
    }
}

fn document(tree: &DeTable<'_>, r: &mut Reader) -> Option<Config> {
    let keys = Keys::open(
        tree,
        0..0,
        "the agent config".into(),
        String::new(),
        &["http", "roles", "notifiers"],
        &[],
        r,
    );
    let http = match keys.get("http") {
        Some(item) => http(&item, r),
        None => Some(Some(DEFAULT_HTTP.to_owned())),
    };
    let mut roles = BTreeMap::new();
    for item in named(&keys, "roles", MOST_ROLES, r) {
        roles.insert(item.key.clone(), role(&item, r));
    }
    let mut notifiers = BTreeMap::new();
    for item in named(&keys, "notifiers", MOST_NOTIFIERS, r) {
        notifiers.insert(item.key.clone(), notifier(&item, r));
    }
    Some(Config {
        http: http?,
        roles: super::all(roles)?,
        notifiers: super::all(notifiers)?,
    })
}

fn named<'t>(keys: &Keys<'t>, key: &str, most: usize, r: &mut Reader) -> Vec<Item<'t>> {
    let items = keys
        .get(key)
        .map_or_else(Vec::new, |item| item.named(most, r));
    for item in &items {
        names::name(item, r);
    }
    items
}

/// `Some(None)` is nowhere.
#[expect(clippy::option_option, reason = "a fault, nowhere, or an address")]
fn http(item: &Item<'_>, r: &mut Reader) -> Option<Option<String>> {
    let text = item.string(r)?.value;
    if text == "off" {
        return Some(None);
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        let hint = text.strip_prefix("localhost:").map_or_else(
            || format!("write `{DEFAULT_HTTP}`, or `off`"),
            |port| format!("write `127.0.0.1:{port}`"),
        );
        r.add(
            item.fault(
                "address",
                format!("`{text}` is not an IP address and a port"),
            )
            .hint(hint),
        );
        return None;
    };
    if !address.ip().is_loopback() {
        r.add(
            Draft::warning("http", item.at.clone(), "HTTP listens beyond this host")
                .hint("whoever reaches it reads every policy, incident and metric"),
        );
    }
    Some(Some(text.to_owned()))
}

fn role(item: &Item<'_>, r: &mut Reader) -> Option<Role> {
    let keys = item.table(
        format!("role `{}`", item.key),
        &["users", "groups"],
        &[(
            "tokens",
            "name Unix users or groups with `users` and `groups`",
        )],
        r,
    )?;
    let list = |key: &str, r: &mut Reader| match keys.get(key) {
        Some(item) => Some(
            item.strings(r)?
                .iter()
                .map(|name| name.value.to_owned())
                .collect::<Vec<_>>(),
        ),
        None => Some(Vec::new()),
    };
    let (users, groups) = (list("users", r)?, list("groups", r)?);
    if users.is_empty() && groups.is_empty() {
        r.add(
            Draft::error(
                "missing",
                item.key_at.clone(),
                format!("role `{}` is held by nobody", item.key),
            )
            .hint("add `users = [\"alice\"]` or `groups = [\"sre\"]`"),
        );
    }
    Some(Role { users, groups })
}

#[derive(Clone, Copy)]
enum Kind {
    Run,
    Webhook,
    Slack,
}

fn notifier(item: &Item<'_>, r: &mut Reader) -> Option<Notifier> {
    const RUN: &[&str] = &["type", "command", "timeout", "templates"];
    const WEBHOOK: &[&str] = &[
        "type",
        "url",
        "url_file",
        "url_env",
        "url_credential",
        "secret",
        "secret_file",
        "secret_env",
        "secret_credential",
        "headers",
        "timeout",
        "templates",
    ];
    const SLACK: &[&str] = &[
        "type",
        "url",
        "url_file",
        "url_env",
        "url_credential",
        "timeout",
        "templates",
    ];
    /// For a channel whose type is not known: no key of any is called unknown.
    const ANY: &[&str] = &[
        "type",
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
        "timeout",
        "templates",
        "from",
        "to",
        "server",
        "routing_key_file",
        "repository",
        "token_file",
    ];
    let kind = item
        .value
        .as_table()
        .and_then(|table| table.get("type"))
        .and_then(|value| value.get_ref().as_str());
    let known = match kind {
        Some("run") => RUN,
        Some("webhook") => WEBHOOK,
        Some("slack") => SLACK,
        _ => ANY,
    };
    let keys = item.table(format!("notifier `{}`", item.key), known, &[], r)?;
    let kind = kind_of(&keys, r);
    let timeout = keys
        .duration("timeout", Duration::from_millis(100)..=LONGEST, r)
        .unwrap_or(DEFAULT_TIMEOUT);
    let templates = match keys.get("templates") {
        Some(item) => templates(&item, r),
        None => BTreeMap::new(),
    };
    let kind = match kind? {
        Kind::Run => NotifierKind::Run {
            command: argv(
                &keys.need("command", "[\"/usr/local/bin/page\"]", r)?,
                &[],
                r,
            )?,
        },
        Kind::Webhook => webhook(&keys, r)?,
        Kind::Slack => NotifierKind::Slack {
            url: slack_url(&keys, r)?,
        },
    };
    Some(Notifier {
        kind,
        templates,
        timeout,
    })
}

fn kind_of(keys: &Keys<'_>, r: &mut Reader) -> Option<Kind> {
    keys.need("type", "\"slack\"", r)?.choice_or_later(
        &[
            ("run", Kind::Run),
            ("webhook", Kind::Webhook),
            ("slack", Kind::Slack),
        ],
        &LATER,
        r,
    )
}

fn webhook(keys: &Keys<'_>, r: &mut Reader) -> Option<NotifierKind> {
    let url = secret(keys, ["url", "url_file", "url_env", "url_credential"], r);
    if let Some(item) = keys.get("secret") {
        r.add(
            Draft::error(
                SECRET,
                item.key_at,
                "a secret does not belong into a config file",
            )
            .hint("write `secret_file`, `secret_env` or `secret_credential` instead"),
        );
    }
    let kinds = ["secret_file", "secret_env", "secret_credential"];
    let secret = if kinds.iter().any(|key| keys.get(key).is_some()) {
        Some(secret(keys, ["", kinds[0], kinds[1], kinds[2]], r)?)
    } else {
        None
    };
    let headers = requests::headers(keys, r);
    Some(NotifierKind::Webhook {
        url: url?,
        secret,
        headers: headers?,
    })
}

fn slack_url(keys: &Keys<'_>, r: &mut Reader) -> Option<Secret> {
    let url = secret(keys, ["url", "url_file", "url_env", "url_credential"], r)?;
    if let Some(item) = keys.get("url") {
        r.add(
            Draft::warning(
                SECRET,
                item.key_at,
                "whoever knows the URL of a Slack webhook can post to it",
            )
            .hint("write `url_file`, `url_env` or `url_credential` instead"),
        );
    }
    Some(url)
}

/// Exactly one of the four ways to give a value: plain, file, environment,
/// credential. An empty key is a way that is not offered.
fn secret(keys: &Keys<'_>, ways: [&str; 4], r: &mut Reader) -> Option<Secret> {
    let offered: Vec<_> = ways.into_iter().filter(|way| !way.is_empty()).collect();
    let item = keys.one_of(&offered, &[], r)?;
    if item.key == ways[0] {
        return requests::url(&item, r).map(Secret::Plain);
    }
    if item.key == ways[1] {
        return names::path(&item, r).map(Secret::File);
    }
    let text = item.string(r)?.value;
    if item.key == ways[2] {
        let good = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            let message = format!("`{text}` is not the name of an environment variable");
            r.add(item.fault("name", message));
            return None;
        }
        return Some(Secret::Env(text.to_owned()));
    }
    if text.contains('/') || text.starts_with('.') {
        let message = format!("`{text}` is not the name of a credential");
        r.add(
            item.fault("name", message)
                .hint("the name in the unit's `LoadCredential=NAME:/path`"),
        );
        return None;
    }
    Some(Secret::Credential(text.to_owned()))
}

fn templates(item: &Item<'_>, r: &mut Reader) -> BTreeMap<String, String> {
    let environment = minijinja::Environment::new();
    let mut out = BTreeMap::new();
    for entry in item.named(NOTICES.len(), r) {
        if !NOTICES.contains(&entry.key.as_str()) {
            let hint = nearest(&entry.key, NOTICES).map_or_else(
                || format!("there are {}", listed(NOTICES)),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("there is no notice `{}`", entry.key);
            r.add(Draft::error("unknown-key", entry.key_at.clone(), message).hint(hint));
        }
        let Some(quoted) = entry.string(r) else {
            continue;
        };
        if let Err(e) = environment.template_from_str(quoted.value) {
            let detail = e
                .detail()
                .map_or_else(|| e.kind().to_string(), str::to_owned);
            let line = match e.line() {
                Some(line) if line > 1 => format!(", on its line {line}"),
                _ => String::new(),
            };
            let message = format!("this is not a template: {detail}{line}");
            r.add(
                entry.fault("template", message).hint(
                    "templates are minijinja's: `{{ service }}`, `{% if target %}…{% endif %}`",
                ),
            );
        }
        out.insert(entry.key.clone(), quoted.value.to_owned());
    }
    out
}
