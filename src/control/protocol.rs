//! What goes over the wire: the bodies that people send, checked, and what they
//! are answered.
//!
//! Names are stable. Whatever the bytes, a body is an order or it is
//! [`Malformed`]: parsing is pure, so that anything can be thrown at it. Who
//! sends an order is never part of it: the socket says that.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::guard::{Note, Override, Statement, What};
use crate::model::Word;
use crate::view::note;

/// Largest body that is read, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Longest freeze: who needs more turns the policy to shadow, where it is
/// written down.
pub const LONGEST_FREEZE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Longest reason, in characters: it goes into notices and reports.
const LONGEST_REASON: usize = 1000;

/// Longest name of a role, plan or version, in characters.
const LONGEST_NAME: usize = 200;

/// What a person says to an incident: `approve`, `reject`, `ack`, `abort`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// The role that is answered as; it must be held.
    pub role: Option<String>,
    /// In the person's words; may be empty.
    pub reason: String,
}

/// Roll back now: a person's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Why; never empty.
    pub reason: String,
    /// The version to go to, instead of the rule's.
    #[serde(default)]
    pub to: Option<String>,
    /// The plan, instead of `rollback`.
    #[serde(default)]
    pub plan: Option<String>,
}

/// Stop acting for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// How long, as [`parse_lease`] reads it.
    #[serde(rename = "for")]
    pub lease: String,
    /// Why; never empty.
    pub reason: String,
    /// The record of an emergency override; nothing in it is empty.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Override>,
}

/// Act again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unfreeze {
    /// In the person's words; may be empty.
    pub reason: String,
}

/// A release has been deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// Its version.
    pub version: String,
    /// Whether it came with a migration that cannot be taken back.
    #[serde(default)]
    pub irreversible: bool,
}

/// What a person says of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declare {
    /// Its version.
    pub version: String,
    /// What it is.
    pub word: Word,
    /// Why; never empty.
    pub reason: String,
}

/// Something to tell a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The flag, counter or value.
    pub name: String,
    /// `set`, `clear`, `+N`, or a number, as text or as a number of JSON.
    pub value: serde_json::Value,
    /// In the words of whoever says it; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// What a person counted as lost in an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// What was counted: `orders`.
    pub name: String,
    /// How much; not negative.
    pub value: f64,
    /// Where that comes from; never empty.
    pub reason: String,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Whether it was followed. If not, `said` has the reason.
    pub accepted: bool,
    /// What happened because of it, or why nothing did, one sentence each.
    pub said: Vec<String>,
    /// The same as the audit trail has it.
    pub notes: Vec<Note>,
    /// Why a crash may make the agent forget it, if it may.
    pub not_durable: Option<String>,
}

/// Why a request was not even put to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// In a sentence.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Why a body is no order, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl Taken {
    /// From the notes that an order caused in its service.
    pub(super) fn new(mut notes: Vec<Note>, not_durable: Option<String>) -> Self {
        // For the record; whoever ordered can ask for the whole incident.
        for note in &mut notes {
            note.detail = None;
        }
        let refusals: Vec<_> = notes.iter().filter(|n| is_refusal(n.what)).collect();
        let said = if refusals.is_empty() {
            notes.iter().map(note::line).collect()
        } else {
            refusals.iter().map(|n| n.reason.clone()).collect()
        };
        Self {
            accepted: refusals.is_empty(),
            said,
            notes,
            not_durable,
        }
    }
}

const fn is_refusal(what: What) -> bool {
    matches!(what, What::Refused | What::AnswerIgnored)
}

/// The body of an answer to an incident. An empty body is an answer without a
/// word.
///
/// # Errors
///
/// [`Malformed`]: it is not JSON, or something in it is unknown, too long or
/// unprintable. The same goes for the other bodies.
pub fn parse_answer(body: &[u8]) -> Result<Answer, Malformed> {
    let answer: Answer = parse_or_default(body)?;
    Ok(Answer {
        role: answer.role.map(|r| name("role", &r)).transpose()?,
        reason: words(&answer.reason)?,
    })
}

