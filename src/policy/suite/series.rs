//! `[test.series]`: what the sources say, series by series.
//!
//! The keys are series as pages write them, `http_requests_total{code="500"}`,
//! with the labels of a recording: `backstop_source` says whose it is, where the
//! policy has several that it could be. All series of a test are on one grid of
//! time; a source that is sampled less often sees every n-th value.

use std::ops::Range;
use std::time::Duration;

use super::super::fault::{Draft, listed, nearest};
use super::super::item::Item;
use super::super::keys::Reader;
use super::super::quoted::Quoted;
use super::super::signals::undefined;
use super::notation::{Point, points};
use super::unfit;
use crate::model::{Current, Policy, Selector, Series, Source, SourceKind};

const SOURCE: &str = "backstop_source";
const RELEASE: &str = "backstop_release";
const UP: &str = "up";
const SUCCESS: &str = "probe_success";
const LATENCY: &str = "probe_duration_seconds";

/// Series of a test.
const MOST_SERIES: usize = 1000;

/// What one series does over the time of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The series, its source named by the label `backstop_source`; of a release
    /// there is none.
    pub series: Series,
    /// One at each step of the test's interval.
    pub points: Vec<Point>,
    /// Its source is sampled at each so-many-th step; at least 1.
    pub every: usize,
}

/// All series of a test; `None` with a fault. The interval comes with its place.
pub(super) fn read(
    item: &Item<'_>,
    policy: Option<&Policy>,
    interval: Option<&(Duration, Range<usize>)>,
    r: &mut Reader,
) -> Option<Vec<Script>> {
    let items = item.named(MOST_SERIES, r);
    if items.is_empty() {
        if item.value.is_table() {
            r.add(
                item.fault("value", "`series` is empty: the sources say nothing")
                    .hint("write `'http_requests_total{code=\"500\"}' = \"0+10x60\"`"),
            );
        }
        return None;
    }
    let mut scripts: Vec<(Script, Range<usize>)> = Vec::new();
    let mut unfit_said = false;
    let mut good = true;
    for item in &items {
        let points = item.string(r).and_then(|text| read_points(&text, r));
        let named = named(item, r);
        let (Some(series), Some(policy)) = (named, policy) else {
            good = false;
            continue;
        };
        let Some((series, source)) = whose(series, item, policy, r) else {
            good = false;
            continue;
        };
        if let Some((_, first)) = scripts.iter().find(|(s, _)| s.series == series) {
            let draft = Draft::error("twin", item.key_at.clone(), "this series is written twice");
            r.add(draft.also(first.clone(), "the first"));
            good = false;
        }
        let mut every = 1;
        let sampled = source.filter(|(_, source)| !source.kind.is_told());
        if let (Some((name, source)), Some((interval, at))) = (sampled, interval) {
            match unfit(name, source.interval, *interval) {
                None => every = steps(source.interval, *interval),
                Some(why) if !unfit_said => {
                    let draft = Draft::error("interval", at.clone(), why);
                    r.add(draft.hint("leave `interval` out: it is the policy's then"));
                    unfit_said = true;
                }
                Some(_) => {}
            }
        }
        let Some(points) = points else {
            good = false;
            continue;
        };
        let ends = points.contains(&Point::Stale);
        if let Some((name, source)) = source.filter(|(_, s)| ends && !s.kind.has_series()) {
            let message = format!(
                "`{name}` is a {} and has no page that a series could be gone from",
                source.kind.name()
            );
            r.add(item.fault("notation", message).hint("write `_`"));
            good = false;
        }
        let script = Script {
            series,
            points,
            every,
        };
        scripts.push((script, item.key_at.clone()));
    }
    let scripts = scripts.into_iter().map(|(script, _)| script).collect();
    (good && !unfit_said).then_some(scripts)
}

fn steps(sampled: Duration, interval: Duration) -> usize {
    let steps = sampled.as_millis() / interval.as_millis().max(1);
    usize::try_from(steps).unwrap_or(usize::MAX).max(1)
}

fn read_points(text: &Quoted<'_>, r: &mut Reader) -> Option<Vec<Point>> {
    points(text.value)
        .map_err(|misread| {
            let at = r.inside(text, misread.offset, misread.len);
            r.add(Draft::error("notation", at, misread.message).hint(misread.hint));
        })
        .ok()
}

/// The series that a key names.
fn named(item: &Item<'_>, r: &mut Reader) -> Option<Series> {
    let quoted = Quoted {
        value: &item.key,
        at: item.key_at.clone(),
    };
    let selector = match Selector::parse(&item.key) {
        Ok(selector) => selector,
        Err(e) => {
            let at = r.inside(&quoted, e.offset, e.len);
            let hint = "write it as a page does, in single quotes: `'name{label=\"value\"}'`";
            r.add(Draft::error("series", at, e.to_string()).hint(hint));
            return None;
        }
    };
    let series = selector.series();
    if series.is_none() {
        let message = format!("`{}` may be several series, or has no name", item.key);
        r.add(
            Draft::error("series", item.key_at.clone(), message)
                .hint("a series has a name and labels with `=`"),
        );
    }
    series
}

