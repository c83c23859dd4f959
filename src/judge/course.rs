//! From verdict to verdict: what a tick makes of a hold, and of whether it has
//! fired. SPEC 3, *The hold*.
//!
//! A view on where a condition stands, so that a trigger and a choice that is
//! tried beside it are moved by the same lines.

use std::time::Duration;

use super::hold::{Holding, Measure, Progress};
use super::trigger::TurnKind;
use crate::model::Moment;

/// Where a condition stands between clear and fired.
pub(super) struct Course<'a> {
    pub(super) holding: &'a mut Holding,
    /// When it fired; `None` when it has not, or was resolved.
    pub(super) fired: &'a mut Option<Moment>,
    /// The first clear tick after the last breach, or after a gap.
    pub(super) clear_since: &'a mut Option<Moment>,
}

/// What a tick says, as far as a hold goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Breach,
    Clear,
    Blind,
}

impl Course<'_> {
    /// Takes what a tick says, later than all before. `proven` is only asked
    /// where the whole hold is met. Returns how far the hold is, and whether it
    /// is met and proven.
    pub(super) fn take(
        self,
        now: Moment,
        heard: Heard,
        measure: &Measure,
        clear_for: Duration,
        proven: impl FnOnce() -> bool,
        mut turn: impl FnMut(TurnKind),
    ) -> (Progress, bool) {
        let gap = self.holding.gap(now, measure.max_gap);
        match heard {
            Heard::Blind => {}
            Heard::Breach => {
                *self.clear_since = None;
                if self.holding.judged(now, true, measure) && self.fired.is_none() {
                    turn(TurnKind::Suspecting);
                }
            }
            Heard::Clear => {
                let suspecting = self.holding.since().is_some();
                self.holding.judged(now, false, measure);
                if gap {
                    *self.clear_since = None;
                }
                let clear_since = *self.clear_since.get_or_insert(now);
                if self.fired.is_none() {
                    if suspecting {
                        turn(TurnKind::Cleared);
                    }
                } else if now.since(clear_since) >= clear_for {
                    *self.fired = None;
                    *self.holding = Holding::default();
                    turn(TurnKind::Resolved);
                }
            }
        }
        let progress = self.holding.progress(now, measure);
        let met = progress.met && proven();
        if met && self.fired.is_none() {
            *self.fired = Some(now);
            turn(TurnKind::Fired);
        }
        (progress, met)
    }
}
