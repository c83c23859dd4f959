//! `[signals.NAME]`: values derived from one source over a window.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::fault::{Draft, listed, nearest};
use super::item::Item;
use super::keys::{Keys, LONGEST, Reader};
use super::{MOST_INTERVALS, names, show, told};
use crate::model::{By, Over, Selector, Signal, SignalKind, Source, SourceKind, Unit, asked_as};

/// Signals per policy; each holds a window's worth of counts.
const MOST_SIGNALS: usize = 1000;

const DEFAULT_WINDOW: Duration = Duration::from_secs(60);

const KINDS: [&str; 9] = [
    "ratio", "rate", "increase", "quantile", "value", "age", "query", "count", "flag",
];

const KEYS: &[&str] = &[
    "source", "window", "by", "over", "ratio", "rate", "increase", "quantile", "value", "age",
    "query", "unit", "count", "flag", "ttl",
];

/// Sources by name; `None` for one that has a fault itself.
type Sources = BTreeMap<String, Option<Source>>;

/// All signals by name; `None` for one with a fault.
pub(super) fn read(
    item: Option<Item<'_>>,
    sources: &Sources,
    r: &mut Reader,
) -> BTreeMap<String, Option<Signal>> {
    let mut signals = BTreeMap::new();
    for item in item.map_or_else(Vec::new, |item| item.named(MOST_SIGNALS, r)) {
        names::subject(&item, r);
        signals.insert(item.key.clone(), signal(&item, sources, r));
    }
    told::agree(&signals, sources, r);
    signals
}

fn signal(item: &Item<'_>, sources: &Sources, r: &mut Reader) -> Option<Signal> {
    let keys = item.table(format!("signal `{}`", item.key), KEYS, r)?;
    let source = keys.need("source", "\"app\"", r).and_then(|item| {
        let name = item.string(r)?.value;
        if !sources.contains_key(name) {
            r.add(undefined("source", name, &item, sources.keys()));
        }
        Some((item, sources.get(name)?.as_ref()?))
    });
    let kind = keys.one_of(&KINDS, r);
    if let Some(kind) = &kind {
        only_with_value(&keys, kind, r);
    }
    let range = kind
        .as_ref()
        .filter(|kind| kind.key == "query")
        .and_then(|kind| longest_range(kind.value.as_str()?));
    let window = window(&keys, range, source.as_ref().map(|(_, source)| *source), r);
    let (kind, (source_item, source)) = (kind?, source?);
    let (signal_kind, unit) = read_kind(&keys, &kind, &item.key, source, &source_item, r)?;
    Some(Signal {
        source: source_item.string(r)?.value.to_owned(),
        kind: signal_kind,
        window: window?,
        unit,
    })
}

fn only_with_value(keys: &Keys<'_>, kind: &Item<'_>, r: &mut Reader) {
    if kind.key != "value" {
        for key in ["by", "over"] {
            if let Some(item) = keys.get(key) {
                r.add(Draft::error(
                    "conflict",
                    item.key_at,
                    format!("`{key}` goes with `value`, not with `{}`", kind.key),
                ));
            }
        }
    }
    let (misplaced, why) = if kind.key == "query" {
        ("window", "has its own range in the query, such as `[5m]`")
    } else {
        ("unit", "has a unit that is known")
    };
    if let Some(item) = keys.get(misplaced) {
        let message = format!("`{misplaced}` does not go with `{}`, which {why}", kind.key);
        r.add(Draft::error("conflict", item.key_at, message));
    }
    if let Some(item) = keys.get("ttl").filter(|_| kind.key != "flag") {
        let message = format!("`ttl` goes with `flag`, not with `{}`", kind.key);
        r.add(Draft::error("conflict", item.key_at, message));
    }
}

/// The window, which must hold at least two samples of the source.
fn window(
    keys: &Keys<'_>,
    range: Option<Duration>,
    source: Option<&Source>,
    r: &mut Reader,
) -> Option<Duration> {
    let item = keys.get("window");
    let window = if let Some(item) = &item {
        item.duration(Duration::from_millis(200)..=LONGEST, r)?
    } else {
        let interval = source?.interval;
        let most = interval.saturating_mul(u32::try_from(MOST_INTERVALS).unwrap_or(u32::MAX));
        let window = range.unwrap_or(DEFAULT_WINDOW).min(most);
        window.max(interval * 2)
    };
    let interval = source?.interval;
    let at = item.map_or_else(|| keys.at.clone(), |item| item.at);
    fits(window, interval, "a window", |_| at, r).then_some(window)
}

