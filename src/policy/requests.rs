//! What a request is made of: URLs, headers, addresses and sizes, read as the
//! client that will use them reads them.

use std::collections::BTreeMap;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::fault::{Draft, SECRET, listed, nearest};
use super::item::Item;
use super::keys::{Keys, Reader};
use crate::model::secrets_in;

/// A URL as the client that will use it reads it.
pub(super) fn url(item: &Item<'_>, r: &mut Reader) -> Option<String> {
    let quoted = item.string(r)?;
    let parsed = match Url::parse(quoted.value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        Ok(url) => {
            r.add(
                item.fault(
                    "url",
                    format!(
                        "`{}` must be an http or https URL, not {}",
                        item.key,
                        url.scheme()
                    ),
                )
                .hint("write `http://HOST:PORT/PATH`"),
            );
            return None;
        }
        Err(e) => {
            r.add(
                item.fault("url", format!("`{}` is not a URL: {e}", item.key))
                    .hint("write `http://HOST:PORT/PATH`"),
            );
            return None;
        }
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        secret_warning(item, "the URL has credentials in it", r);
    }
    Some(quoted.value.to_owned())
}

fn secret_warning(item: &Item<'_>, what: &str, r: &mut Reader) {
    r.add(Draft::warning(SECRET, item.key_at.clone(), what).hint(
        "a policy is no place for secrets: it is read, copied and printed; \
             let the service answer on loopback without them",
    ));
}

/// The `headers` of a request.
pub(super) fn headers(keys: &Keys<'_>, r: &mut Reader) -> Option<BTreeMap<String, String>> {
    read_headers(keys, |_| false, r)
}

/// The same, where `{secret:NAME}` keeps a secret out of the policy.
pub(super) fn headers_with_secrets(
    keys: &Keys<'_>,
    r: &mut Reader,
) -> Option<BTreeMap<String, String>> {
    read_headers(keys, |value| secrets_in(value).next().is_some(), r)
}

fn read_headers(
    keys: &Keys<'_>,
    is_elsewhere: impl Fn(&str) -> bool,
    r: &mut Reader,
) -> Option<BTreeMap<String, String>> {
    let Some(item) = keys.get("headers") else {
        return Some(BTreeMap::new());
    };
    let mut out = BTreeMap::new();
    let mut good = item.value.is_table();
    for entry in item.named(100, r) {
        let Some(value) = entry.string(r) else {
            good = false;
            continue;
        };
        if HeaderName::from_bytes(entry.key.as_bytes()).is_err() {
            let message = format!("`{}` is not the name of a header", entry.key);
            r.add(Draft::error("header", entry.key_at.clone(), message));
        } else if HeaderValue::from_str(value.value).is_err() {
            let message = format!("the value of `{}` has control characters", entry.key);
            r.add(entry.fault("header", message));
        }
        if [
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
        ]
        .contains(&entry.key.to_ascii_lowercase().as_str())
            && !is_elsewhere(value.value)
        {
            secret_warning(&entry, "this header carries a secret", r);
        }
        out.insert(entry.key.clone(), value.value.to_owned());
    }
    good.then_some(out)
}

/// `host:port`, the host a name, an IPv4 address or a bracketed IPv6 one.
pub(super) fn address(item: &Item<'_>, r: &mut Reader) -> Option<String> {
    let quoted = item.string(r)?;
    let good = quoted.value.rsplit_once(':').is_some_and(|(host, port)| {
        let host_good = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains([':', '/', '@', ' ']),
        };
        host_good && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !good {
        r.add(
            item.fault("address", format!("`{}` is not `host:port`", quoted.value))
                .hint("write `127.0.0.1:5432`, `db.internal:5432` or `[::1]:5432`"),
        );
        return None;
    }
    Some(quoted.value.to_owned())
}

/// A number of bytes, or a string such as `64 MiB`.
pub(super) fn bytes(
    item: &Item<'_>,
    range: std::ops::RangeInclusive<u64>,
    r: &mut Reader,
) -> Option<u64> {
    const UNITS: [(&str, u64); 5] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("B", 1),
        ("", 1),
    ];
    const SUGGESTED: [&str; 3] = ["KiB", "MiB", "GiB"];
    if !item.value.is_str() {
        return item.count(range, r);
    }
    let text = item.string(r)?.value.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit = text[digits..].trim();
    let found = UNITS.iter().find(|(name, _)| *name == unit);
    let n = found
        .and_then(|(_, scale)| text[..digits].parse::<u64>().ok()?.checked_mul(*scale))
        .filter(|n| range.contains(n));
    if n.is_none() {
        let hint = match (found, nearest(unit, SUGGESTED)) {
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("units are {}", listed(SUGGESTED)),
            _ => format!("from {} to {} bytes go", range.start(), range.end()),
        };
        r.add(
            item.fault(
                "value",
                format!("`{}` is not a size that fits `{}`", text, item.key),
            )
            .hint(hint),
        );
    }
    n
}
