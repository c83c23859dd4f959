//! Drives the engine over a recording: the next fact or the next deadline,
//! whichever is first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::blindness::{Blindness, Blindnesses};
use super::reel::Fact;
use super::told::{Progress, ToldEvent};
use super::{Recording, Told, TriggerSummary};
use crate::guard::{Command, Engine, Event, Note, Person, Push, Service, Statement, What};
use crate::judge::{Judge, Swept};
use crate::model::{Current, Mode, Moment, Outcome, Policy, Sample, SignalKind, Trigger, Verdict};
use crate::view::value;

/// How far a decision may be from one of the recording that is the same, at
/// least: as far apart as judged ticks of a hold may be.
const NEAR: Duration = Duration::from_secs(15);

/// A replay that is over.
#[derive(Debug)]
pub struct Replay {
    /// What it says.
    pub told: Told,
    /// What its reader should know about how far it can be trusted.
    pub remarks: Vec<String>,
    /// What each trigger saw at the last tick, by name.
    pub seen_last: BTreeMap<String, Verdict>,
    /// The first tick and the last.
    pub span: (Moment, Moment),
    /// When triggers could not judge for longer than `blind_after`, in the order
    /// of the beginning.
    pub blind: Vec<Blindness>,
}

/// Looks on while a recording is replayed, and changes nothing.
pub trait Onlooker {
    /// A tick was judged.
    fn ticked(&mut self, tick: Moment, judge: &Judge);
}

/// Nobody.
impl Onlooker for () {
    fn ticked(&mut self, _: Moment, _: &Judge) {}
}

/// What would have happened under this policy, given these samples.
///
/// The first tick is at the first sample, then one per interval, the last at or
/// before the last sample; the tick at t sees all samples at or before t. The
/// policy is replayed in shadow, whatever its mode.
#[must_use]
pub fn replay(policy: &Policy, recording: &Recording) -> Replay {
    replay_before(policy, recording, &mut ())
}

/// As [`replay`], while somebody looks on.
pub fn replay_before(
    policy: &Policy,
    recording: &Recording,
    onlooker: &mut impl Onlooker,
) -> Replay {
    replay_beside(policy, recording, &[], onlooker).0
}

/// What came of choices that were tried beside the policy's triggers.
#[derive(Debug)]
pub(super) struct Beside {
    /// In the order of the choices.
    pub(super) swept: Vec<Swept>,
    /// Which release ran since when, in the order of time.
    pub(super) ran: Vec<(Moment, String)>,
}

/// As [`replay_before`], with choices that are judged on the very same readings.
pub(super) fn replay_beside(
    policy: &Policy,
    recording: &Recording,
    choices: &[Trigger],
    onlooker: &mut impl Onlooker,
) -> (Replay, Beside) {
    let mut remarks = recording.remarks.clone();
    let policy = Arc::new(in_shadow(policy, recording, &mut remarks));
    for (source, samples) in &recording.foreign {
        remarks.push(format!(
            "{samples} samples of `{source}` were passed over: the policy has no use for them"
        ));
    }
    let mut driver = Driver::new(Engine::new(), &policy, &recording.taken);
    driver.step(
        recording.span.0,
        Event::Revised {
            policy: Arc::clone(&policy),
            hash: "replayed".to_owned(),
        },
    );
    if !choices.is_empty() {
        driver.sweep(choices);
    }
    let mut replayed = driver.play(recording, recording.span.0, remarks, onlooker);
    replayed.remarks.extend(driver.unread());
    let beside = Beside {
        swept: driver.swept(),
        ran: driver.ran,
    };
    (replayed, beside)
}

/// What would happen if these samples came now: the recording is played to a
/// copy of a live engine ([`Engine::understudy`]), its first sample at the tick
/// after the last one. The times of what it says count from the recording's
/// start. `None` when the engine does not guard the service.
pub(super) fn play(understudy: Engine, service: &str, recording: &Recording) -> Option<Replay> {
    let guarded = understudy.state().services.get(service)?;
    let policy = Arc::clone(&guarded.policy);
    let last = guarded.last_tick.unwrap_or_default();
    let start = understudy.state().now.max(last) + policy.interval;
    let mut driver = Driver::new(understudy, &policy, &[]);
    let mut replayed = driver.play(recording, start, recording.remarks.clone(), &mut ());
    for event in &mut replayed.told.events {
        event.when = Moment::ZERO + event.when.since(start);
    }
    Some(replayed)
}

