//! Restarts, reloads, watched conditions, and any input at all.

use proptest::prelude::*;

use super::*;

#[test]
fn evidence_against_one_release_never_acts_on_another() {
    let mut w = World::new(&[("high", "error_rate > 5% for 1m")]);
    w.run(13, 10.0, 0.0);
    w.run(30, 0.0, 100.0);
    assert!(w.stands("high").fired.is_some());
    // In mid-interval: the next scrape covers time of both.
    let at = w.now + secs(2);
    w.judge.restart(&w.policy, at);
    let stands = w.stands("high");
    assert!(stands.fired.is_none() && !stands.verdict.is_judged());
    assert_eq!(stands.findings[0].value, None);
    w.run(1, 0.0, 100.0);
    w.run(9, 10.0, 0.0);
    assert!(matches!(
        w.read("error_rate"),
        Err(NoReading::Uncovered { .. })
    ));
    w.run(10, 10.0, 0.0);
    assert_eq!(w.read("error_rate"), Ok(0.0));
    assert!(w.stands("high").fired.is_none());
    assert_eq!(w.stands("high").fired_count, 1);
}

#[test]
fn at_a_tick_a_new_release_counts_from_the_very_next_scrape() {
    let mut w = World::new(&[]);
    w.run(20, 10.0, 0.0);
    let at = w.now;
    w.judge.restart(&w.policy, at);
    w.add("req", &[("code", "503"), ("pod", "new")], 7.0);
    w.run(12, 0.0, 1.0);
    assert_eq!(w.read("total"), Ok(12.0 + 7.0));
}

#[test]
fn a_new_release_is_not_up_or_down_for_what_the_old_one_was() {
    let mut w = World::new(&[]);
    for _ in 0..5 {
        w.now = w.now + TICK;
        w.failed("web", GapKind::Refused);
    }
    assert_eq!(w.judge.source_up("web"), SourceHealth::Down);
    let at = w.now;
    w.judge.restart(&w.policy, at);
    assert!(matches!(
        w.judge.source_up("web"),
        SourceHealth::Undecided { agree: 0, .. }
    ));
    assert!(w.judge.last_gap("web").is_some());
}

#[test]
fn a_watched_condition_uses_only_what_came_after_its_start() {
    let mut w = World::new(&[("high", "error_rate > 5% for 1m")]);
    w.run(30, 0.0, 100.0);
    let calm = condition(&w.policy, "error_rate < 5% for 30s");
    let from = w.now + secs(1);
    w.judge.watch(&w.policy, "calm", &calm, from);
    let mut met = None;
    for i in 1..40 {
        w.run(1, 10.0, if i == 1 { 100.0 } else { 0.0 });
        if w.judge.watched("calm").unwrap().hold_met {
            met.get_or_insert(i);
        }
    }
    // The first scrape straddles; ten cover 50 of 60 s; six more are 30 s.
    assert_eq!(met, Some(1 + 10 + 6));
    w.judge.unwatch("calm");
    assert!(w.judge.watched("calm").is_none());
}

#[test]
fn a_reload_keeps_the_hold_of_a_trigger_whose_condition_did_not_change() {
    let mut w = World::new(&[
        ("high", "error_rate > 5% for 2m"),
        ("hot", "temp > 5 for 2m"),
    ]);
    w.run(13, 10.0, 0.0);
    w.set("temp", 9.0);
    w.run(12, 10.0, 10.0);
    let old = w.policy.clone();
    let mut new = policy(&[
        ("new", "rps > 1/s for 1m"),
        ("hot", "temp > 6 for 2m"),
        ("high", "error_rate   >   5%  for 2m"),
    ]);
    new.triggers[2].clear_for = secs(1);
    let before = w.stands("high").since;
    w.judge.revise(&old, &new);
    w.policy = new;
    assert_eq!(w.stands("high").since, before);
    assert_eq!(w.stands("hot").since, None);
    w.run(13, 10.0, 10.0);
    let fired: Vec<_> = w.story.iter().filter(|s| s.ends_with("fired")).collect();
    assert_eq!(fired, ["190 new fired", "190 high fired"]);
}

