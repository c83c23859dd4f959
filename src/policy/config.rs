//! `backstop.toml`, the agent's own configuration: where it listens, who holds
//! which role, and how people are reached.
//!
//! Secrets are never in it: it says which file, environment variable or systemd
//! credential has them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeTable;

use super::fault::{Draft, Fault};
use super::item::Item;
use super::keys::{Keys, Reader};
use super::requests::bytes;
use super::signals::undefined;
use super::{links, names, notifiers};
use crate::model::{Config, History, Role, TokenHash};

/// Where HTTP listens when the config does not say.
const DEFAULT_HTTP: &str = "127.0.0.1:9911";

/// How long samples may be kept.
const KEPT: std::ops::RangeInclusive<Duration> =
    Duration::from_hours(1)..=Duration::from_hours(10 * 366 * 24);

/// In how many bytes: some segments, and what a small disk has.
const SIZES: std::ops::RangeInclusive<u64> = 16 << 20..=1 << 40;

const MOST_ROLES: usize = 1000;
/// Each is compared with whatever is shown.
const MOST_TOKENS: usize = 1000;
const MOST_NOTIFIERS: usize = 100;

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
        &[
            "http",
            "public_url",
            "roles",
            "tokens",
            "notifiers",
            "history",
        ],
        r,
    );
    let http = match keys.get("http") {
        Some(item) => http(&item, r),
        None => Some(Some(DEFAULT_HTTP.to_owned())),
    };
    let public_url = match keys.get("public_url") {
        Some(item) => links::public_url(&item, r).map(Some),
        None => Some(None),
    };
    let mut tokens = BTreeMap::new();
    for item in named(&keys, "tokens", MOST_TOKENS, r) {
        tokens.insert(item.key.clone(), token(&item, r));
    }
    let mut roles = BTreeMap::new();
    for item in named(&keys, "roles", MOST_ROLES, r) {
        roles.insert(item.key.clone(), role(&item, &tokens, r));
    }
    let mut read = BTreeMap::new();
    for item in named(&keys, "notifiers", MOST_NOTIFIERS, r) {
        read.insert(item.key.clone(), notifiers::notifier(&item, r));
    }
    let config = Config {
        http: http?,
        public_url: public_url?,
        roles: super::all(roles)?,
        tokens: super::all(tokens)?,
        notifiers: super::all(read)?,
        history: keys
            .get("history")
            .map_or_else(|| Some(History::default()), |item| history(&item, r))?,
    };
    links::check(&config, r);
    Some(config)
}

fn history(item: &Item<'_>, r: &mut Reader) -> Option<History> {
    let keys = item.table("`history`".to_owned(), &["keep", "size"], r)?;
    let History { keep, size } = History::default();
    let keep = match keys.get("keep") {
        Some(item) => item.duration(KEPT, r),
        None => Some(keep),
    };
    let size = match keys.get("size") {
        Some(item) => bytes(&item, SIZES, r),
        None => Some(size),
    };
    Some(History {
        keep: keep?,
        size: size?,
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

fn token(item: &Item<'_>, r: &mut Reader) -> Option<TokenHash> {
    let keys = item.table(format!("token `{}`", item.key), &["sha256"], r)?;
    let hash = keys.need("sha256", "\"…\"", r)?;
    let text = hash.string(r)?;
    let read = TokenHash::parse(text.value);
    if read.is_none() {
        // What stands here instead may be the token itself: it is not repeated.
        r.add(
            hash.fault(
                "value",
                "`sha256` is no hash: 64 digits of hex are expected",
            )
            .hint("`backstop token NAME` makes a token and prints its hash"),
        );
    }
    read
}

fn role(
    item: &Item<'_>,
    known: &BTreeMap<String, Option<TokenHash>>,
    r: &mut Reader,
) -> Option<Role> {
    let keys = item.table(
        format!("role `{}`", item.key),
        &["users", "groups", "tokens"],
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
    let tokens = list("tokens", r)?;
    if let Some(item) = keys.get("tokens") {
        for name in tokens.iter().filter(|name| !known.contains_key(*name)) {
            r.add(undefined("token", name, &item, known.keys()));
        }
    }
    if users.is_empty() && groups.is_empty() && tokens.is_empty() {
        r.add(
            Draft::error(
                "missing",
                item.key_at.clone(),
                format!("role `{}` is held by nobody", item.key),
            )
            .hint("add `users = [\"alice\"]` or `groups = [\"sre\"]`"),
        );
    }
    Some(Role {
        users,
        groups,
        tokens,
    })
}
