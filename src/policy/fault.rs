//! A fault of a file: what is wrong, where, and what to write instead.
//!
//! Readers hand in drafts that know only byte ranges; [`Faults`] turns them into
//! [`Fault`]s with lines and columns, sorted by place, and keeps at most
//! [`MOST_FAULTS`] of them, so that a megabyte of nonsense costs neither memory
//! nor a day of reading.

use std::ops::Range;

use serde::{Serialize, Serializer};

/// Faults kept per file. More than this nobody mends in one sitting, and
/// locating each costs a walk over its line.
pub(super) const MOST_FAULTS: usize = 100;

/// The code of faults that stand beside a secret: its line is never shown.
pub(super) const SECRET: &str = "secret";

/// Characters of the offending text that a fault quotes.
const MOST_TEXT: usize = 200;

/// Whether a file can be used in spite of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultSeverity {
    /// The file is refused.
    Error,
    /// The file works, but perhaps not as its author thinks.
    Warning,
}

/// One thing that is wrong in a file.
///
/// Serialises to the stable shape of `backstop check --format json`: one flat
/// object with `severity`, `code`, `file`, `line`, `column`, `end_line`,
/// `end_column`, `offset`, `length`, `text`, `message`, `label`, `hint` and
/// `related`; what does not apply is `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Error or warning.
    pub severity: FaultSeverity,
    /// A stable word for the kind of fault, for filters: `unknown-key`,
    /// `duration`, `condition`, …
    pub code: &'static str,
    /// The file as it was named by the caller.
    pub file: String,
    /// Where; absent when the fault is of the file itself (it cannot be read).
    pub place: Option<Place>,
    /// What is wrong, in one line.
    pub message: String,
    /// What is said right at the place, if anything.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that matter.
    pub related: Vec<Related>,
}

/// A stretch of a file's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Bytes from the start of the file.
    pub offset: usize,
    /// Bytes; zero only at the end of a line or of the file.
    pub length: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line of the end, from 1.
    pub end_line: usize,
    /// One past the last character, from 1.
    pub end_column: usize,
    /// The text there, its first 200 characters.
    pub text: String,
}

/// Another place that matters to a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where.
    pub place: Place,
    /// Why it matters.
    pub label: String,
}

impl Fault {
    /// A fault of the file itself, at no place in its text.
    #[must_use]
    pub fn of_file(file: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: FaultSeverity::Error,
            code,
            file: file.to_owned(),
            place: None,
            message: message.into(),
            label: None,
            hint: None,
            related: Vec::new(),
        }
    }

    /// Whether the file is refused because of it.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self.severity, FaultSeverity::Error)
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            severity: FaultSeverity,
            code: &'a str,
            file: &'a str,
            line: Option<usize>,
            column: Option<usize>,
            end_line: Option<usize>,
            end_column: Option<usize>,
            offset: Option<usize>,
            length: Option<usize>,
            text: Option<&'a str>,
            message: &'a str,
            label: Option<&'a str>,
            hint: Option<&'a str>,
            related: &'a [Related],
        }
        let place = self.place.as_ref();
        Flat {
            severity: self.severity,
            code: self.code,
            file: &self.file,
            line: place.map(|p| p.line),
            column: place.map(|p| p.column),
            end_line: place.map(|p| p.end_line),
            end_column: place.map(|p| p.end_column),
            offset: place.map(|p| p.offset),
            length: place.map(|p| p.length),
            text: place.map(|p| p.text.as_str()),
            message: &self.message,
            label: self.label.as_deref(),
            hint: self.hint.as_deref(),
            related: &self.related,
        }
        .serialize(serializer)
    }
}

/// A fault before it is located.
#[derive(Debug)]
pub(super) struct Draft {
    severity: FaultSeverity,
    code: &'static str,
    at: Range<usize>,
    message: String,
    label: Option<String>,
    hint: Option<String>,
    related: Vec<(Range<usize>, String)>,
    /// Whether it is one only as long as the intervals are what they were taken
    /// for.
    pub(super) by_interval: bool,
}