/// The body of a person's order to roll back.
///
/// # Errors
///
/// [`Malformed`], also without a reason.
pub fn parse_rollback(body: &[u8]) -> Result<Rollback, Malformed> {
    let rollback: Rollback = parse(body)?;
    Ok(Rollback {
        reason: reason(&rollback.reason)?,
        to: rollback.to.map(|v| name("to", &v)).transpose()?,
        plan: rollback.plan.map(|p| name("plan", &p)).transpose()?,
    })
}

/// The body of a freeze: how long, why, and what is on record of an override.
///
/// # Errors
///
/// [`Malformed`], also without a reason, and of an override without any part.
pub fn parse_freeze(body: &[u8]) -> Result<(Duration, String, Option<Override>), Malformed> {
    let freeze: Freeze = parse(body)?;
    let lease = parse_lease(&freeze.lease)?;
    let why = reason(&freeze.reason)?;
    let Some(said) = freeze.emergency else {
        return Ok((lease, why, None));
    };
    let part = |name: &str, text: &str| match words(text)? {
        said if said.is_empty() => Err(Malformed(format!(
            "an override needs `{name}`: it stays on record"
        ))),
        said => Ok(said),
    };
    let emergency = Override {
        authorised_by: part("authorised_by", &said.authorised_by)?,
        risk: part("risk", &said.risk)?,
        plan: part("plan", &said.plan)?,
    };
    Ok((lease, why, Some(emergency)))
}

/// The body that lifts a freeze. It may be empty.
///
/// # Errors
///
/// [`Malformed`].
pub fn parse_unfreeze(body: &[u8]) -> Result<Unfreeze, Malformed> {
    let unfreeze: Unfreeze = parse_or_default(body)?;
    Ok(Unfreeze {
        reason: words(&unfreeze.reason)?,
    })
}

/// The body that reports a deployment.
///
/// # Errors
///
/// [`Malformed`].
pub fn parse_deploy(body: &[u8]) -> Result<Deploy, Malformed> {
    let deploy: Deploy = parse(body)?;
    Ok(Deploy {
        version: name("version", &deploy.version)?,
        irreversible: deploy.irreversible,
    })
}

/// The body that says what a release is.
///
/// # Errors
///
/// [`Malformed`], also without a reason.
pub fn parse_declare(body: &[u8]) -> Result<Declare, Malformed> {
    let declare: Declare = parse(body)?;
    Ok(Declare {
        version: name("version", &declare.version)?,
        word: declare.word,
        reason: reason(&declare.reason)?,
    })
}

/// The body that tells a source something: the name, what is said of it, and in
/// what words.
///
/// # Errors
///
/// [`Malformed`].
pub fn parse_push(body: &[u8]) -> Result<(String, Statement, String), Malformed> {
    let push: Push = parse(body)?;
    let said = match &push.value {
        serde_json::Value::String(text) => parse_said(text)?,
        serde_json::Value::Number(number) => parse_said(&number.to_string())?,
        _ => return Err(Malformed("`value` is a text or a number".into())),
    };
    Ok((name("name", &push.name)?, said, words(&push.reason)?))
}

/// What is said of a name: `set`, `clear`, `+3` for three more events, or a
/// number.
///
/// # Errors
///
/// [`Malformed`].
pub fn parse_said(text: &str) -> Result<Statement, Malformed> {
    let refuse = |why: &str| {
        let shown = shown(text);
        Err(Malformed(format!("`{shown}` cannot be said: {why}")))
    };
    match text {
        "set" => return Ok(Statement::Set),
        "clear" => return Ok(Statement::Clear),
        _ => {}
    }
    if let Some(events) = text.strip_prefix('+') {
        let number = events.parse().ok().filter(|_| !events.starts_with('+'));
        return match number {
            Some(n @ 1..=Statement::MOST_EVENTS) => Ok(Statement::Events(n)),
            _ => refuse("after `+` stands how many more, a whole number from 1 to 1000000"),
        };
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Statement::Is(number)),
        _ => refuse("say `set` or `clear` of a flag, `+1` of what is counted, or a number"),
    }
}

/// The body that says what was lost.
///
/// # Errors
///
/// [`Malformed`], also without a reason.
pub fn parse_loss(body: &[u8]) -> Result<Loss, Malformed> {
    let loss: Loss = parse(body)?;
    if !loss.value.is_finite() || loss.value < 0.0 {
        return Err(Malformed("`value` is how much was lost: 0 or more".into()));
    }
    Ok(Loss {
        name: name("name", &loss.name)?,
        value: loss.value,
        reason: reason(&loss.reason)?,
    })
}

