//! Plans as people write them, through the engine: other plans in their places,
//! steps that wait for people, and what is left when a plan is broken off.

use backstop::guard::{Event, Notice, NoticeKind, Outcome, Phase, Push, Statement};
use backstop::model::{HowEnded, Release, Standing};

use crate::post::{Hands, Post, person, shop};

const POLICY: &str = shop!(
    r#"
[triggers.down]
when     = "web is down for 10s"
severity = "critical"
plan     = "everything"

[plans.everything]
timeout = "1m"

[[plans.everything.steps]]
name = "stop traffic"
run  = ["traffic", "off"]

[[plans.everything.steps]]
plan = "database"

[[plans.everything.steps]]
plan = "cache"

[[plans.everything.steps]]
name   = "restore traffic"
run    = ["traffic", "on"]
always = true

[[plans.database.steps]]
name = "back up"
run  = ["pg_dump"]

[[plans.database.steps]]
name    = "migrate"
run     = ["alembic", "downgrade"]
approve = { roles = ["dba"], quorum = 2, within = "5m" }

[[plans.cache.steps]]
systemd = { unit = "redis.service", action = "restart" }

[[escalation]]
notify = ["slack"]
"#
);

#[derive(Default)]
struct Plans;

impl Hands for Plans {}

type World = Post<Plans>;

impl World {
    /// The service is down, and the first step is ordered.
    fn down(policy: &str) -> Self {
        let mut world = Self::guarding(policy);
        world.down_for(20);
        world
    }

    fn down_for(&mut self, seconds: u64) {
        self.up = false;
        self.wait(seconds);
    }

    fn up_for(&mut self, seconds: u64) {
        self.up = true;
        self.wait(seconds);
    }

    fn vote(&mut self, name: &str, role: &str, approve: bool) {
        self.answer(person(name, &[role]), approve);
    }

    fn names(&self) -> Vec<&str> {
        self.orders
            .iter()
            .map(|order| order.name.as_str())
            .collect()
    }

    fn is_asking(&self) -> bool {
        matches!(self.phase(), Phase::Acting(_)) && self.phase().question().is_some()
    }

    /// How the run ended, how far it came, and the notice that says so.
    fn ending(&self) -> (Option<Outcome>, String, &Notice) {
        let incident = self.service().incident.as_ref();
        let run = incident
            .and_then(|i| i.runs.last())
            .expect("there was a run");
        let told = self.notices.iter().rfind(|n| n.kind == NoticeKind::Failed);
        (run.outcome, run.halfway(), told.expect("a person was told"))
    }

    /// A world in which people are asked whether to migrate.
    fn asking() -> Self {
        let mut world = Self::down(POLICY);
        world.end(HowEnded::Succeeded);
        world.end(HowEnded::Succeeded);
        assert_eq!(world.names(), ["stop traffic", "database: back up"]);
        assert!(world.is_asking());
        world
    }
}

#[test]
fn a_step_that_needs_people_waits_for_them_and_their_time_is_not_the_plans() {
    let mut world = World::asking();
    let asked = world.notices.last().expect("people were told");
    assert_eq!(asked.kind, NoticeKind::Asked);
    assert_eq!(
        asked.reason,
        "go on with database: migrate of plan everything? 2 of dba must agree within 5m"
    );
    world.down_for(3 * 60);
    world.vote("mallory", "intern", true);
    world.vote("ada", "dba", true);
    world.vote("ada", "dba", true);
    assert!(world.is_asking(), "one person, however often, is no two");

    world.restart();
    assert!(world.is_asking(), "a restart withdraws no question");

    world.vote("grace", "dba", true);
    assert_eq!(world.names().last(), Some(&"database: migrate"));
    world.end(HowEnded::Succeeded);
    world.end(HowEnded::Succeeded);
    assert_eq!(
        world.names()[3..],
        ["cache: restart redis.service", "restore traffic"]
    );
    world.end(HowEnded::Succeeded);
    assert!(matches!(world.phase(), Phase::Verifying(_)));
}

