//! Steps that behave badly, as real processes (FAULTS 26, 27 and 28), and links
//! that cannot be swapped.
//!
//! Nothing here waits for time to pass: scripts say `ready`, and that is what
//! ends them. Only where the end of a step's time is what is tested is it short.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backstop::act::{Ended, GRACE, Order, OutputLine, Rest, act, preflight, reap_orphans};
use backstop::model::{Action, HowEnded, Output, StepAction};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// Longer than any test may take; nothing ever waits so long.
const NEVER: Duration = Duration::from_mins(1);

fn order(id: &str, argv: &[&str]) -> Order {
    Order {
        id: format!("{id}.{}", std::process::id()),
        action: Action::Run {
            argv: argv.iter().map(|&a| a.to_owned()).collect(),
            env: BTreeMap::new(),
        },
        timeout: NEVER,
        grace: GRACE,
        shadow: false,
    }
}

fn script(id: &str, body: &str) -> Order {
    order(id, &["/bin/sh", "-c", body])
}

/// Runs to the end, with nobody listening.
async fn run(order: &Order) -> Ended {
    let (to, _) = mpsc::channel(1);
    act(order, to, std::future::pending()).await
}

/// Runs until the script says `ready`, and cancels it then.
async fn cancel_when_ready(order: &Order) -> Ended {
    let (to, mut from) = mpsc::channel::<OutputLine>(64);
    let (ready, is_ready) = oneshot::channel();
    let listen = async {
        let mut ready = Some(ready);
        while let Some(line) = from.recv().await {
            if line.text == "ready"
                && let Some(ready) = ready.take()
            {
                ready.send(()).expect("the step still runs");
            }
        }
    };
    let cancel = async { is_ready.await.expect("the script says that it is ready") };
    tokio::join!(act(order, to, cancel), listen).0
}

/// The living processes of a step, wherever they went.
fn alive(order: &Order) -> Vec<i32> {
    let mark = format!("BACKSTOP_STEP={}", order.id);
    let processes = fs::read_dir("/proc").expect("there is a /proc");
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                environ
                    .split(|&b| b == 0)
                    .any(|entry| entry == mark.as_bytes())
            })
        })
        .collect()
}

/// A file in `dir` with this content and these permissions.
fn file(dir: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).expect("can write");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("can chmod");
    path
}

fn str(path: &Path) -> &str {
    path.to_str().expect("the temporary directory is text")
}

// --- How it ends (27) -------------------------------------------------------

#[tokio::test]
async fn ends_are_told_apart() {
    let table = [
        ("true", HowEnded::Succeeded),
        ("exit 1", HowEnded::Exited(1)),
        ("no-such-command-here", HowEnded::Exited(127)),
        ("exit 255", HowEnded::Exited(255)),
        ("kill -KILL $$", HowEnded::Signalled(9)),
        ("kill -SEGV $$", HowEnded::Signalled(11)),
        ("kill -TERM $$", HowEnded::Signalled(15)),
    ];
    for (body, how) in table {
        let ended = run(&script("ends", body)).await;
        assert_eq!(ended.end.how, how, "{body}");
        assert!(ended.rest.is_none(), "{body}");
    }
}

#[tokio::test]
async fn what_does_not_start_says_why() {
    let dir = TempDir::new().expect("can make a directory");
    let at = |name, content: &[u8], mode| file(dir.path(), name, content, mode);
    let plain = at("plain", b"#!/bin/sh\n", 0o644);
    let garbage = at("garbage", b"\x7fELF but not really", 0o755);
    let headless = at("headless", b"echo not for a shell\n", 0o755);
    let orphan = at("orphan", b"#!/no/such/interpreter\n", 0o755);
    let missing = dir.path().join("missing");
    let no_program = HowEnded::SpawnFailed(
        "it is not a program for this machine, nor a script that begins with `#!`".into(),
    );
    let table = [
        (str(&missing), HowEnded::NotFound),
        ("backstop-no-such-program", HowEnded::NotFound),
        (str(&plain), HowEnded::NotExecutable),
        (str(dir.path()), HowEnded::NotExecutable),
        (str(&garbage), no_program.clone()),
        (str(&headless), no_program),
        (
            str(&orphan),
            HowEnded::SpawnFailed(
                "the interpreter that its first line names, or its loader, does not exist".into(),
            ),
        ),
        (
            "./plain",
            HowEnded::SpawnFailed("`./plain` is relative; write the whole path".into()),
        ),
    ];
    for (program, how) in table {
        let ended = run(&order("starts", &[program])).await;
        assert_eq!(ended.end.how, how, "{program}");
        assert_eq!(ended.end.output, Output::default(), "{program}");
    }
}

