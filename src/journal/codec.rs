//! Sampled and ticked events as bytes, and back, bit for bit.
//!
//! Most of what an agent records is the same series of the same sources growing
//! by small whole numbers, so names are written once and numbers as differences
//! to the value before: some 1.3 bytes for a sample of a counter. Both sides
//! keep the same tables and start with empty ones at each key frame; see
//! [the format](super) for the layout. Values that are not whole numbers are
//! kept as the bits that changed: NaN, infinities and negative zero come back as
//! they were.
//!
//! The decoder trusts nothing: bytes that no encoder wrote are `None`, never a
//! panic, and allocate no more than a small multiple of their own length.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::varint::{Bytes, put, zigzag};
use crate::guard::Event;
use crate::model::{Gap, GapKind, Moment, Outcome, Sample, Series};

const TICKED: u8 = 1;
/// A page with the same series in the same order as the source's page before.
const SCRAPED_AGAIN: u8 = 2;
/// A page with its list of series.
const SCRAPED: u8 = 3;
const PROBED: u8 = 4;
const PROBED_BADLY: u8 = 5;
const FAILED: u8 = 6;
const ANSWERED_AGAIN: u8 = 7;
const ANSWERED: u8 = 8;

/// Value tokens: even ones are whole differences. One of these is followed by
/// the changed bits of a value, or by nothing as it is the same as before.
const CHANGED_BITS: u64 = 1;
const SAME_BITS: u64 = 3;

/// Largest whole number that a double holds together with all below it.
const WHOLE: u64 = 1 << 53;

/// The value as a whole number, if that gives back the very same bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast is checked by casting back"
)]
fn whole(value: f64) -> Option<i64> {
    let n = value as i64;
    (n.unsigned_abs() <= WHOLE && (n as f64).to_bits() == value.to_bits()).then_some(n)
}

/// What each side knows of a source.
#[derive(Debug, Default)]
struct Stream {
    service: usize,
    source: String,
    /// Its series, in the order in which they were first seen.
    series: Vec<Arc<Series>>,
    /// The bits of each one's last value.
    last: Vec<u64>,
    /// The page before: indices into `series`.
    page: Vec<u32>,
}

/// What each side knows of a service.
#[derive(Debug, Default)]
struct Service {
    name: String,
    tick: u64,
}

/// What both sides know.
#[derive(Debug, Default)]
struct Tables {
    services: Vec<Service>,
    streams: Vec<Stream>,
    at: u64,
    wall_ahead_ms: i64,
}

/// Writes events.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    tables: Tables,
    services: FxHashMap<String, usize>,
    /// By service, then source.
    streams: FxHashMap<usize, FxHashMap<String, usize>>,
    /// By stream, then series.
    series: Vec<FxHashMap<Arc<Series>, u32>>,
    named: usize,
}

/// Whether the samples log is the place for this event.
pub(crate) const fn is_sample(event: &Event) -> bool {
    matches!(event, Event::Sampled { .. } | Event::Ticked { .. })
}

impl Encoder {
    /// How many series it knows: what its memory grows with.
    pub(crate) fn series(&self) -> usize {
        self.named
    }

