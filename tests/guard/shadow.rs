//! The shadow ledger, through the engine: what counts as evidence, what people
//! make of a fire, and that being fit to enforce changes nothing but words.

use std::time::Duration;

use backstop::guard::{
    Deed, Did, Engine, Event, Fire, Freeze, Gate, Note, Notice, NoticeKind, Order, Person,
    Probation, Ruling, Snapshot, What,
};
use backstop::model::{Gap, GapKind, Outcome, Promote, Word};
use backstop::view::ledger::LedgerView;
use backstop::view::{NoticeView, Status, Style};

use crate::post::{Hands, Post, person};

const POLICY: &str = r#"
service  = "shop"
interval = "5s"
promote  = { after = "2h", evaluations = 1000 }

[sources.web]
type       = "probe"
url        = "http://127.0.0.1:8080/health"
fail_after = 1
pass_after = 1

[release]
current = "reported"
good_after = "1m"

[triggers.down]
when      = "web is down for 30s"
severity  = "critical"
clear_for = "1m"

[plans.rollback]
cooldown = "30m"
budget   = "1000 per 1d"

[[plans.rollback.steps]]
run = ["restart"]

[[escalation]]
notify = ["slack"]

[[escalation]]
after  = "5m"
notify = ["pager"]
"#;

#[derive(Default)]
struct Shadow;

impl Hands for Shadow {
    fn take(_: &mut Post<Self>, order: Order) {
        panic!("in shadow something is run: {order:?}");
    }
}

type World = Post<Shadow>;

impl World {
    /// A good release, and a newer one that runs.
    fn new(policy: &str) -> Self {
        let mut world = Self::guarding(policy);
        world.deploy("v1");
        world.wait(120);
        world.deploy("v2");
        world.wait(60);
        world
    }

    fn call(&mut self, version: &str, word: Word) {
        self.declare(version, word, alice(), "I looked");
    }

    fn order(&mut self, drill: bool) {
        self.step(Event::Ordered {
            service: "shop".into(),
            by: alice(),
            reason: "it is bad".into(),
            to: None,
            plan: None,
            drill,
        });
    }

    fn lost(&mut self, orders: f64) {
        self.count(orders, alice(), "the database");
    }

    fn freeze(&mut self) {
        self.step(Event::Froze {
            service: "shop".into(),
            freeze: Freeze {
                owner: "alice".into(),
                reason: "migration".into(),
                since: self.at,
                until: Some(self.at + Duration::from_mins(30)),
                emergency: None,
            },
        });
    }

    /// Nothing can be said of the service for a while.
    fn blind(&mut self, seconds: u64) {
        for _ in 0..seconds / 5 {
            self.pass();
            let gap = Gap::new(GapKind::NoRoute, "no route");
            self.sample("web", Outcome::Failed(gap));
            self.ticked();
        }
    }

    /// The service is down until the trigger has fired.
    fn fire(&mut self) {
        self.up = false;
        self.wait(40);
    }

    fn recover(&mut self) {
        self.up = true;
        self.wait(90);
    }

    fn row(&self) -> &Probation {
        self.service().ledger.row("down").unwrap()
    }

    fn last_fire(&self) -> &Fire {
        self.row().fires.last().unwrap()
    }

    fn is_fit(&self) -> bool {
        let rule = self.service().policy.triggers[0].promote.unwrap();
        self.row().is_fit(&rule)
    }

    fn said(&self, what: What) -> usize {
        self.notes.iter().filter(|note| note.what == what).count()
    }
}

fn alice() -> Person {
    person("alice", &[])
}

#[test]
fn a_fire_that_nobody_agrees_with_within_its_hour_is_a_false_one() {
    let mut world = World::new(POLICY);
    world.fire();
    let fire = world.last_fire();
    assert_eq!(fire.ruling, Ruling::Open);
    assert_eq!(fire.deed, Some(Deed::RollBack));
    assert_eq!(fire.release.as_deref(), Some("v2"));
    assert_eq!((fire.incident, fire.ended), (Some(1), None));
    world.recover();
    assert!(world.last_fire().ended.is_some());
    world.wait(3600 - 130);
    assert_eq!(world.row().counts.open(), 1, "its hour is not over");
    world.wait(60);
    let counts = world.row().counts;
    assert_eq!((counts.fires, counts.rolled_back), (1, 1));
    assert_eq!((counts.confirmed, counts.refuted), (0, 1));
    assert_eq!(world.last_fire().ruling, Ruling::False);
}

