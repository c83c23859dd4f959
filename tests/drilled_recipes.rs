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
#[path = "drilled/outside.rs"]
mod outside;
#[path = "drilled/shipped.rs"]
mod shipped;
#[path = "live/shop.rs"]
mod shop;
#[path = "drilled/stage.rs"]
mod stage;

use std::fs;
use std::path::Path;

use outside::Outside;
use serde_json::Value;
use shipped::shipped;
use stage::{Stage, bad, points};

/// What only looks: all that a rehearsal may run.
const LOOKS: [&str; 4] = [
    "docker manifest inspect ",
    "aws ecs describe-task-definition ",
    "test -d ",
    "systemctl show ",
];

/// A host with every recipe as a service of its name, releases v1 and v2 of each,
/// and fakes.
struct Recipes {
    stage: Stage,
    github: Outside,
    names: Vec<String>,
}

impl Recipes {
    fn new() -> Self {
        let stage = Stage::new("recipes");
        let root = &stage.host.dir;
        fakes::write(&stage.bin, root.join("srv").to_str().unwrap());
        for version in ["v1", "v2"] {
            for dir in ["srv/shop/releases", "srv/shop/env", "etc/nginx"] {
                fs::create_dir_all(root.join(dir).join(version)).unwrap();
            }
        }
        stage.secret("github.token");
        stage.told(&[("slack", None), ("on-call", None)], "");
        let recipes = shipped("policies/recipes");
        Self {
            stage,
            // As far as a workflow is started by it.
            github: Outside::answering(|_, _| ("204 No Content", String::new())),
            names: recipes.into_iter().map(|(name, _)| name).collect(),
        }
    }

    /// Writes the recipes, as quick as a test has to be and below the test's
    /// directory, in this mode.
    fn policies(&self, mode: &str) {
        for (name, text) in shipped("policies/recipes") {
            let head = format!("interval = \"200ms\"\nmode = \"{mode}\"\nservice = \"{name}\"");
            let github = format!("http://{}", self.github.address);
            let mut text = text
                .replacen("service = \"shop\"", &head, 1)
                .replace("is up for 1m", "is up for 1s")
                .replace("/srv/shop", "DIR/srv/shop")
                .replace("/etc/nginx", "DIR/etc/nginx")
                .replace("/etc/backstop/github.token", "DIR/github.token")
                .replace("https://api.github.com", &github);
            let url = text
                .lines()
                .find(|line| line.starts_with("url  = \""))
                .unwrap();
            text = text.replacen(&url.to_owned(), "url  = \"http://SHOP/health\"", 1);
            self.stage.host.write(&format!("{name}.toml"), &text);
        }
    }

    /// Points every link at a release, and reports it where it is reported.
    fn deploy(&self, version: &str) {
        for (link, to) in [
            ("srv/shop/current", "srv/shop/releases"),
            ("srv/shop/current.env", "srv/shop/env"),
            ("etc/nginx/live.conf", "etc/nginx"),
        ] {
            self.stage.point(link, &Path::new(to).join(version));
        }
        for name in &self.names {
            if self.stage.service(name)["release"].is_null() {
                continue;
            }
            let deploy = ["deploy", name, "--version", version];
            let _ = self.stage.host.order(&deploy);
            self.stage.until_running(name, version);
        }
    }

    /// Drills every recipe at once; the exit code and what was printed of each.
    fn drill(&self, more: &[&str]) -> Vec<(String, Option<i32>, String)> {
        std::thread::scope(|scope| {
            let drills: Vec<_> = self
                .names
                .iter()
                .map(|name| {
                    scope.spawn(move || {
                        let (code, said) = self.stage.drill(name, more);
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
    let mut recipes = Recipes::new();
    recipes.policies("shadow");
    recipes.stage.start();
    assert_eq!(recipes.names.len(), 11);
    recipes.deploy("v1");
    recipes.deploy("v2");
    let stage = &recipes.stage;
    for name in &recipes.names {
        let service = stage.service(name);
        assert_eq!(service["mode"], "shadow", "{name}: {}", stage.host.log());
        if !service["release"].is_null() {
            stage.good(name, "v1");
        }
    }
    rehearsed(&recipes);
    executed(&recipes);
}

/// As it is shipped, every recipe passes, and only what looks is run.
fn rehearsed(recipes: &Recipes) {
    for (name, code, said) in recipes.drill(&[]) {
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
        assert_eq!((code, bad(&report)), (Some(0), Vec::new()), "{name}");
        let of = |part| -> Vec<&Value> {
            let points = points(&report, part).into_iter();
            points.map(|point| &point["verdict"]).collect()
        };
        let steps = of("step");
        assert!(
            !steps.is_empty() && steps.iter().all(|s| *s == "not_run"),
            "{name}: {said}"
        );
        assert_eq!(of("verify"), ["passed"], "{name}");
        assert_eq!(of("notice"), ["passed", "passed"], "{name}");
        assert_eq!(report["mode"], "shadow", "{name}");
    }
    // Only what looks was run, and nothing was sent anywhere.
    let calls = fakes::calls(&recipes.stage.bin);
    assert!(
        calls
            .iter()
            .any(|call| call.starts_with("docker manifest inspect")),
        "{calls:#?}"
    );
    for call in &calls {
        assert!(LOOKS.iter().any(|looks| call.starts_with(looks)), "{call}");
    }
    assert_eq!(recipes.github.asked(), Vec::<String>::new());
    assert!(recipes.stage.link("srv/shop/current").ends_with("v2"));
}

/// In an enforcing policy every recipe does what its platform documents, once.
fn executed(recipes: &Recipes) {
    // In shadow there is nothing to execute.
    for (name, code, said) in recipes.drill(&["--execute"]) {
        assert_eq!(code, Some(1), "{name}: {said}");
        assert!(said.contains("this policy is in shadow"), "{name}: {said}");
    }
    recipes.policies("enforce");
    recipes.stage.reload();
    for (name, code, said) in recipes.drill(&["--execute"]) {
        assert_eq!(code, Some(0), "{name}: {said}");
        let incident: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(incident["outcome"], "cured", "{name}");
        assert_eq!(incident["drill"], true, "{name}");
    }
    let calls = fakes::calls(&recipes.stage.bin);
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
        assert!(recipes.stage.link(moved).ends_with("v1"), "{moved}");
    }
    let asked = recipes.github.asked();
    let [request] = &asked[..] else {
        panic!("{asked:#?}");
    };
    assert!(
        request.starts_with("POST /repos/example/shop/actions/workflows/rollback.yml/dispatches")
    );
    assert!(
        request.contains("Bearer hunter2") && request.contains("\"image_tag\": \"v1\""),
        "{request}"
    );
    let told = fs::read_to_string(recipes.stage.host.dir.join("told-slack")).unwrap();
    assert!(told.contains("[drill]"), "{told}");
}
