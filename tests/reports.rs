//! What the real agent tells of an incident afterwards, over its socket: also
//! of one that it has long forgotten.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;

use backstop::guard::Service;
use host::Host;

/// A plan that touches nothing, and is over at once.
fn harmless() -> String {
    format!(
        "{}[triggers.errors]\nwhen = \"error_rate > 5% for 1m\"\nseverity = \"critical\"\n[plans.rollback]\nverify = {{ require = [\"error_rate < 5%\"], within = \"30s\", watch = \"100ms\" }}\n\
         [[plans.rollback.steps]]\nname = \"say so\"\nrun = [\"/bin/echo\", \"restored {{incident}}\"]\n",
        host::SOURCES
    )
}

#[test]
fn an_incident_that_the_state_has_forgotten_is_told_from_the_journal() {
    let mut host = Host::new("forgotten");
    host.release("good");
    host.write("shop.toml", &harmless());
    host.start();
    host.until_ticks(3);
    let before = host.order(&["incidents", "1"]);
    assert_eq!(before.0, Some(1), "{before:?}");
    for number in 1..=Service::CLOSED + 1 {
        let reason = format!("rehearsal {number}");
        let ordered = host.order(&["rollback", "shop", "--reason", &reason]);
        assert_eq!(ordered.0, Some(0), "{ordered:?}");
        host.wait("the close", || {
            (host.count("closed") == number).then_some(())
        });
    }
    let listed = host.order(&["incidents", "--format", "json"]).1;
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert!(listed.iter().all(|line| line["number"] != 1), "{listed:?}");
    for restarted in [false, true] {
        let (code, told) = host.order(&["incidents", "1"]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("rehearsal 1"), "{told}");
        assert!(!told.contains("rehearsal 2"), "{told}");
        let (code, report) = host.order(&["report", "1"]);
        assert_eq!(code, Some(0), "{report}");
        assert!(report.contains("restored 1"), "{report}");
        assert!(!report.contains("restored 2"), "{report}");
        assert!(report.contains("| Outcome | cured |"), "{report}");
        if !restarted {
            assert_eq!(host.stop(), Some(0));
            host.start();
        }
    }
    let none = host.order(&["report", "99"]);
    assert_eq!(none.0, Some(1));
    assert!(none.1.contains("there is no incident 99"), "{none:?}");
}