#[test]
fn whoever_agrees_within_the_hour_confirms_a_fire() {
    type Case = (Did, fn(&mut World));
    let cases: [Case; 6] = [
        (Did::Acknowledged, |w| w.acknowledge(alice())),
        (Did::Approved, |w| w.answer(alice(), true)),
        (Did::Ordered, |w| w.order(false)),
        (Did::Lost, |w| w.lost(12.0)),
        (Did::CalledBad, |w| w.call("v2", Word::Bad)),
        (Did::WentBack, |w| w.deploy("v1")),
    ];
    for (did, act) in cases {
        let mut world = World::new(POLICY);
        world.fire();
        world.wait(60);
        act(&mut world);
        assert_eq!(world.last_fire().ruling, Ruling::Confirmed, "{did:?}");
        let kept = &world.last_fire().acts;
        assert_eq!(kept.len(), 1, "{did:?}");
        assert_eq!(kept[0].did, did);
        world.recover();
        world.wait(3600);
        let counts = world.row().counts;
        assert_eq!((counts.confirmed, counts.refuted), (1, 0), "{did:?}");
    }
}

#[test]
fn what_says_nothing_of_the_fire_confirms_nothing() {
    let cases: [fn(&mut World); 6] = [
        |w| w.order(true),
        |w| w.lost(0.0),
        |w| w.call("v1", Word::Bad),
        |w| w.call("v2", Word::Irreversible),
        |w| w.deploy("v3"),
        World::freeze,
    ];
    for (i, act) in cases.into_iter().enumerate() {
        let mut world = World::new(POLICY);
        world.fire();
        act(&mut world);
        assert_eq!(world.last_fire().ruling, Ruling::Open, "case {i}");
        world.recover();
        world.wait(3600);
        assert_eq!(world.last_fire().ruling, Ruling::False, "case {i}");
    }
}

#[test]
fn to_go_back_to_the_release_that_fired_does_not_agree_with_it() {
    let mut world = World::new(POLICY);
    world.fire();
    world.deploy("v3");
    world.wait(60);
    world.deploy("v2");
    assert_eq!(world.row().fires[0].ruling, Ruling::Open);
    world.deploy("v1");
    assert_eq!(world.row().fires[0].ruling, Ruling::Confirmed);
}

#[test]
fn a_contradiction_outweighs_whatever_else_is_said() {
    let contradictions: [fn(&mut World); 2] =
        [|w| w.answer(alice(), false), |w| w.call("v2", Word::Good)];
    for contradict in contradictions {
        let mut world = World::new(POLICY);
        world.fire();
        world.acknowledge(alice());
        assert_eq!(world.row().counts.confirmed, 1);
        contradict(&mut world);
        world.order(false);
        let counts = world.row().counts;
        assert_eq!((counts.confirmed, counts.refuted), (0, 1));
        assert_eq!(world.last_fire().acts.len(), 3);
    }
}

#[test]
fn in_shadow_a_false_alarm_can_be_said_to_be_one() {
    let mut world = World::new(POLICY);
    world.fire();
    world.answer(alice(), false);
    assert_eq!(world.last_fire().ruling, Ruling::False);
    let answered = |note: &&Note| note.what == What::Answered;
    let note = world.notes.iter().find(answered).unwrap();
    let said = "alice rejected: nothing is being asked, the shadow ledger has it";
    assert_eq!(note.reason, said);
    // The incident goes on, and what comes when its hour is over is ignored.
    world.wait(3600);
    world.answer(alice(), false);
    assert_eq!(world.said(What::AnswerIgnored), 1);
    assert_eq!(world.last_fire().acts.len(), 1);
}

#[test]
fn what_is_said_after_the_hour_is_about_no_fire() {
    let mut world = World::new(POLICY);
    world.fire();
    let fired = world.last_fire().at;
    world.wait(3600 - world.at.since(fired).as_secs() - 5);
    assert_eq!(world.at.since(fired), Duration::from_secs(3595));
    // Not yet a tick, and its hour is over.
    world.at = fired + Duration::from_hours(1);
    world.acknowledge(alice());
    assert_eq!(world.last_fire().ruling, Ruling::Open);
    world.wait(5);
    assert_eq!(world.last_fire().ruling, Ruling::False);
    world.call("v2", Word::Bad);
    assert_eq!(world.row().counts.refuted, 1);
    assert!(world.last_fire().acts.is_empty());
}

#[test]
fn the_gate_that_held_a_fire_is_on_record() {
    let mut world = World::new(POLICY);
    world.freeze();
    world.fire();
    assert_eq!(world.last_fire().gate, Some(Gate::Freeze));
    assert_eq!(world.last_fire().deed, None);
    world.wait(1800);
    // The freeze is over, and the hold is still met.
    assert_eq!(world.last_fire().deed, Some(Deed::RollBack));
    let counts = world.row().counts;
    assert_eq!((counts.fires, counts.held, counts.rolled_back), (1, 1, 1));
    world.recover();
    world.fire();
    assert_eq!(world.last_fire().gate, Some(Gate::Cooldown));
    assert_eq!(world.row().counts.held, 2);
}

