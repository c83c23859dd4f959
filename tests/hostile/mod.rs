//! A target that misbehaves as it is told: raw TCP on loopback, so that it can
//! send what no HTTP library would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backstop::model::{Expect, Source, SourceKind, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is done to a connection.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads a request, sends this, closes.
    Answer(Vec<u8>),
    /// Sends this without waiting for a request.
    Greet(Vec<u8>),
    /// Answers each request on the connection with a page of so many series,
    /// made as it is sent; ten of them are named `wanted`.
    Page(usize),
    /// Reads a request, sends this, and then nothing any more.
    Hang(Vec<u8>),
    /// Reads a request, sends the first, then the second one byte at a time,
    /// over and over.
    Drip(Vec<u8>, Vec<u8>),
    /// Reads a request, sends the first, then the second over and over.
    Flood(Vec<u8>, Vec<u8>),
    /// Answers each request on the connection with this.
    Keep(Vec<u8>),
    /// Answers one request with this as if the connection were kept, and closes
    /// when the next one comes.
    Stale(Vec<u8>),
    /// Closes with the request unread, which resets the connection.
    Reset,
    /// Reads a request and closes.
    Close,
}

/// A server; stops when dropped.
pub struct Target {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Target {
    /// Does the same to every connection.
    pub async fn new(act: Act) -> Self {
        Self::with(move |_| act.clone()).await
    }

    /// Does to the nth connection, from 0, what `act` says.
    pub async fn with(act: impl Fn(usize) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let act = act(counter.fetch_add(1, Ordering::SeqCst));
                tokio::spawn(perform(act, stream));
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// A URL on it.
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// Connections that were made so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn perform(act: Act, mut stream: TcpStream) {
    // Whatever goes wrong here is the other side's refusal, which is the point.
    let _ = match act {
        Act::Reset => stream.readable().await,
        Act::Close => request(&mut stream).await,
        Act::Answer(bytes) => answer(&mut stream, &bytes).await,
        Act::Greet(bytes) => greet(&mut stream, &bytes).await,
        Act::Page(series) => page(&mut stream, series).await,
        Act::Hang(bytes) => hang(&mut stream, &bytes).await,
        Act::Drip(head, bytes) => drip(&mut stream, &head, &bytes).await,
        Act::Flood(head, bytes) => flood(&mut stream, &head, &bytes).await,
        Act::Keep(bytes) => keep(&mut stream, &bytes).await,
        Act::Stale(bytes) => match answer(&mut stream, &bytes).await {
            Ok(()) => request(&mut stream).await,
            error => error,
        },
    };
}

/// Reads up to the end of a request's head.
async fn request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await?);
    }
    Ok(())
}

async fn answer(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    request(stream).await?;
    stream.write_all(bytes).await
}

async fn greet(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    tokio::io::copy(stream, &mut tokio::io::sink())
        .await
        .map(drop)
}

async fn page(stream: &mut TcpStream, series: usize) -> std::io::Result<()> {
    loop {
        answer(
            stream,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .await?;
        for first in (0..series).step_by(100) {
            let lines: String = (first..series.min(first + 100))
                .map(|i| {
                    let name = ["wanted", "other"][usize::from(i % (series / 10) != 0)];
                    format!("{name}_total{{method=\"GET\",route=\"/api/v1/items/{i:06}/parts\",service=\"checkout\",zone=\"eu-west-1a\"}} {i}\n")
                })
                .collect();
            let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
            stream.write_all(chunk.as_bytes()).await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    }
}

async fn keep(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        answer(stream, bytes).await?;
    }
}

async fn hang(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    answer(stream, bytes).await?;
    // Until the other side gives up.
    stream.read_u8().await.map(drop)
}

async fn drip(stream: &mut TcpStream, head: &[u8], bytes: &[u8]) -> std::io::Result<()> {
    answer(stream, head).await?;
    for byte in bytes.iter().cycle() {
        stream.write_u8(*byte).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn flood(stream: &mut TcpStream, head: &[u8], bytes: &[u8]) -> std::io::Result<()> {
    answer(stream, head).await?;
    let many = bytes.repeat((64 << 10) / bytes.len() + 1);
    loop {
        stream.write_all(&many).await?;
    }
}

/// A whole answer of this status, with its length.
pub fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// A source of this kind with this timeout.
pub fn source(kind: SourceKind, timeout: Duration) -> Source {
    Source {
        kind,
        interval: Duration::from_secs(5),
        timeout,
        fail_after: 3,
        pass_after: 2,
    }
}

/// A page at a URL.
pub fn scrape(url: String, max_body: u64) -> SourceKind {
    SourceKind::Scrape {
        url,
        headers: [].into(),
        max_body,
        tls: Tls::default(),
    }
}

/// A GET of a URL.
pub fn probe(url: String, expect: Expect) -> SourceKind {
    SourceKind::Probe {
        url,
        method: "GET".to_owned(),
        headers: [].into(),
        body: None,
        expect,
        tls: Tls::default(),
    }
}

/// A gzip stream of `unit` and then `repeats` × 258 bytes of it over and over,
/// without its checksum: 13 bits for 258 bytes. `unit` is ASCII, of 4 bytes.
pub fn bomb(unit: [u8; 4], repeats: usize) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits::default();
    // The last block, with the fixed codes of RFC 1951, 3.2.6.
    bits.push(&mut out, 1, 1);
    bits.push(&mut out, 1, 2);
    for byte in unit {
        bits.push_code(&mut out, 0x30 + u32::from(byte), 8);
    }
    for _ in 0..repeats {
        // Length 258, then distance 4.
        bits.push_code(&mut out, 0b1100_0101, 8);
        bits.push_code(&mut out, 0b00011, 5);
    }
    bits.push_code(&mut out, 0, 7);
    bits.push(&mut out, 0, 7);
    out
}

#[derive(Default)]
struct Bits {
    held: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, out: &mut Vec<u8>, value: u32, bits: u32) {
        self.held |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            out.push((self.held & 0xff) as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Huffman codes are written from their most significant bit.
    fn push_code(&mut self, out: &mut Vec<u8>, code: u32, bits: u32) {
        for bit in (0..bits).rev() {
            self.push(out, code >> bit & 1, 1);
        }
    }
}

/// A gzip stream that holds a short text uncompressed, whole and right.
pub fn gzip(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(text.as_bytes());
    out.extend(crc32fast::hash(text.as_bytes()).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}
