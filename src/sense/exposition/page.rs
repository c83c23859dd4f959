//! One page as it streams in, and what is remembered from page to page.

use std::sync::Arc;

use memchr::memchr;

use super::known::{Known, Table};
use super::line::{self, Dialect, Fault, Line};
use crate::model::{Gap, GapKind, Sample, Selector, Series};

/// Longest line in bytes, its line feed not counted. Prometheus has no limit;
/// the longest that exporters write are a few kilobytes, and this is what a
/// hostile line costs in memory.
pub const MAX_LINE: usize = 1 << 20;

/// How much of the buffer for a line that straddles chunks is kept between
/// pages.
const KEPT_BUFFER: usize = 4096;

/// What is read of a source's pages, and what is known from the pages before.
#[derive(Debug)]
pub struct Exposition {
    wanted: Wanted,
    table: Table,
    /// The start of a line whose end has not come yet.
    carry: Vec<u8>,
    /// Samples on the last page, to make room for as many.
    last: usize,
}

impl Exposition {
    /// Reads the series that at least one of these selects.
    #[must_use]
    pub fn new(selectors: Vec<Selector>) -> Self {
        Self::reading(Wanted::Selected(selectors))
    }

    /// Reads every series: for recorded samples.
    #[must_use]
    pub fn everything() -> Self {
        Self::reading(Wanted::Everything)
    }

    fn reading(wanted: Wanted) -> Self {
        Self {
            wanted,
            table: Table::new(),
            carry: Vec::new(),
            last: 0,
        }
    }

    /// Begins a page of at most `max_body` bytes. A page before that was not
    /// finished is forgotten.
    pub fn page(&mut self, dialect: Dialect, max_body: u64) -> Page<'_> {
        self.table.begin();
        self.carry.clear();
        self.carry.shrink_to(KEPT_BUFFER);
        Page {
            samples: Vec::with_capacity(self.last),
            source: self,
            dialect,
            room: max_body,
            max_body,
            line: 0,
            ended: false,
            seen: Vec::new(),
            fault: None,
            passed: None,
        }
    }
}

/// Lines that were passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// How many.
    pub lines: u64,
    /// The first of them, with its number from 1 and what is wrong with it.
    pub first: Option<(u64, String)>,
}

/// How the end of the body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length, by chunks, by a checksum: the end is certain, and a last
    /// line without its line feed is whole.
    Announced,
    /// By the end of the connection alone: a last line without its line feed
    /// may have been cut.
    Closed,
}

/// A selected sample as it is found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Which series.
    pub series: &'a Arc<Series>,
    /// A small number that stands for the series on this page.
    pub slot: u32,
    /// Its value.
    pub value: f64,
    /// Unix time in milliseconds, where the line has a timestamp.
    pub timestamp_ms: Option<i64>,
}

/// A page that is streaming in.
///
/// Any split into chunks gives the same answer. After an error the page is
/// spoilt, and everything else gives the same error.
#[derive(Debug)]
pub struct Page<'a> {
    source: &'a mut Exposition,
    dialect: Dialect,
    room: u64,
    max_body: u64,
    /// Lines read so far.
    line: u64,
    /// Whether `# EOF` has come.
    ended: bool,
    samples: Vec<Sample>,
    /// Bit set of the slots that have a sample on this page.
    seen: Vec<u64>,
    fault: Option<Gap>,
    /// Bad lines do not spoil the page, but are counted here.
    passed: Option<PassedOver>,
}

