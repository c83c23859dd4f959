//! PromQL instant selectors: `name{a="x", b!="y", c=~"re", d!~"re"}`.
//!
//! Syntax and meaning are Prometheus's (Querying basics, *Instant vector
//! selectors*): an absent label equals the empty string, regular expressions
//! are anchored at both ends, and a quoted name inside the braces is the UTF-8
//! form of the metric name.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Series;
use super::anchored::Anchored;

/// Bytes of a compiled regular expression: those that people write take some
/// thousand, and a thousand of the largest shall neither fill the memory nor
/// take minutes to compile.
pub(super) const LARGEST_REGEX: usize = 1 << 20;

/// A selector, checked, and ready to match. Cheap to clone: a policy, its sensor
/// and its judge have the same one.
#[derive(Clone, Debug)]
pub struct Selector(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    name: Option<String>,
    matchers: Vec<Matcher>,
    text: String,
}

/// One label test of a selector.
#[derive(Clone, Debug)]
struct Matcher {
    label: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Match(Anchored),
    NoMatch(Anchored),
}

/// Where a selector's text is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectorError {
    /// Byte offset into the text.
    pub offset: usize,
    /// Length in bytes of what is wrong, at least 1 unless at the end.
    pub len: usize,
    /// What is wrong.
    pub message: String,
}

