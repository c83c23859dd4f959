//! A command that is run again and again, one at a time, by whoever wants to
//! know something of it.
//!
//! What it leaves running is ended with it, daemons included, and the next one
//! is not started before all of it is gone. Only a step may leave something
//! behind: a question that starts a service is no question.
//!
//! It gets the environment of a step and no input. Its output is taken as fast
//! as it comes, and nothing of it is kept here but the first line that has
//! something in it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{self, Child};
use tokio::time::{Instant, timeout_at};

use crate::model::{Gap, GapKind, HowEnded};
use crate::process::{
    Family, GRACE, INHERITED, Program, adopt_orphans, plain, reap_orphans, shown,
};

/// Bytes read at once.
const CHUNK: usize = 16 << 10;

/// As much of the first line as is kept, in bytes, and shown, in characters.
const KEPT: usize = 1024;
const SHOWN: usize = 200;

/// After the program has ended, what it printed last is still in the pipe and
/// read at once; only what it left running keeps the pipe open after that.
const DRAIN: Duration = Duration::from_millis(500);

/// Numbers the commands that this agent starts, to mark their processes with.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// A command, and what was started of it.
#[derive(Debug)]
pub(super) struct Command {
    argv: Vec<String>,
    /// What was started and is not known to be gone.
    running: Option<Running>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The first line of its standard output that has something in it.
    pub(super) first: Words,
    /// The same of its standard error.
    pub(super) said: Words,
    /// Whether its standard output was read to its end: nobody can add to it.
    pub(super) whole: bool,
}

/// A program and all that it started. Dropped before that is gone, it is
/// killed: nothing outlives the agent, or a policy without the source.
#[derive(Debug)]
struct Running {
    child: Child,
    family: Family,
    gone: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.gone {
            self.family.kill(&mut self.child);
        }
    }
}

impl Command {
    pub(super) fn new(argv: &[String]) -> Self {
        Self {
            argv: argv.to_owned(),
            running: None,
        }
    }

    pub(super) fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Whether something that was started may still be there.
    pub(super) const fn is_unsettled(&self) -> bool {
        self.running.is_some()
    }

    /// Ends what is still there: TERM, KILL after [`GRACE`].
    pub(super) async fn settle(&mut self) {
        if let Some(running) = &mut self.running {
            running.family.end(&mut running.child, GRACE).await;
            running.gone = true;
            reap_orphans();
        }
        self.running = None;
    }

    /// Runs it to its end and hands its standard output to `take` as it comes.
    /// Cancelled, it leaves what it started to [`Command::settle`].
    ///
    /// # Errors
    ///
    /// [`GapKind::Unknown`]: it did not start, or its end is not known.
    pub(super) async fn run(&mut self, mut take: impl FnMut(&[u8])) -> Result<Ended, Gap> {
        self.settle().await;
        let Running { child, .. } = {
            let running = start(&self.argv).await?;
            self.running.insert(running)
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut first, mut said) = (Words::default(), Words::default());
        let (ended, whole) = {
            let mut talk = std::pin::pin!(async {
                let printed = read(stdout, |piece| {
                    first.take(piece);
                    take(piece);
                });
                tokio::join!(printed, read(stderr, |piece| said.take(piece)));
            });
            let mut whole = false;
            let ended = loop {
                tokio::select! {
                    biased;
                    () = &mut talk, if !whole => whole = true,
                    ended = child.wait() => break ended,
                }
            };
            if !whole {
                whole = timeout_at(Instant::now() + DRAIN, talk).await.is_ok();
            }
            (ended, whole)
        };
        // What it left running keeps it from being run again.
        if let Some(running) = &mut self.running {
            running.gone = running.family.is_gone(&mut running.child);
        }
        self.running.take_if(|running| running.gone);
        let status = ended.map_err(|e| unknown(format!("its end is not known: {}", plain(&e))))?;
        Ok(Ended {
            status,
            first,
            said,
            whole,
        })
    }
}

