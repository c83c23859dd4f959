//! `backstop replay` from a file and from a Prometheus that behaves as its
//! documentation says, its refusals included: the same samples give the same
//! answer wherever they come from, and what cannot be had is said, is a gap, and
//! is never taken for health.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

#[path = "replay/fake.rs"]
mod fake;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use backstop::model::{Gap, Moment, Tls};
use backstop::sense::past::{Archive, Kept, Listener, Missing, Patience, Progress, Wanted, ask};
use fake::{BUSY, DEAD, Fake, Mood, Stored, TIMED_OUT, TOO_MANY};
use serde_json::Value;

const POLICY: &str = r#"service = "shop"
[sources.app]
type = "scrape"
url = "http://127.0.0.1:9464/metrics"
[signals.error_rate]
source = "app"
ratio = { of = 'req_total{code=~"5.."}', to = "req_total" }
[triggers.errors]
when = "error_rate > 5% for 5m"
severity = "critical"
[plans.rollback]
cooldown = "10m"
budget = "9 per 24h"
[[plans.rollback.steps]]
name = "nothing"
run = ["/bin/true"]
"#;

/// 2026-11-21T00:00:00Z.
const START: u64 = 1_795_219_200_000;
const EVERY: u64 = 5000;
/// Three hours.
const SCRAPES: u64 = 2160;

fn labels(name: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = [
        ("__name__", name),
        ("job", "shop"),
        ("instance", "host:9464"),
    ];
    let all = own.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A service whose errors are many from the 30th minute to the 50th, and from
/// the 120th on for ten; between the 70th and the 75th nobody scraped it.
fn stored() -> Vec<Stored> {
    let scraped = |n: &u64| !(840..900).contains(n);
    let bad = |n: u64| (360..600).contains(&n) || (1440..1560).contains(&n);
    let (mut errors, mut all) = (0.0, 0.0);
    let mut counted = Vec::new();
    for n in 0..SCRAPES {
        errors += if bad(n) { 6.0 } else { 0.0 };
        all += 50.0;
        counted.push((errors, all));
    }
    let of = |value: &dyn Fn(u64) -> f64| -> Vec<(u64, f64)> {
        let scrapes = (0..SCRAPES).filter(scraped);
        scrapes.map(|n| (START + n * EVERY, value(n))).collect()
    };
    let at = |n: u64| counted[usize::try_from(n).unwrap()];
    vec![
        Stored {
            labels: labels("up", &[]),
            samples: of(&|_| 1.0),
        },
        Stored {
            labels: labels("req_total", &[("code", "500")]),
            samples: of(&|n| at(n).0),
        },
        Stored {
            labels: labels("req_total", &[("code", "200")]),
            samples: of(&|n| at(n).1 - at(n).0),
        },
    ]
}

/// The same as a file.
fn text(stored: &[Stored]) -> String {
    let mut text = String::new();
    for one in stored {
        let name = &one.labels["__name__"];
        let code = one.labels.get("code");
        let code = code.map_or(String::new(), |code| format!(",code=\"{code}\""));
        for (at, value) in &one.samples {
            let _ = writeln!(
                text,
                "{name}{{backstop_source=\"app\"{code}}} {value} {}.{:03}",
                at / 1000,
                at % 1000
            );
        }
    }
    text + "# EOF\n"
}

/// A directory with the policy and the recording.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("replay-{name}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let place = Self(dir);
        place.write("shop.toml", POLICY);
        place.write("samples.txt", &text(&stored()));
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// Exit code and output of `backstop replay`.
    fn replay(&self, args: &[&str]) -> (i32, String, String) {
        self.backstop("replay", args)
    }

    fn backstop(&self, command: &str, args: &[&str]) -> (i32, String, String) {
        let came = Command::new(env!("CARGO_BIN_EXE_backstop"))
            .current_dir(&self.0)
            .arg(command)
            .args(args)
            .env_clear()
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            came.status.code().unwrap(),
            text(came.stdout),
            text(came.stderr),
        )
    }

    fn said(&self, args: &[&str]) -> String {
        self.said_by("replay", args)
    }

    fn said_by(&self, command: &str, args: &[&str]) -> String {
        let (code, said, complaint) = self.backstop(command, args);
        assert_eq!((code, complaint.as_str()), (0, ""), "{args:?}: {said}");
        said
    }
}

