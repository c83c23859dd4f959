//! Any bytes are a recording or none, and what was taken can be replayed.

use std::sync::LazyLock;
use std::time::Duration;

use backstop::model::Policy;
use backstop::policy::load;
use backstop::replay::{Recording, replay};

/// Ticks that a replay here may take: times are whatever the bytes say, and a
/// recording of a million years is replayed tick by tick, too.
const MOST_TICKS: u32 = 200;

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let text = r#"
        service = "shop"
        interval = "1s"
        [sources.app]
        type = "scrape"
        url = "http://127.0.0.1:1/metrics"
        [sources.web]
        type = "probe"
        url = "http://127.0.0.1:1/"
        [signals.error_rate]
        source = "app"
        ratio = { of = 'a{x="1"}', to = 'a' }
        window = "5s"
        [triggers.errors]
        when = "error_rate > 5% for 3s"
        severity = "critical"
        [triggers.down]
        when = "web is down for 3s"
        severity = "high"
        [[plans.rollback.steps]]
        name = "restart"
        run = ["/bin/true"]
    "#;
    load("fuzz.toml", text)
        .policy
        .expect("a policy without faults")
});

/// The bytes as a recording.
pub fn run(data: &[u8]) {
    let Ok(recording) = Recording::read(&POLICY, data) else {
        return;
    };
    let times: Vec<_> = recording.times().collect();
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        panic!("a recording without facts was taken");
    };
    assert!(times.is_sorted());
    if last.since(*first) <= POLICY.interval.saturating_mul(MOST_TICKS) {
        let told = replay(&POLICY, &recording).told;
        let ticks = last.since(*first).as_millis() / Duration::from_secs(1).as_millis() + 1;
        assert_eq!(u128::from(told.ticks), ticks);
    }
}
