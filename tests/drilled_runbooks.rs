//! The shipped policies of the runbooks, drilled by the real agent: every plan is
//! rehearsed as it is shipped, in shadow, where only what looks may be run; then
//! executed. Programs and interfaces are fakes that take what the real ones
//! document, refuse the rest, and do what releases need: the version that runs is
//! the one that was deployed last.
//!
//! A policy is changed in three things alone. What it names outside of the test's
//! directory is inside of it (`Drilled::write`), its mode is what is tested, and
//! all its times are a fiftieth (`quicken`), so that what a drill says of a goal
//! here it says there.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "shipped/fakes.rs"]
mod fakes;
#[path = "live/host.rs"]
mod host;
#[path = "drilled/outside.rs"]
mod outside;
#[path = "drilled/quick.rs"]
mod quick;
#[path = "live/shop.rs"]
mod shop;
#[path = "drilled/stage.rs"]
mod stage;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backstop::model::{Current, Policy};
use fakes::Programs;
use outside::Outside;
use quick::{each_text, quicken};
use regex::Regex;
use serde_json::Value;
use stage::{Stage, bad, points};
use toml::Table;

/// What only looks: all that a rehearsal may run.
const LOOKS: [&str; 5] = [
    "docker manifest inspect ",
    "az acr repository show ",
    "test -",
    "systemctl show ",
    "lost",
];

/// What sources run, all the time.
const SOURCES: [&str; 4] = [
    "basic-functions ",
    "register-and-delete ",
    "sign-in ",
    "test -e ",
];

/// Who holds the roles that the policies name. Ann and Ben answer by links in
/// their notices, root on the host.
const ROLES: [(&str, &[&str]); 10] = [
    ("dba", &["ann"]),
    ("on-call", &["ann", "ben"]),
    ("product-owner", &["root"]),
    ("release-manager", &["root"]),
    ("security-lead", &["ann"]),
    ("sre-lead", &["ann"]),
    ("support-lead", &["ann"]),
    ("technical-lead", &["ben"]),
    ("ticket-system", &["root"]),
    ("validation", &["root"]),
];

/// Whom the policies tell, and who reads it.
const NOTIFIERS: [(&str, Option<&str>); 11] = [
    ("slack", Some("ann")),
    ("stakeholders", Some("ben")),
    ("pager", Some("ben")),
    ("issues", None),
    ("lead", None),
    ("notify-script", None),
    ("on-call", None),
    ("on-call-backup", None),
    ("cto", None),
    ("ceo", None),
    ("legal", None),
];

/// What a program does besides being called: a pattern of the call, and lines of
/// sh(1) in which `$running` is the file that says which version runs.
const TWISTS: [(&str, &str); 9] = [
    ("sign-in ", "exit 0"),
    ("basic-functions ", "exit 0"),
    ("register-and-delete ", "exit 0"),
    (
        "systemctl show ",
        "echo LoadState=loaded; echo ActiveState=active; echo CanStart=yes; echo CanStop=yes",
    ),
    (
        "flyctl deploy --app bookings --image registry.fly.io/bookings:",
        "echo \"${5##*:}\" > \"$running\"",
    ),
    (
        "flyctl deploy --app bookings --config /",
        "echo \"${7##*:}\" > \"$running\"",
    ),
    (
        "az webapp deployment slot swap --resource-group portal --name portal-api --slot staging",
        "echo v1 > \"$running\"",
    ),
    (
        "az webapp config container set --resource-group portal --name portal-api",
        "echo \"${10##*:}\" > \"$running\"",
    ),
    (
        "automated-rollback.sh ",
        "ln -sfn \"$root/srv/mobile-backend/deployments/$1\" \"$root/srv/mobile-backend/current\"",
    ),
];

