//! The answer of Prometheus's API, read into numbers without a tree of it in
//! between (Prometheus *HTTP API*, "Format overview" and "Range vectors").

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, Visitor};

use crate::model::{Moment, Series};

/// What a server has of one series, in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// With all the labels that the server gives it.
    pub series: Series,
    /// Times are Unix time; values may be NaN or infinite.
    pub samples: Vec<(Moment, f64)>,
}

/// The whole answer; what is not read is warnings and infos.
#[derive(Deserialize)]
pub(super) struct Reply<T> {
    pub(super) status: String,
    pub(super) data: Option<T>,
    #[serde(rename = "errorType")]
    pub(super) kind: Option<String>,
    pub(super) error: Option<String>,
}

/// Series with their samples.
#[derive(Deserialize)]
pub(super) struct Matrix {
    #[serde(rename = "resultType")]
    pub(super) kind: String,
    pub(super) result: Vec<Row>,
}

#[derive(Deserialize)]
pub(super) struct Row {
    metric: Labels,
    #[serde(default)]
    values: Vec<Pair>,
    /// Of a native histogram, which no signal reads.
    #[serde(default, rename = "histograms")]
    _histograms: IgnoredAny,
}

/// A series as labels, its name among them.
#[derive(Deserialize)]
pub(super) struct Labels(BTreeMap<String, String>);

/// Unix seconds, and a number in a string.
#[derive(Deserialize)]
struct Pair(f64, Number);

struct Number(f64);

impl Row {
    pub(super) fn kept(self) -> Kept {
        let samples = self.values.into_iter();
        let samples = samples.filter_map(|Pair(at, Number(value))| Some((moment(at)?, value)));
        Kept {
            series: self.metric.series(),
            samples: samples.collect(),
        }
    }
}

impl Labels {
    pub(super) fn series(mut self) -> Series {
        let name = self.0.remove("__name__").unwrap_or_default();
        Series::new(name, self.0.into_iter().collect())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; what no clock says saturates"
)]
fn moment(at: f64) -> Option<Moment> {
    let ms = (at * 1000.0).round();
    (ms >= 0.0).then_some(Moment::from_millis(ms as u64))
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(InString)
    }
}

struct InString;

impl Visitor<'_> for InString {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number in a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        let number = text.parse().map_err(|_| E::custom("not a number"))?;
        Ok(Number(number))
    }
}
