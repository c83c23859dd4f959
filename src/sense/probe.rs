//! One HTTP request: was the answer the expected one, and how long did it take.

use std::collections::BTreeMap;

use hyper::Method;
use memchr::memmem;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::client::{Asked, Client, Request};
use super::stopwatch::Stopwatch;
use super::{SenseError, headers, url};
use crate::model::{Expect, Gap, GapKind, Outcome, Short, Tls};

/// Most bytes of an answer's body. A health page has a few hundred.
const MAX_BODY: usize = 1 << 20;

/// A request and what its answer must be.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) request: Request,
    expect: Expect,
    json: Vec<(String, JsonPath, Value)>,
}

/// What a probe sends.
pub(super) struct Sent<'a> {
    pub(super) url: &'a str,
    pub(super) method: &'a str,
    pub(super) headers: &'a BTreeMap<String, String>,
    pub(super) body: Option<&'a String>,
    pub(super) tls: &'a Tls,
}

impl Probe {
    pub(super) fn new(
        sent: &Sent<'_>,
        expect: &Expect,
        client: &Client,
    ) -> Result<Self, SenseError> {
        let json = expect
            .json
            .iter()
            .map(|(path, value)| match JsonPath::parse(path) {
                Ok(parsed) => Ok((path.clone(), parsed, value.clone())),
                Err(error) => Err(SenseError::JsonPath {
                    path: path.clone(),
                    error,
                }),
            })
            .collect::<Result<_, _>>()?;
        let method =
            Method::from_bytes(sent.method.as_bytes()).map_err(|_| SenseError::Method {
                method: sent.method.to_owned(),
            })?;
        let asked = Asked {
            method,
            url: url(sent.url)?,
            headers: headers(sent.headers)?,
            body: sent.body.cloned(),
            tls: sent.tls.clone(),
            answers: expect.status.clone(),
        };
        Ok(Self {
            request: Request::new(client, asked),
            expect: expect.clone(),
            json,
        })
    }

    /// One request. Counts the bytes of the answer's body as they come.
    pub(super) async fn sample(&mut self, bytes: &mut u64) -> Result<Outcome, Gap> {
        let watch = Stopwatch::start();
        let mut answer = self.request.send().await?;
        let status = answer.status();
        let accepted = if self.expect.status.is_empty() {
            status.is_success()
        } else {
            self.expect.status.contains(&status.as_u16())
        };
        let mut body = Vec::new();
        let mut too_large = false;
        while let Some(piece) = answer.chunk().await? {
            *bytes += piece.len() as u64;
            if body.len() + piece.len() > MAX_BODY {
                too_large = true;
                break;
            }
            body.extend_from_slice(piece);
        }
        let latency = watch.elapsed();
        // One that was not read to its end keeps nothing.
        self.request.keep(answer);
        let late = self.expect.within.filter(|&within| latency > within);
        let fault = if !accepted {
            Some(Gap::new(
                GapKind::Status,
                format!("status {}", status.as_u16()),
            ))
        } else if too_large {
            Some(Gap::new(
                GapKind::TooLarge,
                format!("the body is larger than {MAX_BODY} bytes"),
            ))
        } else if let Some(within) = late {
            Some(Gap::new(
                GapKind::Expectation,
                format!(
                    "answered after {}, expected within {}",
                    Short(latency),
                    Short(within)
                ),
            ))
        } else {
            self.wrong(&body)
        };
        Ok(Outcome::Probed { latency, fault })
    }

    /// What is wrong with a body.
    fn wrong(&self, body: &[u8]) -> Option<Gap> {
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
