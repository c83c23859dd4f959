//! The laws of the house, checked after every step by an observer that shares
//! no rule with the engine: it remembers what the world did and reads what the
//! engine ordered.

use std::collections::{BTreeMap, BTreeSet};

use backstop::guard::{
    Command, Drill, Engine, Event, NoticeKind, Order, Outcome, Push, RunRecord, Service, Statement,
    What,
};
use backstop::model::Outcome::Scraped;
use backstop::model::{Approve, Mode, Moment, Otherwise, Response, Sample, Standing, Unit, Word};

use crate::policies::SERVICE;
use crate::shadow::Shadow;

#[derive(Default)]
pub(crate) struct Laws {
    last_ticket: u64,
    outcomes: BTreeMap<u64, Outcome>,
    bad: BTreeSet<String>,
    /// Releases with a migration that cannot be taken back.
    crossed: BTreeSet<String>,
    /// Where each run goes, as it was last judged.
    going: BTreeMap<u64, Option<String>>,
    /// Incidents that a drill was.
    drills: BTreeSet<u64>,
    /// A drill that was not executed is being heard of.
    drilled: bool,
    /// What a person is just saying of a release.
    word: Option<(String, Word)>,
    /// Runs whose release has been left behind: bad, until a person says more.
    left: BTreeSet<u64>,
    seen: Vec<String>,
    /// Valid approvals: incident → name → when, and for which roles.
    approvals: BTreeMap<u64, BTreeMap<String, (Moment, Vec<String>)>>,
    asked: BTreeMap<u64, Moment>,
    /// On what terms people were last asked, by incident.
    terms: BTreeMap<u64, Approve>,
    /// How many questions each incident has asked.
    questions: BTreeMap<u64, u32>,
    /// Since when a lead says that the release is breached, if one does.
    said: Option<Moment>,
    frozen_until: Option<Moment>,
    distrusted: bool,
    /// The releases that were good without a person's word, while several run.
    good: Option<BTreeSet<String>>,
    /// Steps whose program was started.
    started: BTreeSet<(u64, usize, u32)>,
    /// The shadow ledger, kept a second time.
    pub(crate) shadow: Shadow,
    pub(crate) runs: u64,
    pub(crate) cured: u64,
}

impl Laws {
    /// What the world is about to tell the engine.
    pub(crate) fn hear(&mut self, at: Moment, guarded: bool, event: &Event) {
        self.shadow.hear(event);
        if !guarded {
            return;
        }
        match event {
            Event::Released { version, .. } if !self.seen.contains(version) => {
                self.seen.push(version.clone());
            }
            Event::Sampled {
                outcome: Scraped(samples),
                ..
            } => self.paged(samples),
            Event::Answered {
                incident,
                by,
                approve: true,
                role,
                link,
                ..
            } if link.is_none_or(|link| self.questions.get(incident) == Some(&link)) => {
                let holds = match role {
                    Some(role) => by.roles.contains(role),
                    None => !by.roles.is_empty(),
                };
                if holds {
                    let roles = role.as_ref().map_or(&by.roles[..], std::slice::from_ref);
                    let people = self.approvals.entry(*incident).or_default();
                    let answer = (at, roles.to_vec());
                    people.entry(by.name.clone()).or_insert(answer);
                }
            }
            Event::Pushed {
                source,
                by,
                push: Push::Said { name, what, .. },
                ..
            } if source == "people"
                && name == "breach"
                && by.roles.iter().any(|role| role == "lead") =>
            {
                match what {
                    Statement::Set => self.said = Some(at),
                    Statement::Clear => self.said = None,
                    Statement::Events(_) | Statement::Is(_) => {}
                }
            }
            Event::Froze { freeze, .. } if freeze.until.is_some_and(|until| until > at) => {
                self.frozen_until = freeze.until;
            }
            Event::Unfroze { .. } => {
                self.frozen_until = None;
                self.distrusted = false;
            }
            Event::Distrusted { .. } => self.distrusted = true,
            Event::Drilled { .. } => self.drilled = true,
            Event::Declared { version, word, .. } => {
                match word {
                    Word::Good | Word::Unproven => self.bad.remove(version),
                    Word::Reversible => self.crossed.remove(version),
                    Word::Bad | Word::Irreversible => false,
                };
                self.word = Some((version.clone(), *word));
            }
            _ => {}
        }
    }