/// Whether a window is at least two, and not absurdly many, intervals of its
/// source; a fault if not.
pub(super) fn fits(
    window: Duration,
    interval: Duration,
    what: &str,
    at: impl FnOnce(&mut Reader) -> Range<usize>,
    r: &mut Reader,
) -> bool {
    let samples = window.as_millis() / interval.as_millis().max(1);
    if samples < 2 {
        let at = at(r);
        r.add(
            Draft::error(
                "window",
                at,
                format!(
                    "{what} of {} is shorter than 2 intervals of its source, {} each",
                    show(window),
                    show(interval)
                ),
            )
            .hint(format!("at least `{}`", show(interval * 2)))
            .by_interval(),
        );
        return false;
    }
    if samples > MOST_INTERVALS {
        let at = at(r);
        r.add(
            Draft::error(
                "window",
                at,
                format!(
                    "{what} of {} holds {samples} intervals of {}: at most {MOST_INTERVALS} go",
                    show(window),
                    show(interval)
                ),
            )
            .hint("shorten it, or sample less often with `interval`")
            .by_interval(),
        );
        return false;
    }
    true
}

fn read_kind(
    keys: &Keys<'_>,
    kind: &Item<'_>,
    name: &str,
    source: &Source,
    source_item: &Item<'_>,
    r: &mut Reader,
) -> Option<(SignalKind, Unit)> {
    let key = kind.key.as_str();
    let conflict = match &source.kind {
        SourceKind::Alertmanager { .. } => (key != "flag").then_some((
            "needs numbers, and an alertmanager source has flags only",
            "name one that an alert sets: `flag = \"…\"`",
        )),
        SourceKind::Push { .. } => (!matches!(key, "flag" | "count" | "value")).then_some((
            "needs counters that are scraped, and a push source is told",
            "take the `flag`, `count` or `value` of what it is told",
        )),
        SourceKind::Prometheus { .. } => (key != "query").then_some((
            "is computed here, and a prometheus source computes itself",
            "write what it is to compute: `query = \"…\"`, in PromQL",
        )),
        _ if key == "query" => Some((
            "is asked of a Prometheus, and this source is none",
            "name a `prometheus` source, or derive it with `ratio`, `rate` or `quantile`",
        )),
        _ if key == "flag" => Some((
            "is what somebody says, and this source is measured",
            "name a `push` or `alertmanager` source, or compare a `value`",
        )),
        SourceKind::Scrape { .. } => (key == "count").then_some((
            "names a counter of a log, and a scrape source has none",
            "take the `increase` of a counter",
        )),
        SourceKind::Run { .. } => (key == "count").then_some((
            "names a counter of a log, and a run source has none",
            "take the `increase` of a counter that it prints",
        )),
        SourceKind::Log { .. } => matches!(key, "value" | "age" | "quantile").then_some((
            "needs more than counts, and a log source has nothing else",
            "take the `count`, `rate` or `ratio` of what it counts",
        )),
        SourceKind::Probe { .. } => (key != "quantile").then_some((
            "selects series, and a probe source has none",
            "name a `scrape` source, or test the source itself: `… is down`",
        )),
        SourceKind::Tcp { .. } => (key != "quantile").then_some((
            "selects series, and a tcp source has none",
            "name a `scrape` source, or test the source itself: `… is down`",
        )),
    };
    if let Some((why, hint)) = conflict {
        r.add(
            Draft::error("conflict", kind.key_at.clone(), format!("`{key}` {why}"))
                .also(source_item.at.clone(), "its source")
                .hint(hint),
        );
        return None;
    }
    if source.kind.is_told() {
        return told::signal(keys, kind, source, r);
    }
    let selector = |item: &Item<'_>, r: &mut Reader| {
        let selector = selector(item, r)?;
        counted(&selector, item, source, r).then_some(selector)
    };
    Some(match kind.key.as_str() {
        "query" => return query(keys, kind, name, r),
        "quantile" => return quantile(kind, source, source_item, r),
        "ratio" => {
            let parts = kind.table("`ratio`".into(), &["of", "to"], r)?;
            let of = parts.need("of", "'errors_total'", r);
            let to = parts.need("to", "'requests_total'", r);
            let of = of.and_then(|item| selector(&item, r));
            let to = to.and_then(|item| selector(&item, r));
            let ratio = SignalKind::Ratio { of: of?, to: to? };
            (ratio, Unit::Ratio)
        }
        "rate" => (SignalKind::Rate(selector(kind, r)?), Unit::PerSecond),
        "increase" | "count" => (SignalKind::Increase(selector(kind, r)?), Unit::Plain),
        "age" => {
            let of = selector(kind, r)?;
            (SignalKind::Age { of }, Unit::Seconds)
        }
        _ => gauge(keys, selector(kind, r)?, r),
    })
}

