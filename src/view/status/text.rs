//! [`Status`] for terminals.

use std::fmt::Write as _;

use super::{AgentStatus, PlanStatus, ServiceStatus, Status, TriggerStatus};
use crate::view::Style;
use crate::view::table::{Cell, Table, Tone, plain, toned};

impl Status {
    /// The status as text: a head for each service, what keeps it from acting,
    /// and a table of its triggers. Ends with a newline.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        let mut out = String::new();
        if let Some(agent) = &self.agent {
            agent.text(&mut out, style);
        }
        for service in &self.services {
            if !out.is_empty() {
                out.push('\n');
            }
            service.text(&mut out, style);
        }
        if self.services.is_empty() {
            out.push_str("No service is guarded.\n");
        }
        out
    }
}

impl AgentStatus {
    /// Only what is wrong; nothing when all is well.
    fn text(&self, out: &mut String, style: Style) {
        /// Lines shown of one refused file: `backstop check` shows all.
        const LINES: usize = 12;
        if let Some(why) = &self.journal_broken {
            let text = format!("nothing is kept, and nothing acts: {why}");
            style.field(out, "journal", Tone::Bad, &text);
        }
        for fault in &self.refused {
            let text = format!(
                "a file was refused at {}; what it said before stays in force:",
                self.reloaded
            );
            style.field(out, "refused", Tone::Bad, &text);
            for line in fault.lines().take(LINES) {
                style.verbatim(out, line);
            }
        }
        if !self.restart.is_empty() {
            let text = format!(
                "{} of the agent's config changed: that takes a restart",
                self.restart.join(" and ")
            );
            style.field(out, "restart", Tone::Warning, &text);
        }
        for fault in &self.preflight {
            style.field(out, "preflight", Tone::Warning, fault);
        }
    }
}

impl PlanStatus {
    /// `; risk low, expected 30s, took 42s last`, as far as it is known.
    fn described(&self) -> String {
        let parts = [
            self.risk.as_ref().map(|risk| format!("risk {risk}")),
            self.expect.as_ref().map(|d| format!("expected {d}")),
            self.took.as_ref().map(|d| format!("took {d} last")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!("; {}", parts.join(", "))
        }
    }
}

impl ServiceStatus {
    fn text(&self, out: &mut String, style: Style) {
        let tone = match self.phase.as_str() {
            "watching" if self.doing == "watching" => Tone::Good,
            "acting" | "escalated" => Tone::Bad,
            _ => Tone::Warning,
        };
        let head = style.fit(&format!("{}: {}, {}", self.service, self.mode, self.doing));
        let _ = writeln!(out, "{}", style.paint(tone, &head));
        self.incident_text(out, style);
        self.release_text(out, style);
        for plan in &self.plans {
            let cooldown = match &plan.cooldown_left {
                Some(left) => format!("{left} of cooldown left"),
                None => "no cooldown".into(),
            };
            let spent = plan.cooldown_left.is_some() || plan.budget_used >= plan.budget;
            style.field(
                out,
                "plan",
                if spent { Tone::Warning } else { Tone::Plain },
                &format!(
                    "{}: {cooldown}, {} of {} runs used in {}{}",
                    plan.plan,
                    plan.budget_used,
                    plan.budget,
                    plan.budget_period,
                    plan.described()
                ),
            );
        }
        if let Some(drill) = &self.drill {
            drill.text(out, style);
        }
        for trigger in &self.triggers {
            let Some(shadow) = &trigger.shadow else {
                continue;
            };
            if shadow.promote.is_some() || shadow.fires > 0 {
                let tone = match shadow.fit {
                    Some(true) => Tone::Good,
                    Some(false) | None => Tone::Plain,
                };
                let text = format!("{}: {}", trigger.trigger, shadow.said);
                style.field(out, "shadow", tone, &text);
            }
        }
        for source in &self.sources {
            let tone = match source.state.as_str() {
                "up" | "read" | "told" => continue,
                "down" | "unread" => Tone::Bad,
                _ => Tone::Warning,
            };
            let is = match source.state.as_str() {
                "own" => "cannot be judged, the agent's own side is at fault",
                "unread" => "cannot be read",
                "down" => "is down",
                _ => "is undecided",
            };
            let mut text = format!("{} ({}) {is}", source.source, source.kind);
            if let Some(failure) = &source.failure {
                let _ = write!(text, ": {failure}");
            }
            style.field(out, "source", tone, &text);
        }
        // A trigger that rests on it says so itself.
        let told = |signal: &str| {
            let mut findings = self.triggers.iter().filter_map(|t| t.finding.as_ref());
            findings.any(|f| f.subject == signal && f.blind.is_some())
        };
        for signal in self
            .signals
            .iter()
            .filter(|s| s.never_matched && !told(&s.signal))
        {
            let text = format!("{}: nothing has ever matched its selector", signal.signal);
            style.field(out, "signal", Tone::Warning, &text);
        }
        out.push('\n');
        let mut table = Table::new(&["trigger", "state", "value", "limit", "hold", "seen", "why"]);
        for trigger in &self.triggers {
            table.row(row(trigger, trigger.mode != self.mode));
        }
        table.render(out, style);
    }

