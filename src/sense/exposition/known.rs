//! The table of series that a source is known to have.
//!
//! A page lists nearly the same series in the same order every time, so the
//! next line is predicted: the entry after the one that matched last, or where
//! that one came twice, as in a recording, the same once more. A series
//! that no signal selects costs twelve bytes here and, on the page, one hash of
//! its bytes; the end of its labels need not be looked for, because the entry
//! knows their length. A selected one is kept as bytes and compared. Where the
//! prediction fails an index from hash to entry answers; it is made when it is
//! first asked, and given up again after a page on which nobody asked.
//!
//! An unselected series is known by 64 bits only. Were a selected one never
//! seen before to collide with it, it would be missed (the odds are 6 in 10^15
//! for each new series among 100,000). The other way round cannot happen:
//! nothing counts as selected that was not compared byte by byte.
//!
//! The table is bounded. Past [`MAX_KNOWN`] entries, unselected series are no
//! longer remembered; they cost a scan of their labels on every page instead.
//! When a page shows the table to be out of order, or mostly dead, the next
//! page's order is written down and the table is laid out anew.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::hash::Key;
use super::line::Fault;
use crate::model::Series;

/// Most entries: a hundred thousand series fit. A full table is 1.2 MB of
/// entries and 0.5 MB of index, so that a page of endless new names costs less
/// than two megabytes with the buffers it comes through.
pub(super) const MAX_KNOWN: usize = 100 << 10;

/// Most selected series of one source, and most bytes of their text. Beyond
/// this a selector is a mistake, and the page is refused rather than cut.
const MAX_SELECTED: usize = 1 << 16;
const MAX_SELECTED_BYTES: usize = 16 << 20;

/// The bit of a tag that marks a selected entry.
const SELECTED: u32 = 1 << 31;

/// An empty place of the index.
const EMPTY: u32 = u32::MAX;

/// One known series text.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The hash, in halves so that an entry is 12 bytes rather than 16.
    hash: [u32; 2],
    /// The length of an unselected series text; or [`SELECTED`] and the index
    /// of a [`Text`].
    tag: u32,
}

impl Entry {
    #[inline]
    fn hash(self) -> u64 {
        u64::from(self.hash[0]) | u64::from(self.hash[1]) << 32
    }

    #[inline]
    fn text(self) -> Option<usize> {
        (self.tag & SELECTED != 0).then_some((self.tag & !SELECTED) as usize)
    }
}

/// The bytes of a selected series as they stand on the page. Two texts can be
/// one series, with its labels in another order.
#[derive(Clone, Copy, Debug)]
struct Text {
    start: u32,
    len: u32,
    slot: u32,
}

impl Text {
    #[inline]
    fn range(self) -> Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }
}

/// What the table says of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// No signal selects it.
    Unselected,
    /// It is the series of this slot.
    Selected(u32),
}

