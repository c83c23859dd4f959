//! Pasts that are written by hand: gaps, damage, what people did, and recordings
//! from elsewhere with all that can be wrong with them.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{Event, Freeze, Person};
use backstop::history::{Import, ImportError, Imported, Overview, export};
use backstop::journal::{Anchor, Journal, Options};
use backstop::model::{Gap, GapKind, Moment, Outcome, Policy, Sample, Series};
use backstop::replay::{Past, Recording, Span, replay};
use proptest::prelude::*;

const POLICY: &str = r#"
service = "shop"
interval = "5s"
[sources.app]
type = "scrape"
url = "http://127.0.0.1:9/metrics"
[signals.errors]
source = "app"
ratio = { of = 'req{code="500"}', to = "req" }
window = "10s"
[triggers.failing]
when = "errors > 10% for 30s"
severity = "critical"
[[plans.rollback.steps]]
name = "nothing"
run = ["/bin/true"]
"#;

/// When every past here begins: a tick.
const BEGIN: u64 = 1_790_000_000_000;

fn policy() -> Policy {
    backstop::policy::load("shop.toml", POLICY).policy.unwrap()
}

fn at(s: u64) -> Moment {
    Moment::from_millis(BEGIN + s * 1000)
}

/// A journal that is written by hand.
struct Written {
    dir: tempfile::TempDir,
    journal: Journal,
}

impl Written {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            segment_bytes: 2000,
            ..Options::default()
        };
        let (journal, _) = Journal::open::<()>(dir.path(), options).unwrap();
        Self { dir, journal }
    }

    fn event(&mut self, s: u64, event: &Event) {
        self.journal.event(at(s), event);
        let _ = self.journal.flush().unwrap();
        if self.journal.wants_roll() {
            self.journal.roll(&()).unwrap();
        }
    }

    fn tick(&mut self, s: u64, outcome: Outcome) {
        let service = || "shop".to_owned();
        let sampled = Event::Sampled {
            service: service(),
            source: "app".to_owned(),
            tick: at(s),
            outcome,
        };
        self.event(s, &sampled);
        let ticked = Event::Ticked {
            service: service(),
            tick: at(s),
            wall_ahead_ms: 0,
        };
        self.event(s, &ticked);
    }

    /// A hundred requests in each tick, of which so many fail.
    fn page(&mut self, s: u64, failed: u64) {
        let ticks = s / 5;
        let sample = |code: &str, each: u64| Sample {
            series: Arc::new(Series::new(
                "req",
                vec![("code".to_owned(), code.to_owned())],
            )),
            value: (ticks * each) as f64,
        };
        let page = vec![sample("200", 100 - failed), sample("500", failed)];
        self.tick(s, Outcome::Scraped(page));
    }

    fn past(&self) -> Past {
        Past::open(self.dir.path()).unwrap()
    }

    fn overview(&self) -> Overview {
        Overview::of(&self.past(), None, Span::ALL).unwrap()
    }
}

fn exported(past: &Past) -> (String, Vec<String>) {
    let mut out = Vec::new();
    let remarks = export(past, "shop", Span::ALL, &mut out).unwrap().remarks;
    (String::from_utf8(out).unwrap(), remarks)
}

fn replayed(past: &Past) -> Vec<String> {
    let policy = policy();
    let recording = Recording::of_history(&[&policy], past, Span::ALL).unwrap();
    let told = replay(&policy, &recording).told;
    let events = told.events.iter();
    events
        .map(|event| {
            format!(
                "{} {}",
                (event.when.as_millis() - BEGIN) / 1000,
                event.event
            )
        })
        .collect()
}

