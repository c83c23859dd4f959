//! What a recording says, and what is refused, on small files.

use super::reel::Fact;
use super::*;
use crate::model::{Moment, Outcome, Policy};

fn policy() -> Policy {
    let text = r#"
service = "shop"
[sources.app]
type = "scrape"
url = "http://127.0.0.1:9/metrics"
[sources.web]
type = "probe"
url = "http://127.0.0.1:9/health"
[sources.disk]
type = "run"
command = ["check_disk"]
[signals.errors]
source = "app"
ratio = { of = 'req{code="500"}', to = "req" }
[triggers.failing]
when = "errors > 10% for 1m"
severity = "critical"
"#;
    let loaded = crate::policy::load("shop.toml", text);
    loaded.policy.expect("a policy")
}

fn read(lines: &[&str]) -> Result<Recording, Fault> {
    let text = format!("{}\n# EOF\n", lines.join("\n"));
    Recording::read(&policy(), text.as_bytes())
}

fn facts(recording: &Recording) -> Vec<(Moment, Fact<'_>)> {
    let mut facts = recording.facts();
    std::iter::from_fn(|| facts.next_by(Moment::from_millis(u64::MAX))).collect()
}

/// The facts, each in a line.
fn told(lines: &[&str]) -> Vec<String> {
    let recording = read(lines).expect("a recording");
    let facts = facts(&recording);
    let times = |at: Option<&(Moment, _)>| at.map(|(at, _)| *at);
    assert_eq!(times(facts.first()), Some(recording.span.0));
    assert_eq!(times(facts.last()), Some(recording.span.1));
    let facts = facts.into_iter().map(|(at, fact)| match fact {
        Fact::Ran(version) => format!("{at} ran {version}"),
        Fact::Happened(event) => panic!("nobody did {event:?}"),
        Fact::Sampled(source, Outcome::Scraped(samples)) => {
            let samples: Vec<_> = samples
                .iter()
                .map(|sample| format!("{}={}", sample.series, sample.value))
                .collect();
            format!("{at} {source} {}", samples.join(" "))
        }
        Fact::Sampled(source, Outcome::Probed { latency, fault }) => {
            let result = if fault.is_none() { "well" } else { "ill" };
            format!("{at} {source} {result} {latency:?}")
        }
        Fact::Sampled(source, Outcome::Answered { .. }) => panic!("{source} is recorded as a page"),
        Fact::Sampled(source, Outcome::Failed(gap)) => format!("{at} {source} {gap}"),
    });
    facts.collect()
}

#[test]
fn no_order_of_the_lines_matters_but_among_those_of_one_scrape() {
    let by_series = [
        r#"req{code="200"} 1 100"#,
        r#"req{code="200"} 2 105.5"#,
        r#"req{code="200"} 3 110"#,
        r#"req{code="500"} 7 105.5"#,
        r#"req{code="500"} 8 110"#,
        "probe_duration_seconds 0.25 105.5",
        r#"backstop_release{version="v1"} 1 100"#,
    ];
    let expected = [
        "100.000s ran v1",
        r#"100.000s app req{code="200"}=1"#,
        r#"105.500s app req{code="200"}=2 req{code="500"}=7"#,
        "105.500s web well 250ms",
        r#"110.000s app req{code="200"}=3 req{code="500"}=8"#,
    ];
    assert_eq!(told(&by_series), expected);
    let mut by_time = by_series;
    by_time.sort_by_key(|line| line.rsplit(' ').next().map(str::to_owned));
    assert_eq!(told(&by_time), expected);
    // Backwards, the second series comes first on each page.
    let mut backwards = by_series;
    backwards.reverse();
    let told = told(&backwards);
    assert_eq!(told.len(), expected.len());
    assert_eq!(
        told[2],
        r#"105.500s app req{code="500"}=7 req{code="200"}=2"#
    );
    assert_eq!((&*told[0], &*told[1]), (expected[0], expected[1]));
}

#[test]
fn a_check_is_recorded_as_up_and_when_it_was_blind_not_at_all() {
    let lines = [
        r#"up{backstop_source="disk"} 1 100"#,
        r#"up{backstop_source="disk"} 0 105"#,
        r#"up{backstop_source="disk"} 1 115"#,
        "req 1 100",
    ];
    assert_eq!(
        told(&lines)[1..],
        [
            "100.000s disk ",
            "105.000s disk recorded as failed",
            "115.000s disk ",
        ]
    );
}

