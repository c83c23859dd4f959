//! Holds, proofs, and what changes about a trigger.

use super::*;

/// Half a window of good traffic first, so that the first window is full.
fn healthy(triggers: &[(&str, &str)]) -> World {
    let mut w = World::new(triggers);
    w.run(13, 100.0, 0.0);
    w
}

#[test]
fn a_breach_fires_at_the_first_tick_at_which_its_whole_hold_is_met() {
    let mut w = healthy(&[("high", "error_rate > 5% for 2m")]);
    w.run(60, 50.0, 50.0);
    assert_eq!(w.story, ["75 high suspecting", "195 high fired"]);
    let stands = w.stands("high");
    assert!(stands.hold_met && stands.proven);
    assert_eq!(stands.expected_ticks, 24);
    assert_eq!(stands.coverage, 1.0);
    assert_eq!(stands.held_ms, (13 + 60) * 5000 - 75_000);
    assert_eq!(stands.breach_ms, 59 * 5000);
    let finding = &stands.findings[0];
    assert_eq!(finding.test, "error_rate > 5%");
    assert_eq!(finding.limit, Some(0.05));
    assert_eq!(finding.window_ms, 60_000);
    // Over the whole hold, not the window.
    assert_eq!(finding.proof.unwrap().events, 2400.0);
    assert_eq!(finding.evidence.unwrap().events, 1200.0);
}

#[test]
fn a_clear_tick_starts_the_hold_anew_and_a_blind_one_does_not() {
    let mut w = healthy(&[("hot", "temp > 50 for 1m")]);
    w.set("temp", 60.0);
    w.run(6, 1.0, 0.0);
    w.set("temp", 40.0);
    w.run(1, 1.0, 0.0);
    w.set("temp", 60.0);
    w.run(5, 1.0, 0.0);
    w.set("temp", f64::NAN);
    w.run(1, 1.0, 0.0);
    assert_eq!(w.stands("hot").held_ms, 25_000);
    assert!(!w.stands("hot").hold_met);
    w.set("temp", 60.0);
    w.run(10, 1.0, 0.0);
    assert_eq!(
        w.story,
        [
            "70 hot suspecting",
            "100 hot cleared",
            "105 hot suspecting",
            "165 hot fired"
        ]
    );
}

#[test]
fn too_few_judged_ticks_do_not_fire() {
    let mut w = healthy(&[("hot", "temp > 50 for 1m")]);
    for i in 0..60 {
        // Two of three.
        w.set("temp", if i % 3 == 2 { f64::NAN } else { 60.0 });
        w.tick();
    }
    assert_eq!(w.story, ["70 hot suspecting"]);
    assert!(w.stands("hot").coverage < 0.8);
}

#[test]
fn a_gap_longer_than_max_gap_starts_the_hold_anew_and_a_shorter_one_does_not() {
    for (gap, story) in [
        (15, &["70 hot suspecting", "370 hot fired"][..]),
        (60, &["70 hot suspecting", "370 hot fired"]),
        (
            65,
            &["70 hot suspecting", "230 hot suspecting", "530 hot fired"],
        ),
    ] {
        let mut w = healthy(&[("hot", "temp > 50 for 5m")]);
        w.set("temp", 60.0);
        w.run(20, 1.0, 0.0);
        w.sleep(gap - 5);
        w.run(80, 1.0, 0.0);
        assert_eq!(w.story, story, "{gap}");
    }
}

#[test]
fn x_of_y_adds_up_breaches_between_clear_ticks() {
    let mut w = healthy(&[("hot", "temp > 50 for 30s of 1m")]);
    for i in 0..30 {
        w.set("temp", if i % 2 == 0 { 60.0 } else { 40.0 });
        w.tick();
    }
    let fired: Vec<_> = w.story.iter().filter(|s| s.ends_with("fired")).collect();
    // Six breach ticks: 70, 80, … 120.
    assert_eq!(fired, ["120 hot fired"]);
}

#[test]
fn once_fired_it_stays_fired_until_clear_for_is_over() {
    let mut w = healthy(&[("hot", "temp > 50")]);
    w.set("temp", 60.0);
    w.run(1, 1.0, 0.0);
    w.set("temp", 40.0);
    w.run(20, 1.0, 0.0);
    w.set("temp", 60.0);
    w.run(1, 1.0, 0.0);
    w.set("temp", 40.0);
    w.run(10, 1.0, 0.0);
    // Clear ticks on both sides of a gap are not one stretch.
    w.sleep(30);
    w.run(30, 1.0, 0.0);
    assert_eq!(
        w.story,
        ["70 hot suspecting", "70 hot fired", "380 hot resolved"]
    );
    assert_eq!(w.stands("hot").fired_count, 1);
}

