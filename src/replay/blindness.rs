//! When triggers could not judge, as a replay tells it.

use crate::model::Moment;

/// A time in which a trigger could not judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blindness {
    /// The trigger.
    pub trigger: String,
    /// The first blind tick.
    pub from: Moment,
    /// The first tick that was judged again; the last of all if none was.
    pub to: Moment,
}

/// Those of a replay under way; one that lasts has `true` beside it.
#[derive(Debug, Default)]
pub(super) struct Blindnesses(Vec<(Blindness, bool)>);

impl Blindnesses {
    /// A trigger is said to be blind, and has been since `from`.
    pub(super) fn begins(&mut self, trigger: &str, from: Moment, said: Moment) {
        let blindness = Blindness {
            trigger: trigger.to_owned(),
            from,
            to: said,
        };
        self.0.push((blindness, true));
    }

    /// A trigger sees again.
    pub(super) fn ends(&mut self, trigger: Option<&str>, at: Moment) {
        let mut lasting = self.0.iter_mut().filter(|(_, lasts)| *lasts);
        let own = lasting.find(|(blindness, _)| Some(blindness.trigger.as_str()) == trigger);
        if let Some((blindness, lasts)) = own {
            blindness.to = at;
            *lasts = false;
        }
    }

    /// All in the order of their beginning; those that last, until the end.
    pub(super) fn until(self, end: Moment) -> Vec<Blindness> {
        let ended = |(blindness, lasts): (Blindness, bool)| Blindness {
            to: if lasts { end } else { blindness.to },
            ..blindness
        };
        let mut all: Vec<_> = self.0.into_iter().map(ended).collect();
        all.sort_by_key(|blindness| blindness.from);
        all
    }
}
