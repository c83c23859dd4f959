//! A time series' identity: a metric name and its labels.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A metric name and its labels, sorted by label name, each name once.
///
/// The same series is equal however its labels were ordered on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    name: String,
    labels: Vec<(String, String)>,
}

impl Series {
    /// A series of this name and these labels, in any order. Labels with an
    /// empty value are the same as absent ones (Prometheus data model) and are
    /// dropped; of a label name given twice the first stays.
    #[must_use]
    pub fn new(name: impl Into<String>, mut labels: Vec<(String, String)>) -> Self {
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        labels.dedup_by(|a, b| a.0 == b.0);
        Self {
            name: name.into(),
            labels,
        }
    }

    /// The metric name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels, sorted by name.
    #[must_use]
    pub fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// The value of a label, or the empty string where it is absent, as PromQL
    /// has it.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels
            .binary_search_by(|(n, _)| n.as_str().cmp(name))
            .map_or("", |i| self.labels[i].1.as_str())
    }
}

impl fmt::Display for Series {
    /// As the text exposition format writes it: `name{a="x",b="y"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        for (i, (name, value)) in self.labels.iter().enumerate() {
            f.write_str(if i == 0 { "{" } else { "," })?;
            write!(f, "{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => write!(f, "{c}")?,
                }
            }
            f.write_str("\"")?;
        }
        f.write_str("}")
    }
}
