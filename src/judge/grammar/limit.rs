//! Limits: a number, its unit, and whether a signal can be compared with them.

use std::ops::Range;

use super::lex::Kind;
use super::parser::Parser;
use super::{KEYWORDS, did_you_mean, nearest};
use crate::model::{Limit, Unit};

impl Parser<'_> {
    /// The limit of a comparison with a signal of this unit; `None` is a fault
    /// that has been noted, or a signal that is not defined.
    pub(super) fn limit(&mut self, name: &str, of: Option<Unit>) -> Option<Limit> {
        let place = self.here();
        if self.kind() != Some(Kind::Number) {
            let found = self.found();
            let word = self.word().unwrap_or_default().to_lowercase();
            let message = if ["nan", "inf", "infinity"].contains(&word.as_str()) {
                format!("a limit is a finite number, not {found}")
            } else {
                format!("expected a limit, found {found}")
            };
            let hint = (word == "baseline")
                .then(|| "say how often: `2x baseline`".to_owned())
                .or_else(|| {
                    of.filter(|_| !word.is_empty())
                        .map(|of| example(of).to_owned())
                });
            self.fault(place, message, hint);
            return None;
        }
        let digits = &self.text[place.clone()];
        self.at += 1;
        let number = digits.parse::<f64>().ok().filter(|n| n.is_finite());
        let Some(number) = number else {
            self.fault(place, format!("{digits} is not a finite number"), None);
            return None;
        };
        let unit_place = self.here();
        let unit = match self.kind() {
            Some(Kind::Symbol) => Some(self.here_text()),
            Some(Kind::Word) if !KEYWORDS.contains(&self.here_text()) => Some(self.here_text()),
            _ => None,
        };
        self.at += usize::from(unit.is_some());
        if unit == Some("x") {
            return self.baseline(number, place);
        }
        let Some(unit) = unit else {
            return self.bare(number, digits, place, name, of?);
        };
        let Some((measure, scale)) = measure(unit) else {
            let message = format!("`{unit}` is not a unit");
            let units = MEASURES.iter().map(|(name, ..)| *name);
            let hint = nearest(unit, units)
                .map(did_you_mean)
                .or_else(|| of.map(|of| example(of).to_owned()));
            self.fault(unit_place, message, hint);
            return None;
        };
        let of = of?;
        let fits = match of {
            Unit::Plain => matches!(measure, Unit::Seconds | Unit::Bytes),
            of => of == measure,
        };
        if !fits {
            self.fault(
                unit_place,
                format!(
                    "`{unit}` is {} but `{name}` is {}",
                    describe(measure),
                    describe(of)
                ),
                Some(example(of).to_owned()),
            );
            return None;
        }
        let value = scale.apply(number);
        self.in_range(value, place.start..unit_place.end, name, of)
    }

    /// A number without a unit, for a signal of this unit.
    fn bare(
        &mut self,
        number: f64,
        digits: &str,
        place: Range<usize>,
        name: &str,
        of: Unit,
    ) -> Option<Limit> {
        if of == Unit::Seconds {
            self.fault(
                place,
                format!("`{name}` is a time and {digits} has no unit"),
                Some(format!("write `{digits}ms` or `{digits}s`")),
            );
            return None;
        }
        if of == Unit::Ratio && number > 1.0 && number <= 100.0 {
            self.fault(
                place,
                format!("{digits} is {}%: did you mean {digits}%?", number * 100.0),
                Some(example(of).to_owned()),
            );
            return None;
        }
        self.in_range(number, place, name, of)
    }

    /// The limit, if a signal of this unit can ever come near it.
    fn in_range(&mut self, value: f64, place: Range<usize>, name: &str, of: Unit) -> Option<Limit> {
        let message = match of {
            Unit::Ratio if !(0.0..=1.0).contains(&value) => {
                format!("`{name}` is a ratio, which is 0% to 100%")
            }
            Unit::PerSecond if value < 0.0 => format!("`{name}` is a rate, which is never below 0"),
            _ if !value.is_finite() => "the limit is not a finite number".to_owned(),
            _ => return Some(Limit::Fixed(value)),
        };
        self.fault(place, message, None);
        None
    }

    /// After `NUMBER x`.
    fn baseline(&mut self, factor: f64, place: Range<usize>) -> Option<Limit> {
        if !self.eat("baseline") {
            let found = self.found();
            self.fault(
                self.here(),
                format!("expected `baseline` after `x`, found {found}"),
                None,
            );
            return None;
        }
        if factor <= 0.0 {
            self.fault(
                place,
                "a multiple of the baseline is more than 0".to_owned(),
                None,
            );
            return None;
        }
        Some(Limit::Baseline(factor))
    }
}

/// How a unit becomes the base unit. Division where the factor below one has no
/// exact double: `7%` must be the double nearest to 0.07.
#[derive(Clone, Copy)]
enum Scale {
    Times(f64),
    Per(f64),
}

impl Scale {
    fn apply(self, number: f64) -> f64 {
        match self {
            Self::Times(factor) => number * factor,
            Self::Per(divisor) => number / divisor,
        }
    }
}

const MEASURES: [(&str, Unit, Scale); 13] = [
    ("%", Unit::Ratio, Scale::Per(100.0)),
    ("ms", Unit::Seconds, Scale::Per(1000.0)),
    ("s", Unit::Seconds, Scale::Times(1.0)),
    ("m", Unit::Seconds, Scale::Times(60.0)),
    ("h", Unit::Seconds, Scale::Times(3600.0)),
    ("d", Unit::Seconds, Scale::Times(86_400.0)),
    ("B", Unit::Bytes, Scale::Times(1.0)),
    ("KiB", Unit::Bytes, Scale::Times(1024.0)),
    ("MiB", Unit::Bytes, Scale::Times(1_048_576.0)),
    ("GiB", Unit::Bytes, Scale::Times(1_073_741_824.0)),
    ("/s", Unit::PerSecond, Scale::Times(1.0)),
    ("/m", Unit::PerSecond, Scale::Per(60.0)),
    ("/h", Unit::PerSecond, Scale::Per(3600.0)),
];

fn measure(unit: &str) -> Option<(Unit, Scale)> {
    MEASURES
        .iter()
        .find(|(name, ..)| *name == unit)
        .map(|&(_, unit, scale)| (unit, scale))
}

const fn describe(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "a ratio",
        Unit::Seconds => "a time",
        Unit::PerSecond => "a rate",
        Unit::Bytes => "a size",
        Unit::Plain => "a plain number",
        Unit::Flag => "a flag",
    }
}

const fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "a ratio takes `5%` or a fraction from 0 to 1",
        Unit::Seconds => "a time takes ms, s, m, h or d: `800ms`",
        Unit::PerSecond => "a rate takes /s, /m or /h: `10/s`",
        Unit::Bytes => "a size takes B, KiB, MiB or GiB: `512MiB`",
        Unit::Plain => "a plain number takes no unit, or one of time or size",
        Unit::Flag => "a flag is set or clear: `… is set`",
    }
}
