//! `[notifiers.NAME]`: how people are reached, by which channel, with which
//! texts, and how often at most.
//!
//! Secrets are never in the file: it says which file, environment variable or
//! systemd credential has them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::{Draft, SECRET, listed, nearest};
use super::item::Item;
use super::keys::{Keys, LONGEST, Reader};
use super::notifier_keys::{KINDS, Kind, ROUTING_KEY, SIGNED, TOKEN, URL, known};
use super::notifier_mail::{email, one_mailbox};
use super::notifier_secrets::{Plain, kept, needed, secret};
use super::per::{Counted, per};
use super::requests;
use super::steps::argv;
use crate::model::{Notifier, NotifierKind, Rate, Secret};

/// The notices whose texts can be replaced: the names of
/// `guard::NoticeKind`, which this room may not see; a test holds them equal.
pub const NOTICES: [&str; 19] = [
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
    "acknowledged",
    "closed",
    "fit",
    "test",
];

/// Texts by name, for every kind of notice: for those who have to know and need
/// not act, and for customers.
pub const TEXTS: [(&str, &str); 2] = [
    (
        "stakeholder",
        include_str!("../../policies/templates/stakeholder.txt"),
    ),
    (
        "customer",
        include_str!("../../policies/templates/customer.txt"),
    ),
];

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Attempts are kept one by one while their period lasts.
const MOST_NOTICES: u32 = 1000;

/// Where PagerDuty takes events outside of Europe.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com";

/// GitHub's own API.
const GITHUB_API: &str = "https://api.github.com";

const MOST_LABELS: usize = 50;
const MOST_LINKS: usize = 20;
const MOST_URLS: usize = 20;

/// Reads one notifier.
pub(super) fn notifier(item: &Item<'_>, r: &mut Reader) -> Option<Notifier> {
    let table = item.value.as_table();
    let kind = table
        .and_then(|table| table.get("type"))
        .and_then(|value| value.get_ref().as_str())
        .and_then(|name| KINDS.iter().find(|(known, _)| *known == name));
    let known = known(kind.map(|(_, kind)| *kind));
    let keys = item.table(format!("notifier `{}`", item.key), known, r)?;
    let kind = keys.need("type", "\"slack\"", r)?.choice(&KINDS, r);
    let timeout = keys
        .duration("timeout", Duration::from_millis(100)..=LONGEST, r)
        .unwrap_or(DEFAULT_TIMEOUT);
    let rate = match keys.get("rate") {
        Some(item) => rate(&item, r).map(Some),
        None => Some(None),
    };
    let template = text(&keys, r);
    let templates = match keys.get("templates") {
        Some(item) => templates(&item, r),
        None => BTreeMap::new(),
    };
    let kind = kind?;
    let (only, answers_as) = match kind {
        Kind::Run | Kind::Webhook | Kind::Slack | Kind::Email => {
            (only(&keys, r), answers_as(&keys, r))
        }
        Kind::PagerDuty | Kind::Alertmanager | Kind::GitHub => (Some(Vec::new()), None),
    };
    let kind = match kind {
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
        Kind::PagerDuty => pagerduty(&keys, r)?,
        Kind::Alertmanager => alertmanager(&keys, r)?,
        Kind::GitHub => github(&keys, r)?,
        Kind::Email => email(&keys, r)?,
    };
    if let (Some(who), NotifierKind::Email { to, .. }) = (&answers_as, &kind) {
        one_mailbox(who, to, &keys, r);
    }
    Some(Notifier {
        kind,
        templates,
        template,
        timeout,
        rate: rate?,
        only: only?,
        answers_as,
    })
}

/// Whom answers come from that its links give. What it needs besides is looked
/// at when all is read: see `links`.
fn answers_as(keys: &Keys<'_>, r: &mut Reader) -> Option<String> {
    let item = keys.get("answers_as")?;
    let name = item.string(r)?.value;
    if name.len() > 64 || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        r.add(
            item.fault("name", format!("`{name}` cannot be a person's name"))
                .hint("a Unix user's name, or another that a role's `users` has"),
        );
        return None;
    }
    r.marks.insert(item.path.clone(), item.at.clone());
    Some(name.to_owned())
}

/// The text of every kind that has none of its own: one of ours by its name, or
/// a template.
fn text(keys: &Keys<'_>, r: &mut Reader) -> Option<String> {
    if keys.has("text") && keys.has("template") {
        // Says that one of them is enough.
        keys.one_of(&["text", "template"], r);
        return None;
    }
    if let Some(item) = keys.get("text") {
        return item.choice(&TEXTS, r).map(ToOwned::to_owned);
    }
    keys.get("template").and_then(|item| template(&item, r))
}

/// `10 per 1m`.
fn rate(item: &Item<'_>, r: &mut Reader) -> Option<Rate> {
    let counted = Counted {
        code: "rate",
        what: "a rate",
        noun: "notices",
        most: MOST_NOTICES,
        example: "10 per 1m",
        none: (
            "a rate of 0 tells nobody",
            "to tell nobody, leave the notifier out of every `notify`",
        ),
    };
    let (notices, period) = per(item, &counted, r)?;
    Some(Rate { notices, period })
}

/// The kinds that a notifier is for.
fn only(keys: &Keys<'_>, r: &mut Reader) -> Option<Vec<String>> {
    let Some(item) = keys.get("only") else {
        return Some(Vec::new());
    };
    let mut kinds = Vec::new();
    for entry in item.elements(NOTICES.len(), r)? {
        let name = entry.string(r)?.value;
        if !NOTICES.contains(&name) {
            r.add(
                entry
                    .fault("value", format!("there is no notice `{name}`"))
                    .hint(near(name)),
            );
            return None;
        }
        kinds.push(name.to_owned());
    }
    if kinds.is_empty() {
        r.add(
            item.fault("value", "a notifier for no notice tells nobody")
                .hint("leave `only` out to be told everything"),
        );
        return None;
    }
    Some(kinds)
}

