//! One HTTP request: was the answer the expected one, and how long did it take.

use std::collections::BTreeMap;

use hyper::Method;

use super::client::{Asked, Client, Request};
use super::stopwatch::Stopwatch;
use super::{SenseError, headers, url};
use crate::model::{Expect, Expectation, Gap, GapKind, Outcome, Tls};

/// Most bytes of an answer's body. A health page has a few hundred.
const MAX_BODY: usize = 1 << 20;

/// A request and what its answer must be.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) request: Request,
    expectation: Expectation,
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
        let expectation = Expectation::new(expect)
            .map_err(|(path, error)| SenseError::JsonPath { path, error })?;
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
            expectation,
        })
    }

    /// One request. Counts the bytes of the answer's body as they come.
    pub(super) async fn sample(&mut self, bytes: &mut u64) -> Result<Outcome, Gap> {
        let watch = Stopwatch::start();
        let mut answer = self.request.send().await?;
        let status = answer.status();
        let accepted = self.expectation.accepts(status.as_u16());
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
        } else {
            self.expectation.wrong(&body, latency)
        };
        Ok(Outcome::Probed { latency, fault })
    }
}