#[test]
fn one_error_of_one_request_never_fires_and_a_quiet_service_that_fails_throughout_does() {
    let mut w = healthy(&[
        ("high", "error_rate > 5% for 2m"),
        ("now", "error_rate > 5%"),
    ]);
    w.run(60, 0.0, 0.0);
    w.run(1, 0.0, 1.0);
    w.run(60, 0.0, 0.0);
    assert!(
        !w.story.iter().any(|s| s.ends_with("fired")),
        "{:?}",
        w.story
    );

    // One failing request every 5 s: 24 in the hold.
    let mut w = healthy(&[("high", "error_rate > 5% for 2m")]);
    w.run(13, 0.0, 0.0);
    w.run(60, 0.0, 1.0);
    assert_eq!(w.story.len(), 2, "{:?}", w.story);
    assert!(w.story[1].ends_with("fired"));
}

#[test]
fn a_breach_that_is_not_proven_goes_on_suspecting_with_its_numbers() {
    let mut w = healthy(&[("high", "error_rate > 5% for 2m")]);
    w.run(24, 0.0, 0.0);
    // 6% of 100 requests in each scrape of the window, 4 scrapes a minute.
    for i in 0..100 {
        let busy = i % 3 == 0;
        w.run(
            1,
            if busy { 18.0 } else { 0.0 },
            if busy { 1.0 } else { 0.0 },
        );
    }
    assert_eq!(w.story.len(), 1, "{:?}", w.story);
    let stands = w.stands("high");
    assert_eq!(stands.verdict, Verdict::Breach);
    assert!(!stands.proven && !stands.hold_met);
    let proof = stands.findings[0].proof.unwrap();
    assert_eq!((proof.hits, proof.events), (8.0, 152.0));
    assert!(bound(&proof) < 0.05 && proof.above == 0.05);
}

#[test]
fn confidence_0_switches_the_bound_off_and_min_events_1_the_count() {
    for (min_events, confidence, fires) in [
        (20, 0.95, false),
        (1, 0.95, false),
        (20, 0.0, false),
        (1, 0.0, true),
    ] {
        let mut w = World::new(&[("now", "error_rate > 30%")]);
        w.policy.triggers[0].min_events = min_events;
        w.policy.triggers[0].confidence = confidence;
        w.run(12, 0.0, 0.0);
        w.run(1, 1.0, 1.0);
        assert_eq!(w.stands("now").hold_met, fires, "{min_events} {confidence}");
    }
}

#[test]
fn and_needs_both_sides_proven_and_or_one_breaching_side() {
    let mut w = healthy(&[
        ("both", "error_rate > 5% and error_rate over 30s > 60%"),
        ("either", "error_rate > 5% or error_rate over 30s > 60%"),
        ("other", "error_rate > 49% or temp > 50"),
    ]);
    w.set("temp", 60.0);
    w.run(30, 10.0, 10.0);
    w.run(1, 0.0, 400.0);
    assert!(w.stands("both").proven);
    w.run(30, 10.0, 10.0);
    assert_eq!(w.stands("both").verdict, Verdict::Clear);
    assert!(w.stands("either").proven);
    // One side breaches and cannot be proven, the other needs no proof.
    let findings = &w.stands("other").findings;
    assert!(!findings[0].proof.unwrap().proven);
    assert!(w.stands("other").proven);
}

#[test]
fn a_blind_side_decides_nothing_and_the_other_side_alone_may() {
    let conditions = [
        ("and-breach", "temp > 50 and rps > 1"),
        ("and-clear", "temp < 50 and rps > 1"),
        ("or-breach", "temp > 50 or rps > 1"),
        ("or-clear", "temp < 50 or rps > 1"),
    ];
    let mut w = World::new(&conditions);
    w.set("temp", 60.0);
    w.tick();
    let verdicts = conditions.map(|(name, _)| w.stands(name).verdict.clone());
    let blind = Verdict::Blind {
        subject: "rps".to_owned(),
        why: NoReading::NeverMatched("req".to_owned()),
    };
    assert_eq!(
        verdicts,
        [blind.clone(), Verdict::Clear, Verdict::Breach, blind]
    );
}