/// Puts into each source what its signals ask of it.
pub(super) fn ask(sources: &mut Sources, signals: &BTreeMap<String, Option<Signal>>) {
    for (name, signal) in signals {
        let Some(signal) = signal else { continue };
        if let SignalKind::Query { promql, .. } = &signal.kind
            && let Some(Some(source)) = sources.get_mut(&signal.source)
            && let SourceKind::Prometheus { queries, .. } = &mut source.kind
        {
            queries.insert(name.clone(), promql.clone());
        }
    }
}

/// A query, in the words of whoever will compute it: only that it is whole as far
/// as quotes and brackets go is seen here.
fn query(
    keys: &Keys<'_>,
    kind: &Item<'_>,
    name: &str,
    r: &mut Reader,
) -> Option<(SignalKind, Unit)> {
    const UNITS: [(&str, Unit); 5] = [
        ("ratio", Unit::Ratio),
        ("time", Unit::Seconds),
        ("rate", Unit::PerSecond),
        ("bytes", Unit::Bytes),
        ("number", Unit::Plain),
    ];
    let quoted = kind.string(r)?;
    let unit = keys.choice("unit", &UNITS, r).unwrap_or(Unit::Plain);
    if let Some((at, why)) = unbalanced(quoted.value) {
        let place = r.inside(
            &quoted,
            at,
            quoted.value[at..].chars().next().map_or(0, char::len_utf8),
        );
        r.add(Draft::error(
            "query",
            place,
            format!("`query` is not whole: {why}"),
        ));
        return None;
    }
    let of = Selector::parse(&asked_as(name).to_string()).ok()?;
    let promql = quoted.value.to_owned();
    Some((SignalKind::Query { promql, of }, unit))
}

/// The longest range that a query looks back over, where it says so:
/// `rate(x[5m])`, `max_over_time(x[1h:1m])` (Prometheus, *Time durations*).
fn longest_range(promql: &str) -> Option<Duration> {
    let ranges = promql.split('[').skip(1).filter_map(|rest| {
        let (range, _) = rest.split_once([']', ':'])?;
        let range = range.trim();
        // Its units are ours but for the year, which no window is long enough for.
        if range.contains('y') {
            return None;
        }
        humantime::parse_duration(range).ok()
    });
    ranges.max()
}

/// The first bracket or quote of a PromQL query that has no other, and what is
/// wrong with it.
fn unbalanced(promql: &str) -> Option<(usize, &'static str)> {
    let mut open = Vec::new();
    let mut chars = promql.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '(' => open.push((at, ')')),
            '[' => open.push((at, ']')),
            '{' => open.push((at, '}')),
            ')' | ']' | '}' => match open.pop() {
                Some((_, close)) if close == c => {}
                _ => return Some((at, "this closes nothing")),
            },
            '"' | '\'' | '`' => loop {
                match chars.next() {
                    None => return Some((at, "this string is never closed")),
                    Some((_, '\\')) if c != '`' => drop(chars.next()),
                    Some((_, end)) if end == c => break,
                    Some(_) => {}
                }
            },
            // A comment, up to the end of its line.
            '#' => drop(chars.find(|(_, c)| *c == '\n')),
            _ => {}
        }
    }
    open.first().map(|(at, _)| (*at, "this is never closed"))
}

/// Whether what a selector names is counted by its source, as far as that is
/// known before the first sample: of a log it is.
fn counted(selector: &Selector, item: &Item<'_>, source: &Source, r: &mut Reader) -> bool {
    let SourceKind::Log { matches, .. } = &source.kind else {
        return true;
    };
    let name = selector.text();
    let known = matches.contains_key(name);
    if !known {
        r.add(undefined("counter", name, item, matches.keys()));
    }
    known
}