const FROM_FILE: [&str; 3] = ["shop.toml", "--samples", "samples.txt"];
/// Three hours; the first sample is at its beginning.
const SPAN: [&str; 4] = [
    "--from",
    "2026-11-20T23:59:59Z",
    "--to",
    "2026-11-21T03:00:00Z",
];

/// `replay --prometheus`.
fn asking<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let asked = ["shop.toml", "--prometheus", url];
    [&asked[..], &SPAN, more].concat()
}

#[test]
fn a_timeline_has_each_event_on_its_line() {
    let place = Place::new("timeline");
    let said = place.said(&FROM_FILE);
    let expected = "\
shop: 2,160 ticks, 2h59m, from 2026-11-21T00:00:00Z to 2026-11-21T02:59:55Z
";
    assert!(said.starts_with(expected), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    for line in [
        "Sat 2026-11-21",
        "  00:30:25  ··········  suspecting errors: error_rate is 6%, limit 5% (36 of 600 events in 1m)",
        "  00:35:25  ██████████  errors fired: error_rate is 12%, limit 5% (72 of 600 events in 1m)",
        "  00:35:25              would roll back: plan rollback",
        "~ from here on counterfactual: it follows a rollback that the recording does not have",
    ] {
        assert!(lines.contains(&line), "{line}\n{said}");
    }
    assert!(
        said.contains("\nerrors: fired twice, ") && said.contains("; would roll back twice\n"),
        "{said}"
    );
}

#[test]
fn a_prometheus_gives_what_a_file_with_its_samples_gives() {
    let place = Place::new("alike");
    let fake = Fake::open(stored(), Box::new(|_| None));
    let json = ["--format", "json"];
    let file = place.said(&[&FROM_FILE[..], &json].concat());
    assert!(file.contains("\"fired\": 2"), "{file}");
    // By what it is read for, and by name.
    assert_eq!(place.said(&asking(&fake.url(), &json)), file);
    let by_name = ["--match", r#"app:job="shop""#, "--format", "json"];
    assert_eq!(place.said(&asking(&fake.url(), &by_name)), file);
    let asked = fake.asked();
    assert!(
        asked
            .iter()
            .any(|a| a.of == r#"up{job="shop",instance="host:9464"}"#)
    );
    // The total selects the errors too.
    assert!(
        !asked
            .iter()
            .any(|a| a.endpoint == "query" && a.of.contains("5.."))
    );
    // No sample twice, none left out: the pieces are seamless.
    let mut up: Vec<_> = asked
        .iter()
        .filter(|a| a.of == r#"up{job="shop"}"#)
        .collect();
    up.retain(|a| a.endpoint == "query");
    assert!(up.len() > 1, "{up:?}");
    assert!(up.windows(2).all(|w| w[0].span.1 == w[1].span.0), "{up:?}");
}

#[test]
fn who_asks_says_who_they_are() {
    let place = Place::new("token");
    place.write("token", "s3cret\n");
    let fake = Fake::open(stored(), Box::new(|_| None));
    let url = fake.url().replace("http://", "http://alice:pw@");
    place.said(&asking(&url, &["--header", "X-Scope-OrgID: team-a"]));
    place.said(&asking(&fake.url(), &["--token-file", "token"]));
    let asked = fake.asked();
    let (first, last) = (&asked[0].head, &asked.last().unwrap().head);
    assert!(
        first.contains("authorization: basic ywxpy2u6chc="),
        "{first}"
    );
    assert!(first.contains("x-scope-orgid: team-a"), "{first}");
    assert!(last.contains("authorization: bearer s3cret"), "{last}");
}

#[test]
fn targets_that_could_be_meant_are_named() {
    let place = Place::new("targets");
    let mut two = stored();
    for mut one in stored() {
        one.labels.insert("instance".into(), "other:9464".into());
        two.push(one);
    }
    let fake = Fake::open(two, Box::new(|_| None));
    for more in [&[][..], &["--match", r#"job="shop""#]] {
        let (code, said, complaint) = place.replay(&asking(&fake.url(), more));
        assert_eq!((code, said.as_str()), (2, ""));
        let expected = "error: the server knows 2 targets that `app` could be: job=\"shop\",instance=\"host:9464\"; job=\"shop\",instance=\"other:9464\"\nhint: say which one with --match";
        assert!(complaint.starts_with(expected), "{complaint}");
    }
    let (code, _, complaint) = place.replay(&asking(&fake.url(), &["--match", r#"db:job="shop""#]));
    assert_eq!(code, 2);
    assert!(complaint.contains("no source of the policy"), "{complaint}");
}

#[test]
fn nothing_to_replay_is_said_with_its_reason() {
    let place = Place::new("nothing");
    let fake = Fake::open(Vec::new(), Box::new(|_| None));
    let (code, _, complaint) = place.replay(&asking(&fake.url(), &[]));
    assert_eq!(code, 1);
    assert!(
        complaint
            .starts_with("error: the server has nothing of this policy's sources in this time")
    );
    let refused = ("401 Unauthorized", "", "no");
    let fake = Fake::open(stored(), Box::new(move |_| Some(refused)));
    let (code, _, complaint) = place.replay(&asking(&fake.url(), &[]));
    assert_eq!(code, 1);
    assert!(complaint.contains("caused by: status 401"), "{complaint}");
    let (code, _, complaint) = place.replay(&["shop.toml", "--prometheus", "http://127.0.0.1:9"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("--since 7d"), "{complaint}");
}

/// What a server that is in this mood has kept of the page, and of a query.
fn kept(mood: Box<Mood>, wanted: Wanted) -> (Taken, Vec<Missing>) {
    let fake = Fake::open(stored(), mood);
    let archive = Archive::new(
        &fake.url(),
        &BTreeMap::new(),
        &Tls::default(),
        Duration::from_secs(10),
    )
    .unwrap();
    let span = (
        Moment::from_millis(START - 1),
        Moment::from_millis(START + SCRAPES * EVERY),
    );
    let patience = Patience {
        wait: Duration::from_millis(1),
        tries: 3,
    };
    let mut taken = Taken::default();
    let wanted = [("app".to_owned(), wanted)].into();
    let asked = ask(&archive, &wanted, span, patience, &mut taken);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let missing = runtime.block_on(asked).unwrap();
    assert!((taken.share - 1.0).abs() < 1e-9, "{}", taken.share);
    (taken, missing)
}

fn page() -> Wanted {
    Wanted::Page {
        selectors: vec!["req_total".to_owned()],
        target: Some(r#"job="shop""#.to_owned()),
    }
}

#[derive(Default)]
struct Taken {
    /// By name, in the order in which they came.
    samples: BTreeMap<String, Vec<(u64, f64)>>,
    remarks: Vec<String>,
    share: f64,
}

impl Listener for Taken {
    fn kept(&mut self, source: &str, kept: &Kept) {
        assert_eq!(source, "app");
        let name = [kept.series.name(), kept.series.label("code")].concat();
        let own = self.samples.entry(name).or_default();
        own.extend(
            kept.samples
                .iter()
                .map(|(at, value)| (at.as_millis(), *value)),
        );
    }

    fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    fn progress(&mut self, progress: Progress<'_>) {
        assert!(progress.share >= self.share, "it never goes back");
        self.share = progress.share;
    }
}

fn all() -> BTreeMap<String, Vec<(u64, f64)>> {
    let own = stored().into_iter().map(|one| {
        let code = one.labels.get("code").cloned().unwrap_or_default();
        (one.labels["__name__"].clone() + &code, one.samples)
    });
    own.collect()
}

#[test]
fn what_is_too_much_at_once_is_asked_for_in_pieces() {
    for refusal in [TOO_MANY, TIMED_OUT] {
        let mood = move |asked: &fake::Asked| {
            let much = asked.endpoint == "query" && asked.long() > 600_000;
            much.then_some(refusal)
        };
        let (taken, missing) = kept(Box::new(mood), page());
        assert_eq!(missing, []);
        assert_eq!(taken.samples, all());
    }
}

#[test]
fn a_server_that_is_busy_for_a_moment_is_asked_again() {
    let times = std::sync::atomic::AtomicU32::new(0);
    let mood = move |_: &fake::Asked| {
        let n = times.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        [Some(BUSY), Some(DEAD), None][(n % 3) as usize]
    };
    let (taken, missing) = kept(Box::new(mood), page());
    assert_eq!(missing, []);
    assert_eq!(taken.samples, all());
}

#[test]
fn a_piece_that_cannot_be_had_is_missing_whole_and_the_rest_is_used() {
    // Of the second hour one of the series cannot be had.
    let hour = 3_600_000;
    let mood = move |asked: &fake::Asked| {
        let within = asked.span.0 < START + 2 * hour && asked.span.1 > START + hour;
        (asked.of.starts_with("req") && within).then_some(DEAD)
    };
    let (taken, missing) = kept(Box::new(mood), page());
    let [part] = &missing[..] else {
        panic!("{missing:?}");
    };
    assert_eq!(part.why.detail, "status 502");
    let gone = part.from.as_millis()..=part.to.as_millis();
    assert!(gone.contains(&(START + hour + 1)) && gone.contains(&(START + 2 * hour)));
    for (name, samples) in all() {
        let rest: Vec<_> = samples
            .into_iter()
            .filter(|(at, _)| *at <= *gone.start() || *at > *gone.end())
            .collect();
        assert!(!rest.is_empty());
        // Its health too: it was not seen there at all.
        assert_eq!(taken.samples[&name], rest, "{name}");
    }
}

#[test]
fn a_server_that_dies_half_way_is_left_alone() {
    let mood = |asked: &fake::Asked| {
        (asked.span.1 > START + 3_600_000 && asked.endpoint == "query").then_some(DEAD)
    };
    let fake = Fake::open(stored(), Box::new(mood));
    drop(fake);
    let (taken, missing) = kept(Box::new(mood), page());
    let [part] = &missing[..] else {
        panic!("{missing:?}");
    };
    assert_eq!(part.to.as_millis(), START + SCRAPES * EVERY);
    assert!(taken.samples["up"].len() >= 700);
}

#[test]
fn a_query_is_asked_at_every_interval() {
    let every = Duration::from_secs(30);
    let wanted = |query: &str| Wanted::Answers {
        queries: [("q".to_owned(), query.to_owned())].into(),
        every,
    };
    let (taken, missing) = kept(Box::new(|_| None), wanted("up"));
    assert_eq!(missing, []);
    let samples = &taken.samples["backstop_query"];
    // Where nothing was scraped for longer than the server looks back, nothing is.
    let step = |w: &[(u64, f64)]| matches!(w[1].0 - w[0].0, 30_000 | 60_000);
    assert!(samples.windows(2).all(step), "{samples:?}");
    assert!((358..=360).contains(&samples.len()), "{}", samples.len());
    let (taken, _) = kept(Box::new(|_| None), wanted("req_total"));
    assert!(taken.samples.is_empty());
    assert_eq!(taken.remarks.len(), 1, "{:?}", taken.remarks);
    assert!(taken.remarks[0].contains("gives several series"));
    let wrong = (
        "400 Bad Request",
        "",
        r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error"}"#,
    );
    let (_, missing) = kept(Box::new(move |_| Some(wrong)), wanted("up("));
    assert_eq!(
        missing[0].why,
        Gap::new(
            backstop::model::GapKind::Status,
            "bad_data: 1:3: parse error"
        )
    );
}

#[test]
fn a_time_without_samples_is_blind_and_a_damaged_file_is_used_as_far_as_it_goes() {
    let place = Place::new("damaged");
    let whole = text(&stored());
    let cut = &whole[..whole.len() / 2];
    place.write("cut.txt", cut);
    let said = place.said(&["shop.toml", "--samples", "cut.txt"]);
    assert!(
        said.contains("  note: the file was cut behind line "),
        "{said}"
    );
    let middle = whole.replacen("\nreq_total", "\nreq total", 3);
    place.write("bad.txt", &middle);
    let said = place.said(&["shop.toml", "--samples", "bad.txt"]);
    assert!(
        said.contains("  note: 3 lines were passed over, the first, line 2101: "),
        "{said}"
    );
    assert!(said.contains("errors: fired twice"), "{said}");
    assert!(
        said.contains("4m55s blind") || said.contains("5m"),
        "{said}"
    );
    place.write(
        "other.txt",
        "foo_total 1 1795219200\nfoo_total 2 1795219205\n# EOF\n",
    );
    let said = place.said(&["shop.toml", "--samples", "other.txt"]);
    assert!(said.contains("is it of another service?"), "{said}");
    let (code, _, complaint) = place.replay(&["shop.toml", "--samples", "shop.toml"]);
    assert_eq!(code, 1);
    assert!(
        complaint.contains("not an exposition at line 1"),
        "{complaint}"
    );
}

#[test]
fn an_edit_adds_removes_and_moves_rollbacks() {
    let place = Place::new("against");
    let edit = |when: &str| POLICY.replace("error_rate > 5% for 5m", when);
    let against = |when: &str| {
        place.write("edit.toml", &edit(when));
        place.said(&[
            "edit.toml",
            "--samples",
            "samples.txt",
            "--against",
            "shop.toml",
        ])
    };
    let same = against("error_rate > 5% for 5m");
    assert!(
        same.starts_with("shop: this edit changes nothing in 2h59m"),
        "{same}"
    );
    let later = against("error_rate > 5% for 8m");
    assert!(
        later.starts_with("shop: this edit moves 2 rollbacks in "),
        "{later}"
    );
    assert!(later.contains("; 3m later; would roll back"), "{later}");
    assert!(later.contains("changed: triggers: ~errors"), "{later}");
    let less = against("error_rate > 5% for 15m");
    assert!(
        less.starts_with("shop: this edit removes a rollback and moves 1"),
        "{less}"
    );
    assert!(
        less.contains("\n- Sat 2026-11-21 02:05:25  errors fired"),
        "{less}"
    );
    // And the other way round.
    let more = place.said(&[
        "shop.toml",
        "--samples",
        "samples.txt",
        "--against",
        "edit.toml",
    ]);
    assert!(
        more.starts_with("shop: this edit adds a rollback and moves 1"),
        "{more}"
    );
    assert!(
        more.contains("\n+ Sat 2026-11-21 02:05:25  errors fired"),
        "{more}"
    );
    let json = place.said(&[
        "shop.toml",
        "--samples",
        "samples.txt",
        "--against",
        "edit.toml",
        "--format",
        "json",
    ]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rollbacks"]["added"], 1);
    assert_eq!(json["events"][0]["change"], "moved");
    assert_eq!(json["events"][0]["later_seconds"], -600.0);
    place.write("other.toml", &POLICY.replace("\"shop\"", "\"other\""));
    let (code, ..) = place.replay(&[
        "shop.toml",
        "--samples",
        "samples.txt",
        "--against",
        "other.toml",
    ]);
    assert_eq!(code, 2);
}

/// The first of the two bad stretches was an incident, the second a test of load.
const LABELS: &str = "from,to,what\n2026-11-21T00:31:00Z,2026-11-21T00:50:00Z,<payments>\n";

#[test]
fn a_tuning_reads_well_with_labels_and_without() {
    let place = Place::new("tuned");
    place.write("labels.csv", LABELS);
    let choices = ["--limits", "3%,5%,20%", "--holds", "none,5m,10m,20m"];
    let tuned = |more: &[&str]| place.said_by("tune", &[&FROM_FILE[..], &choices, more].concat());
    insta::assert_snapshot!("tune_labelled", tuned(&["--incidents", "labels.csv"]));
    insta::assert_snapshot!("tune_unlabelled", tuned(&["--windows", "1m,5m"]));
}

#[test]
fn what_a_prometheus_kept_is_tuned_as_a_file_with_its_samples_is() {
    let place = Place::new("tuned-alike");
    place.write("labels.csv", LABELS);
    let fake = Fake::open(stored(), Box::new(|_| None));
    let more = ["--incidents", "labels.csv", "--format", "json"];
    let file = place.said_by("tune", &[&FROM_FILE[..], &more].concat());
    let asked = place.said_by("tune", &asking(&fake.url(), &more));
    assert_eq!(asked, file);
    let tuned: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(tuned["choices"].as_array().unwrap().len(), 49);
    assert_eq!(tuned["paste"], "when = \"error_rate > 7% for 10m\"");
    // What makes no sense is refused before anything is asked for.
    let before = fake.asked().len();
    for more in [
        ["--trigger", "nope"],
        ["--limits", "5% or error_rate > 1%"],
        ["--limits", "2x baseline"],
    ] {
        let (code, said, complaint) = place.backstop("tune", &asking(&fake.url(), &more));
        assert_eq!((code, said.as_str()), (2, ""), "{more:?}: {complaint}");
        assert!(complaint.contains("\nhint: "), "{complaint}");
    }
    assert_eq!(fake.asked().len(), before);
}

#[test]
fn a_page_of_a_tuning_needs_nothing_else_and_shows_each_choice() {
    let place = Place::new("tuned-page");
    place.write("labels.csv", LABELS);
    let page = |more: &[&str]| {
        let args = [
            &FROM_FILE[..],
            &["--format", "html", "-o", "page.html"],
            more,
        ]
        .concat();
        assert_eq!(place.said_by("tune", &args), "");
        fs::read_to_string(place.0.join("page.html")).unwrap()
    };
    let labelled = page(&["--incidents", "labels.csv"]);
    for part in [
        "<svg",
        "class=\"front\"",
        "class=\"choice unbeaten",
        "when = &quot;error_rate &gt; 7% for 10m&quot;",
        "&lt;payments&gt;",
        "thin evidence",
        "prefers-color-scheme: dark",
    ] {
        assert!(labelled.contains(part), "{part}");
    }
    // Each in the table, and those that caught it in the plot.
    let caught = labelled.matches("caught 1 of 1").count();
    assert_eq!(labelled.matches("<circle").count() * 2, caught);
    assert_eq!(labelled.matches("<td class=\"choice").count(), 49);
    let unlabelled = page(&[]);
    assert!(unlabelled.contains("Without labelled incidents"));
    assert!(!unlabelled.contains("<svg"));
    for outside in ["http://", "https://", "src=", "url(", "@import", "<script"] {
        assert!(!labelled.contains(outside), "{outside}");
    }
}

#[test]
fn a_page_needs_nothing_else_and_shows_what_happened() {
    let place = Place::new("page");
    let written = place.said(&[&FROM_FILE[..], &["--format", "html", "-o", "page.html"]].concat());
    assert_eq!(written, "");
    let page = fs::read_to_string(place.0.join("page.html")).unwrap();
    for part in [
        "<svg",
        "class=\"limit\"",
        "class=\"hold\"",
        "class=\"curve doubtful\"",
        "errors fired",
        "would roll back",
        "Counterfactual",
        "prefers-color-scheme: dark",
        "width=device-width",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for outside in ["http://", "https://", "src=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.len() < 200_000, "{} bytes", page.len());
}
