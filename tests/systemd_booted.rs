//! The real agent under its real unit, in a booted systemd: `tests/systemd/run.sh` is
//! what it goes through, `tests/systemd/box.sh` the container that boots.
//!
//! It needs root, `systemd-nspawn` and, the first time, Debian's archive, so it is
//! asked for: `BACKSTOP_TEST_SYSTEMD=1 cargo test --test systemd_booted`.

mod skip;

use std::path::Path;
use std::process::Command;

#[test]
fn the_unit_starts_reloads_survives_and_stops() {
    if std::env::var_os("BACKSTOP_TEST_SYSTEMD").is_none() {
        skip::say("BACKSTOP_TEST_SYSTEMD is not set: the unit was not started in a booted systemd");
        return;
    }
    let namespaces = [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "true",
    ];
    if !skip::unless_allowed(&namespaces, "the unit was not started in a booted systemd") {
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = here.join("tests/systemd");
    let mount = |from: &Path, to: &str| format!("{}:{to}", from.display());
    let [program, agent] = [
        env!("CARGO_BIN_EXE_backstop"),
        env!("CARGO_BIN_EXE_backstop-agent"),
    ]
    .map(Path::new);
    let done = Command::new(tests.join("box.sh"))
        .args(["--packages", "polkitd", "--timeout", "180"])
        .arg("--cache")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("box"))
        .args(["--bind-ro", &mount(&here.join("systemd"), "/units")])
        .args(["--bind-ro", &mount(&tests.join("policies"), "/policies")])
        .args(["--bind-ro", &mount(program, "/usr/bin/backstop")])
        .args(["--bind-ro", &mount(agent, "/usr/bin/backstop-agent")])
        .arg(&tests)
        .output()
        .expect("tests/systemd/box.sh runs");
    let [said, errors] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(done.status.success(), "{}\n{said}{errors}", done.status);
    assert!(said.contains("\nall well\n"), "{said}{errors}");
}