/// The policy in shadow; with its sources sampled as often as they were in the
/// recording, if that was more seldom; and without its release rule where the
/// recording cannot say which release ran.
fn in_shadow(policy: &Policy, recording: &Recording, remarks: &mut Vec<String>) -> Policy {
    let mut policy = policy.clone();
    policy.mode = Mode::Shadow;
    for trigger in &mut policy.triggers {
        trigger.mode = Mode::Shadow;
    }
    for recorded in &recording.sources {
        let Some(source) = policy.sources.get_mut(&recorded.name) else {
            continue;
        };
        let slack = source.interval.mul_f64(1.01);
        let Some(seldom) = recorded.cadence.filter(|every| *every > slack) else {
            continue;
        };
        remarks.push(format!(
            "`{}` was sampled every {} in the recording, not every {}: it is judged so",
            recorded.name,
            value::span(seldom),
            value::span(source.interval)
        ));
        // A mean is not to the millisecond.
        let tick = policy.interval.as_millis().max(1);
        let ticks = (seldom.as_millis() * 99 / 100).div_ceil(tick);
        source.interval = policy.interval * u32::try_from(ticks).unwrap_or(u32::MAX);
    }
    let in_samples = policy
        .release
        .as_ref()
        .is_some_and(|rule| matches!(rule.current, Current::Metric { .. }));
    if policy.release.is_some() && !in_samples && !recording.names_releases {
        policy.release = None;
        remarks.push(
            "the recording does not say which release ran (`backstop_release`): the gates on releases were not asked"
                .to_owned(),
        );
    }
    policy
}

/// The events that a recorded counter grew by.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped before"
)]
fn grown(before: Option<f64>, value: f64) -> u32 {
    let grown = match before {
        Some(before) if value >= before => value - before,
        Some(_) => value,
        None => 0.0,
    };
    grown.clamp(0.0, f64::from(Statement::MOST_EVENTS)) as u32
}

struct Driver<'r> {
    engine: Engine,
    service: String,
    policy: Arc<Policy>,
    /// The last value of each series of the sources that are told.
    heard: BTreeMap<(String, String), f64>,
    events: Vec<ToldEvent>,
    blind: Blindnesses,
    /// Which release ran since when.
    ran: Vec<(Moment, String)>,
    /// How far the hold of each trigger was at the last tick of its breach.
    held_ms: Vec<u64>,
    counterfactual: bool,
    /// When the recorded agent really began to roll back.
    taken: &'r [Moment],
}

impl<'r> Driver<'r> {
    fn new(engine: Engine, policy: &Arc<Policy>, taken: &'r [Moment]) -> Self {
        Self {
            engine,
            service: policy.service.clone(),
            policy: Arc::clone(policy),
            heard: BTreeMap::new(),
            events: Vec::new(),
            blind: Blindnesses::default(),
            ran: Vec::new(),
            held_ms: vec![0; policy.triggers.len()],
            counterfactual: false,
            taken,
        }
    }

    /// Plays a recording, its first fact at `start`.
    fn play(
        &mut self,
        recording: &Recording,
        start: Moment,
        remarks: Vec<String>,
        onlooker: &mut impl Onlooker,
    ) -> Replay {
        let policy = Arc::clone(&self.policy);
        let (first, last) = recording.span;
        // The wall clock is the recording's.
        let ahead = |at: Moment| at.as_millis().cast_signed();
        let wall_ahead_ms = ahead(first).saturating_sub(ahead(start));
        let mut facts = recording.facts_of(&policy);
        let (mut tick, mut ticks) = (first, 0_u64);
        let mut to = first;
        while tick <= last {
            while let Some((at, fact)) = facts.next_by(tick) {
                self.fact(start + at.since(first), fact);
            }
            let now = start + tick.since(first);
            self.step(
                now,
                Event::Ticked {
                    service: policy.service.clone(),
                    tick: now,
                    wall_ahead_ms,
                },
            );
            self.look(now, onlooker);
            ticks += 1;
            to = tick;
            tick = tick + policy.interval;
        }
        let end = start + to.since(first);
        Replay {
            told: Told {
                service: policy.service.clone(),
                from: value::time(first, 0),
                to: value::time(to, 0),
                ticks,
                triggers: self.summaries(&policy),
                events: std::mem::take(&mut self.events),
            },
            remarks,
            seen_last: self.seen(),
            span: (first, to),
            blind: std::mem::take(&mut self.blind).until(end),
        }
    }

