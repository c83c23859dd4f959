//! The shadow ledger: what a trigger in shadow would have done, when, and what
//! people did within the hour.
//!
//! It is the evidence on which a person changes a mode, so it is kept like any
//! other state: over restarts, and over reloads as long as the condition is the
//! same. Fires are kept one by one up to a bound; the counts are of all of them.
//! Only time in which the trigger had a verdict counts as watched: neither a
//! night without traffic nor a day on which the agent was off says anything.
//!
//! What it refuses: to take silence for consent. A fire that nobody has agreed
//! with when its hour is over was a false one, and one that somebody contradicts
//! is false whatever else was said of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Gate;
use crate::model::{Mode, Moment, Policy, Promote, Trigger, Unit, Value, millis};

/// How long after a fire what people do is about it.
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// Longest words kept of what somebody did, in bytes.
const WORDS: usize = 128;

/// What is known of every trigger of a service that is in shadow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// In the policy's order.
    rows: Vec<Probation>,
}

/// A trigger in shadow: since when, how often it was judged, and what it would
/// have done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probation {
    /// The trigger's name.
    pub trigger: String,
    /// Since when it is in shadow with this very condition.
    pub since: Moment,
    /// Ticks at which it was clear or breached.
    pub evaluations: u64,
    /// Time between neighbouring ones of these, where they are at most the
    /// trigger's `max_gap` apart, in milliseconds.
    pub watched_ms: u64,
    /// The last of these.
    pub last: Option<Moment>,
    /// All fires, those included that are not kept any more.
    pub counts: Counts,
    /// The last fires, oldest first; bounded by [`Probation::FIRES`].
    pub fires: Vec<Fire>,
    /// When people were told that it is fit to enforce: once.
    pub told: Option<Moment>,
}

/// How many fires there were. A fire is counted once in each that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub fires: u64,
    /// It would have rolled back.
    pub rolled_back: u64,
    /// It would have asked people.
    pub asked: u64,
    /// It would have told of it.
    pub told: u64,
    /// A gate held it, for good or for a while.
    pub held: u64,
    /// People agreed within the hour.
    pub confirmed: u64,
    /// Nobody did, or somebody said that it was wrong.
    pub refuted: u64,
}

/// One fire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fire {
    /// When.
    pub at: Moment,
    /// When it was resolved, or its evidence started anew.
    pub ended: Option<Moment>,
    /// The signal or source that decided; empty when none is known.
    pub subject: String,
    /// Its value then.
    pub value: Option<Value>,
    /// The limit then.
    pub limit: Option<f64>,
    /// The unit of both.
    pub unit: Unit,
    /// The release that ran.
    pub release: Option<String>,
    /// The incident that it opened or joined.
    pub incident: Option<u64>,
    /// What it would have done; `None` while a gate held it, and when it only
    /// joined the incident of another trigger.
    pub deed: Option<Deed>,
    /// The gate that held it last.
    pub gate: Option<Gate>,
    /// What it was worth.
    pub ruling: Ruling,
    /// What people did within the hour, in order; the first [`Fire::ACTS`].
    pub acts: Vec<Act>,
}

/// What a trigger in shadow would have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Deed {
    RollBack,
    Ask,
    Tell,
}

/// What a fire was worth, by what people did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// Its hour is not over, and nobody has said anything yet.
    Open,
    /// Somebody agreed with it, and nobody contradicted.
    Confirmed,
    /// The hour is over and nobody agreed, or somebody contradicted.
    False,
}

impl Ruling {
    /// Stable name, as JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Confirmed => "confirmed",
            Self::False => "false",
        }
    }
}

/// What a person did within an hour of a fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub at: Moment,
    /// What.
    pub did: Did,
    /// Who; unknown for a release that was seen to run.
    pub by: Option<String>,
    /// The release, or the count, that it was about; may be empty.
    pub of: String,
}

/// The kinds of such an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// Said that they look after the incident.
    Acknowledged,
    /// Approved a rollback, asked or not.
    Approved,
    /// Rejected it.
    Rejected,
    /// Ordered a rollback, obeyed or not.
    Ordered,
    /// Counted what was lost, and it was not nothing.
    Lost,
    /// Said that the release is bad.
    CalledBad,
    /// Said that the release is good.
    CalledGood,
    /// Went back to a release before the one that fired.
    WentBack,
    /// Deployed another release, neither for nor against.
    Deployed,
    /// Stopped acting, neither for nor against.
    Froze,
    /// Not a person: the rollback of another trigger cured the service.
    Cured,
}

