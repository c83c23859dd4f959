//! Pages of counters: from scrape to scrape, what each selector's series grew.
//!
//! A counter's value says nothing; what it grew since the scrape before does.
//! Per series that is the difference, or the whole value when it fell (the
//! process restarted) or was not known (its first events are events). The
//! first scrape in which a selector is in force adds nothing: a reload must not
//! count a lifetime.
//!
//! A series is found by its place: sources hand out the same `Arc` in the same
//! order scrape after scrape, so a pointer compare answers nearly always; an
//! ordered map answers the rest. Of a series that is twice on a page the first
//! counts. A value that is not finite leaves its series absent from that page.
//!
//! The table of known series keeps those of the last page and the [`SPARE`]
//! last seen of the others, the longest unseen dropped first. A series that
//! was dropped and comes back would look new, and its lifetime like a burst of
//! errors. So once a selected series has been dropped, new ones count from
//! their second sight only: a page of that many short-lived series loses the
//! first scrape of each, and never invents an event.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::gauge::Numbers;
use super::histogram::Bounds;
use super::window::{Summary, plus};
use crate::model::{Moment, Sample, Selector, Series};

/// Series that are remembered beyond those of the last page.
const SPARE: usize = 10_000;

/// Falls that are named per selector and scrape: enough to recognise several
/// processes, few enough to keep for a whole window.
const FALLS_NAMED: usize = 16;

/// What a selected series is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Role {
    Counter,
    /// Counters with an `le` label each.
    Buckets,
    Gauge,
}

/// A selector that is in force on a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pick {
    pub(super) role: Role,
    pub(super) selector: Selector,
    /// Whether it ever matched a series.
    pub(super) matched: bool,
    /// The last scrape in which it was in force.
    pub(super) base: Option<Moment>,
    /// For buckets.
    pub(super) bounds: Bounds,
}

impl Pick {
    fn new(role: Role, selector: Selector) -> Self {
        Self {
            role,
            selector,
            matched: false,
            base: None,
            bounds: Bounds::default(),
        }
    }

    /// Where a series' growth goes: the column of a bucket, else 0. `None` when
    /// the series is not selected.
    fn tap(&mut self, series: &Series) -> Option<usize> {
        if !self.selector.matches(series) {
            return None;
        }
        match self.role {
            Role::Buckets => self.bounds.column(series.label("le")),
            Role::Counter | Role::Gauge => Some(0),
        }
    }
}

/// What one scrape brought for one selector.
#[derive(Clone, Debug, Default)]
pub(super) struct Yield {
    /// The scrape before, from which this one counts; `None` when it counts
    /// nothing.
    pub(super) since: Option<Moment>,
    /// Growth by column; a single one for a plain counter.
    pub(super) grown: Vec<f64>,
    /// Series that fell, at most [`FALLS_NAMED`].
    pub(super) fell: Vec<Arc<Series>>,
    /// For gauges: the finite values.
    pub(super) numbers: Numbers,
    /// For gauges: there was a value that is not finite.
    pub(super) not_finite: bool,
}

impl Yield {
    /// What a plain counter grew.
    pub(super) fn growth(&self) -> f64 {
        self.grown.first().copied().unwrap_or(0.0)
    }

    fn open(&mut self, pick: &Pick) {
        self.since = pick.base;
        let columns = match pick.role {
            Role::Counter => 1,
            Role::Buckets => pick.bounds.len(),
            Role::Gauge => 0,
        };
        self.grown.resize(columns, 0.0);
        self.grown.fill(0.0);
        self.fell.clear();
        self.numbers = Numbers::default();
        self.not_finite = false;
    }
}

/// A known series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    series: Arc<Series>,
    /// The last finite value.
    last: Option<f64>,
    /// The number of the page that had it last.
    seen: u64,
    /// Who selects it: pick and column.
    taps: Vec<(usize, usize)>,
}

