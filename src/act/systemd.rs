//! A step that has systemd do something with a unit, and waits for its job.
//!
//! Through `systemctl`, as a program like any other: it speaks the bus, waits
//! for the job and knows polkit, and a person can type the same line. What it
//! adds to a `run` step is to tell the ends apart by which a person acts
//! differently: not allowed (a right is missing), no such unit (the policy or
//! the host is wrong), no systemd, and a job that failed, with the unit's own
//! `Result`.
//!
//! It asks nobody for a password, passes the unit after `--` so that no name is
//! an option, and edits, masks or enables nothing.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Order, run};
use crate::model::{HowEnded, Output, UnitAction};
use crate::process::{OutputLine, Rest, find, plain, search_path};

/// The program.
pub(super) const SYSTEMCTL: &str = "systemctl";

/// What is asked about a unit after its job failed.
const ASKED: &str = "--property=LoadState,ActiveState,SubState,Result,ExecMainStatus";

/// How long a question about a unit may take: nothing is waited for, so what
/// takes longer has a bus that hangs.
const ANSWER: Duration = Duration::from_secs(5);

/// A preflight asks often and blocks: this many looks at this distance.
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(10);

/// Does `action` with `unit`, within the order's time.
pub(super) async fn step(
    order: &Order,
    unit: &str,
    action: UnitAction,
    lines: mpsc::Sender<OutputLine>,
    cancel: impl Future<Output = ()>,
) -> (HowEnded, Output, Option<Rest>) {
    let argv = words(&[SYSTEMCTL, "--no-ask-password", action.verb(), "--", unit]);
    let (how, mut output, rest) = run::run(order, &argv, &environment(), lines, cancel).await;
    let how = match how {
        HowEnded::Exited(status) => {
            let said = format!("{}\n{}", output.head, output.tail);
            match refusal(&said, status, unit, action) {
                Some(how) => how,
                None => failed(order, unit, &mut output).await,
            }
        }
        // systemd goes on with a job that nobody waits for any more.
        HowEnded::TimedOut | HowEnded::Cancelled => {
            if let Some(state) = state(order, unit).await {
                say(&mut output, &format!("{state}; its job may go on"));
            }
            how
        }
        HowEnded::NotFound => {
            HowEnded::SpawnFailed("there is no systemctl on this host: it has no systemd".into())
        }
        how => how,
    };
    (how, output, rest)
}

/// What systemctl itself says no to, by its words and the statuses of
/// systemctl(1), *Exit status*; `None` when a job was queued and failed.
fn refusal(said: &str, status: i32, unit: &str, action: UnitAction) -> Option<HowEnded> {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["Access denied", "Interactive authentication required"]) {
        return Some(HowEnded::Denied(format!(
            "the agent's user may not {} {unit}; allow it with a polkit rule as in 50-backstop.rules, or have the step \
             start a unit that root declared (backstop-rollback@.service)",
            action.verb()
        )));
    }
    let failed = |why: String| Some(HowEnded::Failed(why));
    if says(&[
        "System has not been booted with systemd",
        "Failed to connect to bus",
    ]) {
        return failed(
            "systemd does not answer: there is none on this host, or its bus is out of reach"
                .into(),
        );
    }
    if says(&["is masked"]) {
        return failed(format!(
            "{unit} is masked; `systemctl unmask {unit}` lifts that"
        ));
    }
    if status == 5 || says(&["not found.", "not loaded."]) {
        return failed(format!("there is no unit {unit}"));
    }
    if status == 3 && action == UnitAction::Reload {
        return failed(format!("{unit} cannot be reloaded: it has no ExecReload="));
    }
    None
}

/// A job that was done and failed: what the unit has become.
async fn failed(order: &Order, unit: &str, output: &mut Output) -> HowEnded {
    if let Some(state) = state(order, unit).await {
        return HowEnded::Failed(state);
    }
    say(output, "its state could not be asked");
    HowEnded::Failed(format!("the job of {unit} failed"))
}

/// `checkout.service is failed (failed), result exit-code, main process exited
/// with 1`.
async fn state(order: &Order, unit: &str) -> Option<String> {
    let question = Order {
        id: format!("{}.asked", order.id),
        timeout: ANSWER,
        ..order.clone()
    };
    let argv = words(&[SYSTEMCTL, "show", ASKED, "--", unit]);
    let (nobody, _) = mpsc::channel(1);
    let (how, answer, _) = run::run(&question, &argv, &environment(), nobody, pending()).await;
    (how == HowEnded::Succeeded).then(|| described(unit, &properties(&answer.head)))
}

fn described(unit: &str, known: &BTreeMap<&str, &str>) -> String {
    let of = |name: &str| known.get(name).copied().unwrap_or_default();
    if of("LoadState") == "not-found" {
        return format!("there is no unit {unit}");
    }
    let mut text = format!("{unit} is {} ({})", of("ActiveState"), of("SubState"));
    if !matches!(of("Result"), "" | "success") {
        text.push_str(", result ");
        text.push_str(of("Result"));
    }
    if !matches!(of("ExecMainStatus"), "" | "0") {
        text.push_str(", status of its main process ");
        text.push_str(of("ExecMainStatus"));
    }
    text
}

