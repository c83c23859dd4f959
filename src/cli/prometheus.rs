//! Recorded samples of a Prometheus: what is typed about it, and a recording
//! made of what it has kept.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use super::Error;
use super::range::Range;
use crate::agent::{self, Kept, Listener, LookBack, Progress};
use crate::model::{Policy, Series, Tls};
use crate::replay::{LATENCY, Place, Recorder, Recording, SOURCE, SUCCESS, Span, UP};
use crate::view::value;

/// Where the help has these.
const HEADING: &str = "With --prometheus";

/// Cells of the progress bar.
const CELLS: usize = 30;

/// Which targets are asked for, and by whom.
#[derive(Debug, clap::Args)]
pub(super) struct Prometheus {
    /// Which of the server's targets is meant, as label matchers:
    /// 'job="checkout"'; of one source only: 'SOURCE:job="checkout"'. May be
    /// given for several sources.
    #[arg(
        long = "match",
        value_name = "[SOURCE:]LABELS",
        requires = "prometheus"
    )]
    targets: Vec<String>,
    /// A file with a bearer token.
    #[arg(long, value_name = "FILE", requires = "prometheus", help_heading = HEADING)]
    token_file: Option<PathBuf>,
    /// Sent with every request, such as 'X-Scope-OrgID: team-a'.
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "prometheus", help_heading = HEADING)]
    headers: Vec<String>,
    /// A PEM file of the certificates to trust instead of the system's.
    #[arg(long, value_name = "FILE", requires = "prometheus", help_heading = HEADING)]
    ca: Option<String>,
}

impl Prometheus {
    /// Asks, and shows on a terminal how far it is.
    pub(super) fn read(
        &self,
        url: &str,
        range: &Range,
        policies: &[&Policy],
    ) -> Result<Recording, Error> {
        let span = range.before(agent::unix_now())?;
        let asked = self.asked(url, span, policies)?;
        let mut taker = Taker {
            recorder: Recorder::new(policies.iter().copied()),
            places: BTreeMap::new(),
            bar: io::stderr().is_terminal(),
            fault: None,
        };
        let missing = agent::look_back(policies, &asked, &mut taker);
        taker.clear();
        let missing = missing.map_err(|error| {
            if error.is_usage() {
                Error::usage(error.to_string()).hint(
                    "say which one with --match; to judge several processes together, write a source of type `prometheus` with a query that sums them",
                )
            } else {
                Error::of(&error)
            }
        })?;
        let mut recorder = taker.recorder;
        for part in &missing {
            recorder.remark(format!(
                "{} of `{}` is missing, from {} to {}: {}; nothing is judged in it",
                value::span(part.to.since(part.from)),
                part.source,
                value::time(part.from, 0),
                value::time(part.to, 0),
                part.why
            ));
        }
        if let Some(fault) = taker.fault {
            return Err(Error::of(&fault));
        }
        recorder.finish().map_err(|error| {
            let failed = Error::failed("the server has nothing of this policy's sources in this time");
            match missing.first() {
                Some(part) => failed.because_of(Some(&Why(part.why.to_string()))),
                None => failed.because_of(Some(&error)).hint(
                    "look at the metric names in its own page, and at the time; --match says which target is meant",
                ),
            }
        })
    }

    fn asked(&self, url: &str, span: Span, policies: &[&Policy]) -> Result<LookBack, Error> {
        let (mut targets, mut target) = (BTreeMap::new(), None);
        for text in &self.targets {
            match source_of(text) {
                Some((source, labels)) => {
                    if !policies.iter().any(|p| p.sources.contains_key(source)) {
                        return Err(Error::usage(format!(
                            "--match names `{source}`, which is no source of the policy"
                        )));
                    }
                    targets.insert(source.to_owned(), labels.trim().to_owned());
                }
                None => target = Some(text.trim().to_owned()),
            }
        }
        Ok(LookBack {
            url: url.to_owned(),
            headers: self.sent()?,
            tls: Tls {
                ca: self.ca.clone(),
                ..Tls::default()
            },
            from: span.from,
            to: span.to,
            targets,
            target,
        })
    }

    fn sent(&self) -> Result<BTreeMap<String, String>, Error> {
        let mut headers = BTreeMap::new();
        for text in &self.headers {
            let (name, value) = text
                .split_once(':')
                .ok_or_else(|| Error::usage(format!("`{text}` is no header: NAME: VALUE")))?;
            headers.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        if let Some(path) = &self.token_file {
            let token = std::fs::read_to_string(path).map_err(|e| {
                Error::failed(format!("cannot read {}", path.display())).because_of(Some(&e))
            })?;
            headers.insert(
                "Authorization".to_owned(),
                format!("Bearer {}", token.trim()),
            );
        }
        Ok(headers)
    }
}

/// `SOURCE:LABELS`; a matcher alone has its colons behind a quote.
fn source_of(text: &str) -> Option<(&str, &str)> {
    let end = text.find([':', '=', '!', '"'])?;
    text[end..]
        .strip_prefix(':')
        .map(|labels| (text[..end].trim(), labels))
}

/// What a server said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Why(String);

/// Takes down what comes.
struct Taker {
    recorder: Recorder,
    /// By source and the server's series.
    places: BTreeMap<(String, Series), Place>,
    /// Whether there is a terminal to draw on.
    bar: bool,
    fault: Option<crate::replay::Fault>,
}

impl Taker {
    fn place(&mut self, source: &str, series: &Series) -> Option<Place> {
        let key = (source.to_owned(), series.clone());
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        // Of these a source has one, whatever its target is called.
        let bare = matches!(series.name(), UP | SUCCESS | LATENCY);
        let labels = series.labels().iter().filter(|_| !bare).cloned();
        let own = (SOURCE.to_owned(), source.to_owned());
        let named = Series::new(series.name(), labels.chain([own]).collect());
        match self.recorder.meet(&named) {
            Ok(place) => {
                self.places.insert(key, place);
                Some(place)
            }
            Err(fault) => {
                self.fault.get_or_insert(fault);
                None
            }
        }
    }

    fn clear(&self) {
        if self.bar {
            // A terminal that has gone needs none.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Listener for Taker {
    fn kept(&mut self, source: &str, kept: &Kept) {
        let Some(place) = self.place(source, &kept.series) else {
            return;
        };
        for (at, value) in &kept.samples {
            self.recorder.put(place, *at, *value);
        }
    }

    fn remark(&mut self, remark: String) {
        self.recorder.remark(remark);
    }

    fn progress(&mut self, progress: Progress<'_>) {
        if !self.bar {
            return;
        }
        let Progress {
            source,
            share,
            samples,
        } = progress;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of cells"
        )]
        let full = (share.clamp(0.0, 1.0) * CELLS as f64) as usize;
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{}{} {:3.0}%  {source}, {} samples",
            "█".repeat(full),
            "·".repeat(CELLS - full),
            share * 100.0,
            value::count(samples as f64)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_stands_before_its_labels() {
        for (text, source) in [
            (r#"job="a",instance="b:9""#, None),
            (r#"job=~"a:b""#, None),
            (r#"app:job="a:b""#, Some(("app", r#"job="a:b""#))),
            (r#" app : job!="a""#, Some(("app", r#" job!="a""#))),
            ("x", None),
        ] {
            assert_eq!(source_of(text), source, "{text}");
        }
    }
}
