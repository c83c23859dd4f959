//! A drill that is not executed: everything that a rollback would need is looked
//! at, and nothing is changed.
//!
//! Run are only the target's check and the queries that count what was lost,
//! which look and nothing else; conditions of steps and of the verification are
//! awaited on live samples, all at once; every other step is filled in and asked
//! whether it could be done. Whoever would be told gets one notice that is marked
//! as a drill, and whoever would be asked is looked up.

mod conditions;
mod people;
mod scenario;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) use self::conditions::conditions;
use self::conditions::look;
use self::people::{notices, people};
use self::scenario::play;
use self::steps::{in_order, steps, try_targets};
use crate::control::{NoDrill, ScenarioText};
use crate::guard::{Drill, Engine, GateAnswer, Person, Rehearsal, Sight};
use crate::judge::holds_after;
use crate::model::{Config, Mode, Moment, Response, Short, Trigger, millis};
use crate::view::{DrillPoint, DrillReport, DrillTime, DrillVerdict, value};

/// All that a drill needs.
#[derive(Debug)]
pub(super) struct Kit {
    pub(super) rehearsal: Rehearsal,
    pub(super) by: Person,
    pub(super) config: Arc<Config>,
    /// How the conditions stand, after every tick.
    pub(super) seen: mpsc::UnboundedReceiver<(String, Sight)>,
    /// Where each point goes as soon as it is known.
    pub(super) points: mpsc::UnboundedSender<DrillPoint>,
    /// What is to be played, and to whom.
    pub(super) scenario: Option<(ScenarioText, Engine)>,
    pub(super) host: String,
    pub(super) began: Moment,
    pub(super) wall_ahead_ms: i64,
}

/// Rehearses. Takes as long as its slowest check may.
pub(super) async fn rehearse(kit: Kit) -> Result<(Drill, DrillReport), NoDrill> {
    let began = Instant::now();
    let Kit {
        rehearsal,
        by,
        config,
        seen,
        points: heard,
        scenario,
        host,
        began: at,
        wall_ahead_ms,
    } = kit;
    let scenarios = match scenario {
        Some((text, understudy)) => play(&rehearsal, text, understudy).await?,
        None => Vec::new(),
    };
    let heard = Heard(heard);
    let mut points = heard.all(gates(&rehearsal.gates));
    let (looked, (target, checked, stepped, mut told), asked) = tokio::join!(
        look(&rehearsal, seen, &heard),
        async {
            let (target, checked) = try_targets(&rehearsal).await;
            let checked = heard.all(checked);
            let mut values = rehearsal.values.clone();
            if let Some(target) = &target {
                values.insert("target".to_owned(), target.clone());
            }
            let stepped = steps(&rehearsal, &values, &heard).await;
            let when = (at, wall_ahead_ms);
            let told = notices(&rehearsal, &config, &by, &host, when, &heard).await;
            (target, checked, stepped, told)
        },
        async { heard.all(people(&rehearsal, &config).await) },
    );
    points.extend(checked);
    points.extend(in_order(stepped, looked));
    points.extend(asked);
    points.append(&mut told);
    let took = began.elapsed();
    let mut report = DrillReport {
        service: rehearsal.policy.service.clone(),
        host,
        mode: mode(rehearsal.policy.mode).to_owned(),
        plan: rehearsal.plan_name.clone(),
        at: value::time(at, wall_ahead_ms),
        by: by.name.clone(),
        current: rehearsal.current.clone(),
        target,
        passed: false,
        took: Short(took).to_string(),
        took_ms: millis(took),
        points,
        times: times(&rehearsal),
        scenarios,
        not_durable: None,
    };
    let failed = report.failed();
    report.passed = failed.is_empty();
    let drill = Drill {
        by,
        plan: rehearsal.plan_name.clone(),
        began: at,
        took,
        incident: None,
        points: report.points.len() as u64,
        failed,
    };
    Ok((drill, report))
}

/// Whoever hears of each point as soon as it is known.
struct Heard(mpsc::UnboundedSender<DrillPoint>);

impl Heard {
    fn one(&self, point: DrillPoint) -> DrillPoint {
        // Whoever does not listen any more reads the report, or nothing.
        let _ = self.0.send(point.clone());
        point
    }

