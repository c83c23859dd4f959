//! The grammar's laws, and what it says of everything that is wrong.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Expr, Hold, Limit, Test};

fn parsed(text: &str) -> Result<Condition, Vec<Fault>> {
    let signals = [
        ("error_rate", Unit::Ratio),
        ("p95", Unit::Seconds),
        ("rps", Unit::PerSecond),
        ("rss", Unit::Bytes),
        ("queue", Unit::Plain),
    ];
    let sources = [("web", true), ("app", true), ("alerts", false)];
    parse(
        text,
        &Scope {
            signals: &signals.map(|(n, u)| (n.to_owned(), u)).into(),
            sources: &sources.map(|(n, u)| (n.to_owned(), u)).into(),
        },
    )
}

#[test]
fn no_number_of_seconds_overflows() {
    for text in [
        "18446744073709551615s 1000000000ns",
        "1844674407 3709551615s 1000000000ns",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert_eq!(duration("2592000000ms"), duration("30d"));
    assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
    assert!(duration("0s").is_err());
}

/// Fully bracketed, with limits in base units.
fn shown(expr: &Expr) -> String {
    let join = |parts: &[Expr], word: &str| {
        let parts: Vec<_> = parts.iter().map(shown).collect();
        format!("({})", parts.join(word))
    };
    match expr {
        Expr::Any(parts) => join(parts, " or "),
        Expr::All(parts) => join(parts, " and "),
        Expr::Test(Test::Source { source, up, .. }) => format!("{source}:{up}"),
        Expr::Test(Test::Compare {
            signal,
            over,
            op,
            limit,
            ..
        }) => {
            let over = over.map_or(String::new(), |o| format!("[{}s]", o.as_secs_f64()));
            match limit {
                Limit::Fixed(x) => format!("{signal}{over}{}{x}", op.text()),
                Limit::Baseline(x) => format!("{signal}{over}{}{x}x", op.text()),
            }
        }
    }
}

#[test]
fn and_binds_tighter_than_or_and_limits_are_in_base_units() {
    for (text, expected) in [
        ("error_rate > 5%", "error_rate>0.05"),
        ("error_rate>7 %", "error_rate>0.07"),
        ("error_rate >= 0.5", "error_rate>=0.5"),
        ("error_rate > 1.5x baseline", "error_rate>1.5x"),
        ("p95 over 5m > 2000ms", "p95[300s]>2"),
        ("p95 over 1h 30m != 2 h", "p95[5400s]!=7200"),
        ("rps < 10/m", "rps<0.16666666666666666"),
        ("rps < 10", "rps<10"),
        ("rss > 1.5GiB", "rss>1610612736"),
        ("rss > 512", "rss>512"),
        ("queue == -1e3", "queue==-1000"),
        ("queue > 2d", "queue>172800"),
        ("queue > 1KiB", "queue>1024"),
        ("web is down", "web:false"),
        (
            "web is up or rps < 1 and error_rate > 1% or rss > 1B",
            "(web:true or (rps<1 and error_rate>0.01) or rss>1)",
        ),
        (
            "(web is up or rps < 1) and (error_rate > 1%)",
            "((web:true or rps<1) and error_rate>0.01)",
        ),
    ] {
        let condition = parsed(text).unwrap_or_else(|f| panic!("{text}: {f:?}"));
        assert_eq!(shown(&condition.expr), expected, "{text}");
        assert_eq!(condition.hold, Hold::None);
    }
}

#[test]
fn holds_stand_at_the_end() {
    let minutes = |m| Duration::from_mins(m);
    for (text, hold) in [
        ("web is down for 30m", Hold::For(minutes(30))),
        ("web is down for 1h 30m", Hold::For(minutes(90))),
        (
            "web is down for 5m of 10m",
            Hold::ForOf(minutes(5), minutes(10)),
        ),
        (
            "(web is down) for 5m of 5m",
            Hold::ForOf(minutes(5), minutes(5)),
        ),
    ] {
        assert_eq!(parsed(text).unwrap().hold, hold, "{text}");
    }
}

#[test]
fn texts_are_as_written_with_single_spaces() {
    let condition = parsed("  error_rate   >\n 5 %  and web is\tdown  for 1m ").unwrap();
    assert_eq!(condition.text, "error_rate > 5 % and web is down for 1m");
    let Expr::All(parts) = condition.expr else {
        panic!("not a conjunction")
    };
    let texts: Vec<_> = parts
        .iter()
        .map(|part| match part {
            Expr::Test(test) => test.text(),
            _ => "",
        })
        .collect();
    assert_eq!(texts, ["error_rate > 5 %", "web is down"]);
}

#[test]
fn every_fault_names_its_place_and_what_to_write() {
    let mut report = String::new();
    for text in [
        "",
        "eror_rate > 5%",
        "error_rate > 5",
        "error_rate > 140",
        "error_rate > 140%",
        "error_rate > 5ms",
        "error_rate = 5%",
        "error_rate > nan",
        "error_rate > inf",
        "error_rate > 1e999",
        "error_rate > baseline",
        "error_rate > 2x basline",
        "error_rate > 0x baseline",
        "error_rate 5%",
        "5% < error_rate",
        "p95 > 2000",
        "p95 > 2sec",
        "p95 over 0s > 2s",
        "p95 over > 2s",
        "p95 over 5 > 2s",
        "rps > -1/s",
        "queue > 5%",
        "rss > 5MB",
        "web > 5",
        "web is dwn",
        "web is set",
        "queue is up",
        "wbe is up",
        "alerts is up",
        "web is down for",
        "web is down for 1M",
        "web is down for 2years",
        "web is down for 15 minuts",
        "web is down for 90",
        "web is down for 0s",
        "web is down for 500us",
        "web is down for 10m of 5m",
        "web is down for 5m and queue > 1",
        "(web is down for 5m) and queue > 1",
        "(web is down",
        "web is down)",
        "web is down AND queue > 1",
        "web is down && queue > 1",
        "web is down adn queue > 1",
        "and web is down",
        "web is down and",
        "web is down and or queue > 1",
        "eror_rate > 5ms and p95 > 5 and (rps > x or wbe is up) for 0s",
    ] {
        use std::fmt::Write as _;
        let faults = parsed(text).expect_err(text);
        writeln!(report, "{text}").unwrap();
        for fault in faults {
            assert!(text.get(fault.offset..fault.offset + fault.len).is_some());
            let marker = "^".repeat(text[fault.offset..][..fault.len].chars().count().max(1));
            let indent = " ".repeat(text[..fault.offset].chars().count());
            writeln!(report, "{indent}{marker} {fault}").unwrap();
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn deep_nesting_is_a_fault_and_not_an_overflow() {
    for depth in [MAX_DEPTH, MAX_DEPTH + 1, 100_000] {
        let text = format!("{}web is up{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(parsed(&text).is_ok(), depth <= MAX_DEPTH);
    }
}

proptest! {
    #[test]
    fn any_text_is_answered_and_every_place_lies_in_it(
        text in "([a-zé0-9 ()<>=!%./_-]|error_rate|p95|web| is | up| and | or | for |5%|2s){0,24}",
    ) {
        match parsed(&text) {
            Ok(condition) => prop_assert_eq!(parsed(&condition.text).unwrap(), condition),
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    prop_assert!(text.get(fault.offset..fault.offset + fault.len).is_some());
                }
            }
        }
    }
}
