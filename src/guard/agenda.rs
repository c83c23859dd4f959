//! When each service is due by time alone.
//!
//! Derived from the phases, never written: a restart makes it anew. It exists
//! because most services wait for nothing. Asking all of them at every fact
//! makes a fact dearer with each further service; here only those that wait are
//! listed, and the earliest stands by.

use std::collections::BTreeMap;

use crate::model::Moment;

/// The services that wait for a moment, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Agenda {
    due: BTreeMap<String, Moment>,
    /// The least of them.
    earliest: Option<Moment>,
}

impl Agenda {
    /// The earliest moment at which a service is due.
    pub(super) const fn earliest(&self) -> Option<Moment> {
        self.earliest
    }

    /// The services that are due by `now`, in the order of their names.
    pub(super) fn due_by(&self, now: Moment) -> Vec<String> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let due = self.due.iter().filter(|(_, due)| **due <= now);
        due.map(|(name, _)| name.clone()).collect()
    }

    /// A service is due at this moment from now on, or waits for nothing.
    pub(super) fn set(&mut self, service: &str, due: Option<Moment>) {
        let before = match (self.due.get_mut(service), due) {
            (None, None) => return,
            (Some(listed), Some(due)) if *listed == due => return,
            (Some(listed), Some(due)) => Some(std::mem::replace(listed, due)),
            (Some(_), None) => self.due.remove(service),
            (None, Some(due)) => self.due.insert(service.to_owned(), due),
        };
        self.earliest = if before.is_some() && before == self.earliest {
            self.due.values().min().copied()
        } else {
            // Not the earliest one moved: it stays, unless this one is earlier.
            [self.earliest, due].into_iter().flatten().min()
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_earliest_is_the_least_of_all_that_wait(
            moves in prop::collection::vec((0_usize..4, prop::option::of(0_u64..20)), 0..60),
        ) {
            let names = ["a", "b", "c", "d"];
            let mut agenda = Agenda::default();
            let mut naive = BTreeMap::new();
            for (service, due) in moves {
                let due = due.map(Moment::from_millis);
                agenda.set(names[service], due);
                naive.insert(names[service].to_owned(), due);
                prop_assert_eq!(agenda.earliest(), naive.values().flatten().min().copied());
                let now = Moment::from_millis(10);
                let late = naive.iter().filter(|(_, due)| due.is_some_and(|due| due <= now));
                let late: Vec<_> = late.map(|(name, _)| name.clone()).collect();
                prop_assert_eq!(agenda.due_by(now), late);
            }
        }
    }
}
