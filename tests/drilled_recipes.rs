//! Every shipped recipe, drilled by the real agent: first as it is shipped, in
//! shadow, where only what looks may be run; then executed. The programs of the
//! platforms are fakes on the agent's `PATH` that refuse what the real ones do
//! not document.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "recipes/fakes.rs"]
mod fakes;
#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use host::Host;
use serde_json::Value;

/// What only looks: all that a rehearsal may run.
const LOOKS: [&str; 4] = [
    "docker manifest inspect ",
    "aws ecs describe-task-definition ",
    "test -d ",
    "systemctl show ",
];

/// The recipes by name.
fn recipes() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = fs::read_dir("policies/recipes")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with(".test.toml"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    all
}

/// GitHub's API, as far as a workflow is started by it.
fn github() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            kept.lock().unwrap().push(format!("{head}{body}"));
            let answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

/// A host with every recipe as a service of its name, releases v1 and v2 of each,
/// and fakes.
struct Stage {
    host: Host,
    bin: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    github: String,
    names: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let host = Host::new("recipes");
        let root = host.dir.clone();
        let bin = root.join("bin");
        fs::create_dir_all(&bin).unwrap();
        fakes::write(&bin, root.join("srv").to_str().unwrap());
        for version in ["v1", "v2"] {
            for dir in ["srv/shop/releases", "srv/shop/env", "etc/nginx"] {
                fs::create_dir_all(root.join(dir).join(version)).unwrap();
            }
        }
        let token = root.join("github.token");
        fs::write(&token, "token").unwrap();
        fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
        let (github, asked) = github();
        host.configure(&format!(
            "[notifiers.slack]\ntype = \"run\"\ncommand = [\"tee\", \"-a\", \"{0}/told\"]\n\
             [notifiers.on-call]\ntype = \"run\"\ncommand = [\"tee\", \"-a\", \"{0}/told\"]\n",
            root.display()
        ));
        Self {
            host,
            bin,
            asked,
            github,
            names: recipes().into_iter().map(|(name, _)| name).collect(),
        }
    }

    /// Writes the recipes, as quick as a test has to be and below the test's
    /// directory, in this mode.
    fn policies(&self, mode: &str) {
        for (name, text) in recipes() {
            let head = format!("interval = \"200ms\"\nmode = \"{mode}\"\nservice = \"{name}\"");
            let mut text = text
                .replacen("service = \"shop\"", &head, 1)
                .replace("is up for 1m", "is up for 1s")
                .replace("/srv/shop", "DIR/srv/shop")
                .replace("/etc/nginx", "DIR/etc/nginx")
                .replace("/etc/backstop/github.token", "DIR/github.token")
                .replace("https://api.github.com", &format!("http://{}", self.github));
            let url = text
                .lines()
                .find(|line| line.starts_with("url  = \""))
                .unwrap();
            text = text.replacen(&url.to_owned(), "url  = \"http://SHOP/health\"", 1);
            self.host.write(&format!("{name}.toml"), &text);
        }
    }

    /// Points every link at a release, and reports it where it is reported.
    fn deploy(&self, version: &str) {
        let dir = &self.host.dir;
        for (link, to) in [
            ("srv/shop/current", "srv/shop/releases"),
            ("srv/shop/current.env", "srv/shop/env"),
            ("etc/nginx/live.conf", "etc/nginx"),
        ] {
            let new = dir.join("new.link");
            symlink(dir.join(to).join(version), &new).unwrap();
            fs::rename(new, dir.join(link)).unwrap();
        }
        for name in &self.names {
            let service = self.service(name);
            if service["release"].is_null() {
                continue;
            }
            let _ = self.host.order(&["deploy", name, "--version", version]);
            self.host.wait("the release", || {
                let running = &self.service(name)["release"]["running"];
                (running == version).then_some(())
            });
        }
    }

    fn service(&self, name: &str) -> Value {
        let text = self.host.get(&format!("/api/v1/services/{name}"));
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        status["services"][0].clone()
    }

    /// Where a link points.
    fn link(&self, link: &str) -> PathBuf {
        fs::read_link(self.host.dir.join(link)).unwrap()
    }

    /// Drills every recipe at once; the exit code and what was printed of each.
    fn drill(&self, more: &[&str]) -> Vec<(String, Option<i32>, String)> {
        std::thread::scope(|scope| {
            let drills: Vec<_> = self
                .names
                .iter()
                .map(|name| {
                    let mut arguments = vec!["drill", name.as_str(), "--format", "json"];
                    arguments.extend(more);
                    scope.spawn(move || {
                        let (code, said) = self.host.order(&arguments);
                        (name.clone(), code, said)
                    })
                })
                .collect();
            drills
                .into_iter()
                .map(|drill| drill.join().unwrap())
                .collect()
        })
    }
}