/// What is known of the pages of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Page {
    picks: Vec<Pick>,
    slots: Vec<Slot>,
    /// Pages taken.
    pages: u64,
    /// A selected series has been dropped from the table.
    forgetful: bool,
    #[serde(skip)]
    index: Cache<BTreeMap<Arc<Series>, usize>>,
    /// The slots of the last page, in its order.
    #[serde(skip)]
    order: Cache<Vec<usize>>,
    #[serde(skip)]
    spare_order: Cache<Vec<usize>>,
    #[serde(skip)]
    yields: Cache<Vec<Yield>>,
}

impl Page {
    /// The index of a selector in this role, put in force if it is not yet.
    pub(super) fn pick(&mut self, role: Role, selector: &Selector) -> usize {
        let known = |p: &Pick| p.role == role && p.selector == *selector;
        if let Some(i) = self.picks.iter().position(known) {
            return i;
        }
        let mut pick = Pick::new(role, selector.clone());
        let i = self.picks.len();
        for slot in &mut self.slots {
            slot.taps
                .extend(pick.tap(&slot.series).map(|column| (i, column)));
        }
        self.picks.push(pick);
        i
    }

    /// Takes over what `old`, the same source under another policy, knows:
    /// every series, and of the selectors those that are still in force.
    pub(super) fn adopt(&mut self, mut old: Self) {
        for pick in &mut self.picks {
            let same = |p: &&mut Pick| p.role == pick.role && p.selector == pick.selector;
            if let Some(known) = old.picks.iter_mut().find(same) {
                pick.clone_from(known);
            }
        }
        for slot in &mut old.slots {
            slot.taps = taps(&mut self.picks, &slot.series);
        }
        self.slots = old.slots;
        self.pages = old.pages;
        self.forgetful = old.forgetful;
        self.index.clear();
        self.order.clear();
    }

    pub(super) fn known(&self, pick: usize) -> &Pick {
        &self.picks[pick]
    }

    pub(super) fn brought(&self, pick: usize) -> Option<&Yield> {
        self.yields.get(pick)
    }

    /// Takes the page of a scrape. `false` when it has nothing of what earlier
    /// pages had: such a page is neither zero errors nor all errors, and the
    /// next one counts from the one before it.
    pub(super) fn take(&mut self, at: Moment, samples: &[Sample]) -> bool {
        let slots = self.locate(samples);
        let selected = slots.iter().any(|&slot| !self.slots[slot].taps.is_empty());
        if !selected && self.picks.iter().any(|pick| pick.matched) {
            *self.order = slots;
            self.forget();
            return false;
        }
        self.pages += 1;
        self.yields.resize_with(self.picks.len(), Yield::default);
        for (brought, pick) in self.yields.iter_mut().zip(&self.picks) {
            brought.open(pick);
        }
        for (sample, &slot) in samples.iter().zip(&slots) {
            let slot = &mut self.slots[slot];
            if slot.seen == self.pages {
                continue;
            }
            slot.seen = self.pages;
            let fell = slot.last.is_some_and(|last| sample.value < last);
            let grown = match slot.last {
                Some(last) if !fell => plus(sample.value, -last),
                None if self.forgetful => 0.0,
                _ => sample.value.max(0.0),
            };
            let finite = sample.value.is_finite();
            for &(pick, column) in &slot.taps {
                let brought = &mut self.yields[pick];
                let pick = &mut self.picks[pick];
                pick.matched = true;
                if pick.role == Role::Gauge {
                    if finite {
                        brought.numbers.add(&Numbers::one(sample.value));
                    } else {
                        brought.not_finite = true;
                    }
                } else if finite {
                    brought.grown[column] = plus(brought.grown[column], grown);
                    if fell && brought.fell.len() < FALLS_NAMED {
                        brought.fell.push(Arc::clone(&slot.series));
                    }
                }
            }
            if finite {
                slot.last = Some(sample.value);
            }
        }
        for pick in &mut self.picks {
            pick.base = Some(at);
        }
        let old = std::mem::replace(&mut *self.order, slots);
        *self.spare_order = old;
        self.forget();
        true
    }

