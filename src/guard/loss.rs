//! What was lost: orders, registrations, payments in the window. Counted by
//! queries of the plan after its steps, or by a person.
//!
//! A number is kept with where it comes from; a query that failed is kept with
//! its reason, because *not known* is not *none*.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::{Act, Detail, Did, Incident, Person, Service, What};
use crate::model::{Measure, Moment, StepEnd};

/// One count of what was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// What was counted: `orders`.
    pub name: String,
    /// In what, as the policy has it; empty where it says nothing.
    pub unit: String,
    /// How much; `None` when that could not be found out.
    pub value: Option<f64>,
    /// Who said so; `None` for a query of the plan.
    pub by: Option<String>,
    /// When.
    pub at: Moment,
    /// Why, in a person's words, or why a query has no number; may be empty.
    pub reason: String,
}

impl Loss {
    /// `12 orders`, `not known`.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self.value {
            Some(value) if self.unit.is_empty() => format!("{value}"),
            Some(value) => format!("{value} {}", self.unit),
            None => "not known".to_owned(),
        }
    }
}

impl Incident {
    /// Most counts that are kept; the oldest goes.
    pub const LOSSES: usize = 64;

    /// The last number of that name.
    #[must_use]
    pub fn lost(&self, name: &str) -> Option<f64> {
        let of = self.losses.iter().filter(|loss| loss.name == name);
        of.filter_map(|loss| loss.value).next_back()
    }

    /// Adds a count.
    pub(crate) fn lose(&mut self, loss: Loss) {
        if self.losses.len() >= Self::LOSSES {
            self.losses.remove(0);
        }
        self.losses.push(loss);
    }
}

/// The number on the last line that a query printed.
///
/// # Errors
///
/// Why there is none, in a sentence.
pub fn counted(end: &StepEnd) -> Result<f64, String> {
    let text = if end.output.tail.is_empty() {
        &end.output.head
    } else {
        &end.output.tail
    };
    let line = text.lines().rev().map(str::trim).find(|l| !l.is_empty());
    let line = line.ok_or("it printed nothing, where a number is expected")?;
    let number = line.parse::<f64>().ok();
    number
        .filter(|n| n.is_finite() && *n >= 0.0)
        .ok_or_else(|| {
            let shown: String = line.chars().take(60).collect();
            format!("its last line is {shown:?}, where a number is expected")
        })
}

impl Service {
    /// A query ended: its number, or why there is none.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) fn measured(
        &mut self,
        measure: &Measure,
        end: &StepEnd,
        desk: &mut Desk<'_>,
    ) -> Result<(), String> {
        let counted = if end.how.is_success() {
            counted(end)
        } else {
            Err(end.how.to_string())
        };
        let loss = Loss {
            name: measure.name.clone(),
            unit: measure.unit.clone(),
            value: counted.as_ref().ok().copied(),
            by: None,
            at: desk.at,
            reason: counted.as_ref().err().cloned().unwrap_or_default(),
        };
        let reason = format!("{}: {}", loss.name, loss.in_words());
        if let Some(incident) = &mut self.incident {
            incident.lose(loss);
        }
        if counted.is_ok() {
            self.note(What::Counted, None, None, &reason, desk);
        }
        counted.map(|_| ())
    }

    /// A person counted, in an incident that is open or was closed.
    pub(crate) fn lost(
        &mut self,
        number: u64,
        (name, value): (&str, f64),
        by: &Person,
        reason: &str,
        desk: &mut Desk<'_>,
    ) {
        let open = self.incident.as_mut().filter(|i| i.number == number);
        let closed = self.closed.iter_mut().find(|i| i.number == number);
        let Some(incident) = open.or(closed) else {
            return;
        };
        let same = incident.losses.iter().rev().find(|loss| loss.name == name);
        let loss = Loss {
            name: name.to_owned(),
            unit: same.map_or_else(String::new, |loss| loss.unit.clone()),
            value: Some(value),
            by: Some(by.name.clone()),
            at: desk.at,
            reason: reason.to_owned(),
        };
        let said = format!("{}: {} lost, {}: {reason}", name, loss.in_words(), by.name);
        incident.lose(loss.clone());
        let mut note = desk.noted(&self.policy.service, What::Counted, said);
        note.incident = Some(number);
        incident.note(note.clone());
        note.detail = Some(Box::new(Detail::Lost(loss)));
        desk.order(super::Command::Note(note));
        if value > 0.0 {
            let act = Act::new(
                desk.at,
                Did::Lost,
                Some(&by.name),
                &format!("{value} {name}"),
            );
            self.witness_of(number, &act);
        }
        self.reach_levels(desk);
    }
}
