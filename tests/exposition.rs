//! The exposition parser: cases as data, the laws that hold for any bytes, and
//! prometheus-parse as a second opinion where it is right.

use std::fmt::Write as _;

use backstop::model::{Gap, GapKind, Sample, Selector};
use backstop::sense::exposition::{
    Dialect, Exposition, Fault, Found, Framing, Line, MAX_LINE, Page, parse_line, series,
};
use proptest::prelude::*;

const NO_LIMIT: u64 = u64::MAX;

/// The samples of a page, each as `series value @ms`.
fn read(
    known: &mut Exposition,
    dialect: Dialect,
    chunks: &[&[u8]],
    framing: Framing,
) -> Result<Vec<String>, Gap> {
    let mut page = known.page(dialect, NO_LIMIT);
    for chunk in chunks {
        page.feed(chunk)?;
    }
    Ok(page.finish(framing)?.iter().map(shown).collect())
}

fn shown(sample: &Sample) -> String {
    format!("{} {}", sample.series, sample.value)
}

/// The same with timestamps, which `feed` does not keep.
fn read_stamped(dialect: Dialect, text: &[u8]) -> Result<Vec<String>, Gap> {
    // The streaming reader first: it must take the page as well.
    read(
        &mut Exposition::everything(),
        dialect,
        &[text],
        Framing::Announced,
    )?;
    let mut known = Exposition::everything();
    let mut page = known.page(dialect, NO_LIMIT);
    let mut out = Vec::new();
    let mut keep = |found: Found<'_>| -> Result<(), Fault> {
        let mut line = format!("{} {}", found.series, found.value);
        if let Some(ms) = found.timestamp_ms {
            let _ = write!(line, " @{ms}");
        }
        out.push(line);
        Ok(())
    };
    page.feed_each(text, &mut keep)?;
    page.finish_each(Framing::Announced, &mut keep)?;
    Ok(out)
}

#[test]
fn every_case_reads_as_written() {
    let mut cases = 0;
    let file = include_str!("exposition/cases.txt");
    for case in file.split("\n=== ").skip(1) {
        let (head, body) = case.split_once('\n').expect("a head line");
        let (name, dialect) = head.rsplit_once(" (").expect("a dialect");
        let dialect = match dialect {
            "text)" => Dialect::Text,
            "openmetrics)" => Dialect::OpenMetrics,
            other => panic!("{name}: no dialect {other}"),
        };
        let (page, expected) = body.split_once("---\n").expect("`---`");
        let mut page = page.replace('␍', "\r").replace('␀', "\0");
        if let Some(end) = page.find('␄') {
            page.truncate(end);
        }
        let found = match read_stamped(dialect, page.as_bytes()) {
            Ok(samples) => samples.join("\n"),
            Err(gap) => format!("error: {gap}"),
        };
        assert_eq!(found, expected.trim(), "case `{name}`");
        cases += 1;
    }
    assert!(cases > 50, "only {cases} cases were found in the file");
}

#[test]
fn the_content_type_chooses_the_format_and_odd_ones_fall_back() {
    for (content_type, expected) in [
        (None, Some(Dialect::Text)),
        (Some(""), Some(Dialect::Text)),
        (Some("text/plain; version=0.0.4"), Some(Dialect::Text)),
        (Some("text/plain; charset=utf-8"), Some(Dialect::Text)),
        (Some("application/octet-stream"), Some(Dialect::Text)),
        (Some("application/json"), Some(Dialect::Text)),
        (
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            Some(Dialect::OpenMetrics),
        ),
        (
            Some("Application/OpenMetrics-Text"),
            Some(Dialect::OpenMetrics),
        ),
        (Some("text/html; charset=utf-8"), None),
        (Some("application/xhtml+xml"), None),
        (
            Some("application/vnd.google.protobuf; encoding=delimited"),
            None,
        ),
    ] {
        let found = Dialect::of(content_type);
        assert_eq!(found.as_ref().ok(), expected.as_ref(), "{content_type:?}");
        if let Err(gap) = found {
            assert_eq!(gap.kind, GapKind::Malformed);
        }
    }
}