    /// The slot of each sample, made where there was none.
    fn locate(&mut self, samples: &[Sample]) -> Vec<usize> {
        let mut slots = std::mem::take(&mut *self.spare_order);
        slots.clear();
        slots.reserve(samples.len());
        let mut next = 0;
        for sample in samples {
            let is = |place: usize| {
                self.order
                    .get(place)
                    .copied()
                    .filter(|&slot| Arc::ptr_eq(&self.slots[slot].series, &sample.series))
            };
            // In its old place, or one further because its neighbour is gone.
            let (slot, place) = if let Some(slot) = is(next) {
                (slot, next + 1)
            } else if let Some(slot) = is(next + 1) {
                (slot, next + 2)
            } else {
                (self.look_up(&sample.series), next)
            };
            next = place;
            slots.push(slot);
        }
        slots
    }

    fn look_up(&mut self, series: &Arc<Series>) -> usize {
        if self.index.len() != self.slots.len() {
            *self.index = self
                .slots
                .iter()
                .enumerate()
                .map(|(i, slot)| (Arc::clone(&slot.series), i))
                .collect();
        }
        if let Some(&slot) = self.index.get(series) {
            self.slots[slot].series = Arc::clone(series);
            return slot;
        }
        let slot = self.slots.len();
        self.slots.push(Slot {
            series: Arc::clone(series),
            last: None,
            seen: 0,
            taps: taps(&mut self.picks, series),
        });
        self.index.insert(Arc::clone(series), slot);
        slot
    }

    /// Keeps the table within its bound.
    fn forget(&mut self) {
        if self.slots.len() <= SPARE {
            return;
        }
        let mut oldest: Vec<usize> = (0..self.slots.len())
            .filter(|&i| self.slots[i].seen != self.pages)
            .collect();
        let unseen = oldest.len();
        if unseen <= SPARE {
            return;
        }
        let key = |&i: &usize| (self.slots[i].seen, &self.slots[i].series);
        oldest.sort_by(|a, b| key(a).cmp(&key(b)));
        // A quarter at once, so that the sorting is paid for by many pages.
        oldest.truncate(unseen - SPARE * 3 / 4);
        oldest.sort_unstable();
        let mut gone = oldest.into_iter().peekable();
        let mut i = 0;
        let forgetful = &mut self.forgetful;
        self.slots.retain(|slot| {
            let drop = gone.next_if_eq(&i).is_some();
            i += 1;
            *forgetful |= drop && !slot.taps.is_empty();
            !drop
        });
        self.index.clear();
        self.order.clear();
    }
}

