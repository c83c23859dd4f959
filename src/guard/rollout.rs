//! Several versions at once: a rolling deployment, as a metric of the service
//! shows it.
//!
//! The running release is the newest of those that are there, by first
//! deployment: a newcomer counts from the first process that has it, because
//! from then on its errors are among the others; settling and blame run from
//! there. That the processes of the one before are still seen, or seen again,
//! changes nothing. A version is gone when a row of pages in a row had none of
//! it, since one page may be one process of several; so a rollout that is taken
//! back counts as a change when its last process has been gone for that long.
//! Nothing flaps, and evidence starts anew once for each change. While it lasts
//! a release is not proven good: it has only a part of the traffic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Releases;
use crate::model::Moment;

/// Pages in a row without a version after which it is gone.
const GONE: u32 = 10;

/// The same while the agent itself rolls back: it knows what is going.
const GONE_BY_US: u32 = 3;

/// Several versions that run at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// When they were first seen together.
    pub since: Moment,
    /// The versions by name.
    pub shares: BTreeMap<String, Share>,
}

/// How much of a service runs a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Processes on the last page.
    pub processes: u32,
    /// Pages in a row that had none of them.
    pub missing: u32,
}

impl Rollout {
    /// `v1 3 of 5 processes, v2 2 of 5`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let all: u32 = self.shares.values().map(|share| share.processes).sum();
        let mut noun = " processes";
        let shares = self.shares.iter().map(|(version, share)| {
            if share.processes == 0 {
                return format!("{version} not seen in the last {}", share.missing);
            }
            let noun = std::mem::take(&mut noun);
            format!("{version} {} of {all}{noun}", share.processes)
        });
        shares.collect::<Vec<_>>().join(", ")
    }
}

/// What a page changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// This version is the running one from now on.
    Running(String),
    /// The running one runs alone.
    Alone,
}

impl Releases {
    /// Takes the versions of a page, with how many processes run each; `ours`
    /// while the agent rolls back.
    pub(super) fn paged(
        &mut self,
        page: &BTreeMap<&str, u32>,
        ours: bool,
        at: Moment,
    ) -> Option<Turned> {
        let alone = |version: &str| page.len() == 1 && page.contains_key(version);
        if page.is_empty() || (self.rollout.is_none() && self.running.as_deref().is_some_and(alone))
        {
            return None;
        }
        let before = self.rollout.take();
        let mixed = before.is_some();
        let since = before.as_ref().map_or(at, |rollout| rollout.since);
        let mut shares = before.map_or_else(BTreeMap::new, |rollout| rollout.shares);
        if !mixed && let Some(running) = &self.running {
            shares.insert(running.clone(), Share::default());
        }
        for share in shares.values_mut() {
            share.processes = 0;
            share.missing = share.missing.saturating_add(1);
        }
        for (version, processes) in page {
            let share = Share {
                processes: *processes,
                missing: 0,
            };
            shares.insert((*version).to_owned(), share);
        }
        let gone = if ours { GONE_BY_US } else { GONE };
        shares.retain(|_, share| share.missing < gone);
        let newest = self.newest(&shares);
        if shares.len() > 1 {
            self.rollout = Some(Rollout { since, shares });
        }
        match newest {
            Some(newest) if self.running.as_ref() != Some(&newest) => Some(Turned::Running(newest)),
            _ => (mixed && self.rollout.is_none()).then_some(Turned::Alone),
        }
    }

    /// The newest of the versions that are there. At first sight of several
    /// nobody can tell.
    fn newest(&self, shares: &BTreeMap<String, Share>) -> Option<String> {
        let place = |version: &str| self.seen.iter().position(|r| r.version == version);
        if self.running.is_none() && shares.len() > 1 && shares.keys().any(|v| place(v).is_none()) {
            return None;
        }
        let newest = shares
            .keys()
            .max_by_key(|v| place(v).unwrap_or(usize::MAX))?;
        Some(newest.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Moment {
        Moment::from_millis(s * 1000)
    }

    /// Takes pages one after the other; what each changed.
    fn take(releases: &mut Releases, pages: &[&[(&str, u32)]]) -> Vec<Option<Turned>> {
        let taken = pages.iter().enumerate().map(|(i, page)| {
            let page = page.iter().copied().collect();
            let turned = releases.paged(&page, false, at(i as u64));
            if let Some(Turned::Running(version)) = &turned {
                releases.released(version, at(i as u64), true);
            }
            turned
        });
        taken.collect()
    }

    fn running(version: &str) -> Turned {
        Turned::Running(version.to_owned())
    }

    #[test]
    fn a_rolling_deployment_is_one_change_and_one_end() {
        let mut releases = Releases::default();
        let turned = take(
            &mut releases,
            &[
                &[("v1", 5)],
                &[("v1", 4), ("v2", 1)],
                &[("v1", 2), ("v2", 3)],
                &[("v2", 5)],
            ],
        );
        assert_eq!(
            turned,
            [Some(running("v1")), Some(running("v2")), None, None]
        );
        let rollout = releases.rollout.as_ref().unwrap();
        assert_eq!(
            rollout.in_words(),
            "v1 not seen in the last 1, v2 5 of 5 processes"
        );
        let rest = vec![&[("v2", 5)][..]; 10];
        let turned = take(&mut releases, &rest);
        assert_eq!(turned.iter().flatten().count(), 1);
        assert_eq!(turned[8], Some(Turned::Alone));
        assert_eq!(releases.rollout, None);
    }

    #[test]
    fn processes_that_answer_in_turn_do_not_flap() {
        let mut releases = Releases::default();
        let mut pages = vec![&[("v1", 1)][..]];
        for _ in 0..50 {
            pages.extend([&[("v2", 1)][..], &[("v1", 1)], &[("v1", 1)]]);
        }
        let turned = take(&mut releases, &pages);
        assert_eq!(turned.iter().flatten().count(), 2, "v1, then v2");
        assert_eq!(releases.running.as_deref(), Some("v2"));
    }

    #[test]
    fn a_half_that_is_rolled_back_is_a_change_once_it_is_gone() {
        let mut releases = Releases::default();
        let mut pages = vec![&[("v1", 5)][..], &[("v1", 3), ("v2", 2)]];
        pages.extend(vec![&[("v1", 5)][..]; 12]);
        let turned = take(&mut releases, &pages);
        assert_eq!(turned[..2], [Some(running("v1")), Some(running("v2"))]);
        assert_eq!(turned.iter().flatten().count(), 3);
        assert_eq!(turned[11], Some(running("v1")));
        assert_eq!(releases.rollout, None);
    }

    #[test]
    fn at_first_sight_of_several_nobody_can_tell_which_is_newer() {
        let mut releases = Releases::default();
        let turned = take(&mut releases, &[&[("v1", 1), ("v2", 4)]]);
        assert_eq!(turned, [None]);
        let words = releases.rollout.as_ref().unwrap().in_words();
        assert_eq!(words, "v1 1 of 5 processes, v2 4 of 5");
        let turned = take(&mut releases, &[&[("v2", 5)][..]; 10]);
        assert_eq!(
            turned.into_iter().flatten().collect::<Vec<_>>(),
            [Turned::Running("v2".into())]
        );
    }

    #[test]
    fn a_page_without_versions_says_nothing() {
        let mut releases = Releases::default();
        let turned = take(&mut releases, &[&[("v1", 1)], &[], &[("v1", 1)]]);
        assert_eq!(turned, [Some(running("v1")), None, None]);
    }
}
