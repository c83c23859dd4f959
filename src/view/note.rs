//! A note of the audit trail as one line: for the log, a timeline, and the
//! demo.

use std::fmt::Write as _;

use super::notice::measured;
use super::value;
use crate::guard::{Cause, Note, Told, What};
use crate::model::Unit;

/// Longest reason shown, in characters.
const REASON: usize = 400;

/// A note in a line, without its time and service:
/// `suspecting high-error-rate: error_rate is 7.4%, limit 5% (74 of 1,000
/// events in 1m)`.
#[must_use]
pub fn line(note: &Note) -> String {
    let reason = || value::one_line(&note.reason, REASON);
    let trigger = note.trigger.as_deref().unwrap_or("a trigger");
    match note.what {
        What::Suspecting => format!("suspecting {trigger}: {}", found(note)),
        What::Fired => format!("{trigger} fired: {}", found(note)),
        What::Cleared => format!("{trigger} cleared: {}", found(note)),
        What::Resolved => format!("{trigger} is resolved: {}", reason()),
        What::Blind | What::SeesAgain => format!("{trigger}: {}", reason()),
        What::WouldRollBack => format!("would roll back: {}", reason()),
        What::WouldAsk => format!("would ask: {}", reason()),
        What::WouldTell => format!("would tell of {trigger}: {}", reason()),
        What::Told => format!("told of {trigger}: {}", reason()),
        What::Opened => match note.incident {
            Some(n) => format!("incident {n} opened: {}", reason()),
            None => format!("incident opened: {}", reason()),
        },
        What::Held => format!("held: {}", reason()),
        What::Asked => format!("asked: {}", reason()),
        What::AnswerIgnored => format!("answer ignored: {}", reason()),
        What::Withdrawn => format!("question withdrawn: {}", reason()),
        What::Dismissed => format!("dismissed: {}", reason()),
        What::RollingBack => format!("rolling back: {}", reason()),
        What::StepStarted => format!("step started: {}", reason()),
        What::StepDone => format!("step done: {}", reason()),
        What::StepFailed => format!("step FAILED: {}", reason()),
        What::StepSkipped => format!("step left out: {}", reason()),
        What::Verifying => format!("verifying: {}", reason()),
        What::Cured => format!("cured: {}", reason()),
        What::NotCured => format!("NOT cured: {}", reason()),
        What::Failed => format!("the rollback FAILED: {}", reason()),
        What::TimedOut => format!("the rollback ran out of time: {}", reason()),
        What::Aborted => format!("aborted: {}", reason()),
        What::Escalated => format!("a person is called: {}", reason()),
        What::Acknowledged => format!("acknowledged: {}", reason()),
        What::Ordered => format!("ordered by {}", reason()),
        What::Counted => format!("counted {}", reason()),
        What::Refused => format!("refused: {}", reason()),
        What::Drilled => format!("drill: {}", reason()),
        What::Distrusted => format!("acting stopped: {}", reason()),
        What::LostTrack
        | What::Fit
        | What::Release
        | What::Declared
        | What::Judged
        | What::Answered
        | What::Overtaken
        | What::Frozen
        | What::Unfrozen
        | What::FreezeEnded
        | What::Closed
        | What::Pushed
        | What::Revised
        | What::Restarted => reason(),
    }
}

/// `error_rate is 7.4%, limit 5% (74 of 1,000 events in 1m)`; for a source, the
/// condition; failing both, the reason.
fn found(note: &Note) -> String {
    note.cause
        .as_ref()
        .map_or_else(|| value::one_line(&note.reason, REASON), evidence)
}

