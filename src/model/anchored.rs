//! Regular expressions as PromQL has them: anchored at both ends, `.` is any
//! character.
//!
//! On labels nearly all are of the kind `5..` or `GET|POST`: alternatives of
//! plain characters and dots. Such a one is compared as it stands. Compiled, it
//! would take some forty microseconds and kilobytes, and a hundred policies
//! have thousands, each compiled again when their state is read at a start.

use regex::{Regex, RegexBuilder};

use super::selector::LARGEST_REGEX;

/// A regular expression over a whole label value.
#[derive(Clone, Debug)]
pub(super) enum Anchored {
    /// Alternatives of plain characters and dots, as written.
    Plain(String),
    /// Any other.
    Compiled(Regex),
}

impl Anchored {
    /// # Errors
    ///
    /// It is no regular expression, or too large a one.
    pub(super) fn new(text: String) -> Result<Self, regex::Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "|._-/: ".contains(c);
        if text.chars().all(plain) {
            return Ok(Self::Plain(text));
        }
        let compiled = |text: &str| RegexBuilder::new(text).size_limit(LARGEST_REGEX).build();
        if text.contains(')') {
            // By itself first: `a)|(b` would close our group and escape it.
            compiled(&text)?;
        }
        compiled(&format!("^(?s:{text})$")).map(Self::Compiled)
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        match self {
            Self::Plain(text) => text.split('|').any(|one| is_one(one, value)),
            Self::Compiled(regex) => regex.is_match(value),
        }
    }
}

/// Whether the value has these characters, a dot being any.
fn is_one(one: &str, value: &str) -> bool {
    let mut rest = value.chars();
    one.chars()
        .all(|c| rest.next().is_some_and(|x| c == '.' || c == x))
        && rest.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_pattern_matches_what_it_would_match_compiled(
            text in "[ab.|/: _-]{0,8}",
            value in "[ab/: é\n_-]{0,5}",
        ) {
            let compiled = Regex::new(&format!("^(?s:{text})$")).unwrap();
            let pattern = Anchored::new(text).unwrap();
            prop_assert!(matches!(pattern, Anchored::Plain(_)));
            prop_assert_eq!(pattern.is_match(&value), compiled.is_match(&value));
        }
    }

    #[test]
    fn everything_else_is_compiled() {
        for text in [
            "5.+", "a*", "a?", "[45]..", "(a|b)", "a\\.b", "^a$", "a{2}", "é",
        ] {
            let pattern = Anchored::new(text.to_owned()).unwrap();
            assert!(matches!(pattern, Anchored::Compiled(_)), "{text}");
        }
        for text in ["(", "a)|(b"] {
            assert!(Anchored::new(text.to_owned()).is_err(), "{text}");
        }
    }
}
