//! Steps that are an HTTP request, against a server on loopback that says what
//! the table has it say, and keeps what it was sent.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstop::act::{Ended, GRACE, Order, act, preflight};
use backstop::model::{Action, Expect, HowEnded, HttpRequest, Output, Secret, StepAction, Tls};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Answers each connection with the next of `answers`, the last one for ever, and
/// closes it.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn with(answer: Vec<u8>) -> Self {
        Self::saying(vec![answer]).await
    }

    async fn saying(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("can listen");
        let address = listener.local_addr().expect("has an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                while !is_whole(&request) {
                    match stream.read(&mut chunk).await {
                        Ok(1..) => request.extend_from_slice(&chunk),
                        _ => break,
                    }
                }
                let text = String::from_utf8_lossy(&request).replace('\0', "");
                let nth = {
                    let mut kept = kept.lock().expect("nobody panicked");
                    kept.push(text);
                    kept.len() - 1
                };
                let answer = &answers[nth.min(answers.len() - 1)];
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(answer).await;
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panicked").clone()
    }
}

/// A head, and as much body as the tests send.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    text.contains("\r\n\r\n") && (!text.contains("POST") || text.contains('}'))
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn request(url: String, expect: Expect) -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        url,
        headers: BTreeMap::new(),
        body: Some("{}".into()),
        expect,
        tls: Tls::default(),
        secrets: BTreeMap::new(),
    }
}

async fn run(request: HttpRequest, timeout: Duration) -> Ended {
    let order = Order {
        id: format!("http.{}", std::process::id()),
        action: Action::Http(Box::new(request)),
        timeout,
        grace: GRACE,
        shadow: false,
    };
    let (to, _) = mpsc::channel(1);
    act(&order, to, std::future::pending()).await
}

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_answer_decides_and_is_kept() {
    let json = |path: &str, value: &str| Expect {
        json: BTreeMap::from([(path.to_owned(), value.into())]),
        ..Expect::default()
    };
    let contains = |text: &str| Expect {
        body_contains: Some(text.to_owned()),
        ..Expect::default()
    };
    let status = |status: u16| Expect {
        status: vec![status],
        ..Expect::default()
    };
    let any = Expect::default;
    let moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        .to_vec();
    let broken = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec();
    let table = [
        (
            answer("200 OK", "{\"state\":\"ok\"}"),
            json("$.state", "ok"),
            "",
        ),
        (answer("204 No Content", ""), any(), ""),
        (answer("409 Conflict", "swapped already"), status(409), ""),
        (answer("200 OK", &"x".repeat(2 << 20)), any(), ""),
        (answer("200 OK", "x"), status(202), "it answered 200 OK"),
        (
            answer("503 Service Unavailable", "busy"),
            any(),
            "it answered 503 Service Unavailable",
        ),
        (
            moved,
            any(),
            "it answered 302 Found, and redirects are not followed",
        ),
        (
            answer("200 OK", "nothing"),
            contains("swapped"),
            "the body does not contain \"swapped\"",
        ),
        (
            answer("200 OK", "{\"state\":\"no\"}"),
            json("$.state", "ok"),
            "$.state is \"no\", expected \"ok\"",
        ),
        (
            answer("200 OK", "<html>"),
            json("$.state", "ok"),
            "the body is not JSON",
        ),
        (
            answer("200 OK", &"x".repeat(2 << 20)),
            contains("y"),
            "the body is larger than 1048576 bytes",
        ),
        (broken, any(), "its answer broke off"),
        (b"garbage\r\n\r\n".to_vec(), any(), "no answer"),
    ];
    for (says, expect, words) in table {
        let server = Server::with(says).await;
        let ended = run(
            request(format!("http://{}/swap", server.address), expect),
            SOON,
        )
        .await;
        let told = ended.end.how.to_string();
        assert_eq!(
            ended.end.how.is_success(),
            words.is_empty(),
            "{words}: {told}"
        );
        assert!(told.contains(words), "{words}: {told}");
        assert_eq!(server.asked().len(), 1, "asked once: {words}");
        assert!(ended.end.output.head.len() <= Output::KEPT);
    }
    let server = Server::with(answer("503 Service Unavailable", "busy")).await;
    let ended = run(request(format!("http://{}/", server.address), any()), SOON).await;
    assert_eq!(
        ended.end.output.to_string(),
        "503 Service Unavailable\nbusy"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_or_says_nothing_is_told_without_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("can listen");
    let closed = listener.local_addr().expect("has an address");
    drop(listener);
    let ended = run(
        request(format!("http://{closed}/?key=hunter2"), Expect::default()),
        SOON,
    )
    .await;
    let told = ended.end.how.to_string();
    assert!(
        told.contains("cannot connect") && !told.contains("hunter2"),
        "{told}"
    );
    let silent = Server::with(Vec::new()).await;
    let url = format!("http://{}/", silent.address);
    let ended = run(request(url, Expect::default()), Duration::from_millis(300)).await;
    assert_eq!(ended.end.how, HowEnded::TimedOut);
}

/// GitHub's and Cloudflare's way to say *too often*.
fn too_often(after: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {after}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow"
    )
    .into_bytes()
}

