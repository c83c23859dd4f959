//! What a source has been told, name by name, and who said so.
//!
//! A source that is told has no samples of its own. At each tick its board is
//! read as the page of one: a counter for what is counted, a gauge for a value,
//! and for a flag a gauge of 1 or 0. So windows, holds and verdicts are those of
//! every other source. What was said before the running release was there is on
//! the page as *not a number*: it says nothing about this release, and nobody
//! has said that it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Alert, Statement};
use crate::model::{Moment, Policy, Sample, Series, SignalKind};

/// Alerts that are remembered for a flag. Of more the one that was heard of
/// first is forgotten, a resolved one before one that fires.
const MOST_ALERTS: usize = 1000;

/// What one source has been told, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Board {
    words: BTreeMap<String, Word>,
}

/// What is known of one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Word {
    /// Of a counter all events so far, of a value the last one; a flag has none.
    number: Option<f64>,
    /// Whether a flag was set by whom `told` names, and not cleared.
    set: bool,
    /// What was said last that changed something.
    told: Option<Told>,
    /// Alerts that set the flag, or did, by fingerprint.
    alerts: BTreeMap<String, Heard>,
}

/// Who said something, when, and in what words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who.
    pub by: String,
    /// When.
    pub at: Moment,
    /// In their words; may be empty.
    pub reason: String,
}

/// What was last heard of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heard {
    firing: bool,
    starts_ms: i64,
    at: Moment,
}

/// What a source can be told of a name: what the policy's signals make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Flag { ttl: Option<Duration> },
    Counter,
    Value,
}

impl Kind {
    /// Every name that the policy's signals have on a source.
    pub(crate) fn of<'a>(policy: &'a Policy, source: &str) -> BTreeMap<&'a str, Self> {
        let signals = policy.signals.values().filter(|s| s.source == source);
        let named = signals.filter_map(|signal| {
            let kind = match &signal.kind {
                SignalKind::Flag { ttl, .. } => Self::Flag { ttl: *ttl },
                SignalKind::Count(_) => Self::Counter,
                _ => Self::Value,
            };
            Some((signal.told_name()?, kind))
        });
        named.collect()
    }

    /// Why this cannot be said of such a name, and what can.
    pub(crate) fn takes(self, said: Statement) -> Result<(), &'static str> {
        match (self, said) {
            (Self::Flag { .. }, Statement::Set | Statement::Clear)
            | (Self::Counter, Statement::Events(_))
            | (Self::Value, Statement::Is(_)) => Ok(()),
            (Self::Flag { .. }, Statement::Events(_) | Statement::Is(_)) => {
                Err("is a flag: say `set` or `clear`")
            }
            (Self::Counter, Statement::Set | Statement::Clear | Statement::Is(_)) => {
                Err("is counted: say `+1`, or how many more there are")
            }
            (Self::Value, Statement::Set | Statement::Clear | Statement::Events(_)) => {
                Err("is a value: say a number")
            }
        }
    }
}

/// What came of hearing of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is what was known already.
    Known,
    /// It is older than what is known: messages overtook one another.
    Older,
    /// It began to fire, or was resolved.
    Changed,
}

impl Board {
    /// What was said last of a name.
    #[must_use]
    pub fn told(&self, name: &str) -> Option<&Told> {
        self.words.get(name)?.told.as_ref()
    }

    /// Takes what somebody says of a name. Of a counter it returns all events so
    /// far.
    pub(crate) fn say(&mut self, name: &str, said: Statement, told: Told) -> f64 {
        let word = self.words.entry(name.to_owned()).or_default();
        word.told = Some(told);
        match said {
            Statement::Set => word.set = true,
            Statement::Clear => {
                word.set = false;
                // Until it fires anew: the same message again is no news.
                for heard in word.alerts.values_mut() {
                    heard.firing = false;
                }
            }
            Statement::Events(n) => {
                word.number = Some(word.number.unwrap_or(0.0) + f64::from(n));
            }
            Statement::Is(x) => word.number = Some(x),
        }
        word.number.unwrap_or(0.0)
    }

