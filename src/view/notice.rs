//! A notice in words: a title of one line and a text of a few, the same for
//! every channel, flat, so that templates and receivers of JSON need no maps of
//! our types.
//!
//! Each text says what happened, where, since when, value and limit, evidence,
//! what happens next and how to stop it, one sentence a line, in the order in
//! which a person who was just woken asks. What is not known is left out, never
//! guessed. Names and reasons come from outside; they are put on one line and
//! cut, so that no version or reason can forge a line of ours.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::answer::AnswerLinks;
use super::value;
use crate::guard::{Cause, Notice, NoticeKind};
use crate::model::{Mode, Unit, Value};

/// Longest name shown, in characters.
const NAME: usize = 128;

/// Longest sentence taken from elsewhere, in characters.
const SENTENCE: usize = 1000;

/// A notice as channels deliver it and templates see it. Times are RFC 3339 in
/// UTC, values are in words with their unit; what is absent is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoticeView {
    /// The same notice always has the same id: `checkout/12/7`.
    pub id: String,
    /// The kind, as [`NoticeKind::name`] has it.
    pub kind: &'static str,
    /// One line, marked `[shadow]` in shadow and `[drill]` in a drill.
    pub title: String,
    /// What, where, since when, value, evidence, next and how to stop it: one
    /// line each, without the title.
    pub text: String,
    /// The service.
    pub service: String,
    /// The host the agent runs on.
    pub host: String,
    /// `shadow` or `enforce`.
    pub mode: &'static str,
    /// It belongs to a drill.
    pub drill: bool,
    /// When the notice was made.
    pub at: String,
    /// The incident's number.
    pub incident: Option<u64>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: Option<&'static str>,
    /// The trigger.
    pub trigger: Option<String>,
    /// Its condition, as the policy has it.
    pub condition: Option<String>,
    /// The signal or source that decided.
    pub signal: Option<String>,
    /// Its value: `7.4%`.
    pub value: Option<String>,
    /// The limit: `5%`.
    pub limit: Option<String>,
    /// The value as a number in its base unit (a fraction, seconds, bytes,
    /// events per second); for a quantile beyond the last bucket, that bound.
    pub value_number: Option<f64>,
    /// The limit in the same unit.
    pub limit_number: Option<f64>,
    /// The window that the value was taken over: `1m`.
    pub window: Option<String>,
    /// What the value rests on: `74 of 1,000 events`.
    pub evidence: Option<String>,
    /// What the limit is a multiple of: `2x the baseline, 1% (12 of 1,200 events
    /// of v41)`.
    pub baseline: Option<String>,
    /// The proof over the whole hold, in words.
    pub proof: Option<String>,
    /// Since when the condition has been breached.
    pub since: Option<String>,
    /// How long that is: `10m`.
    pub lasting: Option<String>,
    /// The release that runs.
    pub current: Option<String>,
    /// The release that would be, or is, gone back to.
    pub target: Option<String>,
    /// What exactly happened, in a sentence.
    pub reason: String,
    /// What happens next; may be empty.
    pub next: String,
    /// A command line that stops it or takes part in it; may be empty.
    pub stop: String,
    /// Where a person who is asked says yes, in a notifier that answers as one.
    pub approve_url: Option<String>,
    /// Where they say no.
    pub reject_url: Option<String>,
    /// Identifies the policy's content.
    pub policy: Option<String>,
}

impl NoticeView {
    /// Puts a notice into words.
    #[must_use]
    pub fn new(notice: &Notice) -> Self {
        Self::with_links(notice, None)
    }

