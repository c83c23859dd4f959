//! Numbers, times and findings as people read them.

use super::*;

#[test]
fn numbers_read_in_their_units() {
    let cases = [
        (0.074, Unit::Ratio, "7.4%"),
        (0.05, Unit::Ratio, "5%"),
        (1.0, Unit::Ratio, "100%"),
        (0.000_123_4, Unit::Ratio, "0.0123%"),
        (0.0, Unit::Ratio, "0%"),
        (0.64, Unit::Seconds, "640 ms"),
        (0.000_4, Unit::Seconds, "0.4 ms"),
        (0.999_9, Unit::Seconds, "1 s"),
        (1.928, Unit::Seconds, "1.93 s"),
        (99.0, Unit::Seconds, "99 s"),
        (4210.0, Unit::Seconds, "1h10m10s"),
        (-4210.0, Unit::Seconds, "-1h10m10s"),
        (1e300, Unit::Seconds, "1.00e300 s"),
        (12.34, Unit::PerSecond, "12.3/s"),
        (512.0, Unit::Bytes, "512 B"),
        (1023.9, Unit::Bytes, "1 KiB"),
        (1.2 * 1024.0 * 1024.0 * 1024.0, Unit::Bytes, "1.2 GiB"),
        (5.5e15, Unit::Bytes, "5,002 TiB"),
        (9.999, Unit::Plain, "10"),
        (1_234_567.0, Unit::Plain, "1,234,567"),
        (-12_345.0, Unit::Plain, "-12,345"),
        (999.6, Unit::Plain, "1,000"),
    ];
    for (x, unit, text) in cases {
        assert_eq!(number(x, unit), text, "{x:e} {unit:?}");
    }
}

#[test]
fn a_value_is_never_shown_equal_to_a_limit_that_it_exceeds() {
    assert_eq!(
        pair(Value::Exactly(0.050_03), 0.05, Unit::Ratio),
        ("5.003%".into(), "5%".into())
    );
    assert_eq!(
        pair(Value::Exactly(100.2), 100.0, Unit::Seconds),
        ("100.2 s".into(), "100 s".into())
    );
    assert_eq!(
        pair(Value::Exactly(0.05), 0.05, Unit::Ratio),
        ("5%".into(), "5%".into())
    );
    assert_eq!(
        pair(Value::AboveTop(2.5), 2.5, Unit::Seconds),
        ("above 2.5 s".into(), "2.5 s".into())
    );
}

#[test]
fn evidence_says_what_was_counted() {
    let mut e = Evidence {
        hits: Some(74.0),
        events: 1000.0,
        scrapes: 12,
        covers: Duration::from_secs(60),
    };
    assert_eq!(evidence(&e), "74 of 1,000 events");
    e.hits = None;
    assert_eq!(evidence(&e), "1,000 events");
    e.events = 12.0;
    assert_eq!(evidence(&e), "12 samples");
    e.events = 1.0;
    assert_eq!(evidence(&e), "1 event");
}

#[test]
fn a_proof_says_what_is_missing() {
    let mut p = Proof {
        hits: 3.0,
        events: 12.0,
        confidence: 0.95,
        above: 0.05,
        min_events: 20,
        proven: false,
        against: None,
    };
    assert_eq!(
        proof(&p, Unit::Ratio),
        "not proven yet: 12 events, 20 needed"
    );
    p.events = 40.0;
    assert_eq!(
        proof(&p, Unit::Ratio),
        "not proven yet: 3 of 40 events mean at least 2.08%, more than 5% is needed"
    );
    p.hits = 12.0;
    p.proven = true;
    assert_eq!(
        proof(&p, Unit::Ratio),
        "proven: 12 of 40 events mean at least 18.3%, more than 5% is needed"
    );
}

#[test]
fn a_proof_against_a_baseline_says_how_many_times_it_is_at_least() {
    let before = Baseline {
        factor: 2.0,
        value: 0.01,
        hits: Some(12.0),
        events: Some(1200.0),
        release: "v41".into(),
    };
    assert_eq!(
        baseline(&before, Unit::Ratio),
        "1% (12 of 1,200 events of v41)"
    );
    let mut p = Proof {
        hits: 41.0,
        events: 1000.0,
        confidence: 0.95,
        above: 0.02,
        min_events: 20,
        proven: true,
        against: Some(Against {
            factor: 2.0,
            hits: 12.0,
            events: 1200.0,
            moved: None,
        }),
    };
    assert_eq!(
        proof(&p, Unit::Ratio),
        "proven: 41 of 1,000 events against 12 of 1,200 before mean at least 2.32x at 95%, \
             more than 2x is needed"
    );
    p.hits = 0.0;
    p.proven = false;
    assert_eq!(at_least(&p), None);
    assert_eq!(
        proof(&p, Unit::Ratio),
        "not proven yet: 0 of 1,000 events against 12 of 1,200 before mean nothing, \
             more than 2x is needed"
    );
}

#[test]
fn a_quantile_that_has_moved_is_told_by_its_bounds() {
    let mut p = Proof {
        hits: 96.0,
        events: 240.0,
        confidence: 0.9999,
        above: 0.05,
        min_events: 20,
        proven: true,
        against: Some(Against {
            factor: 2.0,
            hits: 3.0,
            events: 7200.0,
            moved: Some(Moved {
                from_at_most: Some(0.25),
                to_above: Some(1.0),
                cut: 0.5,
            }),
        }),
    };
    assert_eq!(
        proof(&p, Unit::Seconds),
        "proven: 96 of 240 events above 500 ms against 3 of 7,200 before: at 99.99% it was at \
             most 250 ms and is above 1 s now, more than 2x is needed"
    );
    assert_eq!(at_least(&p).as_deref(), Some("at least 4x at 99.99%"));
    let moved = p.against.as_mut().unwrap().moved.as_mut().unwrap();
    (moved.from_at_most, moved.to_above) = (None, None);
    p.proven = false;
    assert!(proof(&p, Unit::Seconds).contains("nothing bounds what it was and nothing"));
    assert_eq!(at_least(&p), None);
}

#[test]
fn times_are_rfc_3339_in_utc_whatever_the_moment() {
    let at = Moment::from_millis(1_000);
    assert_eq!(time(at, 1_795_249_799_500), "2026-11-21T08:30:00Z");
    assert_eq!(
        exact_time(at, 1_795_249_799_500),
        "2026-11-21T08:30:00.500Z"
    );
    assert_eq!(day(at, 1_795_249_799_500), "Sat 2026-11-21");
    assert_eq!(clock(at, 1_795_249_799_500), "08:30:00");
    for (ms, ahead) in [(u64::MAX, i64::MAX), (0, i64::MIN)] {
        assert!(time(Moment::from_millis(ms), ahead).ends_with('Z'));
    }
}

#[test]
fn text_from_outside_stays_on_its_line() {
    assert_eq!(
        one_line(" v1\n[shadow] fake\u{202e} ", 80),
        "v1 [shadow] fake"
    );
    assert_eq!(one_line("abcdef", 3), "abc…");
}
