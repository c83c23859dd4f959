//! Prometheus itself, on the same target with the same rule.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::host::port::Port;

/// A running Prometheus; it ends with this.
pub(crate) struct Peer {
    dir: PathBuf,
    http: Port,
    server: Child,
}

impl Peer {
    /// Scrapes `target` as `shop` and `agent` as `backstop`, every second, and
    /// evaluates `rules` as often.
    pub(crate) fn start(dir: &Path, target: SocketAddr, agent: SocketAddr, rules: &str) -> Self {
        let dir = dir.join("prometheus");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("rules.yml"), rules).unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [rules.yml]\n\
             scrape_configs:\n\
             - {{ job_name: shop, static_configs: [{{ targets: ['{target}'] }}] }}\n\
             - {{ job_name: backstop, static_configs: [{{ targets: ['{agent}'] }}] }}\n"
        );
        fs::write(dir.join("prometheus.yml"), config).unwrap();
        let http = Port::hold();
        let server = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                dir.join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.join("data").display()
            ))
            .arg(format!("--web.listen-address={}", http.address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { dir, http, server }
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.http.address
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.get("/-/ready").contains("Ready")
    }

    /// What one series is over a time, by second: an answer that is not a single
    /// series has no values.
    pub(crate) fn over(&self, query: &str, from: i64, to: i64) -> Vec<(i64, f64)> {
        let path = format!(
            "/api/v1/query_range?query={}&start={from}&end={to}&step=1",
            encoded(query)
        );
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
        let at = |s: f64| s.round() as i64;
        self.values(&path)
            .into_iter()
            .map(|(s, value)| (at(s), value))
            .collect()
    }

    /// The samples of one series in its last five minutes.
    pub(crate) fn samples(&self, series: &str) -> Vec<(f64, f64)> {
        self.values(&format!(
            "/api/v1/query?query={}",
            encoded(&format!("{series}[5m]"))
        ))
    }

    fn values(&self, path: &str) -> Vec<(f64, f64)> {
        let answer: Value = serde_json::from_str(&self.get(path)).unwrap_or_default();
        let found = answer["data"]["result"].as_array();
        let [series] = found.map_or(&[][..], Vec::as_slice) else {
            return Vec::new();
        };
        let pairs = series["values"].as_array().into_iter().flatten();
        pairs
            .filter_map(|pair| Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?)))
            .collect()
    }

    /// The body of a page; empty while nobody answers. In HTTP 1.0, which knows
    /// no chunks.
    pub(crate) fn get(&self, path: &str) -> String {
        let request = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.http.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = request().unwrap_or_default();
        answer
            .split_once("\r\n\r\n")
            .map_or_else(String::new, |(_, body)| body.to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// For a query of a URL: everything but letters and digits as its bytes.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() {
            all.push(char::from(byte));
        } else {
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}