/// What a cause rests on, in a clause.
#[must_use]
pub fn evidence(cause: &Cause) -> String {
    let (Some(value), limit) = measured(Some(cause)) else {
        return value::one_line(&cause.condition, REASON);
    };
    let mut text = format!("{} is {value}", value::one_line(&cause.subject, REASON));
    if let Some(limit) = limit {
        text.push_str(", limit ");
        text.push_str(&limit);
    }
    if let Some(told) = &cause.told {
        let _ = write!(text, ", {}", said(told));
    }
    if cause.unit == Unit::Flag {
        return text;
    }
    if let Some(evidence) = &cause.evidence {
        text.push_str(" (");
        text.push_str(&value::evidence(evidence));
        if cause.window_ms > 0 {
            text.push_str(" in ");
            let window = std::time::Duration::from_millis(cause.window_ms);
            text.push_str(&value::span(window));
        }
        if let Some(baseline) = &cause.baseline {
            let said = value::baseline(baseline, cause.unit);
            let _ = write!(text, "; {} baseline {said}", value::fold(baseline.factor));
        }
        let proven = cause.proof.as_ref().filter(|proof| proof.proven);
        if let Some(least) = proven.and_then(value::at_least) {
            text.push_str("; ");
            text.push_str(&least);
        }
        text.push(')');
    }
    text
}

/// What the limit is a multiple of: `2x the baseline, 1% (12 of 1,200 events of
/// v41)`.
#[must_use]
pub fn baseline(cause: &Cause) -> Option<String> {
    let baseline = cause.baseline.as_ref()?;
    let said = value::baseline(baseline, cause.unit);
    Some(format!(
        "{} the baseline, {said}",
        value::fold(baseline.factor)
    ))
}

/// The proof over the whole hold, in words.
#[must_use]
pub fn proof(cause: &Cause) -> Option<String> {
    let proof = cause.proof.as_ref()?;
    Some(value::proof(proof, cause.unit))
}

/// `said by alice: exfiltration confirmed`.
#[must_use]
pub fn said(told: &Told) -> String {
    let by = value::one_line(&told.by, REASON);
    match value::one_line(&told.reason, REASON) {
        why if why.is_empty() => format!("said by {by}"),
        why => format!("said by {by}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Evidence, Moment, Unit, Value};

    fn note(what: What, reason: &str) -> Note {
        Note {
            at: Moment::ZERO,
            service: "checkout".into(),
            incident: Some(12),
            what,
            trigger: Some("high-error-rate".into()),
            cause: Some(Cause {
                condition: "error_rate > 5% for 15m".into(),
                subject: "error_rate".into(),
                value: Some(Value::Exactly(0.074)),
                limit: Some(0.05),
                baseline: None,
                unit: Unit::Ratio,
                window_ms: 60_000,
                evidence: Some(Evidence {
                    hits: Some(74.0),
                    events: 1000.0,
                    scrapes: 12,
                    covers: Duration::from_mins(1),
                }),
                proof: None,
                since: None,
                told: None,
                policy: "9f2c".into(),
            }),
            reason: reason.into(),
            detail: None,
        }
    }

    #[test]
    fn a_note_reads_as_a_line() {
        let cases = [
            (
                What::Suspecting,
                "the condition is met",
                "suspecting high-error-rate: error_rate is 7.4%, limit 5% (74 of 1,000 events in 1m)",
            ),
            (
                What::Opened,
                "high-error-rate fired: error_rate > 5% for 15m",
                "incident 12 opened: high-error-rate fired: error_rate > 5% for 15m",
            ),
            (
                What::StepFailed,
                "restart: exited with status 1 after 3s",
                "step FAILED: restart: exited with status 1 after 3s",
            ),
            (
                What::Release,
                "release v42\nreplaces v41",
                "release v42 replaces v41",
            ),
            (
                What::Closed,
                "closed as cured: it stayed quiet",
                "closed as cured: it stayed quiet",
            ),
        ];
        for (what, reason, expected) in cases {
            assert_eq!(line(&note(what, reason)), expected);
        }
    }

    #[test]
    fn a_source_is_told_by_its_condition() {
        let mut note = note(What::Fired, "its whole hold is met");
        if let Some(cause) = &mut note.cause {
            cause.condition = "web is down for 30m".into();
            cause.value = None;
        }
        assert_eq!(line(&note), "high-error-rate fired: web is down for 30m");
    }
}