impl Selector {
    /// Parses a selector.
    ///
    /// # Errors
    ///
    /// The place and kind of the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Parser { text, at: 0 }.selector()
    }

    /// The metric name, when the selector names exactly one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The selector as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The same label tests on another metric name: the buckets of a histogram
    /// are selected by the histogram's name.
    #[must_use]
    pub fn with_name(&self, name: &str) -> Self {
        let old = self.name().unwrap_or_default();
        let text = if self.text().starts_with('{') {
            self.text()
                .replacen(&format!("\"{old}\""), &format!("\"{name}\""), 1)
        } else {
            format!("{name}{}", &self.text()[old.len()..])
        };
        Self(Arc::new(Parts {
            name: Some(name.to_owned()),
            matchers: self.0.matchers.clone(),
            text,
        }))
    }

    /// The series that has this name and these labels and no others; `None`
    /// where a test is for anything but equality, or there is no name.
    #[must_use]
    pub fn series(&self) -> Option<Series> {
        let labels = self.0.matchers.iter().map(|m| match &m.test {
            Test::Equal(value) => Some((m.label.clone(), value.clone())),
            Test::NotEqual(_) | Test::Match(_) | Test::NoMatch(_) => None,
        });
        Some(Series::new(self.name()?, labels.collect::<Option<_>>()?))
    }

    /// Whether the series is selected.
    #[must_use]
    pub fn matches(&self, series: &Series) -> bool {
        self.name().is_none_or(|name| name == series.name())
            && self.0.matchers.iter().all(|m| {
                let value = if m.label == "__name__" {
                    series.name()
                } else {
                    series.label(&m.label)
                };
                match &m.test {
                    Test::Equal(x) => x == value,
                    Test::NotEqual(x) => x != value,
                    Test::Match(re) => re.is_match(value),
                    Test::NoMatch(re) => !re.is_match(value),
                }
            })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Selector {}

impl PartialOrd for Selector {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Selector {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text().cmp(other.text())
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn selector(mut self) -> Result<Selector, SelectorError> {
        self.space();
        let bare = self.word(true);
        let mut name = (!bare.is_empty()).then(|| bare.to_owned());
        let mut matchers = Vec::new();
        self.space();
        if self.eat('{') {
            loop {
                self.space();
                if self.eat('}') {
                    break;
                }
                if self.peek() == Some('"') {
                    let start = self.at;
                    let quoted = self.quoted()?;
                    self.space();
                    if matches!(self.peek(), Some(',' | '}')) {
                        if name.replace(quoted).is_some() {
                            return Err(self.fault(start, "the metric name is given twice"));
                        }
                    } else {
                        matchers.push(self.matcher(quoted)?);
                    }
                } else {
                    let start = self.at;
                    let label = self.word(false).to_owned();
                    if label.is_empty() {
                        return Err(self.fault(start, "expected a label name or `}`"));
                    }
                    matchers.push(self.matcher(label)?);
                }
                self.space();
                if !self.eat(',') {
                    let here = self.at;
                    if !self.eat('}') {
                        return Err(self.fault(here, "expected `,` or `}`"));
                    }
                    break;
                }
            }
        }
        self.space();
        if self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let message = if rest.starts_with('[') || rest.starts_with("offset") {
                "a selector has no range or offset: the window belongs to the signal".to_owned()
            } else if rest.starts_with('(') {
                "a selector has no functions: write the bare metric and choose the kind of signal"
                    .to_owned()
            } else {
                format!("unexpected `{rest}` after the selector")
            };
            return Err(SelectorError {
                offset: self.at,
                len: rest.len(),
                message,
            });
        }
        let selective = name.is_some()
            || matchers.iter().any(|m| match &m.test {
                Test::Equal(x) => !x.is_empty(),
                Test::NotEqual(x) => x.is_empty(),
                Test::Match(re) => !re.is_match(""),
                Test::NoMatch(re) => re.is_match(""),
            });
        if !selective {
            return Err(self.fault(
                0,
                "a selector needs a metric name or a test that an absent label does not pass",
            ));
        }
        matchers.shrink_to_fit();
        Ok(Selector(Arc::new(Parts {
            name,
            matchers,
            text: self.text.trim().to_owned(),
        })))
    }

    fn matcher(&mut self, label: String) -> Result<Matcher, SelectorError> {
        self.space();
        let start = self.at;
        let op = ["=~", "!~", "!=", "="]
            .into_iter()
            .find(|op| self.text[self.at..].starts_with(op))
            .ok_or_else(|| self.fault(start, "expected `=`, `!=`, `=~` or `!~`"))?;
        self.at += op.len();
        self.space();
        let start = self.at;
        if !matches!(self.peek(), Some('"' | '\'' | '`')) {
            return Err(self.fault(start, "expected a quoted string"));
        }
        let value = self.quoted()?;
        let len = self.at - start;
        let pattern = |value| {
            Anchored::new(value).map_err(|e| SelectorError {
                offset: start,
                len,
                message: match e {
                    regex::Error::CompiledTooBig(_) => "the regular expression is too large".into(),
                    e => format!(
                        "not a regular expression: {}",
                        e.to_string().lines().last().unwrap_or_default().trim()
                    ),
                },
            })
        };
        let test = match op {
            "=" => Test::Equal(value),
            "!=" => Test::NotEqual(value),
            "=~" => Test::Match(pattern(value)?),
            _ => Test::NoMatch(pattern(value)?),
        };
        Ok(Matcher { label, test })
    }

    /// A string in `"`, `'` or backticks, with Go's escapes as far as PromQL
    /// users write them: `\\`, `\"`, `\'`, `\n`, `\t`, `\r`. Backticks are raw.
    fn quoted(&mut self) -> Result<String, SelectorError> {
        let start = self.at;
        let quote = self.peek().unwrap_or_default();
        self.at += quote.len_utf8();
        let mut out = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += i + c.len_utf8();
                    return Ok(out);
                }
                '\\' if quote != '`' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, 'r')) => out.push('\r'),
                    Some((_, c @ ('\\' | '"' | '\''))) => out.push(c),
                    other => {
                        return Err(SelectorError {
                            offset: self.at + i,
                            len: 1 + other.map_or(0, |(_, c)| c.len_utf8()),
                            message: "unknown escape: write `\\\\` for a backslash".into(),
                        });
                    }
                },
                c => out.push(c),
            }
        }
        Err(self.fault(start, "the string is not closed"))
    }

    fn word(&mut self, colons: bool) -> &'a str {
        let rest = &self.text[self.at..];
        let len = rest
            .char_indices()
            .find(|&(i, c)| {
                !(c.is_ascii_alphabetic()
                    || c == '_'
                    || (colons && c == ':')
                    || (i > 0 && c.is_ascii_digit()))
            })
            .map_or(rest.len(), |(i, _)| i);
        self.at += len;
        &rest[..len]
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn fault(&self, offset: usize, message: &str) -> SelectorError {
        let len = self.text[offset..].chars().next().map_or(0, char::len_utf8);
        SelectorError {
            offset,
            len,
            message: message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(text: &[(&str, &str)]) -> Series {
        Series::new(
            "http_requests_total",
            text.iter()
                .map(|&(a, b)| (a.to_owned(), b.to_owned()))
                .collect(),
        )
    }

    #[test]
    fn absent_labels_equal_the_empty_string_and_regexes_are_anchored() {
        for (selector, labels, expected) in [
            ("http_requests_total", &[][..], true),
            ("http_requests", &[], false),
            (
                r#"http_requests_total{code=~"5.."}"#,
                &[("code", "503")],
                true,
            ),
            (
                r#"http_requests_total{code=~"5.."}"#,
                &[("code", "5030")],
                false,
            ),
            (
                r#"http_requests_total{code!~"5..|4..",}"#,
                &[("code", "200")],
                true,
            ),
            (r#"{__name__="http_requests_total"}"#, &[], true),
            (r#"{"http_requests_total", code=""}"#, &[], true),
            (r#"http_requests_total{code!=""}"#, &[], false),
            (
                r#"http_requests_total{"http.route"='/a}b'}"#,
                &[("http.route", "/a}b")],
                true,
            ),
        ] {
            let parsed = Selector::parse(selector).unwrap();
            assert_eq!(parsed.matches(&series(labels)), expected, "{selector}");
        }
    }

    #[test]
    fn faults_name_their_place() {
        for (selector, offset) in [
            ("", 0),
            ("{}", 0),
            ("a{", 2),
            ("a{b}", 3),
            ("a{b=~\"(\"}", 5),
            ("a{b=\"x}", 4),
            ("rate(a)", 4),
            ("a[5m]", 1),
            ("a{b=\"\\d\"}", 5),
            ("a{b=\"\\é\"}", 5),
            ("a{b=\"\\", 5),
        ] {
            let fault = Selector::parse(selector).unwrap_err();
            assert_eq!(fault.offset, offset, "{selector}: {fault}");
            let place = selector.get(offset..offset + fault.len);
            assert!(place.is_some(), "{selector}: {fault:?}");
        }
    }
}