    /// The same, with links to answer by.
    #[must_use]
    pub fn with_links(notice: &Notice, links: Option<&AnswerLinks>) -> Self {
        let name = |s: &str| value::one_line(s, NAME);
        let sentence = |s: &str| value::one_line(s, SENTENCE);
        let cause = notice.cause.as_ref();
        let (value, limit) = measured(cause);
        let since = cause.and_then(|c| c.since);
        let mut view = Self {
            id: name(&notice.id),
            kind: notice.kind.name(),
            title: String::new(),
            text: String::new(),
            service: name(&notice.service),
            host: name(&notice.host),
            mode: mode(notice.mode),
            drill: notice.drill,
            at: value::time(notice.at, notice.wall_ahead_ms),
            incident: notice.incident,
            severity: notice.severity.map(crate::model::Severity::name),
            trigger: some(notice.trigger.as_deref().map(name)),
            condition: some(cause.map(|c| sentence(&c.condition))),
            signal: some(cause.map(|c| name(&c.subject))),
            value,
            limit,
            value_number: cause.and_then(|c| c.value).map(|v| match v {
                Value::Exactly(x) | Value::AboveTop(x) => x,
            }),
            limit_number: cause.and_then(|c| c.limit),
            window: cause
                .filter(|c| c.window_ms > 0)
                .map(|c| value::span(Duration::from_millis(c.window_ms))),
            evidence: cause.and_then(evidence),
            baseline: cause.and_then(super::note::baseline),
            proof: cause.and_then(super::note::proof),
            since: since.map(|m| value::time(m, notice.wall_ahead_ms)),
            lasting: since.map(|m| value::span(notice.at.since(m))),
            current: some(notice.current.as_deref().map(name)),
            target: some(notice.target.as_deref().map(name)),
            reason: sentence(&notice.reason),
            next: sentence(&notice.next),
            stop: command(&sentence(&notice.stop)),
            approve_url: links.map(|l| l.approve.clone()),
            reject_url: links.map(|l| l.reject.clone()),
            policy: some(cause.map(|c| name(&c.policy))),
        };
        view.title = view.titled(notice.kind, notice.mode);
        view.text = view.told(notice.kind, notice.mode);
        view
    }

    fn titled(&self, kind: NoticeKind, mode: Mode) -> String {
        let mut title = String::new();
        if mode == Mode::Shadow {
            title.push_str("[shadow] ");
        }
        if self.drill {
            title.push_str("[drill] ");
        }
        title.push_str(&self.service);
        title.push_str(": ");
        title.push_str(&self.headline(kind, mode));
        if let Some(n) = self.incident {
            let _ = write!(title, " (incident {n})");
        }
        title
    }

    /// What happened, in some six words.
    fn headline(&self, kind: NoticeKind, mode: Mode) -> String {
        let shadow = mode == Mode::Shadow;
        let trigger = self.trigger.as_deref();
        let to = self
            .target
            .as_ref()
            .map_or_else(String::new, |t| format!(" to {t}"));
        let from = self
            .current
            .as_ref()
            .map_or_else(String::new, |c| format!(" from {c}"));
        match kind {
            NoticeKind::Opened => match (trigger, self.severity) {
                (Some(t), Some(s)) => format!("{t} fired, {s}"),
                (Some(t), None) => format!("{t} fired"),
                (None, _) if self.drill => "a person ordered a drill".into(),
                (None, _) => "a person ordered a rollback".into(),
            },
            NoticeKind::Asked if shadow => format!("would ask whether to roll back{to}"),
            // The question is how its reason begins: about the rollback, or
            // about one of its steps.
            NoticeKind::Asked if self.reason.starts_with("go on with ") => {
                let question = self.reason.split_once('?').map_or("go on", |(q, _)| q);
                format!("{question}? An answer is needed")
            }
            NoticeKind::Asked => format!("roll back{to}? An answer is needed"),
            NoticeKind::Held => "the rollback is held".into(),
            NoticeKind::Decided | NoticeKind::RollingBack if shadow => {
                format!("would roll back{from}{to}")
            }
            NoticeKind::RollingBack => format!("rolling back{from}{to}"),
            NoticeKind::Decided => "it is decided".into(),
            NoticeKind::StepDone => "a step of the rollback is done".into(),
            NoticeKind::Cured => format!("cured by the rollback{to}"),
            NoticeKind::NotCured => format!("NOT cured by the rollback{to}"),
            NoticeKind::Failed => "the rollback FAILED".into(),
            NoticeKind::Blind => match trigger {
                Some(t) => format!("cannot judge {t}"),
                None => "cannot judge".into(),
            },
            NoticeKind::SeesAgain => match trigger {
                Some(t) => format!("can judge {t} again"),
                None => "can judge again".into(),
            },
            NoticeKind::Frozen => "acting is frozen".into(),
            NoticeKind::FreezeEnding => "the freeze ends soon".into(),
            NoticeKind::Update => "the incident is still open".into(),
            NoticeKind::Escalated => "a person is NEEDED".into(),
            NoticeKind::Acknowledged => "somebody looks after it".into(),
            NoticeKind::Closed => "the incident is closed".into(),
            NoticeKind::Fit => match trigger {
                Some(t) => format!("{t} is fit to enforce"),
                None => "fit to enforce".into(),
            },
            NoticeKind::Test => "a TEST, nothing has happened".into(),
        }
    }