    /// Hears of an alert that sets this flag.
    pub(crate) fn hear(&mut self, name: &str, alert: &Alert, at: Moment) -> News {
        let word = self.words.entry(name.to_owned()).or_default();
        let heard = Heard {
            firing: alert.firing,
            starts_ms: alert.starts_ms,
            at,
        };
        let Some(known) = word.alerts.get_mut(&alert.fingerprint) else {
            word.alerts.insert(alert.fingerprint.clone(), heard);
            word.forget();
            return if alert.firing {
                News::Changed
            } else {
                News::Known
            };
        };
        // One that was resolved does not fire again since the same time.
        let rank = |starts_ms, firing: bool| (starts_ms, !firing);
        match rank(alert.starts_ms, alert.firing).cmp(&rank(known.starts_ms, known.firing)) {
            std::cmp::Ordering::Less => News::Older,
            std::cmp::Ordering::Equal => {
                known.at = at;
                News::Known
            }
            std::cmp::Ordering::Greater => {
                let changed = known.firing != alert.firing;
                *known = heard;
                if changed { News::Changed } else { News::Known }
            }
        }
    }

    /// Says why a flag changed that alerts set.
    pub(crate) fn explain(&mut self, name: &str, told: Told) {
        if let Some(word) = self.words.get_mut(name) {
            word.told = Some(told);
        }
    }

    /// Whether a flag is set at a moment; `None` when it was said of the release
    /// before, which is what came at or before `from`.
    pub(crate) fn is_set(
        &self,
        name: &str,
        ttl: Option<Duration>,
        at: Moment,
        from: Option<Moment>,
    ) -> Option<bool> {
        let Some(word) = self.words.get(name) else {
            return Some(false);
        };
        let by_hand = word.told.as_ref().filter(|_| word.set).map(|told| told.at);
        let alerts = word.alerts.values().filter(|heard| heard.firing);
        let said = alerts.map(|heard| heard.at).chain(by_hand);
        let lives = |said: &Moment| ttl.is_none_or(|ttl| at < *said + ttl);
        match said.filter(lives).max() {
            None => Some(false),
            Some(last) if from.is_none_or(|from| last > from) => Some(true),
            Some(_) => None,
        }
    }

    /// The board as a page. Whatever a signal reads is on it, but for a value
    /// that nobody has said yet.
    pub(crate) fn page(
        &self,
        names: &BTreeMap<&str, Kind>,
        at: Moment,
        from: Option<Moment>,
    ) -> Vec<Sample> {
        let sample = |(name, kind): (&&str, &Kind)| {
            let word = self.words.get(*name);
            let value = match kind {
                Kind::Flag { ttl } => match self.is_set(name, *ttl, at, from) {
                    Some(set) => f64::from(u8::from(set)),
                    None => f64::NAN,
                },
                Kind::Counter => word.and_then(|w| w.number).unwrap_or(0.0),
                Kind::Value => {
                    let word = word?;
                    let fresh =
                        from.is_none_or(|from| word.told.as_ref().is_some_and(|t| t.at > from));
                    let number = word.number?;
                    if fresh { number } else { f64::NAN }
                }
            };
            Some(Sample {
                series: Arc::new(Series::new(*name, Vec::new())),
                value,
            })
        };
        names.iter().filter_map(sample).collect()
    }
}

