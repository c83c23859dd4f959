//! The shadow ledger in words: of every trigger in shadow each fire with what it
//! would have done, the gate that held it, and what people did within the hour.
//! One shape for JSON, with stable names, and as text for terminals.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::status::{ShadowStatus, shadow_of};
use super::table::{Style, Table, Tone, plain, toned};
use super::{notice, value};
use crate::guard::{Act, Deed, Did, Fire, Ruling, Service, Snapshot};
use crate::model::{Moment, Value, millis};

/// Longest text from outside, in characters.
const TEXT: usize = 200;

/// The ledger of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerView {
    /// The service.
    pub service: String,
    /// `shadow` or `enforce`: that of the policy.
    pub mode: String,
    /// Its triggers in shadow, in the policy's order.
    pub triggers: Vec<TriggerLedger>,
}

/// The ledger of one trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerLedger {
    /// The trigger.
    pub trigger: String,
    /// Its condition as the policy has it.
    pub condition: String,
    /// How often, and whether it is fit to enforce.
    pub shadow: ShadowStatus,
    /// The last fires, oldest first.
    pub fires: Vec<FireView>,
}

/// One fire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FireView {
    /// When.
    pub at: String,
    /// How long it was fired; null while it is.
    pub lasted: Option<String>,
    /// The same in milliseconds.
    pub lasted_ms: Option<u64>,
    /// The signal or source that decided.
    pub signal: Option<String>,
    /// Its value then.
    pub value: Option<String>,
    /// The limit then.
    pub limit: Option<String>,
    /// The value in its base unit.
    pub value_number: Option<f64>,
    /// The limit in the same unit.
    pub limit_number: Option<f64>,
    /// The release that ran.
    pub release: Option<String>,
    /// The incident.
    pub incident: Option<u64>,
    /// `roll_back`, `ask` or `tell`; null while a gate held it, and when it only
    /// joined another trigger's incident.
    pub would_have: Option<String>,
    /// The gate that held it last.
    pub held_by: Option<String>,
    /// `open`, `confirmed` or `false`.
    pub ruling: String,
    /// What people did within the hour.
    pub acts: Vec<ActView>,
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActView {
    /// When.
    pub at: String,
    /// How long after the fire that was.
    pub after: String,
    /// `acknowledged`, `approved`, `rejected`, `ordered`, `lost`, `called_bad`,
    /// `called_good`, `went_back`, `deployed`, `froze` or `cured`.
    pub did: String,
    /// Who, where it is known.
    pub by: Option<String>,
    /// The release, or the count, that it was about; may be empty.
    pub of: String,
    /// The same in words.
    pub said: String,
}

impl LedgerView {
    /// The ledgers of every service, or of the one named.
    #[must_use]
    pub fn of(snapshot: &Snapshot, only: Option<&str>) -> Vec<Self> {
        let services = snapshot.services.iter();
        services
            .filter(|(name, _)| only.is_none_or(|only| only == name.as_str()))
            .map(|(_, service)| Self::new(service, snapshot.now))
            .collect()
    }

    fn new(service: &Service, now: Moment) -> Self {
        let policy = &service.policy;
        let triggers = policy.triggers.iter().filter_map(|trigger| {
            let row = service.ledger.row(&trigger.name)?;
            let ahead = service.wall_ahead_ms;
            Some(TriggerLedger {
                trigger: trigger.name.clone(),
                condition: trigger.when.text.clone(),
                shadow: shadow_of(service, now, trigger)?,
                fires: row.fires.iter().map(|f| FireView::new(f, ahead)).collect(),
            })
        });
        Self {
            service: policy.service.clone(),
            mode: notice::mode(policy.mode).into(),
            triggers: triggers.collect(),
        }
    }

    /// As text. Ends with a newline.
    #[must_use]
    pub fn text(ledgers: &[Self], style: Style) -> String {
        let mut out = String::new();
        for ledger in ledgers {
            for trigger in &ledger.triggers {
                if !out.is_empty() {
                    out.push('\n');
                }
                trigger.text(&ledger.service, &mut out, style);
            }
        }
        if out.is_empty() {
            out.push_str("No trigger is in shadow.\n");
        }
        out
    }
}