#[test]
fn a_reload_in_the_middle_of_a_verification_goes_on_with_it() {
    let mut w = World::new(&[("high", "error_rate > 5% for 1m")]);
    w.run(13, 10.0, 0.0);
    let calm = condition(&w.policy, "error_rate < 5% for 30s");
    w.judge.watch(&w.policy, "calm", &calm, w.now);
    w.run(14, 10.0, 0.0);
    let before = w.judge.watched("calm").unwrap().clone();
    let old = w.policy.clone();
    w.policy.triggers.clear();
    w.judge.revise(&old, &w.policy);
    assert_eq!(w.judge.watched("calm"), Some(&before));
    w.run(2, 10.0, 0.0);
    assert!(w.judge.watched("calm").unwrap().hold_met);
}

#[test]
fn a_selector_that_comes_with_a_reload_counts_nothing_from_its_first_scrape() {
    let mut w = World::new(&[]);
    w.run(20, 10.0, 0.0);
    w.add("bad", &[], 1e6);
    let old = w.policy.clone();
    let mut new = old.clone();
    new.signals.get_mut("total").unwrap().kind = SignalKind::Increase(selector("bad"));
    new.signals.get_mut("error_rate").unwrap().kind = SignalKind::Ratio {
        of: selector("bad"),
        to: selector("req"),
    };
    w.judge.revise(&old, &new);
    w.policy = new;
    w.run(1, 10.0, 0.0);
    for _ in 0..11 {
        w.add("bad", &[], 1.0);
        w.run(1, 10.0, 0.0);
    }
    assert_eq!(w.read("total"), Ok(11.0));
    assert_eq!(w.read("error_rate"), Ok(0.1));
    assert_eq!(w.read("rps"), Ok(2.0));
}

#[test]
fn a_source_that_changed_is_another_source() {
    let mut w = World::new(&[("high", "error_rate > 5% for 2m")]);
    w.run(30, 0.0, 10.0);
    let old = w.policy.clone();
    let mut new = old.clone();
    if let SourceKind::Scrape { url, .. } = &mut new.sources.get_mut("app").unwrap().kind {
        url.push_str("/elsewhere");
    }
    w.judge.revise(&old, &new);
    w.policy = new;
    w.run(1, 0.0, 10.0);
    assert!(matches!(
        w.read("error_rate"),
        Err(NoReading::Uncovered { .. })
    ));
    assert_eq!(w.stands("high").since, None);
}

#[test]
fn ticks_that_go_back_or_come_twice_are_ignored() {
    let mut w = World::new(&[("high", "error_rate > 5% for 1m")]);
    w.run(13, 10.0, 0.0);
    w.run(8, 5.0, 5.0);
    let before = w.judge.clone();
    let now = w.now;
    for back in [0, 1, 3000] {
        w.now = Moment::from_millis(now.as_millis() - back);
        w.serve(0.0, 1e6);
        w.scraped();
        w.judged();
    }
    assert_eq!(w.judge, before);
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0_u32..1000).prop_map(f64::from),
        1 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::MAX),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Scrape(Vec<(u8, f64)>),
    Probe(u64, bool),
    Fail(bool),
    Judge,
    Restart(u64),
    Watch,
    Unwatch,
    Capture,
    Revise,
    Move(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec((0_u8..14, any_value()), 0..10).prop_map(Step::Scrape),
        3 => (any::<u64>(), any::<bool>()).prop_map(|(ms, ok)| Step::Probe(ms, ok)),
        1 => any::<bool>().prop_map(Step::Fail),
        8 => Just(Step::Judge),
        1 => (0_u64..20_000).prop_map(Step::Restart),
        1 => Just(Step::Watch),
        1 => Just(Step::Unwatch),
        1 => Just(Step::Capture),
        1 => Just(Step::Revise),
        12 => prop_oneof![8 => Just(5000_i64), 2 => -10_000_i64..100_000, 1 => Just(i64::MAX)]
            .prop_map(Step::Move),
    ]
}

