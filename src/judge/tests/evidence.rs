//! What a signal reads, and when it does not.

use super::*;

#[test]
fn nothing_is_read_before_the_first_window_is_full() {
    let mut w = World::new(&[]);
    w.run(1, 100.0, 100.0);
    assert_eq!(
        w.read("error_rate"),
        Err(NoReading::Uncovered {
            covered: Duration::ZERO,
            window: secs(60)
        })
    );
    // The first scrape covers nothing: ten more make 50 of 60 seconds.
    w.run(9, 9.0, 1.0);
    assert!(w.read("error_rate").is_err());
    w.run(1, 9.0, 1.0);
    assert_eq!(w.read("error_rate"), Ok(0.1));
    assert_eq!(w.read("rps"), Ok(2.0));
    assert_eq!(w.read("total"), Ok(100.0));
}

#[test]
fn a_ratio_without_events_reads_nothing_and_one_without_errors_reads_zero() {
    let mut w = World::new(&[]);
    w.run(20, 10.0, 0.0);
    assert_eq!(w.read("error_rate"), Ok(0.0));
    w.run(20, 0.0, 0.0);
    assert_eq!(w.read("error_rate"), Err(NoReading::NoEvents));
    assert_eq!(w.read("rps"), Ok(0.0));
}

#[test]
fn the_first_errors_of_a_new_process_are_errors() {
    let mut w = World::new(&[]);
    w.run(20, 10.0, 0.0);
    w.page.clear();
    w.run(6, 5.0, 5.0);
    // Half a minute of the old process, half of the new.
    assert_eq!(w.read("error_rate"), Ok(30.0 / 120.0));
}

#[test]
fn a_selector_that_never_matched_says_so() {
    let mut w = World::new(&[]);
    w.set("other", 1.0);
    for _ in 0..30 {
        w.tick();
    }
    assert_eq!(
        w.read("rps"),
        Err(NoReading::NeverMatched("req".to_owned()))
    );
    let never = w.judge.never_matched();
    assert!(never.contains(&("error_rate", "req")));
    assert!(!never.iter().any(|(signal, _)| *signal == "probe_p90"));
}

#[test]
fn a_source_that_is_not_sampled_is_not_read() {
    let mut w = World::new(&[]);
    w.run(20, 10.0, 0.0);
    w.now = w.now + TICK;
    w.judged();
    assert_eq!(w.read("rps"), Err(NoReading::NotSampled(None)));
    w.now = w.now + TICK;
    w.failed("app", GapKind::Refused);
    w.judged();
    let refused = NoReading::NotSampled(Some("refused".to_owned()));
    assert_eq!(w.read("rps"), Err(refused));
    w.now = w.now + TICK;
    w.failed("app", GapKind::NoRoute);
    w.judged();
    assert_eq!(w.read("rps"), Err(NoReading::Own("no_route".to_owned())));
    // The scrape after the gap covers it.
    w.run(1, 40.0, 0.0);
    assert_eq!(w.read("rps"), Ok(2.0));
}

#[test]
fn a_check_that_did_not_check_is_blind_and_never_down() {
    let mut w = World::new(&[]);
    for _ in 0..3 {
        w.now = w.now + TICK;
        w.probed(10);
    }
    assert_eq!(w.judge.source_up("web"), SourceHealth::Up);
    for _ in 0..10 {
        w.now = w.now + TICK;
        w.failed("web", GapKind::Unknown);
        w.judged();
        assert_eq!(w.judge.source_up("web"), SourceHealth::Own);
        let said = NoReading::NotSampled(Some("unknown".to_owned()));
        assert_eq!(w.read("probe_p90"), Err(said));
    }
    w.now = w.now + TICK;
    w.probed(10);
    assert_eq!(w.judge.source_up("web"), SourceHealth::Up);
}

/// A policy that asks a Prometheus two things, over five minutes and over one.
fn asking() -> Policy {
    let mut policy = policy(&[]);
    let kind = SourceKind::Prometheus {
        url: String::new(),
        headers: BTreeMap::new(),
        tls: Tls::default(),
        queries: BTreeMap::new(),
    };
    let app = policy.sources["app"].clone();
    policy.sources.insert("prom".into(), Source { kind, ..app });
    for (name, window) in [("share", 300), ("depth", 60)] {
        let signal = Signal {
            source: "prom".into(),
            kind: SignalKind::Query {
                promql: String::new(),
                of: selector(&crate::model::asked_as(name).to_string()),
            },
            window: secs(window),
            unit: Unit::Plain,
        };
        policy.signals.insert(name.into(), signal);
    }
    policy
}

