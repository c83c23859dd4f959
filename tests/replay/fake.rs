//! A Prometheus as its documentation says, with samples of our own: `series`,
//! instant queries of range selectors, `query_range`. As before 3.0, a range has
//! the samples of both its ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A series: its labels with its name, and its samples by Unix milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) samples: Vec<(u64, f64)>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `query`, `query_range` or `series`.
    pub(crate) endpoint: String,
    /// The query without its range, or the first selector.
    pub(crate) of: String,
    /// From when to when, in Unix milliseconds.
    pub(crate) span: (u64, u64),
    /// The headers, as they came, in small letters.
    pub(crate) head: String,
}

impl Asked {
    pub(crate) fn long(&self) -> u64 {
        self.span.1 - self.span.0
    }
}

/// Status line, headers and body of a refusal.
pub(crate) type Refusal = (&'static str, &'static str, &'static str);

/// Why a question is not answered, if it is not.
pub(crate) type Mood = dyn Fn(&Asked) -> Option<Refusal> + Send + Sync;

pub(crate) const TOO_MANY: Refusal = (
    "422 Unprocessable Entity",
    "",
    r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#,
);
pub(crate) const TIMED_OUT: Refusal = (
    "503 Service Unavailable",
    "",
    r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#,
);
pub(crate) const BUSY: Refusal = (
    "429 Too Many Requests",
    "Retry-After: 0\r\n",
    r#"{"status":"error","errorType":"unavailable","error":"busy"}"#,
);
pub(crate) const DEAD: Refusal = ("502 Bad Gateway", "", "<html>");

/// The server; it ends with this.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl Fake {
    pub(crate) fn open(stored: Vec<Stored>, mood: Box<Mood>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (heard, ended) = (Arc::clone(&asked), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                // Whoever hangs up has heard enough.
                let _ = answer(&stream, &stored, &mood, &heard);
            }
        });
        Self {
            address,
            asked,
            over,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/prom", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(
    mut stream: &TcpStream,
    stored: &[Stored],
    mood: &Mood,
    heard: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut first = String::new();
    lines.read_line(&mut first)?;
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let line = line.to_lowercase();
        if let Some(n) = line.strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body)?;
    let target = first.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let form = [query, std::str::from_utf8(&body).unwrap()].join("&");
    let pairs: Vec<(String, String)> = form
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let given = |name: &str| {
        let found = pairs.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let endpoint = path.strip_prefix("/prom/api/v1/").unwrap().to_owned();
    let ms = |name| millis(given(name));
    let asked = match endpoint.as_str() {
        "query" => {
            let (of, range) = given("query").rsplit_once('[').unwrap();
            let range: u64 = range.strip_suffix("ms]").unwrap().parse().unwrap();
            (of.to_owned(), (ms("time") - range, ms("time")))
        }
        "query_range" => (given("query").to_owned(), (ms("start"), ms("end"))),
        _ => (given("match[]").to_owned(), (ms("start"), ms("end"))),
    };
    let asked = Asked {
        endpoint,
        of: asked.0,
        span: asked.1,
        head,
    };
    heard.lock().unwrap().push(asked.clone());
    let (status, headers, body) = match mood(&asked) {
        Some((status, headers, body)) => (status, headers, body.to_owned()),
        None => ("200 OK", "", data(&asked, stored, given("step"))),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn data(asked: &Asked, stored: &[Stored], step: &str) -> String {
    let (from, to) = asked.span;
    let name = asked.of.split('{').next().unwrap();
    let labels = |one: &Stored| serde_json::to_string(&one.labels).unwrap();
    let own = stored.iter().filter(|one| one.labels["__name__"] == name);
    let own = own.filter(|one| {
        let matchers = asked.of.split_once('{').map_or("", |(_, rest)| rest);
        let mut pairs = one.labels.iter();
        let job = pairs.find(|(label, _)| *label == "job");
        let named = job.map(|(_, value)| format!("job=\"{value}\""));
        !matchers.contains("job=") || named.is_some_and(|named| matchers.contains(&named))
    });
    let within = |one: &Stored| {
        let samples = one.samples.iter().copied();
        let samples = samples.filter(|(at, _)| (from..=to).contains(at));
        samples.collect::<Vec<_>>()
    };
    let rows: Vec<String> = match asked.endpoint.as_str() {
        "series" => own
            .filter(|one| !within(one).is_empty())
            .map(labels)
            .collect(),
        "query" => own.map(|one| row(&labels(one), &within(one))).collect(),
        _ => {
            let step: u64 = step.strip_suffix("ms").unwrap().parse().unwrap();
            let at = |one: &Stored, at: u64| {
                let mut before = one.samples.iter().rev();
                let last = before.find(|(t, _)| *t <= at && t + 300_000 > at);
                last.map(|(_, value)| (at, *value))
            };
            let steps = || (0..).map(|n| from + n * step).take_while(|at| *at <= to);
            own.map(|one| {
                row(
                    &labels(one),
                    &steps().filter_map(|t| at(one, t)).collect::<Vec<_>>(),
                )
            })
            .collect()
        }
    };
    let rows = rows.join(",");
    match asked.endpoint.as_str() {
        "series" => format!(r#"{{"status":"success","data":[{rows}],"warnings":["w"]}}"#),
        _ => format!(
            r#"{{"status":"success","data":{{"resultType":"matrix","result":[{rows}]}},"infos":["i"]}}"#
        ),
    }
}

fn row(labels: &str, samples: &[(u64, f64)]) -> String {
    let mut values = String::new();
    for (at, value) in samples {
        let comma = if values.is_empty() { "" } else { "," };
        let _ = write!(
            values,
            "{comma}[{}.{:03},\"{value}\"]",
            at / 1000,
            at % 1000
        );
    }
    format!(r#"{{"metric":{labels},"values":[{values}]}}"#)
}

fn millis(text: &str) -> u64 {
    let (seconds, ms) = text.split_once('.').unwrap_or((text, "000"));
    seconds.parse::<u64>().unwrap() * 1000 + ms.parse::<u64>().unwrap()
}

fn decoded(text: &str) -> String {
    let plain = text.replace('+', " ");
    percent_encoding::percent_decode_str(&plain)
        .decode_utf8()
        .unwrap()
        .into_owned()
}
