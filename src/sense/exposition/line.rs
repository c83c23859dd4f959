//! One line of an exposition: the grammar, and nothing that remembers.
//!
//! Two formats share it: Prometheus text 0.0.4 and `OpenMetrics` 1.0, both with
//! the quoted UTF-8 names of Prometheus 3 (`{"http.status", code="200"}`). They
//! differ in three places, and [`Dialect`] says which holds: the unit of
//! timestamps, what `# EOF` means, and whether a page must have it.
//!
//! It is lenient where Prometheus is (spaces and tabs between tokens, a comma
//! after the last label, CRLF, unknown escapes kept as they are) and in one
//! place more: an exemplar is skipped in either format. It refuses what could
//! be misread: a sample without a name, labels without quotes, a label given
//! twice, text after the value that is neither timestamp nor exemplar.

use std::fmt;

use memchr::memchr2;

use super::number;
use crate::model::{Gap, GapKind, Series};

/// Which exposition format a page is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus text 0.0.4 or 1.0: timestamps in milliseconds, `# EOF` is a
    /// comment.
    Text,
    /// OpenMetrics 1.0: timestamps in seconds, ends with `# EOF`.
    OpenMetrics,
}

impl Dialect {
    /// The format that a `Content-Type` names. A missing or odd one is read as
    /// text 0.0.4, as Prometheus's `fallback_scrape_protocol` does: the lines
    /// themselves decide then.
    ///
    /// # Errors
    ///
    /// [`GapKind::Malformed`] for what certainly is no text exposition: HTML
    /// and protobuf.
    pub fn of(content_type: Option<&str>) -> Result<Self, Gap> {
        let media = content_type
            .and_then(|t| t.split(';').next())
            .map(|t| t.trim().to_ascii_lowercase())
            .unwrap_or_default();
        match media.as_str() {
            "application/openmetrics-text" => Ok(Self::OpenMetrics),
            "text/html" | "application/xhtml+xml" => Err(Gap::new(
                GapKind::Malformed,
                format!("not an exposition: the page is HTML (Content-Type {media})"),
            )),
            "application/vnd.google.protobuf" => Err(Gap::new(
                GapKind::Malformed,
                "not a text exposition: the page is protobuf",
            )),
            _ => Ok(Self::Text),
        }
    }
}

/// What is wrong with a line, for people: `expected a value, found "x"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// What is wrong with a line, in a clause.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// `expected WHAT, found "…"`, with a short excerpt of what stands there.
    #[cold]
    fn expected(what: &str, found: &[u8]) -> Self {
        Self(if found.is_empty() {
            format!("expected {what}, found the end of the line")
        } else {
            format!("expected {what}, found {}", Excerpt(found))
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// The first bytes of something hostile, quoted and escaped.
pub(super) struct Excerpt<'a>(pub(super) &'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Enough to recognise it, short enough for one log line.
        const SHOWN: usize = 40;
        let (shown, more) = match self.0.get(..SHOWN) {
            Some(shown) => (shown, "…"),
            None => (self.0, ""),
        };
        write!(f, "{:?}{more}", String::from_utf8_lossy(shown))
    }
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line<'a> {
    /// Nothing, or only spaces.
    Blank,
    /// `# HELP`, `# TYPE`, `# UNIT`, or any other comment.
    Comment,
    /// `# EOF`. In [`Dialect::Text`] it is a [`Line::Comment`].
    Eof,
    /// A sample.
    Sample {
        /// Name and labels as they stand on the line: `a{b="c"}`. For
        /// [`series`], which cannot fail on it but for a label given twice.
        series: &'a [u8],
        /// The value; may be NaN or infinite.
        value: f64,
        /// Unix time in milliseconds, where the line has a timestamp.
        timestamp_ms: Option<i64>,
    },
}

/// Reads one line, given without its line feed.
///
/// # Errors
///
/// What was expected and what was found.
pub fn parse_line(line: &[u8], dialect: Dialect) -> Result<Line<'_>, Fault> {
    let line = trim_start(line.strip_suffix(b"\r").unwrap_or(line));
    match line.first() {
        None => Ok(Line::Blank),
        Some(b'#') if dialect == Dialect::OpenMetrics && line == b"# EOF" => Ok(Line::Eof),
        Some(b'#') => Ok(Line::Comment),
        Some(_) => {
            let (series, rest) = line.split_at(series_end(line)?);
            let (value, timestamp_ms) = tail(rest, dialect)?;
            Ok(Line::Sample {
                series,
                value,
                timestamp_ms,
            })
        }
    }
}