/// What the world outside answers, and the service itself: all is well. What is
/// posted is written down among the calls, with what it is allowed by.
fn answers(running: PathBuf, calls: PathBuf) -> impl Fn(&str, &str) -> (&'static str, String) {
    let began = Instant::now();
    move |head, body| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        if head.starts_with("POST ") {
            let mut calls = File::options()
                .append(true)
                .create(true)
                .open(&calls)
                .unwrap();
            let by = head
                .lines()
                .find(|line| line.starts_with("authorization: "));
            writeln!(calls, "POST {path} ({}) {body}", by.unwrap_or("by anybody")).unwrap();
        }
        if path.ends_with("/dispatches") {
            return ("204 No Content", String::new());
        }
        let body = if path.ends_with("/metrics") {
            let n = began.elapsed().as_millis() / 5;
            let version = fs::read_to_string(&running).unwrap_or_default();
            format!(
                "http_requests_total{{code=\"200\"}} {n}\napi_requests_total{{code=\"200\"}} {n}\n\
                 payments_total{{outcome=\"paid\"}} {n}\nregistrations_total{{outcome=\"done\"}} {n}\n\
                 http_request_duration_seconds_bucket{{le=\"0.25\"}} {n}\n\
                 http_request_duration_seconds_bucket{{le=\"+Inf\"}} {n}\n\
                 data_integrity_broken 0\napp_build_info{{version=\"{}\"}} 1\n",
                version.trim()
            )
        } else if path.contains("/api/v1/query") {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            format!(
                "{{\"status\": \"success\", \"data\": {{\"resultType\": \"vector\", \"result\": \
                 [{{\"metric\": {{}}, \"value\": [{}, \"0.001\"]}}]}}}}",
                now.as_secs_f64()
            )
        } else if path.starts_with("/api.stripe.com") {
            "{\"status\": \"enabled\"}".to_owned()
        } else if path.starts_with("/api.cloudflare.com") {
            "{\"success\": true}".to_owned()
        } else {
            "{\"status\": \"ok\", \"ok\": true}".to_owned()
        };
        ("200 OK", body)
    }
}

/// A shipped policy, guarded by an agent of its own.
struct Drilled {
    stage: Stage,
    programs: Programs,
    outside: Outside,
    /// The policy as it is shipped.
    text: String,
    policy: Policy,
    service: String,
}