    fn told(&self, kind: NoticeKind, mode: Mode) -> String {
        let mut lines = Vec::new();
        if !self.reason.is_empty() {
            lines.push(format!("What: {}", stopped(&self.reason)));
        }
        lines.push(self.place(is_ahead(kind)));
        if matches!(kind, NoticeKind::Opened | NoticeKind::Asked) {
            lines.extend(self.measure());
            lines.extend(self.multiple());
            lines.extend(self.proven());
            lines.extend(self.duration());
            lines.extend(self.row());
        } else if matches!(
            kind,
            NoticeKind::Blind | NoticeKind::SeesAgain | NoticeKind::Fit
        ) {
            // Nothing was caused yet: the row that guards nothing meanwhile.
            lines.extend(self.row());
        } else {
            lines.extend(self.cause());
        }
        if !self.next.is_empty() {
            lines.push(format!("Next: {}", stopped(&self.next)));
        }
        if !self.stop.is_empty() {
            lines.push(format!("{}: {}", part(kind), self.stop));
        }
        if let (Some(approve), Some(reject)) = (&self.approve_url, &self.reject_url) {
            lines.push(format!("Approve: {approve}"));
            lines.push(format!("Reject: {reject}"));
        }
        if mode == Mode::Shadow && !self.next.contains("shadow") {
            lines.push("This is shadow mode: nothing was run, and nothing will be.".into());
        }
        if self.drill && kind != NoticeKind::Test {
            lines.push("This is a drill: a person ordered the plan to be run, really.".into());
        }
        lines.join("\n")
    }

    /// `Where: checkout on web-1, running v42; v41 is the release to go back
    /// to.`
    fn place(&self, ahead: bool) -> String {
        let mut line = format!("Where: {}", self.service);
        if !self.host.is_empty() {
            let _ = write!(line, " on {}", self.host);
        }
        if let Some(current) = &self.current {
            let _ = write!(line, ", running {current}");
        }
        if let Some(target) = self.target.as_ref().filter(|_| ahead) {
            let _ = write!(line, "; {target} is the release to go back to");
        }
        line.push('.');
        line
    }

    /// `Value: error_rate is 7.4%, the limit is 5% (74 of 1,000 events in 1m).`
    fn measure(&self) -> Option<String> {
        let signal = self.signal.as_ref()?;
        let value = self.value.as_ref()?;
        let mut line = format!("Value: {signal} is {value}");
        if let Some(limit) = &self.limit {
            let _ = write!(line, ", the limit is {limit}");
        }
        line.push_str(&self.counted());
        line.push('.');
        Some(line)
    }

    /// What the value rests on, to go on a sentence with.
    fn counted(&self) -> String {
        match (&self.evidence, &self.window) {
            (Some(e), Some(w)) => format!(" ({e} in {w})"),
            (Some(e), None) => format!(" ({e})"),
            (None, Some(w)) => format!(" (over {w})"),
            (None, None) => String::new(),
        }
    }

    /// `Limit: 2x the baseline, 1% (12 of 1,200 events of v41).`
    fn multiple(&self) -> Option<String> {
        let baseline = self.baseline.as_ref()?;
        Some(format!("Limit: {baseline}."))
    }

    /// `Proof: 1,420 of 10,000 events mean at least 13.6%, …`
    fn proven(&self) -> Option<String> {
        let proof = self.proof.as_ref()?;
        let proof = proof.strip_prefix("proven: ").unwrap_or(proof);
        Some(format!("Proof: {proof}."))
    }

    /// `Since: 2026-11-21T08:20:00Z, for 10m.`
    fn duration(&self) -> Option<String> {
        let since = self.since.as_ref()?;
        let lasting = self.lasting.as_ref()?;
        Some(format!("Since: {since}, for {lasting}."))
    }

