//! What the tests of this room share: a directory that goes when the test
//! does, and a receiver on loopback that behaves as badly as it is told to.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::channel::Attempt;
use crate::guard::Notice;

/// A directory that is removed when it is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("backstop-tell-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A first attempt at a notice that nothing is remembered of.
pub(super) fn attempt(notice: &Notice) -> Attempt<'_> {
    Attempt {
        notice,
        links: None,
        memory: None,
        unix: 1_795_250_400,
    }
}

/// What the receiver does with a request.
pub(super) enum Behaviour {
    /// Sends these bytes, its own address in place of `$URL`, and closes.
    Says(String),
    /// Takes the request and says nothing.
    Hangs,
}

impl Behaviour {
    pub(super) fn status(line: &str, headers: &str, body: &str) -> Self {
        Self::Says(format!(
            "HTTP/1.1 {line}\r\nconnection: close\r\n{headers}\r\n{body}"
        ))
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// A header's value, by its name in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A receiver on loopback. After its script it answers `200 ok`.
pub(super) struct Receiver {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn new(script: impl IntoIterator<Item = Behaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook/hunter2", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut script: VecDeque<Behaviour> = script.into_iter().collect();
        let task = tokio::spawn({
            let (requests, url) = (Arc::clone(&requests), url.clone());
            async move {
                let mut hanging = Vec::new();
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    // One that breaks off was cut by its sender's end.
                    let Some(request) = read(&mut stream).await else {
                        continue;
                    };
                    requests.lock().unwrap().push(request);
                    let behaviour = script
                        .pop_front()
                        .unwrap_or_else(|| Behaviour::status("200 OK", "", "ok"));
                    match behaviour {
                        Behaviour::Says(bytes) => {
                            let _ = stream
                                .write_all(bytes.replace("$URL", &url).as_bytes())
                                .await;
                            let _ = stream.shutdown().await;
                        }
                        Behaviour::Hangs => hanging.push(stream),
                    }
                }
            }
        });
        Self {
            url,
            requests,
            task,
        }
    }

    /// Its address without a path.
    pub(super) fn base(&self) -> &str {
        self.url.trim_end_matches("/hook/hunter2")
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let request = Request {
                head: String::from_utf8(bytes[..end].to_vec()).unwrap(),
                body: bytes[end + 4..].to_vec(),
            };
            let length = request.header("content-length").unwrap_or("0");
            let length: usize = length.parse().unwrap();
            if request.body.len() >= length {
                return Some(request);
            }
        }
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
    }
}