impl Did {
    /// Stable name, as JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Ordered => "ordered",
            Self::Lost => "lost",
            Self::CalledBad => "called_bad",
            Self::CalledGood => "called_good",
            Self::WentBack => "went_back",
            Self::Deployed => "deployed",
            Self::Froze => "froze",
            Self::Cured => "cured",
        }
    }

    /// Whether it agrees that something was wrong; `None` when it says nothing.
    #[must_use]
    pub const fn agrees(self) -> Option<bool> {
        match self {
            Self::Acknowledged
            | Self::Approved
            | Self::Ordered
            | Self::Lost
            | Self::CalledBad
            | Self::WentBack
            | Self::Cured => Some(true),
            Self::Rejected | Self::CalledGood => Some(false),
            Self::Deployed | Self::Froze => None,
        }
    }
}

impl Act {
    pub(super) fn new(at: Moment, did: Did, by: Option<&str>, of: &str) -> Self {
        let cut = |text: &str| text[..text.floor_char_boundary(WORDS)].to_owned();
        Self {
            at,
            did,
            by: by.map(cut),
            of: cut(of),
        }
    }
}

impl Fire {
    /// Most acts that are kept of one; what comes later still decides.
    pub const ACTS: usize = 8;

    /// Whether what happens at this moment is about it.
    fn hears(&self, at: Moment) -> bool {
        at < self.at + HOUR
    }
}

impl Counts {
    /// Fires of which it is not known yet what they were worth.
    #[must_use]
    pub const fn open(&self) -> u64 {
        let ruled = self.confirmed.saturating_add(self.refuted);
        self.fires.saturating_sub(ruled)
    }

    fn ruled(&mut self, fire: &mut Fire, ruling: Ruling) {
        match fire.ruling {
            Ruling::Open => {}
            Ruling::Confirmed => self.confirmed = self.confirmed.saturating_sub(1),
            Ruling::False => self.refuted = self.refuted.saturating_sub(1),
        }
        match ruling {
            Ruling::Open => {}
            Ruling::Confirmed => self.confirmed += 1,
            Ruling::False => self.refuted += 1,
        }
        fire.ruling = ruling;
    }

    const fn would(&mut self, deed: Deed) {
        match deed {
            Deed::RollBack => self.rolled_back += 1,
            Deed::Ask => self.asked += 1,
            Deed::Tell => self.told += 1,
        }
    }
}

impl Probation {
    /// Fires kept one by one.
    pub const FIRES: usize = 100;

    fn new(trigger: &str, since: Moment) -> Self {
        Self {
            trigger: trigger.to_owned(),
            since,
            evaluations: 0,
            watched_ms: 0,
            last: None,
            counts: Counts::default(),
            fires: Vec::new(),
            told: None,
        }
    }

    /// How long it has been judged.
    #[must_use]
    pub const fn watched(&self) -> Duration {
        Duration::from_millis(self.watched_ms)
    }

    /// Whether it is fit to enforce by this rule. A fire that is still open may
    /// be a false one.
    #[must_use]
    pub fn is_fit(&self, rule: &Promote) -> bool {
        self.watched() >= rule.after
            && self.evaluations >= rule.evaluations
            && self.counts.refuted <= rule.false_fires
            && self.counts.open() == 0
    }

    /// A tick was judged.
    pub(super) fn ticked(&mut self, at: Moment, verdict: bool, fired: bool, max_gap: Duration) {
        if verdict {
            self.evaluations += 1;
            let gap = self.last.map(|last| at.since(last));
            let gap = gap.filter(|gap| *gap <= max_gap).unwrap_or_default();
            let gap_ms = millis(gap);
            self.watched_ms = self.watched_ms.saturating_add(gap_ms);
            self.last = Some(at);
        }
        if self.counts.open() > 0 {
            for fire in &mut self.fires {
                if fire.ruling == Ruling::Open && !fire.hears(at) {
                    self.counts.ruled(fire, Ruling::False);
                }
            }
        }
        if !fired && let Some(last) = self.fires.last_mut() {
            last.ended.get_or_insert(at);
        }
    }

