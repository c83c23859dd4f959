//! The grammar of conditions: `error_rate > 5% and web is up for 15m of 20m`.
//!
//! ```text
//! when    = any [ "for" DURATION [ "of" DURATION ] ]
//! any     = all { "or" all }
//! all     = test { "and" test }
//! test    = "(" any ")"
//!         | SIGNAL [ "over" DURATION ] OP LIMIT
//!         | SOURCE "is" ( "up" | "down" )
//!         | SIGNAL "is" ( "set" | "clear" )
//! ```
//!
//! Recursive descent over a list of words, in time linear in the text. A fault
//! does not end the parse: it skips to the next `and`, `or`, `for` or bracket,
//! so that whoever wrote three mistakes hears of three. Names and units are
//! checked here rather than later, because only here is it known which byte of
//! the policy is to be underlined.
//!
//! Refused on purpose: nesting deeper than [`MAX_DEPTH`], months and years
//! (humantime reads `1M` as 30.44 days, which nobody means), bare numbers for
//! times, and limits that are not finite.

mod duration;
mod lex;
mod limit;
mod parser;

use std::collections::BTreeMap;
use std::fmt;

pub use self::duration::{duration, duration_or_zero};
use self::parser::Parser;
use crate::model::{Condition, Unit};

/// Brackets may nest this deep.
pub const MAX_DEPTH: usize = 64;

/// Words that mean something in a condition and can name neither a signal nor
/// a source.
pub const KEYWORDS: [&str; 6] = ["and", "or", "for", "of", "over", "is"];

/// What a condition may speak of.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Signals and what their numbers are.
    pub signals: &'a BTreeMap<String, Unit>,
    /// Sources, and whether they can be up or down.
    pub sources: &'a BTreeMap<String, bool>,
}

/// Something that is wrong with a condition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset into the text.
    pub offset: usize,
    /// Length in bytes; 0 only at the end of the text.
    pub len: usize,
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint
            .iter()
            .try_for_each(|hint| write!(f, " (hint: {hint})"))
    }
}

impl std::error::Error for Fault {}

/// Parses a condition and checks its names and units.
///
/// # Errors
///
/// Every fault that could be found, in the order of the text.
pub fn parse(text: &str, scope: &Scope<'_>) -> Result<Condition, Vec<Fault>> {
    Parser::read(text, scope).map(|(expr, hold)| Condition {
        expr,
        hold,
        text: single_spaced(text),
    })
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The known name that is so near that it was probably meant. Long words are
/// not compared: they are no typing mistakes, and the comparison is quadratic.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let allowed = (name.chars().count() / 3).max(1);
    known
        .filter(|known| known.len() <= LONGEST)
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|&(distance, known)| distance <= allowed && distance < known.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
