//! One service's past as `OpenMetrics` 1.0 text with timestamps: what `promtool
//! tsdb create-blocks-from openmetrics` and `backstop replay --samples` take.
//!
//! The journal has one scrape after the other, the text one series after the
//! other: metric families must not be mixed (*OpenMetrics* 1.0.0, "`MetricSet`").
//! So the journal is read once to see which series there are, and then once for
//! every [`TOGETHER`] samples of them, which is all that is in memory at a time;
//! a series that has more than those by itself is written while it is read. That
//! is two passes for a week of one host, and reading is cheap.
//!
//! The types of the selected series are not known here and are left out, which
//! is *unknown*. A name that `OpenMetrics` 1.0 cannot have (of what was pushed, a
//! dash is common) is written in quotes, as Prometheus 3 writes and reads it.

use std::io::{self, Write};

use crate::journal::Body;
use crate::model::{Moment, Series};
use crate::replay::{Column, Exposed, Past, PastError, Span};

/// Samples that are held at a time: 9 bytes each, and as much again while a
/// column grows.
const TOGETHER: u64 = 3_000_000;

/// Series of our own: what they are, and what they say.
const OWN: [(&str, &str); 4] = [
    ("backstop_release", "Which release began to run."),
    (
        "probe_duration_seconds",
        "How long the answer of a probe or a connection took.",
    ),
    (
        "probe_success",
        "Whether a probe or a connection was answered as expected.",
    ),
    ("up", "Whether a source could be read."),
];

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The past cannot be read.
    #[error(transparent)]
    Past(#[from] PastError),
    /// There is nothing to write.
    #[error("the history has no samples of {service} in that time")]
    Empty {
        /// The service.
        service: String,
    },
    /// It cannot be written.
    #[error("cannot write the export")]
    Write(#[from] io::Error),
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// How many series.
    pub series: usize,
    /// How many samples of them.
    pub samples: u64,
    /// From the first sample to the last.
    pub span: Span,
    /// What is missing, in sentences.
    pub remarks: Vec<String>,
}

/// Writes what was taken down of a service.
///
/// # Errors
///
/// When it cannot be read or written, or there is nothing. Damage in it is a
/// remark, and the rest is written.
pub fn export(
    past: &Past,
    service: &str,
    span: Span,
    out: &mut impl Write,
) -> Result<Exported, ExportError> {
    in_pieces(past, service, span, TOGETHER, out)
}

/// With so many samples in memory at a time.
fn in_pieces(
    past: &Past,
    service: &str,
    span: Span,
    together: u64,
    out: &mut impl Write,
) -> Result<Exported, ExportError> {
    let mut exposed = Exposed::new(service, span);
    let Survey {
        counts,
        span: whole,
        remarks,
    } = survey(past, &mut exposed, span)?;
    let Some(whole) = whole else {
        return Err(ExportError::Empty {
            service: service.to_owned(),
        });
    };
    let mut order: Vec<usize> = (0..counts.len()).filter(|&slot| counts[slot] > 0).collect();
    order.sort_by(|&a, &b| exposed.series()[a].cmp(&exposed.series()[b]));
    let mut text = Text {
        out,
        family: String::new(),
        samples: 0,
    };
    // What an agent adds meanwhile is of another day.
    let span = Span {
        to: whole.to,
        ..span
    };
    let mut rest = &order[..];
    while !rest.is_empty() {
        let mut held = 0;
        let more = rest.iter().take_while(|&&slot| {
            held += counts[slot];
            held <= together
        });
        let (piece, later) = rest.split_at(more.count().max(1));
        exposed.rewind();
        match piece {
            [slot] => alone(past, &mut exposed, span, *slot, &mut text)?,
            slots => several(past, &mut exposed, span, slots, &mut text)?,
        }
        rest = later;
    }
    text.out.write_all(b"# EOF\n")?;
    text.out.flush()?;
    Ok(Exported {
        series: order.len(),
        samples: text.samples,
        span: whole,
        remarks,
    })
}

/// What there is to write.
struct Survey {
    /// By slot.
    counts: Vec<u64>,
    span: Option<Span>,
    remarks: Vec<String>,
}

fn survey(past: &Past, exposed: &mut Exposed, span: Span) -> Result<Survey, PastError> {
    let mut counts = Vec::new();
    let mut whole: Option<Span> = None;
    let mut remarks = Remarks::default();
    for entry in past.entries(span)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(damage) => {
                remarks.add(format!("the history is damaged: {damage}"));
                continue;
            }
        };
        if let Body::Lost(lost) = &entry.body {
            remarks.add(format!("records were not kept: {}", lost.why));
        }
        exposed.take(&entry, &mut |row| {
            if counts.len() <= row.slot {
                counts.resize(row.slot + 1, 0);
            }
            counts[row.slot] += 1;
            let whole = whole.get_or_insert(Span {
                from: row.at,
                to: row.at,
            });
            whole.from = whole.from.min(row.at);
            whole.to = whole.to.max(row.at);
        });
    }
    if exposed.passed_over > 0 {
        remarks.add(format!(
            "{} samples of pages that are named `up` or `backstop_release` are left out: the recording's own series have these names",
            exposed.passed_over
        ));
    }
    Ok(Survey {
        counts,
        span: whole,
        remarks: remarks.all(),
    })
}

