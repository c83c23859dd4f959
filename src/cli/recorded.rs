//! Where the samples of a replay come from: exactly one of these.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use super::Error;
use crate::model::Policy;
use crate::replay::Recording;

/// Recorded samples.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false, id = "recorded")]
pub(super) struct Recorded {
    /// The recorded samples, as OpenMetrics text with timestamps; `-` is
    /// standard input.
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
}

impl Recorded {
    /// Reads what this policy's sources said.
    pub(super) fn read(&self, policy: &Policy) -> Result<Recording, Error> {
        // Without a file clap has refused the line.
        let path = self.samples.as_deref().unwrap_or("-".as_ref());
        let name = path.display();
        if path.as_os_str() == "-" {
            Recording::read(policy, io::stdin().lock())
        } else {
            let file = File::open(path)
                .map_err(|e| Error::failed(format!("cannot open {name}")).because_of(Some(&e)))?;
            Recording::read(policy, BufReader::new(file))
        }
        .map_err(|e| Error::of(&e).hint(format!("look at {name}")))
    }
}
