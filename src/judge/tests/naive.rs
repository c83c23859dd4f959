//! Windows against a recomputation over all samples, written as SPEC 3 reads.

use proptest::prelude::*;

use super::*;

/// A scrape: when, and the page; `None` when it failed.
type History = Vec<(Moment, Option<Vec<(u8, f64)>>)>;

fn name(i: u8) -> Arc<Series> {
    let code = if i.is_multiple_of(2) { "200" } else { "500" };
    series("req", &[("code", code), ("n", &i.to_string())])
}

/// hits, events, covered and scrapes of (t − w, t], and the most falls of any
/// series there.
fn recount(all: &History, now: Moment, window: Duration) -> (f64, f64, Duration, usize, usize) {
    let mut last: BTreeMap<u8, f64> = BTreeMap::new();
    let mut before: Option<Moment> = None;
    let mut falls: BTreeMap<u8, usize> = BTreeMap::new();
    let (mut hits, mut events) = (0.0, 0.0);
    let (mut covered, mut scrapes) = (Duration::ZERO, 0);
    for (at, page) in all {
        let Some(page) = page else { continue };
        let counted = before.filter(|b| at.since(*b) <= window && *at + window > now);
        if let Some(before) = counted {
            covered += at.since(before);
            scrapes += 1;
        }
        for (i, value) in page {
            let known = last.insert(*i, *value);
            let fell = known.is_some_and(|known| *value < known);
            let grew = known
                .filter(|_| !fell)
                .map_or(*value, |known| value - known);
            if counted.is_some() {
                events += grew;
                hits += if i.is_multiple_of(2) { 0.0 } else { grew };
                *falls.entry(*i).or_default() += usize::from(fell);
            }
        }
        before = Some(*at);
    }
    let most = falls.values().copied().max().unwrap_or(0);
    (hits, events, covered, scrapes, most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn readings_equal_a_recomputation_over_all_samples(
        steps in prop::collection::vec(
            (
                prop_oneof![12 => Just(1_u64), 1 => 2_u64..20],
                prop::option::weighted(0.9, prop::collection::btree_map(0_u8..5, 0_u32..40, 1..5)),
                prop::bool::weighted(0.05),
            ),
            1..70,
        ),
    ) {
        let mut w = World::new(&[]);
        let mut all = History::new();
        let mut values: BTreeMap<u8, f64> = BTreeMap::new();
        let window = secs(60);
        for (ticks, page, reset) in steps {
            w.now = w.now + TICK * u32::try_from(ticks).unwrap();
            if reset {
                values.clear();
            }
            let page = page.map(|grown| {
                for (i, n) in grown {
                    *values.entry(i).or_insert(0.0) += f64::from(n);
                }
                values.iter().map(|(i, x)| (*i, *x)).collect::<Vec<_>>()
            });
            match &page {
                Some(page) => {
                    let samples = page
                        .iter()
                        .map(|(i, value)| Sample { series: name(*i), value: *value })
                        .collect();
                    w.sampled("app", &Outcome::Scraped(samples));
                }
                None => w.failed("app", GapKind::Reset),
            }
            let failed = page.is_none();
            all.push((w.now, page));
            w.judged();
            let (hits, events, covered, scrapes, falls) = recount(&all, w.now, window);
            let ratio = w.read("error_rate");
            if failed {
                prop_assert!(matches!(ratio, Err(NoReading::NotSampled(Some(_)))));
            } else if covered * 10 < window * 8 {
                prop_assert_eq!(ratio, Err(NoReading::Uncovered { covered, window }));
            } else if falls * 4 > scrapes {
                prop_assert!(matches!(ratio, Err(NoReading::SeveralProcesses(_))));
            } else {
                prop_assert_eq!(w.read("total"), Ok(events));
                prop_assert_eq!(w.read("rps"), Ok(events / covered.as_secs_f64()));
                let expected = if events == 0.0 { Err(NoReading::NoEvents) } else { Ok(hits / events) };
                prop_assert_eq!(ratio, expected);
            }
        }
    }
}
