//! Alertmanager's webhook, version 4: bytes → alerts, or the place of what is
//! wrong.
//!
//! Source of the format: Alertmanager's documentation, *Configuration*,
//! `<webhook_config>`. Parsing is pure, so that anything can be thrown at it.
//! What is not looked at (annotations, URLs, the group) may be anything.

use serde_json::{Map, Value};

use super::protocol::{Malformed, shown};
use crate::guard::Alert;

/// Most alerts in a message; `max_alerts` of a receiver keeps below it.
pub const MOST_ALERTS: usize = 1000;

/// Most labels of an alert.
const MOST_LABELS: usize = 100;

/// Longest fingerprint, label name or label value, in bytes.
const LONGEST: usize = 1024;

/// A message of Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its alerts, in its order.
    pub alerts: Vec<Alert>,
    /// Alerts of the group that it left out.
    pub truncated: u64,
}

/// Reads a message.
///
/// # Errors
///
/// [`Malformed`], with the place: `alerts[3].startsAt is missing`.
pub fn parse_webhook(body: &[u8]) -> Result<Webhook, Malformed> {
    let message: Value = serde_json::from_slice(body)
        .map_err(|e| Malformed::new(format!("the body is not JSON: {e}")))?;
    let message = object(&message, "the body")?;
    match text(message, "", "version")? {
        "4" => {}
        other => {
            let shown = shown(other);
            return refuse(&format!("version is `{shown}`: only `4` is understood"));
        }
    }
    let truncated = match message.get("truncatedAlerts") {
        None => 0,
        Some(n) => n
            .as_u64()
            .ok_or_else(|| Malformed::new("truncatedAlerts is no whole number"))?,
    };
    let Some(alerts) = message.get("alerts") else {
        return refuse("alerts is missing");
    };
    let Value::Array(alerts) = alerts else {
        return refuse("alerts is no list");
    };
    if alerts.len() > MOST_ALERTS {
        return refuse(&format!(
            "alerts has {} entries, and {MOST_ALERTS} are the most: set `max_alerts`",
            alerts.len()
        ));
    }
    let alerts = alerts.iter().enumerate();
    Ok(Webhook {
        alerts: alerts.map(|(i, a)| alert(a, i)).collect::<Result<_, _>>()?,
        truncated,
    })
}

fn alert(value: &Value, i: usize) -> Result<Alert, Malformed> {
    let place = format!("alerts[{i}]");
    let fields = object(value, &place)?;
    let place = format!("{place}.");
    let firing = match text(fields, &place, "status")? {
        "firing" => true,
        "resolved" => false,
        other => {
            let shown = shown(other);
            return refuse(&format!(
                "{place}status is `{shown}`, and neither `firing` nor `resolved`"
            ));
        }
    };
    let fingerprint = text(fields, &place, "fingerprint")?;
    if fingerprint.is_empty() {
        return refuse(&format!("{place}fingerprint is empty"));
    }
    let starts_at = text(fields, &place, "startsAt")?;
    let Ok(starts) = starts_at.parse::<jiff::Timestamp>() else {
        let shown = shown(starts_at);
        return refuse(&format!("{place}startsAt is `{shown}`, which is no time"));
    };
    let Some(labels) = fields.get("labels") else {
        return refuse(&format!("{place}labels is missing"));
    };
    let labels = object(labels, &format!("{place}labels"))?;
    if labels.len() > MOST_LABELS {
        return refuse(&format!("{place}labels has more than {MOST_LABELS}"));
    }
    let in_labels = format!("{place}labels.");
    let labels = labels.keys().map(|name| {
        if name.len() > LONGEST {
            return refuse(&format!("{place}labels has a name that is too long"));
        }
        let value = text(labels, &in_labels, name)?;
        Ok((name.clone(), value.to_owned()))
    });
    Ok(Alert {
        fingerprint: fingerprint.to_owned(),
        labels: labels.collect::<Result<_, _>>()?,
        firing,
        starts_ms: starts.as_millisecond(),
    })
}

fn object<'v>(value: &'v Value, place: &str) -> Result<&'v Map<String, Value>, Malformed> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => refuse(&format!("{place} is no object")),
    }
}