impl Drilled {
    /// In shadow, with the releases v1, which is good, and v2, which runs.
    fn new(name: &str) -> Self {
        let text = fs::read_to_string(format!("policies/{name}.toml")).unwrap();
        let policy = backstop::policy::load(name, &text).policy.unwrap();
        let mut stage = Stage::new(name);
        let root = stage.host.dir.clone();
        let running = root.join("running");
        let twists = TWISTS.map(|(call, does)| {
            let running = running.display();
            let does = format!("root={}; running={running}; {does}", root.display());
            (call, does)
        });
        let twists: Vec<_> = twists.iter().map(|(c, does)| (*c, &**does)).collect();
        let programs = Programs::new(&twists);
        let calls = programs.path().join("calls");
        let commands = Regex::new(r#"(?:run|command|check) *= \["([^"]+)""#).unwrap();
        for found in commands.captures_iter(&text) {
            programs.of(&found[1]);
        }
        programs.of("systemctl");
        programs.path().clone_into(&mut stage.bin);
        for secret in [
            "etc/backstop/github.token",
            "credentials/stripe",
            "credentials/cdn",
        ] {
            stage.secret(secret);
        }
        fs::create_dir_all(root.join("var/log/payments")).unwrap();
        fs::write(root.join("var/log/payments/app.log"), "").unwrap();
        // Without a token nobody would answer by a link.
        let mut config = format!(
            "public_url = \"http://{}/\"\n[tokens.ci]\nsha256 = \"{}\"\n",
            stage.host.http.address,
            "0".repeat(64)
        );
        for (role, users) in ROLES {
            let _ = writeln!(config, "[roles.{role}]\nusers = {users:?}");
        }
        stage.told(&NOTIFIERS, &config);
        let mut drilled = Self {
            stage,
            programs,
            outside: Outside::answering(answers(running, calls)),
            text,
            service: policy.service.clone(),
            policy,
        };
        drilled.write("shadow");
        drilled.deploy("v1");
        drilled.stage.start();
        drilled.report("v1");
        drilled.deploy("v2");
        drilled.report("v2");
        drilled.stage.good(&drilled.service, "v1");
        drilled
    }

    /// Writes the policy in this mode, in which what it names is this host's.
    fn write(&self, mode: &str) {
        let mut policy: Table = self.text.parse().unwrap();
        let shipped = policy.insert("mode".to_owned(), mode.into());
        assert_eq!(shipped, Some("shadow".into()));
        quicken(&mut policy);
        let outside = &self.outside.address;
        let url = Regex::new("^https?://").unwrap();
        let tool = Regex::new("^/usr/local/lib/.*/").unwrap();
        let place = Regex::new("(?P<before>^|=)/(?P<top>srv|etc|var)/").unwrap();
        each_text(&mut policy, &mut |key, text| {
            *text = match key {
                "url" => url.replace(text, format!("http://{outside}/")).into_owned(),
                "address" => outside.clone(),
                _ => tool
                    .replace(text, format!("{}/", self.stage.bin.display()))
                    .into_owned(),
            };
            *text = place.replace(text, "${before}DIR/$top/").into_owned();
        });
        let text = toml::to_string(&policy).unwrap();
        self.stage.host.write("policy.toml", &text);
    }

    /// Has a release run, where the agent finds out by itself.
    fn deploy(&self, version: &str) {
        let root = &self.stage.host.dir;
        match &self.policy.release.as_ref().unwrap().current {
            Current::Symlink(link) => {
                let link = link.trim_start_matches('/');
                let all = if link.contains("mobile-backend") {
                    "deployments"
                } else {
                    "releases"
                };
                let to = Path::new(link).with_file_name(all).join(version);
                fs::create_dir_all(root.join(&to)).unwrap();
                self.stage.point(link, &to);
            }
            _ => fs::write(root.join("running"), version).unwrap(),
        }
    }

    /// Has it known that it runs.
    fn report(&self, version: &str) {
        if self.policy.release.as_ref().unwrap().current == Current::Reported {
            let deploy = ["deploy", &self.service, "--version", version];
            let (code, said) = self.stage.host.order(&deploy);
            assert_eq!(code, Some(0), "{said}");
        }
        self.stage.until_running(&self.service, version);
    }

    /// What was called since it was asked last, as the policy is shipped.
    fn calls(&self, since: &mut usize) -> Vec<String> {
        let calls = self.programs.calls();
        let new = calls[*since..].iter();
        let new = new.filter(|call| !SOURCES.iter().any(|source| call.starts_with(source)));
        let new = new.map(|call| call.replace(self.stage.host.dir.to_str().unwrap(), ""));
        *since = calls.len();
        new.collect()
    }
}

impl Drilled {
    /// As the policy is shipped, every plan passes: each check is listed with the
    /// time it took, what verifies holds, everybody who is named can agree and be
    /// reached, and the recovery is in time. Only what looks is run.
    fn rehearsed(&self) {
        for (plan, shipped) in &self.policy.plans {
            let (code, said) = self.stage.drill(&self.service, &["--plan", plan]);
            let report: Value =
                serde_json::from_str(&said).unwrap_or_else(|e| panic!("{plan}: {e}: {said}"));
            assert_eq!(
                (code, bad(&report)),
                (Some(0), Vec::new()),
                "{plan}: {report:#}"
            );
            assert_eq!(
                (&report["mode"], &report["current"]),
                (&"shadow".into(), &"v2".into())
            );
            for part in ["check", "count", "verify", "notice"] {
                for point in points(&report, part) {
                    let timed = point["took_ms"].is_u64() || point["verdict"] == "not_run";
                    assert!(timed, "{plan}: {point:#}");
                }
            }
            assert!(!points(&report, "verify").is_empty(), "{plan}");
            assert!(!points(&report, "notice").is_empty(), "{plan}");
            for step in points(&report, "step") {
                assert_eq!(step["verdict"], "not_run", "{plan}: {step:#}");
            }
            let recover = report["times"].as_array().unwrap().last().unwrap();
            assert_eq!(recover["part"], "recover", "{plan}");
            if shipped.goal.is_some() {
                assert_eq!(recover["met"], true, "{plan}: {recover:#}");
            }
        }
        let calls = self.calls(&mut 0);
        assert!(!calls.is_empty());
        for call in &calls {
            assert!(LOOKS.iter().any(|looks| call.starts_with(looks)), "{call}");
        }
        self.stage.until_running(&self.service, "v2");
    }