/// Every series that a source is known to have.
#[derive(Debug)]
pub(super) struct Table {
    key: Key,
    entries: Vec<Entry>,
    /// Open addressing with linear probing, a power of two long; or nothing,
    /// while every prediction comes true.
    index: Vec<u32>,
    texts: Vec<Text>,
    bytes: Vec<u8>,
    slots: Vec<Arc<Series>>,
    by_series: HashMap<Arc<Series>, u32>,
    /// The entry that the next line is expected to be.
    next: usize,
    /// The entry that matched last; none is [`usize::MAX`].
    last: usize,
    /// Lines of this page with a series, and those of them whose series was
    /// known but not the predicted one.
    lines: usize,
    surprises: usize,
    /// Whether this page had a series that was not known.
    grew: bool,
    /// The entries of this page in its order, while that is written down.
    order: Option<Vec<u32>>,
    /// Whether the next page's order is to be written down.
    disordered: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            key: Key::random(),
            entries: Vec::new(),
            index: Vec::new(),
            texts: Vec::new(),
            bytes: Vec::new(),
            slots: Vec::new(),
            by_series: HashMap::new(),
            next: 0,
            last: usize::MAX,
            lines: 0,
            surprises: 0,
            grew: false,
            order: None,
            disordered: false,
        }
    }

    /// The series of a slot.
    #[inline]
    pub(super) fn series(&self, slot: u32) -> &Arc<Series> {
        &self.slots[slot as usize]
    }

    /// A page begins.
    pub(super) fn begin(&mut self) {
        self.next = 0;
        self.last = usize::MAX;
        self.lines = 0;
        self.surprises = 0;
        self.grew = false;
        self.order = self
            .disordered
            .then(|| Vec::with_capacity(self.entries.len()));
    }

    /// A page came whole. Decides whether the table still is a good prediction.
    pub(super) fn end(&mut self) {
        if let Some(order) = self.order.take() {
            self.lay_out(&order);
            self.disordered = false;
        } else {
            let some = self.lines / 8 + 8;
            let dead = self.entries.len().saturating_sub(self.lines);
            let full = self.entries.len() == MAX_KNOWN;
            self.disordered =
                self.surprises > some || dead > self.lines + 64 || (full && dead > some);
            if self.surprises == 0 && !self.grew {
                self.index = Vec::new();
            }
        }
    }

    /// Whether `rest`, from the start of a line, begins with the expected
    /// series, and its length. Looks no further than one byte past the space
    /// after it.
    #[inline]
    pub(super) fn predict(&self, rest: &[u8]) -> Option<(Known, usize)> {
        let entry = *self.entries.get(self.next)?;
        match entry.text() {
            None => {
                let len = entry.tag as usize;
                let head = separated(rest, len)?;
                (self.key.hash(head) == entry.hash()).then_some((Known::Unselected, len))
            }
            Some(text) => {
                let text = self.texts[text];
                let raw = &self.bytes[text.range()];
                (separated(rest, raw.len())? == raw)
                    .then_some((Known::Selected(text.slot), raw.len()))
            }
        }
    }

    /// The predicted line was there, whole.
    #[inline]
    pub(super) fn confirm(&mut self) {
        self.saw(self.next);
    }

    /// Looks up a series text that was not the expected one.
    pub(super) fn find(&mut self, raw: &[u8]) -> Option<Known> {
        if self.index.is_empty() && !self.entries.is_empty() {
            self.build_index();
        }
        let place = self.place(self.key.hash(raw), raw)?;
        self.surprises += 1;
        self.saw(place);
        Some(match self.entries[place].text() {
            None => Known::Unselected,
            Some(text) => Known::Selected(self.texts[text].slot),
        })
    }

    /// Remembers a series text that no signal selects, while there is room.
    pub(super) fn remember(&mut self, raw: &[u8]) {
        if self.entries.len() < MAX_KNOWN {
            // A line is at most a mebibyte long.
            let tag = u32::try_from(raw.len()).unwrap_or(0) & !SELECTED;
            self.push(raw, tag);
        } else {
            self.lines += 1;
        }
    }

    /// Remembers a selected series text; its slot.
    pub(super) fn select(&mut self, raw: &[u8], series: Series) -> Result<u32, Fault> {
        let series = Arc::new(series);
        let slot = if let Some(&slot) = self.by_series.get(&series) {
            slot
        } else {
            if self.slots.len() == MAX_SELECTED {
                return Err(Fault::new(format!(
                    "more than {MAX_SELECTED} series are selected"
                )));
            }
            let slot = count(self.slots.len());
            self.slots.push(Arc::clone(&series));
            self.by_series.insert(series, slot);
            slot
        };
        if self.texts.len() == 2 * MAX_SELECTED || self.bytes.len() + raw.len() > MAX_SELECTED_BYTES
        {
            return Err(Fault::new("the selected series are too many or too long"));
        }
        let tag = SELECTED | count(self.texts.len());
        self.texts.push(Text {
            start: count(self.bytes.len()),
            len: count(raw.len()),
            slot,
        });
        self.bytes.extend_from_slice(raw);
        self.push(raw, tag);
        Ok(slot)
    }

    #[inline]
    fn saw(&mut self, entry: usize) {
        self.lines += 1;
        self.next = if entry == self.last { entry } else { entry + 1 };
        self.last = entry;
        if let Some(order) = &mut self.order {
            order.push(count(entry));
        }
    }

    fn push(&mut self, raw: &[u8], tag: u32) {
        self.grew = true;
        let hash = self.key.hash(raw);
        self.insert(Entry {
            #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
            hash: [hash as u32, (hash >> 32) as u32],
            tag,
        });
        self.saw(self.entries.len() - 1);
    }

    fn insert(&mut self, entry: Entry) {
        if !self.has_room(self.index.len()) {
            self.build_index();
        }
        Self::enter(&mut self.index, entry.hash(), self.entries.len());
        self.entries.push(entry);
    }

    /// Whether an index of this length takes one entry more.
    fn has_room(&self, len: usize) -> bool {
        (self.entries.len() + 1) * 8 <= len * 7
    }

    /// Makes the index anew, as long as it has to be.
    fn build_index(&mut self) {
        let mut len = 64;
        while !self.has_room(len) {
            len *= 2;
        }
        // Both at once would be the peak of a page of endless new names.
        self.index = Vec::new();
        self.index.resize(len, EMPTY);
        for place in 0..self.entries.len() {
            Self::enter(&mut self.index, self.entries[place].hash(), place);
        }
    }

    fn enter(index: &mut [u32], hash: u64, place: usize) {
        let mask = index.len() - 1;
        let mut at = start(hash, mask);
        while index[at] != EMPTY {
            at = (at + 1) & mask;
        }
        index[at] = count(place);
    }

    /// The entry of a series text.
    fn place(&self, hash: u64, raw: &[u8]) -> Option<usize> {
        let mask = self.index.len().checked_sub(1)?;
        let mut at = start(hash, mask);
        loop {
            let place = self.index[at];
            if place == EMPTY {
                return None;
            }
            let entry = self.entries[place as usize];
            if entry.hash() == hash {
                let same = match entry.text() {
                    None => entry.tag as usize == raw.len(),
                    Some(text) => &self.bytes[self.texts[text].range()] == raw,
                };
                if same {
                    return Some(place as usize);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Keeps the entries of one page in its order, and nothing else.
    fn lay_out(&mut self, order: &[u32]) {
        let old = std::mem::replace(self, Self::new());
        self.key = old.key;
        let mut taken = vec![false; old.entries.len()];
        let mut moved = vec![EMPTY; old.slots.len()];
        self.entries.reserve_exact(order.len());
        for &place in order {
            if std::mem::replace(&mut taken[place as usize], true) {
                continue;
            }
            let mut entry = old.entries[place as usize];
            if let Some(text) = entry.text() {
                let text = old.texts[text];
                let slot = &mut moved[text.slot as usize];
                if *slot == EMPTY {
                    *slot = count(self.slots.len());
                    let series = &old.slots[text.slot as usize];
                    self.slots.push(Arc::clone(series));
                    self.by_series.insert(Arc::clone(series), *slot);
                }
                entry.tag = SELECTED | count(self.texts.len());
                self.texts.push(Text {
                    start: count(self.bytes.len()),
                    len: text.len,
                    slot: *slot,
                });
                self.bytes.extend_from_slice(&old.bytes[text.range()]);
            }
            self.insert(entry);
        }
    }
}

/// The first `len` bytes, if one space and then the start of a value follow.
/// A brace or a second space could still belong to the series: `a {b="c"} 1`.
#[inline]
fn separated(rest: &[u8], len: usize) -> Option<&[u8]> {
    match *rest.get(len..len + 2)? {
        [b' ', b' ' | b'\t' | b'{'] => None,
        [b' ', _] => Some(&rest[..len]),
        _ => None,
    }
}

/// Where the probing for a hash starts.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the mask keeps fewer bits still"
)]
fn start(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// A place or length in 32 bits. Everything counted here is bounded far below.
#[inline]
fn count(n: usize) -> u32 {
    debug_assert!(n < EMPTY as usize, "the table's bounds are below 2^32");
    u32::try_from(n).unwrap_or(EMPTY)
}
