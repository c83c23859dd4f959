//! `[sources.NAME]`: where samples come from.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::fault::Draft;
use super::item::Item;
use super::keys::{Keys, LONGEST, Reader};
use super::requests::{address, bytes, headers, url};
use super::steps::argv;
use super::{names, told};
use crate::model::{Expect, Pattern, Source, SourceKind, Tls};

/// Sources per policy; each costs a connection per interval.
const MOST_SOURCES: usize = 1000;

/// The default of `timeout` is the interval, but no more than this.
const MOST_TIMEOUT: Duration = Duration::from_secs(10);

const DEFAULT_MAX_BODY: u64 = 64 << 20;

/// Patterns per log; each is looked for in every line.
const MOST_PATTERNS: usize = 100;

const SCRAPE: &[&str] = &[
    "type",
    "url",
    "headers",
    "max_body",
    "timeout",
    "interval",
    "ca",
    "cert",
    "key",
    "fail_after",
    "pass_after",
];
const PROBE: &[&str] = &[
    "type",
    "url",
    "method",
    "headers",
    "body",
    "expect",
    "timeout",
    "interval",
    "ca",
    "cert",
    "key",
    "fail_after",
    "pass_after",
];
const TCP: &[&str] = &[
    "type",
    "address",
    "timeout",
    "interval",
    "fail_after",
    "pass_after",
];
const PROMETHEUS: &[&str] = &[
    "type", "url", "headers", "timeout", "interval", "ca", "cert", "key",
];
const RUN: &[&str] = &[
    "type",
    "command",
    "timeout",
    "interval",
    "fail_after",
    "pass_after",
];
const LOG: &[&str] = &["type", "path", "match", "timeout", "interval"];
/// For a source whose type is not known: no key of any type is called unknown.
const ANY: &[&str] = &[
    "type",
    "url",
    "headers",
    "max_body",
    "method",
    "body",
    "expect",
    "address",
    "timeout",
    "interval",
    "ca",
    "cert",
    "key",
    "fail_after",
    "pass_after",
    "command",
    "path",
    "match",
    "roles",
];

/// All sources by name; `None` for one with a fault.
pub(super) fn read(
    item: Option<Item<'_>>,
    tick: Duration,
    r: &mut Reader,
) -> BTreeMap<String, Option<Source>> {
    let mut sources = BTreeMap::new();
    for item in item.map_or_else(Vec::new, |item| item.named(MOST_SOURCES, r)) {
        names::subject(&item, r);
        sources.insert(item.key.clone(), source(&item, tick, r));
    }
    sources
}

