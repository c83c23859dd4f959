//! People who answer, and who do not: who counts, what comes too late, what
//! withdraws a question, and what stays on record of an override.

use std::time::Duration;

use backstop::guard::{Event, Freeze, NoticeKind, Override, Phase, What};
use backstop::model::{Otherwise, Response};

use crate::post::{Hands, Post, person, shop};

fn policy(severity: &str, approve: &str) -> String {
    format!(
        shop!(
            r#"
[sources.db]
type       = "tcp"
address    = "127.0.0.1:5432"
fail_after = 1
pass_after = 1

[triggers.down]
when      = "web is down for 10s"
severity  = "{severity}"
clear_for = "10s"
{approve}

[triggers.database]
when     = "db is down for 10s"
severity = "critical"

[[plans.rollback.steps]]
run = ["back"]

[[escalation]]
notify = ["slack"]
"#
        ),
        severity = severity,
        approve = approve
    )
}

#[derive(Default)]
struct People;

impl Hands for People {}

type World = Post<People>;

impl World {
    /// It has just asked whether to roll back.
    fn asking(approve: &str) -> Self {
        let mut world = Self::guarding(&policy("high", approve));
        world.ticks(4, false, true);
        assert!(
            matches!(world.phase(), Phase::Asking(_)),
            "{:?}",
            world.phase()
        );
        world
    }

    fn ticks(&mut self, ticks: u32, web: bool, db: bool) {
        for _ in 0..ticks {
            self.pass();
            self.probe("web", web);
            self.probe("db", db);
            self.ticked();
        }
    }

    /// Somebody agrees, for the role that is said.
    fn approve(&mut self, name: &str, roles: &[&str], role: Option<&str>) {
        self.step(Event::Answered {
            incident: 1,
            by: person(name, roles),
            role: role.map(str::to_owned),
            approve: true,
            reason: String::new(),
            link: None,
        });
    }

    /// Somebody follows a link that was made for a question.
    fn follow(&mut self, name: &str, roles: &[&str], question: u32) {
        self.step(Event::Answered {
            incident: 1,
            by: person(name, roles),
            role: None,
            approve: true,
            reason: String::new(),
            link: Some(question),
        });
    }
}

const EACH: &str = "approve = { roles = [\"technical-lead\", \"release-manager\"], each = true, within = \"15m\" }";

#[test]
fn one_of_each_role_must_agree_and_two_of_one_are_not_enough() {
    let mut world = World::asking(EACH);
    assert!(
        world
            .last(What::Asked)
            .ends_with("one of each of technical-lead, release-manager must agree within 15m"),
        "{}",
        world.last(What::Asked)
    );
    world.approve("alice", &["technical-lead"], None);
    world.approve("bob", &["technical-lead"], None);
    assert_eq!(
        world.last(What::Answered),
        "bob approved (2 of 2; still asked: release-manager)"
    );
    assert!(world.orders.is_empty());
    world.approve("carol", &["release-manager"], None);
    assert_eq!(world.orders.len(), 1);
}

#[test]
fn who_holds_both_roles_speaks_for_the_one_that_serves_best_or_that_is_said() {
    // The order does not matter: alice moves over for bob.
    let both = &["technical-lead", "release-manager"][..];
    let mut world = World::asking(EACH);
    world.approve("alice", both, None);
    assert!(world.orders.is_empty(), "a person speaks for one role");
    world.approve("bob", &["technical-lead"], None);
    assert_eq!(world.orders.len(), 1);
    // Who says which speaks for that one.
    let mut world = World::asking(EACH);
    world.approve("alice", both, Some("technical-lead"));
    world.approve("bob", &["technical-lead"], None);
    assert!(world.orders.is_empty());
}

