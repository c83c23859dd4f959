//! Random policies, as TOML through the real loader: what a file can say is
//! what the engine is driven with.

use std::fmt::Write as _;
use std::sync::Arc;

use backstop::model::Policy;

use crate::rng::Rng;

pub(crate) const SERVICE: &str = "checkout";

/// A random policy in either mode.
#[expect(clippy::too_many_lines, reason = "a file, from its top to its end")]
pub(crate) fn policy(rng: &mut Rng) -> Arc<Policy> {
    let mode = *rng.pick(&["enforce", "enforce", "enforce", "shadow"]);
    let window = *rng.pick(&["15s", "30s", "1m"]);
    let mut text = format!(
        r#"
service = "{SERVICE}"
mode = "{mode}"
interval = "5s"

[sources.app]
type = "scrape"
url = "http://127.0.0.1:9464/metrics"

[sources.web]
type = "probe"
url = "http://127.0.0.1:8080/health"

[signals.error_rate]
source = "app"
ratio = {{ of = 'http_requests_total{{code=~"5.."}}', to = "http_requests_total" }}
window = "{window}"

[signals.p95]
source = "app"
quantile = {{ q = 0.95, of = "http_request_duration_seconds" }}
window = "{window}"

[signals.queue]
source = "app"
value = "queue_length"

[sources.people]
type = "push"
roles = ["lead"]

[sources.alerts]
type = "alertmanager"
match = {{ exposed = '{{severity="page"}}' }}

[signals.breach]
source = "people"
flag = "breach"
{ttl}

[signals.tickets]
source = "people"
count = "tickets"
window = "5m"

[signals.exposed]
source = "alerts"
flag = "exposed"
"#,
        ttl = rng.pick(&["", "ttl = \"2m\""]),
    );
    let asks = rng.one_in(3);
    if asks {
        text.push_str(
            r#"
[sources.prom]
type = "prometheus"
url = "http://127.0.0.1:9090"

[signals.lag]
source = "prom"
query = "max(queue_lag_seconds)"

[signals.share]
source = "prom"
query = "sum(errors) / sum(requests)"
"#,
        );
    }
    let promote = |rng: &mut Rng| {
        format!(
            "promote = {{ after = \"{}\", evaluations = {}, false_fires = {} }}\n",
            rng.pick(&["1m", "5m", "15m"]),
            rng.pick(&[1, 20, 100]),
            rng.pick(&[0, 1, 5]),
        )
    };
    if rng.one_in(2) {
        let rule = promote(rng);
        text.insert_str(0, &rule);
    }
    let hold = |rng: &mut Rng| {
        (*rng.pick(&[
            "",
            " for 30s",
            " for 1m",
            " for 3m",
            " for 1m of 2m",
            " for 5m",
        ]))
        .to_owned()
    };
    for (name, condition) in [
        ("errors", "error_rate > 5%"),
        ("slow", "p95 > 500ms"),
        ("down", "web is down"),
        ("queue", "queue > 100 and error_rate >= 1%"),
        ("said", "breach is set"),
        ("tickets", "tickets > 3"),
        ("exposed", "exposed is set and error_rate > 0%"),
        ("answered", "lag > 50 or share > 0.2"),
        ("either", "(queue > 500 or web is down) and error_rate > 1%"),
    ] {
        if (rng.one_in(3) && name != "errors") || (name == "answered" && !asks) {
            continue;
        }
        let severity = *rng.pick(&["critical", "critical", "high", "medium", "low"]);
        let hold = match name {
            "said" | "tickets" => String::new(),
            _ => hold(rng),
        };
        let _ = write!(
            text,
            "\n[triggers.{name}]\nwhen = \"{condition}{hold}\"\nseverity = \"{severity}\"\nclear_for = \"{}\"\nmin_events = {}\n",
            rng.pick(&["20s", "1m", "2m"]),
            rng.pick(&[1, 20, 50]),
        );
        if rng.one_in(6) {
            text.push_str("confidence = 0\n");
        }
        if mode == "enforce" && rng.one_in(6) {
            text.push_str("mode = \"shadow\"\n");
        }
        if rng.one_in(4) {
            let rule = promote(rng);
            text.push_str(&rule);
        }
        if rng.one_in(6) {
            text.push_str("plan = \"validate\"\n");
        }
        if severity == "high" || severity == "medium" {
            let _ = writeln!(
                text,
                "approve = {{ roles = [\"lead\", \"sre\"], quorum = {}, within = \"{}\", otherwise = \"{}\" }}",
                rng.pick(&["1", "2", "2, each = true"]),
                rng.pick(&["1m", "5m", "15m"]),
                rng.pick(&["escalate", "rollback", "dismiss"]),
            );
        }
    }
    let releases = !rng.one_in(5);
    if releases {
        text.push_str("\n[release]\n");
        let current = *rng.pick(&[
            "current = \"reported\"\n",
            "current = \"reported\"\n",
            "current = { metric = \"app_build_info\", label = \"version\", source = \"app\" }\n",
        ]);
        text.push_str(current);
        let _ = writeln!(text, "good_after = \"{}\"", rng.pick(&["1m", "3m"]));
        if rng.one_in(3) {
            let _ = writeln!(text, "settle = \"{}\"", rng.pick(&["30s", "2m"]));
        }
        if rng.one_in(3) {
            let _ = writeln!(text, "blame = \"{}\"", rng.pick(&["5m", "1h"]));
        }
        let target = *rng.pick(&[
            "",
            "",
            "",
            "target = { fallback = \"previous\" }\n",
            "target = { fallback = \"previous\" }\n",
            "target = { check = [\"/bin/true\", \"{target}\"] }\n",
            "target = { check = [\"/bin/true\", \"{target}\"], otherwise = \"next\" }\n",
            "target = { rule = \"newest-good\", check = [\"/bin/true\", \"{target}\"], otherwise = \"next\", fallback = \"previous\" }\n",
            "target = { pattern = \"v?\" }\n",
            "target = { version = \"v1\" }\n",
        ]);
        text.push_str(target);
        if rng.one_in(24) {
            let _ = writeln!(
                text,
                "irreversible_since = \"{}\"",
                *rng.pick(&["v1", "v2"])
            );
        }
    }
    let _ = write!(
        text,
        "\n[plans.rollback]\ntimeout = \"{}\"\ncooldown = \"{}\"\nbudget = \"{} per 2h\"\n",
        rng.pick(&["1m", "10m"]),
        rng.pick(&["1m", "10m", "30m"]),
        rng.pick(&[1, 2, 3]),
    );
    let require = *rng.pick(&[
        "",
        "require = [\"error_rate < 5% for 30s\"], ",
        "require = [\"web is up\", \"error_rate < 5%\"], ",
    ]);
    let _ = writeln!(
        text,
        "verify = {{ {require}within = \"{}\", otherwise = \"{}\", watch = \"{}\" }}",
        rng.pick(&["3m", "5m"]),
        if releases {
            *rng.pick(&["escalate", "next"])
        } else {
            "escalate"
        },
        rng.pick(&["1m", "15m"]),
    );
    if rng.one_in(3) {
        text.push_str("data_loss = [{ name = \"orders\", run = [\"/bin/orders\"] }]\n");
    }
    // No rollback: `next` has nowhere to go.
    let _ = write!(
        text,
        "\n[plans.validate]\ngoes_back = false\ntimeout = \"{}\"\ncooldown = \"{}\"\nbudget = \"{} per 1h\"\n\
         verify = {{ within = \"5m\", watch = \"1m\" }}\nsteps = [{{ run = [\"/bin/validate\"], idempotent = {} }}]\n",
        rng.pick(&["1m", "10m"]),
        rng.pick(&["1m", "10m"]),
        rng.pick(&[1, 3]),
        rng.one_in(2),
    );
    let target = if releases { "{target}" } else { "previous" };
    let _ = write!(
        text,
        "\n[[plans.rollback.steps]]\nname = \"switch\"\nsymlink = {{ link = \"/srv/current\", to = \"/srv/releases/{target}\" }}\nidempotent = {}\n",
        rng.one_in(2)
    );
    if rng.one_in(2) {
        let _ = write!(
            text,
            "\n[[plans.rollback.steps]]\nname = \"restart\"\nrun = [\"/bin/restart\", \"{{service}}\"]\nretries = {}\non_failure = \"{}\"\nidempotent = {}\n",
            rng.below(3),
            rng.pick(&["stop", "continue"]),
            rng.one_in(2)
        );
    }
    if rng.one_in(3) {
        // The steps of another plan, one of which needs people.
        text.push_str("\n[[plans.rollback.steps]]\nplan = \"database\"\n");
        let _ = write!(
            text,
            "\n[[plans.database.steps]]\nname = \"back up\"\nrun = [\"/bin/dump\"]\nidempotent = {}\n\n\
             [[plans.database.steps]]\nname = \"migrate\"\nrun = [\"/bin/migrate\"]\nretries = {}\nalways = {}\n\
             approve = {{ roles = [\"lead\", \"sre\"], quorum = {}, within = \"{}\", otherwise = \"{}\" }}\n",
            rng.one_in(2),
            rng.below(2),
            rng.one_in(4),
            rng.pick(&["1", "2", "2, each = true"]),
            rng.pick(&["30s", "2m", "15m"]),
            rng.pick(&["escalate", "escalate", "rollback"]),
        );
    }
    if rng.one_in(3) {
        text.push_str("\n[[plans.rollback.steps]]\nname = \"settle\"\nwait = \"20s\"\n");
    }
    if rng.one_in(3) {
        text.push_str("\n[[plans.rollback.steps]]\nname = \"answers\"\ncheck = \"web is up\"\ntimeout = \"40s\"\n");
    }
    if rng.one_in(3) {
        text.push_str(
            "\n[[plans.rollback.steps]]\nname = \"traffic back\"\nrun = [\"/bin/traffic\"]\nalways = true\n",
        );
    }
    text.push_str("\n[[escalation]]\nnotify = [\"slack\"]\n");
    if rng.one_in(3) {
        text.push_str("\n[[escalation]]\nloss = { orders = 100 }\nnotify = [\"legal\"]\n");
    }
    if rng.one_in(2) {
        text.push_str("\n[[escalation]]\nafter = \"5m\"\nnotify = [\"pager\"]\nrepeat = \"15m\"\n");
    }
    if rng.one_in(2) {
        text.push_str("\n[[escalation]]\nwhen = \"error_rate > 5% for 5m\"\nnotify = [\"cto\"]\nrepeat = \"1h\"\n");
    }
    if rng.one_in(2) {
        text.push_str("\n[[escalation]]\non = \"failed\"\nnotify = [\"boss\"]\n");
    }
    load(&text)
}

pub(crate) fn load(text: &str) -> Arc<Policy> {
    let loaded = backstop::policy::load("simulated.toml", text);
    let faults: Vec<String> = loaded.faults.iter().map(|f| format!("{f:?}")).collect();
    Arc::new(
        loaded
            .policy
            .unwrap_or_else(|| panic!("{text}\n{}", faults.join("\n"))),
    )
}