#[test]
fn up_says_when_a_page_was_scraped_and_with_what_result() {
    let lines = [
        r#"up{backstop_source="app"} 1 100"#,
        r#"up{backstop_source="app"} 0 105"#,
        r#"up{backstop_source="app"} 1 110"#,
        "req 1 100",
        "req 2 105",
        // Nobody scraped then.
        "req 3 107",
    ];
    assert_eq!(
        told(&lines),
        [
            "100.000s app req=1",
            "105.000s app recorded as failed",
            "110.000s app "
        ]
    );
}

#[test]
fn of_a_probe_the_result_and_the_latency_make_the_answer() {
    let lines = [
        "probe_success 1 100",
        "probe_success 0 105",
        "probe_success 0 110",
        "probe_duration_seconds 0.1 100",
        "probe_duration_seconds 0.2 105",
    ];
    assert_eq!(
        told(&lines),
        [
            "100.000s web well 100ms",
            "105.000s web ill 200ms",
            "110.000s web recorded as failed"
        ]
    );
}

#[test]
fn a_series_that_comes_late_or_ends_early_is_on_its_own_pages_only() {
    let lines = [
        r#"req{pod="a"} 1 100"#,
        r#"req{pod="a"} 2 105"#,
        r#"req{pod="b"} 1 105"#,
        r#"req{pod="b"} 2 110"#,
    ];
    assert_eq!(
        told(&lines),
        [
            r#"100.000s app req{pod="a"}=1"#,
            r#"105.000s app req{pod="a"}=2 req{pod="b"}=1"#,
            r#"110.000s app req{pod="b"}=2"#,
        ]
    );
}

