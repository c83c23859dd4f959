//! `http = { … }` of a step: one request, what its answer must be, and where its
//! secrets are.
//!
//! A policy names the file, credential or variable that has a secret, and says
//! with `{secret:NAME}` where it goes: into a header or the body, never into the
//! address, which is logged by everybody on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::{Draft, listed, nearest};
use super::item::Item;
use super::keys::Reader;
use super::quoted::Quoted;
use super::steps::filled;
use super::{names, requests, sources};
use crate::model::{Expect, HttpRequest, Secret, StepAction, secrets_in};

const METHODS: [(&str, &str); 7] = [
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("OPTIONS", "OPTIONS"),
];

/// One step's request.
pub(super) fn read(
    kind: &Item<'_>,
    timeout: Duration,
    allowed: &[&str],
    r: &mut Reader,
) -> Option<StepAction> {
    let keys = kind.table(
        "`http`".into(),
        &[
            "method", "url", "headers", "body", "expect", "secrets", "ca", "cert", "key",
        ],
        r,
    )?;
    let secrets = match keys.get("secrets") {
        Some(item) => secrets(&item, r),
        None => Some(BTreeMap::new()),
    };
    // Where they could not be read, nothing is called undeclared.
    let declared = secrets.as_ref();
    let method = match keys.need("method", "\"POST\"", r) {
        Some(item) => item.choice(&METHODS, r),
        None => None,
    };
    let url = keys
        .need("url", "\"https://HOST/PATH\"", r)
        .and_then(|item| {
            let url = requests::url(&item, r)?;
            let quoted = item.string(r)?;
            let mut good = filled(&quoted, allowed, r);
            if let Some((_, at)) = secrets_in(quoted.value).next() {
                let place = r.inside(&quoted, at.start, at.len());
                r.add(
                    Draft::error("secret-name", place, "a secret in an address is logged on its way")
                        .hint("send it in a header: `headers = { Authorization = \"Bearer {secret:NAME}\" }`"),
                );
                good = false;
            }
            good.then_some(url)
        });
    let headers = requests::headers_with_secrets(&keys, r);
    let mut good = true;
    if let Some(item) = keys.get("headers").filter(|_| headers.is_some()) {
        for entry in item.named(100, r) {
            if let Some(quoted) = entry.string(r) {
                good &= filled(&quoted, allowed, r) & known(&quoted, declared, r);
            }
        }
    }
    let body = keys.get("body").map(|item| {
        let quoted = item.string(r)?;
        good &= filled(&quoted, allowed, r) & known(&quoted, declared, r);
        Some(quoted.value.to_owned())
    });
    let expect = match keys.get("expect") {
        Some(item) => sources::expect(&item, method.unwrap_or("GET"), timeout, r),
        None => Some(Expect::default()),
    };
    let tls = sources::tls(&keys, r);
    let request = HttpRequest {
        method: method?.to_owned(),
        url: url?,
        headers: headers?,
        body: match body {
            Some(body) => Some(body?),
            None => None,
        },
        expect: expect?,
        tls: tls?,
        secrets: secrets?,
    };
    good.then(|| StepAction::Http(Box::new(request)))
}

/// `secrets = { cdn = { file = "/etc/backstop/cdn.token" } }`.
fn secrets(item: &Item<'_>, r: &mut Reader) -> Option<BTreeMap<String, Secret>> {
    let mut out = BTreeMap::new();
    let mut good = item.value.is_table();
    for entry in item.named(20, r) {
        names::name(&entry, r);
        match secret(&entry, r) {
            Some(secret) => drop(out.insert(entry.key.clone(), secret)),
            None => good = false,
        }
    }
    good.then_some(out)
}

fn secret(entry: &Item<'_>, r: &mut Reader) -> Option<Secret> {
    const KINDS: [&str; 3] = ["file", "credential", "env"];
    if entry.value.is_str() {
        r.add(
            entry
                .fault("secret", "a secret does not belong into a policy")
                .hint("say where it is: `{ file = \"/path\" }`, `{ credential = \"NAME\" }` or `{ env = \"NAME\" }`"),
        );
        return None;
    }
    let keys = entry.table(format!("secret `{}`", entry.key), &KINDS, r)?;
    let kind = keys.one_of(&KINDS, r)?;
    Some(match kind.key.as_str() {
        "file" => Secret::File(names::path(&kind, r)?),
        "credential" => Secret::Credential(kind.string(r)?.value.to_owned()),
        _ => Secret::Env(kind.string(r)?.value.to_owned()),
    })
}

/// Whether every secret that a text asks for is declared.
fn known(quoted: &Quoted<'_>, declared: Option<&BTreeMap<String, Secret>>, r: &mut Reader) -> bool {
    let Some(declared) = declared else {
        return true;
    };
    let mut good = true;
    for (name, at) in secrets_in(quoted.value) {
        if declared.contains_key(name) {
            continue;
        }
        good = false;
        let place = r.inside(quoted, at.start, at.len());
        let names = declared.keys().map(String::as_str);
        let hint = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{{secret:{near}}}`?"),
            None if declared.is_empty() => {
                format!("add `secrets = {{ {name} = {{ file = \"/path\" }} }}`")
            }
            None => format!("declared are {}", listed(names)),
        };
        r.add(
            Draft::error(
                "secret-name",
                place,
                format!("the secret `{name}` is not declared"),
            )
            .hint(hint),
        );
    }
    good
}
