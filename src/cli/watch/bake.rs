//! A release in its bake time: what one look after the other says of it, and
//! when that is enough.
//!
//! No clock and no socket: looks come in with the time since the one before.
//! Nothing is judged here that the agent has not judged; blind time is no
//! healthy time.

use std::time::Duration;

use crate::model::Short;
use crate::view::incidents::IncidentLine;
use crate::view::status::{ServiceStatus, TriggerStatus};

/// The share of the bake time that must have been judged, as for a release that
/// is to be good.
const JUDGED: f64 = 0.8;

/// The agent's answer at one time.
#[derive(Debug)]
pub(super) struct Look {
    /// When, as the agent says.
    pub(super) at: String,
    /// The service; `None` when it is guarded no more.
    pub(super) service: Option<Box<ServiceStatus>>,
    /// Its incidents, the newest first.
    pub(super) incidents: Vec<IncidentLine>,
}

/// How much attention a line wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Info,
    Warning,
}

/// Something that a pipeline's log should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) event: &'static str,
    pub(super) weight: Weight,
    pub(super) text: String,
}

impl Said {
    pub(super) const fn info(event: &'static str, text: String) -> Self {
        Self {
            event,
            weight: Weight::Info,
            text,
        }
    }

    pub(super) const fn warning(event: &'static str, text: String) -> Self {
        Self {
            event,
            weight: Weight::Warning,
            text,
        }
    }
}

/// What became of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The exit code.
    pub(super) code: u8,
    /// `healthy`, `rolled_back`, `escalated` or `not_judged`.
    pub(super) verdict: &'static str,
    pub(super) incident: Option<u64>,
    pub(super) text: String,
}

impl End {
    const fn new(code: u8, verdict: &'static str, text: String) -> Self {
        Self {
            code,
            verdict,
            incident: None,
            text,
        }
    }

    pub(super) const fn not_judged(text: String) -> Self {
        Self::new(12, "not_judged", text)
    }

    const fn of(mut self, incident: u64) -> Self {
        self.incident = Some(incident);
        self
    }
}

/// The bake time of a release.
#[derive(Debug)]
pub(super) struct Bake {
    goal: Duration,
    /// The release that is waited for, and how much longer.
    version: Option<String>,
    appear: Duration,
    /// Incidents up to this one are over or have been dealt with.
    past: u64,
    follows: Option<u64>,
    baking: bool,
    /// The release that bakes, if anybody knows which.
    running: Option<String>,
    total: Duration,
    judged: Duration,
    /// Why the last time that was not judged was not.
    blind: Option<String>,
    /// What was said last of why it waits longer.
    lingers: bool,
}

impl Bake {
    pub(super) const fn new(goal: Duration, version: Option<String>, appear: Duration) -> Self {
        Self {
            goal,
            version,
            appear,
            past: 0,
            follows: None,
            baking: false,
            running: None,
            total: Duration::ZERO,
            judged: Duration::ZERO,
            blind: None,
            lingers: false,
        }
    }

    /// The incident that is followed to its end.
    pub(super) const fn follows(&self) -> Option<u64> {
        self.follows
    }

    /// Takes a look, so long after the one before.
    pub(super) fn see(&mut self, look: &Look, lapse: Duration) -> (Vec<Said>, Option<End>) {
        let mut said = Vec::new();
        let Some(service) = &look.service else {
            let text = "the service is guarded no more: its policy is gone".into();
            return (said, Some(End::not_judged(text)));
        };
        if !self.baking {
            if !self.begins(service, lapse, &mut said) {
                let end = self.never(service);
                return (said, end);
            }
            let over = look.incidents.iter().filter(|i| i.closed.is_some());
            self.past = over.map(|i| i.number).max().unwrap_or(0);
        }
        if let Some(end) = self.incidents(look, service, &mut said) {
            return (said, Some(end));
        }
        if self.follows.is_some() {
            return (said, None);
        }
        if let Some(end) = self.replaced(service) {
            return (said, Some(end));
        }
        self.count(service, lapse);
        let end = self.over(service, &mut said);
        (said, end)
    }

    /// Whether the release that bakes runs, from this look on.
    fn begins(&mut self, service: &ServiceStatus, lapse: Duration, said: &mut Vec<Said>) -> bool {
        let running = running(service);
        if let Some(version) = &self.version
            && running != Some(version)
        {
            if lapse.is_zero() {
                let now = running.map_or_else(String::new, |r| format!(", {r} runs"));
                let text = format!("waiting for release {version}{now}");
                said.push(Said::info("waiting", text));
            }
            self.appear = self.appear.saturating_sub(lapse);
            return false;
        }
        let of = running.map_or_else(String::new, |r| format!("release {r} of "));
        let text = format!("{of}{} bakes for {}", service.service, Short(self.goal));
        said.push(Said::info("baking", text));
        if service.mode == "shadow" {
            let text = "this policy is in shadow: nothing would be rolled back";
            said.push(Said::warning("shadow", text.into()));
        }
        self.running = running.cloned();
        self.baking = true;
        true
    }

