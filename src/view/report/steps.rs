//! What was run, what each step printed, and what it left to people.

use super::page::{Block, Mark, Page, plain};
use super::{Report, note, value};
use crate::guard::{Fate, Note, RunRecord, What};

impl Report<'_> {
    pub(super) fn run(&self, page: &mut Page) {
        let known = |run: &&RunRecord| !run.steps.is_empty();
        let runs: Vec<&RunRecord> = self.incident.runs.iter().filter(known).collect();
        if self.steps.is_empty() && runs.is_empty() {
            return;
        }
        page.heading(2, "What was run");
        for run in &runs {
            page.text(format!("Run {}, plan {}:", run.ticket, run.plan));
            let rows = run.steps.iter().enumerate().map(|(i, step)| {
                vec![
                    plain((i + 1).to_string()),
                    plain(&step.name),
                    plain(step.fate.name()),
                ]
            });
            page.table(&["Step", "Name", "What became of it"], rows.collect());
        }
        if let Some(run) = runs.last().filter(|run| run.is_halfway()) {
            by_hand(page, run);
        }
        for step in self.steps {
            let attempt = if step.attempt > 0 {
                format!(", attempt {}", step.attempt + 1)
            } else {
                String::new()
            };
            page.heading(3, format!("{} (run {}{attempt})", step.name, step.ticket));
            let ordered = self.time(step.ordered);
            match &step.end {
                Some(end) => {
                    let took = value::span(end.took);
                    page.text(format!("Ordered {ordered}, {} after {took}.", end.how));
                    page.blocks.push(Block::Printed(end.output.clone()));
                }
                None => page.text(format!("Ordered {ordered}; its end is not known.")),
            }
        }
    }

    pub(super) fn verification(&self, page: &mut Page) {
        let what = [What::Verifying, What::Cured, What::NotCured];
        let notes = self.notes().iter().filter(|n| what.contains(&n.what));
        let lines: Vec<_> = notes
            .map(|n: &Note| plain(format!("{}: {}", self.time(n.at), note::line(n))))
            .collect();
        if !lines.is_empty() {
            page.heading(2, "Verification");
            page.list(lines);
        }
    }
}

/// What a rollback that was broken off leaves to people, step by step.
fn by_hand(page: &mut Page, run: &RunRecord) {
    let left = run.steps.iter().filter_map(|step| {
        let part = match step.fate {
            Fate::Done => return None,
            Fate::NotRun => "was not run: do it, or make sure that it is not needed",
            Fate::Failed => "failed: part of it may be done; look, then finish or undo it",
            Fate::Begun => "was begun and its end is unknown: look whether it still runs",
        };
        Some((Mark::Open, plain(format!("{} {part}", step.name))))
    });
    let left: Vec<_> = left.collect();
    if !left.is_empty() {
        page.text("The rollback stands half way. A person has to see to this now:");
        page.checks(left);
    }
}
