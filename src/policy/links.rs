//! Links by which people answer over HTTP: what has to be configured before a
//! notice may carry one.
//!
//! A link is worth an answer to whoever reads it, so that nothing about it is
//! assumed: an address at which it works, a listener that already takes in what
//! shows a token, and somebody whose answer it is.

use std::net::IpAddr;

use reqwest::Url;

use super::fault::{Draft, listed, nearest};
use super::item::Item;
use super::keys::Reader;
use super::requests;
use crate::model::Config;

/// Where links begin. A proxy may put a path before ours.
pub(super) fn public_url(item: &Item<'_>, r: &mut Reader) -> Option<String> {
    let text = requests::url(item, r)?;
    let url = Url::parse(&text).ok()?;
    let more = if !url.username().is_empty() || url.password().is_some() {
        Some("credentials")
    } else if url.query().is_some() {
        Some("a query")
    } else if url.fragment().is_some() {
        Some("a fragment")
    } else {
        None
    };
    if let Some(more) = more {
        r.add(
            item.fault("url", format!("`public_url` has {more}"))
                .hint("links are made by adding to it: write `https://HOST/PATH`"),
        );
        return None;
    }
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if url.scheme() == "http" && !here {
        r.add(
            Draft::warning("link", item.at.clone(), "links travel unencrypted")
                .hint("whoever sees one can answer with it: put a proxy with TLS before the agent"),
        );
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// Whether every notifier that carries links may.
pub(super) fn check(config: &Config, r: &mut Reader) {
    let named = config.roles.values().flat_map(|role| &role.users);
    let named: Vec<&str> = named.map(String::as_str).collect();
    for (name, notifier) in &config.notifiers {
        let Some(who) = &notifier.answers_as else {
            continue;
        };
        let path = format!("notifiers.{name}.answers_as");
        let Some(at) = r.marks.get(&path).cloned() else {
            continue;
        };
        let lacks = if config.http.is_none() {
            Some((
                "links are answered over HTTP, and `http` is off",
                "let it listen, such as `http = \"127.0.0.1:9911\"`, or leave `answers_as` out",
            ))
        } else if config.tokens.is_empty() {
            Some((
                "links are answered over HTTP, where nothing is taken in without a token",
                "`backstop token NAME` makes one; without any, people answer on the socket",
            ))
        } else if config.public_url.is_none() {
            Some((
                "links need to know where people reach the agent",
                "add `public_url = \"https://…\"` at the top of the file",
            ))
        } else {
            None
        };
        if let Some((message, hint)) = lacks {
            r.add(Draft::error("link", at, message).hint(hint));
        } else if !named.contains(&who.as_str()) {
            let near = nearest(who, named.iter().copied());
            let hint = near.map_or_else(
                || match listed(named.iter().copied()) {
                    none if none.is_empty() => {
                        format!("add `[roles.NAME]` with `users = [\"{who}\"]`")
                    }
                    known => format!("add it to the `users` of a role, which name {known}"),
                },
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("`{who}` holds no role by name");
            r.add(Draft::error("link", at, message).hint(hint));
        }
    }
}
