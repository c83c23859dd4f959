//! What `systemd/` ships, as systemd's own tools see it.
//!
//! `systemd-analyze verify` exits with 0 on keys that it does not know, so any line
//! of it is a failure here. Whether the unit works, `tests/systemd_booted.rs` asks.

#![allow(clippy::unwrap_used, reason = "a test")]

mod skip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The units, as they would lie in a directory of units, with what they start in
/// reach.
struct Units(PathBuf);

impl Units {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("units-{name}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("backstop.service.d")).unwrap();
        let units = Units(dir);
        units.write(
            "backstop.service",
            &shipped("backstop.service")
                .replace("/usr/bin/backstop", env!("CARGO_BIN_EXE_backstop")),
        );
        for unit in ["backstop-drill@.service", "backstop-drill@.timer"] {
            let program = env!("CARGO_BIN_EXE_backstop");
            units.write(unit, &shipped(unit).replace("/usr/bin/backstop", program));
        }
        units.write(
            "backstop-rollback@.service",
            &shipped("backstop-rollback@.service")
                .replace("/etc/backstop/rollback.d/%i", "/bin/true"),
        );
        units
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn analyze(&self, args: &[&str]) -> Output {
        Command::new("systemd-analyze")
            .args(args)
            .current_dir(&self.0)
            // Ours first, then those of the system.
            .env("SYSTEMD_UNIT_PATH", format!("{}:", self.0.display()))
            .env("SYSTEMD_COLORS", "0")
            .output()
            .unwrap()
    }

    /// What `systemd-analyze verify` has to say.
    fn faults(&self) -> String {
        let out = self.analyze(&[
            "verify",
            "--man=no",
            "./backstop.service",
            "./backstop-rollback@checkout.service",
            "./backstop-drill@checkout.service",
            "./backstop-drill@checkout.timer",
        ]);
        let mut said = text(&out);
        if !out.status.success() {
            said.push_str(&out.status.to_string());
        }
        said
    }
}

fn shipped(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("systemd")
        .join(name)
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// Whether the tests can run.
fn has(tool: &str) -> bool {
    skip::unless_installed(tool, "what systemd/ ships was not checked")
}

#[test]
fn the_units_are_free_of_faults() {
    if has("systemd-analyze") {
        assert_eq!(Units::new("faults").faults(), "");
    }
}

#[test]
fn every_right_of_the_example_is_one_that_systemd_knows() {
    if has("systemd-analyze") {
        let units = Units::new("rights");
        let example = shipped("backstop-plan-rights.conf");
        // The examples that are commented out as well: `#Key=value`.
        let all: Vec<&str> = example
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|l| is_setting(l))
                    .unwrap_or(line)
            })
            .collect();
        assert!(all.iter().filter(|line| is_setting(line)).count() > 5);
        units.write("backstop.service.d/plan-rights.conf", &all.join("\n"));
        assert_eq!(units.faults(), "");
    }
}

fn is_setting(line: &str) -> bool {
    line.split_once('=')
        .is_some_and(|(key, _)| !key.is_empty() && key.chars().all(char::is_alphanumeric))
}

#[test]
fn a_key_that_systemd_does_not_know_would_be_found() {
    if has("systemd-analyze") {
        let units = Units::new("unknown");
        units.write("backstop.service.d/typo.conf", "[Service]\nRestartSecs=1\n");
        let faults = units.faults();
        assert!(faults.contains("RestartSecs"), "{faults}");
    }
}

#[test]
fn the_sandbox_scores_at_most_one_and_a_half() {
    if has("systemd-analyze") {
        let units = Units::new("score");
        let out = units.analyze(&[
            "security",
            "--offline=yes",
            "--no-pager",
            "--threshold=15",
            "./backstop.service",
        ]);
        assert!(out.status.success(), "{}", text(&out));
        // The threshold is one that can be passed.
        let out = units.analyze(&[
            "security",
            "--offline=yes",
            "--no-pager",
            "--threshold=1",
            "./backstop.service",
        ]);
        assert!(!out.status.success(), "{}", text(&out));
    }
}

#[test]
fn the_drill_s_sandbox_scores_at_most_one() {
    if has("systemd-analyze") {
        let units = Units::new("drill-score");
        let out = units.analyze(&[
            "security",
            "--offline=yes",
            "--no-pager",
            "--threshold=10",
            "./backstop-drill@checkout.service",
        ]);
        assert!(out.status.success(), "{}", text(&out));
    }
}

#[test]
fn a_drill_comes_each_week_and_is_made_up_for() {
    let timer = shipped("backstop-drill@.timer");
    for line in ["RandomizedDelaySec=4h", "Persistent=yes"] {
        assert!(timer.lines().any(|l| l == line), "{line}");
    }
    let when = timer.lines().find_map(|l| l.strip_prefix("OnCalendar="));
    if has("systemd-analyze") {
        let units = Units::new("calendar");
        let out = units.analyze(&["calendar", "--iterations=2", when.unwrap()]);
        assert!(out.status.success(), "{}", text(&out));
    }
}

#[test]
fn the_user_and_the_directories_come_of_one_call_each() {
    if !(has("systemd-sysusers") && has("systemd-tmpfiles")) {
        return;
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sysroot");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("etc")).unwrap();
    let run = |program: &str, args: &[&str], file: &str| {
        let out = Command::new(program)
            .args(args)
            .arg(format!("--root={}", root.display()))
            .arg(path(file))
            .output()
            .unwrap();
        assert!(out.status.success(), "{program}: {}", text(&out));
    };
    run("systemd-sysusers", &[], "backstop.sysusers");
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(
        users
            .lines()
            .any(|line| line.starts_with("backstop:") && line.ends_with("/nologin")),
        "{users}"
    );
    if is_root() {
        run("systemd-tmpfiles", &["--create"], "backstop.tmpfiles");
        for dir in ["policies", "rollback.d"] {
            assert!(root.join("etc/backstop").join(dir).is_dir(), "{dir}");
        }
    } else {
        skip::skipped("only root makes root's directories: backstop.tmpfiles was not tried");
    }
}

fn is_root() -> bool {
    let out = Command::new("id").arg("-u").output().unwrap();
    out.stdout == b"0\n"
}
