//! A command that is given the notice as JSON on its standard input.
//!
//! It runs in a process group of its own, which is ended whole at the deadline:
//! TERM, then KILL a second later. Its exit status says whether people were
//! reached; the first of what it prints on standard error says why not. There
//! is no shell, and its environment is a clean one: another notifier's secret
//! may be in ours.

use std::convert::Infallible;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::channel::{Attempt, Channel, Delivered, Failure};
use super::message::{Message, Texts};
use super::template::Escape;
use crate::process::{Group, Program};
use crate::view::{NoticeView, value};

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(1);

/// How long the rest of standard error is waited for after the command ended:
/// whoever else holds it open may hold it for ever.
const REST: Duration = Duration::from_millis(50);

/// As much of standard error as is kept, in bytes.
const KEPT: usize = 4096;

/// As much of it as is shown, in characters.
const SHOWN: usize = 200;

/// What the command's environment has from ours.
const PASSED: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR",
];

/// A command that tells people.
pub(super) struct Run {
    pub(super) command: Vec<String>,
    pub(super) texts: Texts,
    pub(super) timeout: Duration,
}

impl Channel for Run {
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>> {
        Box::pin(async move {
            let view = Message::new(attempt.notice, attempt.links, &self.texts, Escape::Nothing)
                .into_view();
            let body = serde_json::to_vec(&view)
                .map_err(|e| Failure::new(format!("the notice cannot be written as JSON: {e}")))?;
            self.hand_over(&view, &body).await?;
            Ok(Delivered::saying("it ended with status 0"))
        })
    }
}

impl Run {
    async fn hand_over(&self, view: &NoticeView, body: &[u8]) -> Result<(), Failure> {
        let mut child = self.start(view).await?;
        let mut group = Group::of(&child);
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let said = Mutex::new(Vec::new());
        let mut talk = pin!(
            async {
                let feed = async {
                    if let Some(mut stdin) = stdin {
                        // A command that does not read its input may still have
                        // told people: its exit status counts.
                        let _ = stdin.write_all(body).await;
                    }
                };
                tokio::join!(feed, read(stderr, &said));
            }
            .fuse()
        );
        let ended = {
            let talk_on = async {
                talk.as_mut().await;
                std::future::pending::<Infallible>().await
            };
            tokio::select! {
                ended = timeout(self.timeout, child.wait()) => ended,
                never = talk_on => match never {},
            }
        };
        let Ok(ended) = ended else {
            group.end(&mut child, GRACE).await;
            return Err(Failure::new(format!(
                "it did not end within {}",
                value::span(self.timeout)
            )));
        };
        group.leave();
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let _ = timeout(REST, talk).await;
                let said = said.lock().unwrap_or_else(PoisonError::into_inner);
                Err(Failure::new(reason(status, &said)))
            }
            Err(error) => Err(Failure::new(format!("its end is not known: {error}"))),
        }
    }

    async fn start(&self, view: &NoticeView) -> Result<Child, Failure> {
        let told = [
            ("BACKSTOP_NOTICE", view.id.clone()),
            ("BACKSTOP_KIND", view.kind.to_owned()),
            ("BACKSTOP_SERVICE", view.service.clone()),
            ("BACKSTOP_TITLE", view.title.clone()),
        ];
        let incident = view.incident.map(|n| ("BACKSTOP_INCIDENT", n.to_string()));
        let env = told.into_iter().chain(incident);
        let program = Program {
            id: &view.id,
            argv: &self.command,
            inherits: &PASSED,
            env: &env.map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let wired = |command: &mut Command| {
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            Ok(())
        };
        let started = program.start(wired).await;
        started.map_err(|how| Failure::new(format!("it {how}")))
    }
}

/// Reads a stream to its end and keeps its beginning.
async fn read(stream: Option<impl AsyncRead + Unpin>, kept: &Mutex<Vec<u8>>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT - kept.len();
        kept.extend_from_slice(&buffer[..n.min(room)]);
    }
}

fn reason(status: ExitStatus, said: &[u8]) -> String {
    // `exit status: 1`, `signal: 9 (SIGKILL)`.
    let mut reason = format!("it ended with {status}");
    let said = value::one_line(&String::from_utf8_lossy(said), SHOWN);
    if !said.is_empty() {
        reason.push_str(": ");
        reason.push_str(&said);
    }
    reason
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::tell::fixture::Scratch;
    use crate::tell::fixture::attempt;
    use crate::tell::template::full;

    fn shell(script: &str) -> Run {
        Run {
            command: ["sh", "-c", script].map(String::from).into(),
            texts: Texts::default(),
            timeout: Duration::from_secs(20),
        }
    }

    #[tokio::test]
    async fn the_notice_comes_as_json_on_standard_input() {
        let scratch = Scratch::new();
        let path = scratch.path().join("notice.json");
        let script = format!("cat > {}; test \"$BACKSTOP_KIND\" = opened", path.display());
        shell(&script).deliver(attempt(&full())).await.unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(json["service"], "checkout");
        assert_eq!(json["value"], "14.2%");
        assert_eq!(json["incident"], 12);
    }

    #[tokio::test]
    async fn a_failure_says_how_it_ended_and_what_it_said() {
        let run = shell("echo no pager >&2; exit 3");
        let failure = run.deliver(attempt(&full())).await.unwrap_err();
        assert_eq!(failure.reason, "it ended with exit status: 3: no pager");
        let mut run = shell("");
        run.command = vec!["/nonexistent/pager".into()];
        let failure = run.deliver(attempt(&full())).await.unwrap_err();
        assert!(failure.reason.starts_with("it did not start"));
    }

    #[tokio::test]
    async fn a_flood_on_standard_error_is_drained_and_cut() {
        let run = shell("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1");
        let failure = run.deliver(attempt(&full())).await.unwrap_err();
        assert!(failure.reason.contains("xxx"));
        assert!(failure.reason.chars().count() < 300);
    }

    #[tokio::test]
    async fn at_its_deadline_the_whole_group_is_ended() {
        let scratch = Scratch::new();
        let path = scratch.path().join("pids");
        let mut run = shell(&format!(
            "sleep 600 & echo $! > {0}; echo $$ >> {0}; wait",
            path.display()
        ));
        run.timeout = Duration::from_millis(300);
        let failure = run.deliver(attempt(&full())).await.unwrap_err();
        assert_eq!(failure.reason, "it did not end within 300ms");
        let pids = std::fs::read_to_string(path).unwrap();
        assert_eq!(pids.lines().count(), 2);
        for pid in pids.lines() {
            gone(pid);
        }
    }

    #[tokio::test]
    async fn a_delivery_that_is_dropped_leaves_nothing_running() {
        let scratch = Scratch::new();
        let path = scratch.path().join("pid");
        let run = shell(&format!("echo $$ > {}; exec sleep 600", path.display()));
        let notice = full();
        let mut delivery = run.deliver(attempt(&notice));
        let pid = loop {
            let _ = timeout(Duration::from_millis(20), &mut delivery).await;
            match std::fs::read_to_string(&path) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                _ => {}
            }
        };
        drop(delivery);
        gone(pid.trim());
    }

    /// Waits, bounded, until a process is gone or a zombie.
    fn gone(pid: &str) {
        let begun = Instant::now();
        let stat = format!("/proc/{pid}/stat");
        while let Ok(stat) = std::fs::read_to_string(&stat) {
            if stat.contains(") Z ") {
                return;
            }
            assert!(begun.elapsed().as_secs() < 10, "{pid} still runs: {stat}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
