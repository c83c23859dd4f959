//! How sure one may be that a share of events is above a limit.
//!
//! Two errors in three requests are 67%, and prove nothing. What acts is the
//! one-sided lower confidence bound of k/n: Clopper and Pearson's (1934), which
//! never claims more than its confidence, up to [`EXACT`] events; beyond them
//! Wilson's (1927) score bound, from which it then differs by less than anybody
//! can see, and which costs a square root.
//!
//! The exact bound is a bisection on the regularised incomplete beta function
//! rather than statrs' `Beta::inverse_cdf`, which for rare errors of many
//! events does not return. A bisection always does: [`HALVINGS`] steps.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::checked_beta_reg;

/// Most events for which the bound is exact.
pub(super) const EXACT: f64 = 100_000.0;

/// Steps of the bisection: the bound is found to 2⁻⁵² of k/n, from below.
const HALVINGS: u32 = 52;

/// The lower bound of the share that `hits` of `events` speak for: with this
/// confidence, in (0, 1), the true share is not below it. Never above
/// `hits / events`; 0 where there is nothing to say (no events, more hits than
/// events). Parts of events do not count: hits are rounded down, events up.
pub(super) fn lower_bound(hits: f64, events: f64, confidence: f64) -> f64 {
    let (k, n) = (hits.floor(), events.ceil());
    if !n.is_finite() || k.is_nan() || k <= 0.0 || k > n {
        return 0.0;
    }
    let bound = if n <= EXACT {
        clopper_pearson(k, n, 1.0 - confidence, |x| {
            checked_beta_reg(k, n - k + 1.0, x).ok()
        })
    } else {
        None
    };
    bound
        .unwrap_or_else(|| wilson(k, n, confidence))
        .clamp(0.0, k / n)
}

/// The p at which k or more of n events have the probability `alpha`.
/// `tail(p)` is that probability; `None` where it cannot be computed.
fn clopper_pearson(
    k: f64,
    n: f64,
    alpha: f64,
    mut tail: impl FnMut(f64) -> Option<f64>,
) -> Option<f64> {
    if k >= n {
        return Some((alpha.ln() / n).exp());
    }
    let (mut low, mut high) = (0.0, k / n);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if tail(middle)? <= alpha {
            low = middle;
        } else {
            high = middle;
        }
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
            clopper_pearson(k.max(1.0), n.min(EXACT).max(k), 1.0 - confidence, |x| {
                asked += 1;
                Some(x)
            });
            prop_assert!(asked <= HALVINGS);
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