/// An incident's number in a path.
///
/// # Errors
///
/// [`Malformed`].
pub fn parse_number(text: &str) -> Result<u64, Malformed> {
    text.parse()
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| Malformed(format!("`{}` is no incident number", shown(text))))
}

/// The length of a freeze: `90s`, `45m`, `1h30m`, `2d`, up to
/// [`LONGEST_FREEZE`]. Months and years are refused, because `1M` is read as
/// one minute by half of all people.
///
/// # Errors
///
/// [`Malformed`].
pub fn parse_lease(text: &str) -> Result<Duration, Malformed> {
    // No lease needs more, and humantime's sum overflows on what is longer.
    const MOST_CHARACTERS: usize = 32;
    const MOST_DIGITS: usize = 8;
    let refuse = |why: &str| {
        let shown = shown(text);
        Err(Malformed(format!("`{shown}` is no length of time: {why}")))
    };
    let text = text.trim();
    let digits = text
        .split(|c: char| !c.is_ascii_digit())
        .map(str::len)
        .max();
    if text.len() > MOST_CHARACTERS || digits.is_some_and(|d| d > MOST_DIGITS) {
        return refuse("it is too long");
    }
    let calendar = ["M", "month", "months", "y", "yr", "yrs", "year", "years"];
    if text
        .split(|c: char| !c.is_alphabetic())
        .any(|unit| calendar.contains(&unit))
    {
        return refuse("months and years are not fixed; minutes are `m`, days `d`");
    }
    let Ok(lease) = humantime::parse_duration(text) else {
        return refuse("write it like 45m, 1h30m or 2d");
    };
    if lease < Duration::from_secs(1) {
        return refuse("a second is the least");
    }
    if lease > LONGEST_FREEZE {
        return refuse("30 days are the most; who needs more sets the policy to shadow");
    }
    Ok(lease)
}

fn parse_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Malformed> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    parse(body)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    parse_within(body, MAX_BODY)
}

/// A body of at most so many bytes.
pub(super) fn parse_within<T: DeserializeOwned>(body: &[u8], most: usize) -> Result<T, Malformed> {
    if body.len() > most {
        return Err(Malformed(format!("a body has at most {most} bytes")));
    }
    serde_json::from_slice(body)
        .map_err(|e| Malformed(format!("the body is not what is expected here: {e}")))
}

/// A reason that must be given.
fn reason(text: &str) -> Result<String, Malformed> {
    let said = words(text)?;
    if said.is_empty() {
        return Err(Malformed(
            "a reason is needed: others will read it in notices and the report".into(),
        ));
    }
    Ok(said)
}

/// A time that has passed, such as `7d`.
///
/// # Errors
///
/// [`Malformed`]: it is no duration, or longer than ten years.
pub fn parse_period(text: &str) -> Result<Duration, Malformed> {
    /// The journal keeps nothing for so long.
    const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);
    let fits = text.len() <= 32;
    let parsed = fits.then(|| humantime::parse_duration(text).ok()).flatten();
    parsed
        .filter(|period| *period <= LONGEST)
        .ok_or_else(|| Malformed(format!("`{}` is no time such as `7d`", shown(text))))
}

/// What a person says, in one line: white space of any kind becomes one space.
pub(super) fn words(text: &str) -> Result<String, Malformed> {
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if said.chars().count() > LONGEST_REASON {
        return Err(Malformed(format!(
            "a reason has at most {LONGEST_REASON} characters"
        )));
    }
    if said.chars().any(char::is_control) {
        return Err(Malformed("a reason has no control characters".into()));
    }
    Ok(said)
}

/// A role, plan or version.
pub(super) fn name(what: &str, text: &str) -> Result<String, Malformed> {
    if text.is_empty() {
        return Err(Malformed(format!("`{what}` is empty")));
    }
    if text.chars().count() > LONGEST_NAME {
        return Err(Malformed(format!(
            "`{what}` has more than {LONGEST_NAME} characters"
        )));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Malformed(format!(
            "`{what}` has white space or control characters in it"
        )));
    }
    Ok(text.to_owned())
}

/// What was sent, short and printable enough to be quoted back.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .take(60)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