impl Draft {
    pub(super) fn error(code: &'static str, at: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: FaultSeverity::Error,
            code,
            at,
            message: message.into(),
            label: None,
            hint: None,
            related: Vec::new(),
            by_interval: false,
        }
    }

    pub(super) fn warning(
        code: &'static str,
        at: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: FaultSeverity::Warning,
            ..Self::error(code, at, message)
        }
    }

    /// It is measured by an interval.
    pub(super) const fn by_interval(mut self) -> Self {
        self.by_interval = true;
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// The same fault at another place.
    pub(super) fn moved(mut self, at: Range<usize>) -> Self {
        self.at = at;
        self
    }

    pub(super) fn also(mut self, at: Range<usize>, label: impl Into<String>) -> Self {
        self.related.push((at, label.into()));
        self
    }
}

/// A file's name and text with the starts of its lines.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) file: String,
    pub(super) text: String,
    lines: Vec<usize>,
}

impl Page {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let lines = std::iter::once(0)
            .chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|i| i + 1))
            .collect();
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            lines,
        }
    }

    /// The place of a byte range; a range outside the text or inside a
    /// character is moved to the nearest place that is not.
    pub(super) fn place(&self, at: &Range<usize>) -> Place {
        let start = self.text.floor_char_boundary(at.start);
        let end = self.text.ceil_char_boundary(at.end.max(start));
        let (line, column) = self.position(start);
        let (end_line, end_column) = self.position(end);
        Place {
            offset: start,
            length: end - start,
            line,
            column,
            end_line,
            end_column,
            text: self.text[start..end].chars().take(MOST_TEXT).collect(),
        }
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= at);
        let start = self.lines[line - 1];
        (line, self.text[start..at].chars().count() + 1)
    }

    pub(super) fn locate(&self, draft: Draft) -> Fault {
        Fault {
            severity: draft.severity,
            code: draft.code,
            file: self.file.clone(),
            place: Some(self.place(&draft.at)),
            message: clipped(draft.message),
            label: draft.label,
            hint: draft.hint.map(clipped),
            related: draft
                .related
                .into_iter()
                .map(|(at, label)| Related {
                    place: self.place(&at),
                    label,
                })
                .collect(),
        }
    }
}

/// The faults of one file while it is read.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) page: Page,
    found: Vec<Draft>,
    more: bool,
    /// The file is not even TOML: what seems to be missing may only have been
    /// lost to the syntax error, and is not reported.
    broken: bool,
}

impl Faults {
    pub(super) fn new(page: Page) -> Self {
        Self {
            page,
            found: Vec::new(),
            more: false,
            broken: false,
        }
    }

    pub(super) fn add(&mut self, draft: Draft) {
        if self.broken && matches!(draft.code, "missing" | "undefined") {
            return;
        }
        if self.found.len() < MOST_FAULTS {
            self.found.push(draft);
        } else {
            self.more = true;
        }
    }

    /// Whether no more faults are kept. What is costly to find out is then not
    /// worth it: hints, places inside strings, further conditions.
    pub(super) fn full(&mut self) -> bool {
        let full = self.found.len() >= MOST_FAULTS;
        self.more |= full;
        full
    }

    /// Reports a fault of TOML's own syntax.
    pub(super) fn syntax(&mut self, draft: Draft) {
        self.add(draft);
        self.broken = true;
    }

    /// All faults in the order of the file, and what is left of the page.
    pub(super) fn into_sorted(mut self) -> (Page, Vec<Fault>) {
        self.found.sort_by_key(|d| (d.at.start, d.at.end));
        if self.more {
            let end = self.page.text.len();
            self.found.push(Draft::error(
                "too-many",
                end..end,
                format!("and more: these are the first {MOST_FAULTS}"),
            ));
        }
        let faults = self
            .found
            .into_iter()
            .map(|d| self.page.locate(d))
            .collect();
        (self.page, faults)
    }
}

/// A message that quotes the file may quote a megabyte of it.
fn clipped(mut message: String) -> String {
    const MOST: usize = 1000;
    if message.len() > MOST {
        message.truncate(message.floor_char_boundary(MOST));
        message.push('…');
    }
    message
}

/// The candidate most like `word`, if one is near enough to be what was meant.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer words are not typing mistakes, and the distance is quadratic.
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|c| c.len() <= 64)
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|&(distance, c)| distance <= word.len().max(c.len()).div_ceil(3))
        .min()
        .map(|(_, c)| c)
}

/// "defined are `a`, `b`" with at most a dozen names; empty for none.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for (i, name) in names.into_iter().enumerate() {
        if i == 16 {
            out.push_str(", …");
            break;
        }
        if i > 0 {
            out.push_str(", ");
        }
        out.push('`');
        out.push_str(name);
        out.push('`');
    }
    out
}
