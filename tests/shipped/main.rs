//! The shipped policies, driven: their plans are run step by step against
//! programs and interfaces that behave as the real ones document, in their
//! refusals too. What was called, in what order; and where a plan breaks off,
//! what ran, what did not, and what a person is told to do now.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "fakes are real programs")]

mod fakes;
mod world;

use std::time::Duration;

use backstop::guard::{NoticeKind, Outcome, Statement};

use fakes::{Interface, Programs};
use world::World;

const CREATED: &str = "204 No Content";

#[tokio::test]
async fn a_bad_release_on_azure_is_swapped_back_by_itself() {
    let mut world = World::new("system-on-azure", Programs::new(&[]), None);
    world.down.insert("api");
    world.wait(Duration::from_secs(120));
    world.down.clear();
    world.go_on().await;
    assert_eq!(
        world.programs.calls(),
        [
            "az acr repository show --name portalregistry --image portal-api:v2",
            "az webapp deployment slot swap --resource-group portal --name portal-api --slot staging --target-slot production",
        ]
    );
    assert_eq!(world.outcome(), Some(Outcome::Cured));
}

#[tokio::test]
async fn an_image_that_is_gone_makes_way_for_the_release_before() {
    let gone = "echo 'ERROR: 2025: the tag is not found' >&2; exit 3";
    let programs = Programs::new(&[(
        "az acr repository show --name portalregistry --image portal-api:v2",
        gone,
    )]);
    let mut world = World::new("system-on-azure", programs, None);
    world.order("backend");
    world.go_on().await;
    let calls = world.programs.calls();
    assert!(calls[1].ends_with("portal-api:v1"), "{calls:?}");
    assert!(calls[2].ends_with("--container-image-name portalregistry.azurecr.io/portal-api:v1"));
    assert_eq!(
        calls[3],
        "az webapp restart --resource-group portal --name portal-api"
    );
    assert_eq!(world.outcome(), Some(Outcome::Cured));
    assert_eq!(world.record().to.as_deref(), Some("v1"));
}

#[tokio::test]
async fn everything_on_azure_goes_back_in_order_and_the_loss_is_counted() {
    let mut world = World::new("system-on-azure", Programs::new(&[]), None);
    world.people = vec![("ada", "dba"), ("tess", "technical-lead")];
    world.order("everything");
    world.go_on().await;
    let calls = world.programs.calls();
    let programs: Vec<_> = calls
        .iter()
        .map(|call| call.split(" -").next().unwrap())
        .collect();
    assert_eq!(
        programs,
        [
            "az acr repository show",
            "az webapp config container set",
            "az webapp restart",
            "swa deploy /srv/portal/frontend/v2",
            "pg_dump",
            "alembic",
            "redis-cli",
            "az redis force-reboot",
            "lost-rows /var/backups/portal/incident-1.dump",
        ]
    );
    assert_eq!(world.outcome(), Some(Outcome::Cured));
    assert_eq!(world.lost(), ["3 rows"]);
    // More than none was lost.
    let lead = |n: &&backstop::guard::Notice| n.notify == ["lead"];
    let told = world.notices.iter().find(lead).unwrap();
    assert!(
        told.reason.starts_with("rows: 3 rows lost"),
        "{}",
        told.reason
    );
}

