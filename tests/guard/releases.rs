//! Where a rollback goes, through the engine and as people read it: what is
//! good and bad, who says so, and which release is the target.

use std::sync::Arc;

use backstop::guard::{Event, NoticeKind, Order, Person, Phase, What};
use backstop::model::{Action, HowEnded, Outcome, Output, Sample, Series, Standing, Word};
use backstop::view::{Status, Style};

use crate::post::{Hands, Post, TICK, person, shop};

/// A service that is down or up, and how it is rolled back.
const POLICY: &str = shop!(
    r#"
[sources.app]
type = "scrape"
url  = "http://127.0.0.1:9464/metrics"

[triggers.down]
when     = "web is down for 10s"
severity = "critical"

[plans.rollback]
cooldown = "0s"
budget   = "100 per 24h"
verify   = { require = ["web is up for 10s"], within = "30s", otherwise = "next", watch = "10s" }

[[plans.rollback.steps]]
name = "roll back"
run  = ["roll", "{target}"]

[[escalation]]
notify = ["slack"]
"#
);

#[derive(Default)]
struct Releases;

impl Hands for Releases {}

type World = Post<Releases>;

impl World {
    /// A service with these keys of `[release]`.
    fn new(release: &str) -> Self {
        Self::guarding(&with_release(POLICY, release))
    }

    /// A page on which so many processes say that they run a version.
    fn page(&mut self, versions: &[(&str, usize)]) {
        let mut samples = Vec::new();
        for (version, processes) in versions {
            for pod in 0..*processes {
                let labels = [
                    ("pod", format!("{version}-{pod}")),
                    ("version", (*version).into()),
                ];
                let labels = labels.map(|(name, value)| (name.to_owned(), value));
                samples.push(Sample {
                    series: Arc::new(Series::new("app_build_info", labels.to_vec())),
                    value: 1.0,
                });
            }
        }
        // It answers before the tick that it was asked for.
        self.step(Event::Sampled {
            service: "shop".into(),
            source: "app".into(),
            tick: self.at + TICK,
            outcome: Outcome::Scraped(samples),
        });
        self.tick();
    }

    /// These releases ran, each until it was good.
    fn ran(mut self, versions: &[&str]) -> Self {
        for version in versions {
            self.deploy(version);
            self.wait(40);
            assert_eq!(self.standing(version), Standing::Good);
        }
        self
    }

    /// A release comes that does not work, and is rolled back from, or held.
    fn breaks(&mut self, version: &str) {
        self.deploy(version);
        self.up = false;
        self.wait(20);
    }

    /// The step that was ordered last ends; a rollback that succeeds has its
    /// target run.
    fn rolled(&mut self, how: HowEnded) {
        let order = self.begin();
        if let (true, [program, target]) = (how.is_success(), argv(&order))
            && program == "roll"
        {
            self.deploy(target);
        }
        self.finish(order, how, Output::default());
    }

    fn say(&mut self, version: &str, word: Word) {
        self.declare(version, word, ann(), "loses orders");
    }

    /// A person orders a rollback to this release.
    fn order(&mut self, to: &str) {
        self.step(Event::Ordered {
            service: "shop".into(),
            by: ann(),
            reason: "now".into(),
            to: Some(to.into()),
            plan: None,
            drill: false,
        });
    }

    fn standing(&self, version: &str) -> Standing {
        let release = self.service().releases.find(version);
        release.expect("it was seen").standing
    }

    /// The command lines that were ordered.
    fn ordered(&self) -> Vec<String> {
        self.orders.iter().map(|o| argv(o).join(" ")).collect()
    }

    fn status(&self) -> String {
        Status::new(self.engine.state(), None, None).text(Style::default())
    }
}

fn argv(order: &Order) -> &[String] {
    match &order.action {
        Action::Run { argv, .. } => argv,
        other => panic!("no program: {other:?}"),
    }
}

fn ann() -> Person {
    person("ann", &[])
}

/// A policy with these keys of `[release]`.
fn with_release(policy: &str, release: &str) -> String {
    format!("{policy}\n[release]\ngood_after = \"30s\"\n{release}\n")
}

#[test]
fn a_release_that_a_person_calls_bad_is_never_gone_back_to() {
    let mut world = World::new("").ran(&["v1", "v2"]);
    world.say("v2", Word::Bad);
    assert!(matches!(world.phase(), Phase::Watching));
    world.breaks("v3");
    assert_eq!(world.ordered(), ["roll v1"]);
    assert!(
        world.status().contains("said      v2 is bad: ann"),
        "{}",
        world.status()
    );
}

#[test]
fn a_bad_release_that_runs_is_no_trigger() {
    let mut world = World::new("").ran(&["v1", "v2"]);
    world.say("v2", Word::Bad);
    world.wait(120);
    assert!(matches!(world.phase(), Phase::Watching));
    assert_eq!(world.standing("v2"), Standing::Bad, "not by running well");
    assert!(world.orders.is_empty());
}

