//! Commands as sources, as real processes (FAULTS 26, 27 and 28): what their
//! exit status and output say, and that nothing of them is left over.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use backstop::model::{Gap, GapKind, Outcome, Sample, Selector, Source, SourceKind};
use backstop::sense::{Client, Sampled, Sensor, VersionCommand};
use tokio::time::Instant;

/// Longer than any sample here takes.
const NEVER: Duration = Duration::from_mins(1);

fn sensor(argv: &[&str], selectors: &[&str], timeout: Duration) -> Sensor {
    let source = Source {
        kind: SourceKind::Run {
            command: argv.iter().map(|&a| a.to_owned()).collect(),
        },
        interval: NEVER,
        timeout,
        fail_after: 3,
        pass_after: 2,
    };
    let selectors = selectors.iter().map(|s| Selector::parse(s).unwrap());
    Sensor::new("check", &source, selectors.collect(), &Client::new()).unwrap()
}

fn script(body: &str, selectors: &[&str]) -> Sensor {
    sensor(&["/bin/sh", "-c", body], selectors, NEVER)
}

async fn sample(body: &str, selectors: &[&str]) -> Outcome {
    let mut sensor = script(body, selectors);
    let sampled = sensor.sample().await;
    assert!(!sensor.is_unsettled(), "{body}");
    sampled.outcome
}

fn failed(outcome: Outcome) -> Gap {
    match outcome {
        Outcome::Failed(gap) => gap,
        other => panic!("{other:?}"),
    }
}