#[test]
fn it_is_said_once_that_a_trigger_is_fit_and_nothing_else_changes() {
    let mut world = World::new(POLICY);
    world.wait(2 * 3600 - 200);
    assert!(!world.is_fit());
    assert_eq!(world.said(What::Fit), 0);
    world.wait(200);
    assert!(world.is_fit());
    world.wait(3600);
    assert_eq!(world.said(What::Fit), 1);
    let fit: Vec<&Notice> = world
        .notices
        .iter()
        .filter(|n| n.kind == NoticeKind::Fit)
        .collect();
    assert_eq!(fit.len(), 1);
    assert_eq!(fit[0].notify, ["slack"]);
    let view = NoticeView::new(fit[0]);
    assert_eq!(view.title, "[shadow] shop: down is fit to enforce");
    let said = "judged for 2h, 1441 evaluations, fires: 0, false ones: 0;";
    assert!(view.text.contains(said), "{}", view.text);
    assert!(view.text.contains("backstop shadow shop"), "{}", view.text);
    // `Shadow` panics if anything is run.
    world.fire();
    assert_eq!(world.last_fire().deed, Some(Deed::RollBack));
    assert!(!world.is_fit(), "what is open may be false");
    world.acknowledge(alice());
    assert!(world.is_fit());
    world.recover();
    assert_eq!(world.said(What::Fit), 1);
}

#[test]
fn a_false_fire_more_than_the_rule_allows_is_never_forgiven() {
    let mut world = World::new(POLICY);
    world.fire();
    world.recover();
    world.wait(10 * 3600);
    assert!(!world.is_fit());
    let one = POLICY.replace("evaluations = 1000", "evaluations = 1000, false_fires = 1");
    world.revise(&one);
    assert!(world.is_fit(), "another rule is asked of the same evidence");
    world.wait(5);
    assert_eq!(world.said(What::Fit), 1);
}

#[test]
fn people_are_told_when_no_incident_is_open() {
    let two = format!(
        "{}\n[triggers.slow]\nwhen = \"web is down for 10s\"\nseverity = \"low\"\npromote = {{ after = \"365d\" }}\n",
        POLICY.replace(
            "severity  = \"critical\"",
            "severity  = \"critical\"\nmin_events = 1"
        )
    );
    let mut world = World::new(&two);
    world.wait(2 * 3600 - 200);
    world.up = false;
    world.wait(20);
    world.up = true;
    // Fired is `slow` alone, whose incident is open.
    world.wait(90);
    assert!(world.is_fit());
    assert_eq!(world.said(What::Fit), 0);
    world.wait(120);
    assert_eq!(world.said(What::Fit), 1);
}

#[test]
fn only_time_with_a_verdict_is_watched() {
    let mut world = World::new(POLICY);
    let (watched_ms, evaluations) = (world.row().watched_ms, world.row().evaluations);
    world.wait(60);
    assert_eq!(world.row().watched_ms - watched_ms, 60_000);
    assert_eq!(world.row().evaluations - evaluations, 12);
    // Blind for an hour.
    let before = world.row().clone();
    world.blind(3600);
    assert_eq!(world.row().evaluations, before.evaluations);
    world.wait(60);
    assert_eq!(world.row().watched_ms - before.watched_ms, 55_000);
    // The agent does not run for a day.
    let before = world.row().clone();
    world.at = world.at + Duration::from_hours(24);
    world.restart();
    assert_eq!(*world.row(), before, "evidence survives a restart");
    world.wait(60);
    assert_eq!(world.row().watched_ms - before.watched_ms, 55_000);
    // A restart that takes no longer than `max_gap` is no gap.
    let before_ms = world.row().watched_ms;
    world.at = world.at + Duration::from_secs(10);
    world.wait(5);
    assert_eq!(world.row().watched_ms - before_ms, 15_000);
}

