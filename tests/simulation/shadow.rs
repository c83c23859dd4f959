//! Law 17: the shadow ledger says what happened, and nothing comes of it.
//!
//! Kept a second time, from the notes and from what people did; the rules are
//! those of the README. Of what the engine keeps only the end is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backstop::guard::{Command, Counts, Event, Ledger, Note, Probation, Ruling, Service, What};
use backstop::model::{Mode, Moment, Policy, Trigger, Word};

const HOUR: Duration = Duration::from_hours(1);

/// The ledger, as an observer keeps it.
#[derive(Clone, Default)]
pub(crate) struct Shadow {
    /// What was loaded last.
    policy: Option<Arc<Policy>>,
    rows: BTreeMap<String, Row>,
    /// What a person is just doing.
    doing: Option<Doing>,
    running: Option<String>,
    ticked: Option<Moment>,
    pub(crate) fires: u64,
    pub(crate) fit: u64,
}

#[derive(Clone)]
enum Doing {
    Answers(u64, bool, String),
    Orders,
    Counts(u64),
    Declares(String, bool),
}

#[derive(Clone, Default)]
struct Row {
    since: Moment,
    evaluations: u64,
    watched: Duration,
    last: Option<Moment>,
    fires: Vec<Fired>,
    told: u32,
}

#[derive(Clone)]
struct Fired {
    at: Moment,
    lasts: bool,
    incident: Option<u64>,
    release: Option<String>,
    did: Option<What>,
    held: bool,
    ruling: Ruling,
}

impl Row {
    fn lasting(&mut self) -> Option<&mut Fired> {
        self.fires.last_mut().filter(|fire| fire.lasts)
    }

    fn fire(&mut self, at: Moment, incident: Option<u64>, release: Option<String>) {
        if let Some(before) = self.lasting() {
            before.lasts = false;
        }
        self.fires.push(Fired {
            at,
            lasts: true,
            incident,
            release,
            did: None,
            held: false,
            ruling: Ruling::Open,
        });
    }

    fn counts(&self) -> Counts {
        let count =
            |is: &dyn Fn(&Fired) -> bool| self.fires.iter().filter(|f| is(f)).count() as u64;
        Counts {
            fires: self.fires.len() as u64,
            rolled_back: count(&|f| f.did == Some(What::WouldRollBack)),
            asked: count(&|f| f.did == Some(What::WouldAsk)),
            told: count(&|f| f.did == Some(What::WouldTell)),
            held: count(&|f| f.held),
            confirmed: count(&|f| f.ruling == Ruling::Confirmed),
            refuted: count(&|f| f.ruling == Ruling::False),
        }
    }
}

impl Shadow {
    pub(crate) fn hear(&mut self, event: &Event) {
        self.doing = match event {
            Event::Answered {
                incident,
                approve,
                by,
                ..
            } => Some(Doing::Answers(*incident, *approve, by.name.clone())),
            Event::Ordered { drill: false, .. } => Some(Doing::Orders),
            Event::Counted {
                incident, value, ..
            } if *value > 0.0 => Some(Doing::Counts(*incident)),
            Event::Declared { version, word, .. } if matches!(word, Word::Good | Word::Bad) => {
                Some(Doing::Declares(version.clone(), *word == Word::Bad))
            }
            _ => None,
        };
        if let Event::Revised { policy, .. } = event {
            self.policy = Some(Arc::clone(policy));
        }
    }