#[tokio::test]
async fn a_migration_that_cannot_be_taken_back_leaves_the_cache_alone() {
    let heads = "echo 'FAILED: Multiple head revisions are present' >&2; exit 255";
    let programs = Programs::new(&[("alembic --config", heads)]);
    let mut world = World::new("system-on-azure", programs, None);
    world.people = vec![("ada", "dba"), ("tess", "technical-lead")];
    world.order("everything");
    world.go_on().await;
    assert_eq!(world.outcome(), Some(Outcome::Failed));
    assert_eq!(
        world.record().halfway(),
        "done: check the target, backend: choose the image of the release before, \
         backend: restart the API, backend: the API answers, \
         frontend: deploy the build of the release before, database: back the database up, \
         count lost rows; \
         failed: database: take the last migration back; \
         not run: cache: empty the cache, cache: restart it"
    );
    let (why, next) = world.told();
    assert!(
        why.contains("Multiple head revisions") && why.contains("not run"),
        "{why}"
    );
    assert!(next.contains("finish or undo"), "{next}");
    let calls = world.programs.calls();
    assert!(
        !calls.iter().any(|call| call.contains("redis")),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_no_leaves_the_database_as_it_is() {
    let mut world = World::new("system-on-azure", Programs::new(&[]), None);
    world.people = vec![("ada", "dba")];
    world.yes = false;
    world.order("database");
    world.go_on().await;
    let calls = world.programs.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(
        calls[0].starts_with("pg_dump --format=custom --file=/var/backups/portal/incident-1.dump")
    );
    assert!(
        calls[1].starts_with("lost-rows"),
        "what was lost is counted"
    );
    assert!(world.told().0.contains("ada rejected"));
    // No release was chosen for it, and none is bad now.
    assert_eq!(world.record().to, None);
}

#[tokio::test]
async fn a_swap_that_is_refused_or_hangs_calls_a_person() {
    for (does, how) in [
        (
            "echo '(AuthorizationFailed) The client does not have authorization' >&2; exit 1",
            "AuthorizationFailed",
        ),
        ("exec sleep 600", "did not end in time"),
    ] {
        let programs = Programs::new(&[("az webapp deployment slot swap", does)]);
        let mut world = World::new("system-on-azure", programs, None);
        world.order("swap-back");
        world.go_on().await;
        let (why, next) = world.told();
        assert!(why.contains(how), "{why}");
        assert!(
            why.contains("failed: swap the slots back; not run: the API answers"),
            "{why}"
        );
        assert!(next.contains("finish or undo"), "{next}");
        let swaps = world.programs.calls();
        assert_eq!(swaps.len(), 2, "never twice: {swaps:?}");
    }
}

#[tokio::test]
async fn an_app_on_fly_is_back_with_its_traffic() {
    let mut world = World::new("app-on-fly", Programs::new(&[]), None);
    world.down.insert("web");
    world.wait(Duration::from_secs(90));
    world.down.clear();
    world.go_on().await;
    let app = "--app bookings";
    assert_eq!(
        world.programs.calls(),
        [
            "docker manifest inspect registry.fly.io/bookings:v2".to_owned(),
            format!("flyctl releases {app} --image"),
            "pg_dump --format=custom --no-owner --file=/var/backups/bookings/rollback-1.dump --dbname=service=bookings".to_owned(),
            format!("flyctl machine cordon 3d8d9145f03d89 4d891d7a22e948 {app}"),
            format!("flyctl deploy {app} --image registry.fly.io/bookings:v2 --strategy immediate"),
            format!("flyctl status {app}"),
            format!("flyctl machine uncordon 3d8d9145f03d89 4d891d7a22e948 {app}"),
            format!("flyctl logs {app} --no-tail"),
        ]
    );
    assert_eq!(world.outcome(), Some(Outcome::Cured));
}

#[tokio::test]
async fn traffic_is_restored_though_the_deployment_failed() {
    let programs = Programs::new(&[
        ("flyctl deploy", "echo 'Error: image not found' >&2; exit 1"),
        // The Machines API is out for a moment.
        ("flyctl machine uncordon", "[ $nth -ge 3 ] || exit 1"),
    ]);
    let mut world = World::new("app-on-fly", programs, None);
    world.order("rollback");
    world.go_on().await;
    assert_eq!(world.outcome(), Some(Outcome::Failed));
    assert_eq!(
        world.record().halfway(),
        "done: check the target, keep what runs now in the report, back the data up, stop traffic, \
         restore traffic; failed: deploy the image of the release before; \
         not run: keep its status in the report, its basic functions work, keep its log in the report"
    );
    assert!(world.told().0.contains("image not found"));
    let calls = world.programs.calls();
    let uncordons = calls.iter().filter(|call| call.contains("uncordon"));
    assert_eq!(uncordons.count(), 3, "{calls:?}");
}

#[tokio::test]
async fn a_backup_that_fails_is_no_reason_to_stay_down_but_one_to_leave_the_data_alone() {
    let programs = || Programs::new(&[("pg_dump", "echo 'connection refused' >&2; exit 1")]);
    let mut world = World::new("app-on-fly", programs(), None);
    world.order("rollback");
    world.go_on().await;
    assert_eq!(world.outcome(), Some(Outcome::Cured));

    let mut world = World::new("app-on-fly", programs(), None);
    world.order("combined");
    world.go_on().await;
    assert_eq!(world.outcome(), Some(Outcome::Failed));
    let calls = world.programs.calls();
    assert!(
        !calls.iter().any(|call| call.starts_with("psql")),
        "{calls:?}"
    );
    assert!(
        !calls.iter().any(|call| call.contains("deploy")),
        "{calls:?}"
    );
}

#[tokio::test]
async fn an_api_on_ecs_that_is_not_stable_in_time_calls_a_person() {
    let unstable = "echo 'Waiter ServicesStable failed: Max attempts exceeded' >&2; exit 255";
    let programs = Programs::new(&[("aws ecs wait services-stable", unstable)]);
    let mut world = World::new("api-on-ecs", programs, None);
    world.down.insert("web");
    world.wait(Duration::from_secs(180));
    world.go_on().await;
    assert_eq!(
        world.programs.calls(),
        [
            "docker manifest inspect ghcr.io/example/ledger-api:v2",
            "aws ecs update-service --cluster production --service ledger-api --task-definition ledger-api-v2 --force-new-deployment",
            "aws ecs wait services-stable --cluster production --services ledger-api",
        ]
    );
    let (why, _) = world.told();
    assert!(why.contains("Max attempts exceeded"), "{why}");
    assert!(
        why.contains("done: check the target, set the task definition of the release before; failed: wait until it is stable"),
        "{why}"
    );
}

#[tokio::test]
async fn what_the_release_before_does_not_cure_the_one_before_that_may() {
    let mut world = World::new("api-on-ecs", Programs::new(&[]), None);
    world.down.insert("web");
    world.wait(Duration::from_secs(180));
    world.go_on().await;
    let calls = world.programs.calls();
    let set: Vec<_> = calls
        .iter()
        .filter_map(|call| call.split_once("--task-definition ")?.1.split(' ').next())
        .collect();
    assert_eq!(set, ["ledger-api-v2", "ledger-api-v1"]);
    assert_eq!(world.outcome(), Some(Outcome::NotCured));
    let kinds: Vec<_> = world.notices.iter().map(|n| n.kind).collect();
    assert!(kinds.contains(&NoticeKind::NotCured), "{kinds:?}");
}

#[tokio::test]
async fn the_workflow_is_started_once_and_waited_for_when_github_is_busy() {
    let busy = "429 Too Many Requests\nRetry-After: 1\n\n{\"message\": \"secondary rate limit\"}";
    let github = Interface::saying(&[busy, CREATED]).await;
    let mut world = World::new("api-on-ecs", Programs::new(&[]), Some(github));
    world.order("workflow");
    world.go_on().await;
    let asked = world.asked();
    assert_eq!(
        asked.len(),
        2,
        "the one that was refused, and the one that was not"
    );
    for request in &asked {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(
                "POST /repos/example/ledger-api/actions/workflows/rollback.yml/dispatches HTTP/1.1"
            ),
            "{head}"
        );
        let head = head.to_ascii_lowercase();
        for line in [
            "x-meant: api.github.com",
            "authorization: bearer hunter2",
            "accept: application/vnd.github+json",
            "x-github-api-version: 2022-11-28",
        ] {
            assert!(head.contains(line), "{head}");
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["ref"], "main");
        let inputs = serde_json::json!({
            "environment": "production", "image_tag": "v2", "confirm": "ROLLBACK"
        });
        assert_eq!(body["inputs"], inputs);
    }
    assert_eq!(world.outcome(), Some(Outcome::Cured));
}

#[tokio::test]
async fn a_workflow_that_is_refused_or_not_answered_is_not_started_again() {
    let refused =
        "403 Forbidden\n\n{\"message\": \"Resource not accessible by personal access token\"}";
    let hourly = "429 Too Many Requests\nRetry-After: 3600\n\n{}";
    for (answer, how) in [
        (refused, "it answered 403 Forbidden"),
        ("422 Unprocessable Entity\n\n{}", "it answered 422"),
        (hourly, "asks for 1h"),
        ("", "did not end in time"),
    ] {
        let github = Interface::saying(&[answer]).await;
        let mut world = World::new("api-on-ecs", Programs::new(&[]), Some(github));
        world.order("workflow");
        world.go_on().await;
        assert_eq!(world.asked().len(), 1, "{answer}");
        let (why, next) = world.told();
        assert!(why.contains(how), "{why}");
        assert!(
            why.contains(
                "failed: start the workflow; not run: let it begin, wait until it is stable"
            ),
            "{why}"
        );
        assert!(!why.contains("hunter2"), "{why}");
        assert!(next.contains("finish or undo"), "{next}");
    }
}

#[tokio::test]
async fn infrastructure_goes_back_after_a_yes_and_the_frontend_may_be_deployed_again() {
    let mut world = World::new("backend-on-terraform", Programs::new(&[]), None);
    world.down.insert("auto_rollback");
    world.wait(Duration::from_secs(60));
    world.push("validation", "infrastructure-failed", Statement::Set);
    world.wait(Duration::from_secs(90));
    assert_eq!(world.programs.calls(), [""; 0], "people are asked first");
    world.people = vec![("ann", "on-call"), ("tess", "technical-lead")];
    world.go_on().await;
    let chdir = "terraform -chdir=/srv/mobile-backend/deployments/v2";
    let repo = "--repo example/mobile-backend";
    assert_eq!(
        world.programs.calls(),
        [
            "test -f /srv/mobile-backend/deployments/v2/.terraform.lock.hcl".to_owned(),
            format!("gh run list {repo} --workflow validation.yml --limit 5"),
            format!("gh variable set FRONTEND_DEPLOYMENT --body blocked {repo}"),
            format!("{chdir} init -input=false"),
            format!("{chdir} plan -input=false -lock-timeout=60s -out=rollback-1.tfplan"),
            format!("{chdir} apply -input=false -lock-timeout=60s rollback-1.tfplan"),
            format!("gh workflow run validation.yml {repo} --ref main"),
            format!("gh variable set FRONTEND_DEPLOYMENT --body allowed {repo}"),
            "lost-rows 1".to_owned(),
        ]
    );
    assert_eq!(world.outcome(), Some(Outcome::Cured));
    let current = world.programs.path().join("srv/mobile-backend/current");
    assert!(
        std::fs::read_link(current)
            .unwrap()
            .ends_with("deployments/v2")
    );
}

#[tokio::test]
async fn a_plan_that_terraform_refuses_leaves_the_frontend_blocked_and_is_not_applied() {
    let locked = "echo 'Error: Error acquiring the state lock' >&2; exit 1";
    let chdir = "terraform -chdir=/srv/mobile-backend/deployments/v2 plan";
    let mut world = World::new(
        "backend-on-terraform",
        Programs::new(&[(chdir, locked)]),
        None,
    );
    world.order("infrastructure");
    world.go_on().await;
    let calls = world.programs.calls();
    assert!(
        !calls.iter().any(|call| call.contains(" apply ")),
        "{calls:?}"
    );
    assert!(
        !calls.iter().any(|call| call.contains("allowed")),
        "{calls:?}"
    );
    assert_eq!(
        world.record().halfway(),
        "done: check the target, look at the last runs, block deployments of the frontend, \
         prepare the earlier configuration, count lost rows; failed: what would change; \
         not run: apply it, point current at it, the backend answers, \
         validation-run: start the validation, allow deployments of the frontend"
    );
}

#[tokio::test]
async fn a_test_environment_that_failed_is_validated_again_and_no_release_is_touched() {
    let mut world = World::new("backend-on-terraform", Programs::new(&[]), None);
    world.push("validation", "test-environment-failed", Statement::Set);
    world.go_on_until_verifying().await;
    assert_eq!(
        world.programs.calls(),
        [
            "gh run list --repo example/mobile-backend --workflow validation.yml --limit 5",
            "gh workflow run validation.yml --repo example/mobile-backend --ref main",
        ]
    );
    world.push("validation", "test-environment-failed", Statement::Clear);
    world.go_on().await;
    assert_eq!(world.outcome(), Some(Outcome::Cured));
    assert_eq!(world.record().to, None);
}

#[tokio::test]
async fn where_it_is_enabled_the_script_rolls_back_by_itself() {
    let mut world = World::new("backend-on-terraform", Programs::new(&[]), None);
    world.push("validation", "infrastructure-failed", Statement::Set);
    world.wait(Duration::from_secs(90));
    world.go_on().await;
    assert_eq!(
        world.programs.calls(),
        [
            "test -f /srv/mobile-backend/deployments/v2/.terraform.lock.hcl",
            "automated-rollback.sh v2",
            "gh workflow run validation.yml --repo example/mobile-backend --ref main",
            "lost-rows 1",
        ]
    );
    assert_eq!(world.outcome(), Some(Outcome::Cured));
}

#[tokio::test]
async fn a_complete_rollback_of_the_platform_tells_the_provider_and_the_cdn() {
    let enabled = "200 OK\n\n{\"status\": \"enabled\"}";
    let busy = "429 Too Many Requests\nRetry-After: 1\n\n{\"success\": false}";
    let purged = "200 OK\n\n{\"success\": true}";
    let outside = Interface::saying(&[enabled, busy, purged]).await;
    let mut world = World::new("decision-matrix", Programs::new(&[]), Some(outside));
    world.people = vec![
        ("ada", "dba"),
        ("tess", "technical-lead"),
        ("paul", "product-owner"),
    ];
    world.order("complete");
    world.go_on().await;
    let calls = world.programs.calls();
    let without_counts: Vec<_> = calls
        .iter()
        .map(|call| call.split(" --").next().unwrap())
        .collect();
    assert_eq!(
        without_counts,
        [
            "test -x /srv/payments/releases/v2/bin/server",
            "systemctl start payments-backup.service",
            "systemctl start payments-migrate-back@v2.service",
            "audit ",
            "psql",
            "systemctl stop payments.service",
            "systemctl start payments.service",
            "systemctl restart nginx.service",
            "lost orders 1",
            "lost registrations 1",
            "lost transactions 1",
            "lost dollars 1",
        ]
    );
    let asked = world.asked();
    let meant = |host: &str| {
        asked
            .iter()
            .filter(|a| a.contains(&format!("x-meant: {host}")))
            .count()
    };
    assert_eq!(
        (meant("api.stripe.com"), meant("api.cloudflare.com")),
        (1, 2)
    );
    assert!(
        asked[0].ends_with("url=https://payments.example.com/webhooks/v2"),
        "{}",
        asked[0]
    );
    assert_eq!(
        world.lost(),
        ["3 orders", "3 users", "3 transactions", "3 dollars"]
    );
    assert_eq!(world.outcome(), Some(Outcome::Cured));
}

#[tokio::test]
async fn a_payment_provider_that_says_no_is_told_with_what_was_done_already() {
    let no = "400 Bad Request\n\n{\"error\": {\"message\": \"Invalid URL\"}}";
    let outside = Interface::saying(&[no]).await;
    let mut world = World::new("decision-matrix", Programs::new(&[]), Some(outside));
    world.order("external");
    world.go_on().await;
    // Idempotent, so it may be tried again: twice.
    assert_eq!(world.asked().len(), 3);
    let (why, _) = world.told();
    assert!(
        why.contains("it answered 400 Bad Request")
            && why.contains(
                "failed: point the provider's webhook back; not run: have the CDN forget"
            ),
        "{why}"
    );
}