#[test]
fn every_recipe_passes_its_drill_and_is_executed_as_its_platform_documents() {
    let mut stage = Stage::new();
    stage.policies("shadow");
    let path = std::env::var("PATH").unwrap();
    let mut command = stage.host.command();
    command.env("PATH", format!("{}:{path}", stage.bin.display()));
    stage.host.spawn(command);
    stage
        .host
        .until_page(|page| page.contains("backstop_build_info"));
    assert_eq!(stage.names.len(), 11);
    stage.deploy("v1");
    stage.deploy("v2");
    for name in &stage.names {
        let service = stage.service(name);
        assert_eq!(service["mode"], "shadow", "{name}: {}", stage.host.log());
        if !service["release"].is_null() {
            let said = ["release", name, "good", "v1", "--reason", "a rehearsal"];
            let (code, said) = stage.host.order(&said);
            assert_eq!(code, Some(0), "{name}: {said}");
        }
    }
    rehearsed(&stage);
    executed(&stage);
}

/// As it is shipped, every recipe passes, and only what looks is run.
fn rehearsed(stage: &Stage) {
    for (name, code, said) in stage.drill(&[]) {
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
        let bad = report["points"].as_array().unwrap().iter();
        let bad = bad.filter(|p| p["verdict"] == "failed" || p["verdict"] == "refused");
        let bad: Vec<_> = bad.collect();
        assert_eq!((code, bad), (Some(0), Vec::new()), "{name}");
        let points = report["points"].as_array().unwrap();
        let of = |part: &str| -> Vec<String> {
            let of = points.iter().filter(|point| point["part"] == part);
            of.map(|point| point["verdict"].as_str().unwrap().to_owned())
                .collect()
        };
        let steps = of("step");
        assert!(
            !steps.is_empty() && steps.iter().all(|s| s == "not_run"),
            "{name}: {said}"
        );
        assert_eq!(of("verify"), ["passed"], "{name}");
        assert_eq!(of("notice"), ["passed", "passed"], "{name}");
        assert_eq!(report["mode"], "shadow", "{name}");
    }
    // Only what looks was run, and nothing was sent anywhere.
    let calls = fakes::calls(&stage.bin);
    assert!(
        calls
            .iter()
            .any(|call| call.starts_with("docker manifest inspect")),
        "{calls:#?}"
    );
    for call in &calls {
        assert!(LOOKS.iter().any(|looks| call.starts_with(looks)), "{call}");
    }
    assert_eq!(*stage.asked.lock().unwrap(), Vec::<String>::new());
    assert!(stage.link("srv/shop/current").ends_with("v2"));
}

/// In an enforcing policy every recipe does what its platform documents, once.
fn executed(stage: &Stage) {
    // In shadow there is nothing to execute.
    for (name, code, said) in stage.drill(&["--execute"]) {
        assert_eq!(code, Some(1), "{name}: {said}");
        assert!(said.contains("this policy is in shadow"), "{name}: {said}");
    }
    stage.policies("enforce");
    let (code, said) = stage.host.order(&["reload"]);
    assert_eq!(code, Some(0), "{said}");
    for (name, code, said) in stage.drill(&["--execute"]) {
        assert_eq!(code, Some(0), "{name}: {said}");
        let incident: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(incident["outcome"], "cured", "{name}");
        assert_eq!(incident["drill"], true, "{name}");
    }
    let calls = fakes::calls(&stage.bin);
    for call in [
        "kubectl --namespace shop rollout undo deployment/shop",
        "kubectl argo rollouts undo shop --namespace shop",
        "helm rollback shop --namespace shop --wait --cleanup-on-fail --timeout 5m0s",
        "nomad job revert shop v1",
        "flyctl deploy --app shop --image registry.fly.io/shop:v1 --strategy immediate",
        "az webapp deployment slot swap ",
        "aws ecs update-service --cluster production --service shop --task-definition shop:v1 ",
        "docker compose --project-directory ",
        "nginx -t -q",
        "systemctl --no-ask-password reload -- nginx.service",
        "systemctl --no-ask-password restart -- shop.service",
    ] {
        let made = calls.iter().filter(|made| made.starts_with(call)).count();
        assert_eq!(made, 1, "{call}: {calls:#?}");
    }
    for moved in [
        "srv/shop/current",
        "srv/shop/current.env",
        "etc/nginx/live.conf",
    ] {
        assert!(stage.link(moved).ends_with("v1"), "{moved}");
    }
    let asked = stage.asked.lock().unwrap();
    let [request] = &asked[..] else {
        panic!("{asked:#?}");
    };
    assert!(
        request.starts_with("POST /repos/example/shop/actions/workflows/rollback.yml/dispatches")
    );
    assert!(
        request.contains("Bearer token") && request.contains("\"image_tag\": \"v1\""),
        "{request}"
    );
    let told = fs::metadata(stage.host.dir.join("told")).unwrap();
    assert!(told.permissions().mode() & 0o400 != 0 && told.len() > 0);
}
