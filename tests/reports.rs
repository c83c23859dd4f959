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

/// The checklist says how long all has been well by now: a tick later it says
/// another time.
fn without_checklist(page: &str) -> String {
    let lines = page.lines();
    lines
        .filter(|line| !line.contains("class=\"sign\""))
        .collect()
}

#[test]
fn the_report_of_an_open_incident_has_its_curve() {
    let mut host = Host::new("open");
    host.release("good");
    let policy = harmless().replace(
        "for 1m\"\nseverity = \"critical\"",
        "for 1s\"\nseverity = \"low\"",
    );
    host.write("shop.toml", &policy);
    host.start();
    host.until_ticks(8);
    host.release("bad");
    host.until("opened");
    let (code, report) = host.order(&["report", "1"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("| Closed | still open |"), "{report}");
    assert!(report.contains("; errors fires at > 5%\n"), "{report}");
}

#[test]
fn a_report_has_the_curve_of_what_happened_and_no_markup_from_outside() {
    let mut host = Host::new("report");
    host.release("good");
    let policy = format!(
        "{}[triggers.errors]\nwhen = \"error_rate > 5% for 1s\"\nseverity = \"critical\"\n\
         [release]\ncurrent = {{ symlink = \"DIR/current\" }}\ngood_after = \"1s\"\n\
         [plans.rollback]\nexpect = \"1m\"\ngoal = \"1ms\"\n\
         verify = {{ require = [\"error_rate < 5% for 1s\"], within = \"30s\", watch = \"1s\" }}\n\
         [[plans.rollback.steps]]\nname = \"point current back\"\n\
         symlink = {{ link = \"DIR/current\", to = \"DIR/releases/{{target}}\" }}\n\
         [[plans.rollback.steps]]\nname = \"say so\"\n\
         run = [\"/bin/echo\", \"<script>alert(1)</script>\"]\n",
        host::SOURCES
    );
    host.write("shop.toml", &policy);
    host.start();
    host.until("judged");
    host.release("bad<script>");
    host.until("closed");
    let (code, report) = host.order(&["report", "1"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("; errors fires at > 5%\n"), "{report}");
    assert!(report.contains("| Counted | error_rate: "), "{report}");
    assert!(report.contains("| roll back | "), "{report}");
    assert!(report.contains("1ms, the plan's goal | no, "), "{report}");
    assert!(report.contains("- [x] app answers"), "{report}");
    assert!(report.contains("seen for "), "it is too early: {report}");
    let (code, page) = host.order(&["report", "1", "--format", "html"]);
    assert_eq!(code, Some(0), "{page}");
    assert_eq!(page.matches("<svg").count(), 1, "{page}");
    assert!(page.contains("<polyline class=\"curve\""), "{page}");
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("bad&lt;script&gt;"), "{page}");
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    let served = host.get("/api/v1/incidents/1/report/html");
    assert_eq!(without_checklist(&served), without_checklist(&page));
    // The samples are gone: it says so, and the rest is there.
    assert_eq!(host.stop(), Some(0));
    for entry in std::fs::read_dir(host.dir.join("state")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "seg") {
            std::fs::write(path, b"").unwrap();
        }
    }
    host.start();
    let (code, report) = host.order(&["report", "1"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("There are no plots"), "{report}");
    assert!(report.contains("which cured it"), "{report}");
}
