//! `systemd = { unit, action }` of a step: the unit's name as systemd takes it,
//! and what is done with it.
//!
//! A placeholder may only be the instance of a template (`app@{target}.service`):
//! whatever its value is, it then names an instance of that template and never
//! another unit.

use super::fault::{Draft, listed, nearest};
use super::item::Item;
use super::keys::Reader;
use super::quoted::Quoted;
use super::steps::filled;
use crate::model::{StepAction, UnitAction, placeholders_in};

/// The types of unit that an action makes sense for: systemd.unit(5).
const TYPES: [&str; 8] = [
    "service",
    "socket",
    "timer",
    "target",
    "path",
    "mount",
    "automount",
    "swap",
];

/// systemd.unit(5): at most 255 characters.
const LONGEST: usize = 255;

const ACTIONS: [(&str, UnitAction); 5] = [
    ("start", UnitAction::Start),
    ("stop", UnitAction::Stop),
    ("restart", UnitAction::Restart),
    ("reload", UnitAction::Reload),
    ("reset-failed", UnitAction::ResetFailed),
];

/// One step's unit and action.
pub(super) fn read(kind: &Item<'_>, allowed: &[&str], r: &mut Reader) -> Option<StepAction> {
    let keys = kind.table("`systemd`".into(), &["unit", "action"], r)?;
    let unit = keys.need("unit", "\"NAME.service\"", r).and_then(|item| {
        let quoted = item.string(r)?;
        let good = filled(&quoted, allowed, r) & unit(&item, &quoted, r);
        good.then(|| quoted.value.to_owned())
    });
    let action = keys
        .need("action", "\"restart\"", r)
        .and_then(|item| item.choice(&ACTIONS, r));
    Some(StepAction::Systemd {
        unit: unit?,
        action: action?,
    })
}

/// Whether it is the name of a unit, whatever its placeholders will be.
fn unit(item: &Item<'_>, quoted: &Quoted<'_>, r: &mut Reader) -> bool {
    let name = quoted.value;
    let fault = |message: String| item.fault("unit", message);
    let Some((stem, kind)) = name
        .rsplit_once('.')
        .filter(|(_, kind)| TYPES.contains(kind))
    else {
        let near = name
            .rsplit_once('.')
            .and_then(|(stem, kind)| Some((stem, nearest(kind, TYPES)?)));
        let hint = near.map_or_else(
            || format!("did you mean `{name}.service`?"),
            |(stem, kind)| format!("did you mean `{stem}.{kind}`?"),
        );
        let message = format!(
            "`{name}` does not end in a type of unit, one of {}",
            listed(TYPES)
        );
        r.add(fault(message).hint(hint));
        return false;
    };
    let instance = stem.find('@');
    let mut bare = String::new();
    let mut from = 0;
    for (placeholder, at) in placeholders_in(stem) {
        if instance.is_none_or(|i| at.start < i) {
            let place = r.inside(quoted, at.start, at.len());
            let message = format!("`{{{placeholder}}}` could name any unit here");
            r.add(Draft::error("unit", place, message).hint(format!(
                "only the instance of a template may vary: `NAME@{{{placeholder}}}.{kind}`"
            )));
            return false;
        }
        bare.push_str(&stem[from..at.start]);
        from = at.end;
    }
    bare.push_str(&stem[from..]);
    let in_name = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if let Some(c) = bare.chars().find(|c| !in_name(*c)) {
        let hint = "letters, digits and : - _ . \\ @ go; `systemd-escape` writes the others";
        r.add(fault(format!("`{c}` cannot be in the name of a unit")).hint(hint));
        return false;
    }
    if stem.is_empty() || stem.starts_with('@') || stem.ends_with('@') || name.len() > LONGEST {
        let hint = "write `NAME.service`, or `NAME@INSTANCE.service`";
        r.add(fault(format!("`{name}` is not the name of a unit")).hint(hint));
        return false;
    }
    true
}
