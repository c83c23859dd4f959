//! Whether a release is worse than the one before by more than a factor: two
//! counts against each other, where a plain limit is one count against a number.
//!
//! **Ratios.** k₁ of n₁ events are hits now, k₀ of n₀ were in the baseline's hour.
//! H₀ is p₁ ≤ c·p₀. Given that there are k₁ + k₀ hits in all, the hits now are
//! binomial with the share
//!
//! ```text
//! w = c·n₁ / (c·n₁ + n₀)
//! ```
//!
//! at the edge of H₀ (Przyborowski and Wilenski, *Homogeneity of results in
//! testing samples from Poisson series*, Biometrika 31, 1940; R's `poisson.test`).
//! So `p₁ > c·p₀` is proven when Clopper and Pearson's lower bound L of
//! k₁ / (k₁ + k₀) is above w, and the factor that is proven is
//! L/(1 − L) · n₀/n₁. It is the bound that proves plain limits, with its cost.
//!
//! It is exact for rare events, however few, and a baseline without any hit needs
//! no special case. It errs only on the side of not firing: with whole counts
//! the confidence is never met to the digit, and the hits are taken for
//! Poisson's, which spread more than binomial ones: of shares of a tenth a
//! twentieth more, of a half some four tenths. The score test (Miettinen and
//! Nurminen 1985; Farrington and Manning 1990) has more power there, and for a
//! handful of hits claims more than its confidence; a rollback wants it the
//! other way round.
//!
//! **Quantiles.** H₀ is Q₁ ≤ c·Q₀. The baseline's quantile is at most u and the
//! one of now above b, each by the counts at or below a bound (`spread`) and with
//! half of the doubt that the confidence leaves, so that both hold together
//! (Bonferroni). Q₁ > c·Q₀ is proven when b ≥ c·u: no shape is assumed inside a
//! bucket, so a change that crosses no bound is never proven.
//!
//! The confidence is that of one look. A trigger looks at each tick of a breach,
//! and what it looks at moves on slowly, so over a release the false alarms add
//! up; the hold, which the plain comparison has to last through before the first
//! look counts, takes most of them away again. `benches/regressions` measures
//! what is left, with windows of 5 minutes and `for 15m`, over an hour of each of
//! 1,000 releases: how many fired with as many errors as before / with exactly
//! twice as many, which is not more than twice / and the share that did with five
//! times as many. The plain limit is twice the true share before, which nobody
//! knows in life.
//!
//! | requests | errors before | plain limit | limit, 95% bound | 2x baseline | 2x baseline, 95% test |
//! |---|---|---|---|---|---|
//! | 0.1/s | 0.1% | 0 / 0 / 0% | 0 / 0 / 0% | 0 / 0 / 0% | 0 / 0 / 0% |
//! | 0.1/s | 1% | 9 / 74 / 68% | 2 / 36 / 64% | 9 / 59 / 56% | 3 / 19 / 44% |
//! | 1/s | 0.1% | 11 / 90 / 64% | 2 / 57 / 60% | 9 / 76 / 58% | 2 / 30 / 44% |
//! | 1/s | 1% | 0 / 50 / 100% | 0 / 43 / 100% | 0 / 103 / 100% | 0 / 81 / 100% |
//! | 10/s | 0.1% | 0 / 50 / 100% | 0 / 32 / 100% | 1 / 123 / 100% | 1 / 73 / 100% |
//! | 10/s | 1% | 0 / 57 / 100% | 0 / 52 / 100% | 0 / 134 / 100% | 0 / 104 / 100% |
//! | 100/s | 0.1% | 0 / 60 / 100% | 0 / 52 / 100% | 0 / 142 / 100% | 0 / 112 / 100% |
//! | 100/s | 1% | 0 / 73 / 100% | 0 / 68 / 100% | 0 / 138 / 100% | 0 / 118 / 100% |
//! | 1000/s | 0.1% | 0 / 69 / 100% | 0 / 64 / 100% | 0 / 127 / 100% | 0 / 106 / 100% |
//! | 1000/s | 1% | 0 / 78 / 100% | 0 / 69 / 100% | 0 / 141 / 100% | 0 / 115 / 100% |
//!
//! Where a window has errors enough, the hold alone keeps equal releases from
//! firing, and the test loses nothing. Where it has hardly any, the test leaves a
//! third of the false alarms or fewer and finds a quarter less: a quiet service
//! needs a longer window and hold. At the edge itself a test of 95% fires in one
//! release of ten within an hour, not of twenty, because it looks again and again;
//! and always at the same baseline, whose chance errors do not average out.

use super::spread::Spread;
use super::statistics::{is_above, lower_bound};
use crate::model::{Moved, Proof};

/// Hits of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    pub(super) hits: f64,
    pub(super) events: f64,
}

/// Whether the share now is more than `factor` times the baseline's, with this
/// confidence. Both have events.
pub(super) fn is_worse(now: Share, baseline: Share, factor: f64, confidence: f64) -> bool {
    let weighed = factor * now.events.ceil();
    let edge = weighed / (weighed + baseline.events.floor());
    let hits = now.hits.floor();
    edge < 1.0 && is_above(hits, hits + baseline.hits.ceil(), confidence, edge)
}

/// How many times its baseline a signal is at least, with the proof's
/// confidence: more than the factor if it is proven. 0 where nothing is known,
/// and without a confidence; `None` of a proof against a fixed limit.
#[must_use]
pub fn least_factor(proof: &Proof) -> Option<f64> {
    let against = proof.against?;
    let least = match against.moved {
        Some(Moved {
            from_at_most: Some(from),
            to_above: Some(to),
            ..
        }) => to / from,
        None if proof.confidence > 0.0 => {
            let hits = proof.hits.floor();
            let all = hits + against.hits.ceil();
            let least = lower_bound(hits, all, proof.confidence);
            least / (1.0 - least) * (against.events.floor() / proof.events.ceil())
        }
        Some(_) | None => 0.0,
    };
    Some(if least.is_finite() {
        least.max(0.0)
    } else {
        0.0
    })
}

/// How far a quantile has moved, and whether that is more than `factor` times.
pub(super) fn moved(
    now: &Spread,
    baseline: &Spread,
    q: f64,
    factor: f64,
    confidence: f64,
) -> (Moved, bool) {
    let each = each_side(confidence);
    let from_at_most = baseline.at_most(q, each);
    let to_above = now.is_above(q, each);
    let needed = from_at_most.map(|from| factor * from);
    let cut = needed.or_else(|| baseline.steps.last().map(|step| step.0));
    let moved = Moved {
        from_at_most,
        to_above,
        cut: cut.and_then(|limit| now.cut(limit)).unwrap_or_default(),
    };
    let proven = matches!((needed, to_above), (Some(needed), Some(to)) if to >= needed);
    (moved, proven)
}

/// The least events of a baseline that can bound a quantile from above: of fewer
/// even the largest may well be below it.
pub(super) fn least_events(q: f64, confidence: f64) -> f64 {
    if confidence > 0.0 {
        ((1.0 - each_side(confidence)).ln() / q.ln()).floor() + 1.0
    } else {
        1.0
    }
}

/// The confidence of each of two bounds that hold together.
fn each_side(confidence: f64) -> f64 {
    f64::midpoint(confidence, 1.0)
}

#[cfg(test)]
mod tests;
