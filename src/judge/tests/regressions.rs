//! Limits that are multiples of a baseline, and the counts that they are proven
//! on.

use super::*;
use crate::judge::least_factor;

/// A world with a baseline of v1: an hour of this traffic per tick. A new
/// release has just been deployed.
fn after_an_hour(triggers: &[(&str, &str)], good: f64, bad: f64) -> World {
    let mut w = World::new(triggers);
    w.run(730, good, bad);
    released(&mut w, "v1");
    w
}

fn released(w: &mut World, version: &str) {
    w.judge.capture_baselines(version);
    let at = w.now;
    w.judge.restart(&w.policy, at);
}

fn finding<'a>(w: &'a World, trigger: &str) -> &'a Finding {
    &w.stands(trigger).findings[0]
}

fn why(w: &World, trigger: &str) -> NoReading {
    match &w.stands(trigger).verdict {
        Verdict::Blind { why, .. } => why.clone(),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn a_release_is_proven_worse_on_both_counts() {
    let mut w = after_an_hour(&[("worse", "error_rate > 2x baseline for 5m")], 99.0, 1.0);
    w.run(80, 95.0, 5.0);
    assert!(w.stands("worse").fired.is_some());
    let finding = finding(&w, "worse");
    let baseline = finding.baseline.as_ref().unwrap();
    assert_eq!((baseline.factor, baseline.value), (2.0, 0.01));
    assert_eq!(
        (baseline.hits, baseline.events),
        (Some(720.0), Some(72_000.0))
    );
    assert_eq!(&*baseline.release, "v1");
    let proof = finding.proof.unwrap();
    assert_eq!((proof.hits, proof.events), (300.0, 6000.0));
    let against = proof.against.unwrap();
    assert_eq!((against.hits, against.events), (720.0, 72_000.0));
    let least = least_factor(&proof).unwrap();
    assert!(least > 4.0 && least < 5.0, "{least}");
}

#[test]
fn chance_in_a_quiet_baseline_proves_nothing() {
    // Two errors in an hour of 1,440 requests, then three in six minutes: three
    // times the share, and one unlucky minute would do.
    let mut w = World::new(&[
        ("tested", "error_rate over 5m > 2x baseline for 1m"),
        ("plain", "error_rate over 5m > 2x baseline for 1m"),
    ]);
    w.policy.triggers[1].confidence = 0.0;
    for tick in 0..730 {
        w.run(1, 2.0, if tick == 300 || tick == 600 { 1.0 } else { 0.0 });
    }
    released(&mut w, "v1");
    for tick in 0..80 {
        w.run(1, 2.0, if tick % 30 == 10 { 1.0 } else { 0.0 });
    }
    assert!(w.stands("plain").fired.is_some());
    let tested = w.stands("tested");
    assert!(tested.fired.is_none() && tested.held_ms > 60_000);
    let proof = tested.findings[0].proof.unwrap();
    assert!(!proof.proven && least_factor(&proof).unwrap() < 2.0);
}

#[test]
fn a_baseline_without_a_single_error_is_one() {
    let mut w = after_an_hour(&[("worse", "error_rate > 2x baseline for 1m")], 10.0, 0.0);
    assert_eq!(why(&w, "worse"), NoReading::NotSampled(None));
    w.run(12, 10.0, 0.0);
    w.run(1, 9.0, 1.0);
    w.run(14, 10.0, 0.0);
    // One error has passed through the window, and was no proof.
    assert!(w.stands("worse").fired.is_none());
    w.run(30, 9.0, 1.0);
    assert!(w.stands("worse").fired.is_some());
}

#[test]
fn a_baseline_of_too_few_events_is_blindness_with_its_reason() {
    let mut w = World::new(&[
        ("worse", "error_rate > 2x baseline for 1m"),
        ("slower", "probe_p90 > 2x baseline for 1m"),
        ("fewer", "error_rate < 2x baseline"),
    ]);
    for tick in 0..730 {
        if tick % 50 == 0 {
            w.serve(1.0, 0.0);
        }
        w.tick();
    }
    released(&mut w, "v1");
    w.run(30, 5.0, 5.0);
    let thin = NoReading::ThinBaseline {
        events: 14.0,
        needed: 20.0,
    };
    assert_eq!(why(&w, "worse"), thin);
    assert_eq!(finding(&w, "worse").limit, None);
    assert!(thin.lacks_baseline() && !thin.is_quiet());
    // No probe was ever answered.
    assert!(matches!(why(&w, "slower"), NoReading::NotSampled(_)));
    // What needs no proof needs no least number of events.
    assert_eq!(w.stands("fewer").verdict, Verdict::Clear);
}

/// A tick with this many requests of at most 1 s, 2 s and more.
fn take(w: &mut World, [one, two, more]: [f64; 3]) {
    for (le, n) in [("1", one), ("2", one + two), ("+Inf", one + two + more)] {
        w.add("took_bucket", &[("le", le)], n);
    }
    w.now = w.now + TICK;
    w.probed(if two > one { 300 } else { 100 });
    w.scraped();
    w.judged();
}

#[test]
fn quantiles_are_proven_on_the_bounds_that_they_have_passed() {
    let mut w = World::new(&[
        ("slower", "p90 > 2x baseline for 2m"),
        ("much-slower", "p90 > 3x baseline for 2m"),
        ("probe", "probe_p90 > 2x baseline for 2m"),
    ]);
    for _ in 0..730 {
        take(&mut w, [10.0, 0.0, 0.0]);
    }
    released(&mut w, "v1");
    for _ in 0..60 {
        take(&mut w, [2.0, 4.0, 4.0]);
    }
    let slower = w.stands("slower");
    assert!(slower.fired.is_some());
    let proof = slower.findings[0].proof.unwrap();
    let against = proof.against.unwrap();
    let moved = against.moved.unwrap();
    assert_eq!((moved.from_at_most, moved.to_above), (Some(1.0), Some(2.0)));
    assert_eq!((proof.hits, proof.events), (96.0, 240.0));
    assert_eq!((against.hits, against.events), (0.0, 7200.0));
    assert_eq!(least_factor(&proof), Some(2.0));
    // The histogram ends at 2 s: nobody can say that it is above 3 s.
    assert!(w.stands("much-slower").fired.is_none());
    let probe = w.stands("probe");
    assert!(probe.fired.is_some());
    let factor = least_factor(&probe.findings[0].proof.unwrap()).unwrap();
    assert!((factor - 3.0).abs() < 1e-6, "{factor}");
}

#[test]
fn events_of_an_hour_are_compared_as_those_of_the_window() {
    let mut w = after_an_hour(&[("more", "total > 2x baseline")], 6.0, 0.0);
    w.run(13, 6.0, 0.0);
    assert_eq!(finding(&w, "more").limit, Some(144.0));
    assert_eq!(w.stands("more").verdict, Verdict::Clear);
    w.run(12, 13.0, 0.0);
    assert_eq!(w.stands("more").verdict, Verdict::Breach);
    assert_eq!(finding(&w, "more").proof, None);
}

#[test]
fn no_multiple_of_a_negative_baseline_is_a_limit() {
    let mut w = World::new(&[("warmer", "temp > 2x baseline")]);
    w.set("temp", -5.0);
    w.run(730, 1.0, 0.0);
    released(&mut w, "v1");
    w.set("temp", -1.0);
    w.run(2, 1.0, 0.0);
    assert_eq!(why(&w, "warmer"), NoReading::NegativeBaseline);
}

#[test]
fn a_judge_with_baselines_goes_on_as_if_it_had_never_stopped() {
    let triggers = [
        ("worse", "error_rate > 2x baseline for 1m"),
        ("slower", "p90 > 2x baseline for 1m"),
        ("probe", "probe_p90 > 2x baseline for 1m"),
        ("more", "rps > 2x baseline"),
    ];
    let mut w = World::new(&triggers);
    for tick in 0..730 {
        w.serve(20.0, f64::from(u8::from(tick % 7 == 0)));
        take(&mut w, [10.0, f64::from(tick % 3), 0.0]);
    }
    released(&mut w, "v1");
    let mut written = w.judge.clone();
    for tick in 0..60 {
        let text = serde_json::to_string(&written).unwrap();
        assert!(text.len() < 60_000, "{} bytes", text.len());
        written = serde_json::from_str(&text).unwrap();
        assert_eq!(written, w.judge, "after {tick} ticks");
        std::mem::swap(&mut written, &mut w.judge);
        // The other one first, and from what was written.
        let page = w.page.clone();
        let (now, story) = (w.now, w.story.len());
        for go in 0..2 {
            w.page.clone_from(&page);
            w.now = now;
            w.story.truncate(story);
            w.serve(20.0, f64::from(tick % 4));
            take(&mut w, [2.0, 4.0, f64::from(tick % 5)]);
            if go == 0 {
                std::mem::swap(&mut written, &mut w.judge);
            }
        }
    }
    assert_eq!(written, w.judge);
    assert!(w.stands("worse").fired.is_some() && w.stands("slower").fired.is_some());
}