/// The lines `NAME=VALUE` of `systemctl show`.
fn properties(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .collect()
}

/// Adds a line of the agent's own to what was printed.
fn say(output: &mut Output, line: &str) {
    let end = if output.tail.is_empty() {
        &mut output.head
    } else {
        &mut output.tail
    };
    if !end.is_empty() && !end.ends_with('\n') {
        end.push('\n');
        output.total += 1;
    }
    end.push_str(line);
    output.total += line.len() as u64;
}

/// Its words are read: they must be English.
fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([("LC_ALL".to_owned(), "C.UTF-8".to_owned())])
}

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|&word| word.to_owned()).collect()
}

/// What a preflight wants to know of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// It can do what is asked.
    Fit,
    /// systemd knows no such unit.
    Missing,
    /// It is masked.
    Masked,
    /// Its file is there, and systemd cannot use it.
    Broken,
    /// It cannot be reloaded, or not be started or stopped by hand.
    Incapable,
}

/// Asks systemd about a unit, changing nothing. Blocks for a second at most.
///
/// Whether polkit will allow the action cannot be asked: a rule may decide on
/// the verb and the unit, and only root may ask about those for another.
///
/// # Errors
///
/// Why there was no answer.
pub(super) fn ask(unit: &str, action: UnitAction) -> Result<Unit, String> {
    let file = find(SYSTEMCTL).map_err(|_| "there is no systemctl on this host".to_owned())?;
    let mut child = Command::new(file)
        .args([
            "show",
            "--property=LoadState,CanStart,CanStop,CanReload",
            "--",
            unit,
        ])
        .env_clear()
        .env("PATH", search_path())
        .envs(environment())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("systemctl did not start: {}", plain(&e)))?;
    let mut looks = 0;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if looks < LOOKS => {
                looks += 1;
                std::thread::sleep(LOOK);
            }
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "systemctl did not answer within {:?}",
                    LOOK * LOOKS
                ));
            }
            Err(e) => return Err(format!("systemctl was lost: {}", plain(&e))),
        }
    };
    let mut text = String::new();
    if let Some(out) = child.stdout.take() {
        // Four short lines: they fit into the pipe that has been waiting.
        let _ = out.take(4096).read_to_string(&mut text);
    }
    if !status.success() {
        return Err(
            "systemd does not answer: there is none on this host, or its bus is out of reach"
                .to_owned(),
        );
    }
    let known = properties(&text);
    let can = |name: &str| known.get(name).is_none_or(|can| *can != "no");
    Ok(match known.get("LoadState").copied() {
        Some("not-found") => Unit::Missing,
        Some("masked") => Unit::Masked,
        Some("bad-setting" | "error") => Unit::Broken,
        _ => {
            let able = match action {
                UnitAction::Start => can("CanStart"),
                UnitAction::Stop => can("CanStop"),
                UnitAction::Restart => can("CanStart") && can("CanStop"),
                UnitAction::Reload => can("CanReload"),
                UnitAction::ResetFailed => true,
            };
            if able { Unit::Fit } else { Unit::Incapable }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        let how =
            |said, status, action| refusal(said, status, "a.service", action).map(|how| how.name());
        let restart = UnitAction::Restart;
        for said in [
            "Failed to restart a.service: Access denied",
            "Failed to restart a.service: Interactive authentication required.",
        ] {
            assert_eq!(how(said, 4, restart), Some("denied"), "{said}");
        }
        for (said, status) in [
            ("Failed to restart a.service: Unit a.service not found.", 5),
            ("Failed to restart a.service: Unit a.service is masked.", 1),
            (
                "System has not been booted with systemd as init system (PID 1). Can't operate.",
                1,
            ),
        ] {
            assert_eq!(how(said, status, restart), Some("failed"), "{said}");
        }
        let not_applicable =
            "Failed to reload a.service: Job type reload is not applicable for unit a.service.";
        assert_eq!(how(not_applicable, 3, UnitAction::Reload), Some("failed"));
        let job = "Job for a.service failed because the control process exited with error code.";
        assert_eq!(how(job, 1, restart), None);
    }

    #[test]
    fn what_became_of_a_unit_is_told_in_a_line() {
        let shown = "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainStatus=1\n";
        assert_eq!(
            described("a.service", &properties(shown)),
            "a.service is failed (failed), result exit-code, status of its main process 1"
        );
        let shown = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nExecMainStatus=0\n";
        assert_eq!(
            described("a.service", &properties(shown)),
            "a.service is active (running)"
        );
        let gone = "LoadState=not-found\nActiveState=inactive\nSubState=dead\n";
        assert_eq!(
            described("a.service", &properties(gone)),
            "there is no unit a.service"
        );
    }
}
