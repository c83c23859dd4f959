//! A small real service: it counts requests and how many of them fail, which
//! they do when the release that `current` points at is a bad one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The service; it ends with this.
pub(crate) struct Shop {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    current: PathBuf,
    requests: AtomicU64,
    errors: AtomicU64,
    scrapes: AtomicU64,
    over: AtomicBool,
}

impl Shop {
    pub(crate) fn open(dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            current: dir.join("current"),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            scrapes: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let (visited, served) = (Arc::clone(&state), Arc::clone(&state));
        std::thread::spawn(move || visited.visitors());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.over.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&served);
                std::thread::spawn(move || state.serve(stream));
            }
        });
        Self { address, state }
    }
}

impl Shop {
    /// No request is answered any more, and none taken.
    pub(crate) fn close(&self) {
        self.state.over.store(true, Ordering::Relaxed);
        // So that the thread that accepts sees it.
        let _ = TcpStream::connect(self.address);
    }

    /// Pages that were served.
    pub(crate) fn scrapes(&self) -> u64 {
        self.state.scrapes.load(Ordering::Relaxed)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    /// Two requests every five milliseconds; of the bad release's, half fail.
    fn visitors(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let bad = std::fs::read_link(&self.current).is_ok_and(|to| {
                let version = to.file_name().and_then(|name| name.to_str());
                version.is_some_and(|version| version.starts_with("bad"))
            });
            self.requests.fetch_add(2, Ordering::Relaxed);
            self.errors.fetch_add(u64::from(bad), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Answers every request on a connection with the page of metrics.
    fn serve(&self, mut stream: TcpStream) {
        let Ok(read) = stream.try_clone() else { return };
        let mut lines = BufReader::new(read).lines();
        loop {
            // The head ends with an empty line.
            loop {
                match lines.next() {
                    Some(Ok(line)) if line.is_empty() => break,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            self.scrapes.fetch_add(1, Ordering::Relaxed);
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let errors = self.errors.load(Ordering::Relaxed);
            let requests = self.requests.load(Ordering::Relaxed);
            let page = format!(
                "# TYPE http_requests_total counter\n\
                 http_requests_total{{code=\"200\"}} {}\n\
                 http_requests_total{{code=\"500\"}} {errors}\n\
                 # TYPE last_sale_seconds gauge\n\
                 last_sale_seconds {}\n",
                requests.saturating_sub(errors),
                now.unwrap_or_default().as_secs()
            );
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}