    /// What the engine ordered, and what it is then.
    pub(crate) fn check(
        &mut self,
        engine: &mut Engine,
        before: Option<Moment>,
        commands: &[Command],
    ) {
        let state = engine.state();
        let now = state.now;
        assert!(before.is_none_or(|b| b <= now), "time went back");
        let Some(service) = state.services.get(SERVICE) else {
            if let Some(retired) = state.retired.get(SERVICE) {
                Self::law_7_none_without(&retired.runs, None);
                self.law_7_outcomes(&retired.runs, commands);
                if let Some((_, ledger)) = &retired.shadow {
                    self.shadow.left(ledger);
                }
            }
            return;
        };
        Self::law_2_one_open_run(service);
        self.law_15(service, commands);
        self.shadow.check(now, service, &self.seen, commands);
        for record in &service.runs {
            if record.ticket > self.last_ticket {
                self.last_ticket = record.ticket;
                if !record.shadow {
                    self.started_run(now, service, record, commands);
                }
            }
        }
        for record in service.runs.iter().filter(|r| !r.shadow) {
            if self.going.get(&record.ticket) != Some(&record.to) {
                self.law_5(service, record);
                self.going.insert(record.ticket, record.to.clone());
            }
        }
        for command in commands {
            if let Command::Run(order) = command {
                assert!(!order.shadow, "law 1: ordered in shadow");
                let run = service.runs.iter().find(|r| r.ticket == order.ticket);
                let open = run.is_some_and(|r| !r.shadow);
                assert!(open, "law 1: an order without a run: {order:?}");
                let idempotent = match &service.phase {
                    backstop::guard::Phase::Acting(run) => run.plan.steps[order.step].idempotent,
                    _ => false,
                };
                self.law_3_step(now, service, order);
                let again = self
                    .started
                    .contains(&(order.ticket, order.step, order.attempt));
                assert!(!again || idempotent, "I1: started twice: {order:?}");
            }
            if let Command::Tell(notice) = command
                && let (Some(asked), Some(incident)) = (&notice.question, notice.incident)
            {
                assert!(asked.deadline > now, "law 3: asked too late");
                let before = self.questions.insert(incident, asked.number);
                assert_eq!(
                    before.unwrap_or(0) + 1,
                    asked.number,
                    "law 3: one question twice"
                );
            }
            if let Command::Note(note) = command {
                assert!(!note.reason.is_empty(), "a note without a reason: {note:?}");
                if let (What::Asked, Some(incident)) = (note.what, note.incident) {
                    self.asked.insert(incident, note.at);
                    // Who was asked is asked on these terms, whatever is loaded next.
                    match service.phase.question() {
                        Some(question) => {
                            self.terms.insert(incident, question.approve.clone());
                        }
                        None => {
                            self.terms.remove(&incident);
                        }
                    }
                    self.approvals.remove(&incident);
                }
                if note.what == What::RollingBack
                    && let Some(cause) = &note.cause
                    && let Some(evidence) = &cause.evidence
                    && cause.since.is_some()
                    && cause.unit != Unit::Plain
                {
                    let covers = evidence.covers.as_millis() * 5;
                    let full = covers >= u128::from(cause.window_ms) * 4;
                    assert!(full, "law 1: before the first full window: {note:?}");
                }
            }
        }
        let verified = match &service.phase {
            backstop::guard::Phase::Verifying(v) => Some(v.ticket),
            _ => None,
        };
        Self::law_7_none_without(&service.runs, verified);
        self.law_7_outcomes(&service.runs, commands);
        self.left_behind(service);
        self.mixed(service);
        self.said(commands);
        let deadline = engine.deadline();
        assert!(
            deadline.is_none_or(|d| d > now),
            "law 8: {deadline:?} is not after {now:?}"
        );
        let again = engine.step(now, Event::Woke);
        assert!(again.is_empty(), "law 8: woken twice: {again:?}");
    }

    /// A program was started.
    pub(crate) fn starts(&mut self, ticket: u64, step: usize, attempt: u32) {
        self.started.insert((ticket, step, attempt));
    }

    fn law_2_one_open_run(service: &Service) {
        let open = service.runs.iter().filter(|r| r.ended.is_none()).count();
        assert!(open <= 1, "law 2: {open} open runs");
        let mut last = 0;
        for run in &service.runs {
            assert!(run.ticket > last, "law 2: tickets fell");
            last = run.ticket;
        }
        let watching = matches!(service.phase, backstop::guard::Phase::Watching);
        assert_eq!(
            watching,
            service.incident.is_none(),
            "an incident is open in every phase but watching: {:?}",
            service.phase
        );
    }