#[test]
fn the_same_series_is_the_same_arc_scrape_after_scrape() {
    let selector = Selector::parse("a{x=~\".+\"}").expect("a selector");
    let mut known = Exposition::new(vec![selector]);
    let mut scrape = |text: &str| {
        let mut page = known.page(Dialect::Text, NO_LIMIT);
        page.feed(text.as_bytes()).expect("an exposition");
        page.finish(Framing::Announced).expect("a whole page")
    };
    let first = scrape("a{x=\"1\"} 1\nb 1\na{x=\"2\"} 2\na 9\n");
    assert_eq!(first.len(), 2);
    // In another order, with new series between, and spelt otherwise.
    for text in [
        "a{x=\"1\"} 1\nb 1\na{x=\"2\"} 2\na 9\n",
        "b 2\na 9\na{x=\"3\"} 7\na{x=\"2\"} 2\na{x=\"1\"} 1\n",
        "a{ x=\"2\" } 2\na{x=\"1\",} 1\n",
    ] {
        let again = scrape(text);
        for old in &first {
            let same = again.iter().find(|new| new.series == old.series);
            let same = same.expect("the series is on the page");
            assert!(std::sync::Arc::ptr_eq(&same.series, &old.series), "{text}");
        }
    }
}

/// A page whose order changes from scrape to scrape, whose series come and go,
/// read by one long-lived table and by a fresh one.
#[test]
fn a_table_that_has_seen_a_hundred_other_pages_reads_like_a_fresh_one() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let selectors = || vec![Selector::parse("m{even=\"yes\"}").expect("a selector")];
    let mut old = Exposition::new(selectors());
    for round in 0..100 {
        let mut lines = Vec::new();
        for i in 0..300 {
            if random(4) > 0 {
                let (born, even) = (round / 10 * (i % 3), ["yes", "no"][i % 2]);
                let value = random(1_000_000);
                lines.push(format!("m{{i=\"{i}-{born}\",even=\"{even}\"}} {value}\n"));
            }
        }
        if round % 7 < 3 {
            for i in (1..lines.len()).rev() {
                lines.swap(i, usize::try_from(random(i as u64 + 1)).expect("small"));
            }
        }
        let page = lines.concat();
        let chunks: Vec<&[u8]> = page.as_bytes().chunks(1000).collect();
        let fresh = read(
            &mut Exposition::new(selectors()),
            Dialect::Text,
            &[page.as_bytes()],
            Framing::Announced,
        );
        let found = read(&mut old, Dialect::Text, &chunks, Framing::Announced);
        assert_eq!(found, fresh, "round {round}");
        assert!(!found.expect("an exposition").is_empty());
    }
}

#[test]
fn a_page_larger_than_the_table_is_still_read_whole() {
    let mut page = String::new();
    for i in 0..130_000 {
        let _ = writeln!(page, "m{{i=\"{i}\"}} {i}");
    }
    page.push_str("wanted{x=\"1\"} 1\n");
    let selector = Selector::parse("wanted").expect("a selector");
    let mut known = Exposition::new(vec![selector]);
    for _ in 0..3 {
        let found = read(
            &mut known,
            Dialect::Text,
            &[page.as_bytes()],
            Framing::Announced,
        );
        assert_eq!(found.expect("an exposition"), ["wanted{x=\"1\"} 1"]);
    }
}

#[test]
fn a_selector_that_selects_everything_of_a_flood_is_refused() {
    let selector = Selector::parse("m").expect("a selector");
    let mut known = Exposition::new(vec![selector]);
    let mut page = known.page(Dialect::Text, NO_LIMIT);
    let gap = (0..1_000_000)
        .find_map(|i| page.feed(format!("m{{i=\"{i}\"}} 1\n").as_bytes()).err())
        .expect("a bound");
    assert_eq!(gap.kind, GapKind::TooLarge);
    assert_eq!(gap.detail, "more than 65536 series are selected");
}

#[test]
fn a_line_may_be_a_mebibyte_and_no_longer_however_it_is_cut() {
    for (len, fits) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
        let padding = len - "a{x=\"\"} 1".len();
        let text = format!("a{{x=\"{}\"}} 1\nb 2\n", "x".repeat(padding));
        for chunk in [text.len(), 65_536, 1000] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(chunk).collect();
            let found = read(
                &mut Exposition::everything(),
                Dialect::Text,
                &chunks,
                Framing::Announced,
            );
            match found {
                Ok(samples) => assert!(fits && samples.len() == 2, "{len}"),
                Err(gap) => {
                    assert!(!fits, "{len}");
                    assert_eq!(gap.kind, GapKind::TooLarge);
                    assert_eq!(gap.detail, "line 1 is longer than 1048576 bytes");
                }
            }
        }
    }
}