/// Remarks, of which there may be many alike.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    told: Vec<String>,
    more: usize,
}

impl Remarks {
    /// Most that are told one by one.
    const MOST: usize = 10;

    pub(super) fn add(&mut self, remark: String) {
        if self.told.contains(&remark) {
            return;
        }
        if self.told.len() < Self::MOST {
            self.told.push(remark);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn all(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("… and {} more", self.more));
        }
        self.told
    }
}

/// One series, written while it is read.
fn alone(
    past: &Past,
    exposed: &mut Exposed,
    span: Span,
    slot: usize,
    text: &mut Text<'_, impl Write>,
) -> Result<(), ExportError> {
    let series = exposed.series()[slot].clone();
    let mut line = text.series(&series)?;
    let mut written = Ok(());
    for entry in past.entries(span)?.flatten() {
        exposed.take(&entry, &mut |row| {
            if row.slot == slot && written.is_ok() {
                written = line.sample(row.at, row.value);
            }
        });
        std::mem::replace(&mut written, Ok(()))?;
    }
    line.end()?;
    Ok(())
}

/// As many as are held at a time.
fn several(
    past: &Past,
    exposed: &mut Exposed,
    span: Span,
    slots: &[usize],
    text: &mut Text<'_, impl Write>,
) -> Result<(), ExportError> {
    let most = slots.iter().max().copied().unwrap_or(0);
    let mut places = vec![None; most + 1];
    for (place, &slot) in slots.iter().enumerate() {
        places[slot] = Some(place);
    }
    let mut columns = vec![Column::default(); slots.len()];
    for entry in past.entries(span)?.flatten() {
        exposed.take(&entry, &mut |row| {
            if let Some(Some(place)) = places.get(row.slot) {
                columns[*place].push(row.at, row.value);
            }
        });
    }
    for (slot, column) in slots.iter().zip(&mut columns) {
        column.sort();
        let mut line = text.series(&exposed.series()[*slot])?;
        for (at, value) in column.play() {
            line.sample(at, value)?;
        }
        line.end()?;
        *column = Column::default();
    }
    Ok(())
}

/// The text as it grows.
struct Text<'o, W> {
    out: &'o mut W,
    /// The metric family that is being written.
    family: String,
    samples: u64,
}

impl<W: Write> Text<'_, W> {
    /// Goes on with a series, in the order of their names.
    fn series(&mut self, series: &Series) -> io::Result<Line<'_, W>> {
        if self.family != series.name() {
            series.name().clone_into(&mut self.family);
            let own = OWN.iter().find(|(name, _)| *name == self.family);
            if let Some((name, help)) = own {
                writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} gauge")?;
            }
        }
        Ok(Line {
            name: named(series),
            out: self.out,
            samples: &mut self.samples,
            ahead: None,
        })
    }
}

/// The samples of one series.
struct Line<'t, W> {
    name: String,
    out: &'t mut W,
    samples: &'t mut u64,
    /// Of several at one time the last counts: the text must not have two.
    ahead: Option<(Moment, f64)>,
}

impl<W: Write> Line<'_, W> {
    fn sample(&mut self, at: Moment, value: f64) -> io::Result<()> {
        match self.ahead.replace((at, value)) {
            Some((before, value)) if before < at => self.write(before, value),
            _ => Ok(()),
        }
    }

    fn end(mut self) -> io::Result<()> {
        match self.ahead.take() {
            Some((at, value)) => self.write(at, value),
            None => Ok(()),
        }
    }

    fn write(&mut self, at: Moment, value: f64) -> io::Result<()> {
        *self.samples += 1;
        self.out.write_all(self.name.as_bytes())?;
        if value.is_nan() {
            self.out.write_all(b" NaN ")?;
        } else if value.is_infinite() {
            let text: &[u8] = if value > 0.0 { b" +Inf " } else { b" -Inf " };
            self.out.write_all(text)?;
        } else {
            write!(self.out, " {value} ")?;
        }
        let ms = at.as_millis();
        match ms % 1000 {
            0 => writeln!(self.out, "{}", ms / 1000),
            part => writeln!(self.out, "{}.{part:03}", ms / 1000),
        }
    }
}