    fn started_run(
        &mut self,
        now: Moment,
        service: &Service,
        record: &RunRecord,
        commands: &[Command],
    ) {
        self.runs += 1;
        let at = record.started;
        let incident = service
            .incident
            .as_ref()
            .filter(|i| i.number == record.incident)
            .or_else(|| service.closed.iter().find(|i| i.number == record.incident))
            .expect("law 6: a run belongs to an incident");
        let earlier: Vec<&RunRecord> = service
            .runs
            .iter()
            .filter(|r| r.ticket < record.ticket && !r.shadow)
            .collect();
        let next = incident.runs.iter().filter(|r| !r.shadow).count() > 1;
        let by_person = record.ordered_by.is_some();
        assert!(
            !incident.drill || (by_person && !next && incident.trigger.is_empty()),
            "law 15: a drill goes no further than it was ordered to"
        );
        assert!(
            self.frozen_until.is_none_or(|until| until <= now) && !self.distrusted,
            "law 1: acted while frozen"
        );

        let plan = &service.policy.plans[&record.plan];
        assert!(
            plan.goes_back || record.to.is_none(),
            "law 5: what is no rollback goes to {:?}",
            record.to
        );
        // Rollbacks count against rollbacks, anything else against itself.
        let alike: Vec<_> = earlier
            .iter()
            .filter(|r| {
                let other = service.policy.plans.get(&r.plan);
                let goes_back = other.is_none_or(|other| other.goes_back);
                goes_back == plan.goes_back && (goes_back || r.plan == record.plan)
            })
            .collect();
        if !by_person {
            if !next {
                let ended = alike.iter().filter_map(|r| r.ended).max();
                assert!(
                    ended.is_none_or(|e| e + plan.cooldown <= at),
                    "law 4: within the cooldown"
                );
            }
            let recent = alike
                .iter()
                .filter(|r| at.since(r.started) < plan.budget.period)
                .count();
            assert!(
                recent < plan.budget.runs as usize,
                "law 4: {recent} runs before, of {}",
                plan.budget.runs
            );
        }
        if !by_person && !next {
            let trigger = service
                .policy
                .triggers
                .iter()
                .find(|t| t.name == incident.trigger)
                .expect("law 6: a run without a trigger");
            assert_eq!(trigger.mode, Mode::Enforce, "law 1: acted in shadow");
            if trigger.name == "said" {
                let said = self.said.expect("law 1: nobody entitled has said so");
                let ended = earlier.iter().filter_map(|r| r.ended).max();
                assert!(
                    ended.is_none_or(|ended| said >= ended),
                    "law 1: said of another release, at {said:?}"
                );
            }
            let judgement = service.judge.trigger(&trigger.name).unwrap();
            // With a first step that is over at once the evidence has already
            // started anew; no simulated plan is like that.
            assert!(
                judgement.verdict.is_breach() && judgement.hold_met,
                "law 1: acted on {:?}, hold met: {}",
                judgement.verdict,
                judgement.hold_met
            );
            if let Response::Approve(approve) = &trigger.response {
                let asked = self.asked.get(&incident.number).copied().unwrap();
                let approve = self.terms.get(&incident.number).unwrap_or(approve);
                self.law_3(incident.number, asked, approve, at, "the plan");
            }
            let told = commands.iter().any(|c| {
                matches!(c, Command::Note(n) if n.what == What::RollingBack
                    && n.cause.as_ref().is_some_and(|c| c.since.is_some() && !c.policy.is_empty()))
            });
            assert!(told, "law 6: a run without its cause");
        }
    }

    /// Where a run goes; judged again when its target failed its check.
    fn law_5(&self, service: &Service, record: &RunRecord) {
        let Some(to) = &record.to else {
            return;
        };
        assert_ne!(Some(to), record.from.as_ref(), "law 5: to the running one");
        assert!(!self.bad.contains(to), "law 5: to a bad one: {to}");
        let place = |v: &String| self.seen.iter().position(|s| s == v);
        // A person may name a release that never ran but beside another one: which of
        // the two came first nobody can tell.
        let ran = service.releases.seen.iter().any(|r| r.version == *to);
        if ran && let (Some(from), Some(to)) = (record.from.as_ref().and_then(place), place(to)) {
            assert!(to < from, "law 5: forward");
        }
        let rule = service.policy.release.as_ref();
        let since = rule.and_then(|rule| rule.irreversible_since.as_ref());
        for crossed in self.crossed.iter().chain(since) {
            let after = place(crossed).is_some_and(|c| place(to) >= Some(c));
            assert!(after, "law 5: {to} is from before {crossed}, irreversibly");
        }
    }