#[test]
fn a_query_has_its_own_reason_and_none_of_the_release_before() {
    let policy = asking();
    let mut judge = Judge::new(&policy);
    let at = |s: u64| Moment::from_millis(1_000_000_000 + s * 1000);
    let asked = |judge: &mut Judge, s: u64, share: Result<f64, &str>, depth: f64| {
        let sample = |signal: &str, value| Sample {
            series: Arc::new(crate::model::asked_as(signal)),
            value,
        };
        let mut samples = vec![sample("depth", depth)];
        let mut faults = BTreeMap::new();
        match share {
            Ok(value) => samples.push(sample("share", value)),
            Err(why) => {
                let gap = Gap::new(GapKind::Other, why);
                faults.insert("share".to_owned(), gap);
            }
        }
        let outcome = Outcome::Answered { samples, faults };
        judge.sampled(&policy, "prom", at(s), &outcome);
        judge.judge(&policy, at(s), 0);
        let said = |name: &str| {
            let (_, said) = judge.signals().find(|(signal, _)| *signal == name).unwrap();
            said.map(|reading| reading.value).map_err(Clone::clone)
        };
        (said("share"), said("depth"))
    };
    let exactly = |value| Ok(Value::Exactly(value));
    assert_eq!(
        asked(&mut judge, 5, Ok(0.25), 7.0),
        (exactly(0.25), exactly(7.0))
    );
    let why = "the answer has 3 series";
    let none = Err(NoReading::NoNumber(why.to_owned()));
    assert_eq!(asked(&mut judge, 10, Err(why), 7.0), (none, exactly(7.0)));
    assert_eq!(
        asked(&mut judge, 15, Ok(f64::NAN), 7.0).0,
        Err(NoReading::NotFinite)
    );
    // Another release: the range has to leave the one before behind.
    judge.restart(&policy, at(15));
    let (share, depth) = asked(&mut judge, 20, Ok(0.25), 7.0);
    assert!(
        matches!(share, Err(NoReading::Uncovered { .. })),
        "{share:?}"
    );
    assert!(
        matches!(depth, Err(NoReading::Uncovered { .. })),
        "{depth:?}"
    );
    let (share, depth) = asked(&mut judge, 15 + 60, Ok(0.25), 7.0);
    assert!(
        matches!(share, Err(NoReading::Uncovered { .. })),
        "{share:?}"
    );
    assert_eq!(depth, exactly(7.0));
    assert_eq!(asked(&mut judge, 15 + 300, Ok(0.25), 7.0).0, exactly(0.25));
}

#[test]
fn an_empty_page_is_neither_zero_errors_nor_all_errors() {
    let mut w = World::new(&[]);
    w.run(20, 8.0, 2.0);
    w.page.clear();
    w.tick();
    assert!(matches!(
        w.read("error_rate"),
        Err(NoReading::NotSampled(Some(_)))
    ));
    assert!(matches!(w.read("rps"), Err(NoReading::NotSampled(Some(_)))));
    assert_eq!(w.judge.source_up("app"), SourceHealth::Up);
}

#[test]
fn a_scrape_after_a_gap_longer_than_the_window_is_left_out() {
    let mut w = World::new(&[]);
    w.run(20, 10.0, 0.0);
    w.sleep(65);
    w.run(1, 0.0, 1e6);
    assert!(matches!(
        w.read("error_rate"),
        Err(NoReading::Uncovered { .. })
    ));
    w.run(10, 10.0, 0.0);
    assert_eq!(w.read("error_rate"), Ok(0.0));
    // A gap of exactly the window is still counted.
    w.sleep(55);
    w.run(1, 0.0, 120.0);
    assert_eq!(w.read("error_rate"), Ok(1.0));
}