#[test]
fn evidence_is_of_one_condition_and_outlives_everything_else() {
    let mut world = World::new(POLICY);
    world.fire();
    world.recover();
    let evidence = world.row().clone();
    let same = [
        POLICY.replace("cooldown = \"30m\"", "cooldown = \"1h\""),
        POLICY.replace("severity  = \"critical\"", "severity = \"high\""),
        POLICY.replace("web is down for 30s", "web  is  down for 30s"),
        POLICY.replace("promote  = { after = \"2h\", evaluations = 1000 }", ""),
        POLICY
            .replace(
                "service  = \"shop\"",
                "service = \"shop\"\nmode = \"enforce\"",
            )
            .replace("clear_for = ", "mode = \"shadow\"\nclear_for = "),
    ];
    for text in same {
        world.revise(&text);
        assert_eq!(*world.row(), evidence, "{text}");
    }
    // An editor may remove a file to write it anew.
    world.step(Event::Removed {
        service: "shop".into(),
    });
    assert!(!world.engine.state().services.contains_key("shop"));
    world.at = world.at + Duration::from_secs(3);
    world.revise(POLICY);
    assert_eq!(*world.row(), evidence);
    // Another condition, and the old one again: nothing of it is left.
    world.at = world.at + Duration::from_secs(60);
    for text in [
        POLICY.replace("web is down for 30s", "web is down for 35s"),
        POLICY.to_owned(),
    ] {
        world.revise(&text);
        assert_eq!(world.row().since, world.at);
        assert_eq!((world.row().evaluations, world.row().counts.fires), (0, 0));
    }
}

#[test]
fn whoever_enforces_and_goes_back_to_shadow_begins_anew() {
    let mut world = World::new(POLICY);
    let enforce = POLICY.replace("interval = ", "mode = \"enforce\"\ninterval = ");
    world.revise(&enforce);
    assert!(world.service().ledger.row("down").is_none());
    world.revise(POLICY);
    assert_eq!(world.row().evaluations, 0);
}

#[test]
fn the_state_of_an_agent_that_kept_no_ledger_loads() {
    let mut world = World::new(POLICY);
    let mut state = serde_json::to_value(world.engine.snapshot()).unwrap();
    let service = &mut state["services"]["shop"];
    service.as_object_mut().unwrap().remove("ledger").unwrap();
    let policy = service["policy"]["triggers"][0].as_object_mut().unwrap();
    policy.remove("promote").unwrap();
    let snapshot: Snapshot = serde_json::from_value(state).unwrap();
    world.engine = Engine::restore(snapshot);
    world.restart();
    world.wait(60);
    assert_eq!(world.row().evaluations, 12);
}

#[test]
fn a_hundred_fires_are_kept_and_all_are_counted() {
    let text = POLICY.replace("cooldown = \"30m\"", "cooldown = \"0s\"");
    let mut world = World::new(&text);
    for _ in 0..120 {
        world.fire();
        world.recover();
    }
    let row = world.row();
    assert_eq!(row.fires.len(), Probation::FIRES);
    assert_eq!((row.counts.fires, row.counts.rolled_back), (120, 120));
    assert_eq!(row.counts.open() + row.counts.refuted, 120);
    let open = row.fires.iter().filter(|f| f.ruling == Ruling::Open);
    assert_eq!(open.count() as u64, row.counts.open());
    world.wait(3600);
    assert_eq!(world.row().counts.refuted, 120);
}

#[test]
fn status_and_ledger_say_it_in_words() {
    let mut world = World::new(POLICY);
    world.wait(1800);
    world.fire();
    world.wait(120);
    world.acknowledge(alice());
    world.recover();
    world.wait(2400);
    world.fire();
    world.recover();
    let state = world.engine.state();
    let wide = Style {
        width: 160,
        colour: false,
    };
    let status = Status::new(state, None, None).text(wide);
    let lines: Vec<&str> = status
        .lines()
        .filter(|l| l.starts_with("  shadow"))
        .collect();
    insta::assert_snapshot!("status", lines.join("\n"));
    let ledger = LedgerView::of(state, Some("shop"));
    insta::assert_snapshot!("ledger", LedgerView::text(&ledger, Style::default()));
    let json = serde_json::to_value(&ledger).unwrap();
    assert_eq!(json[0]["triggers"][0]["fires"][0]["ruling"], "confirmed");
    assert_eq!(json[0]["triggers"][0]["shadow"]["fit"], false);
}

#[test]
fn what_a_trigger_leaves_out_is_the_policy_s_and_what_that_leaves_out_has_defaults() {
    let rule = |text: &str| {
        let loaded = backstop::policy::load("shop.toml", text);
        let policy = loaded.policy.unwrap();
        policy.triggers[0].promote
    };
    let plain = POLICY.replace("promote  = { after = \"2h\", evaluations = 1000 }", "");
    assert_eq!(rule(&plain), None);
    let own = plain.replace("clear_for = ", "promote = {}\nclear_for = ");
    assert_eq!(rule(&own), Some(Promote::default()));
    let both = POLICY.replace(
        "clear_for = ",
        "promote = { false_fires = 3 }\nclear_for = ",
    );
    let expected = Promote {
        after: Duration::from_hours(2),
        evaluations: 1000,
        false_fires: 3,
    };
    assert_eq!(rule(&both), Some(expected));
    let enforce = POLICY.replace("interval = ", "mode = \"enforce\"\ninterval = ");
    assert_eq!(rule(&enforce), None);
}
