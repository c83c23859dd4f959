//! A service whose counters are a function of time, so that whoever looks, and
//! however busy the machine is, finds what a steady service would have counted.
//! It writes down who looked and when.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Requests a second.
const RATE: f64 = 1000.0;
/// It has run for this long before anybody looks: what is extrapolated back to
/// the birth of a counter would be another thing to compare.
const AGE_S: f64 = 10_000.0;
/// The share of requests that fail, and how much of them more when it is bad.
const SHARE: f64 = 0.01;
const WORSE: f64 = 0.30;
/// The errors grow for this long.
const GROWTH_S: f64 = 8.0;
/// How fast the share grows, per second.
pub(crate) const SLOPE: f64 = WORSE / GROWTH_S;

/// The service; it ends with this.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    began: f64,
    bad_since: Mutex<Option<f64>>,
    /// Who, and when.
    visits: Mutex<Vec<(String, f64)>>,
    over: AtomicBool,
}

/// Unix time in seconds.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs_f64()
}

impl Target {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            began: now() - AGE_S,
            bad_since: Mutex::new(None),
            visits: Mutex::new(Vec::new()),
            over: AtomicBool::new(false),
        });
        let served = Arc::clone(&state);
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

    /// Its errors and its latency grow from now on.
    pub(crate) fn worsen(&self) {
        *self.state.bad_since.lock().unwrap() = Some(now());
    }

    /// Whether nothing but time passed from one time to another.
    pub(crate) fn is_steady(&self, from: f64, to: f64) -> bool {
        let bad_since = *self.state.bad_since.lock().unwrap();
        bad_since.is_none_or(|bad| to < bad || from > bad + GROWTH_S)
    }

    /// When somebody looked, by the beginning of their name.
    pub(crate) fn visits(&self, who: &str) -> Vec<f64> {
        let visits = self.state.visits.lock().unwrap();
        let theirs = visits.iter().filter(|(name, _)| name.starts_with(who));
        theirs.map(|(_, at)| *at).collect()
    }

    /// How much longer than a second somebody once left between two looks.
    pub(crate) fn lateness(&self, who: &str) -> f64 {
        let visits = self.visits(who);
        let gaps = visits.windows(2).map(|pair| pair[1] - pair[0] - 1.0);
        gaps.fold(0.0, f64::max)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        // So that the thread that accepts sees it.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// Answers every request on a connection with the page of metrics.
    fn serve(&self, mut stream: TcpStream) {
        let Ok(read) = stream.try_clone() else { return };
        let mut lines = BufReader::new(read).lines();
        loop {
            let mut who = String::new();
            // The head ends with an empty line.
            loop {
                match lines.next() {
                    Some(Ok(line)) if line.is_empty() => break,
                    Some(Ok(line)) => {
                        if let Some((name, value)) = line.split_once(": ")
                            && name.eq_ignore_ascii_case("user-agent")
                        {
                            value.clone_into(&mut who);
                        }
                    }
                    Some(Err(_)) | None => return,
                }
            }
            let at = now();
            self.visits.lock().unwrap().push((who, at));
            let page = self.page(at);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Failures are slow: up to a second, where half the others take a tenth.
    fn page(&self, at: f64) -> String {
        let age = at - self.began;
        let worse = self.bad_since.lock().unwrap().map_or(0.0, |bad| {
            let grown = (at - bad).clamp(0.0, GROWTH_S);
            SLOPE * grown * grown / 2.0 + WORSE * (at - bad - GROWTH_S).max(0.0)
        });
        let all = (RATE * age).floor();
        let failed = (RATE * (SHARE * age + worse)).floor();
        let fine = all - failed;
        let mut page = format!(
            "# TYPE http_requests_total counter\n\
             http_requests_total{{code=\"200\"}} {fine}\n\
             http_requests_total{{code=\"500\"}} {failed}\n\
             # TYPE http_request_duration_seconds histogram\n"
        );
        for (bound, count) in [
            ("0.1", (0.5 * fine).floor()),
            ("0.25", (0.97 * fine).floor()),
            ("0.5", fine),
            ("1", all),
            ("+Inf", all),
        ] {
            let _ = writeln!(
                page,
                "http_request_duration_seconds_bucket{{le=\"{bound}\"}} {count}"
            );
        }
        let _ = writeln!(
            page,
            "http_request_duration_seconds_sum {}\nhttp_request_duration_seconds_count {all}",
            all * 0.2
        );
        page
    }
}