#[tokio::test]
async fn a_program_that_is_replaced_while_it_runs_ends_as_it_began() {
    let dir = TempDir::new().expect("can make a directory");
    let step = file(
        dir.path(),
        "step",
        b"#!/bin/sh\nprintf '#!/bin/sh\\nexit 9\\n' > \"$0.new\"\nchmod +x \"$0.new\"\nmv \"$0.new\" \"$0\"\nexit 0\n",
        0o755,
    );
    let order = order("replaced", &[str(&step)]);
    assert_eq!(run(&order).await.end.how, HowEnded::Succeeded);
    assert_eq!(run(&order).await.end.how, HowEnded::Exited(9));
}

#[tokio::test]
async fn a_program_that_is_still_being_written_is_tried_again() {
    let dir = TempDir::new().expect("can make a directory");
    let step = file(dir.path(), "step", b"#!/bin/sh\nexit 0\n", 0o755);
    let mut writer = fs::OpenOptions::new()
        .append(true)
        .open(&step)
        .expect("can open");
    let order = order("busy", &[str(&step)]);
    let write = async move {
        // Polled after the first try: `join!` polls in order.
        writer.write_all(b"# done\n").expect("can write");
        drop(writer);
    };
    let (ended, ()) = tokio::join!(run(&order), write);
    assert_eq!(ended.end.how, HowEnded::Succeeded);
}

#[tokio::test]
async fn nothing_runs_in_shadow() {
    let dir = TempDir::new().expect("can make a directory");
    let link = dir.path().join("current");
    symlink("old", &link).expect("can link");
    let touched = dir.path().join("touched");
    let mut program = order("shadow", &["/usr/bin/touch", str(&touched)]);
    program.shadow = true;
    let swap = Order {
        action: Action::Symlink {
            link: str(&link).to_owned(),
            to: "/".into(),
        },
        ..program.clone()
    };
    for order in [program, swap] {
        assert_eq!(run(&order).await.end.how, HowEnded::Refused);
    }
    assert!(!touched.exists());
    assert_eq!(fs::read_link(&link).expect("is a link"), Path::new("old"));
}

// --- Ending it (26) ---------------------------------------------------------

#[tokio::test]
async fn a_step_that_hangs_is_ended_at_its_time() {
    let mut order = order("hangs", &["sleep", "1000"]);
    order.timeout = Duration::from_millis(100);
    let ended = run(&order).await;
    assert_eq!(ended.end.how, HowEnded::TimedOut);
    assert!(ended.end.took >= order.timeout);
    assert!(ended.end.took < GRACE, "SIGTERM was enough");
    assert!(alive(&order).is_empty());
}

#[tokio::test]
async fn what_was_cancelled_before_it_began_does_not_begin() {
    let dir = TempDir::new().expect("can make a directory");
    let touched = dir.path().join("touched");
    let link = dir.path().join("current");
    let table = [order("late", &["touch", str(&touched)]), swap(&link, "/")];
    for order in table {
        let (to, _) = mpsc::channel(1);
        let ended = act(&order, to, std::future::ready(())).await;
        assert_eq!(ended.end.how, HowEnded::Cancelled);
    }
    assert_eq!(names(dir.path()), [""; 0]);
}