/// As the text has it: `name{a="x"}`, or `{"na-me",a="x"}`.
fn named(series: &Series) -> String {
    let plain = |name: &str, colon: bool| {
        let mut chars = name.chars();
        let start = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
        chars.next().is_some_and(start) && chars.all(|c| start(c) || c.is_ascii_digit())
    };
    let mut parts = Vec::new();
    let bare = plain(series.name(), true);
    if !bare {
        parts.push(quoted(series.name()));
    }
    for (name, value) in series.labels() {
        let name = if plain(name, false) {
            name.clone()
        } else {
            quoted(name)
        };
        parts.push(format!("{name}={}", quoted(value)));
    }
    let name = if bare { series.name() } else { "" };
    if parts.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", parts.join(","))
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::guard::{Event, Person, Push, Statement};
    use crate::journal::{Journal, Options};
    use crate::model::{Outcome, Sample};

    /// What is in memory at a time is nobody's business.
    #[test]
    fn in_pieces_of_any_size_the_text_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open::<()>(dir.path(), Options::default()).unwrap();
        let service = || "shop".to_owned();
        for tick in 1..50_u64 {
            let at = Moment::from_millis(tick * 5000);
            // Series come and go.
            let page = (0..tick % 7).map(|n| Sample {
                series: Arc::new(Series::new(format!("s{n}"), vec![])),
                value: tick as f64 / 4.0,
            });
            let sampled = Event::Sampled {
                service: service(),
                source: "app".to_owned(),
                tick: at,
                outcome: Outcome::Scraped(page.collect()),
            };
            journal.event(at, &sampled);
            if tick % 10 == 0 {
                let pushed = Event::Pushed {
                    service: service(),
                    source: "people".to_owned(),
                    by: Person {
                        name: "ann".to_owned(),
                        roles: vec![],
                    },
                    push: Push::Said {
                        name: "tickets".to_owned(),
                        what: Statement::Events(2),
                        reason: String::new(),
                    },
                };
                journal.event(at, &pushed);
                let version = format!("v{tick}");
                let released = Event::Released {
                    service: service(),
                    version,
                };
                journal.event(at, &released);
            }
        }
        let _ = journal.commit().unwrap();
        let past = Past::open(dir.path()).unwrap();
        let text = |together| {
            let mut out = Vec::new();
            in_pieces(&past, "shop", Span::ALL, together, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let whole = text(TOGETHER);
        for together in [0, 1, 30, 50, 100] {
            assert_eq!(text(together), whole, "{together}");
        }
        let families: Vec<_> = whole
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        assert!(families.is_sorted(), "{families:?}");
        assert!(whole.contains("tickets{backstop_source=\"people\"} 0 49.999\n"));
        assert!(whole.contains("tickets{backstop_source=\"people\"} 8 200\n"));
    }

    #[test]
    fn a_name_is_quoted_where_the_format_needs_it() {
        let series = |name, label: &str, value: &str| {
            named(&Series::new(
                name,
                vec![(label.to_owned(), value.to_owned())],
            ))
        };
        assert_eq!(series("a:b_1", "le", "+Inf"), r#"a:b_1{le="+Inf"}"#);
        assert_eq!(
            series("breach-confirmed", "backstop_source", "desk"),
            r#"{"breach-confirmed",backstop_source="desk"}"#
        );
        assert_eq!(series("a", "http.code", "5"), r#"a{"http.code"="5"}"#);
        assert_eq!(series("a", "b", "\"\\\n"), r#"a{b="\"\\\n"}"#);
        assert_eq!(series("1a", "b", ""), r#"{"1a"}"#);
        assert_eq!(series("a", "b", ""), "a");
    }

    #[test]
    fn of_one_time_the_last_value_is_written() {
        let mut out = Vec::new();
        let mut text = Text {
            out: &mut out,
            family: String::new(),
            samples: 0,
        };
        let mut line = text.series(&Series::new("up", vec![])).unwrap();
        for (ms, value) in [
            (1000, 1.0),
            (2500, 2.0),
            (2500, f64::NEG_INFINITY),
            (2500, f64::NAN),
            (3000, 0.1),
        ] {
            line.sample(Moment::from_millis(ms), value).unwrap();
        }
        line.end().unwrap();
        assert_eq!(text.samples, 3);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "# HELP up Whether a source could be read.\n# TYPE up gauge\nup 1 1\nup NaN 2.500\nup 0.1 3\n"
        );
    }
}