impl Page<'_> {
    /// Passes bad lines over and goes on with the next, and takes text behind
    /// an `# EOF` for another page of the same: for files that were kept, and
    /// not for a page that somebody says just now.
    #[must_use]
    pub fn passing_over(mut self) -> Self {
        self.passed = Some(PassedOver::default());
        self
    }

    /// What was passed over so far.
    #[must_use]
    pub fn passed_over(&self) -> PassedOver {
        self.passed.clone().unwrap_or_default()
    }

    /// Whether the last line was `# EOF`.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// How many lines were read.
    #[must_use]
    pub const fn lines_read(&self) -> u64 {
        self.line
    }

    /// Takes the next bytes of the body and keeps the selected samples.
    ///
    /// # Errors
    ///
    /// [`GapKind::Malformed`] with the line's number where this is no
    /// exposition, or where a selected series stands twice: which of the two
    /// values holds cannot be known. [`GapKind::TooLarge`] past `max_body`,
    /// [`MAX_LINE`], or too many selected series.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Gap> {
        let mut samples = std::mem::take(&mut self.samples);
        let mut seen = std::mem::take(&mut self.seen);
        let fed = self.feed_each(chunk, |found| keep(&mut samples, &mut seen, found));
        self.samples = samples;
        self.seen = seen;
        fed
    }

    /// The body has ended; the page's samples in its order.
    ///
    /// # Errors
    ///
    /// As [`Page::feed`]; and [`GapKind::Truncated`] where `# EOF` is missing
    /// from an `OpenMetrics` page, or a last line may have been cut.
    pub fn finish(mut self, framing: Framing) -> Result<Vec<Sample>, Gap> {
        let mut samples = std::mem::take(&mut self.samples);
        let mut seen = std::mem::take(&mut self.seen);
        self.finish_each(framing, |found| keep(&mut samples, &mut seen, found))?;
        self.source.last = samples.len();
        Ok(samples)
    }

    /// Takes the next bytes of the body and hands the selected samples out one
    /// by one; series that stand twice are handed out twice.
    ///
    /// # Errors
    ///
    /// As [`Page::feed`], and what `each` refuses, as [`GapKind::Malformed`].
    pub fn feed_each(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(Found<'_>) -> Result<(), Fault>,
    ) -> Result<(), Gap> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let fed = self.take(chunk, &mut each);
        if let Err(fault) = &fed {
            self.fault = Some(fault.clone());
        }
        fed
    }

    /// The body of a page read by [`Page::feed_each`] has ended.
    ///
    /// # Errors
    ///
    /// As [`Page::finish`].
    pub fn finish_each(
        &mut self,
        framing: Framing,
        mut each: impl FnMut(Found<'_>) -> Result<(), Fault>,
    ) -> Result<(), Gap> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let last = std::mem::take(&mut self.source.carry);
        if !last.is_empty() {
            if framing == Framing::Closed && self.dialect == Dialect::Text {
                return Err(Gap::new(
                    GapKind::Truncated,
                    format!(
                        "the connection closed in the middle of line {}",
                        self.line + 1
                    ),
                ));
            }
            self.slow_line(&last, &mut each)?;
        }
        self.source.carry = last;
        if self.dialect == Dialect::OpenMetrics && !self.ended {
            return Err(Gap::new(
                GapKind::Truncated,
                "the page has no `# EOF` at its end",
            ));
        }
        self.source.table.end();
        Ok(())
    }

    fn take(
        &mut self,
        chunk: &[u8],
        each: &mut impl FnMut(Found<'_>) -> Result<(), Fault>,
    ) -> Result<(), Gap> {
        let allowed = usize::try_from(self.room).map_or(chunk.len(), |room| room.min(chunk.len()));
        self.lines(&chunk[..allowed], each)?;
        if allowed < chunk.len() {
            return Err(Gap::new(
                GapKind::TooLarge,
                format!("the body is larger than {} bytes", self.max_body),
            ));
        }
        self.room -= allowed as u64;
        Ok(())
    }

    fn lines(
        &mut self,
        chunk: &[u8],
        each: &mut impl FnMut(Found<'_>) -> Result<(), Fault>,
    ) -> Result<(), Gap> {
        let mut rest = chunk;
        if !self.source.carry.is_empty() {
            let end = memchr(b'\n', rest);
            let part = &rest[..end.unwrap_or(rest.len())];
            if self.source.carry.len() + part.len() > MAX_LINE {
                return Err(self.too_long());
            }
            self.source.carry.extend_from_slice(part);
            let Some(end) = end else {
                return Ok(());
            };
            rest = &rest[end + 1..];
            let mut line = std::mem::take(&mut self.source.carry);
            line.push(b'\n');
            let read = self.line_or_pass(&line, each);
            line.clear();
            self.source.carry = line;
            read?;
        }
        while !rest.is_empty() {
            let used = self.line_or_pass(rest, each)?;
            if used == 0 {
                if rest.len() > MAX_LINE {
                    return Err(self.too_long());
                }
                self.source.carry.extend_from_slice(rest);
                break;
            }
            rest = &rest[used..];
        }
        Ok(())
    }

    /// As [`Self::line`]; a bad line may be passed over.
    #[inline]
    fn line_or_pass(
        &mut self,
        rest: &[u8],
        each: &mut impl FnMut(Found<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Gap> {
        match self.line(rest, each) {
            Err(fault) => self.pass_over(fault, rest),
            read => read,
        }
    }

    #[cold]
    fn pass_over(&mut self, fault: Gap, rest: &[u8]) -> Result<usize, Gap> {
        let number = self.line + 1;
        match (&mut self.passed, memchr(b'\n', rest)) {
            (Some(passed), Some(end)) if fault.kind == GapKind::Malformed => {
                passed.lines += 1;
                let why = fault.detail.strip_prefix(&malformed_at(number));
                let why = why.unwrap_or(&fault.detail);
                passed.first.get_or_insert_with(|| (number, why.to_owned()));
                self.line = number;
                Ok(end + 1)
            }
            _ => Err(fault),
        }
    }

    /// Reads the line at the start of `rest`; how long it was with its line
    /// feed, or 0 if it does not end in `rest`.
    #[inline]
    fn line(
        &mut self,
        rest: &[u8],
        each: &mut impl FnMut(Found<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Gap> {
        let predicted = if self.ended {
            None
        } else {
            self.source.table.predict(rest)
        };
        let Some((known, series)) = predicted else {
            let Some(end) = memchr(b'\n', rest) else {
                return Ok(0);
            };
            if end > MAX_LINE {
                return Err(self.too_long());
            }
            self.slow_line(&rest[..end], each)?;
            return Ok(end + 1);
        };
        let after = &rest[series + 1..];
        let end = match known {
            Known::Unselected => memchr(b'\n', after),
            Known::Selected(slot) => match line::plain_tail(after, self.dialect) {
                Some((value, at, len)) => {
                    self.found(slot, value, at, each)?;
                    Some(len)
                }
                None => match memchr(b'\n', after) {
                    None => None,
                    Some(end) => {
                        let text = &after[..end];
                        let text = text.strip_suffix(b"\r").unwrap_or(text);
                        let (value, at) = line::tail(text, self.dialect)
                            .map_err(|fault| self.malformed(&fault))?;
                        self.found(slot, value, at, each)?;
                        Some(end)
                    }
                },
            },
        };
        let Some(end) = end else {
            return Ok(0);
        };
        if series + 1 + end > MAX_LINE {
            return Err(self.too_long());
        }
        self.source.table.confirm();
        self.line += 1;
        Ok(series + end + 2)
    }

    /// Reads a line that was not predicted, given without its line feed.
    fn slow_line(
        &mut self,
        text: &[u8],
        each: &mut impl FnMut(Found<'_>) -> Result<(), Fault>,
    ) -> Result<(), Gap> {
        if self.ended && self.passed.is_none() {
            return Err(self.malformed(&Fault::new("text after `# EOF`")));
        }
        self.ended &= text.trim_ascii().is_empty();
        let read = line::parse_line(text, self.dialect);
        match read.map_err(|fault| self.malformed(&fault))? {
            Line::Blank | Line::Comment => {}
            Line::Eof => self.ended = true,
            Line::Sample {
                series,
                value,
                timestamp_ms,
            } => {
                let known = match self.source.table.find(series) {
                    Some(known) => known,
                    None => self.meet(series)?,
                };
                if let Known::Selected(slot) = known {
                    self.found(slot, value, timestamp_ms, each)?;
                }
            }
        }
        self.line += 1;
        Ok(())
    }

    /// A series that was never seen: the one time that it is split into labels
    /// and matched.
    fn meet(&mut self, raw: &[u8]) -> Result<Known, Gap> {
        if self.source.wanted.can_select(raw) {
            let series = line::series(raw).map_err(|fault| self.malformed(&fault))?;
            if self.source.wanted.selects(&series) {
                let selected = self.source.table.select(raw, series);
                return selected
                    .map(Known::Selected)
                    .map_err(|fault| Gap::new(GapKind::TooLarge, fault.to_string()));
            }
        }
        self.source.table.remember(raw);
        Ok(Known::Unselected)
    }

    #[inline]
    fn found(
        &self,
        slot: u32,
        value: f64,
        timestamp_ms: Option<i64>,
        each: &mut impl FnMut(Found<'_>) -> Result<(), Fault>,
    ) -> Result<(), Gap> {
        each(Found {
            series: self.source.table.series(slot),
            slot,
            value,
            timestamp_ms,
        })
        .map_err(|fault| self.malformed(&fault))
    }

    #[cold]
    fn malformed(&self, fault: &Fault) -> Gap {
        Gap::new(
            GapKind::Malformed,
            format!("{}{fault}", malformed_at(self.line + 1)),
        )
    }

    #[cold]
    fn too_long(&self) -> Gap {
        Gap::new(
            GapKind::TooLarge,
            format!("line {} is longer than {MAX_LINE} bytes", self.line + 1),
        )
    }
}

fn malformed_at(line: u64) -> String {
    format!("not an exposition at line {line}: ")
}

/// Keeps a sample, unless its series has one already.
#[inline]
fn keep(samples: &mut Vec<Sample>, seen: &mut Vec<u64>, found: Found<'_>) -> Result<(), Fault> {
    let (word, bit) = ((found.slot / 64) as usize, 1 << (found.slot % 64));
    if word >= seen.len() {
        seen.resize(word + 1, 0);
    }
    if seen[word] & bit != 0 {
        return Err(Fault::new(format!("{} stands twice", found.series)));
    }
    seen[word] |= bit;
    samples.push(Sample {
        series: Arc::clone(found.series),
        value: found.value,
    });
    Ok(())
}

/// What is read of a page.
#[derive(Debug)]
enum Wanted {
    Everything,
    Selected(Vec<Selector>),
}

impl Wanted {
    /// Whether any selector could select this series, from its name alone.
    fn can_select(&self, raw: &[u8]) -> bool {
        let (Self::Selected(selectors), Some(name)) = (self, line::bare_name(raw)) else {
            return true;
        };
        selectors
            .iter()
            .any(|s| s.name().is_none_or(|n| n.as_bytes() == name))
    }

    fn selects(&self, series: &Series) -> bool {
        match self {
            Self::Everything => true,
            Self::Selected(selectors) => selectors.iter().any(|s| s.matches(series)),
        }
    }
}
