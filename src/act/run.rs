//! A step that is a program, from its start to its end.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::Order;
use crate::model::{HowEnded, Output};
use crate::process::{
    Capture, Family, INHERITED, OutputLine, Program, Rest, adopt_orphans, plain, reap_orphans,
};

/// After the program has ended, what it printed last is still in the pipe and
/// read at once. Only something that it left running keeps the pipe open after
/// that, and a step does not wait for it.
const DRAIN: Duration = Duration::from_millis(500);

/// What came first.
enum First {
    Exit(io::Result<ExitStatus>),
    Deadline,
    Cancel,
}

/// Runs `argv` to its end, or to that of its time.
pub(super) async fn run(
    order: &Order,
    argv: &[String],
    env: &BTreeMap<String, String>,
    lines: mpsc::Sender<OutputLine>,
    cancel: impl Future<Output = ()>,
) -> (HowEnded, Output, Option<Rest>) {
    adopt_orphans();
    let (mut child, pipe) = match start(&order.id, argv, env).await {
        Ok(started) => started,
        Err(how) => return (how, Output::default(), None),
    };
    let mut family = Family::of(&child, &order.id);
    let mut capture = match Capture::new(pipe, lines) {
        Ok(capture) => capture,
        Err(e) => {
            family.end(&mut child, order.grace).await;
            let how = HowEnded::SpawnFailed(format!("its output cannot be read: {}", plain(&e)));
            return (how, Output::default(), None);
        }
    };
    let first = capture
        .during(async {
            tokio::select! {
                biased;
                status = child.wait() => First::Exit(status),
                () = cancel => First::Cancel,
                () = tokio::time::sleep(order.timeout) => First::Deadline,
            }
        })
        .await;
    let how = match first {
        First::Exit(Ok(status)) => how_it_exited(status),
        First::Exit(Err(e)) => HowEnded::Failed(format!("its end is unknown: {}", plain(&e))),
        First::Deadline => HowEnded::TimedOut,
        First::Cancel => HowEnded::Cancelled,
    };
    if matches!(how, HowEnded::TimedOut | HowEnded::Cancelled) {
        capture.during(family.end(&mut child, order.grace)).await;
    }
    capture.drain(DRAIN).await;
    reap_orphans();
    let (output, rest) = capture.finish().await;
    (how, output, rest)
}

/// Starts a step's program, printing into the pipe that is handed back: both
/// streams into one, so that what is kept is in the order in which it came.
async fn start(
    id: &str,
    argv: &[String],
    env: &BTreeMap<String, String>,
) -> Result<(Child, io::PipeReader), HowEnded> {
    let (reader, writer) = io::pipe().map_err(|e| HowEnded::SpawnFailed(plain(&e)))?;
    let program = Program {
        id,
        argv,
        inherits: &INHERITED,
        env,
    };
    let wired = |command: &mut Command| {
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer.try_clone()?);
        Ok(())
    };
    let child = program.start(wired).await?;
    Ok((child, reader))
}

fn how_it_exited(status: ExitStatus) -> HowEnded {
    match (status.code(), status.signal()) {
        (Some(0), _) => HowEnded::Succeeded,
        (Some(code), _) => HowEnded::Exited(code),
        (None, Some(number)) => HowEnded::Signalled(number),
        (None, None) => HowEnded::Failed(format!("it ended in an unknown way: {status}")),
    }
}
