//! A Prometheus text or `OpenMetrics` page, read as it comes in.

use std::collections::BTreeMap;

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};

use super::client::{Asked, Client, Request};
use super::exposition::{Dialect, Exposition};
use super::{SenseError, headers, url};
use crate::model::{Gap, GapKind, Sample, Selector, Tls};

/// What Prometheus asks for, in its order, without protobuf: a selector that
/// works there then sees the same names here.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
     application/openmetrics-text;version=0.0.1;q=0.4,\
     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
     text/plain;version=0.0.4;q=0.2,*/*;q=0.1";

/// A page and what is known of it.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) request: Request,
    max_body: u64,
    exposition: Exposition,
}

impl Scrape {
    pub(super) fn new(
        address: &str,
        extra: &BTreeMap<String, String>,
        max_body: u64,
        tls: &Tls,
        selectors: Vec<Selector>,
        client: &Client,
    ) -> Result<Self, SenseError> {
        let mut headers = headers(extra)?;
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static(ACCEPTED));
        let asked = Asked {
            method: Method::GET,
            url: url(address)?,
            headers,
            body: None,
            tls: tls.clone(),
            answers: Vec::new(),
        };
        Ok(Self {
            request: Request::new(client, asked),
            max_body,
            exposition: Exposition::new(selectors),
        })
    }

    /// Other selectors: everything known of the page is forgotten.
    pub(super) fn select(&mut self, selectors: Vec<Selector>) {
        self.exposition = Exposition::new(selectors);
    }

    /// One page. Counts its bytes, decompressed, as they come.
    pub(super) async fn sample(&mut self, bytes: &mut u64) -> Result<Vec<Sample>, Gap> {
        let mut answer = self.request.send().await?;
        if answer.status() != StatusCode::OK {
            return Err(Gap::new(
                GapKind::Status,
                format!("status {}", answer.status().as_u16()),
            ));
        }
        let content_type = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let dialect = Dialect::of(content_type)?;
        if let Some(length) = answer.length()
            && length > self.max_body
        {
            return Err(Gap::new(
                GapKind::TooLarge,
                format!(
                    "the body is larger than {} bytes: it has {length}",
                    self.max_body
                ),
            ));
        }
        let mut page = self.exposition.page(dialect, self.max_body);
        while let Some(piece) = answer.chunk().await? {
            *bytes += piece.len() as u64;
            page.feed(piece)?;
        }
        let samples = page.finish(answer.framing())?;
        self.request.keep(answer);
        Ok(samples)
    }
}