fn near(name: &str) -> String {
    nearest(name, NOTICES).map_or_else(
        || format!("there are {}", listed(NOTICES)),
        |near| format!("did you mean `{near}`?"),
    )
}

fn webhook(keys: &Keys<'_>, r: &mut Reader) -> Option<NotifierKind> {
    let url = secret(keys, URL, Plain::Url, r);
    let secret = kept(keys, SIGNED, r)?;
    let headers = requests::headers(keys, r);
    Some(NotifierKind::Webhook {
        url: url?,
        secret,
        headers: headers?,
    })
}

fn slack_url(keys: &Keys<'_>, r: &mut Reader) -> Option<Secret> {
    let url = secret(keys, URL, Plain::Url, r)?;
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

fn pagerduty(keys: &Keys<'_>, r: &mut Reader) -> Option<NotifierKind> {
    let routing_key = needed(keys, ROUTING_KEY, r);
    let url = match keys.get("url") {
        Some(item) => requests::url(&item, r),
        None => Some(PAGERDUTY_URL.to_owned()),
    };
    let mut links = BTreeMap::new();
    if let Some(item) = keys.get("links") {
        for link in item.named(MOST_LINKS, r) {
            links.insert(link.key.clone(), requests::url(&link, r));
        }
    }
    let links = super::all(links);
    Some(NotifierKind::PagerDuty {
        routing_key: routing_key?,
        url: url?,
        links: links?,
    })
}

fn alertmanager(keys: &Keys<'_>, r: &mut Reader) -> Option<NotifierKind> {
    let item = keys.need("urls", "[\"http://127.0.0.1:9093\"]", r);
    let urls = item.and_then(|item| {
        let elements = item.elements(MOST_URLS, r)?;
        if elements.is_empty() {
            r.add(item.fault("value", "`urls` names no Alertmanager"));
            return None;
        }
        let read: Vec<_> = elements.iter().map(|e| requests::url(e, r)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let token = kept(keys, TOKEN, r);
    let labels = match keys.get("labels") {
        Some(item) => labels(&item, r),
        None => Some(BTreeMap::new()),
    };
    Some(NotifierKind::Alertmanager {
        urls: urls?,
        token: token?,
        labels: labels?,
    })
}

fn github(keys: &Keys<'_>, r: &mut Reader) -> Option<NotifierKind> {
    let repository = keys.need("repository", "\"owner/name\"", r);
    let repository = repository.and_then(|item| {
        let text = item.string(r)?.value;
        let good = |part: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(fits)
        };
        if text.split('/').count() == 2 && text.split('/').all(good) {
            return Some(text.to_owned());
        }
        let hint = "write `owner/name`, as in its address";
        r.add(
            item.fault("value", format!("`{text}` is not a repository"))
                .hint(hint),
        );
        None
    });
    let token = needed(keys, TOKEN, r);
    let api = match keys.get("api") {
        Some(item) => requests::url(&item, r),
        None => Some(GITHUB_API.to_owned()),
    };
    let labels = match keys.get("labels") {
        Some(item) => item.strings(r)?,
        None => Vec::new(),
    };
    Some(NotifierKind::GitHub {
        repository: repository?,
        token: token?,
        api: api?,
        labels: labels.iter().map(|l| l.value.to_owned()).collect(),
    })
}

/// Labels of an alert, but those that are ours.
fn labels(item: &Item<'_>, r: &mut Reader) -> Option<BTreeMap<String, String>> {
    const OURS: [&str; 7] = [
        "alertname",
        "service",
        "host",
        "mode",
        "severity",
        "incident",
        "trigger",
    ];
    let mut labels = BTreeMap::new();
    let mut good = true;
    for label in item.named(MOST_LABELS, r) {
        let name = label.key.as_str();
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let fits =
            name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
        let message = if OURS.contains(&name) {
            Some(format!("the label `{name}` says what the notice is about"))
        } else if !fits {
            Some(format!("`{name}` is not the name of a label"))
        } else {
            None
        };
        if let Some(message) = message {
            r.add(Draft::error("label", label.key_at.clone(), message));
            good = false;
        }
        match label.string(r) {
            Some(text) => drop(labels.insert(name.to_owned(), text.value.to_owned())),
            None => good = false,
        }
    }
    good.then_some(labels)
}

fn templates(item: &Item<'_>, r: &mut Reader) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in item.named(NOTICES.len(), r) {
        if !NOTICES.contains(&entry.key.as_str()) {
            let message = format!("there is no notice `{}`", entry.key);
            r.add(
                Draft::error("unknown-key", entry.key_at.clone(), message).hint(near(&entry.key)),
            );
        }
        if let Some(text) = template(&entry, r) {
            out.insert(entry.key.clone(), text);
        }
    }
    out
}

/// A template that parses; one that does not is a fault.
fn template(item: &Item<'_>, r: &mut Reader) -> Option<String> {
    let text = item.string(r)?.value;
    let environment = minijinja::Environment::new();
    if let Err(e) = environment.template_from_str(text) {
        let detail = e
            .detail()
            .map_or_else(|| e.kind().to_string(), str::to_owned);
        let line = match e.line() {
            Some(line) if line > 1 => format!(", on its line {line}"),
            _ => String::new(),
        };
        let message = format!("this is not a template: {detail}{line}");
        r.add(
            item.fault("template", message)
                .hint("templates are minijinja's: `{{ service }}`, `{% if target %}…{% endif %}`"),
        );
    }
    Some(text.to_owned())
}