#[test]
fn the_limit_counts_to_the_byte() {
    let text = b"a 1\nb 2\n";
    let taken = |limit: u64| -> Result<usize, Gap> {
        let mut known = Exposition::everything();
        let mut page = known.page(Dialect::Text, limit);
        for byte in text.chunks(3) {
            page.feed(byte)?;
        }
        Ok(page.finish(Framing::Announced)?.len())
    };
    assert_eq!(taken(8), Ok(2));
    let gap = taken(7).expect_err("one byte too many");
    assert_eq!(gap.kind, GapKind::TooLarge);
    assert_eq!(gap.detail, "the body is larger than 7 bytes");
}

#[test]
fn a_spoilt_page_stays_spoilt_and_the_next_one_is_fresh() {
    let mut known = Exposition::everything();
    let mut page = known.page(Dialect::Text, NO_LIMIT);
    let first = page.feed(b"a 1\n?\n").expect_err("garbage");
    assert_eq!(page.feed(b"b 1\n"), Err(first.clone()));
    assert_eq!(page.finish(Framing::Announced), Err(first));
    let next = read(&mut known, Dialect::Text, &[b"a 2\n"], Framing::Announced);
    assert_eq!(next, Ok(vec!["a 2".to_owned()]));
    // A page that was only begun leaves nothing behind either.
    let mut begun = known.page(Dialect::Text, NO_LIMIT);
    begun.feed(b"a 3\nb").expect("the start of a page");
    let next = read(&mut known, Dialect::Text, &[b"c 4\n"], Framing::Announced);
    assert_eq!(next, Ok(vec!["c 4".to_owned()]));
}

#[test]
fn a_cut_last_line_is_not_a_smaller_number() {
    let mut known = Exposition::everything();
    let cut: [&[u8]; 1] = [b"a 1\nb 12"];
    let gap = read(&mut known, Dialect::Text, &cut, Framing::Closed).expect_err("cut");
    assert_eq!(gap.kind, GapKind::Truncated);
    assert_eq!(gap.detail, "the connection closed in the middle of line 2");
    let whole: [&[u8]; 1] = [b"a 1\nb 12\n"];
    assert!(read(&mut known, Dialect::Text, &whole, Framing::Closed).is_ok());
    // `# EOF` proves the end as well as a length does.
    let ended: [&[u8]; 1] = [b"a 1\n# EOF"];
    assert!(read(&mut known, Dialect::OpenMetrics, &ended, Framing::Closed).is_ok());
}

/// Text that is nearly an exposition, so that all branches are reached.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => Just("\n".to_owned()),
        2 => Just(" ".to_owned()),
        1 => Just("\t".to_owned()),
        1 => Just("\r\n".to_owned()),
        2 => Just("{".to_owned()),
        2 => Just("}".to_owned()),
        1 => Just(",".to_owned()),
        1 => Just("\"".to_owned()),
        1 => Just("\\".to_owned()),
        1 => Just("# EOF\n".to_owned()),
        1 => Just("# ".to_owned()),
        3 => "[ab]",
        2 => "x=\"[a\\\\n{} ]{0,3}\",?",
        3 => "[ab](\\{x=\"[12]\"\\})? [0-9.]{1,4}( [0-9]{1,5})?\n",
        2 => "[0-9]{1,3}",
        1 => "NaN|[+-]Inf|1e5",
    ];
    let text = proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat());
    prop_oneof![
        8 => text.prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Text), Just(Dialect::OpenMetrics)]
}

