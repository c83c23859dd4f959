//! Steps that have systemd do something, against a `systemctl` that answers as
//! systemd 252 does: its words, its exit statuses, its slowness.
//!
//! Programs are looked up in the `PATH` of the agent's process, which no test may
//! change under another's feet: the test runs itself once more, with a `PATH`
//! that has the fake in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backstop::act::{Ended, GRACE, Order, act, preflight};
use backstop::model::{Action, HowEnded, StepAction, UnitAction};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// What the fake does depends on the unit's name alone. Every call is written
/// down in `calls` beside it.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >> "${0%/*}/calls"
for unit; do :; done
case "$1" in
show)
    case "$unit" in
    missing.service) echo LoadState=not-found; echo ActiveState=inactive; echo SubState=dead ;;
    masked.service) echo LoadState=masked; echo ActiveState=inactive; echo SubState=dead ;;
    broken.service) echo LoadState=bad-setting; echo CanReload=no ;;
    deaf.service) exec sleep 60 ;;
    failing.service)
        echo LoadState=loaded; echo ActiveState=failed; echo SubState=failed
        echo Result=exit-code; echo ExecMainStatus=3; echo CanReload=no ;;
    slow.service)
        echo LoadState=loaded; echo ActiveState=deactivating; echo SubState=stop-sigterm; echo Result=success ;;
    *) echo LoadState=loaded; echo ActiveState=active; echo SubState=running; echo Result=success
       echo CanStart=yes; echo CanStop=yes; echo CanReload=no ;;
    esac
    exit 0 ;;
--no-ask-password) ;;
*) echo "Unknown option $1."; exit 1 ;;
esac
action=$2
case "$unit" in
missing.service) echo "Failed to $action $unit: Unit $unit not found."; exit 5 ;;
masked.service) echo "Failed to $action $unit: Unit $unit is masked."; exit 1 ;;
denied.service) echo "Failed to $action $unit: Access denied"; exit 4 ;;
asking.service) echo "Failed to $action $unit: Interactive authentication required."; exit 1 ;;
slow.service) echo "ready"; exec sleep 60 ;;
failing.service)
    echo "Job for $unit failed because the control process exited with error code."
    echo "See \"systemctl status $unit\" and \"journalctl -xeu $unit\" for details."
    exit 1 ;;
none.service)
    echo "System has not been booted with systemd as init system (PID 1). Can't operate."
    echo "Failed to connect to bus: Host is down"; exit 1 ;;
esac
if [ "$action" = reload ]; then
    echo "Failed to reload $unit: Job type reload is not applicable for unit $unit."; exit 3
fi
exit 0
"#;

#[test]
fn systemd_is_asked_and_its_answers_are_told_apart() {
    let Some(home) = std::env::var_os("BACKSTOP_FAKE_SYSTEMD") else {
        let home = TempDir::new().expect("can make a directory");
        let fake = home.path().join("systemctl");
        fs::write(&fake, SYSTEMCTL).expect("can write");
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).expect("can chmod");
        let path = std::env::var("PATH").expect("there is a PATH");
        let ran = Command::new(std::env::current_exe().expect("this test is a program"))
            .env("BACKSTOP_FAKE_SYSTEMD", home.path())
            .env("PATH", format!("{}:{path}", home.path().display()))
            .output()
            .expect("this test runs again");
        let [said, errors] = [&ran.stdout, &ran.stderr].map(|b| String::from_utf8_lossy(b));
        assert!(ran.status.success(), "{said}{errors}");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        each_end_has_its_reason(Path::new(&home)).await;
        a_job_that_nobody_waits_for_is_said_to_go_on().await;
    });
    by_day();
}

fn order(unit: &str, action: UnitAction, timeout: Duration) -> Order {
    Order {
        id: format!("{unit}.{}", std::process::id()),
        action: Action::Systemd {
            unit: unit.to_owned(),
            action,
        },
        timeout,
        grace: GRACE,
        shadow: false,
    }
}

async fn run(order: &Order) -> Ended {
    let (to, _) = mpsc::channel(1);
    act(order, to, std::future::pending()).await
}

async fn each_end_has_its_reason(home: &Path) {
    use UnitAction::{Reload, ResetFailed, Restart, Start, Stop};
    let table = [
        ("checkout.service", Restart, "succeeded", "succeeded"),
        ("app@v1.2.service", Start, "succeeded", "succeeded"),
        ("checkout.service", Stop, "succeeded", "succeeded"),
        ("checkout.service", ResetFailed, "succeeded", "succeeded"),
        (
            "denied.service",
            Restart,
            "denied",
            "the agent's user may not restart denied.service; allow it with a polkit rule",
        ),
        (
            "asking.service",
            Start,
            "denied",
            "may not start asking.service",
        ),
        (
            "missing.service",
            Restart,
            "failed",
            "there is no unit missing.service",
        ),
        (
            "masked.service",
            Start,
            "failed",
            "masked.service is masked",
        ),
        ("checkout.service", Reload, "failed", "has no ExecReload="),
        (
            "failing.service",
            Restart,
            "failed",
            "failing.service is failed (failed), result exit-code, status of its main process 3",
        ),
        ("none.service", Restart, "failed", "systemd does not answer"),
    ];
    for (unit, action, name, words) in table {
        let ended = run(&order(unit, action, Duration::from_secs(30))).await;
        assert_eq!(ended.end.how.name(), name, "{unit}: {}", ended.end.how);
        let told = ended.end.how.to_string();
        assert!(told.contains(words), "{unit}: {told}");
    }
    let calls = fs::read_to_string(home.join("calls")).expect("was called");
    assert!(
        calls.starts_with("--no-ask-password restart -- checkout.service\n"),
        "{calls}"
    );
    assert!(
        calls.contains("--no-ask-password reset-failed -- checkout.service\n"),
        "{calls}"
    );
}

async fn a_job_that_nobody_waits_for_is_said_to_go_on() {
    let ended = run(&order(
        "slow.service",
        UnitAction::Stop,
        Duration::from_millis(300),
    ))
    .await;
    assert_eq!(ended.end.how, HowEnded::TimedOut);
    let said = ended.end.output.to_string();
    assert_eq!(
        said,
        "ready\nslow.service is deactivating (stop-sigterm); its job may go on"
    );
}

fn by_day() {
    let table = [
        ("checkout.service", UnitAction::Restart, ""),
        ("app@{target}.service", UnitAction::Start, ""),
        (
            "missing.service",
            UnitAction::Start,
            "systemd knows no unit `missing.service`",
        ),
        ("masked.service", UnitAction::Start, "is masked"),
        ("broken.service", UnitAction::Start, "cannot use the file"),
        (
            "checkout.service",
            UnitAction::Reload,
            "cannot be asked to reload",
        ),
        (
            "deaf.service",
            UnitAction::Start,
            "did not answer within 1s",
        ),
    ];
    for (unit, action, words) in table {
        let step = StepAction::Systemd {
            unit: unit.to_owned(),
            action,
        };
        let problems: Vec<String> = preflight(&step).iter().map(ToString::to_string).collect();
        match words {
            "" => assert_eq!(problems, [""; 0], "{unit}"),
            words => assert!(
                problems.len() == 1 && problems[0].contains(words),
                "{unit}: {problems:?}"
            ),
        }
    }
}