    fn fact(&mut self, at: Moment, fact: Fact<'_>) {
        let service = self.service.clone();
        let event = match fact {
            Fact::Sampled(source, outcome) if self.is_told(source) => {
                self.said(at, source, outcome);
                return;
            }
            Fact::Sampled(source, outcome) => Event::Sampled {
                service,
                source: source.to_owned(),
                tick: at,
                outcome,
            },
            Fact::Ran(version) => Event::Released {
                service,
                version: version.to_owned(),
            },
            Fact::Happened(event) => match self.meant(event) {
                Some(event) => event,
                None => return,
            },
        };
        self.step(at, event);
    }

    /// What was done, of this replay: the incident that was answered is the one
    /// that is open here, if one is.
    fn meant(&self, event: &Event) -> Option<Event> {
        let mut event = event.clone();
        if let Event::Answered { incident, .. }
        | Event::Counted { incident, .. }
        | Event::Acknowledged { incident, .. }
        | Event::Aborted { incident, .. } = &mut event
        {
            *incident = self.guarded()?.incident.as_ref()?.number;
        }
        Some(event)
    }

    fn is_told(&self, source: &str) -> bool {
        let source = self.policy.sources.get(source);
        source.is_some_and(|s| s.kind.is_told())
    }

    /// A recorded source that was told: each change of a series is a word. A
    /// counter's first sample is where counting begins.
    fn said(&mut self, at: Moment, source: &str, outcome: Outcome) {
        let Outcome::Scraped(samples) = outcome else {
            return;
        };
        for Sample { series, value } in samples {
            let key = (source.to_owned(), series.name().to_owned());
            let before = self.heard.insert(key, value);
            if before == Some(value) {
                continue;
            }
            let mut signals = self.policy.signals.values();
            let told = signals.find(|signal| {
                signal.source == source && signal.told_name() == Some(series.name())
            });
            let what = match told.map(|signal| &signal.kind) {
                Some(SignalKind::Flag { .. }) if value == 0.0 => Statement::Clear,
                Some(SignalKind::Flag { .. }) => Statement::Set,
                Some(SignalKind::Count(_)) => match grown(before, value) {
                    0 => continue,
                    events => Statement::Events(events),
                },
                Some(_) if value.is_finite() => Statement::Is(value),
                Some(_) | None => continue,
            };
            let by = Person {
                name: "the recording".to_owned(),
                roles: self.policy.sources[source].kind.roles().to_vec(),
            };
            let event = Event::Pushed {
                service: self.policy.service.clone(),
                source: source.to_owned(),
                by,
                push: Push::Said {
                    name: series.name().to_owned(),
                    what,
                    reason: String::new(),
                },
            };
            self.step(at, event);
        }
    }

    fn step(&mut self, at: Moment, event: Event) {
        while let Some(due) = self.engine.deadline().filter(|due| *due < at) {
            let commands = self.engine.step(due, Event::Woke);
            self.tell(commands);
        }
        let commands = self.engine.step(at, event);
        self.tell(commands);
    }

    fn tell(&mut self, commands: Vec<Command>) {
        for command in commands {
            let Command::Note(note) = command else {
                continue;
            };
            match note.what {
                What::Blind => self.went_blind(&note),
                What::SeesAgain => self.blind.ends(note.trigger.as_deref(), note.at),
                What::Release => {
                    let running = self.guarded().and_then(|s| s.releases.running.clone());
                    self.ran.extend(running.map(|version| (note.at, version)));
                }
                _ => {}
            }
            if let Some(mut event) = ToldEvent::of(&note, self.counterfactual) {
                event.hold = self.hold(&note);
                event.gate = self.gate(&note);
                self.events.push(event);
            }
            self.counterfactual |= note.what == What::WouldRollBack && !self.was_taken(note.at);
        }
    }