#[test]
fn a_release_that_people_put_where_a_shadow_would_have_gone_is_not_the_agents_own() {
    // The one in shadow is first, then the one that acts asks, and nobody answers.
    let shadow = POLICY.replace("\"critical\"", "\"critical\"\nmode = \"shadow\"");
    let asks = "[triggers.asks]\nwhen = \"web is down for 30s\"\nseverity = \"high\"\n\
                approve = { within = \"20s\" }";
    let mut world = World::new("");
    world.revise(&with_release(&format!("{shadow}\n{asks}"), ""));
    let mut world = world.ran(&["v1"]);
    world.breaks("v2");
    assert_eq!(
        world.last(What::WouldRollBack),
        "plan rollback from release v2 to v1"
    );
    world.wait(60);
    assert!(matches!(world.phase(), Phase::Escalated { .. }));
    assert!(world.orders.is_empty());
    let fired = |world: &World| world.service().judge.trigger("asks").unwrap().fired;
    assert!(fired(&world).is_some());
    world.deploy("v1");
    assert_eq!(world.last(What::Release), "release v1 replaces v2");
    assert_eq!(world.service().releases.deployed, Some(world.at));
    // What was counted against v2 says nothing about v1.
    assert_eq!(fired(&world), None);
}

#[test]
fn a_release_that_a_person_calls_good_needs_no_proof() {
    let mut world = World::new("");
    world.deploy("v1");
    world.tick();
    world.breaks("v2");
    assert!(world.ordered().is_empty(), "v1 is not proven");
    assert!(world.last(What::Held).contains("no good release"));
    world.say("v1", Word::Good);
    world.tick();
    assert_eq!(world.ordered(), ["roll v1"]);
    let report = world.report();
    assert!(
        report.contains("ann says that release v1 is good: loses orders"),
        "{report}"
    );
}

#[test]
fn a_rollback_to_what_a_person_called_bad_is_refused_with_that_word() {
    let mut world = World::new("").ran(&["v1", "v2"]);
    world.say("v1", Word::Bad);
    world.order("v1");
    assert!(world.orders.is_empty());
    assert_eq!(
        world.last(What::Refused),
        "release v1 is bad: ann says so: loses orders"
    );
}

/// The target passes its check, or not.
const CHECKED: &str = r#"target = { check = ["exists", "{target}"], otherwise = "next" }"#;

#[test]
fn a_target_that_fails_its_check_makes_way_for_the_next_good_one() {
    let mut world = World::new(CHECKED).ran(&["v1", "v2"]);
    world.breaks("v3");
    world.rolled(HowEnded::Exited(1));
    assert_eq!(world.ordered(), ["exists v2", "exists v1"]);
    assert!(
        world
            .last(What::StepFailed)
            .ends_with("release v2 is not gone back to, v1 is checked"),
        "{}",
        world.last(What::StepFailed)
    );
    let going = world
        .notices
        .iter()
        .filter(|n| n.kind == NoticeKind::RollingBack);
    let going: Vec<_> = going
        .map(|n| (n.target.as_deref(), n.reason.as_str()))
        .collect();
    assert_eq!(
        going,
        [
            (Some("v2"), "run 1: plan rollback from release v3 to v2"),
            (
                Some("v1"),
                "run 1: now from release v3 to v1: release v2 did not pass its check"
            ),
        ]
    );
    world.rolled(HowEnded::Succeeded);
    assert_eq!(world.ordered()[2], "roll v1");
    world.rolled(HowEnded::Succeeded);
    let run = world.incident().runs.last().unwrap();
    assert_eq!(
        (run.from.as_deref(), run.to.as_deref()),
        (Some("v3"), Some("v1"))
    );
    world.up = true;
    world.wait(20);
    assert!(matches!(world.phase(), Phase::Cooling { .. }));
}

#[test]
fn when_no_target_passes_its_check_nothing_is_touched_and_a_person_is_called() {
    let mut world = World::new(CHECKED).ran(&["v1", "v2"]);
    world.breaks("v3");
    world.rolled(HowEnded::Exited(1));
    world.rolled(HowEnded::Exited(1));
    assert_eq!(world.ordered(), ["exists v2", "exists v1"]);
    assert!(matches!(world.phase(), Phase::Escalated { .. }));
    let why = world.last(What::Failed);
    assert!(why.contains("no target passed its check (v2, v1)"), "{why}");
}

#[test]
fn at_most_five_targets_are_checked() {
    let all = ["v1", "v2", "v3", "v4", "v5", "v6", "v7"];
    let mut world = World::new(CHECKED).ran(&all);
    world.breaks("v8");
    for _ in 0..5 {
        assert!(matches!(world.phase(), Phase::Acting(_)));
        world.rolled(HowEnded::Exited(1));
    }
    assert_eq!(world.ordered().last().unwrap(), "exists v3");
    assert!(matches!(world.phase(), Phase::Escalated { .. }));
}

