//! HTTP by hand: what no well-behaved client sends has to be sent too.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::fake::Fake;

/// How long an answer may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Status and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// What it said, or why not, in one line.
    pub(crate) fn said(&self) -> String {
        let json = self.json();
        match (&json["error"], &json["said"]) {
            (Value::String(error), _) => error.clone(),
            (_, Value::Array(lines)) => {
                let lines: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
                lines.join("; ")
            }
            _ => panic!("says nothing: {self:?}"),
        }
    }
}

impl Fake {
    /// `GET /api/v1/ROUTE` over the socket.
    pub(crate) async fn get(&self, route: &str) -> Answer {
        self.send("GET", &format!("/api/v1/{route}"), b"").await
    }

    /// `POST /api/v1/ROUTE` over the socket.
    pub(crate) async fn post(&self, route: &str, body: &str) -> Answer {
        self.send("POST", &format!("/api/v1/{route}"), body.as_bytes())
            .await
    }

    /// Any request over the socket.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        exchange(stream, &request(method, path, body), Then::Listen)
            .await
            .unwrap()
    }

    /// Any request over TCP.
    pub(crate) async fn send_tcp(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let stream = TcpStream::connect(self.tcp).await.unwrap();
        exchange(stream, &request(method, path, body), Then::Listen)
            .await
            .unwrap()
    }

    /// Bytes over the socket that may be anything. `None` when they were not
    /// worth an answer.
    pub(crate) async fn send_bytes(&self, bytes: &[u8]) -> Option<Answer> {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        exchange(stream, bytes, Then::HangUp).await
    }
}

fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: backstop\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// What a caller does when it has said what it had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Listen,
    /// The server may take that for having lost interest.
    HangUp,
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
    then: Then,
) -> Option<Answer> {
    let answered = tokio::time::timeout(PATIENCE, async {
        // A server that has heard enough hangs up while we still talk.
        let _ = stream.write_all(bytes).await;
        if then == Then::HangUp {
            let _ = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    });
    let answer = answered.await.expect("an answer in time");
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Answer {
        status,
        text: text.to_owned(),
    })
}
