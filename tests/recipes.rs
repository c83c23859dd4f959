//! The shipped recipes: each loads and lints clean, and its plan is driven from
//! a person's order to the verification, its programs faked by ones that take
//! what the real ones document, and refuse the rest.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "fakes are real programs")]

#[path = "recipes/fakes.rs"]
mod fakes;
#[path = "drilled/shipped.rs"]
mod shipped;

use std::fs;
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{Command, Engine, Event, Person, Phase, What};
use backstop::model::{Action, HowEnded, Moment, Output, StepEnd};
use backstop::policy::{lint_with_config, load, load_config};
use shipped::shipped;

#[test]
fn every_recipe_loads_without_a_warning_and_in_shadow() {
    let text = fs::read_to_string("policies/agent/backstop.toml").unwrap();
    let config = load_config("backstop.toml", &text).config.unwrap();
    let all = shipped("policies/recipes");
    assert_eq!(all.len(), 11);
    for (name, text) in all {
        let loaded = load(&name, &text);
        assert_eq!(loaded.faults, [], "{name}");
        assert_eq!(loaded.warnings, [], "{name}");
        assert_eq!(lint_with_config(&loaded, &config), [], "{name}");
        let mode = loaded.policy.unwrap().mode;
        assert_eq!(mode, backstop::model::Mode::Shadow, "{name}");
    }
}

#[test]
fn every_recipe_is_driven_to_its_verification() {
    let dir = tempfile::tempdir().unwrap();
    fakes::write(dir.path(), "/srv");
    for (name, text) in shipped("policies/recipes") {
        let ran = drive(&name, &text, dir.path());
        assert!(!ran.is_empty(), "{name}");
    }
}

/// Orders a rollback and does what is ordered, up to the verification. Returns
/// the names of the steps.
fn drive(name: &str, text: &str, fakes: &Path) -> Vec<String> {
    let text = text.replacen("service = ", "mode = \"enforce\"\nservice = ", 1);
    let loaded = load(name, &text);
    let policy = loaded
        .policy
        .unwrap_or_else(|| panic!("{name}: {:#?}", loaded.faults));
    let releases = policy.release.is_some();
    let mut engine = Engine::new();
    let mut at = Moment::from_millis(1_000_000);
    let shop = || "shop".to_owned();
    let mut step = |event| {
        at = at + Duration::from_secs(1);
        engine.step(at, event)
    };
    step(Event::Revised {
        policy: Arc::new(policy),
        hash: "9f2c".into(),
    });
    for version in ["v1", "v2"] {
        step(Event::Released {
            service: shop(),
            version: version.into(),
        });
    }
    let mut commands = step(Event::Ordered {
        service: shop(),
        by: Person {
            name: "ann".into(),
            roles: Vec::new(),
        },
        reason: "a rehearsal".into(),
        to: releases.then(|| "v1".into()),
        plan: None,
        drill: false,
    });
    let mut ran = Vec::new();
    loop {
        let note = |what| {
            commands
                .iter()
                .find(|c| matches!(c, Command::Note(n) if n.what == what))
        };
        assert_eq!(note(What::Refused), None, "{name}");
        assert_eq!(note(What::StepFailed), None, "{name}");
        let order = commands.iter().find_map(|c| match c {
            Command::Run(order) => Some(order.clone()),
            _ => None,
        });
        let Some(order) = order else { break };
        let end = StepEnd {
            how: done(&order.action, fakes),
            output: Output::default(),
            took: Duration::from_secs(1),
        };
        ran.push(order.name);
        step(Event::Starting {
            service: shop(),
            ticket: order.ticket,
            step: order.step,
        });
        commands = step(Event::Finished {
            service: shop(),
            ticket: order.ticket,
            step: order.step,
            end,
        });
    }
    let phase = &engine.state().services["shop"].phase;
    assert!(matches!(phase, Phase::Verifying(_)), "{name}: {phase:?}");
    ran
}

/// Runs the fake of a program; what is no program is looked at.
fn done(action: &Action, fakes: &Path) -> HowEnded {
    match action {
        Action::Run { argv, env } => {
            let came = Program::new(fakes.join(&argv[0]))
                .args(&argv[1..])
                .envs(env)
                .output()
                .unwrap_or_else(|e| panic!("{argv:?}: {e}"));
            match came.status.code() {
                Some(0) => HowEnded::Succeeded,
                code => panic!(
                    "{argv:?}: {code:?}: {}",
                    String::from_utf8_lossy(&came.stderr)
                ),
            }
        }
        Action::Symlink { link, to } => {
            assert!(link.starts_with('/') && to.ends_with("v1"), "{link} {to}");
            HowEnded::Succeeded
        }
        Action::Systemd { unit, .. } => {
            assert!(unit == "shop.service" || unit == "nginx.service", "{unit}");
            HowEnded::Succeeded
        }
        Action::Http(request) => {
            let body: serde_json::Value =
                serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
            assert_eq!(body["inputs"]["image_tag"], "v1");
            assert_eq!(request.expect.status, [204]);
            HowEnded::Succeeded
        }
    }
}
