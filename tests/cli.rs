//! What people read before anything is done: help, and why a command line is
//! refused. Exit code, standard output and standard error, in an environment
//! without anything in it.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// Every command, in the order of `backstop --help`.
const COMMANDS: [&str; 28] = [
    "run",
    "check",
    "status",
    "shadow",
    "incidents",
    "report",
    "approve",
    "reject",
    "ack",
    "loss",
    "rollback",
    "drill",
    "abort",
    "freeze",
    "unfreeze",
    "deploy",
    "release",
    "push",
    "reload",
    "watch",
    "notify",
    "token",
    "history",
    "test",
    "tune",
    "schema",
    "completions",
    "man",
];

/// What came of a command line, as a page.
fn page(args: &[&str]) -> String {
    page_of(env!("CARGO_BIN_EXE_backstop"), args)
}

fn page_of(program: &str, args: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let came = Command::new(program)
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let name = program.rsplit('/').next().unwrap();
    let mut page = format!("$ {name} {}\n", args.join(" "));
    let _ = writeln!(page, "exit code {}", came.status.code().unwrap());
    for (name, text) in [("stdout", came.stdout), ("stderr", came.stderr)] {
        let text = String::from_utf8(text).unwrap();
        if !text.is_empty() {
            let _ = write!(page, "--- {name}\n{text}");
        }
    }
    page
}

#[test]
fn help_reads_well() {
    insta::assert_snapshot!("help", page(&["--help"]));
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help_{command}"), page(&[command, "--help"]));
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_2() {
    let pages: Vec<String> = [
        &["freez"][..],
        &["approve"],
        &["approve", "x"],
        &["rollback", "checkout"],
        &["freeze", "checkout", "--for", "1M", "--reason", "x"],
        &["freeze", "checkout", "--for", "31d", "--reason", "x"],
        &["freeze", "checkout", "--for", "soon", "--reason", "x"],
        &["report", "1", "--format", "pdf"],
        &["notify", "test"],
        &["man", "explode"],
        &["check", "no-such-file.toml"],
    ]
    .iter()
    .map(|args| page(args))
    .collect();
    assert!(
        pages.iter().all(|p| p.contains("\nexit code 2\n")),
        "{pages:#?}"
    );
    insta::assert_snapshot!("refused", pages.join("\n"));
}

#[test]
fn the_agent_s_own_program_is_started_by_run() {
    let agent = |args: &[&str]| page_of(env!("CARGO_BIN_EXE_backstop-agent"), args);
    let pages = [agent(&[]), agent(&["run"]), agent(&["--policies=x"])];
    assert!(
        pages.iter().all(|p| p.contains("\nexit code 2\n")),
        "{pages:#?}"
    );
    insta::assert_snapshot!("agent", pages.join("\n"));
    let version = agent(&["--version"]);
    let known = concat!("\nbackstop-agent ", env!("CARGO_PKG_VERSION"), " (");
    assert!(version.contains(known), "{version}");
}

/// What was built, or installed, at another time lies beside it.
#[test]
fn an_agent_of_another_build_is_said_to_be_one_and_never_run() {
    let dir = tempfile::tempdir().unwrap();
    let [program, other] = ["backstop", "backstop-agent"].map(|name| dir.path().join(name));
    fs::copy(env!("CARGO_BIN_EXE_backstop"), &program).unwrap();
    let script = "#!/bin/sh\necho \"$@\" >> \"$0.told\"\necho 'backstop-agent 0.1.0 (0)'\n";
    fs::write(&other, script).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    // The agent itself says what is wrong with this.
    let page = page_of(program.to_str().unwrap(), &["run", "--http", "nonsense"]);
    assert!(page.contains("is of another build"), "{page}");
    assert!(page.contains("\nexit code 1\n"), "{page}");
    assert!(page.contains("nonsense"), "{page}");
    let told = fs::read_to_string(dir.path().join("backstop-agent.told")).unwrap();
    assert_eq!(told, "--version\n");
}

#[test]
fn without_an_agent_it_says_where_it_looked() {
    insta::assert_snapshot!(
        "no_agent",
        page(&["--socket", "/nonexistent/control.sock", "status"])
    );
}

#[test]
fn the_shipped_policies_can_lie_in_one_directory() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let page = page(&["check", shipped]);
    assert!(page.contains("\nexit code 0\n"), "{page}");
    assert!(page.contains(" policies, 0 errors, 0 warnings"), "{page}");
}

#[test]
fn the_schema_of_policies_is_printed_as_json() {
    let came = Command::new(env!("CARGO_BIN_EXE_backstop"))
        .arg("schema")
        .output()
        .unwrap();
    assert!(came.status.success() && came.stderr.is_empty());
    let schema: serde_json::Value = serde_json::from_slice(&came.stdout).unwrap();
    assert_eq!(schema["title"], "A policy of Backstop");
}

#[test]
fn every_shell_is_completed_and_every_command_has_a_page() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let page = page(&["completions", shell]);
        assert!(page.contains("\nexit code 0\n"), "{page}");
        assert!(page.contains("rollback"), "{shell}");
    }
    assert!(page(&["man"]).contains(".TH backstop 1"));
    assert!(page(&["man", "freeze"]).contains("Stop acting on a service"));
    let dir = tempfile::tempdir().unwrap();
    let written = page(&["man", "--dir", dir.path().to_str().unwrap()]);
    assert!(written.contains("\nexit code 0\n"), "{written}");
    for command in COMMANDS {
        let page = dir.path().join(format!("backstop-{command}.1"));
        assert!(page.exists(), "{}", page.display());
    }
}

#[test]
fn a_test_notice_says_what_came_of_it_and_needs_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("backstop.toml");
    let script = "cat >&2; exit 3";
    let text = format!(
        "[notifiers.good]\ntype = \"run\"\ncommand = [\"true\"]\n\
         [notifiers.bad]\ntype = \"run\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n\
         templates = {{ test = \"{{{{ title }}}}\" }}\n"
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let test = |name: &str, more: &[&str]| {
        let mut args = vec!["notify", "test", name, "--config", config];
        args.extend(more);
        let page = page(&args);
        page.split_once('\n').unwrap().1.to_owned()
    };
    assert_eq!(
        test("good", &[]),
        "exit code 0\n--- stdout\ngood: delivered: it ended with status 0\n"
    );
    let bad = test("bad", &["--format", "json"]);
    let json = bad.strip_prefix("exit code 1\n--- stdout\n").unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(
        (&json["notifier"], &json["delivered"]),
        (&"bad".into(), &false.into())
    );
    let said = json["said"].as_str().unwrap();
    assert!(said.contains("exit status: 3"), "{said}");
    assert!(said.contains("a TEST, nothing has happened"), "{said}");
    let unknown = test("godo", &[]);
    assert!(unknown.starts_with("exit code 2\n"), "{unknown}");
    assert!(unknown.contains("there are bad, good"), "{unknown}");
}