    /// The row of the matrix: `Condition: web is down for 30m; that is
    /// service-down, critical.`
    fn row(&self) -> Option<String> {
        let condition = self.condition.as_ref()?;
        Some(match (&self.trigger, self.severity) {
            (Some(t), Some(s)) => format!("Condition: {condition}; that is {t}, {s}."),
            (Some(t), None) => format!("Condition: {condition}; that is {t}."),
            (None, _) => format!("Condition: {condition}."),
        })
    }

    /// Why it all began, once that is the past: what was found when the trigger
    /// fired may no longer be so.
    fn cause(&self) -> Option<String> {
        let condition = self.condition.as_ref()?;
        let mut line = format!("Cause: {condition}");
        if let (Some(signal), Some(value)) = (&self.signal, &self.value) {
            let _ = write!(line, "; {signal} was {value}{}", self.counted());
        }
        if let Some(since) = &self.since {
            let _ = write!(line, ", breached since {since}");
        }
        line.push('.');
        Some(line)
    }
}

/// Whether going back is still ahead, so that it matters where to.
const fn is_ahead(kind: NoticeKind) -> bool {
    matches!(
        kind,
        NoticeKind::Opened
            | NoticeKind::Asked
            | NoticeKind::Decided
            | NoticeKind::Held
            | NoticeKind::Update
            | NoticeKind::Escalated
    )
}

/// As policies write it.
pub(crate) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Shadow => "shadow",
        Mode::Enforce => "enforce",
    }
}

/// What a command line is for, by what is told.
const fn part(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Asked => "To answer",
        NoticeKind::RollingBack | NoticeKind::StepDone => "To stop it",
        NoticeKind::Frozen => "To lift it",
        NoticeKind::Opened
        | NoticeKind::Decided
        | NoticeKind::Held
        | NoticeKind::Update
        | NoticeKind::NotCured
        | NoticeKind::Failed
        | NoticeKind::Escalated
        | NoticeKind::Cured
        | NoticeKind::Blind
        | NoticeKind::SeesAgain
        | NoticeKind::FreezeEnding
        | NoticeKind::Acknowledged
        | NoticeKind::Closed
        | NoticeKind::Fit
        | NoticeKind::Test => "Your part",
    }
}

/// What a cause rests on: who said it, where it was not measured.
fn evidence(cause: &Cause) -> Option<String> {
    let counted = cause.evidence.as_ref().filter(|_| cause.unit != Unit::Flag);
    match (counted, &cause.told) {
        (counted, None) => counted.map(value::evidence),
        (None, Some(told)) => Some(super::note::said(told)),
        (Some(counted), Some(told)) => {
            let counted = value::evidence(counted);
            Some(format!("{counted}, the last {}", super::note::said(told)))
        }
    }
}

/// A value and its limit in words, told apart by as many digits as that takes.
pub(crate) fn measured(cause: Option<&Cause>) -> (Option<String>, Option<String>) {
    let Some(cause) = cause else {
        return (None, None);
    };
    pair(cause.value, cause.limit, cause.unit)
}

pub(crate) fn pair(
    value: Option<Value>,
    limit: Option<f64>,
    unit: Unit,
) -> (Option<String>, Option<String>) {
    match (value, limit) {
        // Set or clear says it all.
        (v, _) if unit == Unit::Flag => (v.map(|v| value::value(v, unit)), None),
        (Some(v), Some(l)) => {
            let (v, l) = value::pair(v, l, unit);
            (Some(v), Some(l))
        }
        (v, l) => (
            v.map(|v| value::value(v, unit)),
            l.map(|l| value::number(l, unit)),
        ),
    }
}

/// Ends a sentence, if it does not end by itself.
fn stopped(sentence: &str) -> String {
    if sentence.ends_with(['.', '!', '?', '…', ':']) {
        sentence.to_owned()
    } else {
        format!("{sentence}.")
    }
}

/// The engine sets a command line off by two spaces from what it does:
/// `backstop ack 12 (says that you look after it)`.
fn command(stop: &str) -> String {
    let stop = stop.replace("  or  ", " or ");
    match stop.split_once("  ") {
        Some((line, what)) => format!("{line} ({})", what.trim()),
        None => stop,
    }
}

/// An empty text is an absent one.
fn some(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests;
