//! How a test says that it could not run: aloud, past libtest's capture. In CI,
//! where everything must be there, that is a failure.

#![allow(dead_code, reason = "each test takes the part that it needs")]

use std::io::Write;
use std::process::Command;

/// Whether a program is there. If not, `what` was not checked.
pub(crate) fn unless_installed(program: &str, what: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        skipped(&format!("no {program}: {what}"));
    }
    there
}

/// Says why and what, or fails in CI.
pub(crate) fn skipped(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "not in CI: {why}"
    );
    say(why);
}

/// Whether the kernel lets this process do what `probe` does.
pub(crate) fn unless_allowed(probe: &[&str], what: &str) -> bool {
    let done = Command::new(probe[0]).args(&probe[1..]).output();
    let allowed = done.is_ok_and(|done| done.status.success());
    if !allowed {
        skipped(&format!(
            "`{}` is not allowed here: {what}",
            probe.join(" ")
        ));
    }
    allowed
}

/// Says why and what.
pub(crate) fn say(why: &str) {
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "SKIPPED: {why}");
}
