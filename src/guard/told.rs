//! Being told: what people, programs and Alertmanager say to the sources that
//! listen to them.
//!
//! Who may say something is asked here, of what the policy says now, and each
//! word is noted with its speaker. It is judged at the next tick, like a sample.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::board::{Kind, News};
use super::desk::Desk;
use super::{Alert, Board, Person, Push, Service, Statement, Told, What};
use crate::model::{Moment, Outcome, Policy, Series, SourceKind};

/// Whether this person may tell a source something.
///
/// # Errors
///
/// Why not, in a sentence.
pub fn may_tell(policy: &Policy, source: &str, by: &Person) -> Result<(), String> {
    let service = &policy.service;
    let Some(listens) = policy.sources.get(source).filter(|s| s.kind.is_told()) else {
        return Err(format!("{service} has no source `{source}` that is told"));
    };
    let roles = listens.kind.roles();
    if roles.is_empty() || roles.iter().any(|role| by.roles.contains(role)) {
        return Ok(());
    }
    Err(format!(
        "{} holds none of {}: nobody else may tell `{source}`",
        by.name,
        roles.join(", ")
    ))
}

/// The source that is told of this name.
///
/// # Errors
///
/// That there is none, and which names there are.
pub fn listens_to<'a>(policy: &'a Policy, name: &str) -> Result<&'a str, String> {
    let told = policy.sources.iter().filter(|(_, s)| s.kind.is_told());
    let mut known = Vec::new();
    for (source, _) in told {
        let names = Kind::of(policy, source);
        if names.contains_key(name) {
            return Ok(source);
        }
        known.extend(names.into_keys());
    }
    let known = match known.as_slice() {
        [] => "no signal of its policy is told anything".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    Err(format!(
        "{} is not told of `{name}`: {known}",
        policy.service
    ))
}

/// The flags that an alert with these labels sets.
pub fn flags_of<'a>(
    policy: &'a Policy,
    source: &str,
    labels: &[(String, String)],
) -> BTreeSet<&'a str> {
    let Some(SourceKind::Alertmanager { matches, .. }) =
        policy.sources.get(source).map(|s| &s.kind)
    else {
        return BTreeSet::new();
    };
    let series = Series::new("", labels.to_vec());
    let set = matches.iter().filter(|(_, labels)| labels.matches(&series));
    set.map(|(flag, _)| flag.as_str()).collect()
}

impl Service {
    pub(crate) fn pushed(&mut self, source: &str, by: &Person, push: Push, desk: &mut Desk<'_>) {
        let policy = Arc::clone(&self.policy);
        if let Err(why) = may_tell(&policy, source, by) {
            self.note(What::Refused, None, None, &why, desk);
            return;
        }
        match push {
            Push::Said { name, what, reason } => self.said(source, by, &name, what, &reason, desk),
            Push::Alerts { alerts, truncated } => {
                self.alerted(source, by, &alerts, truncated, desk);
            }
        }
    }

    fn said(
        &mut self,
        source: &str,
        by: &Person,
        name: &str,
        said: Statement,
        reason: &str,
        desk: &mut Desk<'_>,
    ) {
        let policy = Arc::clone(&self.policy);
        let names = Kind::of(&policy, source);
        let fault = match names.get(name) {
            None => Some(format!("`{source}` is not told of `{name}`")),
            Some(kind) => kind.takes(said).err().map(|why| format!("`{name}` {why}")),
        };
        if let Some(fault) = fault {
            self.note(What::Refused, None, None, &fault, desk);
            return;
        }
        let told = Told {
            by: by.name.clone(),
            at: desk.at,
            reason: reason.to_owned(),
        };
        let board = self.boards.entry(source.to_owned()).or_default();
        let sum = board.say(name, said, told);
        let mut text = match said {
            Statement::Set => format!("{} set {name}", by.name),
            Statement::Clear => format!("{} cleared {name}", by.name),
            Statement::Events(n) => format!("{} counted {n} more of {name}, {sum} in all", by.name),
            Statement::Is(x) => format!("{} said that {name} is {x}", by.name),
        };
        if !reason.is_empty() {
            text = format!("{text}: {reason}");
        }
        match said {
            Statement::Set | Statement::Clear => self.note(What::Pushed, None, None, &text, desk),
            // A hundred tickets are not to push all else out of a timeline.
            Statement::Events(_) | Statement::Is(_) => {
                desk.note(&policy.service, What::Pushed, text);
            }
        }
    }

    fn alerted(
        &mut self,
        source: &str,
        by: &Person,
        alerts: &[Alert],
        truncated: u64,
        desk: &mut Desk<'_>,
    ) {
        let policy = Arc::clone(&self.policy);
        let board = self.boards.entry(source.to_owned()).or_default();
        let (mut changes, mut older) = (Vec::new(), 0_usize);
        for alert in alerts {
            for flag in flags_of(&policy, source, &alert.labels) {
                match board.hear(flag, alert, desk.at) {
                    News::Known => {}
                    News::Older => older += 1,
                    News::Changed => {
                        let label = alert.labels.iter().find(|(name, _)| name == "alertname");
                        let alert_name = label.map_or("an alert", |(_, value)| value.as_str());
                        let how = if alert.firing { "fires" } else { "is resolved" };
                        let reason = format!("{alert_name} {how}");
                        changes.push(format!("{flag}: {reason}"));
                        let told = Told {
                            by: by.name.clone(),
                            at: desk.at,
                            reason,
                        };
                        board.explain(flag, told);
                    }
                }
            }
        }
        let changed = !changes.is_empty();
        let mut parts = changes;
        if older > 0 {
            parts.push(format!("{older} older than what is known"));
        }
        if truncated > 0 {
            parts.push(format!("Alertmanager left {truncated} out of its message"));
        }
        if parts.is_empty() {
            parts.push("nothing new".to_owned());
        }
        let text = format!("alerts of {}: {}", by.name, parts.join("; "));
        if changed {
            self.note(What::Pushed, None, None, &text, desk);
        } else {
            desk.note(&policy.service, What::Pushed, text);
        }
    }

    /// Gives the judge the boards as pages.
    pub(crate) fn post(&mut self, at: Moment) {
        let policy = Arc::clone(&self.policy);
        let from = self.judge.evidence_from();
        let nothing = Board::default();
        for (name, _) in policy.sources.iter().filter(|(_, s)| s.kind.is_told()) {
            let board = self.boards.get(name).unwrap_or(&nothing);
            let page = board.page(&Kind::of(&policy, name), at, from);
            self.judge
                .sampled(&policy, name, at, &Outcome::Scraped(page));
        }
    }

    /// Who said what a signal reads, where somebody did.
    pub(crate) fn told_of(&self, signal: &str) -> Option<&Told> {
        let signal = self.policy.signals.get(signal)?;
        let name = signal.told_name()?;
        self.boards.get(&signal.source)?.told(name)
    }
}