fn page(outcome: Outcome) -> Vec<(String, f64)> {
    match outcome {
        Outcome::Scraped(page) => page
            .into_iter()
            .map(|Sample { series, value }| (series.to_string(), value))
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// Waits, bounded, until a process is gone or a zombie.
async fn gone(pid: &str) {
    let began = Instant::now();
    while let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        if stat.contains(") Z ") {
            return;
        }
        assert!(began.elapsed().as_secs() < 10, "{pid} still runs: {stat}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pids(file: &Path) -> Vec<String> {
    let pids = fs::read_to_string(file).unwrap();
    pids.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_exit_status_is_a_check_and_its_first_line_the_reason() {
    assert_eq!(page(sample("exit 0", &[]).await), []);
    assert_eq!(page(sample("echo 'DISK OK - 42% free'", &[]).await), []);
    for (body, kind, detail) in [
        (
            "echo; echo 'DISK CRITICAL - 3% free'; echo more; exit 2",
            GapKind::Expectation,
            "exited with status 2: DISK CRITICAL - 3% free",
        ),
        (
            "echo 'no such disk' >&2; exit 1",
            GapKind::Expectation,
            "exited with status 1: no such disk",
        ),
        (
            "echo 'UNKNOWN - no answer'; exit 3",
            GapKind::Unknown,
            "exited with status 3: UNKNOWN - no answer",
        ),
        (
            "exit 127",
            GapKind::Unknown,
            "exited with status 127: a command in it was not found",
        ),
        (
            "kill -SEGV $$",
            GapKind::Unknown,
            "was ended by SIGSEGV (signal 11)",
        ),
    ] {
        let gap = failed(sample(body, &[]).await);
        assert_eq!((gap.kind, gap.detail.as_str()), (kind, detail), "{body}");
        assert_eq!(gap.is_blindness(), kind == GapKind::Unknown, "{body}");
    }
}

#[tokio::test]
async fn a_check_that_cannot_be_started_is_blind() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (name, mode, text) in [
        ("plain", 0o644, "#!/bin/sh\n"),
        ("lost", 0o755, "#!/nowhere/sh\n"),
        ("garbage", 0o755, "\x7fnothing"),
    ] {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for (program, why) in [
        (path("none"), "does not exist"),
        (path("plain"), "may not be executed"),
        (path("lost"), "its first line names"),
        (path("garbage"), "not a program for this machine"),
        ("./plain".to_owned(), "is relative"),
        ("no-such-program-anywhere".to_owned(), "does not exist"),
    ] {
        let gap = failed(sensor(&[&program], &[], NEVER).sample().await.outcome);
        assert_eq!(gap.kind, GapKind::Unknown, "{program}: {gap}");
        assert!(gap.detail.contains(why), "{program}: {gap}");
    }
}

#[tokio::test]
async fn what_is_printed_is_a_page_where_a_signal_selects_from_it() {
    let body =
        "echo 'queue_depth{q=\"a b\"} 7'; echo 'other 1'; echo noise 3 >&2; printf 'queue_depth 8'";
    let found = page(sample(body, &["queue_depth"]).await);
    assert_eq!(
        found,
        [
            ("queue_depth{q=\"a b\"}".to_owned(), 7.0),
            ("queue_depth".to_owned(), 8.0)
        ]
    );
    // Nobody selects: nobody reads.
    assert_eq!(page(sample("echo '<html>'", &[]).await), []);
    let gap = failed(sample("echo 'a 1'; echo '<html>'", &["a"]).await);
    assert_eq!(gap.kind, GapKind::Malformed);
    assert!(
        gap.detail.starts_with("not an exposition at line 2"),
        "{gap}"
    );
    // A failed check prints no numbers that count.
    let gap = failed(sample("echo 'a 1'; exit 1", &["a"]).await);
    assert_eq!(gap.detail, "exited with status 1: a 1");
    // Again, with other selectors.
    let mut sensor = script("echo 'a 1'; echo 'b 2'", &["a"]);
    assert_eq!(page(sensor.sample().await.outcome), [("a".to_owned(), 1.0)]);
    sensor.select(vec![Selector::parse("b").unwrap()]);
    assert_eq!(page(sensor.sample().await.outcome), [("b".to_owned(), 2.0)]);
}

#[tokio::test]
async fn it_gets_no_input_and_little_of_our_environment() {
    let body = "cat && test -z \"$CARGO_MANIFEST_DIR\" && test -n \"$PATH\" && test \"$PWD\" = /";
    assert_eq!(page(sample(body, &[]).await), []);
}

#[tokio::test]
async fn a_flood_costs_one_timeout_and_a_bounded_page() {
    for selectors in [&[][..], &["y"]] {
        let mut sensor = sensor(&["yes"], selectors, Duration::from_millis(300));
        let Sampled {
            outcome,
            bytes,
            took,
        } = sensor.sample().await;
        let gap = failed(outcome);
        assert_eq!(gap.kind, GapKind::Unknown);
        assert_eq!(gap.detail, "did not end within 300ms");
        assert!(bytes > 1 << 20, "{bytes}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(sensor.is_unsettled());
        sensor.settle().await;
        assert!(!sensor.is_unsettled());
    }
    let body = "head -c 3000000 /dev/zero | tr '\\0' x; exit 1";
    let gap = failed(sample(body, &[]).await);
    assert!(gap.detail.chars().count() < 300, "{gap}");
}

#[tokio::test]
async fn what_it_daemonised_is_gone_before_it_is_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    // A daemon, a child that is ignored, and a good end.
    let body = format!(
        "setsid sh -c 'echo $$ >> {0}; exec sleep 600' >/dev/null 2>&1 & \
         sleep 600 >/dev/null 2>&1 & echo $! >> {0}; \
         while test $(wc -l < {0}) -lt 2; do sleep 0.01; done; exit 0",
        file.display()
    );
    let mut sensor = script(&body, &[]);
    assert_eq!(page(sensor.sample().await.outcome), []);
    assert!(sensor.is_unsettled());
    let first = pids(&file);
    assert_eq!(first.len(), 2);
    fs::remove_file(&file).unwrap();
    // Not waited for by hand: the next sample does so itself.
    assert_eq!(page(sensor.sample().await.outcome), []);
    for pid in first {
        gone(&pid).await;
    }
    sensor.settle().await;
    for pid in pids(&file) {
        gone(&pid).await;
    }
}

#[tokio::test]
async fn one_that_ignores_its_end_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let body = format!(
        "trap '' TERM; echo $$ > {}; while :; do sleep 0.1; done",
        file.display()
    );
    let mut sensor = sensor(&["/bin/sh", "-c", &body], &[], Duration::from_millis(500));
    let gap = failed(sensor.sample().await.outcome);
    assert_eq!(gap.kind, GapKind::Unknown);
    sensor.settle().await;
    for pid in pids(&file) {
        gone(&pid).await;
    }
}

#[tokio::test]
async fn a_sensor_that_is_dropped_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let body = format!(
        "setsid sleep 600 & echo $! > {0}; echo $$ >> {0}; wait",
        file.display()
    );
    let mut sensor = script(&body, &[]);
    loop {
        let soon = Duration::from_millis(50);
        let _ = tokio::time::timeout(soon, sensor.sample()).await;
        if file.exists() && pids(&file).len() == 2 {
            break;
        }
        sensor.settle().await;
    }
    drop(sensor);
    for pid in pids(&file) {
        gone(&pid).await;
    }
}

#[tokio::test]
async fn a_version_is_the_first_line_trimmed() {
    let read = async |body: &str, timeout| {
        let argv = ["/bin/sh", "-c", body].map(str::to_owned);
        let mut command = VersionCommand::new(&argv, timeout);
        let read = command.read().await;
        command.settle().await;
        read
    };
    for (body, version) in [
        ("echo '  v1.2.3-4-gabc  '; echo more", "v1.2.3-4-gabc"),
        ("printf 'v1'", "v1"),
        ("echo; echo sha256:0a; echo noise >&2", "sha256:0a"),
        ("echo v1; yes | head -c 1000000", "v1"),
    ] {
        assert_eq!(read(body, NEVER).await, Ok(version.to_owned()), "{body}");
    }
    let long = "head -c 2000 /dev/zero | tr '\\0' v";
    for (body, kind, why) in [
        ("exit 0", GapKind::Malformed, "it printed no version"),
        ("echo v1 >&2", GapKind::Malformed, "it printed no version"),
        (
            "printf 'v\\033[31m1\\n'",
            GapKind::Malformed,
            "its first line is no version: v\u{fffd}[31m1",
        ),
        (
            "printf 'v\\377\\n'",
            GapKind::Malformed,
            "its first line is no version: v\u{fffd}",
        ),
        (
            long,
            GapKind::Malformed,
            "its first line is no version: vvvv",
        ),
        (
            "echo v1; echo 'fatal: not a git repository' >&2; exit 128",
            GapKind::Expectation,
            "exited with status 128: fatal: not a git repository",
        ),
    ] {
        let gap = read(body, NEVER).await.unwrap_err();
        assert_eq!(gap.kind, kind, "{body}: {gap}");
        assert!(gap.detail.starts_with(why), "{body}: {gap}");
    }
    let gap = read("echo v1; exec sleep 600", Duration::from_millis(200)).await;
    let gap = gap.unwrap_err();
    assert_eq!(gap.detail, "did not end within 200ms");
}