#[test]
fn a_quorum_without_each_counts_people_of_any_role() {
    let mut world = World::asking(
        "approve = { roles = [\"technical-lead\", \"release-manager\"], quorum = 2, within = \"15m\" }",
    );
    world.approve("alice", &["technical-lead"], None);
    world.approve("alice", &["technical-lead"], None);
    assert!(
        world
            .last(What::AnswerIgnored)
            .ends_with("a person counts once")
    );
    world.approve("mallory", &["dba"], None);
    assert!(
        world
            .last(What::AnswerIgnored)
            .ends_with("holds none of technical-lead, release-manager")
    );
    assert!(world.orders.is_empty());
    world.approve("bob", &["technical-lead"], None);
    assert_eq!(world.orders.len(), 1);
}

#[test]
fn an_answer_after_the_deadline_is_only_noted() {
    let mut world = World::asking(EACH);
    world.ticks(181, false, true);
    assert!(matches!(world.phase(), Phase::Escalated { .. }));
    world.approve("alice", &["technical-lead"], None);
    assert_eq!(
        world.last(What::AnswerIgnored),
        "alice approved, but nothing is being asked"
    );
    assert!(world.orders.is_empty());
}

#[test]
fn a_recovery_withdraws_the_question_and_a_critical_trigger_overtakes_it() {
    let mut world = World::asking(EACH);
    world.ticks(5, true, true);
    assert!(!world.last(What::Withdrawn).is_empty());
    assert_eq!(world.phase(), &Phase::Watching);

    let mut world = World::asking(EACH);
    world.ticks(4, false, false);
    assert_eq!(
        world.last(What::Overtaken),
        "database takes the lead of the incident"
    );
    assert_eq!(
        world.orders.len(),
        1,
        "nobody is asked about a critical one"
    );
}

#[test]
fn the_severity_says_how_long_people_may_take() {
    for (severity, within) in [("critical", None), ("high", Some(1)), ("medium", Some(4))] {
        let loaded = backstop::policy::load("shop.toml", &policy(severity, ""));
        let response = loaded.policy.unwrap().triggers[0].response.clone();
        match (response, within) {
            (Response::Rollback, None) => {}
            (Response::Approve(approve), Some(hours)) => {
                assert_eq!(approve.within, Duration::from_secs(hours * 3600));
                assert_eq!(approve.otherwise, Otherwise::Escalate);
            }
            other => panic!("{severity}: {other:?}"),
        }
    }
}

#[test]
fn an_emergency_override_ends_by_itself_and_reminds_of_what_was_promised() {
    let mut world = World::guarding(&policy("critical", ""));
    world.step(Event::Froze {
        service: "shop".into(),
        freeze: Freeze {
            owner: "alice".into(),
            reason: "hot fix 41".into(),
            since: world.at,
            until: Some(world.at + Duration::from_secs(3600)),
            emergency: Some(Override {
                authorised_by: "carol".into(),
                risk: "payments may fail".into(),
                plan: "run the validation".into(),
            }),
        },
    });
    assert_eq!(
        world.last(What::Frozen),
        "emergency override by alice for 1h, authorised by carol: hot fix 41; \
         risk: payments may fail; to validate afterwards: run the validation"
    );
    world.ticks(700, false, true);
    assert!(world.orders.is_empty(), "it does not act meanwhile");
    let told = |world: &World, kind| -> Vec<String> {
        let notices = world.notices.iter().filter(|n| n.kind == kind);
        notices.map(|n| n.reason.clone()).collect()
    };
    let before = "the emergency override ends in 5m; then validate: run the validation";
    assert_eq!(told(&world, NoticeKind::FreezeEnding), [before]);
    world.ticks(25, false, true);
    let after = "the emergency override that carol authorised has ended; to validate now: run the validation";
    assert_eq!(told(&world, NoticeKind::FreezeEnding), [before, after]);
    assert_eq!(world.orders.len(), 1, "it acts again");
}