    /// Enforced, every plan is really run, and cures. What was called, in order.
    fn executed(&self) -> String {
        self.write("enforce");
        self.stage.reload();
        let mut told = String::new();
        let mut called = self.programs.calls().len();
        for (plan, shipped) in &self.policy.plans {
            let report = self.execute(plan);
            // Each part of the course beside its goal.
            let goal = report.lines().find(|line| line.starts_with("| recover"));
            let goal = goal.unwrap_or_else(|| panic!("{plan}: {report}"));
            assert_eq!(
                goal.contains("goal"),
                shipped.goal.is_some(),
                "{plan}: {report}"
            );
            let running = self.stage.service(&self.service)["release"]["running"].clone();
            let _ = writeln!(
                told,
                "{plan}, after which {} runs",
                running.as_str().unwrap()
            );
            for call in self.calls(&mut called) {
                let _ = writeln!(told, "    {call}");
            }
            self.deploy("v2");
            self.report("v2");
        }
        told
    }

    /// Executes a plan, its questions being answered; returns the incident's report.
    fn execute(&self, plan: &str) -> String {
        let (code, said) = std::thread::scope(|scope| {
            let more = ["--plan", plan, "--execute"];
            let drill = scope.spawn(move || self.stage.drill(&self.service, &more));
            while !drill.is_finished() {
                self.answer();
            }
            drill.join().unwrap()
        });
        assert_eq!(code, Some(0), "{plan}: {said}\n{}", self.stage.host.log());
        let incident: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&incident["outcome"], &incident["drill"]),
            (&"cured".into(), &true.into()),
            "{plan}"
        );
        let number = incident["number"].to_string();
        self.stage.host.wait("the end of the drill", || {
            let service = self.stage.service(&self.service);
            (service["phase"] == "watching").then_some(())
        });
        self.stage.host.order(&["report", &number]).1
    }
}

impl Drilled {
    /// Whoever can agree to what is asked, does.
    fn answer(&self) {
        let question = self.stage.service(&self.service)["question"].take();
        let roles = question["roles"].as_array().cloned().unwrap_or_default();
        let agreed = question["approvals"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let asked = |person: &&&str| {
            let of = |(role, people): &(&str, &[&str])| {
                people.contains(*person) && roles.contains(&(*role).into())
            };
            ROLES.iter().any(of) && !agreed.contains(&(**person).into())
        };
        match ["ann", "ben", "root"].iter().find(asked) {
            None => std::thread::sleep(Duration::from_millis(20)),
            Some(&"root") => {
                let incident = self.incident().to_string();
                let (code, said) = self.stage.host.order(&["approve", &incident]);
                assert_eq!(code, Some(0), "{said}");
            }
            Some(person) => self.follow(person),
        }
    }
}

impl Drilled {
    /// The number of the open incident.
    fn incident(&self) -> Value {
        self.stage.service(&self.service)["incident"]["number"].take()
    }

    /// Has a person agree by the link in their notice of it.
    fn follow(&self, person: &str) {
        let incident = self.incident();
        let of = |notice: &Value| notice["kind"] == "asked" && notice["incident"] == incident;
        let link = self.stage.host.wait("a link", || {
            let read = NOTIFIERS.iter().filter(|(_, reads)| *reads == Some(person));
            let notices = read.flat_map(|(name, _)| self.stage.heard(name));
            let mut links = notices
                .filter(of)
                .map(|notice| notice["approve_url"].clone());
            links.find_map(|link| link.as_str().map(str::to_owned))
        });
        let page = self.stage.follow(&link);
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    }
}

/// A runbook's policy, from its rehearsal to the last call of its last plan.
fn drilled(name: &str) {
    let drilled = Drilled::new(name);
    drilled.rehearsed();
    insta::assert_snapshot!(format!("executed_{name}"), drilled.executed());
}

#[test]
fn the_plans_of_a_backend_on_terraform_pass_their_drills() {
    drilled("backend-on-terraform");
}

#[test]
fn the_plans_of_an_api_on_ecs_pass_their_drills() {
    drilled("api-on-ecs");
}

#[test]
fn the_plans_of_an_app_on_fly_pass_their_drills() {
    drilled("app-on-fly");
}

#[test]
fn the_plans_of_a_system_on_azure_pass_their_drills() {
    drilled("system-on-azure");
}

#[test]
fn the_plans_of_the_decision_matrix_pass_their_drills() {
    drilled("decision-matrix");
}
