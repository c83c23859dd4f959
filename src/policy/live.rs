//! Lints against one round of real samples: what a policy says of a service
//! that answers something else.

use std::collections::BTreeMap;

use super::conditions::tests;
use super::fault::{Draft, Fault};
use super::{Loaded, Marks};
use crate::model::{Current, Limit, Outcome, Policy, Sample, Selector, SignalKind, Test};

/// Compares a policy with what its sources answered just now, by source: sources
/// that fail, selectors that match nothing, and limits on histograms that lie
/// between two bounds or above the top one. A source without an outcome is not
/// spoken of.
#[must_use]
pub fn lint_live(loaded: &Loaded, samples: &BTreeMap<String, Outcome>) -> Vec<Fault> {
    let Some(policy) = &loaded.policy else {
        return Vec::new();
    };
    let marks = &loaded.marks;
    let mut out = Vec::new();
    for (name, outcome) in samples {
        if let Outcome::Answered { faults, .. } = outcome {
            for (signal, gap) in faults {
                let at = marks.at(&format!("signals.{signal}.query"));
                let message = format!("the query of `{signal}` gives no number: {gap}");
                out.push(Draft::warning("live-query", at, message));
            }
        } else if let Some(gap) = outcome.gap()
            && policy.sources.contains_key(name)
        {
            out.push(Draft::warning(
                "live-source",
                marks.at(&format!("sources.{name}")),
                format!("source `{name}` fails: {gap}"),
            ));
        }
    }
    matches(policy, samples, marks, &mut out);
    for trigger in &policy.triggers {
        for test in tests(&trigger.when.expr) {
            let path = format!("triggers.{}.when", trigger.name);
            bounds(policy, test, &path, samples, marks, &mut out);
        }
    }
    marks.warn(out)
}

fn page<'a>(samples: &'a BTreeMap<String, Outcome>, source: &str) -> Option<&'a [Sample]> {
    match samples.get(source) {
        Some(Outcome::Scraped(samples)) => Some(samples),
        _ => None,
    }
}

fn matches(
    policy: &Policy,
    samples: &BTreeMap<String, Outcome>,
    marks: &Marks,
    out: &mut Vec<Draft>,
) {
    let mut check = |selector: &Selector, path: &str, page: &[Sample], then: &str| {
        if !page.iter().any(|sample| selector.matches(&sample.series)) {
            out.push(
                Draft::warning(
                    "live-selector",
                    marks.test(path, selector.text()),
                    format!("`{selector}` matches no series of the page"),
                )
                .hint(then),
            );
        }
    };
    let blind = "the signal has no reading until one appears: compare it with the page";
    for (name, signal) in &policy.signals {
        let Some(page) = page(samples, &signal.source) else {
            continue;
        };
        let path = |key: &str| format!("signals.{name}.{key}");
        match &signal.kind {
            SignalKind::Ratio { of, to } => {
                let zero = "it counts as 0 until one appears: right if nothing has failed yet";
                check(of, &path("ratio.of"), page, zero);
                check(to, &path("ratio.to"), page, blind);
            }
            SignalKind::Rate(of) => check(of, &path("rate"), page, blind),
            SignalKind::Increase(of) => check(of, &path("increase"), page, blind),
            SignalKind::Histogram { buckets, .. } => {
                check(buckets, &path("quantile.of"), page, blind);
            }
            SignalKind::Value { of, .. } => check(of, &path("value"), page, blind),
            SignalKind::Age { of } => check(of, &path("age"), page, blind),
            // Nothing is scraped for those: a page has nothing to say of them.
            SignalKind::Query { .. }
            | SignalKind::Latency { .. }
            | SignalKind::Count(_)
            | SignalKind::Flag { .. } => {}
        }
    }
    if let Some(Current::Metric { metric, source, .. }) =
        policy.release.as_ref().map(|r| &r.current)
        && let Some(page) = page(samples, source)
    {
        let unknown = "the running release is not known until one appears";
        check(metric, "release.current.metric", page, unknown);
    }
}

/// A limit on a histogram's quantile is only as exact as its buckets.
fn bounds(
    policy: &Policy,
    test: &Test,
    path: &str,
    samples: &BTreeMap<String, Outcome>,
    marks: &Marks,
    out: &mut Vec<Draft>,
) {
    let Test::Compare {
        signal,
        limit: Limit::Fixed(limit),
        text,
        ..
    } = test
    else {
        return;
    };
    let Some(signal) = policy.signals.get(signal) else {
        return;
    };
    let (SignalKind::Histogram { buckets, .. }, Some(page)) =
        (&signal.kind, page(samples, &signal.source))
    else {
        return;
    };
    let mut bounds: Vec<f64> = page
        .iter()
        .filter(|sample| buckets.matches(&sample.series))
        .filter_map(|sample| sample.series.label("le").parse().ok())
        .filter(|bound: &f64| bound.is_finite())
        .collect();
    bounds.sort_by(f64::total_cmp);
    let Some(&top) = bounds.last() else { return };
    let at = marks.test(path, text);
    if *limit > top {
        out.push(
            Draft::warning(
                "live-bound",
                at,
                format!(
                    "the limit of {limit}s is above the histogram's top bound, {top}s: \
                     a quantile up there cannot be judged"
                ),
            )
            .hint(format!(
                "add a bucket at {limit}, or set the limit to {top}s"
            )),
        );
        return;
    }
    let exact = |bound: &&f64| (**bound - limit).abs() <= limit.abs() * 1e-9;
    if bounds.iter().any(|bound| exact(&bound)) {
        return;
    }
    let above = bounds.iter().find(|bound| *bound > limit).unwrap_or(&top);
    let below = bounds.iter().rfind(|bound| *bound < limit).unwrap_or(&0.0);
    out.push(
        Draft::warning(
            "live-bound",
            at,
            format!("the limit of {limit}s lies inside a bucket, between {below}s and {above}s"),
        )
        .hint(format!(
            "in between a quantile is a guess: take {below}s or {above}s, or add a bucket at {limit}"
        )),
    );
}
