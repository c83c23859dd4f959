//! How long a condition takes to be seen, when its evidence starts anew: what a
//! verification takes at least, however well all is.
//!
//! It waits for a sample, or for as many as have to agree that a source is up,
//! or until enough of a window is covered by what came since; then for its hold.

use std::time::Duration;

use super::signal::enough_of;
use crate::model::{Condition, Expr, Policy, SignalKind, Test};

/// How long it takes until a condition that is true from now on has held as long
/// as it must, on evidence from now on: by the next sample at the latest, and
/// without one that fails.
#[must_use]
pub fn holds_after(policy: &Policy, condition: &Condition) -> Duration {
    judged_after(policy, &condition.expr) + condition.hold.span()
}

/// How long it takes until it can be judged.
fn judged_after(policy: &Policy, expr: &Expr) -> Duration {
    let of = |part| judged_after(policy, part);
    match expr {
        // What one side decides alone needs no other.
        Expr::Any(parts) => parts.iter().map(of).min().unwrap_or_default(),
        Expr::All(parts) => parts.iter().map(of).max().unwrap_or_default(),
        Expr::Test(test) => tested_after(policy, test),
    }
}

fn tested_after(policy: &Policy, test: &Test) -> Duration {
    let (source, up, window) = match test {
        Test::Source { source, up, .. } => (Some(source), Some(*up), None),
        Test::Compare { signal, over, .. } => match policy.signals.get(signal) {
            Some(signal) if needs_cover(&signal.kind) => {
                let window = over.unwrap_or(signal.window);
                (Some(&signal.source), None, Some(window))
            }
            Some(signal) => (Some(&signal.source), None, None),
            None => (None, None, None),
        },
    };
    let source = source.and_then(|name| policy.sources.get(name));
    let interval = source.map_or(policy.interval, |source| source.interval);
    let interval = interval.max(policy.interval);
    let samples = match (up, source, window) {
        (Some(true), Some(source), _) => source.pass_after,
        (Some(false), Some(source), _) => source.fail_after,
        // The sample that straddles the beginning covers nothing.
        (_, _, Some(window)) => {
            let covering = enough_of(window).as_nanos();
            let samples = covering.div_ceil(interval.as_nanos().max(1));
            u32::try_from(samples).map_or(u32::MAX, |n| n.saturating_add(1))
        }
        _ => 1,
    };
    interval.saturating_mul(samples.max(1))
}

/// Whether it has no reading before its window is covered.
const fn needs_cover(kind: &SignalKind) -> bool {
    match kind {
        SignalKind::Ratio { .. }
        | SignalKind::Rate(_)
        | SignalKind::Increase(_)
        | SignalKind::Histogram { .. }
        | SignalKind::Latency { .. }
        | SignalKind::Query { .. } => true,
        SignalKind::Value { .. }
        | SignalKind::Age { .. }
        | SignalKind::Count(_)
        | SignalKind::Flag { .. } => false,
    }
}
