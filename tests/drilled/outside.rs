//! All that policies reach outside of their host, over HTTP or TCP: one server,
//! which answers as it is told to and writes down what is posted to it.

#![allow(dead_code, reason = "each test takes the part that it needs")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it answers to the head and the body of a request: a status and a body.
type Answer = dyn Fn(&str, &str) -> (&'static str, String) + Send + Sync;

pub(crate) struct Outside {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Outside {
    pub(crate) fn answering(
        answer: impl Fn(&str, &str) -> (&'static str, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let answer: Arc<Answer> = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &kept, &*answer));
            }
        });
        Self { address, asked }
    }

    /// Every request that was to change something, as it came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request; whoever only connects is let go.
fn serve(mut stream: TcpStream, kept: &Mutex<Vec<String>>, answer: &Answer) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    if !head.starts_with("GET ") {
        kept.lock().unwrap().push(format!("{head}\n{body}"));
    }
    let (status, body) = answer(&head, &body);
    // A status without a body has no length either (RFC 9110, 8.6).
    let length = if status.starts_with("204") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let answer = format!("HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).ok()
}