    pub(crate) fn check(
        &mut self,
        now: Moment,
        service: &Service,
        seen: &[String],
        commands: &[Command],
    ) {
        assert_eq!(
            Some(&service.policy),
            self.policy.as_ref(),
            "law 17: a policy is what was loaded, whatever is fit"
        );
        let notes: Vec<&Note> = commands
            .iter()
            .filter_map(|command| match command {
                Command::Note(note) => Some(note),
                _ => None,
            })
            .collect();
        let shadow = |t: &&Trigger| t.mode == Mode::Shadow;
        let triggers: Vec<&Trigger> = service.policy.triggers.iter().filter(shadow).collect();
        self.rows
            .retain(|name, _| triggers.iter().any(|t| t.name == *name));
        let tick = service.last_tick.filter(|tick| self.ticked != Some(*tick));
        self.ticked = service.last_tick;
        let rows = service.ledger.rows();
        assert_eq!(rows.len(), triggers.len(), "law 17: a row for each");
        for (trigger, kept) in triggers.iter().zip(rows) {
            assert_eq!(trigger.name, kept.trigger, "law 17: in their order");
            self.row(
                service,
                trigger,
                kept,
                tick.map(|tick| tick.min(now)),
                &notes,
            );
        }
        self.people(now, service, seen, &notes);
        for (trigger, kept) in triggers.iter().zip(rows) {
            self.compare(service, trigger, kept, &notes);
        }
        self.running.clone_from(&service.releases.running);
    }

    /// The tick at which a service leaves is in its ledger, and no step shows it.
    pub(crate) fn left(&mut self, ledger: &Ledger) {
        for kept in ledger.rows() {
            if let Some(row) = self.rows.get_mut(&kept.trigger)
                && row.since == kept.since
            {
                row.evaluations = kept.evaluations;
                row.watched = kept.watched();
                row.last = kept.last;
            }
        }
    }

    /// What the notes and the tick say of one trigger.
    fn row(
        &mut self,
        service: &Service,
        trigger: &Trigger,
        kept: &Probation,
        tick: Option<Moment>,
        notes: &[&Note],
    ) {
        let judgement = service.judge.trigger(&trigger.name).unwrap();
        let row = self.rows.entry(trigger.name.clone()).or_default();
        let open = service.incident.as_ref().map(|i| i.number);
        if row.since != kept.since {
            *row = Row {
                since: kept.since,
                ..Row::default()
            };
            if judgement.fired.is_some() {
                row.fire(kept.since, open, service.releases.running.clone());
            }
            return;
        }
        if let Some(tick) = tick {
            for fire in &mut row.fires {
                if fire.ruling == Ruling::Open && tick >= fire.at + HOUR {
                    fire.ruling = Ruling::False;
                }
            }
            // Where evidence started anew at this tick its verdict is gone.
            let anew = notes.iter().any(|note| note.what == What::Verifying);
            let judged = if anew {
                kept.evaluations > row.evaluations
            } else {
                judgement.verdict.is_judged()
            };
            if judged {
                row.evaluations += 1;
                let gap = row.last.map(|last| tick.since(last));
                row.watched += gap.filter(|g| *g <= trigger.max_gap).unwrap_or_default();
                row.last = Some(tick);
            }
        }
        for note in notes {
            if note.trigger.as_ref() != Some(&trigger.name) {
                continue;
            }
            match note.what {
                What::Fired => {
                    row.fire(note.at, note.incident, self.running.clone());
                    self.fires += 1;
                }
                What::WouldRollBack
                | What::WouldAsk
                | What::WouldTell
                | What::Held
                | What::Told => {
                    let fire = row.lasting().expect("law 17: a deed without a fire");
                    fire.incident = note.incident;
                    match note.what {
                        What::Held => fire.held = true,
                        What::Told => {}
                        what => {
                            fire.did.get_or_insert(what);
                        }
                    }
                }
                _ => {}
            }
        }
        if judgement.fired.is_none()
            && let Some(fire) = row.lasting()
        {
            fire.lasts = false;
        }
    }