/// A page that is read while the table already knows some of it.
fn read_knowing(before: &[u8], page: &[u8], cuts: &[usize], dialect: Dialect) -> String {
    let mut known = Exposition::everything();
    let _ = read(&mut known, Dialect::Text, &[before], Framing::Announced);
    let mut chunks = Vec::new();
    let mut rest = page;
    for &cut in cuts {
        let (chunk, after) = rest.split_at(cut.min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks.push(rest);
    format!(
        "{:?}",
        read(&mut known, dialect, &chunks, Framing::Announced)
    )
}

proptest! {
    #[test]
    fn any_split_into_chunks_gives_the_same_answer(
        page in nearly(),
        before in nearly(),
        cuts in proptest::collection::vec(0_usize..30, 0..20),
        dialect in dialect(),
    ) {
        let whole = read_knowing(b"", &page, &[], dialect);
        prop_assert_eq!(&read_knowing(b"", &page, &cuts, dialect), &whole);
        prop_assert_eq!(&read_knowing(&page, &page, &cuts, dialect), &whole);
        prop_assert_eq!(&read_knowing(&before, &page, &cuts, dialect), &whole);
        prop_assert_eq!(&read_knowing(b"", &page, &vec![1; page.len()], dialect), &whole);
    }

    #[test]
    fn the_stream_and_the_single_lines_agree(page in nearly()) {
        let mut lines: Vec<&[u8]> = page.split(|&b| b == b'\n').collect();
        if lines.last().is_some_and(|last| last.is_empty()) {
            lines.pop();
        }
        let mut by_line = Ok(Vec::new());
        for line in lines {
            let Ok(found) = &mut by_line else { break };
            match parse_line(line, Dialect::Text) {
                Ok(Line::Sample { series: raw, value, .. }) => match series(raw) {
                    Ok(series) => found.push(format!("{series} {value}")),
                    Err(_) => by_line = Err(()),
                },
                Ok(_) => {}
                Err(_) => by_line = Err(()),
            }
        }
        let mut known = Exposition::everything();
        let mut stream = known.page(Dialect::Text, NO_LIMIT);
        let mut found = Vec::new();
        let mut keep = |f: Found<'_>| -> Result<(), Fault> {
            found.push(format!("{} {}", f.series, f.value));
            Ok(())
        };
        let read = stream
            .feed_each(&page, &mut keep)
            .and_then(|()| stream.finish_each(Framing::Announced, &mut keep));
        prop_assert_eq!(read.map(|()| found).map_err(|_| ()), by_line);
    }

    #[test]
    fn what_a_series_shows_reads_back_as_that_series(
        name in "[a-z_:][a-z0-9_:]{0,8}",
        labels in proptest::collection::btree_map("[a-z_][a-z0-9_]{0,4}", "\\PC{1,6}", 0..4),
    ) {
        let labels: Vec<(String, String)> = labels.into_iter().collect();
        let made = backstop::model::Series::new(name, labels);
        let text = made.to_string();
        if !text.contains('\n') {
            prop_assert_eq!(series(text.as_bytes()), Ok(made));
        }
    }

    /// Lines on which prometheus-parse is right: no `: } = , \` and no spaces in
    /// values, no timestamps, names of one word.
    #[test]
    fn prometheus_parse_agrees_where_it_is_right(
        samples in proptest::collection::vec(
            (
                "[a-z_][a-z0-9_]{0,8}",
                proptest::collection::btree_map("[a-z_][a-z0-9_]{0,4}", "[a-zA-Z0-9/.#-]{1,8}", 0..4),
                prop_oneof![
                    any::<u32>().prop_map(f64::from),
                    any::<f64>().prop_filter("equal to itself", |v| !v.is_nan()),
                    (0_u32..1_000_000).prop_map(|v| f64::from(v) / 1000.0),
                ],
            ),
            0..10,
        )
    ) {
        let mut text = String::new();
        for (name, labels, value) in &samples {
            text.push_str(name);
            if !labels.is_empty() {
                let labels: Vec<String> =
                    labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
                let _ = write!(text, "{{{}}}", labels.join(","));
            }
            let _ = match value {
                v if v.is_infinite() => writeln!(text, " {}Inf", if *v > 0.0 { '+' } else { '-' }),
                v => writeln!(text, " {v}"),
            };
        }
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let theirs = prometheus_parse::Scrape::parse(lines).expect("it never rejects");
        let theirs: Vec<String> = theirs
            .samples
            .iter()
            .map(|s| {
                let labels = s.labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
                let series = backstop::model::Series::new(s.metric.clone(), labels);
                let (prometheus_parse::Value::Untyped(value)
                | prometheus_parse::Value::Gauge(value)
                | prometheus_parse::Value::Counter(value)) = s.value else {
                    panic!("no types were declared");
                };
                format!("{series} {value}")
            })
            .collect();
        let ours = read_stamped_lenient(text.as_bytes());
        prop_assert_eq!(ours, theirs);
    }
}

/// Every sample of a text page, the same series as often as it stands there.
fn read_stamped_lenient(text: &[u8]) -> Vec<String> {
    let mut known = Exposition::everything();
    let mut page: Page<'_> = known.page(Dialect::Text, NO_LIMIT);
    let mut out = Vec::new();
    let keep = |found: Found<'_>| -> Result<(), Fault> {
        out.push(format!("{} {}", found.series, found.value));
        Ok(())
    };
    page.feed_each(text, keep).expect("an exposition");
    out
}
