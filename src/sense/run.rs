//! A command: its exit status, as a check of Nagios; where signals select
//! series, also what it prints, as a page of them.
//!
//! 0 says that all is well; any other status is a failure with the first line
//! that was printed. A check that could not check says nothing of the service:
//! status 3 (*Monitoring Plugins Development Guidelines*, "UNKNOWN"), 126 and
//! 127 (a command in it could not be run), an end by a signal, none in time, and
//! not having been started are blindness, never *down*. Warnings (1) fail:
//! whoever wants to let them pass writes a check that does.
//!
//! What a command leaves running is ended with it, daemons included; the next
//! one is not started before all of it is gone. Only a step may leave something
//! behind: a check that starts a service is no check.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use super::exposition::{Dialect, Exposition, Framing, Page};
use crate::model::{Gap, GapKind, HowEnded, Sample, Selector};
use crate::process::{
    Family, GRACE, INHERITED, Program, adopt_orphans, plain, reap_orphans, shown,
};

/// Most bytes of a page, as the default of a scrape.
const MOST_PRINTED: u64 = 64 << 20;

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

/// A command, and what is known of its page.
#[derive(Debug)]
pub(super) struct Run {
    command: Vec<String>,
    /// `None` where no signal selects anything: then output is only words.
    exposition: Option<Exposition>,
    /// What was started and is not known to be gone.
    running: Option<Running>,
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

impl Run {
    pub(super) fn new(command: &[String], selectors: Vec<Selector>) -> Self {
        let mut run = Self {
            command: command.to_owned(),
            exposition: None,
            running: None,
        };
        run.select(selectors);
        run
    }

    /// Other selectors: everything known of the page is forgotten.
    pub(super) fn select(&mut self, selectors: Vec<Selector>) {
        self.exposition = (!selectors.is_empty()).then(|| Exposition::new(selectors));
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

    /// Runs it once and gives its page, an empty one where nothing is selected.
    /// Counts the bytes of its output. Cancelled, it leaves what it started to
    /// [`Run::settle`].
    pub(super) async fn sample(&mut self, bytes: &mut u64) -> Result<Vec<Sample>, Gap> {
        self.settle().await;
        let Running { child, .. } = {
            let running = start(&self.command).await?;
            self.running.insert(running)
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut printed = Printed {
            page: (self.exposition.as_mut()).map(|e| e.page(Dialect::Text, MOST_PRINTED)),
            fault: None,
            first: Words::default(),
            bytes,
        };
        let mut said = Words::default();
        let (ended, whole) = {
            let mut talk = std::pin::pin!(async {
                tokio::join!(printed.read(stdout), said.read(stderr));
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
        let Printed {
            page, fault, first, ..
        } = printed;
        let status = ended.map_err(|e| unknown(format!("its end is not known: {}", plain(&e))))?;
        let words = if first.is_empty() { said } else { first };
        let result = match judged(status, &words) {
            Some(gap) => Err(gap),
            None => match (fault, page) {
                (Some(gap), _) => Err(gap),
                (None, None) => Ok(Vec::new()),
                (None, Some(page)) if whole => page.finish(Framing::Announced),
                (None, Some(page)) => page.finish(Framing::Closed),
            },
        };
        // What it left running keeps the source from being run again.
        if let Some(running) = &mut self.running {
            running.gone = running.family.is_gone(&mut running.child);
        }
        self.running.take_if(|running| running.gone);
        result
    }
}

async fn start(command: &[String]) -> Result<Running, Gap> {
    adopt_orphans();
    let id = format!("sample.{}", STARTED.fetch_add(1, Ordering::Relaxed));
    let program = Program {
        id: &id,
        argv: command,
        inherits: &INHERITED,
        env: &BTreeMap::new(),
    };
    let wired = |command: &mut Command| {
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

/// What an exit status says; `None` when all is well.
fn judged(status: ExitStatus, words: &Words) -> Option<Gap> {
    let (code, signal) = (status.code(), status.signal());
    let how = match (code, signal) {
        (Some(0), _) => return None,
        (Some(code), _) => HowEnded::Exited(code),
        (None, Some(number)) => HowEnded::Signalled(number),
        (None, None) => HowEnded::Failed(format!("it ended in an unknown way: {status}")),
    };
    let mut detail = how.to_string();
    if !words.is_empty() {
        detail.push_str(": ");
        detail.push_str(&words.shown());
    }
    Some(match code {
        Some(3 | 126 | 127) | None => unknown(detail),
        Some(_) => Gap::new(GapKind::Expectation, detail),
    })
}

/// A check that did not check.
pub(super) fn unknown(why: impl Into<String>) -> Gap {
    Gap::new(GapKind::Unknown, why)
}

/// What the command prints on its standard output, as it comes.
struct Printed<'a> {
    page: Option<Page<'a>>,
    /// What is wrong with the page.
    fault: Option<Gap>,
    first: Words,
    bytes: &'a mut u64,
}

impl Printed<'_> {
    async fn read(&mut self, stdout: Option<ChildStdout>) {
        let Some(mut stdout) = stdout else { return };
        let mut chunk = vec![0; CHUNK].into_boxed_slice();
        while let Ok(n @ 1..) = stdout.read(&mut chunk).await {
            let piece = &chunk[..n];
            *self.bytes += n as u64;
            self.first.take(piece);
            if let (Some(page), None) = (&mut self.page, &self.fault) {
                self.fault = page.feed(piece).err();
            }
            // A flood is always ready: others must have their turn.
            tokio::task::coop::consume_budget().await;
        }
    }
}

/// The first line of a stream that has something in it.
#[derive(Debug, Default)]
struct Words {
    kept: Vec<u8>,
    whole: bool,
}

impl Words {
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut chunk = vec![0; CHUNK].into_boxed_slice();
        while let Ok(n @ 1..) = stream.read(&mut chunk).await {
            self.take(&chunk[..n]);
            tokio::task::coop::consume_budget().await;
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !self.whole && !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let room = KEPT - self.kept.len();
            self.kept.extend_from_slice(&part[..part.len().min(room)]);
            let Some(end) = end else { return };
            if self.is_empty() {
                self.kept.clear();
            } else {
                self.whole = true;
            }
            bytes = &bytes[end + 1..];
        }
    }

    fn is_empty(&self) -> bool {
        self.kept.trim_ascii().is_empty()
    }

    /// As a person may see it anywhere.
    fn shown(&self) -> String {
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
        let of = |raw| judged(ExitStatus::from_raw(raw), &Words::default());
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