    /// What people did, and what came of it.
    fn people(&mut self, now: Moment, service: &Service, seen: &[String], notes: &[&Note]) {
        // Of two that were first seen on one page nobody knows the older: as long as
        // the engine knows both, they are in its order.
        let known = &service.releases.seen;
        let older = |to: &String, from: &String| {
            let here = |version: &String| known.iter().position(|r| r.version == *version);
            let places = here(to).zip(here(from)).or_else(|| {
                let place = |version: &String| seen.iter().position(|s| s == version);
                place(to).zip(place(from))
            });
            places.is_some_and(|(to, from)| to < from)
        };
        for note in notes {
            let of_it = |f: &Fired| f.incident == note.incident;
            match (note.what, &self.doing) {
                (What::Acknowledged, _) => self.rule(now, true, of_it),
                (What::Answered | What::AnswerIgnored, Some(Doing::Answers(number, yes, name))) => {
                    let counts = note.what == What::Answered
                        || note.reason.ends_with("but nothing is being asked");
                    let said = note.reason.starts_with(&format!("{name} "));
                    if said && counts && note.incident == Some(*number) {
                        self.rule(now, *yes, of_it);
                    }
                }
                (What::Counted, Some(Doing::Counts(number))) if note.incident == Some(*number) => {
                    self.rule(now, true, of_it);
                }
                (What::Declared, Some(Doing::Declares(version, bad))) => {
                    let (version, bad) = (version.clone(), *bad);
                    self.rule(now, bad, |f| f.release.as_ref() == Some(&version));
                }
                (What::Cured, _) => {
                    let closed = service.closed.iter().chain(&service.incident);
                    let drill = closed.filter(|i| i.drill);
                    if drill.clone().all(|i| Some(i.number) != note.incident) {
                        self.rule(note.at, true, |_| true);
                    }
                }
                (What::Release, _) if self.running.is_some() => {
                    let ours = note.reason.contains(" runs again after ");
                    let runs = service.releases.running.as_ref();
                    if !ours && self.running.as_ref() != runs {
                        self.rule(note.at, true, |f| {
                            let from = f.release.as_ref();
                            runs.zip(from).is_some_and(|(to, from)| older(to, from))
                        });
                    }
                }
                _ => {}
            }
        }
        if matches!(self.doing, Some(Doing::Orders)) {
            self.rule(now, true, |_| true);
        }
    }

    fn rule(&mut self, at: Moment, agrees: bool, about: impl Fn(&Fired) -> bool) {
        let fires = self.rows.values_mut().flat_map(|row| &mut row.fires);
        for fire in fires.filter(|f| at < f.at + HOUR && about(f)) {
            match (agrees, fire.ruling) {
                (true, Ruling::Open) => fire.ruling = Ruling::Confirmed,
                (true, _) => {}
                (false, _) => fire.ruling = Ruling::False,
            }
        }
    }

    fn compare(&mut self, service: &Service, trigger: &Trigger, kept: &Probation, notes: &[&Note]) {
        let row = self.rows.get_mut(&trigger.name).unwrap();
        let mut counts = row.counts();
        // A gate that holds an incident on and on is noted once.
        assert!(kept.counts.held >= counts.held && kept.counts.held <= counts.fires);
        counts.held = kept.counts.held;
        assert_eq!(kept.counts, counts, "law 17: {}", trigger.name);
        let seen = (kept.evaluations, kept.watched());
        assert_eq!(
            seen,
            (row.evaluations, row.watched),
            "law 17: {}",
            trigger.name
        );
        assert!(kept.fires.len() <= Probation::FIRES);
        let rule = trigger.promote.as_ref();
        let met = rule.is_some_and(|rule| {
            row.evaluations >= rule.evaluations
                && row.watched >= rule.after
                && counts.refuted <= rule.false_fires
                && counts.confirmed + counts.refuted == counts.fires
        });
        assert_eq!(rule.is_some_and(|rule| kept.is_fit(rule)), met);
        let mine = |n: &&&Note| n.what == What::Fit && n.trigger.as_ref() == Some(&trigger.name);
        let said = notes.iter().filter(mine).count();
        if said > 0 {
            row.told += 1;
            self.fit += 1;
            assert!(met, "law 17: {} is said to be fit", trigger.name);
            assert_eq!((said, row.told), (1, 1), "law 17: said again");
            assert!(service.incident.is_none(), "law 17: it is not urgent");
        }
        assert_eq!(kept.told.is_some(), row.told > 0);
    }
}
