//! A directory with a service, its releases, policies and an agent; and what the
//! agent wrote down.

#![allow(dead_code, reason = "each test takes the part that it needs")]

#[path = "port.rs"]
pub(crate) mod port;

use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backstop::journal::Record;
use serde_json::Value;

use port::Port;

use super::shop::Shop;

const EXE: &str = env!("CARGO_BIN_EXE_backstop");

/// Only a broken agent needs longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// The beginning of every policy here. The window is as short as the interval
/// allows.
pub(crate) const SOURCES: &str = r#"service = "shop"
mode = "enforce"
interval = "200ms"
[sources.app]
type = "scrape"
url = "http://SHOP/metrics"
[signals.error_rate]
source = "app"
ratio = { of = 'http_requests_total{code=~"5.."}', to = 'http_requests_total' }
window = "1s"
"#;

pub(crate) struct Host {
    pub(crate) dir: PathBuf,
    shop: Shop,
    pub(crate) http: Port,
    /// Whether the agent serves HTTP: where it cannot, only its record tells.
    pub(crate) serves: bool,
    agent: Option<Child>,
}

impl Host {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("backstop-live-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        for part in ["policies", "releases/good", "releases/bad"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        fs::set_permissions(dir.join("policies"), Permissions::from_mode(0o755)).unwrap();
        Self {
            shop: Shop::open(&dir),
            dir,
            http: Port::hold(),
            serves: true,
            agent: None,
        }
    }

    /// Deploys a release, atomically. It is bad if its name begins so.
    pub(crate) fn release(&self, version: &str) {
        fs::create_dir_all(self.dir.join("releases").join(version)).unwrap();
        let new = self.dir.join("current.new");
        symlink(self.dir.join("releases").join(version), &new).unwrap();
        fs::rename(new, self.dir.join("current")).unwrap();
    }

    /// The service is gone: its port refuses.
    pub(crate) fn close_shop(&self) {
        self.shop.close();
    }

    /// How often the service was asked for its metrics.
    pub(crate) fn scrapes(&self) -> u64 {
        self.shop.scrapes()
    }

    /// The release that runs.
    pub(crate) fn running(&self) -> String {
        let to = fs::read_link(self.dir.join("current")).unwrap();
        to.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// Writes the agent's config, which it reads at its start.
    pub(crate) fn configure(&self, text: &str) {
        let path = self.dir.join("backstop.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }

    /// Writes a policy, replacing `DIR` and `SHOP` in it, atomically.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let text = text
            .replace("DIR", self.dir.to_str().unwrap())
            .replace("SHOP", &self.shop.address.to_string());
        let new = self.dir.join("policies").join(format!(".{name}"));
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o644)).unwrap();
        fs::rename(new, self.dir.join("policies").join(name)).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        self.command_below(&[])
    }

    /// The agent below a program that becomes it: `unshare`, `choom`.
    pub(crate) fn command_below(&self, program: &[&str]) -> Command {
        let mut argv = program.iter().copied().chain([EXE]);
        let mut command = Command::new(argv.next().unwrap_or(EXE));
        command.args(argv).arg("run");
        let config = self.dir.join("backstop.toml");
        if config.exists() {
            command.arg("--config").arg(config);
        }
        command
            .arg("--policies")
            .arg(self.dir.join("policies"))
            .arg("--state")
            .arg(self.dir.join("state"))
            .arg("--socket")
            .arg(self.dir.join("control.sock"))
            .arg("--http")
            .arg(if self.serves {
                self.http.address.to_string()
            } else {
                "off".to_owned()
            })
            .env("NO_COLOR", "1")
            .env("HOME", &self.dir)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .env_remove("BACKSTOP_LOG")
            .stdin(Stdio::null());
        command
    }