#[test]
fn a_release_that_a_person_named_is_not_exchanged_for_another() {
    let mut world = World::new(CHECKED).ran(&["v1", "v2", "v3"]);
    world.order("v2");
    world.rolled(HowEnded::Exited(1));
    assert_eq!(world.ordered(), ["exists v2"]);
    assert!(matches!(world.phase(), Phase::Escalated { .. }));
}

#[test]
fn without_a_word_a_target_that_fails_its_check_calls_a_person() {
    let check = r#"target = { check = ["exists", "{target}"] }"#;
    let mut world = World::new(check).ran(&["v1", "v2"]);
    world.breaks("v3");
    world.rolled(HowEnded::Exited(1));
    assert_eq!(world.ordered(), ["exists v2"]);
    assert!(matches!(world.phase(), Phase::Escalated { .. }));
}

#[test]
fn what_did_not_cure_is_followed_by_the_good_release_before() {
    let mut world = World::new("").ran(&["v1", "v2", "v3"]);
    world.breaks("v4");
    world.rolled(HowEnded::Succeeded);
    world.wait(40);
    assert_eq!(world.ordered(), ["roll v3", "roll v2"]);
    world.rolled(HowEnded::Succeeded);
    assert_eq!(world.standing("v3"), Standing::Bad);
    world.wait(40);
    assert_eq!(world.ordered().len(), 2, "once more, and no more");
    assert!(matches!(world.phase(), Phase::Escalated { .. }));
}

