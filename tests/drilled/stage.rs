//! A host on which the real agent guards shipped policies, the programs of their
//! platforms faked on its `PATH`; and what is asked of it.

#![allow(dead_code, reason = "each test takes the part that it needs")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::host::Host;

pub(crate) struct Stage {
    pub(crate) host: Host,
    /// Found before every other program.
    pub(crate) bin: PathBuf,
}

impl Stage {
    pub(crate) fn new(name: &str) -> Self {
        let host = Host::new(name);
        let bin = host.dir.join("bin");
        fs::create_dir_all(&bin).unwrap();
        Self { host, bin }
    }

    /// The agent's config: notifiers that write what they are told into `told-NAME`,
    /// some of them read by a person, who answers by them.
    pub(crate) fn told(&self, notifiers: &[(&str, Option<&str>)], more: &str) {
        let mut config = more.to_owned();
        for (name, person) in notifiers {
            let file = self.host.dir.join(format!("told-{name}"));
            let _ = writeln!(
                config,
                "[notifiers.{name}]\ntype = \"run\"\n\
                 command = [\"/bin/sh\", \"-c\", \"{{ cat; echo; }} >> {}\"]",
                file.display()
            );
            if let Some(person) = person {
                let _ = writeln!(config, "answers_as = \"{person}\"");
            }
        }
        self.host.configure(&config);
    }

    /// Writes a secret below the host's directory, as only its owner reads it.
    pub(crate) fn secret(&self, path: &str) {
        let path = self.host.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "hunter2\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn start(&mut self) {
        let path = std::env::var("PATH").unwrap();
        let mut command = self.host.command();
        command
            .env("PATH", format!("{}:{path}", self.bin.display()))
            .env("CREDENTIALS_DIRECTORY", self.host.dir.join("credentials"));
        self.host.spawn(command);
        self.host
            .until_page(|page| page.contains("backstop_build_info"));
    }

    /// Has the agent read the policies again.
    pub(crate) fn reload(&self) {
        let (code, said) = self.host.order(&["reload"]);
        assert_eq!(code, Some(0), "{said}");
    }

    pub(crate) fn service(&self, name: &str) -> Value {
        let text = self.host.get(&format!("/api/v1/services/{name}"));
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        status["services"][0].clone()
    }

    /// Awaits that a release is the one that runs.
    pub(crate) fn until_running(&self, service: &str, version: &str) {
        self.host.wait(&format!("{version} of {service}"), || {
            let running = &self.service(service)["release"]["running"];
            (running == version).then_some(())
        });
    }

    /// A person says that a release is good.
    pub(crate) fn good(&self, service: &str, version: &str) {
        let said = ["release", service, "good", version, "--reason", "a drill"];
        let (code, said) = self.host.order(&said);
        assert_eq!(code, Some(0), "{service}: {said}");
    }

    /// Points a link below the host's directory, atomically.
    pub(crate) fn point(&self, link: &str, to: &Path) {
        let new = self.host.dir.join("new.link");
        symlink(self.host.dir.join(to), &new).unwrap();
        fs::rename(new, self.host.dir.join(link)).unwrap();
    }

    /// Where it points.
    pub(crate) fn link(&self, link: &str) -> PathBuf {
        fs::read_link(self.host.dir.join(link)).unwrap()
    }

    /// What a notifier was told so far.
    pub(crate) fn heard(&self, notifier: &str) -> Vec<Value> {
        let file = self.host.dir.join(format!("told-{notifier}"));
        let told = fs::read_to_string(file).unwrap_or_default();
        let told = told.lines();
        told.filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Follows a link of the agent's, and says yes on its page; the answer.
    pub(crate) fn follow(&self, link: &str) -> String {
        let path = link.splitn(4, '/').nth(3).unwrap();
        let mut stream = TcpStream::connect(self.host.http.address).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        write!(
            stream,
            "POST /{path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A drill: its exit code, and what was printed as JSON.
    pub(crate) fn drill(&self, service: &str, more: &[&str]) -> (Option<i32>, String) {
        let mut arguments = vec!["drill", service, "--format", "json"];
        arguments.extend(more);
        self.host.order(&arguments)
    }
}

/// The points of a drill's report that are of this part.
pub(crate) fn points<'a>(report: &'a Value, part: &str) -> Vec<&'a Value> {
    let points = report["points"].as_array().unwrap().iter();
    points.filter(|point| point["part"] == part).collect()
}

/// What of a drill's report is not as it should be.
pub(crate) fn bad(report: &Value) -> Vec<&Value> {
    let points = report["points"].as_array().unwrap().iter();
    let bad = |p: &&Value| p["verdict"] == "failed" || p["verdict"] == "refused";
    points.filter(bad).collect()
}
