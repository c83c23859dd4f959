//! So many in a period: `2 per 24h`, `10 per 1m`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::fault::Draft;
use super::item::Item;
use super::keys::{LONGEST, Reader};
use crate::judge::grammar;
use crate::model::Short;

/// What is counted, for messages.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    /// The fault's code and the key: `budget`.
    pub(super) code: &'static str,
    /// What stands there: `a budget`.
    pub(super) what: &'static str,
    /// What is counted: `runs`.
    pub(super) noun: &'static str,
    /// The most of them.
    pub(super) most: u32,
    /// A good one: `2 per 24h`.
    pub(super) example: &'static str,
    /// Why there cannot be none, and what to write instead.
    pub(super) none: (&'static str, &'static str),
}

/// Reads how many go in which period.
pub(super) fn per(item: &Item<'_>, counted: &Counted, r: &mut Reader) -> Option<(u32, Duration)> {
    let Counted { code, most, .. } = *counted;
    let quoted = item.string(r)?;
    let text = quoted.value;
    let Some((number, period)) = text.split_once(" per ") else {
        r.add(
            item.fault(code, format!("`{text}` is not {}", counted.what))
                .hint(format!("write `{}`", counted.example)),
        );
        return None;
    };
    let number_at = r.inside(&quoted, 0, number.len());
    let number = match number.trim().parse::<u32>() {
        Ok(0) => {
            let (message, hint) = counted.none;
            r.add(Draft::error(code, number_at, message).hint(hint));
            None
        }
        Ok(number) if RangeInclusive::new(1, most).contains(&number) => Some(number),
        _ => {
            let message = format!("`{}` is not a number of {}", number.trim(), counted.noun);
            r.add(Draft::error(code, number_at, message).hint(format!("from 1 to {most} go")));
            None
        }
    };
    let offset = text.len() - period.trim_start().len();
    let period = match grammar::duration(period.trim()) {
        Ok(period) if period <= LONGEST => Some(period),
        Ok(_) => {
            let at = r.inside(&quoted, offset, period.trim().len());
            let message = format!("the period is longer than {}", Short(LONGEST));
            r.add(Draft::error(code, at, message));
            None
        }
        Err(e) => {
            let at = r.inside(&quoted, offset + e.offset, e.len);
            let message = format!("the period: {}", e.message);
            r.add(Draft::error(code, at, message).maybe_hint(e.hint));
            None
        }
    };
    Some((number?, period?))
}
