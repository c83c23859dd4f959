//! Texts of the user's own: minijinja templates over [`NoticeView`]'s fields.
//!
//! A template can print, test and loop; it can include nothing, call nothing
//! outside and not run on: fuel bounds its work. What is absent prints as
//! nothing. A name that does not exist is an error, found when the
//! configuration is loaded rather than at night.

use std::time::Duration;

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use crate::guard::{Cause, Notice, NoticeKind};
use crate::model::{Evidence, Mode, Moment, Proof, Severity, Unit};
use crate::view::NoticeView;

/// Steps that one template may take. The longest sensible one takes hundreds.
const FUEL: u64 = 50_000;

/// Longest text that a template may make, in bytes.
const LONGEST: usize = 32 * 1024;

/// What the receiver takes for markup in a value; the template's own text is
/// never escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Nothing.
    Nothing,
    /// Slack's mrkdwn: `&`, `<` and `>`.
    Slack,
    /// GitHub's Markdown: what formats, links, mentions or refers.
    Markdown,
}

impl Escape {
    /// A value as the receiver has to be given it.
    pub(super) fn apply(self, text: &str) -> String {
        match self {
            Self::Nothing => text.to_owned(),
            Self::Slack => escape_slack(text),
            Self::Markdown => escape_markdown(text),
        }
    }
}

/// Looks whether a template can be used: it parses, and it renders a notice in
/// which everything is known and one in which almost nothing is.
///
/// # Errors
///
/// What is wrong with it and where, for people.
pub fn check_template(source: &str) -> Result<(), String> {
    for notice in [full(), bare()] {
        render(source, &NoticeView::new(&notice), Escape::Nothing)?;
    }
    Ok(())
}

/// A template's text for a notice of this kind, with everything known where it
/// belongs to an incident and almost nothing where it does not: what a receiver
/// would read.
///
/// # Errors
///
/// What is wrong with the template and where, for people.
pub fn preview_template(
    source: &str,
    kind: NoticeKind,
    incident: Option<u64>,
) -> Result<String, String> {
    let notice = if incident.is_some() { full() } else { bare() };
    let notice = Notice {
        kind,
        incident,
        ..notice
    };
    render(source, &NoticeView::new(&notice), Escape::Nothing)
}

/// Renders a template over a notice.
pub(super) fn render(source: &str, view: &NoticeView, escape: Escape) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(move |out, state, value| print(out, state, value, escape));
    let text = environment
        .render_named_str("template", source, Serde(view))
        .map_err(|error| words(&error))?;
    if text.len() > LONGEST {
        return Err(format!("its text is {} bytes long", text.len()));
    }
    if text.trim().is_empty() {
        return Err("its text is empty".into());
    }
    Ok(text)
}

/// `&`, `<` and `>` as Slack wants them
/// (<https://docs.slack.dev/messaging/formatting-message-text>, *Escaping text*).
pub(super) fn escape_slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A backslash before what is markup, and a space of no width after what
/// mentions a person or refers to an issue: no backslash keeps GitHub from that.
fn escape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~'
        ) {
            out.push('\\');
        }
        out.push(c);
        if matches!(c, '@' | '#') {
            out.push('\u{200b}');
        }
    }
    out
}

fn print(out: &mut Output, _: &mut State, value: &Value, escape: Escape) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::new(
            ErrorKind::UndefinedError,
            "a notice has no such field",
        ));
    }
    if value.is_none() {
        return Ok(());
    }
    let text = escape.apply(&value.to_string());
    out.write_str(&text).map_err(Error::from)
}

fn words(error: &Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// A notice in which everything is known.
pub(super) fn full() -> Notice {
    Notice {
        id: "checkout/12/1".into(),
        at: Moment::from_millis(600_000),
        wall_ahead_ms: 1_795_249_800_000,
        kind: NoticeKind::Opened,
        service: "checkout".into(),
        host: "web-1".into(),
        mode: Mode::Enforce,
        incident: Some(12),
        severity: Some(Severity::Critical),
        trigger: Some("payment-failure".into()),
        cause: Some(Cause {
            condition: "payment_failure > 10% for 10m".into(),
            subject: "payment_failure".into(),
            value: Some(crate::model::Value::Exactly(0.142)),
            limit: Some(0.1),
            baseline: None,
            unit: Unit::Ratio,
            window_ms: 60_000,
            evidence: Some(Evidence {
                hits: Some(142.0),
                events: 1000.0,
                scrapes: 12,
                covers: Duration::from_mins(1),
            }),
            proof: Some(Proof {
                hits: 1420.0,
                events: 10_000.0,
                confidence: 0.95,
                above: 0.1,
                min_events: 20,
                proven: true,
                against: None,
            }),
            since: Some(Moment::ZERO),
            told: None,
            policy: "9f2c".into(),
        }),
        current: Some("v42".into()),
        target: Some("v41".into()),
        reason: "payment-failure has held for 10m".into(),
        next: "the plan `rollback` starts at once".into(),
        stop: "backstop ack 12  says that you look after it".into(),
        question: None,
        notify: vec!["slack".into()],
        drill: false,
    }
}

/// A notice in which almost nothing is known.
fn bare() -> Notice {
    Notice {
        kind: NoticeKind::Frozen,
        incident: None,
        severity: None,
        trigger: None,
        cause: None,
        current: None,
        target: None,
        next: String::new(),
        stop: String::new(),
        ..full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str, escape: Escape) -> Result<String, String> {
        render(source, &NoticeView::new(&full()), escape)
    }

    #[test]
    fn fields_print_and_what_is_absent_prints_as_nothing() {
        let source = "{{ service }} {{ signal }} {{ value }}{% if incident %} #{{ incident }}{% endif %}{{ current }}.";
        check_template(source).unwrap();
        assert_eq!(
            rendered(source, Escape::Nothing).unwrap(),
            "checkout payment_failure 14.2% #12v42."
        );
        let view = NoticeView::new(&bare());
        assert_eq!(
            render(source, &view, Escape::Nothing).unwrap(),
            "checkout  ."
        );
    }

    #[test]
    fn a_fault_is_found_at_load_and_says_where() {
        let cases = [
            ("{{ servce }}", "line 1"),
            ("one\n{% if %}", "line 2"),
            ("{{ service | shout }}", "shout"),
            ("{% include 'x' %}", "line 1"),
            ("{% for i in range(10000000) %}x{% endfor %}", "line 1"),
            ("  {# nothing #}", "empty"),
            (
                "{% for i in range(5000) %}{{ text }}{% endfor %}",
                "bytes long",
            ),
        ];
        for (source, part) in cases {
            let fault = check_template(source).unwrap_err();
            assert!(fault.contains(part), "{source}: {fault}");
        }
    }

    #[test]
    fn slack_escapes_values_and_leaves_the_template_alone() {
        assert_eq!(
            rendered("<!here> {{ condition }}", Escape::Slack).unwrap(),
            "<!here> payment_failure &gt; 10% for 10m"
        );
    }

    #[test]
    fn markdown_mentions_nobody_and_refers_to_nothing() {
        assert_eq!(
            Escape::Markdown.apply("@ann #12 [x](y) <b> a_b `c` > 5%"),
            "@\u{200b}ann #\u{200b}12 \\[x\\](y) \\<b\\> a\\_b \\`c\\` \\> 5%"
        );
    }
}
