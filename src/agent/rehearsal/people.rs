//! The people of a drill: who would be asked and whether they could agree, who
//! would be told and whether they can be reached.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Heard, point};
use crate::agent::clock;
use crate::control::holders;
use crate::guard::{Notice, NoticeKind, Person, Rehearsal};
use crate::model::{Approve, Config, LevelOn, Mode, Moment, Response, Short};
use crate::tell;
use crate::view::{DrillPoint, DrillVerdict};

/// Everybody who would be asked, and whether they can be.
pub(super) async fn people(rehearsal: &Rehearsal, config: &Config) -> Vec<DrillPoint> {
    let policy = &rehearsal.policy;
    let triggers = policy.triggers.iter().filter_map(|t| match &t.response {
        Response::Approve(approve) if t.plan == rehearsal.plan_name => {
            Some((format!("trigger {}", t.name), approve))
        }
        _ => None,
    });
    let steps = rehearsal.plan.steps.iter();
    let steps = steps.filter_map(|s| Some((format!("step {}", s.name), s.approve.as_ref()?)));
    let mut points = Vec::new();
    for (name, approve) in triggers.chain(steps) {
        let said = can_answer(approve, config).await;
        points.push(point("people", name, said));
    }
    points
}

/// Who would be asked; or why they could not agree.
async fn can_answer(approve: &Approve, config: &Config) -> Result<String, String> {
    let within = Short(approve.within);
    if approve.roles.is_empty() {
        let quorum = approve.quorum;
        return Ok(format!(
            "{quorum} of all who reach the socket would be asked, within {within}"
        ));
    }
    let mut held: Vec<BTreeSet<String>> = Vec::new();
    for name in &approve.roles {
        let holders = match config.roles.get(name) {
            Some(role) => holders(role).await,
            None => return Err(format!("the agent's config has no role `{name}`")),
        };
        held.push(holders);
    }
    let of: Vec<String> = approve
        .roles
        .iter()
        .zip(&held)
        .map(|(role, holders)| {
            let holders: Vec<&str> = holders.iter().map(String::as_str).collect();
            match holders.as_slice() {
                [] => format!("{role} (nobody)"),
                holders => format!("{role} ({})", holders.join(", ")),
            }
        })
        .collect();
    let asked = of.join(", ");
    if approve.each && !one_each(&held, &mut BTreeSet::new()) {
        return Err(format!(
            "one of each of {asked} would be asked, and there are not so many people"
        ));
    }
    let all: BTreeSet<&String> = held.iter().flatten().collect();
    let quorum = approve.quorum;
    if all.len() < quorum as usize {
        return Err(format!(
            "{quorum} of {asked} would be asked, and there are {}",
            all.len()
        ));
    }
    Ok(format!(
        "{quorum} of {asked} would be asked, within {within}"
    ))
}

/// Whether each role can be spoken for by a person of its own.
fn one_each(held: &[BTreeSet<String>], taken: &mut BTreeSet<String>) -> bool {
    let Some((first, rest)) = held.split_first() else {
        return true;
    };
    first.iter().any(|person| {
        if !taken.insert(person.clone()) {
            return false;
        }
        let goes = one_each(rest, taken);
        taken.remove(person);
        goes
    })
}

/// One marked notice to each notifier that the policy would use.
pub(super) async fn notices(
    rehearsal: &Rehearsal,
    config: &Config,
    by: &Person,
    host: &str,
    (at, wall_ahead_ms): (Moment, i64),
    heard: &Heard,
) -> Vec<DrillPoint> {
    let mut named: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut order = Vec::new();
    for level in &rehearsal.policy.escalation {
        let when = match &level.on {
            LevelOn::After(after) if after.is_zero() => "at once".to_owned(),
            LevelOn::After(after) => format!("after {}", Short(*after)),
            LevelOn::Failed => "when a rollback failed".to_owned(),
            LevelOn::When(condition) => format!("when {}", condition.text),
            LevelOn::Loss(_) => "when too much was lost".to_owned(),
        };
        for name in &level.notify {
            if !named.contains_key(name.as_str()) {
                order.push(name.as_str());
            }
            named.entry(name).or_default().push(when.clone());
        }
    }
    if order.is_empty() {
        let said = "the policy has no escalation: nobody would be told".to_owned();
        let point = point("notice", "nobody", Err(said)).being(DrillVerdict::Held);
        return vec![heard.one(point)];
    }
    let unix_ms = clock::unix_ms();
    let tried = order.into_iter().map(async |name| {
        let whom = format!("{name} ({})", named[name].join(", "));
        let Some(notifier) = config.notifiers.get(name) else {
            let why = "the agent's config has no such notifier".to_owned();
            return heard.one(point("notice", whom, Err(why)));
        };
        let notice = Notice {
            id: format!("{}/drill/{unix_ms}/{name}", rehearsal.policy.service),
            at,
            wall_ahead_ms,
            kind: NoticeKind::Test,
            service: rehearsal.policy.service.clone(),
            host: host.to_owned(),
            mode: Mode::Enforce,
            incident: None,
            severity: None,
            trigger: None,
            cause: None,
            current: rehearsal.current.clone(),
            target: None,
            reason: format!(
                "a drill of plan {}, asked for by {}",
                rehearsal.plan_name, by.name
            ),
            next: "nothing: no incident is open".to_owned(),
            stop: String::new(),
            question: None,
            notify: vec![name.to_owned()],
            drill: true,
        };
        let began = Instant::now();
        let said = tell::try_once(notifier, &notice, unix_ms.div_euclid(1000)).await;
        let said = said.map(|said| format!("delivered: {said}"));
        heard.one(point("notice", whom, said).taking(began.elapsed()))
    });
    join_all(tried).await
}
