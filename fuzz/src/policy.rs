//! Any text is a policy, or faults with their places inside the text; and the
//! engine judges by whatever policy was taken.

use std::sync::Arc;

use backstop::guard::{Engine, Event};
use backstop::model::{Gap, GapKind, Moment, Outcome};
use backstop::policy::{Fault, load, load_config, render};

/// The bytes as a policy, and as the agent's config.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let loaded = load("fuzz.toml", text);
    assert_eq!(loaded.policy.is_none(), !loaded.faults.is_empty());
    told(text, &loaded.faults);
    told(text, &loaded.warnings);
    if let Some(policy) = loaded.policy {
        let policy = Arc::new(policy);
        let mut engine = Engine::new();
        let hash = "fuzzed".to_owned();
        engine.step(
            Moment::ZERO,
            Event::Revised {
                policy: Arc::clone(&policy),
                hash,
            },
        );
        let mut tick = Moment::ZERO;
        for _ in 0..4 {
            tick = tick + policy.interval;
            for source in policy.sources.keys() {
                let outcome = Outcome::Failed(Gap::new(GapKind::Refused, "connection refused"));
                engine.step(
                    tick,
                    Event::Sampled {
                        service: policy.service.clone(),
                        source: source.clone(),
                        tick,
                        outcome,
                    },
                );
            }
            engine.step(
                tick,
                Event::Ticked {
                    service: policy.service.clone(),
                    tick,
                    wall_ahead_ms: 0,
                },
            );
            assert!(engine.deadline().is_none_or(|due| due > tick));
        }
    }
    let config = load_config("fuzz.toml", text);
    assert_eq!(config.config.is_none(), !config.faults.is_empty());
    told(text, &config.faults);
    told(text, &config.warnings);
}

/// Each fault is at a place in the text, and can be shown there.
fn told(text: &str, faults: &[Fault]) {
    for place in faults.iter().filter_map(|fault| fault.place.as_ref()) {
        let end = place.offset + place.length;
        assert!(
            text.get(place.offset..end).is_some(),
            "{place:?} is not a place in {text:?}"
        );
    }
    assert_eq!(faults.is_empty(), render(faults, text, false).is_empty());
}
