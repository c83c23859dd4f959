//! Samples come back as they were, bit for bit.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::guard::Event;
use crate::journal::codec::{Decoder, Encoder};
use crate::journal::varint::Bytes;
use crate::model::{Gap, GapKind, Moment, Outcome, Sample, Series};

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1_000_000_i32..1_000_000).prop_map(f64::from),
        Just(f64::NAN),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(9_007_199_254_740_992.0),
        Just(-9_007_199_254_740_994.0),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let gap = (0_usize..4, ".{0,8}").prop_map(|(kind, detail)| {
        let kinds = [
            GapKind::Refused,
            GapKind::Own,
            GapKind::Unknown,
            GapKind::Other,
        ];
        Gap::new(kinds[kind], detail)
    });
    let series = (0_u8..6, any::<bool>()).prop_map(|(i, more)| {
        let mut labels = vec![("code".to_owned(), format!("{i}"))];
        if more {
            labels.push(("p\"ath".to_owned(), "/a}b\n".to_owned()));
        }
        Arc::new(Series::new("requests_total", labels))
    });
    let sample = (series, values())
        .prop_map(|(series, value)| Sample { series, value })
        .boxed();
    let outcome = prop_oneof![
        3 => prop::collection::vec(sample.clone(), 0..12).prop_map(Outcome::Scraped),
        1 => (
            prop::collection::vec(sample, 0..4),
            prop::collection::btree_map("[a-c]{1,3}", gap.clone(), 0..4),
        )
            .prop_map(|(samples, faults)| Outcome::Answered { samples, faults }),
        1 => (any::<u64>(), 0_u32..1_000_000_000, prop::option::of(gap.clone())).prop_map(
            |(secs, nanos, fault)| Outcome::Probed { latency: Duration::new(secs, nanos), fault }
        ),
        1 => gap.prop_map(Outcome::Failed),
    ];
    prop_oneof![
        1 => ("[ab]", any::<u64>(), any::<i64>()).prop_map(|(service, tick, wall_ahead_ms)| {
            Event::Ticked { service, tick: Moment::from_millis(tick), wall_ahead_ms }
        }),
        4 => ("[ab]", "[xy]", any::<u64>(), outcome).prop_map(|(service, source, tick, outcome)| {
            Event::Sampled { service, source, tick: Moment::from_millis(tick), outcome }
        }),
    ]
}

/// NaN is not equal to itself; its bits are.
fn bits(event: &Event) -> Vec<u64> {
    match event {
        Event::Sampled {
            outcome: Outcome::Scraped(samples),
            ..
        } => samples.iter().map(|s| s.value.to_bits()).collect(),
        _ => vec![],
    }
}

proptest! {
    #[test]
    fn samples_come_back_bit_for_bit(events in prop::collection::vec((any::<u64>(), events()), 0..40)) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let mut out = Vec::new();
        for (at, event) in &events {
            encoder.put(&mut out, Moment::from_millis(*at), event);
        }
        let mut bytes = Bytes(&out);
        for (at, event) in &events {
            let (found_at, found) = decoder.take(&mut bytes).expect("an event");
            prop_assert_eq!(found_at.as_millis(), *at);
            prop_assert_eq!(bits(&found), bits(event));
            // All but the values, in words: NaN prints as NaN.
            prop_assert_eq!(format!("{found:?}"), format!("{event:?}"));
        }
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn any_bytes_decode_to_something_or_nothing(bytes: Vec<u8>) {
        let mut decoder = Decoder::default();
        let mut bytes = Bytes(&bytes);
        while decoder.take(&mut bytes).is_some() {}
    }

    #[test]
    fn flipped_bytes_never_panic(
        events in prop::collection::vec((any::<u64>(), events()), 1..10),
        flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let mut encoder = Encoder::default();
        let mut out = Vec::new();
        for (at, event) in &events {
            encoder.put(&mut out, Moment::from_millis(*at), event);
        }
        for (at, flip) in flips {
            let len = out.len();
            out[at % len] ^= flip;
        }
        let mut decoder = Decoder::default();
        let mut bytes = Bytes(&out);
        while decoder.take(&mut bytes).is_some() {}
    }
}

#[test]
fn the_same_series_share_one_name() {
    let series = Arc::new(Series::new("up", vec![]));
    let event = |value| Event::Sampled {
        service: "a".to_owned(),
        source: "x".to_owned(),
        tick: Moment::ZERO,
        outcome: Outcome::Scraped(vec![Sample {
            series: Arc::clone(&series),
            value,
        }]),
    };
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut out = Vec::new();
    encoder.put(&mut out, Moment::ZERO, &event(1.0));
    let first = out.len();
    encoder.put(&mut out, Moment::ZERO, &event(2.0));
    assert_eq!(out.len() - first, 5, "kind, moment, stream, tick, value");
    let mut bytes = Bytes(&out);
    let mut names = Vec::new();
    while let Some((_, event)) = decoder.take(&mut bytes) {
        if let Event::Sampled {
            outcome: Outcome::Scraped(samples),
            ..
        } = event
        {
            names.extend(samples.into_iter().map(|s| s.series));
        }
    }
    assert_eq!(names.len(), 2);
    assert!(Arc::ptr_eq(&names[0], &names[1]));
}