impl TriggerLedger {
    fn text(&self, service: &str, out: &mut String, style: Style) {
        let head = style.fit(&format!("{service}: {}, {}", self.trigger, self.condition));
        let tone = match self.shadow.fit {
            Some(true) => Tone::Good,
            Some(false) => Tone::Warning,
            None => Tone::Plain,
        };
        let _ = writeln!(out, "{head}");
        style.field(out, "since", Tone::Plain, &self.shadow.since);
        style.field(out, "so far", tone, &self.shadow.said);
        if self.fires.is_empty() {
            return;
        }
        let kept = self.fires.len() as u64;
        if self.shadow.fires > kept {
            let text = format!("the last {kept} of {} fires", self.shadow.fires);
            style.field(out, "kept", Tone::Plain, &text);
        }
        out.push('\n');
        let mut table = Table::new(&[
            "fired",
            "for",
            "saw",
            "would have",
            "held by",
            "was",
            "people, within the hour",
        ]);
        for fire in &self.fires {
            let or_dash = |text: Option<&String>| text.map_or("–", String::as_str).to_owned();
            let saw = match (&fire.signal, &fire.value) {
                (Some(signal), Some(value)) => Some(format!("{signal} {value}")),
                (signal, value) => value.clone().or_else(|| signal.clone()),
            };
            let would = match fire.would_have.as_deref() {
                Some("roll_back") => "rolled back",
                Some("ask") => "asked",
                Some("tell") => "told",
                _ => "–",
            };
            let tone = match fire.ruling.as_str() {
                "confirmed" => Tone::Good,
                "false" => Tone::Bad,
                _ => Tone::Warning,
            };
            let acts: Vec<&str> = fire.acts.iter().map(|act| act.said.as_str()).collect();
            let acts = if acts.is_empty() {
                "nothing".to_owned()
            } else {
                acts.join("; ")
            };
            table.row(vec![
                plain(&fire.at),
                plain(or_dash(fire.lasted.as_ref())),
                plain(or_dash(saw.as_ref())),
                plain(would),
                plain(or_dash(fire.held_by.as_ref())),
                toned(&fire.ruling, tone),
                plain(acts),
            ]);
        }
        table.render(out, style);
    }
}

impl FireView {
    fn new(fire: &Fire, ahead: i64) -> Self {
        let lasted = fire.ended.map(|ended| ended.since(fire.at));
        let (said, limit) = notice::pair(fire.value, fire.limit, fire.unit);
        let line = |text: &str| value::one_line(text, TEXT);
        Self {
            at: value::time(fire.at, ahead),
            lasted: lasted.map(value::span),
            lasted_ms: lasted.map(millis),
            signal: (!fire.subject.is_empty()).then(|| line(&fire.subject)),
            value: said,
            limit,
            value_number: fire.value.map(|value| match value {
                Value::Exactly(x) | Value::AboveTop(x) => x,
            }),
            limit_number: fire.limit,
            release: fire.release.as_deref().map(line),
            incident: fire.incident,
            would_have: fire.deed.map(|deed| {
                let word = match deed {
                    Deed::RollBack => "roll_back",
                    Deed::Ask => "ask",
                    Deed::Tell => "tell",
                };
                word.to_owned()
            }),
            held_by: fire.gate.map(|gate| gate.name().to_owned()),
            ruling: Ruling::name(fire.ruling).to_owned(),
            acts: fire
                .acts
                .iter()
                .map(|act| ActView::new(act, fire, ahead))
                .collect(),
        }
    }
}

impl ActView {
    fn new(act: &Act, fire: &Fire, ahead: i64) -> Self {
        let by = act.by.as_deref().map(|by| value::one_line(by, TEXT));
        let of = value::one_line(&act.of, TEXT);
        let after = value::span(Duration::from_secs(act.at.since(fire.at).as_secs()));
        let who = by.as_deref().unwrap_or("somebody");
        let did = match act.did {
            Did::Acknowledged => format!("{who} acknowledged it"),
            Did::Approved => format!("{who} approved it"),
            Did::Rejected => format!("{who} rejected it"),
            Did::Ordered if of.is_empty() => format!("{who} ordered a rollback"),
            Did::Ordered => format!("{who} ordered a rollback to {of}"),
            Did::Lost => format!("{who} counted {of} lost"),
            Did::CalledBad => format!("{who} called {of} bad"),
            Did::CalledGood => format!("{who} called {of} good"),
            Did::WentBack => format!("{who} went back to {of}"),
            Did::Deployed => format!("{who} deployed {of}"),
            Did::Froze => format!("{who} froze it"),
            Did::Cured => "the rollback of another trigger cured it".to_owned(),
        };
        Self {
            at: value::time(act.at, ahead),
            said: format!("{did} after {after}"),
            after,
            did: act.did.name().to_owned(),
            by,
            of,
        }
    }
}