/// What a gauge reads, by the keys that say how.
pub(super) fn gauge(keys: &Keys<'_>, of: Selector, r: &mut Reader) -> (SignalKind, Unit) {
    let by = keys.choice(
        "by",
        &[
            ("max", By::Max),
            ("min", By::Min),
            ("sum", By::Sum),
            ("avg", By::Avg),
        ],
        r,
    );
    let over = keys.choice(
        "over",
        &[
            ("last", Over::Last),
            ("avg", Over::Avg),
            ("max", Over::Max),
            ("min", Over::Min),
        ],
        r,
    );
    let unit = gauge_unit(of.name().unwrap_or_default());
    let value = SignalKind::Value {
        of,
        by: by.unwrap_or(By::Max),
        over: over.unwrap_or(Over::Last),
    };
    (value, unit)
}

/// A gauge's unit by the suffix of its name (Prometheus, *Metric and label
/// naming*).
fn gauge_unit(name: &str) -> Unit {
    if name.ends_with("_bytes") {
        Unit::Bytes
    } else if name.ends_with("_seconds") {
        Unit::Seconds
    } else if name.ends_with("_ratio") {
        Unit::Ratio
    } else {
        Unit::Plain
    }
}

fn quantile(
    kind: &Item<'_>,
    source: &Source,
    source_item: &Item<'_>,
    r: &mut Reader,
) -> Option<(SignalKind, Unit)> {
    let parts = kind.table("`quantile`".into(), &["q", "of"], r)?;
    let q_item = parts.need("q", "0.95", r);
    let of_item = parts.need("of", "\"http_request_duration_seconds\"", r);
    let q = q_item.and_then(|item| {
        let q = item.number(r)?;
        if q > 0.0 && q < 1.0 {
            return Some(q);
        }
        let hint = if q > 1.0 && q < 100.0 {
            format!("did you mean `{}`?", q / 100.0)
        } else {
            "the 95th percentile is `0.95`".to_owned()
        };
        r.add(
            item.fault("value", format!("a quantile lies between 0 and 1, not {q}"))
                .hint(hint),
        );
        None
    });
    let of_item = of_item?;
    if source.kind.has_exposition() {
        let of = selector(&of_item, r)?;
        let Some(name) = of.name().map(str::to_owned) else {
            r.add(
                of_item
                    .fault("selector", "a histogram is selected by its name")
                    .hint("write `http_request_duration_seconds{…}`"),
            );
            return None;
        };
        if let Some(base) = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
        {
            r.add(
                of_item
                    .fault(
                        "selector",
                        format!("`{name}` is a part of the histogram `{base}`"),
                    )
                    .hint(format!("write `{base}`")),
            );
            return None;
        }
        let buckets = of.with_name(&format!("{name}_bucket"));
        let histogram = SignalKind::Histogram { q: q?, buckets };
        return Some((histogram, Unit::Seconds));
    }
    let of = of_item.string(r)?;
    if of.value == "latency" {
        return Some((SignalKind::Latency { q: q? }, Unit::Seconds));
    }
    r.add(
        of_item
            .fault(
                "value",
                format!(
                    "a {} source has a latency and no `{}`",
                    source.kind.name(),
                    of.value
                ),
            )
            .also(source_item.at.clone(), "its source")
            .hint("write `of = \"latency\"`, or name a `scrape` source"),
    );
    None
}

/// A PromQL instant selector, its faults underlined inside the string.
pub(super) fn selector(item: &Item<'_>, r: &mut Reader) -> Option<Selector> {
    let quoted = item.string(r)?;
    Selector::parse(quoted.value)
        .map_err(|e| {
            r.add(Draft::error(
                "selector",
                r.inside(&quoted, e.offset, e.len),
                format!("`{}`: {e}", item.key),
            ));
        })
        .ok()
}

/// "signal `x` is not defined", with what is.
pub(super) fn undefined<'a>(
    what: &str,
    name: &str,
    item: &Item<'_>,
    defined: impl Iterator<Item = &'a String> + Clone,
) -> Draft {
    let defined = defined.map(String::as_str);
    let list = listed(defined.clone());
    let message = if list.is_empty() {
        format!("{what} `{name}` is not defined; none are")
    } else {
        format!("{what} `{name}` is not defined; defined are {list}")
    };
    item.fault("undefined", message)
        .maybe_hint(nearest(name, defined).map(|near| format!("did you mean `{near}`?")))
}