fn source(item: &Item<'_>, tick: Duration, r: &mut Reader) -> Option<Source> {
    let what = format!("source `{}`", item.key);
    let kind = item
        .value
        .as_table()
        .and_then(|table| table.get("type"))
        .and_then(|value| value.get_ref().as_str());
    let known = match kind {
        Some("scrape") => SCRAPE,
        Some("probe") => PROBE,
        Some("tcp") => TCP,
        Some("prometheus") => PROMETHEUS,
        Some("run") => RUN,
        Some("log") => LOG,
        Some("alertmanager") => told::ALERTMANAGER,
        Some("push") => told::PUSH,
        _ => ANY,
    };
    let keys = item.table(what, known, r)?;
    let kind = kind_of(&keys, r);
    // A source that is told is read at every tick, and never waited for.
    let is_told = matches!(kind, Some(Kind::Alertmanager | Kind::Push));
    let (interval, timeout) = if is_told {
        (tick, tick.min(MOST_TIMEOUT))
    } else {
        let interval = interval(&keys, tick, r);
        (interval, timeout(&keys, interval, r))
    };
    let in_a_row = |key, usual, r: &mut Reader| match kind {
        // Never up or down.
        Some(Kind::Prometheus | Kind::Log | Kind::Alertmanager | Kind::Push) => usual,
        _ => keys.count(key, 1..=1000, r).unwrap_or(usual),
    };
    let fail_after = in_a_row("fail_after", 3, r);
    let pass_after = in_a_row("pass_after", 2, r);
    let kind = match kind? {
        Kind::Scrape => scrape(&keys, r)?,
        Kind::Probe => probe(&keys, timeout, r)?,
        Kind::Tcp => SourceKind::Tcp {
            address: address(&keys.need("address", "\"127.0.0.1:5432\"", r)?, r)?,
        },
        Kind::Prometheus => prometheus(&keys, r)?,
        Kind::Run => SourceKind::Run {
            command: command(&keys, r)?,
        },
        Kind::Log => log(&keys, r)?,
        Kind::Alertmanager => told::alertmanager(&keys, r)?,
        Kind::Push => told::push(&keys, r)?,
    };
    Some(Source {
        kind,
        interval,
        timeout,
        fail_after: u32::try_from(fail_after).ok()?,
        pass_after: u32::try_from(pass_after).ok()?,
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Scrape,
    Probe,
    Tcp,
    Prometheus,
    Run,
    Log,
    Alertmanager,
    Push,
}

fn kind_of(keys: &Keys<'_>, r: &mut Reader) -> Option<Kind> {
    keys.need("type", "\"scrape\"", r)?.choice(
        &[
            ("scrape", Kind::Scrape),
            ("probe", Kind::Probe),
            ("tcp", Kind::Tcp),
            ("prometheus", Kind::Prometheus),
            ("run", Kind::Run),
            ("log", Kind::Log),
            ("alertmanager", Kind::Alertmanager),
            ("push", Kind::Push),
        ],
        r,
    )
}

fn interval(keys: &Keys<'_>, tick: Duration, r: &mut Reader) -> Duration {
    let Some(item) = keys.get("interval") else {
        return tick;
    };
    let Some(interval) = r.interval(&item) else {
        return tick;
    };
    if interval.as_millis().is_multiple_of(tick.as_millis()) {
        return interval;
    }
    let tick_ms = tick.as_millis();
    let next = u64::try_from(interval.as_millis().div_ceil(tick_ms) * tick_ms).unwrap_or(u64::MAX);
    r.add(
        item.fault(
            "value",
            format!(
                "a source's interval must be a multiple of the policy's, {}",
                super::show(tick)
            ),
        )
        .hint(format!(
            "the next one is `{}`",
            super::show(Duration::from_millis(next))
        ))
        .by_interval(),
    );
    interval
}

fn timeout(keys: &Keys<'_>, interval: Duration, r: &mut Reader) -> Duration {
    let default = interval.min(MOST_TIMEOUT);
    let Some(item) = keys.get("timeout") else {
        return default;
    };
    let Some(timeout) = item.duration(Duration::from_millis(10)..=LONGEST, r) else {
        return default;
    };
    if timeout > interval {
        r.add(
            item.fault(
                "value",
                format!(
                    "a timeout of {} is longer than the source's interval, {}: samples would overlap",
                    super::show(timeout),
                    super::show(interval)
                ),
            )
            .hint("shorten it, or sample less often with `interval`")
            .by_interval(),
        );
    }
    timeout
}

fn scrape(keys: &Keys<'_>, r: &mut Reader) -> Option<SourceKind> {
    let url = keys
        .need("url", "\"http://127.0.0.1:9464/metrics\"", r)
        .and_then(|item| url(&item, r));
    let headers = headers(keys, r);
    let max_body = match keys.get("max_body") {
        Some(item) => bytes(&item, 1024..=1 << 30, r)?,
        None => DEFAULT_MAX_BODY,
    };
    let tls = tls(keys, r);
    Some(SourceKind::Scrape {
        url: url?,
        headers: headers?,
        max_body,
        tls: tls?,
    })
}

fn probe(keys: &Keys<'_>, timeout: Duration, r: &mut Reader) -> Option<SourceKind> {
    const METHODS: [(&str, &str); 5] = [
        ("GET", "GET"),
        ("HEAD", "HEAD"),
        ("POST", "POST"),
        ("PUT", "PUT"),
        ("OPTIONS", "OPTIONS"),
    ];
    let url = keys
        .need("url", "\"http://127.0.0.1:8080/health\"", r)
        .and_then(|item| url(&item, r));
    let method = keys.choice("method", &METHODS, r).unwrap_or("GET");
    let headers = headers(keys, r);
    let body = keys.string("body", r);
    let expect = match keys.get("expect") {
        Some(item) => expect(&item, method, timeout, r),
        None => Some(Expect::default()),
    };
    let tls = tls(keys, r);
    Some(SourceKind::Probe {
        url: url?,
        method: method.to_owned(),
        headers: headers?,
        body,
        expect: expect?,
        tls: tls?,
    })
}

fn prometheus(keys: &Keys<'_>, r: &mut Reader) -> Option<SourceKind> {
    let url = keys
        .need("url", "\"http://127.0.0.1:9090\"", r)
        .and_then(|item| {
            let address = url(&item, r)?;
            if address.contains("/api/v1") {
                r.add(
                    item.fault("url", "`url` is the base of the API: `/api/v1/query` is added")
                        .hint("write `http://HOST:PORT`, with the prefix of its `--web.external-url` if it has one"),
                );
            }
            Some(address)
        });
    let headers = headers(keys, r);
    let tls = tls(keys, r);
    Some(SourceKind::Prometheus {
        url: url?,
        headers: headers?,
        tls: tls?,
        // From the signals, once they are read.
        queries: BTreeMap::new(),
    })
}

fn command(keys: &Keys<'_>, r: &mut Reader) -> Option<Vec<String>> {
    let item = keys.need(
        "command",
        "[\"/usr/lib/nagios/plugins/check_disk\", \"-c\", \"5%\"]",
        r,
    )?;
    argv(&item, &[], r)
}

fn log(keys: &Keys<'_>, r: &mut Reader) -> Option<SourceKind> {
    let path = keys
        .need("path", "\"/var/log/checkout/app.log\"", r)
        .and_then(|item| names::path(&item, r));
    let matches = keys.need("match", "{ errors = \"ERROR\" }", r)?;
    if matches
        .value
        .as_table()
        .is_none_or(toml::map::Map::is_empty)
    {
        r.add(
            matches
                .fault(
                    "type",
                    "`match` must be a table of names and regular expressions",
                )
                .hint("write `match = { errors = \"ERROR\" }`"),
        );
        return None;
    }
    let mut patterns = BTreeMap::new();
    for entry in matches.named(MOST_PATTERNS, r) {
        names::counter(&entry, r);
        let Some(text) = entry.string(r) else {
            continue;
        };
        match Pattern::parse(text.value) {
            Ok(pattern) => {
                patterns.insert(entry.key.clone(), pattern);
            }
            Err(error) => r.add(
                entry
                    .fault(
                        "pattern",
                        format!("`{}` is no regular expression", entry.key),
                    )
                    .hint(error.to_string()),
            ),
        }
    }
    Some(SourceKind::Log {
        path: path?,
        matches: patterns,
    })
}

pub(super) fn expect(
    item: &Item<'_>,
    method: &str,
    timeout: Duration,
    r: &mut Reader,
) -> Option<Expect> {
    let keys = item.table(
        "`expect`".into(),
        &["status", "body_contains", "json", "within"],
        r,
    )?;
    let status = match keys.get("status") {
        Some(item) => item
            .elements(500, r)?
            .iter()
            .map(|item| item.count(100..=599, r).and_then(|n| u16::try_from(n).ok()))
            .collect::<Option<Vec<_>>>(),
        None => Some(Vec::new()),
    };
    for key in ["body_contains", "json"] {
        if let Some(item) = keys.get(key).filter(|_| method == "HEAD") {
            let message = format!("`{key}` cannot be met: the answer to HEAD has no body");
            r.add(item.fault("value", message).hint("use `method = \"GET\"`"));
        }
    }
    let body_contains = keys.string("body_contains", r);
    let json = match keys.get("json") {
        Some(item) => json(&item, r),
        None => Some(BTreeMap::new()),
    };
    let within = keys.get("within").and_then(|item| {
        let within = item.duration(Duration::from_millis(1)..=LONGEST, r)?;
        if within > timeout {
            r.add(item.fault(
                "value",
                format!(
                    "`within` never matters: the timeout of {} comes first",
                    super::show(timeout)
                ),
            ));
        }
        Some(within)
    });
    Some(Expect {
        status: status?,
        body_contains,
        json: json?,
        within,
    })
}

fn json(item: &Item<'_>, r: &mut Reader) -> Option<BTreeMap<String, serde_json::Value>> {
    let Some(_) = item.value.as_table() else {
        r.add(
            item.fault("type", "`json` must be a table of paths and values")
                .hint("write `json = { \"$.status\" = \"ok\" }`"),
        );
        return None;
    };
    let mut out = BTreeMap::new();
    for entry in item.named(100, r) {
        if let Err(e) = serde_json_path::JsonPath::parse(&entry.key) {
            r.add(
                Draft::error(
                    "json-path",
                    entry.key_at.clone(),
                    format!("`{}` is not a JSONPath: {e}", entry.key),
                )
                .hint("paths start at `$` (RFC 9535), such as `$.status`"),
            );
        }
        if let Some(value) = json_value(&entry, r) {
            out.insert(entry.key.clone(), value);
        }
    }
    Some(out)
}

fn json_value(entry: &Item<'_>, r: &mut Reader) -> Option<serde_json::Value> {
    let value = match entry.value {
        DeValue::String(s) => serde_json::Value::from(s.as_ref()),
        DeValue::Boolean(b) => serde_json::Value::from(*b),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
            .map(serde_json::Value::from)
            .ok()?,
        DeValue::Float(_) => serde_json::Value::from(entry.number(r)?),
        _ => {
            r.add(entry.fault(
                "type",
                "the expected value must be a string, a number, `true` or `false`",
            ));
            return None;
        }
    };
    Some(value)
}

pub(super) fn tls(keys: &Keys<'_>, r: &mut Reader) -> Option<Tls> {
    let path = |key: &str, r: &mut Reader| match keys.get(key) {
        Some(item) => names::path(&item, r).map(Some),
        None => Some(None),
    };
    let (ca, cert, key) = (path("ca", r)?, path("cert", r)?, path("key", r)?);
    let lonely = match (&cert, &key) {
        (Some(_), None) => Some(("cert", "key")),
        (None, Some(_)) => Some(("key", "cert")),
        _ => None,
    };
    if let Some((have, want)) = lonely
        && let Some(item) = keys.get(have)
    {
        r.add(
            Draft::error(
                "missing",
                item.key_at,
                format!("`{have}` without `{want}`: a client certificate needs both"),
            )
            .hint(format!("add `{want} = \"/path/to/file.pem\"`")),
        );
    }
    Some(Tls { ca, cert, key })
}