#[test]
fn gaps_are_told_with_their_reasons() {
    let mut written = Written::new();
    for s in (0..60).step_by(5) {
        written.page(s, 1);
    }
    for s in (60..120).step_by(5) {
        let gap = Gap::new(GapKind::Status, "status 503");
        written.tick(s, Outcome::Failed(gap));
    }
    written.page(120, 1);
    let host = "h".to_owned();
    written.event(500, &Event::Restarted { host });
    written.page(505, 1);
    written.page(510, 1);
    written.page(1000, 1);
    let shop = written.overview().services.remove(0);
    let gaps: Vec<_> = shop.gaps.iter().map(|g| (g.seconds, &*g.reason)).collect();
    assert_eq!(
        gaps,
        [
            (385, "the agent did not run"),
            (490, "the agent stood still")
        ]
    );
    let app = &shop.sources[0];
    assert_eq!((app.sampled, app.failed, app.series), (28, 12, 2));
    let [gap] = &app.gaps[..] else {
        panic!("{app:?}")
    };
    assert_eq!(
        (gap.seconds, gap.samples, &*gap.reason),
        (55, 12, "status 503")
    );
    let text = written.overview().text();
    assert!(text.contains("for 55s (12 times): status 503"), "{text}");
    assert!(text.contains("for 6m25s: the agent did not run"), "{text}");
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_used() {
    let mut written = Written::new();
    for s in (0..3000).step_by(5) {
        written.page(s, s % 7);
    }
    let whole = exported(&written.past());
    assert_eq!(whole.1, Vec::<String>::new());
    let mut segments: Vec<_> = fs::read_dir(written.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect();
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    let mut bytes = fs::read(&segments[1]).unwrap();
    bytes[300] ^= 1;
    fs::write(&segments[1], bytes).unwrap();
    let (text, remarks) = exported(&written.past());
    let name = segments[1].file_name().unwrap().to_str().unwrap();
    assert!(remarks.iter().any(|r| r.contains(name)), "{remarks:?}");
    let lines = |text: &str| text.lines().count();
    assert!(lines(&text) > lines(&whole.0) / 2, "{}", lines(&text));
    assert!(lines(&text) < lines(&whole.0));
    let policy = policy();
    let recording = Recording::of_history(&[&policy], &written.past(), Span::ALL).unwrap();
    assert!(
        recording.remarks[0].contains(name),
        "{:?}",
        recording.remarks
    );
    assert_ne!(written.overview().remarks, Vec::<String>::new());
}

/// In a file of samples there is no freeze: only the history knows it.
#[test]
fn what_people_did_is_replayed() {
    let life = |frozen: bool| {
        let mut written = Written::new();
        for s in (0..60).step_by(5) {
            written.page(s, 1);
        }
        let (owner, reason) = ("ann".to_owned(), "a test".to_owned());
        let freeze = Freeze {
            owner,
            reason,
            since: at(60),
            until: Some(at(600)),
            emergency: None,
        };
        let service = "shop".to_owned();
        if frozen {
            written.event(
                60,
                &Event::Froze {
                    service: service.clone(),
                    freeze,
                },
            );
        }
        for s in (60..200).step_by(5) {
            written.page(s, 40);
        }
        if frozen {
            let by = Person {
                name: "ann".to_owned(),
                roles: vec![],
            };
            let reason = String::new();
            written.event(
                200,
                &Event::Unfroze {
                    service,
                    by,
                    reason,
                },
            );
        }
        for s in (200..250).step_by(5) {
            written.page(s, 40);
        }
        replayed(&written.past())
    };
    let plain = life(false);
    assert!(
        plain.iter().any(|e| e.ends_with(" would_roll_back")),
        "{plain:?}"
    );
    assert!(!plain.iter().any(|e| e.ends_with(" held")), "{plain:?}");
    let frozen = life(true);
    let first = |what: &str| frozen.iter().position(|e| e.ends_with(what));
    assert!(first(" held") < first(" would_roll_back"), "{frozen:?}");
    let rolled = &frozen[first(" would_roll_back").unwrap()];
    assert_eq!(rolled, "200 would_roll_back", "{frozen:?}");
}

/// The wall clock was an hour behind when the state directory was made.
#[test]
fn times_are_the_calendars_and_the_ticks_as_far_apart_as_they_were() {
    let mut written = Written::new();
    for s in (0..100).step_by(5) {
        written.page(s, 40);
    }
    let before = (exported(&written.past()).0, replayed(&written.past()));
    written.journal.anchor(Anchor {
        moment: at(100),
        boot_id: "b".to_owned(),
        boottime_ms: 0,
        unix_ms: i64::try_from(BEGIN + 100_000 + 3_600_000 + 17).unwrap(),
    });
    let _ = written.journal.commit().unwrap();
    let overview = written.overview();
    assert_eq!(overview.clock_ahead_seconds, 3600);
    assert_eq!(
        overview.services[0].from.as_deref(),
        Some("2026-09-21T15:13:20Z")
    );
    let (text, _) = exported(&written.past());
    let hour_later: String = before
        .0
        .lines()
        .map(|line| match line.rsplit_once(' ') {
            Some((start, at)) if !line.starts_with('#') => {
                let at: u64 = at.parse().unwrap();
                format!("{start} {}\n", at + 3600)
            }
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(text, hour_later);
    let later = replayed(&written.past());
    assert_eq!(later.len(), before.1.len());
    for (later, before) in later.iter().zip(&before.1) {
        let (s, what) = before.split_once(' ').unwrap();
        assert_eq!(
            *later,
            format!("{} {what}", s.parse::<u64>().unwrap() + 3600)
        );
    }
}

fn import(state: &Path, text: &str) -> Result<Imported, ImportError> {
    let import = Import {
        service: "shop",
        source: Some("app"),
        span: Span::ALL,
    };
    import.read(state, text.as_bytes())
}

#[test]
fn what_is_wrong_in_a_recording_is_told_with_its_line_and_the_rest_is_taken() {
    const GOOD: &str = "req{code=\"200\"} 1 100\nreq{code=\"200\"} 2 105\n";
    for (bad, samples, said) in [
        ("# EOF\n", 2, ""),
        ("", 2, "line 2: the file ends without `# EOF`"),
        (
            "req{code=\"200\"} 3 1",
            2,
            "line 3: the file ends without `# EOF`",
        ),
        ("what?\nreq 3 110\n# EOF\n", 3, "line 3: expected a"),
        (
            "req{code=\"200\"} 3\n# EOF\n",
            2,
            "line 3: `req{code=\"200\"}` has no timestamp",
        ),
        (
            "req{code=\"200\"} 3 -5\n# EOF\n",
            2,
            "line 3: `req{code=\"200\"}` has no timestamp",
        ),
        (
            "req 3 1790000000000\n# EOF\n",
            2,
            "line 3: the timestamp of `req` is centuries ahead",
        ),
        (
            "req{code=\"200\"} 3 105\n# EOF\n",
            2,
            "line 3: `req{code=\"200\"}` has a sample of that time",
        ),
        (
            "req{code=\"200\"} 3 95\n# EOF\n",
            3,
            "line 3: `req{code=\"200\"}` is earlier than the line before; put in order",
        ),
        (
            "req{code=\"200\"} 3 95\nreq{code=\"200\"} 3 100\n# EOF\n",
            3,
            "1 samples out of order were at a time",
        ),
        (
            "# EOF\nreq 1 5\n",
            2,
            "line 4: text after `# EOF` in line 3",
        ),
        (
            "req 1 110\nreq 1 110\nreq 1 110\n# EOF\n",
            3,
            "(and 1 more lines like it)",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let imported = import(dir.path(), &format!("{GOOD}{bad}")).unwrap();
        let remarks = imported.remarks.join("\n");
        assert_eq!(imported.samples, samples, "{bad}: {remarks}");
        assert_eq!(remarks.is_empty(), said.is_empty(), "{bad}: {remarks}");
        assert!(remarks.contains(said), "{bad}: {remarks}");
        let past = Past::open(dir.path()).unwrap();
        let (text, _) = exported(&past);
        let written = text.lines().filter(|l| l.starts_with("req")).count();
        assert_eq!(written as u64, samples, "{bad}: {text}");
    }
    let dir = tempfile::tempdir().unwrap();
    let html = import(dir.path(), "<html>\n<body>\n").unwrap_err();
    let ImportError::Empty { faults } = &html else {
        panic!("{html}")
    };
    assert!(
        faults[0].starts_with("line 1: this looks like HTML"),
        "{faults:?}"
    );
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing was made"
    );
}

#[test]
fn a_recording_that_overlaps_is_refused_and_one_beside_is_taken() {
    let text = |from: u64, to: u64| {
        let mut text = String::new();
        for s in (from..to).step_by(5) {
            let _ = writeln!(text, "req{{code=\"200\"}} {s} {}", BEGIN / 1000 + s);
        }
        text + "# EOF\n"
    };
    let mut written = Written::new();
    for s in (1000..1100).step_by(5) {
        written.page(s, 1);
    }
    let state = written.dir.path();
    import(state, &text(0, 500)).unwrap();
    // Between two recordings, and in a gap of the agent's own.
    import(state, &text(500, 1000)).unwrap();
    for (from, to) in [(0, 5), (495, 510), (990, 1010), (0, 2000), (1095, 1200)] {
        let error = import(state, &text(from, to)).unwrap_err().to_string();
        assert!(error.contains("has samples of shop from"), "{error}");
    }
    import(state, &text(1100, 1200)).unwrap();
    let part = Import {
        service: "shop",
        source: Some("app"),
        span: Span {
            from: at(1200),
            to: at(1300),
        },
    };
    let imported = part.read(state, text(0, 2000).as_bytes()).unwrap();
    assert_eq!(imported.samples, 21);
    // Another service's past is its own.
    let other = Import {
        service: "other",
        source: Some("app"),
        span: Span::ALL,
    };
    other.read(state, text(0, 2000).as_bytes()).unwrap();
    let past = written.past();
    assert_eq!(past.imported().len(), 5);
    let (text, _) = exported(&past);
    let times: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("req{backstop_source=\"app\",code=\"200\"}"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    let all: Vec<u64> = (0..=1300).step_by(5).map(|s| BEGIN / 1000 + s).collect();
    assert_eq!(times, all);
}

/// Killed, an import leaves what the next one sweeps, and nothing that is read.
#[test]
fn an_import_that_was_killed_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let aside = dir.path().join("imported/shop-1-2.4711.tmp");
    fs::create_dir_all(&aside).unwrap();
    {
        let (mut journal, _) = Journal::open::<()>(&aside, Options::default()).unwrap();
        let event = Event::Ticked {
            service: "shop".to_owned(),
            tick: at(0),
            wall_ahead_ms: 0,
        };
        journal.event(at(0), &event);
        let _ = journal.commit().unwrap();
    }
    assert_eq!(Past::open(dir.path()).unwrap().imported(), []);
    import(dir.path(), "req 1 5\n# EOF\n").unwrap();
    assert!(!aside.exists());
    // One that still writes is left alone.
    fs::create_dir(&aside).unwrap();
    let (journal, _) = Journal::open::<()>(&aside, Options::default()).unwrap();
    import(dir.path(), "req 1 50\n# EOF\n").unwrap();
    assert!(aside.exists());
    drop(journal);
    assert_eq!(Past::open(dir.path()).unwrap().imported().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_imported_or_refused(
        lines in prop::collection::vec(
            prop_oneof![
                "[ -~]{0,20}",
                "[a-c]{1,2}(\\{[a-c]=\"[a-z]{0,2}\"\\})? [0-9]{1,3} [0-9]{1,3}(\\.[0-9]{1,4})?",
                Just("# EOF".to_owned()),
                "(up|probe_success|probe_duration_seconds|backstop_release)\\{backstop_source=\"[a-c]\",version=\"v\"\\} [01] [0-9]{1,3}",
            ],
            0..30,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let text = lines.join("\n");
        if let Ok(imported) = import(dir.path(), &text) {
            prop_assert!(imported.samples > 0);
            let past = Past::open(dir.path()).unwrap();
            let overview = Overview::of(&past, None, Span::ALL).unwrap();
            prop_assert_eq!(overview.remarks, Vec::<String>::new());
            exported(&past);
        }
    }
}

/// An age that no clock reaches, and one before all clocks.
#[test]
fn odd_times_are_no_trouble() {
    let mut written = Written::new();
    written.page(0, 1);
    let past = written.past();
    for (from, to) in [(0, 0), (u64::MAX, u64::MAX), (BEGIN, BEGIN), (0, u64::MAX)] {
        let span = Span {
            from: Moment::from_millis(from),
            to: Moment::from_millis(to),
        };
        let ticks = Overview::of(&past, Some("shop"), span).unwrap();
        let ticks = ticks.services.first().map_or(0, |s| s.ticks);
        assert_eq!(ticks, u64::from(span.has(at(0))), "{from} to {to}");
    }
    assert_eq!(past.end().unwrap(), Some(at(0)));
    assert_eq!(at(5).since(at(0)), Duration::from_secs(5));
}
