//! How sure one may be that a share of events is above a limit.
//!
//! Two errors in three requests are 67%, and prove nothing. What counts is the
//! one-sided lower confidence bound of k/n: Clopper and Pearson's (1934), which
//! never claims more than its confidence, up to [`EXACT`] events; beyond them
//! Wilson's (1927) score bound, from which it then differs by less than anybody
//! can see, and which costs a square root.
//!
//! The exact bound inverts the regularised incomplete beta function here rather
//! than with statrs' `Beta::inverse_cdf`, which for rare errors of many events
//! does not return. The logarithm of that function over the logarithm of p is
//! concave (Beta's density is log-concave in both), so each of Newton's steps
//! there ends at or below the bound, and a handful of them reach it from
//! Wilson's. Where one leaves what is known to enclose the bound, that
//! is halved instead; after [`STEPS`] of either kind it is over.
//!
//! A tick only asks whether the bound is above a limit, which takes one value
//! of that function: the probability of so many hits, were the limit the true
//! share. Two bounds of it, of a logarithm or two, decide nearly always:
//! Chernoff's (1952) from above, that a share so far from its limit is proven
//! whatever the rest of the digits; Slud's (1977, theorem 2.1) from below, that
//! one so near is not. What lies between is computed.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::{checked_beta_reg, checked_ln_beta};

use crate::model::Proof;

/// Most events for which the bound is exact.
pub(super) const EXACT: f64 = 100_000.0;

/// Most steps to the bound: if all of them were halvings, it would be found to
/// 2⁻⁵² of k/n, from below.
const STEPS: u32 = 52;

/// A step that moves by at most this part has found the bound, which is then
/// given lower by as much.
const FOUND: f64 = 1e-12;

/// The lower bound of `hits / events` that a proof rests on: with its
/// confidence, in (0, 1), the true share is not below it; without one, the
/// share itself. 0 where there is nothing to say: no events, more hits than
/// events.
#[must_use]
pub fn bound(proof: &Proof) -> f64 {
    let Proof {
        hits,
        events,
        confidence,
        ..
    } = *proof;
    if !(events > 0.0 && hits <= events) {
        0.0
    } else if confidence > 0.0 {
        lower_bound(hits, events, confidence)
    } else {
        hits / events
    }
}

/// Parts of events do not count: hits are rounded down, events up. `None` where
/// no bound above 0 can be given.
fn whole(hits: f64, events: f64) -> Option<(f64, f64)> {
    let (k, n) = (hits.floor(), events.ceil());
    (n.is_finite() && k > 0.0 && k <= n).then_some((k, n))
}

/// Whether [`lower_bound`] is above a share.
pub(super) fn is_above(hits: f64, events: f64, confidence: f64, share: f64) -> bool {
    let Some((k, n)) = whole(hits, events) else {
        return share < 0.0;
    };
    if share <= 0.0 {
        return true;
    }
    if k / n <= share {
        return false;
    }
    if n > EXACT {
        return wilson(k, n, confidence) > share;
    }
    let alpha = 1.0 - confidence;
    if chernoff(k, n, share) < alpha.ln() {
        return true;
    }
    if slud(k, n, share).is_some_and(|least| least > alpha) {
        return false;
    }
    match checked_beta_reg(k, n - k + 1.0, share) {
        Ok(tail) => tail < alpha,
        Err(_) => wilson(k, n, confidence) > share,
    }
}

/// At least the logarithm of the probability of k or more of n events, each
/// with the probability p, below k/n: −n times the relative entropy.
fn chernoff(k: f64, n: f64, p: f64) -> f64 {
    let hits = k * (n * p / k).ln();
    let others = n - k;
    if others > 0.0 {
        hits + others * ((n - n * p) / others).ln()
    } else {
        hits
    }
}

/// At most the probability of k or more of n events, each with the probability
/// p, below k/n: that of the normal distribution. `None` where Slud's theorem
/// does not say so.
fn slud(k: f64, n: f64, p: f64) -> Option<f64> {
    let holds = p <= 0.25 || k <= n * (1.0 - p);
    let z = (k - n * p) / (n * p * (1.0 - p)).sqrt();
    holds.then(|| Normal::standard().sf(z))
}

/// The lower bound of the share that `hits` of `events` speak for: with this
/// confidence, in (0, 1), the true share is not below it. Never above
/// `hits / events`; 0 where there is nothing to say (no events, more hits than
/// events).
pub(super) fn lower_bound(hits: f64, events: f64, confidence: f64) -> f64 {
    let Some((k, n)) = whole(hits, events) else {
        return 0.0;
    };
    let near = wilson(k, n, confidence);
    let bound = if n <= EXACT {
        clopper_pearson(k, n, 1.0 - confidence, near, |x| {
            checked_beta_reg(k, n - k + 1.0, x).ok()
        })
    } else {
        None
    };
    bound.unwrap_or(near).clamp(0.0, k / n)
}

/// The p at which k or more of n events have the probability `alpha`, from
/// below; the search begins `near` it. `tail(p)` is that probability; `None`
/// where it cannot be computed.
fn clopper_pearson(
    k: f64,
    n: f64,
    alpha: f64,
    near: f64,
    mut tail: impl FnMut(f64) -> Option<f64>,
) -> Option<f64> {
    if k >= n {
        return Some((alpha.ln() / n).exp());
    }
    let scale = checked_ln_beta(k, n - k + 1.0).ok()?;
    let (mut low, mut high) = (0.0, k / n);
    let mut p = near;
    for _ in 0..STEPS {
        // Not the negation: nothing is known of a NaN.
        if !(p > low && p < high) {
            p = f64::midpoint(low, high);
        }
        let here = tail(p)?;
        if here <= alpha {
            low = p;
        } else {
            high = p;
        }
        // The tail's derivative is the density of Beta(k, n - k + 1).
        let density = ((k - 1.0) * p.ln() + (n - k) * (-p).ln_1p() - scale).exp();
        let step = (alpha / here).ln() * here / (density * p);
        if step.abs() <= FOUND {
            return Some(p - FOUND * p);
        }
        p *= step.exp();
    }
    Some(low)
}