#[tokio::test]
async fn nothing_is_left_of_a_step_that_is_ended() {
    let table = [
        ("hangs", "echo ready; sleep 1000"),
        ("forks", "sleep 1000 & sleep 1000 & echo ready; wait"),
        ("pipes", "(echo ready; sleep 1000) | cat"),
        ("jobs", "set -m; sleep 1000 & echo ready; wait"),
        ("leaves", "setsid sh -c 'echo ready; sleep 1000' & wait"),
        (
            "daemonises",
            "(setsid sh -c 'echo ready; sleep 1000' &); sleep 1000",
        ),
        (
            "daemonises-twice",
            "(setsid sh -c '(setsid sh -c \"echo ready; sleep 1000\" &)' &); sleep 1000",
        ),
        (
            "forgets-who-it-is",
            "setsid env -i sh -c 'echo ready; exec sleep 1000' & wait",
        ),
        ("stops", "sleep 1000 & kill -STOP $!; echo ready; wait"),
    ];
    for (id, body) in table {
        let mut order = script(id, body);
        order.grace = Duration::from_millis(200);
        let ended = cancel_when_ready(&order).await;
        assert_eq!(ended.end.how, HowEnded::Cancelled, "{id}");
        assert_eq!(alive(&order), [0; 0], "{id}");
        assert!(
            ended.rest.is_none(),
            "{id}: somebody still holds its output"
        );
    }
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace() {
    let table = [
        (
            "ignores",
            "trap '' TERM; echo ready; while :; do sleep 1000; done",
        ),
        (
            "ignores-far-away",
            "(setsid sh -c 'trap \"\" TERM; echo ready; while :; do sleep 1000; done' &); sleep 1000",
        ),
        (
            "starts-again",
            "trap 'while :; do sleep 1000; done' TERM; echo ready; sleep 1000 & wait; wait",
        ),
    ];
    for (id, body) in table {
        let mut order = script(id, body);
        order.grace = Duration::from_millis(100);
        let ended = cancel_when_ready(&order).await;
        assert_eq!(ended.end.how, HowEnded::Cancelled, "{id}");
        assert!(ended.end.took >= order.grace, "{id}");
        assert_eq!(alive(&order), [0; 0], "{id}");
    }
}

#[tokio::test]
async fn a_step_may_clean_up_in_its_grace() {
    let order = script(
        "cleans",
        "trap 'sleep 0; echo cleaned; exit 3' TERM; echo ready; sleep 1000 & wait",
    );
    let ended = cancel_when_ready(&order).await;
    assert_eq!(ended.end.how, HowEnded::Cancelled);
    assert_eq!(ended.end.output.head, "ready\ncleaned\n");
}

#[tokio::test]
async fn ending_one_step_leaves_another_alone() {
    let bystander = script("bystander", "echo ready; read never; sleep 0");
    let victim = script(
        "victim",
        "(setsid sh -c 'echo ready; sleep 1000' &); sleep 1000",
    );
    let (to, mut from) = mpsc::channel(64);
    let (stop, stopped) = oneshot::channel::<()>();
    let slow = Order {
        action: Action::Run {
            argv: vec!["/bin/sleep".into(), "1000".into()],
            env: BTreeMap::new(),
        },
        ..bystander
    };
    let both = async {
        let ended = cancel_when_ready(&victim).await;
        assert_eq!(ended.end.how, HowEnded::Cancelled);
        assert_eq!(alive(&slow).len(), 1);
        stop.send(()).expect("the bystander runs");
    };
    let cancel = async { stopped.await.expect("is told to stop") };
    let (ended, (), ()) = tokio::join!(act(&slow, to, cancel), both, async {
        while from.recv().await.is_some() {}
    });
    assert_eq!(ended.end.how, HowEnded::Cancelled);
    assert!(alive(&slow).is_empty());
}

#[tokio::test]
async fn what_a_step_leaves_running_on_purpose_lives_and_is_buried_one_day() {
    let order = script(
        "restarts",
        "(setsid sh -c 'echo up; exec sleep 1000' &); echo done",
    );
    let ended = run(&order).await;
    assert_eq!(ended.end.how, HowEnded::Succeeded);
    let left = alive(&order);
    assert_eq!(left.len(), 1);
    let rest: Rest = ended.rest.expect("the daemon has the step's output");

    let daemon = rustix::process::Pid::from_raw(left[0]).expect("is a process");
    rustix::process::kill_process(daemon, rustix::process::Signal::TERM).expect("can end it");
    tokio::time::timeout(NEVER, rest.drained())
        .await
        .expect("the output ends with the daemon");
    let buried = async {
        while Path::new(&format!("/proc/{}", left[0])).exists() {
            reap_orphans();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, buried)
        .await
        .expect("no zombie is left");
}

// --- What it prints and reads (28) ------------------------------------------

#[tokio::test]
async fn output_is_kept_in_its_order_and_input_is_empty() {
    let table: [(&str, &str); 5] = [
        ("echo out; echo err >&2; echo out", "out\nerr\nout\n"),
        ("printf unfinished", "unfinished"),
        ("true", ""),
        ("cat; echo end of input", "end of input\n"),
        (
            "printf 'a\\377b\\000c\\033[2Jd'",
            "a\u{fffd}b\u{fffd}c\u{fffd}[2Jd",
        ),
    ];
    for (body, printed) in table {
        let Output {
            head,
            tail,
            left_out,
            ..
        } = run(&script("prints", body)).await.end.output;
        assert_eq!(
            (head.as_str(), tail.as_str(), left_out),
            (printed, "", 0),
            "{body}"
        );
    }
}

#[tokio::test]
async fn lines_come_while_the_step_runs() {
    let (to, mut from) = mpsc::channel(64);
    let order = script("lines", "echo one; echo two >&2; printf three");
    let ended = act(&order, to, std::future::pending()).await;
    assert!(ended.end.how.is_success());
    let mut lines = Vec::new();
    while let Some(line) = from.recv().await {
        assert_eq!(line.skipped, 0);
        lines.push(line.text);
    }
    assert_eq!(lines, ["one", "two", "three"]);
}

/// The most memory this process has used so far, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there is a /proc");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|size| size.trim().strip_suffix(" kB")?.parse().ok())
        .expect("Linux says so")
}

#[tokio::test]
async fn a_flood_is_drained_and_costs_no_memory() {
    const SENT: u64 = 100_000_000;
    for body in [
        // One line without an end, and fifty million of them.
        "head -c 100000000 /dev/zero",
        "yes | head -c 100000000",
    ] {
        let before = peak_kib();
        // A receiver that never takes anything must not hold it up either.
        let (to, from) = mpsc::channel(16);
        let ended = act(&script("floods", body), to, std::future::pending()).await;
        drop(from);
        assert_eq!(ended.end.how, HowEnded::Succeeded, "{body}");
        let output = ended.end.output;
        assert_eq!(output.total, SENT, "{body}");
        assert_eq!(output.left_out, SENT - 2 * Output::KEPT as u64, "{body}");
        let grown = peak_kib() - before;
        assert!(grown < 16 * 1024, "{body}: grew by {grown} KiB");
    }
}

#[tokio::test]
async fn a_step_has_an_environment_of_its_own() {
    let mut order = order("environment", &["env"]);
    order.action = Action::Run {
        argv: vec!["env".into()],
        env: BTreeMap::from([("BACKSTOP_TARGET".into(), "v41".into())]),
    };
    let printed = run(&order).await.end.output.head;
    assert!(printed.lines().any(|line| line == "BACKSTOP_TARGET=v41"));
    assert!(printed.lines().any(|line| line.starts_with("PATH=")));
    // This test was started with many more, `CARGO_MANIFEST_DIR` among them.
    let foreign: Vec<_> = printed
        .lines()
        .filter(|line| {
            let name = line.split('=').next().unwrap_or(line);
            let known = [
                "PATH",
                "HOME",
                "LANG",
                "USER",
                "LOGNAME",
                "TZ",
                "XDG_RUNTIME_DIR",
                "DBUS_SESSION_BUS_ADDRESS",
            ];
            !(known.contains(&name) || name.starts_with("BACKSTOP_"))
        })
        .collect();
    assert_eq!(foreign, [""; 0]);
}

// --- Links ------------------------------------------------------------------

fn swap(link: &Path, to: &str) -> Order {
    Order {
        action: Action::Symlink {
            link: str(link).to_owned(),
            to: to.to_owned(),
        },
        ..order("swap", &[])
    }
}

/// A service's directory with two releases, `current` at the second.
fn releases() -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("can make a directory");
    for release in ["releases/v1", "releases/v2"] {
        fs::create_dir_all(dir.path().join(release)).expect("can make a directory");
    }
    let link = dir.path().join("current");
    symlink("releases/v2", &link).expect("can link");
    (dir, link)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("can list")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_link_is_swapped_as_written_and_says_from_where() {
    let (dir, link) = releases();
    let shown = link.display();
    let steps = [
        (
            "releases/v1",
            format!("`{shown}` points at `releases/v1`; it pointed at `releases/v2`"),
        ),
        (
            "releases/v1",
            format!("`{shown}` already pointed at `releases/v1`"),
        ),
    ];
    for (to, said) in steps {
        let ended = run(&swap(&link, to)).await;
        assert_eq!(ended.end.how, HowEnded::Succeeded);
        assert_eq!(ended.end.output.head, said);
        assert_eq!(fs::read_link(&link).expect("is a link"), Path::new(to));
    }
    assert_eq!(names(dir.path()), ["current", "releases"]);
}

#[tokio::test]
async fn a_link_that_is_not_there_is_made() {
    let (dir, _) = releases();
    let link = dir.path().join("fresh");
    let ended = run(&swap(&link, "releases/v1")).await;
    assert_eq!(ended.end.how, HowEnded::Succeeded);
    assert_eq!(
        fs::read_link(&link).expect("is a link"),
        Path::new("releases/v1")
    );
}

#[tokio::test]
async fn only_links_are_replaced_and_only_by_what_leads_somewhere() {
    let (dir, link) = releases();
    let plain = file(dir.path(), "plain", b"precious", 0o644);
    let folder = dir.path().join("releases");
    let nowhere = dir.path().join("nowhere/current");
    // Nobody may make links there, not even root.
    let sealed = Path::new("/proc/backstop-current");
    let table = [
        (
            plain.as_path(),
            "releases/v1",
            "is not a link but a file; it was not touched",
        ),
        (
            &folder,
            "releases/v1",
            "is not a link but a directory; it was not touched",
        ),
        (&link, "releases/v3", "`releases/v3` does not exist;"),
        (&link, "", "`` does not exist;"),
        (&nowhere, "/", "cannot open the directory"),
        (
            sealed,
            "/",
            "cannot make a link beside `/proc/backstop-current`:",
        ),
        (
            Path::new("current"),
            "/",
            "`current` is not the whole path of a link",
        ),
        (Path::new("/"), "/", "`/` is not the whole path of a link"),
    ];
    for (at, to, words) in table {
        let HowEnded::Failed(reason) = run(&swap(at, to)).await.end.how else {
            panic!("{} was swapped", at.display());
        };
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!(fs::read(&plain).expect("is a file"), b"precious");
    assert_eq!(
        fs::read_link(&link).expect("is a link"),
        Path::new("releases/v2")
    );
    assert_eq!(names(dir.path()), ["current", "plain", "releases"]);
}

#[tokio::test]
async fn what_a_crash_left_beside_the_link_is_removed() {
    let (dir, link) = releases();
    symlink("releases/v1", dir.path().join(".current.backstop-3.1.0-77")).expect("can link");
    file(dir.path(), ".current.backstop-notes", b"a person's", 0o644);
    assert!(run(&swap(&link, "releases/v1")).await.end.how.is_success());
    assert_eq!(
        names(dir.path()),
        [".current.backstop-notes", "current", "releases"]
    );
}

#[tokio::test]
async fn whoever_looks_always_finds_the_link() {
    let (_dir, link) = releases();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let path = link.clone();
    let reader = std::thread::spawn(move || {
        let mut looks = 0_u32;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            assert!(fs::metadata(&path).expect("never missing").is_dir());
            looks += 1;
        }
        looks
    });
    for round in 0..100 {
        let to = if round % 2 == 0 {
            "releases/v1"
        } else {
            "releases/v2"
        };
        assert!(run(&swap(&link, to)).await.end.how.is_success());
    }
    drop(stop);
    assert!(reader.join().expect("never missing") > 0);
}

// --- Preflight --------------------------------------------------------------

#[test]
fn what_could_not_be_done_at_night_is_said_by_day() {
    let (dir, link) = releases();
    let at = |name: &str| str(&dir.path().join(name)).to_owned();
    let plain = file(dir.path(), "plain", b"", 0o644);
    let program = |name: &str| StepAction::Run(vec![name.to_owned(), "{target}".into()]);
    let link_at = |link: &str| StepAction::Symlink {
        link: link.to_owned(),
        to: "releases/{target}".into(),
    };
    let table = [
        (program("sh"), ""),
        (program("/bin/sh"), ""),
        (program("/opt/{service}/deploy"), ""),
        (
            program("backstop-no-such-program"),
            "is not in the agent's PATH",
        ),
        (
            program("/no/such/program"),
            "does not exist, or cannot be seen",
        ),
        (
            program(str(&plain)),
            "may not be executed by the agent's user",
        ),
        (program("./deploy"), "is relative"),
        (link_at(str(&link)), ""),
        (link_at(&at("fresh")), ""),
        (link_at("/srv/{service}/current"), ""),
        (
            link_at(&at("nowhere/current")),
            "does not exist, or cannot be seen",
        ),
        (link_at(str(&plain)), "is not a link but a file"),
        (link_at("current"), "is not the whole path"),
    ];
    for (step, words) in table {
        let problems = preflight(&step);
        match words {
            "" => assert_eq!(problems, [], "{step:?}"),
            words => {
                assert_eq!(problems.len(), 1, "{step:?}");
                assert!(problems[0].to_string().contains(words), "{}", problems[0]);
            }
        }
    }
}
