//! The commands of `backstop` before an agent that answers, and before none.

use std::process::Output;

use tokio::process::Command;

use crate::fake::Fake;

/// What came of a command: exit code, standard output, standard error.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    code: i32,
    out: String,
    err: String,
}

impl Fake {
    async fn run(&self, args: &[&str]) -> Came {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_backstop"))
            .args(args)
            .env_clear()
            .env("BACKSTOP_SOCKET", &self.socket)
            .output()
            .await
            .unwrap();
        let socket = self.socket.to_str().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(socket, "SOCKET");
        Came {
            code: status.code().unwrap(),
            out: text(stdout),
            err: text(stderr),
        }
    }

    /// It works: what it printed.
    async fn well(&self, args: &[&str]) -> String {
        let came = self.run(args).await;
        assert_eq!(
            (came.code, came.err.as_str()),
            (0, ""),
            "{args:?}: {came:?}"
        );
        came.out
    }

    /// It fails: what it said.
    async fn badly(&self, code: i32, args: &[&str]) -> String {
        let came = self.run(args).await;
        assert_eq!(
            (came.code, came.out.as_str()),
            (code, ""),
            "{args:?}: {came:?}"
        );
        came.err
    }
}

#[tokio::test]
async fn what_is_read_is_text_without_colour_or_json() {
    let agent = Fake::asking().await;
    for args in [
        &["status"][..],
        &["status", "checkout"],
        &["incidents"],
        &["incidents", "1"],
        &["report", "1"],
    ] {
        let text = agent.well(args).await;
        assert!(text.contains("checkout"), "{args:?}: {text}");
        assert!(!text.contains('\x1b'), "{args:?}: {text}");
    }
    for args in [&["status"][..], &["incidents"], &["incidents", "1"]] {
        let args = [args, &["--format", "json"]].concat();
        let json = agent.well(&args).await;
        assert!(
            serde_json::from_str::<serde_json::Value>(&json).is_ok(),
            "{json}"
        );
    }
}

#[tokio::test]
async fn answers_and_orders_say_what_came_of_them() {
    let agent = Fake::asking().await;
    let me = agent.me.clone();
    assert_eq!(
        agent
            .well(&["approve", "1", "--as", "technical-lead", "--reason", "yes"])
            .await,
        format!("{me} approved: yes (1 of 2)\n")
    );
    assert_eq!(
        agent.badly(1, &["approve", "1"]).await,
        format!("error: {me} approved again: a person counts once\n")
    );
    assert_eq!(
        agent
            .badly(1, &["reject", "1", "--as", "release-manager"])
            .await,
        format!("error: {me} rejected, but does not hold the role release-manager\n")
    );
    assert_eq!(
        agent
            .badly(1, &["rollback", "checkot", "--reason", "x"])
            .await,
        "error: no service `checkot` is guarded\nhint: did you mean `checkout`?\n"
    );
    let frozen = agent
        .well(&["freeze", "checkout", "--for", "2h", "--reason", "sale"])
        .await;
    assert!(
        frozen.starts_with(&format!("frozen by {me} for 2h: sale")),
        "{frozen}"
    );
    let held = agent
        .badly(1, &["rollback", "checkout", "--reason", "x"])
        .await;
    assert!(held.contains("frozen by"), "{held}");
    assert!(
        agent
            .well(&["unfreeze", "checkout"])
            .await
            .contains("unfrozen by")
    );
    assert_eq!(
        agent.well(&["deploy", "cart", "--version", "v2"]).await,
        "release v2 runs\n"
    );
    assert_eq!(
        agent
            .well(&["release", "cart", "bad", "v2", "--reason", "slow"])
            .await,
        format!("{me} says that release v2 is bad: slow\n")
    );
}

#[tokio::test]
async fn a_reload_that_refuses_a_file_exits_with_2() {
    let agent = Fake::asking().await;
    let came = agent.run(&["reload"]).await;
    assert_eq!(came.code, 2);
    assert!(came.out.contains("unknown key `intervall`"), "{came:?}");
    assert!(came.out.contains("in force: checkout"), "{came:?}");
}

#[tokio::test]
async fn without_an_agent_every_command_exits_with_3_and_says_why() {
    let mut agent = Fake::asking().await;
    agent.end().await;
    for args in [
        &["status"][..],
        &["status", "--watch"],
        &["incidents"],
        &["report", "1"],
        &["ack", "1"],
        &["abort", "1"],
        &["deploy", "cart", "--version", "v2"],
        &["reload"],
    ] {
        let said = agent.badly(3, args).await;
        assert!(
            said.starts_with("error: no agent answers on SOCKET: is it running?\n"),
            "{args:?}: {said}"
        );
    }
}
