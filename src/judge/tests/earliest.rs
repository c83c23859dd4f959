//! When a condition on new evidence is seen to hold.

use super::super::holds_after;
use super::*;

/// A world that has been well for long, and is.
fn well() -> World {
    let mut world = World::new(&[("any", "error_rate > 5% for 1m")]);
    world.set("temp", 20.0);
    ticks(&mut world, 30, &mut |_| false);
    world
}

/// So many ticks, or until it is so; how long that took.
fn ticks(world: &mut World, most: u32, over: &mut dyn FnMut(&World) -> bool) -> Duration {
    let from = world.now;
    for _ in 0..most {
        world.serve(100.0, 0.0);
        world.add("took_bucket", &[("le", "0.1")], 100.0);
        world.add("took_bucket", &[("le", "+Inf")], 100.0);
        world.now = world.now + TICK;
        world.scraped();
        world.probed(20);
        world.judged();
        if over(world) {
            break;
        }
    }
    world.now.since(from)
}

#[test]
fn what_is_true_from_now_on_is_seen_to_hold_after_the_time_that_is_said_and_not_sooner() {
    for (text, seconds) in [
        // Two samples have to agree.
        ("web is up", 10),
        ("web is up for 1m", 70),
        ("temp < 50 for 30s", 35),
        // A minute's window is enough from 48 s on: with the tenth sample.
        ("error_rate < 5%", 55),
        ("error_rate < 5% for 2m", 175),
        ("error_rate over 2m < 5% for 2m", 225),
        ("rps > 1 for 10s", 65),
        ("total > 1 for 10s", 65),
        ("p90 < 1s for 10s", 65),
        ("probe_p90 < 1s for 10s", 65),
        ("temp < 50 and error_rate < 5% for 10s", 65),
        ("temp < 50 or error_rate < 5% for 10s", 15),
    ] {
        // At a tick, and between two, where the next sample is of both times.
        for late in [0, 3] {
            let mut world = well();
            let condition = condition(&world.policy, text);
            let said = holds_after(&world.policy, &condition);
            assert_eq!(said, secs(seconds), "{text}");
            world.sleep(late);
            let policy = world.policy.clone();
            world.judge.watch(&policy, "it", &condition, world.now);
            world.now = Moment::from_millis(world.now.as_millis() - late * 1000);
            let holds = &mut |world: &World| world.judge.watched("it").unwrap().hold_met;
            let took = ticks(&mut world, 100, holds);
            assert!(
                took <= said && took + TICK >= said,
                "{text}: {took:?} of {said:?}"
            );
        }
    }
}
