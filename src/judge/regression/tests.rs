//! The tests against published numbers, against all outcomes of small samples,
//! and against each other.

#![expect(clippy::float_cmp, reason = "what is nothing is 0 to the bit")]

use proptest::prelude::*;

use super::*;
use crate::model::Against;

fn share(hits: f64, events: f64) -> Share {
    Share { hits, events }
}

fn proof(now: Share, baseline: Share, confidence: f64) -> Proof {
    Proof {
        hits: now.hits,
        events: now.events,
        confidence,
        above: 0.0,
        min_events: 1,
        proven: false,
        against: Some(Against {
            factor: 2.0,
            hits: baseline.hits,
            events: baseline.events,
            moved: None,
        }),
    }
}

fn least(now: Share, baseline: Share, confidence: f64) -> f64 {
    least_factor(&proof(now, baseline, confidence)).unwrap()
}

#[test]
fn factors_agree_with_r_and_scipy() {
    // The first is the example of R's `poisson.test` (11 of 800 against 6 + 8 + 7
    // of 1083 + 1050 + 878: 0.8584264, two-sided at 95%), the second that of its
    // data on fluoroscopy. All by SciPy 1.17: L = beta.ppf(1 - confidence, k1,
    // k0 + 1), then L / (1 - L) * n0 / n1.
    for (k1, n1, k0, n0, confidence, expected) in [
        (11.0, 800.0, 21.0, 3011.0, 0.975, 0.858_426_403_391_639_9),
        (41.0, 28010.0, 15.0, 19017.0, 0.975, 1.005_684_062_689_257_6),
        (41.0, 28010.0, 15.0, 19017.0, 0.95, 1.098_010_354_797_787_3),
        (41.0, 1000.0, 12.0, 1200.0, 0.95, 2.320_343_394_160_919),
        (3.0, 50000.0, 0.0, 1e6, 0.95, 11.665_769_067_237_564),
        (1.0, 20.0, 0.0, 7200.0, 0.95, 18.947_368_421_052_65),
        (500.0, 1000.0, 200.0, 1000.0, 0.95, 2.173_058_661_952_997),
        (120.0, 1e5, 600.0, 1.2e6, 0.99, 1.882_145_517_504_794_3),
    ] {
        let (now, baseline) = (share(k1, n1), share(k0, n0));
        let found = least(now, baseline, confidence);
        assert!(
            (found / expected - 1.0).abs() < 1e-9,
            "{k1} of {n1} against {k0} of {n0}: {found} is not {expected}"
        );
        assert!(is_worse(now, baseline, expected * 0.999, confidence));
        assert!(!is_worse(now, baseline, expected * 1.001, confidence));
    }
}

#[test]
fn without_hits_or_counts_nothing_is_known() {
    assert_eq!(least(share(0.0, 100.0), share(5.0, 100.0), 0.95), 0.0);
    assert_eq!(least(share(0.0, 0.0), share(0.0, 0.0), 0.95), 0.0);
    assert_eq!(least(share(9.0, 10.0), share(1.0, 10.0), 0.0), 0.0);
    assert!(!is_worse(share(3.0, 3.0), share(0.0, 0.0), 2.0, 0.95));
    assert!(!is_worse(share(0.0, 9.0), share(0.0, 9.0), 2.0, 0.95));
    let plain = Proof {
        against: None,
        ..proof(share(1.0, 2.0), share(1.0, 2.0), 0.95)
    };
    assert_eq!(least_factor(&plain), None);
}

/// The probabilities of 0 to n hits of n events, each with the probability p.
fn binomial(n: u32, p: f64) -> Vec<f64> {
    let mut at = (1.0 - p).powf(f64::from(n));
    (0..=n)
        .map(|k| {
            let here = at;
            at *= f64::from(n - k) / f64::from(k + 1) * p / (1.0 - p);
            here
        })
        .collect()
}

#[test]
fn over_all_outcomes_a_release_that_is_no_worse_is_called_so_less_often_than_the_doubt() {
    let mut most = 0.0_f64;
    for (n1, n0) in [(5, 5), (20, 60), (40, 40), (60, 15), (30, 240)] {
        for factor in [1.0, 2.0, 5.0] {
            for confidence in [0.8, 0.95, 0.99] {
                // The least hits now that prove it, for each number before.
                let needed: Vec<u32> = (0..=n0)
                    .map(|k0| {
                        let baseline = share(f64::from(k0), f64::from(n0));
                        let hits: Vec<u32> = (0..=n1).collect();
                        let below = |k1: &u32| {
                            let now = share(f64::from(*k1), f64::from(n1));
                            !is_worse(now, baseline, factor, confidence)
                        };
                        u32::try_from(hits.partition_point(below)).unwrap()
                    })
                    .collect();
                for p0 in [0.001, 0.01, 0.03, 0.1, 0.2, 0.5, 0.9] {
                    let p1 = factor * p0;
                    if p1 >= 1.0 {
                        continue;
                    }
                    let now = binomial(n1, p1);
                    let false_alarms: f64 = binomial(n0, p0)
                        .iter()
                        .zip(&needed)
                        .map(|(p, least)| p * now.iter().skip(*least as usize).sum::<f64>())
                        .sum();
                    assert!(
                        false_alarms <= 1.0 - confidence,
                        "{n1} and {n0} events, {factor}x {p0} at {confidence}: {false_alarms}"
                    );
                    most = most.max(false_alarms / (1.0 - confidence));
                }
            }
        }
    }
    // It is no test that never speaks, either.
    assert!(most > 0.3, "{most}");
}