#[test]
fn after_an_answer_the_plan_has_the_time_that_it_had() {
    let mut world = World::asking();
    world.down_for(4 * 60);
    world.vote("ada", "dba", true);
    world.vote("grace", "dba", true);
    world.down_for(40);
    assert!(matches!(world.phase(), Phase::Acting(run) if run.broken.is_none()));
    world.down_for(40);
    assert!(matches!(world.phase(), Phase::Acting(run) if run.broken.is_some()));
}

#[test]
fn a_no_breaks_the_plan_off_and_traffic_is_restored() {
    let mut world = World::asking();
    world.vote("ada", "dba", false);
    assert_eq!(world.names().last(), Some(&"restore traffic"));
    world.end(HowEnded::Succeeded);
    let (outcome, halfway, told) = world.ending();
    assert_eq!(outcome, Some(Outcome::Aborted));
    assert_eq!(
        halfway,
        "done: stop traffic, database: back up, restore traffic; \
         not run: database: migrate, cache: restart redis.service"
    );
    assert!(told.reason.contains("ada rejected") && told.reason.contains(&halfway));
    assert!(told.next.contains("finish or undo"), "{}", told.next);
}

#[test]
fn without_an_answer_the_plan_is_broken_off() {
    let mut world = World::asking();
    world.vote("ada", "dba", true);
    world.down_for(6 * 60);
    assert_eq!(world.names().last(), Some(&"restore traffic"));
    world.end(HowEnded::Succeeded);
    let (outcome, _, told) = world.ending();
    assert_eq!(outcome, Some(Outcome::TimedOut));
    let why = "database: migrate: 1 of 2 agreed within 5m";
    assert!(told.reason.starts_with(why), "{}", told.reason);
    world.vote("grace", "dba", true);
    assert!(
        matches!(world.phase(), Phase::Escalated { .. }),
        "a late answer decides nothing"
    );
}

#[test]
fn a_failure_half_way_says_what_is_left() {
    let mut world = World::down(POLICY);
    world.end(HowEnded::Succeeded);
    world.end(HowEnded::Exited(1));
    world.end(HowEnded::Succeeded);
    let (outcome, halfway, _) = world.ending();
    assert_eq!(outcome, Some(Outcome::Failed));
    assert_eq!(
        halfway,
        "done: stop traffic, restore traffic; failed: database: back up; \
         not run: database: migrate, cache: restart redis.service"
    );
}

/// R0: when the test environment is at fault nothing is rolled back, the
/// validation is run again.
#[test]
fn a_plan_need_not_be_a_rollback() {
    let policy = POLICY.replace("\"everything\"", "\"validate\"")
        + "[release]\ncurrent = \"reported\"\n\
           [plans.validate]\nbudget = \"3 per 1h\"\ncooldown = \"5m\"\n\
           [[plans.validate.steps]]\nname = \"validate again\"\nrun = [\"gh\", \"workflow\", \"run\"]\nretries = 1\n";
    let world = World::down(&policy);
    // No good release is known, and none is asked for.
    assert_eq!(world.names(), ["validate again"]);
}

/// Two ways to break: the test environment's is no matter of releases.
const VALIDATED: &str = shop!(
    r#"
[sources.people]
type = "push"

[signals.environment]
source = "people"
flag   = "environment-failed"

[triggers.environment]
when      = "environment is set"
severity  = "critical"
plan      = "validate"
clear_for = "5s"

[triggers.down]
when     = "web is down for 10s"
severity = "critical"

[release]
current    = "reported"
good_after = "1m"
blame      = "1h"
target     = { check = ["docker", "manifest", "inspect", "{target}"] }

[plans.validate]
goes_back = false
budget    = "2 per 1h"
cooldown  = "1m"
verify    = { require = ["environment is clear"], watch = "5s" }

[[plans.validate.steps]]
name = "validate again"
run  = ["gh", "workflow", "run", "validation.yml"]

[[plans.rollback.steps]]
name = "go back"
run  = ["back", "{target}"]

[[escalation]]
notify = ["slack"]
"#
);