    /// Whether the recording has this rollback: what follows in it is what came
    /// of it. The tick at which it was decided may have been late, or missed.
    fn was_taken(&self, at: Moment) -> bool {
        let near = (self.policy.interval * 4).max(NEAR);
        let mut taken = self.taken.iter();
        taken.any(|began| at.since(*began) <= near && began.since(at) <= near)
    }

    /// Has these choices judged from now on.
    fn sweep(&mut self, choices: &[Trigger]) {
        let mut snapshot = self.engine.snapshot();
        if let Some(service) = snapshot.services.get_mut(&self.service) {
            service.judge.sweep(&self.policy, choices);
        }
        self.engine = Engine::restore(snapshot);
    }

    fn swept(&self) -> Vec<Swept> {
        let swept = self.guarded().map(|service| service.judge.swept());
        swept.unwrap_or_default()
    }

    fn guarded(&self) -> Option<&Service> {
        self.engine.state().services.get(&self.service)
    }

    /// A tick is over: how far holds are by now.
    fn look(&mut self, tick: Moment, onlooker: &mut impl Onlooker) {
        let services = &self.engine.state().services;
        let Some(guarded) = services.get(&self.service) else {
            return;
        };
        for (held, (_, judgement)) in self.held_ms.iter_mut().zip(guarded.judge.triggers()) {
            if judgement.since.is_some() {
                *held = judgement.held_ms;
            }
        }
        onlooker.ticked(tick, &guarded.judge);
    }

    /// How far the hold was that begins, is met or ends with this.
    fn hold(&self, note: &Note) -> Option<Progress> {
        let name = note.trigger.as_deref()?;
        let mut triggers = self.policy.triggers.iter();
        let place = triggers.position(|t| t.name == name)?;
        let held_ms = match note.what {
            What::Suspecting => 0,
            What::Fired => self.guarded()?.judge.trigger(name)?.held_ms,
            What::Cleared => self.held_ms[place],
            _ => return None,
        };
        let of = self.policy.triggers[place].when.hold.needed();
        (!of.is_zero()).then(|| Progress {
            held: Duration::from_millis(held_ms),
            of,
        })
    }

    /// The gate that holds what this note is about.
    fn gate(&self, note: &Note) -> Option<&'static str> {
        let held = self.guarded()?.incident.as_ref()?.held.as_ref()?;
        (note.what == What::Held && held.reason == note.reason).then(|| held.gate.name())
    }

    fn went_blind(&mut self, note: &Note) {
        if let Some(trigger) = &note.trigger {
            let judgement = self.guarded().and_then(|s| s.judge.trigger(trigger));
            let since = judgement.and_then(|j| j.blind_since);
            self.blind
                .begins(trigger, since.unwrap_or(note.at), note.at);
        }
    }

    /// What the policy reads and the recording never has.
    fn unread(&self) -> Option<String> {
        /// More are not named.
        const NAMED: usize = 3;
        let unread = self.guarded()?.judge.never_matched();
        let named: Vec<_> = unread
            .iter()
            .take(NAMED)
            .map(|(signal, selector)| format!("{signal} ({selector})"))
            .collect();
        let more = match unread.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let all = self.policy.signals.values();
        let selecting = all.filter(|s| s.kind.selectors().next().is_some()).count();
        let stranger = if unread.len() == selecting {
            ": is it of another service?"
        } else {
            ""
        };
        (!unread.is_empty()).then(|| {
            let named = named.join(", ");
            format!("the recording has no series for {named}{more}{stranger}")
        })
    }

    fn seen(&self) -> BTreeMap<String, Verdict> {
        let triggers = self.guarded().into_iter().flat_map(|s| s.judge.triggers());
        triggers
            .map(|(name, judgement)| (name.to_owned(), judgement.verdict.clone()))
            .collect()
    }

    fn summaries(&self, policy: &Policy) -> BTreeMap<String, TriggerSummary> {
        let service = self.guarded();
        policy
            .triggers
            .iter()
            .map(|trigger| {
                let judgement = service.and_then(|s| s.judge.trigger(&trigger.name));
                let summary = judgement.map_or_else(TriggerSummary::default, |j| TriggerSummary {
                    fired: j.fired_count,
                    breach_seconds: j.breach_ms as f64 / 1000.0,
                    blind_seconds: j.blind_ms as f64 / 1000.0,
                });
                (trigger.name.clone(), summary)
            })
            .collect()
    }
}