fn taps(picks: &mut [Pick], series: &Series) -> Vec<(usize, usize)> {
    picks
        .iter_mut()
        .enumerate()
        .filter_map(|(i, pick)| Some((i, pick.tap(series)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(series: &[(&str, f64)]) -> Vec<Sample> {
        series
            .iter()
            .map(|&(name, value)| Sample {
                series: Arc::new(Series::new("x", vec![("a".to_owned(), name.to_owned())])),
                value,
            })
            .collect()
    }

    struct Fixture {
        page: Page,
        pick: usize,
        at: u64,
    }

    impl Fixture {
        fn new() -> Self {
            let mut page = Page::default();
            let pick = page.pick(Role::Counter, &Selector::parse("x").unwrap());
            Self { page, pick, at: 0 }
        }

        /// What a scrape adds; `None` when it adds nothing by rule.
        fn scrape(&mut self, series: &[(&str, f64)]) -> Option<f64> {
            self.at += 1000;
            assert!(self.page.take(Moment::from_millis(self.at), &page(series)));
            let brought = self.page.brought(self.pick).unwrap();
            brought.since.map(|_| brought.grown[0])
        }
    }

    #[test]
    fn the_first_scrape_adds_nothing_a_new_series_its_whole_and_a_reset_its_whole() {
        let mut f = Fixture::new();
        assert_eq!(f.scrape(&[("a", 100.0)]), None);
        assert_eq!(f.scrape(&[("a", 103.0)]), Some(3.0));
        assert_eq!(f.scrape(&[("a", 104.0), ("b", 7.0)]), Some(8.0));
        assert_eq!(f.scrape(&[("a", 2.0), ("b", 7.0)]), Some(2.0));
        assert_eq!(f.page.brought(0).unwrap().fell.len(), 1);
        // Away for a scrape: its last known value counts.
        assert_eq!(f.scrape(&[("a", 2.0)]), Some(0.0));
        assert_eq!(f.scrape(&[("a", 2.0), ("b", 9.0)]), Some(2.0));
    }

    #[test]
    fn values_that_are_not_finite_or_negative_never_become_events() {
        let mut f = Fixture::new();
        f.scrape(&[("a", 10.0), ("b", 0.0)]);
        assert_eq!(f.scrape(&[("a", f64::NAN), ("b", 1.0)]), Some(1.0));
        assert_eq!(f.scrape(&[("a", f64::INFINITY), ("b", 1.0)]), Some(0.0));
        assert_eq!(f.scrape(&[("a", 12.0), ("b", 1.0)]), Some(2.0));
        assert_eq!(f.scrape(&[("a", -5.0), ("b", 1.0)]), Some(0.0));
        assert_eq!(f.scrape(&[("a", -f64::MAX), ("b", 1.0)]), Some(0.0));
        assert_eq!(f.scrape(&[("a", f64::MAX), ("b", 1.0)]), Some(f64::MAX));
    }

    #[test]
    fn of_a_series_that_is_twice_on_a_page_the_first_counts() {
        let mut f = Fixture::new();
        f.scrape(&[("a", 1.0)]);
        assert_eq!(f.scrape(&[("a", 2.0), ("a", 50.0)]), Some(1.0));
        assert_eq!(f.scrape(&[("a", 3.0)]), Some(1.0));
    }

    #[test]
    fn a_page_without_any_selected_series_is_no_page_once_there_were_some() {
        let mut f = Fixture::new();
        assert_eq!(f.scrape(&[]), None);
        assert_eq!(f.scrape(&[("a", 3.0)]), Some(3.0));
        assert!(!f.page.take(Moment::from_millis(3000), &[]));
        f.at += 1000;
        assert_eq!(f.scrape(&[("a", 5.0)]), Some(2.0));
        assert_eq!(f.page.known(0).base, Some(Moment::from_millis(f.at)));
    }

    #[test]
    fn series_are_found_wherever_they_stand_on_the_page() {
        let mut f = Fixture::new();
        let all = page(&[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)]);
        f.page.take(Moment::from_millis(1), &all);
        let orders: [&[usize]; 5] = [&[0, 2, 3], &[3, 2, 1, 0], &[1], &[0, 1, 2, 3], &[2, 0]];
        for (i, order) in orders.into_iter().enumerate() {
            let some: Vec<_> = order.iter().map(|&i| all[i].clone()).collect();
            f.page.take(Moment::from_millis(i as u64 + 2), &some);
            assert_eq!(f.page.brought(0).unwrap().grown, [0.0]);
            assert_eq!(f.page.slots.len(), 4);
        }
    }

    #[test]
    fn the_table_is_bounded_and_a_forgotten_series_is_no_burst_of_events() {
        let mut f = Fixture::new();
        f.scrape(&[("old", 1e6)]);
        for i in 0..40 {
            let names: Vec<_> = (0..1000).map(|j| format!("{i}-{j}")).collect();
            let series: Vec<_> = names.iter().map(|n| (n.as_str(), 1.0)).collect();
            f.scrape(&series);
            assert!(f.page.slots.len() <= SPARE + 1000);
        }
        assert_eq!(f.scrape(&[("old", 1e6 + 5.0)]), Some(0.0));
        assert_eq!(f.scrape(&[("old", 1e6 + 8.0)]), Some(3.0));
    }
}