#[test]
fn a_notice_that_asks_says_which_question_it_asks_and_no_other_does() {
    let mut world = World::asking(EACH);
    let Phase::Asking(question) = world.phase().clone() else {
        panic!("{:?}", world.phase());
    };
    world.ticks(400, false, true);
    let asking: Vec<_> = world
        .notices
        .iter()
        .filter(|n| n.question.is_some())
        .collect();
    assert_eq!(asking.len(), 1);
    let asked = asking[0].question.as_ref().unwrap();
    assert_eq!(asking[0].kind, NoticeKind::Asked);
    assert_eq!((asked.number, asked.deadline), (1, question.deadline));
    assert_eq!(asked.roles, question.approve.roles);
}

#[test]
fn a_shadow_trigger_that_takes_the_lead_offers_no_question_of_another() {
    let text = policy("high", "").replace(
        "when     = \"db is down for 10s\"\nseverity = \"critical\"",
        "when     = \"db is down for 10s\"\nseverity = \"high\"\nmode     = \"shadow\"",
    );
    let mut world = World::guarding(&text);
    world.ticks(4, false, true);
    assert!(matches!(world.phase(), Phase::Asking(_)));
    // The one that would ask fires; then the one that asks is resolved.
    world.ticks(4, false, false);
    world.ticks(4, true, false);
    assert_eq!(world.last(What::WouldAsk), "plan rollback");
    let asking = world.notices.iter().filter(|n| n.kind == NoticeKind::Asked);
    let asking: Vec<_> = asking
        .map(|n| (n.trigger.as_deref(), n.question.is_some()))
        .collect();
    assert_eq!(asking, [(Some("down"), true), (Some("database"), false)]);
}

#[test]
fn a_link_answers_once_and_counts_as_the_person_it_stands_for() {
    let mut world = World::asking(EACH);
    let both = &["technical-lead", "release-manager"][..];
    world.follow("alice", both, 1);
    assert_eq!(
        world.last(What::Answered),
        "alice approved by a link (1 of 2; still asked: release-manager)"
    );
    // Another link of hers, or the socket: she stays one person.
    world.follow("alice", both, 1);
    assert_eq!(
        world.last(What::AnswerIgnored),
        "alice approved by a link again: a person counts once"
    );
    world.approve("alice", both, Some("release-manager"));
    assert!(world.orders.is_empty());
    world.follow("mallory", &["dba"], 1);
    assert!(world.orders.is_empty());
    world.follow("bob", &["release-manager"], 1);
    assert_eq!(world.orders.len(), 1);
    world.follow("carol", &["release-manager"], 1);
    assert_eq!(
        world.last(What::AnswerIgnored),
        "carol approved by a link, but nothing is being asked"
    );
}

#[test]
fn a_link_answers_no_other_question_than_its_own() {
    let mut world = World::asking(EACH);
    for other in [0, 2] {
        world.follow("alice", &["technical-lead"], other);
        assert_eq!(
            world.last(What::AnswerIgnored),
            "alice approved by a link, but that is asked no more: another question is"
        );
    }
    assert!(matches!(world.phase(), Phase::Asking(q) if q.approvals.is_empty()));
}

#[test]
fn a_link_that_is_followed_when_the_incident_is_closed_is_noted_in_it() {
    let mut world = World::asking(EACH);
    world.ticks(5, true, true);
    assert_eq!(world.phase(), &Phase::Watching);
    world.follow("alice", &["technical-lead"], 1);
    let note = world.notes.last().unwrap();
    assert_eq!((note.what, note.incident), (What::AnswerIgnored, Some(1)));
    assert_eq!(
        note.reason,
        "alice approved by a link, but the incident is closed"
    );
    let closed = &world.service().closed[0];
    assert_eq!(closed.timeline.last(), Some(note));
    // On the socket it is told to who asks, and is nothing to note.
    let before = world.notes.len();
    world.approve("alice", &["technical-lead"], None);
    assert_eq!(world.notes.len(), before);
}
