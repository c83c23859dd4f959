//! Labelled incidents: when things were really wrong, as people know it. A CSV
//! of `from,to`, one incident a line.
//!
//! Times are RFC 3339 or Unix seconds. A first line that names the columns, a
//! third column with a name, empty lines and lines that begin with `#` are well.
//! Everything else is refused, all of it at once, each with its line and with
//! what to write: a label that is silently passed over makes every choice look
//! worse or better than it is.

use std::fmt;

use jiff::Timestamp;

use crate::model::Moment;

/// Faults shown at once.
const MOST_FAULTS: usize = 20;

/// A time in which things were wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// When it began.
    pub from: Moment,
    /// When it was over.
    pub to: Moment,
    /// What people call it; may be empty.
    pub name: String,
}

/// What is wrong with a file of labelled incidents: line by line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LabelFaults(Vec<(usize, String)>);

impl fmt::Display for LabelFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the labelled incidents cannot be read")?;
        for (line, what) in self.0.iter().take(MOST_FAULTS) {
            write!(f, "\n  line {line}: {what}")?;
        }
        match self.0.len().checked_sub(MOST_FAULTS) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}

/// Reads labelled incidents, in the order of time; those that overlap are one.
///
/// # Errors
///
/// Every line that is wrong, and what to write instead.
pub fn labels(csv: &str) -> Result<Vec<Labelled>, LabelFaults> {
    let mut faults = Vec::new();
    let mut labelled = Vec::new();
    let lines = csv.strip_prefix('\u{feff}').unwrap_or(csv).lines();
    let mut first = true;
    for (index, line) in lines.enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let header = std::mem::take(&mut first) && is_header(line);
        if header {
            continue;
        }
        match incident(line) {
            Ok(incident) => labelled.push(incident),
            Err(what) => faults.push((index + 1, what)),
        }
    }
    if !faults.is_empty() {
        return Err(LabelFaults(faults));
    }
    Ok(merged(labelled))
}

/// In the order of time; those that overlap are one.
pub(super) fn merged(mut labelled: Vec<Labelled>) -> Vec<Labelled> {
    labelled.sort_by_key(|incident| (incident.from, incident.to));
    let mut merged: Vec<Labelled> = Vec::with_capacity(labelled.len());
    for incident in labelled {
        match merged.last_mut() {
            Some(before) if incident.from <= before.to => {
                before.to = before.to.max(incident.to);
                if before.name.is_empty() {
                    before.name = incident.name;
                } else if !incident.name.is_empty() {
                    before.name = format!("{}, {}", before.name, incident.name);
                }
            }
            _ => merged.push(incident),
        }
    }
    merged
}

fn is_header(line: &str) -> bool {
    let mut columns = line.split(',').map(|c| unquoted(c).to_lowercase());
    columns.next().as_deref() == Some("from") && columns.next().as_deref() == Some("to")
}

fn incident(line: &str) -> Result<Labelled, String> {
    let mut columns = line.splitn(3, ',').map(unquoted);
    let (Some(from), Some(to)) = (columns.next(), columns.next()) else {
        return Err(format!(
            "`{line}` is one column: write `from,to`, as 2026-11-21T08:30:00Z,2026-11-21T09:10:00Z"
        ));
    };
    let (begun, over) = (moment(from)?, moment(to)?);
    if over <= begun {
        return Err(if over == begun {
            format!("it ends when it begins, at {to}")
        } else {
            format!("it ends at {to}, before it begins at {from}: are the columns swapped?")
        });
    }
    Ok(Labelled {
        from: begun,
        to: over,
        name: columns.next().unwrap_or_default().to_owned(),
    })
}

fn unquoted(column: &str) -> &str {
    let column = column.trim();
    column
        .strip_prefix('"')
        .and_then(|c| c.strip_suffix('"'))
        .unwrap_or(column)
        .trim()
}

fn moment(text: &str) -> Result<Moment, String> {
    let ms = if text.parse::<f64>().is_ok() {
        let seconds = text.parse::<f64>().unwrap_or(f64::NAN);
        #[expect(clippy::cast_possible_truncation, reason = "asked before")]
        match seconds * 1000.0 {
            // Later than the year 2286 are only milliseconds.
            ms if (0.0..1e13).contains(&ms) => ms.round() as i64,
            _ => {
                return Err(format!(
                    "`{text}` is no time in Unix seconds: milliseconds have to be divided by 1000"
                ));
            }
        }
    } else {
        let time: Result<Timestamp, _> = text.parse();
        time.map_err(|_| {
            format!(
                "`{text}` is no time: write it as 2026-11-21T08:30:00Z, with its offset from UTC, or in Unix seconds"
            )
        })?
        .as_millisecond()
    };
    u64::try_from(ms)
        .map(Moment::from_millis)
        .map_err(|_| format!("`{text}` is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(csv: &str) -> String {
        labels(csv).expect_err(csv).to_string()
    }

    #[test]
    fn times_are_rfc_3339_or_unix_seconds_and_order_does_not_matter() {
        let csv = "from,to,what\n# by hand\n2000-01-01T01:00:00+01:00,2000-01-01T00:10:00Z,payments\n\n\"100.5\",\"200\"\r\n150,300,a name, with a comma\n";
        let at = Moment::from_millis;
        let expected = [
            (100_500, 300_000, "a name, with a comma"),
            (946_684_800_000, 946_685_400_000, "payments"),
        ];
        let expected = expected.map(|(from, to, name)| Labelled {
            from: at(from),
            to: at(to),
            name: name.to_owned(),
        });
        assert_eq!(labels(csv), Ok(expected.to_vec()));
        assert_eq!(labels(""), Ok(Vec::new()));
    }

    #[test]
    fn every_fault_is_said_with_its_line() {
        let said = faults(
            "from,to\n2026-11-21 08:30,100\n100\n200,100\n100,100\n1763713800000,1763713900000\n1,2\n",
        );
        for part in [
            "line 2: `2026-11-21 08:30` is no time",
            "line 3: `100` is one column",
            "line 4: it ends at 100, before it begins at 200",
            "line 5: it ends when it begins",
            "line 6: `1763713800000` is no time in Unix seconds",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("line 7"), "{said}");
        let many = faults(&"x\n".repeat(30));
        assert!(many.ends_with("and 10 more"), "{many}");
    }
}
