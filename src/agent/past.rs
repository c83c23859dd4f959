//! A look back: what a Prometheus has kept of a policy's sources, asked for by a
//! person's word. It needs no agent that runs, and disturbs none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::AgentError;
use super::clock;
use super::sampler::selectors;
use crate::model::{Moment, Policy, SourceKind, Tls};
use crate::sense::past::{Archive, Patience, Wanted, ask};

pub use crate::sense::past::{Kept, Listener, Missing, Progress};

/// The time that one question may take. Prometheus gives up after two minutes
/// by itself.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A probe's series, as the blackbox exporter names them.
const PROBED: [&str; 2] = ["probe_success", "probe_duration_seconds"];

/// What is asked of whom.
#[derive(Clone, Debug)]
pub struct LookBack {
    /// The base of the server's API; `/api/v1/…` goes behind it.
    pub url: String,
    /// Sent with every request.
    pub headers: BTreeMap<String, String>,
    /// Certificates.
    pub tls: Tls,
    /// From when, Unix time.
    pub from: Moment,
    /// Until when, Unix time.
    pub to: Moment,
    /// Label matchers that name a source's target, by the source.
    pub targets: BTreeMap<String, String>,
    /// Those of pages that are not among these.
    pub target: Option<String>,
}

/// Now, by the wall clock: milliseconds of Unix time.
#[must_use]
pub fn unix_now() -> Moment {
    Moment::from_millis(u64::try_from(clock::unix_ms()).unwrap_or_default())
}

/// Asks for all that was kept of the policies' sources. What could not be had,
/// with its reason.
///
/// # Errors
///
/// Nothing can be asked at all, or not without knowing more: a sentence.
pub fn look_back(
    policies: &[&Policy],
    asked: &LookBack,
    listener: &mut impl Listener,
) -> Result<Vec<Missing>, AgentError> {
    let archive = Archive::new(&asked.url, &asked.headers, &asked.tls, TIMEOUT)?;
    let wanted = wanted(policies, asked, listener);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| AgentError::system("start the runtime", e))?;
    let span = (asked.from, asked.to);
    let missing = ask(&archive, &wanted, span, Patience::default(), listener);
    runtime.block_on(missing).map_err(AgentError::Usage)
}

/// What is asked for each source; what cannot be is remarked.
fn wanted(
    policies: &[&Policy],
    asked: &LookBack,
    listener: &mut impl Listener,
) -> BTreeMap<String, Wanted> {
    let mut all = BTreeMap::new();
    for policy in policies {
        for (name, source) in &policy.sources {
            let own = asked.targets.get(name);
            let target = own.or(asked.target.as_ref()).cloned();
            let (selectors, target) = match &source.kind {
                SourceKind::Prometheus { queries, .. } => {
                    add_queries(&mut all, name, queries, source.interval, listener);
                    continue;
                }
                SourceKind::Scrape { .. } => (texts(policy, name), target),
                SourceKind::Run { .. } if own.is_some() => (texts(policy, name), target),
                SourceKind::Probe { .. } | SourceKind::Tcp { .. } if own.is_some() => {
                    (PROBED.map(str::to_owned).to_vec(), target)
                }
                kind => {
                    listener.remark(unknown(name, kind));
                    continue;
                }
            };
            match all.entry(name.clone()).or_insert_with(|| Wanted::Page {
                selectors: Vec::new(),
                target,
            }) {
                Wanted::Page {
                    selectors: known, ..
                } => {
                    for selector in selectors {
                        if !known.contains(&selector) {
                            known.push(selector);
                        }
                    }
                }
                Wanted::Answers { .. } => {}
            }
        }
    }
    all
}

fn texts(policy: &Policy, source: &str) -> Vec<String> {
    let selectors = selectors(policy, source);
    selectors.iter().map(|s| s.text().to_owned()).collect()
}

fn add_queries(
    all: &mut BTreeMap<String, Wanted>,
    source: &str,
    queries: &BTreeMap<String, String>,
    every: Duration,
    listener: &mut impl Listener,
) {
    let wanted = all
        .entry(source.to_owned())
        .or_insert_with(|| Wanted::Answers {
            queries: BTreeMap::new(),
            every,
        });
    let Wanted::Answers { queries: known, .. } = wanted else {
        return;
    };
    for (signal, promql) in queries {
        let first = known
            .entry(signal.clone())
            .or_insert_with(|| promql.clone());
        if first != promql {
            listener.remark(format!(
                "`{signal}` asks another query in each policy: both are judged by the first, `{first}`"
            ));
        }
    }
}

/// Why a source is not asked for.
fn unknown(name: &str, kind: &SourceKind) -> String {
    let what = kind.name();
    match kind {
        SourceKind::Probe { .. } | SourceKind::Tcp { .. } => format!(
            "`{name}` is a {what} source, which no Prometheus scrapes: what reads it is blind, unless --match '{name}:job=\"…\"' names a blackbox exporter's job that probes the same"
        ),
        _ => format!(
            "`{name}` is a {what} source, of which no Prometheus knows: what reads it is blind"
        ),
    }
}