    fn incident_text(&self, out: &mut String, style: Style) {
        if let Some(i) = &self.incident {
            let trigger = i.lead();
            let mut text = format!(
                "{}: {trigger}, {}, open for {} (since {})",
                i.number, i.severity, i.lasting, i.opened
            );
            if i.mode != self.mode {
                let _ = write!(text, ", in {}", i.mode);
            }
            if !i.joined.is_empty() {
                let _ = write!(text, "; also fired: {}", i.joined.join(", "));
            }
            if let Some(by) = &i.acknowledged_by {
                let _ = write!(text, "; {by} looks after it");
            }
            style.field(out, "incident", Tone::Plain, &text);
            if !i.lost.is_empty() {
                style.field(out, "lost", Tone::Bad, &i.lost.join(", "));
            }
            if let Some(halfway) = &i.halfway {
                style.field(
                    out,
                    "half way",
                    Tone::Bad,
                    &format!("{halfway}; finish or undo it by hand"),
                );
            }
        }
        if let Some(held) = &self.held {
            style.field(
                out,
                "held",
                Tone::Warning,
                &format!(
                    "{} for {} (since {}): {}",
                    held.gate, held.lasting, held.since, held.reason
                ),
            );
        }
        if let Some(q) = &self.question {
            let who = if q.roles.is_empty() {
                "anybody".to_owned()
            } else {
                q.roles.join(", ")
            };
            let mut text = format!("{} of {who} must agree by {}", q.quorum, q.deadline);
            if let Some(missing) = &q.missing {
                let _ = write!(text, "; still asked: {missing}");
            }
            if !q.approvals.is_empty() {
                let _ = write!(text, "; agreed: {}", q.approvals.join(", "));
            }
            style.field(out, "asked", Tone::Warning, &text);
        }
        if let Some(run) = &self.run {
            let mut text = format!("{}: plan {}", run.ticket, run.plan);
            if let (Some(from), Some(to)) = (&run.from, &run.to) {
                let _ = write!(text, " from {from} to {to}");
            }
            if let (Some(taken), Some(expect)) = (&run.taken, &run.expect) {
                let _ = write!(text, ", for {taken} of the {expect} expected");
            }
            if let Some(broken) = &run.broken {
                let _ = write!(text, "; it will not succeed: {broken}");
            }
            let tone = if run.broken.is_some() {
                Tone::Bad
            } else {
                Tone::Plain
            };
            style.field(out, "run", tone, &text);
        }
        if let Some(why) = &self.distrust {
            style.field(
                out,
                "stopped",
                Tone::Bad,
                &format!(
                    "the agent's own record cannot be trusted: {why}; `backstop unfreeze {}` after a look",
                    self.service
                ),
            );
        }
        if let Some(f) = &self.freeze {
            let until = match (&f.until, &f.left) {
                (Some(until), Some(left)) => format!(" until {until} ({left} left)"),
                _ => String::new(),
            };
            style.field(
                out,
                "frozen",
                Tone::Warning,
                &format!("by {}{until}: {}", f.owner, f.reason),
            );
            if let (Some(by), Some(risk), Some(plan)) = (&f.authorised_by, &f.risk, &f.plan) {
                let record = format!("authorised by {by}; risk: {risk}; then validate: {plan}");
                style.field(out, "override", Tone::Warning, &record);
            }
        }
    }

    fn release_text(&self, out: &mut String, style: Style) {
        let Some(release) = &self.release else {
            return;
        };
        let mut text = match (&release.running, &release.standing, &release.lasting) {
            (Some(running), Some(standing), Some(lasting)) => {
                format!("{running}, {standing}, running for {lasting}")
            }
            _ => "not known yet".into(),
        };
        if let Some(mixed) = &release.mixed {
            let _ = write!(text, "; mixed: {mixed}");
        }
        let mut tone = Tone::Plain;
        if let Some(target) = &release.target {
            let _ = write!(text, "; a rollback would go to {target}");
        } else if let Some(why) = &release.no_target {
            let _ = write!(text, "; no target: {why}");
            tone = Tone::Warning;
        }
        style.field(out, "release", tone, &text);
        for said in &release.said {
            let text = format!(
                "{} is {}: {} (since {}): {}",
                said.version, said.standing, said.by, said.at, said.reason
            );
            style.field(out, "said", Tone::Plain, &text);
        }
    }
}

/// A trigger's line; `apart` when its mode is not its policy's.
fn row(trigger: &TriggerStatus, apart: bool) -> Vec<Cell> {
    let tone = match trigger.state.as_str() {
        "clear" => Tone::Good,
        "fired" => Tone::Bad,
        _ => Tone::Warning,
    };
    let finding = trigger.finding.as_ref();
    let or_dash = |text: Option<&String>| text.map_or("–", String::as_str).to_owned();
    let seen = if trigger.hold_ms == 0 {
        "–".to_owned()
    } else {
        format!("{:.0}%", trigger.coverage * 100.0)
    };
    let mut state = trigger.state.clone();
    if apart {
        state.push_str(" [");
        state.push_str(&trigger.mode);
        state.push(']');
    }
    vec![
        plain(&trigger.trigger),
        toned(state, tone),
        plain(or_dash(finding.and_then(|f| f.value.as_ref()))),
        plain(or_dash(finding.and_then(|f| f.limit.as_ref()))),
        plain(or_dash(trigger.hold.as_ref())),
        plain(seen),
        plain(&trigger.why),
    ]
}
