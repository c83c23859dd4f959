//! What makes an answer over HTTP the expected one: of a probe, and of a step.
//!
//! Only the comparison lives here, so that both mean the same by the same words;
//! getting the answer is theirs.

use std::time::Duration;

use memchr::memmem;
use serde_json::Value;
use serde_json_path::{JsonPath, ParseError};

use super::{Expect, Gap, GapKind, Short};

/// An [`Expect`] whose paths are parsed.
#[derive(Debug)]
pub struct Expectation {
    expect: Expect,
    json: Vec<(String, JsonPath, Value)>,
}

impl Expectation {
    /// Parses the paths.
    ///
    /// # Errors
    ///
    /// The first path that is no JSONPath (RFC 9535), and why; a checked policy
    /// has none.
    pub fn new(expect: &Expect) -> Result<Self, (String, ParseError)> {
        let json = expect
            .json
            .iter()
            .map(|(path, value)| match JsonPath::parse(path) {
                Ok(parsed) => Ok((path.clone(), parsed, value.clone())),
                Err(error) => Err((path.clone(), error)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            expect: expect.clone(),
            json,
        })
    }

    /// Whether this status is accepted.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        if self.expect.status.is_empty() {
            (200..300).contains(&status)
        } else {
            self.expect.status.contains(&status)
        }
    }

    /// Whether the body matters.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.expect.body_contains.is_some() || !self.json.is_empty()
    }

    /// What is wrong with a whole body that took so long, if anything is.
    #[must_use]
    pub fn wrong(&self, body: &[u8], took: Duration) -> Option<Gap> {
        if let Some(within) = self.expect.within.filter(|&within| took > within) {
            return Some(Gap::new(
                GapKind::Expectation,
                format!(
                    "answered after {}, expected within {}",
                    Short(took),
                    Short(within)
                ),
            ));
        }
        if let Some(text) = &self.expect.body_contains
            && memmem::find(body, text.as_bytes()).is_none()
        {
            return Some(Gap::new(
                GapKind::Expectation,
                format!("the body does not contain {text:?}"),
            ));
        }
        if self.json.is_empty() {
            return None;
        }
        let document: Value = match serde_json::from_slice(body) {
            Ok(document) => document,
            Err(error) => {
                return Some(Gap::new(
                    GapKind::Malformed,
                    format!("the body is not JSON: {error}"),
                ));
            }
        };
        self.json
            .iter()
            .find_map(|(text, path, expected)| unequal(text, path, expected, &document))
    }
}

/// Why what a path finds is not the expected value. A path that finds several
/// values must find it in each.
fn unequal(text: &str, path: &JsonPath, expected: &Value, document: &Value) -> Option<Gap> {
    let found = path.query(document).all();
    let detail = if found.is_empty() {
        format!("{text} is missing, expected {expected}")
    } else {
        let wrong = found.into_iter().find(|value| !same(value, expected))?;
        format!("{text} is {}, expected {expected}", short(wrong))
    };
    Some(Gap::new(GapKind::Expectation, detail))
}

/// JSON does not tell `1` from `1.0`, though their parsed values do.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        #[expect(clippy::float_cmp, reason = "the same number, not a close one")]
        (Some(x), Some(y)) => a == b || x == y,
        _ => a == b,
    }
}

/// As JSON, cut where it would fill a log line.
fn short(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