#[test]
fn a_pattern_passes_by_what_does_not_match() {
    let mut world = World::new(r#"target = { pattern = "STABLE-*" }"#);
    world = world.ran(&["STABLE-1", "hotfix-2"]);
    world.breaks("v3");
    assert_eq!(world.ordered(), ["roll STABLE-1"]);
}

#[test]
fn a_pinned_target_needs_no_proof_but_is_never_bad_nor_running() {
    let pinned = r#"target = { version = "v1" }"#;
    let mut world = World::new(pinned).ran(&["v1", "v2", "v3"]);
    world.breaks("v4");
    assert_eq!(world.ordered(), ["roll v1"]);

    let mut world = World::new(pinned).ran(&["v1", "v2"]);
    world.say("v1", Word::Bad);
    world.breaks("v3");
    assert!(world.ordered().is_empty());
    assert_eq!(
        world.last(What::Held),
        "the policy's target cannot be gone back to: release v1 is bad: ann says so: loses orders"
    );

    let mut world = World::new(pinned);
    world.breaks("v1");
    assert!(world.ordered().is_empty());
    assert!(world.last(What::Held).ends_with("release v1 runs already"));
}

#[test]
fn what_was_before_a_migration_is_never_gone_back_to() {
    let mut world = World::new(r#"irreversible_since = "v3""#).ran(&["v1", "v2"]);
    // The migration may have run already: v2 still does.
    assert!(
        world.status().contains("no target: release v1"),
        "{}",
        world.status()
    );
    world = world.ran(&["v3"]);
    world.breaks("v4");
    assert_eq!(world.ordered(), ["roll v3"]);
    world.rolled(HowEnded::Succeeded);
    world.wait(40);
    assert_eq!(world.ordered().len(), 1, "not on to v2");
    assert!(matches!(world.phase(), Phase::Escalated { .. }));
    assert_eq!(
        world.last(What::Held),
        "release v2 and what is older cannot be gone back to: v3 came with a migration that cannot be taken back"
    );
}

#[test]
fn a_person_says_that_a_release_is_irreversible_and_takes_it_back() {
    let mut world = World::new("").ran(&["v1", "v2"]);
    world.say("v3", Word::Irreversible);
    world.breaks("v3");
    assert!(world.ordered().is_empty());
    let held = world.last(What::Held);
    assert!(held.contains("(ann says so: loses orders)"), "{held}");
    assert!(
        world.status().contains("v3 is irreversible: ann"),
        "{}",
        world.status()
    );
    world.order("v2");
    assert!(world.ordered().is_empty(), "not by a person either");
    world.say("v3", Word::Reversible);
    world.tick();
    assert_eq!(world.ordered(), ["roll v2"]);
}

#[test]
fn a_release_that_nobody_can_place_is_not_known_to_be_after_a_migration() {
    let mut world = World::new("").ran(&["v1", "v2"]);
    world.say("v2", Word::Irreversible);
    world.order("v0");
    assert!(world.orders.is_empty());
    let why = world.last(What::Refused);
    assert!(why.contains("may be older than v2"), "{why}");
}

#[test]
fn a_migration_is_remembered_over_more_releases_than_are_kept() {
    let versions: Vec<String> = (0..80).map(|n| format!("v{n}")).collect();
    let mut world = World::new(r#"irreversible_since = "v1""#).ran(&["v0", "v1"]);
    for version in &versions[2..] {
        world.deploy(version);
    }
    world.say("v70", Word::Good);
    world.breaks("v80");
    assert_eq!(world.ordered(), ["roll v70"]);
}

/// The running release is what the processes say.
const BY_METRIC: &str =
    r#"current = { metric = "app_build_info", label = "version", source = "app" }"#;

#[test]
fn a_release_that_is_rolled_out_slowly_is_rolled_back_from_by_its_own_evidence() {
    let mut world = World::new(BY_METRIC);
    for _ in 0..8 {
        world.page(&[("v1", 5)]);
    }
    assert_eq!(world.standing("v1"), Standing::Good);
    world.page(&[("v1", 4), ("v2", 1)]);
    assert!(
        world
            .status()
            .contains("mixed: v1 4 of 5 processes, v2 1 of 5"),
        "{}",
        world.status()
    );
    // Breached from here on: a change at each page would never let it fire.
    world.up = false;
    world.page(&[("v1", 3), ("v2", 2)]);
    world.page(&[("v1", 2), ("v2", 3)]);
    world.page(&[("v2", 5)]);
    assert_eq!(world.ordered(), ["roll v1"]);
    let changes = world.notes.iter().filter(|n| n.what == What::Release);
    assert_eq!(changes.count(), 2, "v1 at first sight, then v2");
}

#[test]
fn a_release_that_runs_beside_another_is_not_proven() {
    let mut world = World::new(BY_METRIC);
    for _ in 0..8 {
        world.page(&[("v1", 5)]);
    }
    for _ in 0..30 {
        world.page(&[("v1", 4), ("v2", 1)]);
    }
    assert_eq!(world.standing("v2"), Standing::Unproven);
    for _ in 0..10 {
        world.page(&[("v2", 5)]);
    }
    assert_eq!(
        world.last(What::Release),
        "release v2 runs alone: the one beside it is gone"
    );
    for _ in 0..8 {
        world.page(&[("v2", 5)]);
    }
    assert_eq!(world.standing("v2"), Standing::Good);
}

#[test]
fn a_rollback_of_half_a_rollout_is_cured_while_its_processes_still_go() {
    let mut world = World::new(BY_METRIC);
    for _ in 0..8 {
        world.page(&[("v1", 5)]);
    }
    world.up = false;
    for _ in 0..3 {
        world.page(&[("v1", 3), ("v2", 2)]);
    }
    assert_eq!(world.ordered(), ["roll v1"]);
    let order = world.begin();
    world.page(&[("v1", 4), ("v2", 1)]);
    world.finish(order, HowEnded::Succeeded, Output::default());
    world.up = true;
    for _ in 0..4 {
        world.page(&[("v1", 5)]);
    }
    assert!(matches!(world.phase(), Phase::Cooling { .. }));
    assert_eq!(world.service().releases.running.as_deref(), Some("v1"));
    assert_eq!(world.standing("v2"), Standing::Bad);
    assert_eq!(world.orders.len(), 1, "its own rollback is no deployment");
}

/// The step says that it went well, and nothing changed.
#[test]
fn a_rollback_that_leaves_the_release_in_place_says_so() {
    let broken = || {
        let link = r#"current = { symlink = "/srv/shop/current" }"#;
        let mut world = World::new(link).ran(&["v1"]);
        world.breaks("v2");
        assert_eq!(world.ordered(), ["roll v1"]);
        world.end(HowEnded::Succeeded);
        world
    };
    let mut well = broken();
    well.up = true;
    well.wait(15);
    assert_eq!(
        well.last(What::Cured),
        "verified 15s after the last step, 20s after the incident opened; release v2 runs on"
    );
    let mut ill = broken();
    ill.wait(35);
    assert_eq!(
        ill.last(What::NotCured),
        "not cured within 30s: web is up for 10s did not hold; release v2 runs on"
    );
    assert_eq!(ill.orders.len(), 1, "there is nothing to go back from");
}

/// A baseline is what a good release did: were it needed to find one good, there
/// would never be either.
#[test]
fn a_row_against_a_baseline_keeps_no_release_from_being_found_good() {
    let mut world = World::new(
        "current = \"reported\"\n\
         [signals.latency]\nsource = \"web\"\nquantile = { q = 0.5, of = \"latency\" }\n\
         [triggers.slower]\nwhen = \"latency > 2x baseline for 3m\"\nseverity = \"low\"\n",
    );
    world.deploy("v1");
    world.wait(400);
    let releases = &world.service().releases;
    let standing = releases.running().map(|release| release.standing);
    assert_eq!(standing, Some(Standing::Good));
}