    /// Appends an event. Those that are no samples ([`is_sample`]) do not
    /// belong here; nothing is appended for them.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, at: Moment, event: &Event) {
        match event {
            Event::Ticked {
                service,
                tick,
                wall_ahead_ms,
            } => {
                out.push(TICKED);
                self.at(out, at);
                let service = self.service(out, service);
                self.tick(out, service, *tick);
                let moved = wall_ahead_ms.wrapping_sub(self.tables.wall_ahead_ms);
                put(out, zigzag(moved));
                self.tables.wall_ahead_ms = *wall_ahead_ms;
            }
            Event::Sampled {
                service,
                source,
                tick,
                outcome,
            } => {
                let kind = out.len();
                out.push(match outcome {
                    Outcome::Scraped(_) => SCRAPED,
                    Outcome::Answered { .. } => ANSWERED,
                    Outcome::Probed { fault: None, .. } => PROBED,
                    Outcome::Probed { .. } => PROBED_BADLY,
                    Outcome::Failed(_) => FAILED,
                });
                self.at(out, at);
                let stream = self.stream(out, service, source);
                self.tick(out, self.tables.streams[stream].service, *tick);
                match outcome {
                    Outcome::Scraped(samples) => {
                        if self.page(out, stream, samples) {
                            out[kind] = SCRAPED_AGAIN;
                        }
                        self.tables.streams[stream].put_values(out, samples);
                    }
                    Outcome::Answered { samples, faults } => {
                        if self.page(out, stream, samples) {
                            out[kind] = ANSWERED_AGAIN;
                        }
                        self.tables.streams[stream].put_values(out, samples);
                        put(out, faults.len() as u64);
                        for (signal, gap) in faults {
                            put_text(out, signal);
                            put_gap(out, gap);
                        }
                    }
                    Outcome::Probed { latency, fault } => {
                        put(out, latency.as_secs());
                        put(out, u64::from(latency.subsec_nanos()));
                        if let Some(gap) = fault {
                            put_gap(out, gap);
                        }
                    }
                    Outcome::Failed(gap) => put_gap(out, gap),
                }
            }
            _ => {}
        }
    }

    fn at(&mut self, out: &mut Vec<u8>, at: Moment) {
        put_moment(out, &mut self.tables.at, at);
    }

    fn tick(&mut self, out: &mut Vec<u8>, service: usize, tick: Moment) {
        put_moment(out, &mut self.tables.services[service].tick, tick);
    }

    fn service(&mut self, out: &mut Vec<u8>, name: &str) -> usize {
        if let Some(&id) = self.services.get(name) {
            put(out, id as u64);
            return id;
        }
        let id = self.tables.services.len();
        put(out, id as u64);
        put_text(out, name);
        self.services.insert(name.to_owned(), id);
        self.tables.services.push(Service {
            name: name.to_owned(),
            tick: 0,
        });
        id
    }

    fn stream(&mut self, out: &mut Vec<u8>, service: &str, source: &str) -> usize {
        let known = self
            .services
            .get(service)
            .and_then(|id| self.streams.get(id)?.get(source));
        if let Some(&id) = known {
            put(out, id as u64);
            return id;
        }
        let id = self.tables.streams.len();
        put(out, id as u64);
        let service = self.service(out, service);
        put_text(out, source);
        self.streams
            .entry(service)
            .or_default()
            .insert(source.to_owned(), id);
        self.series.push(FxHashMap::default());
        self.tables.streams.push(Stream {
            service,
            source: source.to_owned(),
            ..Stream::default()
        });
        id
    }

    /// Writes which series a page has, unless they are those of the page
    /// before; returns whether they are.
    fn page(&mut self, out: &mut Vec<u8>, stream: usize, samples: &[Sample]) -> bool {
        let known = &mut self.tables.streams[stream];
        if known.page.len() == samples.len()
            && known.page.iter().zip(samples).all(|(&id, sample)| {
                let before = &known.series[id as usize];
                Arc::ptr_eq(before, &sample.series) || *before == sample.series
            })
        {
            return true;
        }
        put(out, samples.len() as u64);
        known.page.clear();
        for Sample { series, .. } in samples {
            let ids = &mut self.series[stream];
            let id = ids.get(series).copied().unwrap_or_else(|| {
                let id = u32::try_from(known.series.len()).unwrap_or(u32::MAX);
                ids.insert(Arc::clone(series), id);
                id
            });
            put(out, u64::from(id));
            if id as usize == known.series.len() {
                put_series(out, series);
                known.series.push(Arc::clone(series));
                known.last.push(0);
                self.named += 1;
            }
            known.page.push(id);
        }
        false
    }
}