/// The series with its source named, and that source; of a release, none.
fn whose<'p>(
    series: Series,
    item: &Item<'_>,
    policy: &'p Policy,
    r: &mut Reader,
) -> Option<(Series, Option<(&'p str, &'p Source)>)> {
    let fault = |code, message: String| Draft::error(code, item.key_at.clone(), message);
    if series.name() == RELEASE {
        if series.label("version").is_empty() {
            let message = "a release without a version".to_owned();
            r.add(fault("series", message).hint("write `backstop_release{version=\"v1\"}`"));
            return None;
        }
        if policy.release.is_none() {
            let message = "the policy knows no releases: it has no `[release]`".to_owned();
            r.add(fault("series", message).hint("leave it out"));
            return None;
        }
        return Some((series, None));
    }
    let label = series.label(SOURCE);
    let (name, source) = if label.is_empty() {
        only(&series, item, policy, r)?
    } else if let Some(found) = policy.sources.get_key_value(label) {
        found
    } else {
        let mut draft = undefined("source", label, item, policy.sources.keys());
        draft = draft.moved(item.key_at.clone());
        r.add(draft);
        return None;
    };
    let bare = without_source(&series);
    if !is_read(&bare, name, source, policy) {
        let subject = if source.kind.has_series() {
            format!("no signal of `{name}` reads `{bare}`")
        } else {
            format!("`{bare}` is nothing that a {} says", source.kind.name())
        };
        r.add(fault("unread", subject).hint(readable(&bare, name, source, policy)));
        return None;
    }
    let labels = bare.labels().iter().cloned();
    let labels = labels.chain([(SOURCE.to_owned(), name.clone())]).collect();
    Some((
        Series::new(bare.name(), labels),
        Some((name.as_str(), source)),
    ))
}

/// The only source that a series without `backstop_source` can be of, as in a
/// recording.
fn only<'p>(
    series: &Series,
    item: &Item<'_>,
    policy: &'p Policy,
    r: &mut Reader,
) -> Option<(&'p String, &'p Source)> {
    let probes = matches!(series.name(), SUCCESS | LATENCY);
    let mut candidates = policy.sources.iter().filter(|(_, source)| {
        if probes {
            !source.kind.has_series()
        } else {
            matches!(source.kind, SourceKind::Scrape { .. })
        }
    });
    let first = candidates.next();
    if let (Some(source), None, false) = (first, candidates.next(), series.name() == UP) {
        return Some(source);
    }
    let names = || policy.sources.keys().map(String::as_str);
    let example = first
        .map(|(name, _)| name.as_str())
        .or_else(|| names().next());
    let message = format!("`{series}` does not say whose it is");
    r.add(
        Draft::error("source", item.key_at.clone(), message).hint(format!(
            "add `{SOURCE}=\"{}\"` to its labels; sources are {}",
            example.unwrap_or("app"),
            listed(names())
        )),
    );
    None
}

fn without_source(series: &Series) -> Series {
    let labels = series.labels().iter();
    let labels = labels.filter(|(name, _)| name != SOURCE).cloned().collect();
    Series::new(series.name(), labels)
}

/// Whether anything depends on it.
fn is_read(series: &Series, name: &str, source: &Source, policy: &Policy) -> bool {
    if source.kind.has_series() {
        let up = series.name() == UP && !source.kind.is_told();
        return up || selectors(name, policy).any(|selector| selector.matches(series));
    }
    matches!(series.name(), UP | SUCCESS | LATENCY) && series.labels().is_empty()
}

/// What the policy reads of a source.
fn selectors<'p>(name: &'p str, policy: &'p Policy) -> impl Iterator<Item = &'p Selector> {
    let signals = policy.signals.values();
    let signals = signals.filter(move |signal| signal.source == name);
    let metric = policy
        .release
        .as_ref()
        .and_then(|rule| match &rule.current {
            Current::Metric { metric, source, .. } if source == name => Some(metric),
            _ => None,
        });
    signals
        .flat_map(|signal| signal.kind.selectors())
        .chain(metric)
}

fn readable(series: &Series, name: &str, source: &Source, policy: &Policy) -> String {
    if !source.kind.has_series() {
        return format!("write `{SUCCESS}` or `{LATENCY}`");
    }
    let texts: Vec<_> = selectors(name, policy).map(Selector::text).collect();
    let names = selectors(name, policy).filter_map(Selector::name);
    match nearest(series.name(), names) {
        Some(near) if near != series.name() => format!("did you mean `{near}`?"),
        _ if texts.is_empty() => format!("of this source only `{UP}` is read"),
        _ => format!("they read {}", listed(texts)),
    }
}