    /// The release did not appear in time, or nobody can say that it does.
    fn never(&self, service: &ServiceStatus) -> Option<End> {
        let version = self.version.as_ref()?;
        if service.release.is_none() {
            let text =
                format!("the policy has no `[release]`: nobody can tell whether {version} runs");
            return Some(End::not_judged(text));
        }
        let text = || match running(service) {
            Some(running) => format!("release {version} never ran: {running} does"),
            None => format!("release {version} never ran"),
        };
        self.appear.is_zero().then(|| End::not_judged(text()))
    }

    /// What incidents say that came after the beginning, or were open then.
    fn incidents(
        &mut self,
        look: &Look,
        service: &ServiceStatus,
        said: &mut Vec<Said>,
    ) -> Option<End> {
        let past = self.past;
        let mut new: Vec<&IncidentLine> =
            look.incidents.iter().filter(|i| i.number > past).collect();
        new.sort_by_key(|i| i.number);
        for incident in new {
            if self.follows != Some(incident.number) {
                self.follows = Some(incident.number);
                let why = incident.trigger.as_deref().unwrap_or("ordered by a person");
                let text = format!("incident {}: {why}, {}", incident.number, incident.severity);
                said.push(Said::warning("incident", text));
            }
            if let Some(end) = ended(incident, service) {
                return Some(end.of(incident.number));
            }
            let tells = incident.closed.is_none() && service.phase == "telling";
            if tells || incident.closed.is_some() {
                // It told, or went away without a rollback: the bake goes on.
                self.past = incident.number;
                self.follows = None;
                let text = match &incident.outcome {
                    Some(outcome) if incident.closed.is_some() => format!(
                        "incident {} is over without a rollback: {}",
                        incident.number,
                        outcome.replace('_', " ")
                    ),
                    _ => format!("incident {} only tells", incident.number),
                };
                said.push(Said::info("goes_on", text));
            }
        }
        None
    }

    /// Another release says nothing of the one that was to bake.
    fn replaced(&self, service: &ServiceStatus) -> Option<End> {
        let baked = self.running.as_ref()?;
        let running = running(service)?;
        (running != baked).then(|| {
            End::not_judged(format!(
                "release {running} was deployed while {baked} was baking"
            ))
        })
    }

    fn count(&mut self, service: &ServiceStatus, lapse: Duration) {
        self.total += lapse;
        let blind = service.triggers.iter().find(|t| is_unable(t));
        let sees = service.triggers.iter().any(|t| t.verdict != "blind");
        match blind {
            Some(trigger) => self.blind = Some(format!("{}: {}", trigger.trigger, trigger.why)),
            None if !sees => self.blind = Some("no trigger can judge: there is no traffic".into()),
            None => self.judged += lapse,
        }
    }

    fn over(&mut self, service: &ServiceStatus, said: &mut Vec<Said>) -> Option<End> {
        if self.total < self.goal {
            return None;
        }
        let suspect = service
            .triggers
            .iter()
            .find(|t| t.state == "suspecting" && t.response != "alert" && t.mode == "enforce");
        if let Some(suspect) = suspect {
            if !std::mem::replace(&mut self.lingers, true) {
                let text = format!(
                    "the bake time is over, but {} is suspected: it is waited for",
                    suspect.trigger
                );
                said.push(Said::warning("suspecting", text));
            }
            return None;
        }
        let share = self.judged.as_secs_f64() / self.total.as_secs_f64().max(f64::MIN_POSITIVE);
        if share < JUDGED {
            let why = self
                .blind
                .clone()
                .unwrap_or_else(|| "the agent was away".into());
            return Some(End::not_judged(format!(
                "only {:.0}% of {} could be judged: {why}",
                share * 100.0,
                Short(self.total)
            )));
        }
        let of = self
            .running
            .as_ref()
            .map_or_else(String::new, |r| format!("release {r} of "));
        let text = format!(
            "{of}{} stayed healthy for {}",
            service.service,
            Short(self.goal)
        );
        Some(End::new(0, "healthy", text))
    }
}

fn running(service: &ServiceStatus) -> Option<&String> {
    service.release.as_ref()?.running.as_ref()
}

/// Blind for a reason other than a lack of traffic.
fn is_unable(trigger: &TriggerStatus) -> bool {
    trigger.verdict == "blind" && !trigger.quiet
}

/// Whether an incident says what became of the release.
fn ended(incident: &IncidentLine, service: &ServiceStatus) -> Option<End> {
    let number = incident.number;
    if incident.mode == "shadow" {
        let lead = incident.trigger.as_ref();
        let acts = service
            .triggers
            .iter()
            .any(|t| Some(&t.trigger) == lead && t.response != "alert");
        return acts.then(|| {
            let lead = lead.map_or("a trigger", String::as_str);
            End::not_judged(format!(
                "{lead} fired in shadow (incident {number}): nothing was done about it"
            ))
        });
    }
    let outcome = incident.outcome.as_deref()?;
    let words = outcome.replace('_', " ");
    match outcome {
        "cured" => Some(End::new(
            10,
            "rolled_back",
            format!("it was rolled back, which cured it (incident {number})"),
        )),
        "recovered" | "dismissed" => None,
        "unguarded" => Some(End::not_judged(format!(
            "the policy was removed during incident {number}"
        ))),
        _ => Some(End::new(
            11,
            "escalated",
            format!("a person is needed: incident {number}, {words}"),
        )),
    }
}

#[cfg(test)]
mod tests;