impl Stream {
    fn put_values(&mut self, out: &mut Vec<u8>, samples: &[Sample]) {
        for (&id, sample) in self.page.iter().zip(samples) {
            let last = &mut self.last[id as usize];
            let bits = sample.value.to_bits();
            let before = whole(f64::from_bits(*last));
            match whole(sample.value) {
                // Twice 2^53 at most: the shift loses nothing.
                Some(n) => put(out, zigzag(n - before.unwrap_or(0)) << 1),
                None if bits == *last => put(out, SAME_BITS),
                None => {
                    put(out, CHANGED_BITS);
                    let changed = bits ^ *last;
                    let front = changed.leading_zeros() as usize / 8;
                    let back = changed.trailing_zeros() as usize / 8;
                    // Below 8 each, as some bit differs.
                    out.push(u8::try_from(front << 4 | back).unwrap_or_default());
                    out.extend_from_slice(&changed.to_be_bytes()[front..8 - back]);
                }
            }
            *last = bits;
        }
    }

    fn values(&mut self, bytes: &mut Bytes<'_>) -> Option<Vec<Sample>> {
        let mut samples = Vec::with_capacity(self.page.len());
        for &id in &self.page {
            let last = &mut self.last[id as usize];
            match bytes.varint()? {
                SAME_BITS => {}
                CHANGED_BITS => {
                    let shape = bytes.byte()?;
                    let (front, back) = (usize::from(shape >> 4), usize::from(shape & 15));
                    let len = 8_usize.checked_sub(front + back)?;
                    let mut changed = [0; 8];
                    changed[front..front + len].copy_from_slice(bytes.take(len)?);
                    *last ^= u64::from_be_bytes(changed);
                }
                token if token & 1 == 0 => {
                    let before = whole(f64::from_bits(*last)).unwrap_or(0);
                    let n = before.checked_add(super::varint::unzigzag(token >> 1))?;
                    if n.unsigned_abs() > WHOLE {
                        return None;
                    }
                    let value = n as f64;
                    *last = value.to_bits();
                }
                _ => return None,
            }
            samples.push(Sample {
                series: Arc::clone(&self.series[id as usize]),
                value: f64::from_bits(*last),
            });
        }
        Some(samples)
    }
}

/// Reads events.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    tables: Tables,
}

impl Decoder {
    /// The next event and when it arrived; `None` if these are not the bytes of
    /// one, after which the tables are of no use.
    pub(crate) fn take(&mut self, bytes: &mut Bytes<'_>) -> Option<(Moment, Event)> {
        let kind = bytes.byte()?;
        let at = take_moment(bytes, &mut self.tables.at)?;
        if kind == TICKED {
            let service = self.service(bytes)?;
            let service = &mut self.tables.services[service];
            let tick = take_moment(bytes, &mut service.tick)?;
            let wall = &mut self.tables.wall_ahead_ms;
            *wall = wall.wrapping_add(bytes.signed()?);
            let event = Event::Ticked {
                service: service.name.clone(),
                tick,
                wall_ahead_ms: *wall,
            };
            return Some((at, event));
        }
        let stream = self.stream(bytes)?;
        let Tables {
            services, streams, ..
        } = &mut self.tables;
        let stream = &mut streams[stream];
        let service = &mut services[stream.service];
        let tick = take_moment(bytes, &mut service.tick)?;
        let outcome = match kind {
            SCRAPED | SCRAPED_AGAIN => {
                if kind == SCRAPED {
                    stream.take_page(bytes)?;
                }
                Outcome::Scraped(stream.values(bytes)?)
            }
            ANSWERED | ANSWERED_AGAIN => {
                if kind == ANSWERED {
                    stream.take_page(bytes)?;
                }
                let samples = stream.values(bytes)?;
                let mut faults = BTreeMap::new();
                for _ in 0..bytes.varint()? {
                    let signal = bytes.text()?.to_owned();
                    faults.insert(signal, take_gap(bytes)?);
                }
                Outcome::Answered { samples, faults }
            }
            PROBED | PROBED_BADLY => {
                let secs = bytes.varint()?;
                let nanos = u32::try_from(bytes.varint()?).ok()?;
                if nanos >= 1_000_000_000 {
                    return None;
                }
                Outcome::Probed {
                    latency: Duration::new(secs, nanos),
                    fault: if kind == PROBED {
                        None
                    } else {
                        Some(take_gap(bytes)?)
                    },
                }
            }
            FAILED => Outcome::Failed(take_gap(bytes)?),
            _ => return None,
        };
        let event = Event::Sampled {
            service: service.name.clone(),
            source: stream.source.clone(),
            tick,
            outcome,
        };
        Some((at, event))
    }