impl World {
    /// v1 is good, v2 runs, and all is well.
    fn validated() -> Self {
        let mut world = Self::guarding(VALIDATED);
        world.deploy("v1");
        world.up_for(90);
        world.deploy("v2");
        world.up_for(10);
        world
    }

    fn environment(&mut self, what: Statement) {
        let push = Push::Said {
            name: "environment-failed".into(),
            what,
            reason: String::new(),
        };
        self.push("people", person("ci", &[]), push);
    }

    /// The environment fails, is validated again, and passes.
    fn validate(&mut self) {
        self.environment(Statement::Set);
        self.up_for(5);
        self.end(HowEnded::Succeeded);
        self.environment(Statement::Clear);
        self.up_for(20);
        assert!(
            matches!(self.phase(), Phase::Watching),
            "{:?}",
            self.phase()
        );
    }

    fn release(&self) -> &Release {
        let releases = &self.service().releases;
        releases.running().expect("a release runs")
    }
}

#[test]
fn what_is_no_rollback_chooses_no_release_and_blames_none() {
    let mut world = World::guarding(VALIDATED);
    // No release is good, none was deployed since it is guarded, and the target
    // has a check: a rollback would be held, three times over.
    world.deploy("v1");
    world.up_for(10);
    world.validate();
    assert_eq!(world.names(), ["validate again"]);
    assert_eq!(world.release().version, "v1");
    assert_ne!(world.release().standing, Standing::Bad);
}

#[test]
fn what_is_no_rollback_holds_none_back_and_has_a_budget_of_its_own() {
    let mut world = World::validated();
    world.validate();
    world.up_for(60);
    world.validate();
    assert_eq!(world.names(), ["validate again", "validate again"]);
    // Two runs within the hour, the last a minute ago.
    world.down_for(15);
    assert_eq!(world.names()[2..], ["check the target"]);
    world.end(HowEnded::Succeeded);
    assert_eq!(world.names()[3..], ["go back"]);
    assert!(matches!(world.phase(), Phase::Acting(_)));

    let mut world = World::validated();
    for _ in 0..2 {
        world.validate();
        world.up_for(60);
    }
    world.environment(Statement::Set);
    world.up_for(5);
    assert_eq!(world.names().len(), 2, "two an hour");
    let incident = world.service().incident.as_ref();
    let held = incident.and_then(|i| i.held.as_ref()).expect("it is held");
    assert_eq!(held.gate.name(), "budget");
}

#[test]
fn nobody_can_send_a_plan_that_is_no_rollback_to_a_release() {
    let mut world = World::validated();
    let order = |to: Option<&str>| Event::Ordered {
        service: "shop".into(),
        by: person("ada", &[]),
        reason: "a try".into(),
        to: to.map(str::to_owned),
        plan: Some("validate".into()),
        drill: false,
    };
    world.step(order(Some("v1")));
    assert_eq!(world.names(), [""; 0]);
    world.step(order(None));
    assert_eq!(world.names(), ["validate again"]);
}

/// Where releases are reported, nobody else reports what a rollback put there.
#[test]
fn the_release_that_was_gone_back_to_runs() {
    let mut world = World::validated();
    world.down_for(15);
    world.end(HowEnded::Succeeded);
    world.end(HowEnded::Succeeded);
    assert!(matches!(world.phase(), Phase::Verifying(_)));
    assert_eq!(world.release().version, "v1");
    // Whoever reports it all the same changes nothing.
    world.deploy("v1");
    world.up_for(30);
    assert!(
        matches!(world.phase(), Phase::Cooling { .. }),
        "{:?}",
        world.phase()
    );
}