fn wilson(k: f64, n: f64, confidence: f64) -> f64 {
    let z = Normal::standard().inverse_cdf(confidence);
    let p = k / n;
    let middle = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let bound = (middle - spread) / (1.0 + z * z / n);
    if bound.is_finite() { bound } else { 0.0 }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "whole counts and closed forms are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bound, and how often the tail was asked for.
    fn asked(k: f64, n: f64, confidence: f64) -> (f64, u32) {
        let mut asked = 0;
        let near = wilson(k, n, confidence);
        let bound = clopper_pearson(k, n, 1.0 - confidence, near, |x| {
            asked += 1;
            checked_beta_reg(k, n - k + 1.0, x).ok()
        });
        (bound.unwrap(), asked)
    }

    #[test]
    fn a_handful_of_steps_finds_the_bound() {
        for n in [10.0_f64, 100.0, 1e3, 1e4, 1e5] {
            for share in [0.001, 0.01, 0.05, 0.2, 0.5, 0.9] {
                for confidence in [0.8, 0.95, 0.999] {
                    let k = (n * share).ceil().min(n - 1.0);
                    let (bound, asked) = asked(k, n, confidence);
                    assert!(asked <= 8, "{k} of {n} at {confidence}: {asked} steps");
                    let tail = |p| checked_beta_reg(k, n - k + 1.0, p).unwrap();
                    assert!(tail(bound) <= 1.0 - confidence);
                    assert!(tail(bound * (1.0 + 1e-9)) > 1.0 - confidence);
                }
            }
        }
    }

    #[test]
    fn bounds_agree_with_scipy() {
        // scipy.stats.beta.ppf(1 - confidence, k, n - k + 1); the closed forms
        // of k = 1 and k = n by hand.
        for (k, n, confidence, expected) in [
            (1.0, 1.0, 0.95, 0.05),
            (1.0, 20.0, 0.95, 1.0 - 0.95_f64.powf(1.0 / 20.0)),
            (20.0, 20.0, 0.95, 0.05_f64.powf(1.0 / 20.0)),
            (1.0, 100_000.0, 0.99, 1.0 - 0.99_f64.powf(1e-5)),
            (5.0, 10.0, 0.95, 0.222_441_101_008_126_13),
            (0.0, 50.0, 0.95, 0.0),
        ] {
            let bound = lower_bound(k, n, confidence);
            assert!(
                (bound - expected).abs() <= 1e-9 * expected.max(1e-3),
                "{k}/{n}: {bound} is not {expected}"
            );
        }
    }

    #[test]
    fn nonsense_proves_nothing() {
        for (k, n) in [
            (0.0, 0.0),
            (2.0, 1.0),
            (-1.0, 5.0),
            (f64::NAN, 5.0),
            (1.0, f64::NAN),
            (f64::INFINITY, f64::INFINITY),
        ] {
            assert_eq!(lower_bound(k, n, 0.95), 0.0, "{k} of {n}");
        }
        assert!(lower_bound(1e300, f64::MAX, 0.95) >= 0.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn the_bound_is_at_most_the_share_rises_with_the_hits_and_takes_bounded_effort(
            n in 1_u32..2_000_000,
            share in 0.0_f64..=1.0,
            confidence in 0.01_f64..0.9999,
        ) {
            let n = f64::from(n);
            let k = (n * share).floor();
            let bound = lower_bound(k, n, confidence);
            prop_assert!(bound >= 0.0 && bound <= k / n);
            prop_assert!(lower_bound((k + 1.0).min(n), n, confidence) >= bound);
            let mut asked = 0;
            let (k, n) = (k.max(1.0), n.min(EXACT).max(k));
            clopper_pearson(k, n, 1.0 - confidence, k / n / 2.0, |x| {
                asked += 1;
                Some(x)
            });
            prop_assert!(asked <= STEPS);
        }

        #[test]
        fn a_bound_is_above_a_share_without_being_found(
            n in 1_u32..300_000,
            share in 0.0_f64..=1.0,
            confidence in 0.01_f64..0.9999,
            // Mostly near the bound, where Chernoff's does not decide.
            limit in prop_oneof![(0.9_f64..1.1).prop_map(Ok), (-0.1_f64..1.1).prop_map(Err)],
        ) {
            let n = f64::from(n);
            let k = (n * share).floor();
            let bound = lower_bound(k, n, confidence);
            let limit = limit.map_or_else(|limit| limit, |near| near * bound);
            prop_assume!((bound - limit).abs() > 1e-9 * bound);
            prop_assert_eq!(is_above(k, n, confidence, limit), bound > limit);
        }

        #[test]
        fn the_exact_bound_solves_its_equation(
            n in 2_u32..100_000,
            share in 0.0001_f64..0.9999,
            confidence in 0.5_f64..0.9999,
        ) {
            let n = f64::from(n);
            let k = (n * share).ceil().min(n - 1.0);
            let p = lower_bound(k, n, confidence);
            let tail = checked_beta_reg(k, n - k + 1.0, p).unwrap();
            prop_assert!((tail - (1.0 - confidence)).abs() < 1e-6 || p == k / n);
        }
    }
}