#[tokio::test]
async fn who_asked_too_often_waits_as_long_as_he_is_told() {
    let server = Server::saying(vec![too_often("1"), answer("204 No Content", "")]).await;
    let url = format!("http://{}/", server.address);
    let ended = run(request(url, Expect::default()), SOON).await;
    assert_eq!(ended.end.how, HowEnded::Succeeded);
    assert_eq!(ended.end.output.head, "204 No Content\n", "the last answer");
    assert!(ended.end.took >= Duration::from_secs(1), "{:?}", ended.end);
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1], "the same, once more");
}

#[tokio::test]
async fn a_wait_that_the_step_has_no_time_for_fails_at_once() {
    let server = Server::with(too_often("3600")).await;
    let url = format!("http://{}/", server.address);
    let ended = run(request(url, Expect::default()), SOON).await;
    assert_eq!(
        ended.end.how.to_string(),
        "failed: it answered 429 Too Many Requests and asks for 1h, more than the step has left"
    );
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn nothing_else_is_ever_sent_twice() {
    let busy = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let wanted = Expect {
        status: vec![429],
        ..Expect::default()
    };
    for (said, expect) in [
        // It may have been obeyed by who stands behind.
        (busy.to_vec(), Expect::default()),
        (answer("429 Too Many Requests", ""), Expect::default()),
        (too_often("soon"), Expect::default()),
        (too_often("0"), wanted),
    ] {
        let server = Server::with(said).await;
        let url = format!("http://{}/", server.address);
        let ended = run(request(url, expect.clone()), SOON).await;
        assert_eq!(ended.end.how.is_success(), !expect.status.is_empty());
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_secret_is_sent_and_shown_nowhere() {
    let dir = TempDir::new().expect("can make a directory");
    let path = dir.path().join("token");
    fs::write(&path, "hunter2\n").expect("can write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("can chmod");
    let path = path.to_str().expect("text").to_owned();
    let with = |url: String, path: String, expect| {
        let mut request = request(url, expect);
        request
            .headers
            .insert("Authorization".into(), "Bearer {secret:cdn}".into());
        request.body = Some("{\"key\": \"{secret:cdn}\"}".into());
        request.secrets.insert("cdn".into(), Secret::File(path));
        request
    };
    let echo = format!("you are hunter2{}hunter2", "x".repeat(Output::KEPT - 40));
    let server = Server::with(answer("200 OK", &echo)).await;
    let expect = Expect {
        json: BTreeMap::from([("$".to_owned(), "hunter2".into())]),
        ..Expect::default()
    };
    let ended = run(
        with(format!("http://{}/", server.address), path.clone(), expect),
        SOON,
    )
    .await;
    let asked = server.asked().concat();
    assert!(
        asked.contains("authorization: Bearer hunter2\r\n"),
        "{asked}"
    );
    assert!(asked.ends_with("{\"key\": \"hunter2\"}"), "{asked}");
    let kept = format!("{:?}", ended.end);
    assert!(
        !kept.contains("hunter2") && kept.contains("you are [secret]"),
        "{kept}"
    );

    let missing = format!("{path}.gone");
    let server = Server::with(answer("200 OK", "")).await;
    let lost = with(
        format!("http://{}/", server.address),
        missing,
        Expect::default(),
    );
    let problems = preflight(&StepAction::Http(Box::new(lost.clone())));
    assert!(
        problems.len() == 1 && problems[0].found.contains("cannot read the secret"),
        "{problems:?}"
    );
    let ended = run(lost, SOON).await;
    assert!(
        ended.end.how.to_string().contains("cannot read the secret"),
        "{}",
        ended.end.how
    );
    assert_eq!(
        server.asked(),
        [""; 0],
        "nothing is sent without its secret"
    );
}