impl Word {
    fn forget(&mut self) {
        if self.alerts.len() <= MOST_ALERTS {
            return;
        }
        let oldest = self
            .alerts
            .iter()
            .min_by_key(|(_, heard)| (heard.firing, heard.at))
            .map(|(fingerprint, _)| fingerprint.clone());
        if let Some(fingerprint) = oldest {
            self.alerts.remove(&fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1000;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * S)
    }

    fn alert(firing: bool, starts_ms: i64) -> Alert {
        Alert {
            fingerprint: "f".to_owned(),
            labels: Vec::new(),
            firing,
            starts_ms,
        }
    }

    fn told(seconds: u64) -> Told {
        Told {
            by: "alice".to_owned(),
            at: at(seconds),
            reason: String::new(),
        }
    }

    #[test]
    fn of_an_alert_s_messages_the_order_of_their_times_counts_and_not_that_of_their_coming() {
        let story = [
            alert(true, 1),
            alert(false, 1),
            alert(true, 2),
            alert(false, 2),
        ];
        // Every order of the four ends in what the last of them says.
        for order in 0..24_usize {
            let mut rest: Vec<usize> = (0..4).collect();
            let mut board = Board::default();
            let mut n = order;
            for left in (1..=4).rev() {
                let next = rest.remove(n % left);
                n /= left;
                board.hear("x", &story[next], at(1));
                // Twice is once.
                assert_ne!(board.hear("x", &story[next], at(1)), News::Changed);
            }
            assert_eq!(board.is_set("x", None, at(2), None), Some(false), "{order}");
        }
    }

    #[test]
    fn a_flag_stays_until_it_is_cleared_or_its_time_is_over() {
        let ttl = Some(Duration::from_secs(60));
        let mut board = Board::default();
        assert_eq!(board.is_set("x", ttl, at(0), None), Some(false));
        board.say("x", Statement::Set, told(10));
        assert_eq!(board.is_set("x", ttl, at(69), None), Some(true));
        assert_eq!(board.is_set("x", ttl, at(70), None), Some(false));
        assert_eq!(board.is_set("x", None, at(7000), None), Some(true));
        board.say("x", Statement::Clear, told(80));
        assert_eq!(board.is_set("x", None, at(80), None), Some(false));
    }

    #[test]
    fn an_alert_that_goes_on_firing_is_heard_of_again_and_one_that_fell_silent_ends() {
        let ttl = Some(Duration::from_secs(60));
        let mut board = Board::default();
        assert_eq!(board.hear("x", &alert(true, 1), at(10)), News::Changed);
        assert_eq!(board.hear("x", &alert(true, 1), at(50)), News::Known);
        assert_eq!(board.is_set("x", ttl, at(100), None), Some(true));
        assert_eq!(board.is_set("x", ttl, at(110), None), Some(false));
    }

    #[test]
    fn what_a_person_cleared_an_alert_sets_again_only_when_it_fires_anew() {
        let mut board = Board::default();
        board.hear("x", &alert(true, 1), at(10));
        board.say("x", Statement::Clear, told(20));
        assert_eq!(board.hear("x", &alert(true, 1), at(30)), News::Older);
        assert_eq!(board.is_set("x", None, at(30), None), Some(false));
        assert_eq!(board.hear("x", &alert(true, 2), at(40)), News::Changed);
        assert_eq!(board.is_set("x", None, at(40), None), Some(true));
    }

    #[test]
    fn what_was_said_of_the_release_before_says_nothing_of_this_one() {
        let mut board = Board::default();
        board.say("x", Statement::Set, told(10));
        board.say("v", Statement::Is(7.0), told(10));
        let names = [("v", Kind::Value), ("x", Kind::Flag { ttl: None })].into();
        let page = board.page(&names, at(20), Some(at(15)));
        assert!(page.iter().all(|sample| sample.value.is_nan()), "{page:?}");
        board.say("x", Statement::Set, told(16));
        assert_eq!(board.is_set("x", None, at(20), Some(at(15))), Some(true));
    }

    #[test]
    fn no_flood_of_alerts_is_remembered_and_none_of_it_clears_a_flag() {
        let mut board = Board::default();
        board.hear("x", &alert(true, 1), at(1));
        for i in 0..3000_u64 {
            let alert = Alert {
                fingerprint: format!("{i}"),
                ..alert(i % 2 == 0, 1)
            };
            board.hear("x", &alert, at(2 + i));
        }
        assert_eq!(board.words["x"].alerts.len(), MOST_ALERTS);
        assert_eq!(board.is_set("x", None, at(9999), None), Some(true));
    }
}