impl Ended {
    /// What its exit status says, as a check of Nagios; `None` when all is well.
    /// The reason is what it said on `streams`, the first that has something.
    pub(super) fn gap(&self, streams: [&Words; 2]) -> Option<Gap> {
        let (code, signal) = (self.status.code(), self.status.signal());
        let how = match (code, signal) {
            (Some(0), _) => return None,
            (Some(code), _) => HowEnded::Exited(code),
            (None, Some(number)) => HowEnded::Signalled(number),
            (None, None) => {
                HowEnded::Failed(format!("it ended in an unknown way: {}", self.status))
            }
        };
        let mut detail = how.to_string();
        if let Some(words) = streams.into_iter().find(|words| !words.is_empty()) {
            detail.push_str(": ");
            detail.push_str(&words.shown());
        }
        Some(match code {
            Some(3 | 126 | 127) | None => unknown(detail),
            Some(_) => Gap::new(GapKind::Expectation, detail),
        })
    }
}

async fn start(argv: &[String]) -> Result<Running, Gap> {
    adopt_orphans();
    let id = format!("sample.{}", STARTED.fetch_add(1, Ordering::Relaxed));
    let program = Program {
        id: &id,
        argv,
        inherits: &INHERITED,
        env: &BTreeMap::new(),
    };
    let wired = |command: &mut process::Command| {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(())
    };
    let started = program.start(wired).await;
    let child = started.map_err(|how| unknown(how.to_string()))?;
    let family = Family::of(&child, &id);
    Ok(Running {
        child,
        family,
        gone: false,
    })
}

/// A command that did not tell what it was asked.
pub(super) fn unknown(why: impl Into<String>) -> Gap {
    Gap::new(GapKind::Unknown, why)
}

async fn read(stream: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; CHUNK].into_boxed_slice();
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        take(&chunk[..n]);
        // A flood is always ready: others must have their turn.
        tokio::task::coop::consume_budget().await;
    }
}

/// The first line of a stream that has something in it.
#[derive(Debug, Default)]
pub(super) struct Words {
    kept: Vec<u8>,
    /// It was longer than what is kept.
    cut: bool,
    whole: bool,
}

impl Words {
    fn take(&mut self, mut bytes: &[u8]) {
        while !self.whole && !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let room = KEPT - self.kept.len();
            self.cut |= part.len() > room;
            self.kept.extend_from_slice(&part[..part.len().min(room)]);
            let Some(end) = end else { return };
            if self.is_empty() && !self.cut {
                self.kept.clear();
            } else {
                self.whole = true;
            }
            bytes = &bytes[end + 1..];
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.trim_ascii().is_empty()
    }

    /// The whole line, trimmed; `None` where it was longer than 1 KiB or is not
    /// UTF-8.
    pub(super) fn exactly(&self) -> Option<&str> {
        let line = std::str::from_utf8(&self.kept).ok()?;
        (!self.cut).then(|| line.trim())
    }

    /// As a person may see it anywhere.
    pub(super) fn shown(&self) -> String {
        let line = shown(&self.kept);
        let mut line: String = line.trim().to_owned();
        if let Some((end, _)) = line.char_indices().nth(SHOWN) {
            line.truncate(end);
            line.push('…');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(parts: &[&str]) -> String {
        let mut words = Words::default();
        for part in parts {
            words.take(part.as_bytes());
        }
        words.shown()
    }

    #[test]
    fn the_first_line_with_something_in_it_is_told() {
        assert_eq!(
            words(&["\n \n DISK CRIT", "ICAL - 3% left\nmore"]),
            "DISK CRITICAL - 3% left"
        );
        assert_eq!(words(&["no end"]), "no end");
        assert_eq!(words(&["a\x1b[31mb\n"]), "a\u{fffd}[31mb");
        let long = "x".repeat(5000);
        assert_eq!(words(&[&long, &long, "\nnext"]).chars().count(), SHOWN + 1);
    }

    #[test]
    fn a_check_that_could_not_check_says_nothing_of_the_service() {
        let of = |raw| {
            let ended = Ended {
                status: ExitStatus::from_raw(raw),
                first: Words::default(),
                said: Words::default(),
                whole: true,
            };
            ended.gap([&ended.first, &ended.said])
        };
        assert_eq!(of(0), None);
        for status in [1, 2, 4, 255] {
            assert_eq!(of(status << 8).unwrap().kind, GapKind::Expectation);
        }
        for raw in [3 << 8, 126 << 8, 127 << 8, 9, 15] {
            let gap = of(raw).unwrap();
            assert_eq!(gap.kind, GapKind::Unknown);
            assert!(gap.is_blindness(), "{raw}");
        }
    }
}