#[test]
fn a_quantile_has_moved_when_its_bounds_have() {
    let spread = |counts: [f64; 4]| {
        let mut events = 0.0;
        let steps = [0.25, 0.5, 1.0, 2.5]
            .into_iter()
            .zip(counts)
            .map(|(bound, n)| {
                events += n;
                (bound, events)
            })
            .collect();
        Spread { steps, events }
    };
    // p95 was 250 ms at most: 70 of 7,200 are above it.
    let baseline = spread([7130.0, 50.0, 20.0, 0.0]).upward(0.95);
    // 150 of 1,000 take more than 500 ms, 60 more than a second.
    let slow = spread([800.0, 50.0, 90.0, 60.0]);
    let (found, worse) = moved(&slow, &baseline, 0.95, 2.0, 0.95);
    assert!(worse);
    let expected = Moved {
        from_at_most: Some(0.25),
        to_above: Some(0.5),
        cut: 0.5,
    };
    assert_eq!(found, expected);
    assert_eq!(
        (slow.above(found.cut), baseline.above(found.cut)),
        (150.0, 20.0)
    );
    // Above a second are 60 of 1,000, which are not proven to be more than 5%.
    assert!(!moved(&slow, &baseline, 0.95, 3.0, 0.95).1);
    // Slower, but within the bucket: no bound was crossed.
    let within = spread([0.0, 1000.0, 0.0, 0.0]);
    let (found, worse) = moved(&within, &spread([0.0, 7200.0, 0.0, 0.0]), 0.95, 1.5, 0.95);
    assert!(!worse);
    assert_eq!(
        (found.from_at_most, found.to_above),
        (Some(0.5), Some(0.25))
    );
}

#[test]
fn a_quantile_needs_events_before_it_has_a_bound() {
    // Each side has half the doubt: 0.95^72 = 0.0249, 0.5^6 = 0.0156.
    assert_eq!(least_events(0.95, 0.95), 72.0);
    assert_eq!(least_events(0.5, 0.95), 6.0);
    assert_eq!(least_events(0.95, 0.0), 1.0);
    let few = |n: f64| Spread {
        steps: vec![(1.0, n)],
        events: n,
    };
    for q in [0.5, 0.9, 0.95, 0.99, 0.999] {
        for confidence in [0.8, 0.95, 0.999] {
            let least = least_events(q, confidence);
            let bounded = |n: f64| few(n).at_most(q, each_side(confidence)).is_some();
            assert!(bounded(least + 1.0), "{q} {confidence}");
            assert!(!bounded(least - 1.0), "{q} {confidence}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn more_hits_now_more_doubt_and_smaller_factors_prove_more_never_less(
        n1 in 1_u32..20_000,
        n0 in 1_u32..200_000,
        share1 in 0.0_f64..=0.3,
        share0 in 0.0_f64..=0.1,
        factor in 0.2_f64..8.0,
        confidence in 0.5_f64..0.999,
    ) {
        let (n1, n0) = (f64::from(n1), f64::from(n0));
        let now = share((n1 * share1).floor(), n1);
        let baseline = share((n0 * share0).floor(), n0);
        let found = least(now, baseline, confidence);
        // Both words of it agree, where rounding does not decide.
        if (found / factor - 1.0).abs() > 1e-6 {
            prop_assert_eq!(is_worse(now, baseline, factor, confidence), found > factor);
        }
        let more = share((now.hits + 1.0).min(n1), n1);
        prop_assert!(least(more, baseline, confidence) >= found);
        let before = share((baseline.hits + 1.0).min(n0), n0);
        prop_assert!(least(now, before, confidence) <= found);
        let surer = f64::midpoint(confidence, 1.0);
        prop_assert!(least(now, baseline, surer) <= found);
        // Never more than what was seen.
        if baseline.hits > 0.0 {
            prop_assert!(found <= now.hits / n1 / (baseline.hits / n0) * (1.0 + 1e-9));
        }
    }
}