    /// A step that needs people runs only with their consent, given in time.
    fn law_3_step(&self, now: Moment, service: &Service, order: &Order) {
        let backstop::guard::Phase::Acting(run) = &service.phase else {
            panic!("an order outside of a run: {order:?}");
        };
        let Some(approve) = &run.plan.steps[order.step].approve else {
            return;
        };
        let asked = self.asked.get(&order.incident).copied();
        let asked = asked.unwrap_or_else(|| panic!("law 3: nobody was asked: {order:?}"));
        self.law_3(order.incident, asked, approve, now, &order.name);
    }

    /// Enough distinct people agreed in time, one for each role where that is
    /// asked.
    fn law_3(&self, incident: u64, asked: Moment, approve: &Approve, at: Moment, what: &str) {
        let people = self.approvals.get(&incident).into_iter().flatten();
        let in_time = |when: Moment| when >= asked && when.since(asked) <= approve.within;
        let people = people.filter(|(_, (when, _))| in_time(*when));
        let roles: Vec<&[String]> = people.map(|(_, (_, roles))| roles.as_slice()).collect();
        let late = approve.otherwise == Otherwise::Rollback && at.since(asked) >= approve.within;
        assert!(
            roles.len() >= approve.quorum as usize || late,
            "law 3: {} of {} agreed to {what}",
            roles.len(),
            approve.quorum
        );
        assert!(
            !approve.each || speak_for(&approve.roles, &roles) || late,
            "law 3: nobody spoke for one of {:?}: {what}",
            approve.roles
        );
    }

    /// A page says which versions run. Of several that are new nobody can tell
    /// which came first.
    fn paged(&mut self, samples: &[Sample]) {
        let said = samples
            .iter()
            .filter(|s| s.series.name() == "app_build_info");
        let new: BTreeSet<&str> = said
            .map(|sample| sample.series.label("version"))
            .filter(|version| !self.seen.iter().any(|seen| seen == version))
            .collect();
        if let (1, Some(version)) = (new.len(), new.first()) {
            self.seen.push((*version).to_owned());
        }
    }

    /// While several versions run, none becomes good by what is observed.
    fn mixed(&mut self, service: &Service) {
        let good = |service: &Service| -> BTreeSet<String> {
            let seen = service.releases.seen.iter();
            let good = seen.filter(|r| r.standing == Standing::Good && r.said.is_none());
            good.map(|r| r.version.clone()).collect()
        };
        if service.releases.rollout.is_none() {
            self.good = None;
            return;
        }
        let now = good(service);
        if let Some(before) = &self.good {
            assert!(
                now.is_subset(before),
                "proven while several ran: {now:?}, {before:?}"
            );
        }
        self.good = Some(now);
    }

    /// A run that is over has an outcome, unless it is being verified.
    fn law_7_none_without(runs: &[RunRecord], verified: Option<u64>) {
        for record in runs.iter().filter(|r| r.ended.is_some()) {
            assert!(
                record.outcome.is_some() || verified == Some(record.ticket),
                "law 7: a run without an end: {record:?}"
            );
        }
    }

    fn law_7_outcomes(&mut self, runs: &[RunRecord], commands: &[Command]) {
        for record in runs.iter().filter(|r| !r.shadow) {
            let Some(outcome) = record.outcome else {
                continue;
            };
            assert!(record.ended.is_some(), "law 7: an outcome before the end");
            if let Some(known) = self.outcomes.get(&record.ticket) {
                assert_eq!(*known, outcome, "law 7: two outcomes");
                continue;
            }
            self.outcomes.insert(record.ticket, outcome);
            match outcome {
                Outcome::Cured => self.cured += 1,
                Outcome::NotCured
                | Outcome::Failed
                | Outcome::TimedOut
                | Outcome::Aborted
                | Outcome::LostTrack => {
                    let reached = commands.iter().any(|c| {
                        matches!(c, Command::Tell(n)
                            if matches!(n.kind, NoticeKind::Failed | NoticeKind::NotCured)
                                && !n.notify.is_empty())
                    });
                    assert!(reached, "law 7: {outcome:?} reached nobody: {commands:#?}");
                }
                other => panic!("law 7: a run ended as {other:?}"),
            }
            let whole = matches!(outcome, Outcome::Cured | Outcome::NotCured);
            let blamed = whole && !self.drills.contains(&record.incident);
            if blamed && record.to.is_some() && self.left.insert(record.ticket) {
                self.bad.extend(record.from.clone());
            }
        }
    }