    fn all(&self, points: Vec<DrillPoint>) -> Vec<DrillPoint> {
        points.into_iter().map(|point| self.one(point)).collect()
    }
}

fn point(part: &str, name: impl Into<String>, said: Result<String, String>) -> DrillPoint {
    let (verdict, said) = match said {
        Ok(said) => (DrillVerdict::Passed, said),
        Err(said) => (DrillVerdict::Failed, said),
    };
    DrillPoint {
        part: part.to_owned(),
        name: name.into(),
        verdict,
        said,
        took: None,
        took_ms: None,
    }
}

impl DrillPoint {
    fn taking(mut self, took: Duration) -> Self {
        self.took = Some(Short(took).to_string());
        self.took_ms = Some(millis(took));
        self
    }

    fn being(mut self, verdict: DrillVerdict) -> Self {
        self.verdict = verdict;
        self
    }
}

fn gates(answers: &[GateAnswer]) -> Vec<DrillPoint> {
    let point = |answer: &GateAnswer| {
        let name = answer.gate.name().replace('_', " ");
        match &answer.holds {
            None => point("gate", name, Ok("open".to_owned())),
            Some(why) if answer.for_people => {
                point("gate", name, Err(why.clone())).being(DrillVerdict::Refused)
            }
            Some(why) => {
                let why = format!("a trigger would be held: {why}");
                point("gate", name, Err(why)).being(DrillVerdict::Held)
            }
        }
    };
    answers.iter().map(point).collect()
}

/// The parts of the time from the breach to the proof of cure.
fn times(rehearsal: &Rehearsal) -> Vec<DrillTime> {
    let plan = &rehearsal.plan;
    let interval = rehearsal.policy.interval;
    let time = |part: String, expected: Duration, goal: Option<Duration>, said: &str| DrillTime {
        part,
        expected: Short(expected).to_string(),
        expected_ms: millis(expected),
        goal: goal.map(|goal| Short(goal).to_string()),
        met: goal.map(|goal| expected <= goal),
        said: said.to_owned(),
    };
    let mut times = Vec::new();
    let acting = rehearsal.policy.triggers.iter();
    let acting: Vec<&Trigger> = acting
        .filter(|t| t.plan == rehearsal.plan_name && t.response != Response::Alert)
        .collect();
    // What people take to answer is not in the plan's hands.
    let alone = acting.iter().any(|t| t.response == Response::Rollback);
    let counts = |t: &&&Trigger| !alone || t.response == Response::Rollback;
    let detect = acting.iter().filter(counts);
    let detect = detect.map(|t| t.when.hold.span() + interval).max();
    for trigger in &acting {
        let hold = trigger.when.hold.span() + interval;
        let part = format!("detect by {}", trigger.name);
        times.push(time(part, hold, None, "its hold, and an interval"));
    }
    let run = match (rehearsal.last_took, plan.expect) {
        (Some(took), goal) => Some(time("roll back".into(), took, goal, "the plan's last run")),
        (None, Some(expect)) => Some(time(
            "roll back".into(),
            expect,
            None,
            "the plan's `expect`",
        )),
        (None, None) => None,
    };
    let holds = plan.verify.require.iter();
    let holds = holds.map(|condition| holds_after(&rehearsal.policy, condition));
    let verify = holds.max().unwrap_or(interval);
    let roll_back = run
        .as_ref()
        .map(|run| Duration::from_millis(run.expected_ms));
    let known = roll_back.is_some();
    times.extend(run);
    times.push(time(
        "verify".into(),
        verify,
        Some(plan.verify.within),
        "the slowest of what verifies: its window filled anew, then its hold",
    ));
    let recover = detect.unwrap_or_default() + roll_back.unwrap_or_default() + verify;
    let slowest = match (detect, alone) {
        (None, _) => "without a trigger",
        (Some(_), true) => "by the slowest trigger that decides by itself",
        (Some(_), false) => "by the slowest trigger, without the time to answer",
    };
    let steps = if known {
        ""
    } else {
        "; nobody has said how long the steps take"
    };
    let said = format!("the sum, {slowest}{steps}");
    times.push(time("recover".into(), recover, plan.goal, &said));
    times
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Shadow => "shadow",
        Mode::Enforce => "enforce",
    }
}
