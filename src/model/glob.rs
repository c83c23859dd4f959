//! Patterns of versions, as git has them for tags: `STABLE-*`.
//!
//! Not a regular expression: in one, `STABLE-*` means STABLE and any number of
//! dashes, which is what nobody means who writes it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern of versions: `*` is any text, also none, `?` one character; all
/// else is itself, and the whole version must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

/// A character that no version has, and that means nothing in a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is in no version, and means nothing in a pattern")]
pub struct GlobError {
    /// Where it stands, in bytes.
    pub offset: usize,
    /// The character.
    pub found: char,
}

impl Glob {
    /// A pattern.
    ///
    /// # Errors
    ///
    /// [`GlobError`] for what can stand in no version: a set such as `[a-z]` is
    /// not known, and would silently match nothing.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let goes = |c: char| c.is_ascii_alphanumeric() || "._:+@~-/*?".contains(c);
        match text.char_indices().find(|&(_, c)| !goes(c)) {
            Some((offset, found)) => Err(GlobError { offset, found }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// Whether the whole version matches. Time is at most the product of both
    /// lengths.
    #[must_use]
    pub fn matches(&self, version: &str) -> bool {
        let (pattern, version) = (self.0.as_bytes(), version.as_bytes());
        if !version.is_ascii() {
            return false;
        }
        let (mut p, mut v) = (0, 0);
        // The last `*`, and how much of the version it has taken.
        let mut star: Option<(usize, usize)> = None;
        while v < version.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, v));
                    p += 1;
                }
                Some(&c) if c == b'?' || c == version[v] => {
                    p += 1;
                    v += 1;
                }
                _ => {
                    let Some((at, taken)) = star else {
                        return false;
                    };
                    star = Some((at, taken + 1));
                    p = at + 1;
                    v = taken + 1;
                }
            }
        }
        pattern[p..].iter().all(|&c| c == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_the_whole_version() {
        for (pattern, version, matches) in [
            ("STABLE-*", "STABLE-2026.11", true),
            ("STABLE-*", "STABLE-", true),
            ("STABLE-*", "UNSTABLE-1", false),
            ("v1.?", "v1.4", true),
            ("v1.?", "v1.44", false),
            ("*-*-rc*", "a-b-c-rc1", true),
            ("*", "", true),
            ("", "v1", false),
            ("v*", "vé", false),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            assert_eq!(glob.matches(version), matches, "{pattern} {version}");
        }
        assert_eq!(
            Glob::parse("v[0-9]*"),
            Err(GlobError {
                offset: 1,
                found: '['
            })
        );
    }

    /// The plainest that can be written.
    fn naive(pattern: &[u8], version: &[u8]) -> bool {
        match (pattern.split_first(), version.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((b'*', after)), rest) => {
                naive(after, version) || rest.is_some_and(|(_, less)| naive(pattern, less))
            }
            (Some((b'?', after)), Some((_, less))) => naive(after, less),
            (Some((p, after)), Some((v, less))) => p == v && naive(after, less),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_as_the_plainest_does(pattern in "[ab*?]{0,8}", version in "[ab]{0,8}") {
            let glob = Glob::parse(&pattern).unwrap();
            let same = naive(pattern.as_bytes(), version.as_bytes());
            prop_assert_eq!(glob.matches(&version), same);
        }
    }
}