#[test]
fn of_two_blind_sides_the_one_that_matters_is_named() {
    let mut w = healthy(&[
        ("and", "error_rate > 5% and web is down"),
        ("or", "web is down or error_rate > 5%"),
    ]);
    w.run(12, 0.0, 0.0);
    w.failed("web", GapKind::Own);
    w.run(1, 0.0, 0.0);
    assert_eq!(w.read("error_rate"), Err(NoReading::NoEvents));
    for name in ["and", "or"] {
        let Verdict::Blind { subject, .. } = &w.stands(name).verdict else {
            panic!("{name} sees");
        };
        assert_eq!(subject, "web");
    }
}

#[test]
fn blindness_is_told_once_and_its_end_too() {
    let mut w = healthy(&[("high", "error_rate > 5% for 2m")]);
    for _ in 0..200 {
        w.now = w.now + TICK;
        w.failed("app", GapKind::Refused);
        w.judged();
    }
    w.run(20, 10.0, 0.0);
    // The first blind tick is at 70.
    assert_eq!(w.story, ["375 high blind", "1120 high sees_again"]);
    // Ten ticks until the first window is covered, the outage, and ten again.
    assert_eq!(w.stands("high").blind_ms, (10 + 200 + 10) * 5000);
}

#[test]
fn silence_of_users_alarms_nobody() {
    let mut w = healthy(&[("high", "error_rate > 5% for 2m"), ("hot", "temp > 5")]);
    w.run(500, 0.0, 0.0);
    assert_eq!(w.story, Vec::<String>::new());
    assert!(w.stands("high").blind_since.is_some());
    assert!(!w.stands("high").blind_told);
}

#[test]
fn a_baseline_is_what_the_good_release_read_over_its_last_hour() {
    let mut w = World::new(&[("worse", "error_rate > 2x baseline for 1m")]);
    w.run(800, 99.0, 1.0);
    let no_baseline = Verdict::Blind {
        subject: "error_rate".to_owned(),
        why: NoReading::NoBaseline,
    };
    assert_eq!(w.stands("worse").verdict, no_baseline);
    w.judge.capture_baselines("v1");
    let at = w.now;
    w.judge.restart(&w.policy, at);
    w.run(20, 98.5, 1.5);
    assert_eq!(w.stands("worse").findings[0].limit, Some(0.02));
    assert_eq!(w.stands("worse").verdict, Verdict::Clear);
    w.run(40, 50.0, 50.0);
    assert!(w.story.last().unwrap().ends_with("fired"));
    // Ten minutes make no hour: the baseline before stays.
    w.judge.capture_baselines("v1");
    w.run(1, 50.0, 50.0);
    assert_eq!(w.stands("worse").findings[0].limit, Some(0.02));
}

#[test]
fn a_quantile_is_proven_by_the_events_above_its_limit_over_the_whole_hold() {
    let mut w = World::new(&[
        ("slow", "p90 > 1s for 2m"),
        ("probe", "probe_p90 > 100ms for 2m"),
    ]);
    let observe = |w: &mut World, below: f64, above: f64| {
        for (le, n) in [("1", below), ("2", below + above), ("+Inf", below + above)] {
            w.add("took_bucket", &[("le", le)], n);
        }
        w.now = w.now + TICK;
        w.probed(if above > 0.0 { 200 } else { 10 });
        w.scraped();
        w.judged();
    };
    for _ in 0..13 {
        observe(&mut w, 10.0, 0.0);
    }
    for _ in 0..40 {
        observe(&mut w, 8.0, 2.0);
    }
    for (trigger, hits, events) in [("slow", 48.0, 240.0), ("probe", 24.0, 24.0)] {
        let stands = w.stands(trigger);
        assert!(stands.fired.is_some(), "{trigger}");
        let proof = stands.findings[0].proof.unwrap();
        assert_eq!((proof.hits, proof.events), (hits, events), "{trigger}");
        assert!((proof.above - 0.1).abs() < 1e-12);
    }
}

#[test]
fn tests_other_than_above_need_no_proof() {
    let mut w = healthy(&[
        ("less", "error_rate < 5%"),
        ("rate", "rps > 0.01/s"),
        ("zero", "error_rate == 0%"),
    ]);
    w.run(13, 0.0, 0.0);
    w.run(1, 1.0, 0.0);
    for name in ["less", "rate", "zero"] {
        assert!(w.stands(name).proven, "{name}");
        assert_eq!(w.stands(name).findings[0].proof, None);
    }
}