/// The length of the series text (name and labels) at the start of `line`,
/// which does not start with a space. All of it has been checked then.
pub(super) fn series_end(line: &[u8]) -> Result<usize, Fault> {
    let mut at = name_len(line, true);
    let named = at > 0;
    if !named && line.first() != Some(&b'{') {
        return Err(if line.first() == Some(&b'<') {
            Fault::new("this looks like HTML")
        } else {
            Fault::expected("a metric name", line)
        });
    }
    let open = at + spaces(&line[at..]);
    if line.get(open) == Some(&b'{') {
        at = Labels::new(line, open + 1, named).skip()?;
    } else if !matches!(line.get(at), None | Some(b' ' | b'\t')) {
        return Err(Fault::expected(
            "a space or `{` after the name",
            &line[at..],
        ));
    }
    if std::str::from_utf8(&line[..at]).is_err() {
        return Err(Fault::new("the labels are not UTF-8"));
    }
    Ok(at)
}

/// Value, timestamp and exemplar: what follows the series text.
pub(super) fn tail(rest: &[u8], dialect: Dialect) -> Result<(f64, Option<i64>), Fault> {
    let (token, rest) = token(trim_start(rest));
    let value = number::float(token).ok_or_else(|| Fault::expected("a value", token))?;
    let rest = trim_start(rest);
    if rest.is_empty() {
        return Ok((value, None));
    }
    let (timestamp, rest) = if rest[0] == b'#' {
        (None, rest)
    } else {
        let (token, rest) = self::token(rest);
        let ms = match dialect {
            Dialect::Text => std::str::from_utf8(token).ok().and_then(|t| t.parse().ok()),
            Dialect::OpenMetrics => number::float(token)
                .filter(|s| s.is_finite())
                .map(|s| saturate(s * 1000.0)),
        };
        let ms = ms.ok_or_else(|| Fault::expected("a timestamp or the end of the line", token))?;
        (Some(ms), trim_start(rest))
    };
    if rest.is_empty() {
        return Ok((value, timestamp));
    }
    if rest[0] == b'#' && trim_start(&rest[1..]).first() == Some(&b'{') {
        return Ok((value, timestamp));
    }
    Err(Fault::expected("the end of the line", rest))
}

/// The value, the timestamp and the length of a line's rest where they are as
/// nearly every writer has them: plain numbers, a space between them, a line
/// feed behind them. `None` says only that [`tail`] has to look.
#[inline]
pub(super) fn plain_tail(rest: &[u8], dialect: Dialect) -> Option<(f64, Option<i64>, usize)> {
    let (value, len) = number::plain(rest)?;
    let after = rest.get(len..)?;
    match after.first()? {
        b'\n' => Some((value, None, len)),
        b' ' => {
            let (number, timed) = number::plain(&after[1..])?;
            let end = len + 1 + timed;
            let plain = rest.get(end) == Some(&b'\n');
            let ms = match dialect {
                Dialect::Text => None,
                Dialect::OpenMetrics => Some(saturate(number * 1000.0)),
            };
            ms.filter(|_| plain).map(|ms| (value, Some(ms), end))
        }
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, which is what a time beyond all times should do"
)]
fn saturate(ms: f64) -> i64 {
    ms.round() as i64
}

/// Splits the series text of a line into its name and labels.
///
/// # Errors
///
/// Where it is no series, or names a label twice.
pub fn series(raw: &[u8]) -> Result<Series, Fault> {
    let bare = name_len(raw, true);
    let mut name = (bare > 0).then(|| text(&raw[..bare]));
    let mut labels: Vec<(String, String)> = Vec::new();
    let open = bare + spaces(&raw[bare..]);
    if raw.get(open) == Some(&b'{') {
        let mut each = Labels::new(raw, open + 1, name.is_some());
        while let Some(part) = each.next()? {
            match part {
                Part::Name(quoted) => name = Some(unescape(quoted)),
                Part::Label {
                    name,
                    quoted,
                    value,
                } => labels.push((
                    if quoted { unescape(name) } else { text(name) },
                    unescape(value),
                )),
            }
        }
    }
    labels.shrink_to_fit();
    labels.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if let Some(twice) = labels.windows(2).find(|w| w[0].0 == w[1].0) {
        return Err(Fault::new(format!(
            "the label {} is given twice",
            Excerpt(twice[0].0.as_bytes())
        )));
    }
    match name {
        Some(name) if !name.is_empty() => Ok(Series::new(name, labels)),
        _ => Err(Fault::new("a sample without a metric name")),
    }
}

