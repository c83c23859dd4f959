//! `type = "email"`: the server, how the way to it is kept secret, who signs in,
//! and from whom to whom the mails go.
//!
//! Mail leaves this host encrypted or not at all.

use std::net::IpAddr;

use super::fault::Draft;
use super::item::Item;
use super::keys::{Keys, Reader};
use super::notifier_keys::{PASSWORD, USER};
use super::notifier_secrets::{Plain, kept, secret};
use super::{names, requests};
use crate::model::{MailTls, NotifierKind};

const MOST_MAILBOXES: usize = 100;

/// The server and the mailboxes; `None` with a fault.
pub(super) fn email(keys: &Keys<'_>, r: &mut Reader) -> Option<NotifierKind> {
    let tls = match keys.get("tls") {
        Some(item) => item.choice(
            &[
                ("starttls", MailTls::StartTls),
                ("tls", MailTls::Tls),
                ("none", MailTls::None),
            ],
            r,
        ),
        None => Some(MailTls::StartTls),
    };
    let server = keys
        .need("server", "\"smtp.example.com:587\"", r)
        .and_then(|item| mail_server(&item, tls, r));
    let ca = match keys.get("ca") {
        Some(item) => Some(names::path(&item, r)?),
        None => None,
    };
    let password = kept(keys, PASSWORD, r);
    let user = if USER.iter().any(|way| keys.has(way)) {
        secret(keys, USER, Plain::Text, r).map(Some)
    } else {
        Some(None)
    };
    let login = match (user?, password?) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (user, _) => {
            let (has, lacks) = match user {
                Some(_) => ("a user", "password"),
                None => ("a password", "user"),
            };
            r.add(
                Draft::error(
                    "missing",
                    keys.at.clone(),
                    format!("{} has {has} and no {lacks}", keys.what),
                )
                .hint(format!("add `{lacks}_file`, or leave both out")),
            );
            return None;
        }
    };
    let from = keys
        .need("from", "\"Backstop <backstop@example.com>\"", r)
        .and_then(|item| mailbox(&item, r));
    let to = keys
        .need("to", "[\"on-call@example.com\"]", r)
        .and_then(|item| {
            let all = item.elements(MOST_MAILBOXES, r)?;
            if all.is_empty() {
                r.add(item.fault("value", "`to` names nobody"));
                return None;
            }
            let read: Vec<_> = all.iter().map(|to| mailbox(to, r)).collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        });
    let (host, port) = server?;
    Some(NotifierKind::Email {
        host,
        port,
        tls: tls?,
        ca,
        login,
        from: from?,
        to: to?,
    })
}

/// `host` or `host:port`; the port is that of the encryption, if it is not
/// written.
fn mail_server(item: &Item<'_>, tls: Option<MailTls>, r: &mut Reader) -> Option<(String, u16)> {
    let usual = match tls {
        Some(MailTls::Tls) => 465,
        Some(MailTls::None) => 25,
        Some(MailTls::StartTls) | None => 587,
    };
    let text = item.string(r)?.value;
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
            let address = requests::address(item, r)?;
            drop(address);
            (host, port.parse().ok()?)
        }
        _ => (text, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if tls == Some(MailTls::None) && !here {
        r.add(
            item.fault(
                "tls",
                format!("`{host}` is another host: mail goes there encrypted"),
            )
            .hint(
                "write `tls = \"starttls\"` or `\"tls\"`; `\"none\"` is for a server on this host",
            ),
        );
        return None;
    }
    Some((host.to_owned(), port))
}

/// `on-call@example.com`, with or without a name before it.
fn mailbox(item: &Item<'_>, r: &mut Reader) -> Option<String> {
    let text = item.string(r)?.value;
    if let Err(e) = text.parse::<lettre::message::Mailbox>() {
        r.add(
            item.fault("address", format!("`{text}` is not an address: {e}"))
                .hint("write `on-call@example.com` or `On Call <on-call@example.com>`"),
        );
        return None;
    }
    Some(text.to_owned())
}

/// A mail is as good as an answer to each of those who get it.
pub(super) fn one_mailbox(who: &str, to: &[String], keys: &Keys<'_>, r: &mut Reader) {
    if let Some(item) = keys.get("answers_as").filter(|_| to.len() > 1) {
        let message = format!("these links go to {} mailboxes", to.len());
        r.add(Draft::warning("link", item.at, message).hint(format!(
            "whoever follows one first answers as {who}: give each a notifier of its own"
        )));
    }
}
