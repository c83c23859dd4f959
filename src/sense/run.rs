//! A command: its exit status, as a check of Nagios; where signals select
//! series, also what it prints, as a page of them.
//!
//! 0 says that all is well; any other status is a failure with the first line
//! that was printed. A check that could not check says nothing of the service:
//! status 3 (*Monitoring Plugins Development Guidelines*, "UNKNOWN"), 126 and
//! 127 (a command in it could not be run), an end by a signal, none in time, and
//! not having been started are blindness, never *down*. Warnings (1) fail:
//! whoever wants to let them pass writes a check that does.

use super::command::Command;
use super::exposition::{Dialect, Exposition, Framing};
use crate::model::{Gap, Sample, Selector};

/// Most bytes of a page, as the default of a scrape.
const MOST_PRINTED: u64 = 64 << 20;

/// A command, and what is known of its page.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) command: Command,
    /// `None` where no signal selects anything: then output is only words.
    exposition: Option<Exposition>,
}

impl Run {
    pub(super) fn new(argv: &[String], selectors: Vec<Selector>) -> Self {
        let mut run = Self {
            command: Command::new(argv),
            exposition: None,
        };
        run.select(selectors);
        run
    }

    /// Other selectors: everything known of the page is forgotten.
    pub(super) fn select(&mut self, selectors: Vec<Selector>) {
        self.exposition = (!selectors.is_empty()).then(|| Exposition::new(selectors));
    }

    /// Runs it once and gives its page, an empty one where nothing is selected.
    /// Counts the bytes of its output.
    pub(super) async fn sample(&mut self, bytes: &mut u64) -> Result<Vec<Sample>, Gap> {
        let exposition = self.exposition.as_mut();
        let mut page = exposition.map(|known| known.page(Dialect::Text, MOST_PRINTED));
        let mut fault = None;
        let take = |piece: &[u8]| {
            *bytes += piece.len() as u64;
            if let (Some(page), None) = (&mut page, &fault) {
                fault = page.feed(piece).err();
            }
        };
        let ended = self.command.run(take).await?;
        let streams = [&ended.first, &ended.said];
        if let Some(gap) = ended.gap(streams).or(fault) {
            return Err(gap);
        }
        match page {
            None => Ok(Vec::new()),
            Some(page) if ended.whole => page.finish(Framing::Announced),
            Some(page) => page.finish(Framing::Closed),
        }
    }
}
