//! The last drill of a service.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Desk, TEXT, rounded};
use crate::model::millis;
use crate::view::table::{Style, Tone};
use crate::view::value;

/// The last drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillStatus {
    /// When it began.
    pub at: String,
    /// How long that is ago.
    pub ago: String,
    /// Whether all was as it should be.
    pub passed: bool,
    /// The plan.
    pub plan: String,
    /// Who asked for it.
    pub by: String,
    /// How long it took.
    pub took: String,
    /// The same in milliseconds.
    pub took_ms: u64,
    /// The incident, when the plan was really run.
    pub incident: Option<u64>,
    /// What was not as it should be.
    pub failed: Vec<String>,
}

impl DrillStatus {
    pub(super) fn new(desk: &Desk<'_>) -> Option<Self> {
        let drill = desk.service.drill.as_ref()?;
        let line = |text: &String| value::one_line(text, TEXT);
        Some(Self {
            at: desk.time(drill.began),
            ago: rounded(desk.now.since(drill.began)),
            passed: drill.passed(),
            plan: drill.plan.clone(),
            by: line(&drill.by.name),
            took: rounded(drill.took),
            took_ms: millis(drill.took),
            incident: drill.incident,
            failed: drill.failed.iter().map(line).collect(),
        })
    }

    /// `last 3d ago, plan rollback: passed`.
    pub(super) fn text(&self, out: &mut String, style: Style) {
        let mut text = format!("last {} ago, plan {}: ", self.ago, self.plan);
        if let Some(number) = self.incident {
            let _ = write!(text, "executed as incident {number}, ");
        }
        let tone = if self.passed {
            text.push_str("passed");
            Tone::Plain
        } else {
            text.push_str("FAILED: ");
            text.push_str(&self.failed.join(", "));
            Tone::Warning
        };
        style.field(out, "drill", tone, &text);
    }
}