/// The metric name of a series text, as bytes, where it stands before the
/// braces; `None` for the quoted form.
pub(super) fn bare_name(raw: &[u8]) -> Option<&[u8]> {
    match name_len(raw, true) {
        0 => None,
        len => Some(&raw[..len]),
    }
}

/// One part of a label block.
enum Part<'a> {
    /// The quoted metric name, escapes not resolved.
    Name(&'a [u8]),
    /// A label, escapes not resolved.
    Label {
        name: &'a [u8],
        quoted: bool,
        value: &'a [u8],
    },
}

/// Walks a label block.
struct Labels<'a> {
    line: &'a [u8],
    at: usize,
    named: bool,
    closed: bool,
}

impl<'a> Labels<'a> {
    /// From the byte after the brace; `named` if a name stood before it.
    const fn new(line: &'a [u8], at: usize, named: bool) -> Self {
        Self {
            line,
            at,
            named,
            closed: false,
        }
    }

    /// Checks the whole block; the offset after its closing brace.
    fn skip(mut self) -> Result<usize, Fault> {
        while self.next()?.is_some() {}
        if self.named {
            Ok(self.at)
        } else {
            Err(Fault::new("a sample without a metric name"))
        }
    }

    fn next(&mut self) -> Result<Option<Part<'a>>, Fault> {
        if self.closed {
            return Ok(None);
        }
        self.space();
        if self.eat(b'}') {
            self.closed = true;
            return Ok(None);
        }
        let quoted = self.peek() == Some(b'"');
        let name = if quoted {
            self.quoted()?
        } else {
            let rest = &self.line[self.at..];
            let name = &rest[..name_len(rest, false)];
            self.at += name.len();
            if name.is_empty() {
                return Err(Fault::expected("a label name or `}`", rest));
            }
            name
        };
        self.space();
        let part = if self.eat(b'=') {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(Fault::expected("a label value in quotes", self.rest()));
            }
            Part::Label {
                name,
                quoted,
                value: self.quoted()?,
            }
        } else if quoted && matches!(self.peek(), Some(b',' | b'}')) {
            if std::mem::replace(&mut self.named, true) {
                return Err(Fault::new("the metric name is given twice"));
            }
            if name.is_empty() {
                return Err(Fault::new("a sample without a metric name"));
            }
            Part::Name(name)
        } else {
            return Err(Fault::expected("`=` after the label name", self.rest()));
        };
        self.space();
        if !self.eat(b',') {
            if !self.eat(b'}') {
                return Err(Fault::expected("`,` or `}`", self.rest()));
            }
            self.closed = true;
        }
        Ok(Some(part))
    }

    /// What stands between the quotes, escapes not resolved.
    fn quoted(&mut self) -> Result<&'a [u8], Fault> {
        self.at += 1;
        let start = self.at;
        loop {
            match memchr2(b'"', b'\\', self.rest()) {
                None => return Err(Fault::new("a quote is not closed")),
                Some(i) if self.line[self.at + i] == b'"' => {
                    self.at += i + 1;
                    return Ok(&self.line[start..self.at - 1]);
                }
                Some(i) => self.at = (self.at + i + 2).min(self.line.len()),
            }
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.line[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        self.at += spaces(self.rest());
    }
}

/// The length of the name at the start: `[a-zA-Z_:][a-zA-Z0-9_:]*`, colons only
/// in metric names.
fn name_len(bytes: &[u8], colons: bool) -> usize {
    if bytes.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    bytes
        .iter()
        .position(|&b| !(b.is_ascii_alphanumeric() || b == b'_' || (colons && b == b':')))
        .unwrap_or(bytes.len())
}

/// Up to the next space.
fn token(bytes: &[u8]) -> (&[u8], &[u8]) {
    let len = bytes
        .iter()
        .position(|b| matches!(b, b' ' | b'\t'))
        .unwrap_or(bytes.len());
    bytes.split_at(len)
}

fn spaces(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|b| !matches!(b, b' ' | b'\t'))
        .unwrap_or(bytes.len())
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    &bytes[spaces(bytes)..]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `\\`, `\"` and `\n`; any other escape stays as it is, as in Prometheus.
fn unescape(bytes: &[u8]) -> String {
    if memchr::memchr(b'\\', bytes).is_none() {
        return text(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => out.push(b'\n'),
            Some(c @ (b'\\' | b'"')) => out.push(c),
            Some(c) => out.extend([b'\\', c]),
            None => out.push(b'\\'),
        }
    }
    text(&out)
}