#[test]
fn samples_of_others_are_counted_and_passed_over() {
    let recording = read(&["req 1 100", r#"req{backstop_source="db"} 1 100"#]).expect("read");
    assert_eq!(recording.foreign["db"], 1);
    assert_eq!(facts(&recording).len(), 1);
}

#[test]
fn a_recording_that_cannot_be_used_says_why() {
    for (lines, why) in [
        (
            &["req 1"][..],
            "`req` has no timestamp: a recording needs one on every sample",
        ),
        (
            &["req 1 -5"],
            "`req` has no timestamp: a recording needs one on every sample",
        ),
        (
            &[r#"req{backstop_source="db"} 1 5"#],
            "the recording has no samples of this policy's sources",
        ),
        (
            &["what?", "req"],
            "the recording is not OpenMetrics text: not an exposition at line 1",
        ),
    ] {
        let fault = read(lines).expect_err("a fault").to_string();
        assert!(fault.starts_with(why), "{fault}");
    }
    let mut two = policy();
    let app = two.sources["app"].clone();
    two.sources.insert("second".to_owned(), app);
    let nobody = Recording::read(&two, "req 1 5\n# EOF\n".as_bytes()).expect_err("a fault");
    assert!(
        nobody
            .to_string()
            .starts_with("`req` does not say whose it is")
    );
}

/// A scrape every so many milliseconds, a part of them late, with errors.
fn scraped(every: u64, late: u64) -> Replay {
    let lines: Vec<_> = (0..100)
        .flat_map(|n| {
            let at = 1_790_000_000_000 + n * every + (n * 7 % 3) * late;
            let at = format!("{}.{:03}", at / 1000, at % 1000);
            let bad = format!(r#"req{{code="500"}} {} {at}"#, n * 50);
            [bad, format!(r#"req{{code="200"}} {} {at}"#, n * 50)]
        })
        .collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    replay(&policy(), &read(&lines).expect("a recording"))
}

#[test]
fn scrapes_that_are_late_or_more_seldom_leave_no_tick_blind() {
    for (every, late, remarks) in [
        (5000, 0, 0),
        (5000, 40, 0),
        (15_000, 0, 1),
        (15_000, 70, 1),
        (30_000, 3, 1),
    ] {
        let Replay {
            told,
            remarks: said,
            ..
        } = scraped(every, late);
        let fired: Vec<_> = told.events.iter().filter(|e| e.event == "fired").collect();
        assert_eq!(
            fired.len(),
            1,
            "every {every}, {late} late: {:?}",
            told.events
        );
        let blind = told.triggers["failing"].blind_seconds;
        assert!(
            blind < 90.0,
            "every {every}, {late} late: blind for {blind} s"
        );
        let judged_so = said
            .iter()
            .filter(|s| s.contains("it is judged so"))
            .count();
        assert_eq!(judged_so, remarks, "{said:?}");
    }
}

/// What is said of a recording that is used all the same, and its facts.
fn damaged(text: &str) -> (Vec<String>, usize) {
    let recording = Recording::read(&policy(), text.as_bytes()).expect("a recording");
    (recording.remarks.clone(), facts(&recording).len())
}

#[test]
fn what_can_be_read_of_a_damaged_recording_is_used_and_the_rest_is_said() {
    let whole = "req 1 5\nreq 2 10\nreq 3 15\n# EOF\n";
    let none: [String; 0] = [];
    assert_eq!(damaged(whole), (none.to_vec(), 3));
    // The last line feed is no part of the end.
    assert_eq!(damaged(whole.trim_end()), (none.to_vec(), 3));
    // Two files, one behind the other.
    let next = "req 4 20\n# EOF\n";
    assert_eq!(damaged(&format!("{whole}\n{next}")), (none.to_vec(), 4));
    for (text, remarks, facts) in [
        (
            "req 1 5\nreq 2 10\nreq 3 1500",
            &[
                "the file was cut behind line 2, in the middle of the next: it has no `# EOF` at its end; the last sample is of 1970-01-01T00:00:10Z",
            ][..],
            2,
        ),
        (
            "req 1 5\n",
            &[
                "the file was cut behind line 1: it has no `# EOF` at its end; the last sample is of 1970-01-01T00:00:05Z",
            ],
            1,
        ),
        (
            "req 1 5\nwhat?\nreq 2\nreq 3 15\n# EOF\n",
            &[
                "2 lines were passed over, the first, line 2: expected a space or `{` after the name, found \"?\"",
            ],
            2,
        ),
        (
            "req 1 5\nreq 2\nreq 3 15\n# EOF\n",
            &[
                "a line was passed over, line 2: `req` has no timestamp: a recording needs one on every sample",
            ],
            2,
        ),
        (
            "req 3 15\nreq 1 5\nreq 1 5\nreq 7 5\nreq 2 10\n# EOF\n",
            &[
                "a sample stands in the recording a second time with another value: the first is used",
                "a sample stands in the recording twice: it is used once",
            ],
            3,
        ),
    ] {
        let (said, read) = damaged(text);
        assert_eq!(said, remarks, "{text}");
        assert_eq!(read, facts, "{text}");
    }
}

#[test]
fn any_cut_of_a_recording_is_said_and_no_half_of_a_number_is_read() {
    let whole = "req 10 100\nreq 20 105\nreq 30 110\n# EOF\n";
    for cut in 11..whole.len() - 2 {
        let (said, facts) = damaged(&whole[..cut]);
        assert!(
            said[0].starts_with("the file was cut behind line "),
            "{cut}"
        );
        assert_eq!(facts, whole[..cut].matches('\n').count(), "{cut}");
    }
}

#[test]
fn a_recording_of_another_service_is_recognised() {
    let recording = read(&["other_total 1 5", "other_total 2 10"]).expect("a recording");
    let replayed = replay(&policy(), &recording);
    assert_eq!(
        replayed.remarks,
        ["the recording has no series for errors (req): is it of another service?"]
    );
}

#[test]
fn what_was_told_is_told_again_change_by_change() {
    let text = r#"
service = "shop"
[sources.people]
type = "push"
roles = ["support"]
[signals.breach]
source = "people"
flag = "breach"
[signals.tickets]
source = "people"
count = "tickets"
window = "5m"
[triggers.breach]
when = "breach is set"
severity = "low"
[triggers.tickets]
when = "tickets > 2"
severity = "low"
"#;
    let policy = crate::policy::load("shop.toml", text)
        .policy
        .expect("a policy");
    let lines = r#"breach{backstop_source="people"} 0 1790000000
breach{backstop_source="people"} 1 1790000060
breach{backstop_source="people"} 1 1790000120
breach{backstop_source="people"} 0 1790000180
tickets{backstop_source="people"} 700 1790000000
tickets{backstop_source="people"} 702 1790000120
tickets{backstop_source="people"} 703 1790000240
# EOF
"#;
    let recording = Recording::read(&policy, lines.as_bytes()).expect("a recording");
    let told = replay(&policy, &recording).told;
    let seen: Vec<_> = told
        .events
        .iter()
        .filter(|event| ["fired", "cleared"].contains(&event.event))
        .map(|event| {
            format!(
                "{} {} {}",
                &event.at[14..19],
                event.event,
                event.trigger.as_deref().unwrap_or("")
            )
        })
        .collect();
    assert_eq!(seen, ["14:20 fired breach", "17:20 fired tickets"]);
}
