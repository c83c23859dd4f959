//! Placeholders in the arguments of a step: `{target}` and its siblings.
//!
//! Only finding them lives here, for those who check a plan and those who fill
//! it. A placeholder is a brace, a word of small letters, and a brace; any other
//! brace is itself, so that JSON and `{{.State.Status}}` go through untouched.

use std::ops::Range;

/// The placeholders there are.
pub const PLACEHOLDERS: [&str; 6] = [
    "service", "current", "target", "incident", "trigger", "host",
];

/// Everything in `text` that looks like a placeholder, in order: its name,
/// known or not, and the range that it takes with its braces.
pub fn placeholders_in(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(open) = text[from..].find('{').map(|i| from + i) {
            let word = &text[open + 1..];
            let len = word
                .find(|c: char| !(c.is_ascii_lowercase() || c == '_'))
                .unwrap_or(word.len());
            from = open + 1 + len;
            if len > 0 && text[from..].starts_with('}') {
                from += 1;
                return Some((&word[..len], open..from));
            }
        }
        None
    })
}

/// Every `{secret:NAME}` in `text`, in order: the name, and the range that it
/// takes with its braces.
pub fn secrets_in(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    const BEGIN: &str = "{secret:";
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(open) = text[from..].find(BEGIN).map(|i| from + i) {
            let word = &text[open + BEGIN.len()..];
            let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let len = word.find(|c| !in_name(c)).unwrap_or(word.len());
            from = open + BEGIN.len() + len;
            if len > 0 && text[from..].starts_with('}') {
                from += 1;
                return Some((&word[..len], open..from));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_its_own_braces() {
        let text = "Bearer {secret:cdn-1} {secret:} {secret:a b} {secret}{secret:x}";
        let names: Vec<_> = secrets_in(text).map(|(name, _)| name).collect();
        assert_eq!(names, ["cdn-1", "x"]);
        assert!(secrets_in(text).all(|(name, at)| text[at] == format!("{{secret:{name}}}")));
    }

    #[test]
    fn only_a_word_in_braces_is_a_placeholder() {
        for (text, found) in [
            (
                "/srv/{service}/releases/{target}",
                &["service", "target"][..],
            ),
            ("{taget}", &["taget"]),
            ("{{target}}", &["target"]),
            ("{{.State.Status}} {\"a\": 1} {} {", &[]),
            ("{{{host}é{", &["host"]),
        ] {
            let names: Vec<_> = placeholders_in(text).map(|(name, _)| name).collect();
            assert_eq!(names, found, "{text}");
            assert!(placeholders_in(text).all(|(name, at)| text[at] == format!("{{{name}}}")));
        }
    }
}