fn name(i: u8) -> Arc<Series> {
    match i {
        0..4 => series("req", &[("code", ["200", "500", "404", ""][i as usize])]),
        4..9 => {
            let le = ["0.1", "1", "1.0", "+Inf", "x"][usize::from(i) - 4];
            series("took_bucket", &[("le", le)])
        }
        9..11 => series("temp", &[("room", if i == 9 { "a" } else { "b" })]),
        11 => series("backup_time", &[]),
        _ => series("other", &[]),
    }
}

const TRIGGERS: [(&str, &str); 5] = [
    ("high", "error_rate > 5% for 10s"),
    ("slow", "p90 > 500ms or probe_p90 > 1s for 10s of 30s"),
    ("worse", "rps > 2x baseline and temp_avg != 3"),
    ("old", "backup_age > 1m or web is down"),
    ("calm", "temp <= 5 and temp_max >= 1 for 1m"),
];

/// The policy and the one that a reload changes it for.
fn policies() -> [Policy; 2] {
    let mut other = policy(&TRIGGERS[1..]);
    for signal in other.signals.values_mut() {
        signal.window = secs(30);
    }
    [policy(&TRIGGERS), other]
}

/// A judge, what is in force, and when it is.
struct Run<'a> {
    judge: Judge,
    policies: &'a [Policy; 2],
    other: bool,
    now: Moment,
}

impl Run<'_> {
    fn apply(&mut self, step: &Step) -> Vec<Turn> {
        let Self {
            judge,
            policies,
            other,
            now,
        } = self;
        let current = &policies[usize::from(*other)];
        match step {
            Step::Scrape(values) => {
                let samples = values
                    .iter()
                    .map(|&(i, value)| Sample {
                        series: name(i),
                        value,
                    })
                    .collect();
                judge.sampled(current, "app", *now, &Outcome::Scraped(samples));
            }
            Step::Probe(ms, ok) => {
                let outcome = Outcome::Probed {
                    latency: Duration::from_millis(*ms),
                    fault: (!ok).then(|| Gap::new(GapKind::Status, "status 503")),
                };
                judge.sampled(current, "web", *now, &outcome);
            }
            Step::Fail(own) => {
                let kind = if *own { GapKind::Own } else { GapKind::Refused };
                let outcome = Outcome::Failed(Gap::new(kind, "gone"));
                judge.sampled(current, "app", *now, &outcome);
            }
            Step::Judge => return judge.judge(current, *now, AHEAD_MS),
            Step::Restart(ms) => judge.restart(current, *now + Duration::from_millis(*ms)),
            Step::Watch => {
                let calm = condition(current, "error_rate < 5% and web is up for 10s");
                judge.watch(current, "calm", &calm, *now);
            }
            Step::Unwatch => judge.unwatch("calm"),
            Step::Capture => judge.capture_baselines("v1"),
            Step::Revise => {
                judge.revise(current, &policies[usize::from(!*other)]);
                *other = !*other;
            }
            Step::Move(ms) => {
                *now = Moment::from_millis(now.as_millis().saturating_add_signed(*ms));
            }
        }
        Vec::new()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_comes_a_written_judge_goes_on_as_if_it_had_never_stopped(
        steps in prop::collection::vec(any_step(), 1..120),
        every in 2_usize..20,
    ) {
        let policies = policies();
        let mut whole = Run {
            judge: Judge::new(&policies[0]),
            policies: &policies,
            other: false,
            now: Moment::from_millis(1_000_000),
        };
        let mut written = Run { judge: whole.judge.clone(), ..whole };
        for (i, step) in steps.iter().enumerate() {
            prop_assert_eq!(whole.apply(step), written.apply(step));
            if i % every == 0 {
                let text = serde_json::to_string(&written.judge).unwrap();
                written.judge = serde_json::from_str(&text).unwrap();
            }
            prop_assert_eq!(&whole.judge, &written.judge);
        }
    }
}