fn text<'v>(fields: &'v Map<String, Value>, place: &str, key: &str) -> Result<&'v str, Malformed> {
    let shown = shown(key);
    match fields.get(key) {
        None => refuse(&format!("{place}{shown} is missing")),
        Some(Value::String(text)) if text.len() > LONGEST => {
            refuse(&format!("{place}{shown} has more than {LONGEST} bytes"))
        }
        Some(Value::String(text)) => Ok(text),
        Some(_) => refuse(&format!("{place}{shown} is no text")),
    }
}

fn refuse<T>(why: &str) -> Result<T, Malformed> {
    Err(Malformed::new(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Alertmanager 0.27 sends it.
    const MESSAGE: &str = r#"{"receiver":"backstop","status":"firing","alerts":[{"status":"firing",
"labels":{"alertname":"DataExposed","severity":"page"},"annotations":{"summary":"x"},
"startsAt":"2026-11-21T08:30:00.123Z","endsAt":"0001-01-01T00:00:00Z",
"generatorURL":"http://p/graph","fingerprint":"c4a1b2"}],"groupLabels":{},"commonLabels":{},
"commonAnnotations":{},"externalURL":"http://am:9093","version":"4","groupKey":"{}:{}",
"truncatedAlerts":0}"#;

    #[test]
    fn a_message_is_its_alerts_and_how_many_it_left_out() {
        let read = parse_webhook(MESSAGE.as_bytes()).unwrap();
        assert_eq!(read.truncated, 0);
        let [alert] = read.alerts.as_slice() else {
            panic!("{read:?}");
        };
        assert!(alert.firing);
        assert_eq!(alert.starts_ms, 1_795_249_800_123);
        assert_eq!(alert.labels[0].1, "DataExposed");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (from, to, why) in [
            (
                "\"version\":\"4\"",
                "\"version\":\"3\"",
                "version is `3`: only `4` is understood",
            ),
            ("\"version\":\"4\",", "", "version is missing"),
            ("\"version\":\"4\"", "\"version\":4", "version is no text"),
            ("\"alerts\":[", "\"alarms\":[", "alerts is missing"),
            (
                "\"startsAt\":",
                "\"begins\":",
                "alerts[0].startsAt is missing",
            ),
            (
                "2026-11-21T08:30:00.123Z",
                "noon",
                "alerts[0].startsAt is `noon`, which is no time",
            ),
            (
                "\"fingerprint\":\"c4a1b2\"",
                "\"x\":1",
                "alerts[0].fingerprint is missing",
            ),
            ("\"c4a1b2\"", "\"\"", "alerts[0].fingerprint is empty"),
            ("\"labels\":{", "\"label\":{", "alerts[0].labels is missing"),
            (
                "\"severity\":\"page\"",
                "\"severity\":1",
                "alerts[0].labels.severity is no text",
            ),
            (
                "[{\"status\":\"firing\"",
                "[{\"status\":\"on\"",
                "alerts[0].status is `on`, and neither `firing` nor `resolved`",
            ),
            (
                "\"truncatedAlerts\":0",
                "\"truncatedAlerts\":-1",
                "truncatedAlerts is no whole number",
            ),
            (
                "\"version\":\"4\"",
                "\"version\":\"4\",,",
                "the body is not JSON: key must be a string at line 5 column 69",
            ),
        ] {
            let body = MESSAGE.replacen(from, to, 1);
            assert_ne!(body, MESSAGE, "{from}");
            let refused = parse_webhook(body.as_bytes()).unwrap_err();
            assert_eq!(refused.to_string(), why);
        }
        for body in [&b""[..], b"[]", b"null", b"{}", b"\xff", b"<html>"] {
            assert!(parse_webhook(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn no_message_holds_more_than_its_bounds() {
        let many = |n| {
            let alert = r#"{"status":"firing","labels":{},"startsAt":"2026-11-21T08:30:00Z","fingerprint":"f"}"#;
            format!(
                r#"{{"version":"4","alerts":[{}]}}"#,
                vec![alert; n].join(",")
            )
        };
        assert!(parse_webhook(many(MOST_ALERTS).as_bytes()).is_ok());
        assert!(parse_webhook(many(MOST_ALERTS + 1).as_bytes()).is_err());
        let deep = "[".repeat(100_000);
        assert!(parse_webhook(deep.as_bytes()).is_err());
    }
}