    /// What a person orders: the exit code, and what was said.
    pub(crate) fn order(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let done = Command::new(EXE)
            .arg("--socket")
            .arg(self.dir.join("control.sock"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [done.stdout, done.stderr].concat();
        (
            done.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    pub(crate) fn start(&mut self) {
        self.spawn(self.command());
        self.until_page(|page| page.contains("backstop_build_info"));
    }

    pub(crate) fn spawn(&mut self, mut command: Command) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.dir.join("log"))
            .unwrap();
        let agent = command.stdout(Stdio::null()).stderr(log).spawn();
        self.agent = Some(agent.unwrap());
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.agent.take().unwrap().wait().unwrap().code()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// What the steps wrote.
    pub(crate) fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("ran")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The agent's whole journal, in order, up to what it is writing now.
    pub(crate) fn journal(&self) -> Vec<Record> {
        let records = backstop::journal::read(&self.dir.join("state"));
        records
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .collect()
    }

    /// The agent's record of decisions, in order.
    pub(crate) fn records(&self) -> Vec<Value> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.dir.join("state"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
            .filter(|path| path.to_string_lossy().contains("decisions-"))
            .collect();
        paths.sort();
        let text: String = paths
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        // The last line may be half written.
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The notes among them.
    fn notes(&self) -> Vec<Value> {
        let orders = self.records().into_iter().filter_map(|mut record| {
            match record.get_mut("commands").map(Value::take) {
                Some(Value::Array(commands)) => Some(commands),
                _ => None,
            }
        });
        orders
            .flatten()
            .filter(|command| command["command"] == "note")
            .collect()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.notes().iter().filter(|n| n["what"] == what).count()
    }

    /// Awaits a note, and returns the first of its kind.
    pub(crate) fn until(&self, what: &str) -> Value {
        self.until_any(&[what])
    }

    pub(crate) fn until_any(&self, whats: &[&str]) -> Value {
        self.wait(&whats.join(" or "), || {
            let mut notes = self.notes().into_iter();
            notes.find(|note| whats.iter().any(|what| note["what"] == *what))
        })
    }

    /// Awaits an event of a step.
    pub(crate) fn until_event(&self, event: &str, step: u64) {
        self.wait(event, || {
            self.records()
                .iter()
                .any(|r| r["event"]["event"] == event && r["event"]["step"] == step)
                .then_some(())
        });
    }

    /// Awaits what a step writes.
    pub(crate) fn until_ran(&self, line: &str) {
        self.wait(line, || self.ran().iter().any(|l| l == line).then_some(()));
    }

    /// Awaits a file that a step makes.
    pub(crate) fn until_file(&self, name: &str) {
        self.wait(name, || self.dir.join(name).exists().then_some(()));
    }

    /// Awaits so many more judged ticks.
    pub(crate) fn until_ticks(&self, more: u32) {
        // Absent before the first one.
        let ticks = |page: &str| number(page, "backstop_ticks_total").max(0.0);
        let from = ticks(&self.get("/metrics"));
        self.until_page(|page| ticks(page) >= from + f64::from(more));
    }

    pub(crate) fn until_page(&self, holds: impl Fn(&str) -> bool) {
        self.wait("the page of metrics", || {
            holds(&self.get("/metrics")).then_some(())
        });
    }

    /// The body of a page; empty while nobody answers.
    pub(crate) fn get(&self, path: &str) -> String {
        let request = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.http.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = request().unwrap_or_default();
        answer
            .split_once("\r\n\r\n")
            .map_or_else(String::new, |(_, body)| body.to_owned())
    }

    pub(crate) fn wait<T>(&self, what: &str, mut there: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = there() {
                return found;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{what} did not come; the agent's log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The first sample of this name on a page; NaN when there is none.
pub(crate) fn number(page: &str, name: &str) -> f64 {
    page.lines()
        .filter(|line| line.starts_with(name))
        .find_map(|line| line.rsplit_once(' ')?.1.parse().ok())
        .unwrap_or(f64::NAN)
}
