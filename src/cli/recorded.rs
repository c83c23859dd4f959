//! Where the samples of a replay come from: exactly one of these.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::Error;
use super::places::Places;
use super::prometheus::Prometheus;
use super::range::Range;
use crate::model::Policy;
use crate::replay::{HistoryError, Past, Recording};

/// Recorded samples.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("recorded").required(true).args(["samples", "history", "prometheus"])))]
pub(super) struct Recorded {
    /// The recorded samples, as OpenMetrics text with timestamps; `-` is
    /// standard input.
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// What the agent took down of this service itself, and what was imported
    /// beside it.
    #[arg(long)]
    history: bool,
    /// What a Prometheus, Mimir, Thanos or VictoriaMetrics has kept.
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    #[command(flatten)]
    range: Range,
    /// The agent's state directory, where something is read from it; a running
    /// agent is not disturbed.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    asking: Prometheus,
}

impl Recorded {
    /// Reads what the sources of these policies of one service said.
    pub(super) fn read(&self, policies: &[&Policy]) -> Result<Recording, Error> {
        if self.history {
            return self.past(policies);
        }
        if let Some(url) = &self.prometheus {
            return self.asking.read(url, &self.range, policies);
        }
        if self.range.is_given() {
            return Err(
                Error::usage("--since, --from and --to need --history or --prometheus")
                    .hint("a file is replayed from its beginning to its end"),
            );
        }
        // Without a file clap has refused the line.
        let path = self.samples.as_deref().unwrap_or(Path::new("-"));
        let name = path.display();
        if path.as_os_str() == "-" {
            Recording::read_for(policies, io::stdin().lock())
        } else {
            let file = File::open(path)
                .map_err(|e| Error::failed(format!("cannot open {name}")).because_of(Some(&e)))?;
            Recording::read_for(policies, BufReader::new(file))
        }
        .map_err(|e| Error::of(&e).hint(format!("look at {name}")))
    }

    /// What the agent took down itself.
    pub(super) fn journal(&self) -> Result<Past, Error> {
        Past::open(&self.state()).map_err(|e| Error::of(&e).hint(WHOSE))
    }

    fn state(&self) -> PathBuf {
        let state = self.state.clone();
        state.unwrap_or_else(|| Places::of_this_user().state)
    }

    fn past(&self, policies: &[&Policy]) -> Result<Recording, Error> {
        let state = self.state();
        let past = self.journal()?;
        let span = self.range.of(&past)?;
        Recording::of_history(policies, &past, span).map_err(|e| match &e {
            HistoryError::Past(_) => Error::of(&e).hint(WHOSE),
            HistoryError::Recording(_) => Error::of(&e).hint(format!(
                "`backstop history` says what there is in {}",
                state.display()
            )),
        })
    }
}

/// Who may read a state directory.
pub(super) const WHOSE: &str =
    "it is read by the agent's own user and by root; another directory is named with --state";