    /// A run that is being verified has left its release already.
    fn left_behind(&mut self, service: &Service) {
        if let backstop::guard::Phase::Verifying(v) = &service.phase
            && v.target.is_some()
            && let Some(record) = service.runs.iter().find(|r| r.ticket == v.ticket)
            && !self.drills.contains(&record.incident)
            && self.left.insert(record.ticket)
        {
            self.bad.extend(record.from.clone());
        }
    }

    /// A drill is marked in everything that people hear of it, and in nothing
    /// else, until a person orders a rollback in it; one that is not executed is a
    /// note, and no more.
    fn law_15(&mut self, service: &Service, commands: &[Command]) {
        for incident in service.closed.iter().chain(&service.incident) {
            if incident.drill {
                self.drills.insert(incident.number);
            } else if self.drills.remove(&incident.number) {
                let ordered =
                    |c: &Command| matches!(c, Command::Note(n) if n.what == What::Ordered);
                assert!(commands.iter().any(ordered), "law 15: the mark is lost");
            }
        }
        for command in commands {
            if let Command::Tell(notice) = command {
                let drill = notice.incident.is_some_and(|n| self.drills.contains(&n));
                assert_eq!(notice.drill, drill, "law 15: {notice:?}");
            }
        }
        if std::mem::take(&mut self.drilled) {
            let noted = |c: &&Command| matches!(c, Command::Note(n) if n.what == What::Drilled);
            let notes = commands.iter().filter(noted).count();
            assert_eq!(notes, 1, "law 15: {commands:?}");
            let kept = service.drill.as_ref().expect("law 15: it is kept");
            assert!(kept.failed.len() <= Drill::FAILED);
        }
        if let Some(incident) = service.incident.as_ref().filter(|i| i.drill) {
            let condemned = incident.release.as_ref().and_then(|v| {
                let mut seen = service.releases.seen.iter();
                seen.find(|r| r.version == *v)
            });
            let bad = condemned.is_some_and(|r| r.standing == Standing::Bad);
            let known = incident
                .release
                .as_ref()
                .is_some_and(|v| self.bad.contains(v));
            assert!(
                !bad || known || self.word.is_some(),
                "law 15: a drill blames a release"
            );
        }
    }

    /// A copy of the engine that plays what never was runs nothing.
    pub(crate) fn law_16(commands: &[Command]) {
        for command in commands {
            match command {
                Command::Run(order) => panic!("law 16: a copy orders {order:?}"),
                Command::Tell(notice) => assert_eq!(notice.mode, Mode::Shadow, "law 16"),
                Command::Note(_) | Command::Cancel { .. } => {}
            }
        }
    }

    /// A person's word, if it was taken, is newer than what the same fact
    /// brought to its end.
    fn said(&mut self, commands: &[Command]) {
        let Some((version, word)) = self.word.take() else {
            return;
        };
        let taken = |c: &Command| matches!(c, Command::Note(n) if n.what == What::Declared);
        if commands.iter().any(taken) {
            match word {
                Word::Bad => self.bad.insert(version),
                Word::Good | Word::Unproven => self.bad.remove(&version),
                Word::Irreversible => self.crossed.insert(version),
                Word::Reversible => self.crossed.remove(&version),
            };
        }
    }
}

/// Whether each role can have a person of its own who speaks for it.
fn speak_for(roles: &[String], people: &[&[String]]) -> bool {
    let Some((role, others)) = roles.split_first() else {
        return true;
    };
    (0..people.len()).any(|i| {
        let rest: Vec<&[String]> = people[..i]
            .iter()
            .chain(&people[i + 1..])
            .copied()
            .collect();
        people[i].contains(role) && speak_for(others, &rest)
    })
}