#[test]
fn several_processes_behind_one_address_are_recognised_and_one_restart_is_not() {
    let mut w = World::new(&[]);
    w.run(20, 10.0, 0.0);
    w.page.clear();
    w.run(1, 1.0, 0.0);
    assert!(w.read("error_rate").is_ok());
    // Two processes, answering in turn.
    let (mut a, mut b) = (1000.0, 10.0);
    for i in 0..12 {
        let own = if i % 2 == 0 { &mut a } else { &mut b };
        *own += 3.0;
        w.page.insert(series("req", &[("code", "200")]), *own);
        w.tick();
    }
    let several = NoReading::SeveralProcesses(r#"req{code="200"}"#.to_owned());
    assert_eq!(w.read("error_rate"), Err(several));
}

#[test]
fn more_hits_than_events_is_no_ratio() {
    let mut w = World::new(&[]);
    let ratio = SignalKind::Ratio {
        of: selector("bad"),
        to: selector("req"),
    };
    w.policy.signals.get_mut("error_rate").unwrap().kind = ratio;
    w.judge = Judge::new(&w.policy);
    for _ in 0..20 {
        w.add("bad", &[], 2.0);
        w.run(1, 1.0, 0.0);
    }
    assert!(matches!(
        w.read("error_rate"),
        Err(NoReading::HitsExceedEvents { .. })
    ));
}

#[test]
fn a_histogram_sums_its_series_and_knows_what_it_cannot_tell() {
    let mut w = World::new(&[
        ("slow", "p90 > 1s"),
        ("slower", "p90 > 3s"),
        ("fast", "p90 < 2s"),
    ]);
    let observe = |w: &mut World, pod: &str, counts: [f64; 3]| {
        for (le, n) in ["1", "2.0", "+Inf"].into_iter().zip(counts) {
            w.add("took_bucket", &[("le", le), ("pod", pod)], n);
        }
    };
    for _ in 0..20 {
        observe(&mut w, "a", [5.0, 10.0, 10.0]);
        observe(&mut w, "b", [5.0, 10.0, 10.0]);
        w.tick();
    }
    assert_eq!(w.read("p90"), Ok(1.8));
    for _ in 0..20 {
        observe(&mut w, "a", [0.0, 0.0, 10.0]);
        w.tick();
    }
    assert_eq!(w.read("p90"), Err(NoReading::AboveTop(2.0)));
    assert_eq!(w.stands("slow").verdict, Verdict::Breach);
    assert_eq!(w.stands("fast").verdict, Verdict::Clear);
    assert!(!w.stands("slower").verdict.is_judged());
    assert_eq!(
        w.stands("slow").findings[0].value,
        Some(Value::AboveTop(2.0))
    );
}

#[test]
fn a_probes_latency_is_read_exactly() {
    let mut w = World::new(&[]);
    for i in 1..=20 {
        w.now = w.now + TICK;
        w.probed(i * 10);
        w.judged();
    }
    // The last twelve are 90 to 200 ms; the eleventh of them is 190.
    assert_eq!(w.read("probe_p90"), Ok(0.19));
}

#[test]
fn gauges_are_combined_by_series_and_over_time() {
    let mut w = World::new(&[]);
    for (a, b) in [(1.0, 2.0), (9.0, f64::NAN), (3.0, f64::INFINITY)] {
        w.page.insert(series("temp", &[("room", "a")]), a);
        w.page.insert(series("temp", &[("room", "b")]), b);
        w.tick();
    }
    assert_eq!(w.read("temp"), Ok(3.0));
    assert_eq!(w.read("temp_avg"), Ok((2.0 + 9.0 + 3.0) / 3.0));
    assert_eq!(w.read("temp_max"), Ok(9.0));
    for room in ["a", "b"] {
        w.page.insert(series("temp", &[("room", room)]), f64::NAN);
    }
    w.tick();
    assert_eq!(w.read("temp"), Err(NoReading::NotFinite));
    assert_eq!(w.read("temp_max"), Ok(9.0));
}

#[test]
fn an_age_has_no_reading_at_the_tick_at_which_the_wall_clock_was_set() {
    let mut w = World::new(&[]);
    let unix = w.now.unix_millis(AHEAD_MS) as f64 / 1000.0;
    w.set("backup_time", unix - 100.0);
    w.tick();
    assert_eq!(w.read("backup_age"), Ok(105.0));
    let mut age = |ahead: i64| {
        w.now = w.now + TICK;
        w.scraped();
        w.judge.judge(&w.policy, w.now, ahead);
        w.read("backup_age")
    };
    assert_eq!(age(AHEAD_MS + 2000), Ok(112.0));
    assert_eq!(age(AHEAD_MS + 9000), Err(NoReading::ClockMoved));
    assert_eq!(age(AHEAD_MS + 9000), Ok(129.0));
    assert_eq!(age(AHEAD_MS), Err(NoReading::ClockMoved));
}

#[test]
fn a_source_is_up_or_down_only_when_enough_samples_agree() {
    let mut w = World::new(&[("down", "web is down"), ("up", "web is up")]);
    let mut said = String::new();
    let outcomes = "..xxx.xxxx?xo.o..";
    for outcome in outcomes.chars() {
        w.now = w.now + TICK;
        match outcome {
            '.' => w.probed(10),
            'x' => w.failed("web", GapKind::TimedOut),
            '?' => {}
            _ => w.failed("web", GapKind::Own),
        }
        w.judged();
        said.push(match (&w.stands("down").verdict, &w.stands("up").verdict) {
            (Verdict::Breach, Verdict::Clear) => 'D',
            (Verdict::Clear, Verdict::Breach) => 'U',
            (Verdict::Blind { .. }, Verdict::Blind { .. }) => '-',
            both => panic!("{both:?}"),
        });
    }
    // A failure of our own host (o) is blind, and neither continues nor ends
    // what the others agree on.
    assert_eq!(said, "-U--D---DD-D---UU", "{outcomes}");
}