    /// It fired.
    pub(super) fn fired(&mut self, fire: Fire) {
        if let Some(last) = self.fires.last_mut() {
            last.ended.get_or_insert(fire.at);
        }
        if self.fires.len() >= Self::FIRES {
            let mut oldest = self.fires.remove(0);
            // Nobody will say anything of what is not kept.
            if oldest.ruling == Ruling::Open {
                self.counts.ruled(&mut oldest, Ruling::False);
            }
        }
        self.counts.fires += 1;
        self.fires.push(fire);
    }

    /// Whether it is fired now.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        self.fires.last().is_some_and(|fire| fire.ended.is_none())
    }

    /// The fire that lasts.
    fn lasting(&mut self) -> Option<&mut Fire> {
        self.fires.last_mut().filter(|fire| fire.ended.is_none())
    }

    /// The fire that lasts belongs to this incident.
    pub(super) fn joined(&mut self, incident: Option<u64>) {
        if let Some(fire) = self.lasting() {
            fire.incident = incident.or(fire.incident);
        }
    }

    /// The fire that lasts would have had this done.
    pub(super) fn would(&mut self, deed: Deed) {
        if let Some(fire) = self.lasting()
            && fire.deed.is_none()
        {
            fire.deed = Some(deed);
            self.counts.would(deed);
        }
    }

    /// The fire that lasts is held at this gate.
    pub(super) fn held(&mut self, gate: Gate) {
        if let Some(fire) = self.lasting()
            && fire.gate.replace(gate).is_none()
        {
            self.counts.held += 1;
        }
    }

    /// Somebody did something that is about some fires.
    fn witness(&mut self, act: &Act, about: impl Fn(&Fire) -> bool) -> bool {
        let mut heard = false;
        let young = self.fires.iter_mut().rev();
        for fire in young.take_while(|fire| fire.hears(act.at)) {
            if !about(fire) {
                continue;
            }
            match act.did.agrees() {
                Some(true) if fire.ruling == Ruling::Open => {
                    self.counts.ruled(fire, Ruling::Confirmed);
                }
                Some(false) => self.counts.ruled(fire, Ruling::False),
                Some(true) | None => {}
            }
            if fire.acts.len() < Fire::ACTS {
                fire.acts.push(act.clone());
            }
            heard = true;
        }
        heard
    }
}

impl Ledger {
    /// Every trigger in shadow, in the policy's order.
    #[must_use]
    pub fn rows(&self) -> &[Probation] {
        &self.rows
    }

    /// A trigger's row; `None` when it is not in shadow.
    #[must_use]
    pub fn row(&self, trigger: &str) -> Option<&Probation> {
        self.rows.iter().find(|row| row.trigger == trigger)
    }

    pub(super) fn row_mut(&mut self, trigger: &str) -> Option<&mut Probation> {
        self.rows.iter_mut().find(|row| row.trigger == trigger)
    }

    /// The rows of these, which are the policy's triggers in shadow.
    pub(super) const fn rows_mut(&mut self) -> &mut Vec<Probation> {
        &mut self.rows
    }

    /// Whether there is anything that must not be forgotten.
    pub(super) fn is_evidence(&self) -> bool {
        self.rows.iter().any(|row| row.evaluations > 0)
    }

    /// The rows that a policy wants. Those of triggers that are the `same` go
    /// on; the others begin at `at`.
    pub(super) fn align(&mut self, policy: &Policy, at: Moment, same: impl Fn(&str) -> bool) {
        let mut before = std::mem::take(&mut self.rows);
        let mut row = |trigger: &Trigger| {
            let found = before.iter().position(|row| row.trigger == trigger.name);
            match found.map(|i| before.swap_remove(i)) {
                Some(row) if same(&trigger.name) => row,
                _ => Probation::new(&trigger.name, at),
            }
        };
        self.rows = in_shadow(policy).map(&mut row).collect();
    }

    /// Somebody did something: it is about the fires of the hour before. Whether
    /// there were any.
    pub(super) fn witness(&mut self, act: &Act, about: impl Fn(&Fire) -> bool) -> bool {
        let mut heard = false;
        for row in &mut self.rows {
            heard |= row.witness(act, &about);
        }
        heard
    }
}

/// The triggers in shadow, in the policy's order.
pub(super) fn in_shadow(policy: &Policy) -> impl Iterator<Item = &Trigger> {
    policy.triggers.iter().filter(|t| t.mode == Mode::Shadow)
}