    fn service(&mut self, bytes: &mut Bytes<'_>) -> Option<usize> {
        let id = usize::try_from(bytes.varint()?).ok()?;
        let known = self.tables.services.len();
        if id == known {
            self.tables.services.push(Service {
                name: bytes.text()?.to_owned(),
                tick: 0,
            });
        }
        (id <= known).then_some(id)
    }

    fn stream(&mut self, bytes: &mut Bytes<'_>) -> Option<usize> {
        let id = usize::try_from(bytes.varint()?).ok()?;
        let known = self.tables.streams.len();
        if id == known {
            let service = self.service(bytes)?;
            self.tables.streams.push(Stream {
                service,
                source: bytes.text()?.to_owned(),
                ..Stream::default()
            });
        }
        (id <= known).then_some(id)
    }
}

impl Stream {
    fn take_page(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let count = bytes.count()?;
        self.page.clear();
        for _ in 0..count {
            let id = u32::try_from(bytes.varint()?).ok()?;
            let known = self.series.len();
            if id as usize == known {
                self.series.push(Arc::new(take_series(bytes)?));
                self.last.push(0);
            } else if id as usize > known {
                return None;
            }
            self.page.push(id);
        }
        Some(())
    }
}

/// Differences wrap: any two moments have one.
fn put_moment(out: &mut Vec<u8>, last: &mut u64, moment: Moment) {
    let now = moment.as_millis();
    put(out, zigzag(now.wrapping_sub(*last).cast_signed()));
    *last = now;
}

fn take_moment(bytes: &mut Bytes<'_>, last: &mut u64) -> Option<Moment> {
    *last = last.wrapping_add(bytes.signed()?.cast_unsigned());
    Some(Moment::from_millis(*last))
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_series(out: &mut Vec<u8>, series: &Series) {
    put_text(out, series.name());
    put(out, series.labels().len() as u64);
    for (name, value) in series.labels() {
        put_text(out, name);
        put_text(out, value);
    }
}

fn take_series(bytes: &mut Bytes<'_>) -> Option<Series> {
    let name = bytes.text()?;
    let count = bytes.count()?;
    let mut labels = Vec::with_capacity(count);
    for _ in 0..count {
        labels.push((bytes.text()?.to_owned(), bytes.text()?.to_owned()));
    }
    Some(Series::new(name, labels))
}

/// The number that stands for a kind in the file. New kinds get new numbers.
const fn kind_number(kind: GapKind) -> u8 {
    match kind {
        GapKind::Refused => 1,
        GapKind::TimedOut => 2,
        GapKind::Reset => 3,
        GapKind::Tls => 4,
        GapKind::Status => 5,
        GapKind::Redirect => 6,
        GapKind::Malformed => 7,
        GapKind::Truncated => 8,
        GapKind::TooLarge => 9,
        GapKind::Expectation => 10,
        GapKind::NoRoute => 11,
        GapKind::Unresolved => 12,
        GapKind::Own => 13,
        GapKind::Other => 14,
        GapKind::Unknown => 15,
    }
}

const fn numbered_kind(number: u8) -> Option<GapKind> {
    Some(match number {
        1 => GapKind::Refused,
        2 => GapKind::TimedOut,
        3 => GapKind::Reset,
        4 => GapKind::Tls,
        5 => GapKind::Status,
        6 => GapKind::Redirect,
        7 => GapKind::Malformed,
        8 => GapKind::Truncated,
        9 => GapKind::TooLarge,
        10 => GapKind::Expectation,
        11 => GapKind::NoRoute,
        12 => GapKind::Unresolved,
        13 => GapKind::Own,
        14 => GapKind::Other,
        15 => GapKind::Unknown,
        _ => return None,
    })
}

fn put_gap(out: &mut Vec<u8>, gap: &Gap) {
    out.push(kind_number(gap.kind));
    put_text(out, &gap.detail);
}

fn take_gap(bytes: &mut Bytes<'_>) -> Option<Gap> {
    let kind = numbered_kind(bytes.byte()?)?;
    Some(Gap::new(kind, bytes.text()?))
}
