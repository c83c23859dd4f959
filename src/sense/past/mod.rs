//! What a Prometheus, or what speaks as one, has kept of a policy's sources.
//!
//! A page's series are asked for as they were scraped: by an instant query of a
//! range selector, `metric{…}[1h]` at the end of the hour, whose answer is the
//! stored samples with their own times (Prometheus *HTTP API*, "Instant
//! queries"; *Querying basics*, "Range Vector Selectors"). `query_range` would
//! not do: it gives the last value within five minutes at every step, so that a
//! scrape that failed looks like one that went well. Remote read has the same
//! samples, in protocol buffers and snappy, and not every server has it. The
//! queries of a `prometheus` source are asked by `query_range` at the interval
//! at which the agent asks them, which is what the agent would have been told.
//!
//! A long time is asked for in pieces, one after the other: half as long where
//! the server says that it is too much, longer where little comes. A piece
//! that cannot be had is missing for the whole source, so that it is a gap, and
//! no page on which there are no errors.

mod archive;
mod reply;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

pub use archive::Archive;
use archive::{Refusal, Refused};
pub use reply::Kept;

use crate::model::{Gap, Moment, asked_as};

/// The first piece of a long time.
const FIRST_PIECE: Duration = Duration::from_hours(1);
/// The longest piece: a server has to have all of it in memory.
const LONGEST_PIECE: Duration = Duration::from_hours(7 * 24);
/// A piece that is refused as too much is not made shorter than this.
const SHORTEST_PIECE: Duration = Duration::from_mins(1);
/// Samples that a piece is to have, more or less: some 10 MB of JSON.
const AIM: usize = 250_000;
/// Most values of a series that a `query_range` may ask for; the server allows
/// 11,000.
const MOST_STEPS: u32 = 10_000;
/// Pieces in a row that a server fails to give before it is left alone.
const OUTAGES: u32 = 3;
/// Most that a server may ask us to wait.
const MOST_ASKED_WAIT: Duration = Duration::from_mins(5);

/// What is asked of one source.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Stored samples of a page: selectors, and label matchers that name the
    /// target, such as `job="checkout"`; without them there has to be one only.
    Page {
        /// As PromQL has them.
        selectors: Vec<String>,
        /// Inside the braces of a selector.
        target: Option<String>,
    },
    /// Values of queries, at every interval.
    Answers {
        /// By the signal's name.
        queries: BTreeMap<String, String>,
        /// How often.
        every: Duration,
    },
}

/// How patient one is with a server.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The wait after the first failure; each is twice the one before.
    pub wait: Duration,
    /// How often a piece is asked for.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(1),
            tries: 5,
        }
    }
}

/// A part of the time that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The source.
    pub source: String,
    /// Its beginning.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
    /// Why.
    pub why: Gap,
}

/// How far the asking is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The source that is asked for.
    pub source: &'a str,
    /// How much of all time of all sources was asked for, 0 to 1.
    pub share: f64,
    /// Samples that came so far.
    pub samples: u64,
}

/// Who is told what a server has kept.
pub trait Listener {
    /// Samples of a source's series, in the order of time. `up` are those of
    /// the target's health.
    fn kept(&mut self, source: &str, kept: &Kept);
    /// What to know about it.
    fn remark(&mut self, remark: String);
    /// How far it is.
    fn progress(&mut self, progress: Progress<'_>);
}

/// Asks for all that was kept of the sources from one time to another, by Unix
/// time. What could not be had, in the order of sources and of time.
///
/// # Errors
///
/// A sentence: the server knows several targets that a source could be.
pub async fn ask(
    archive: &Archive,
    sources: &BTreeMap<String, Wanted>,
    span: (Moment, Moment),
    patience: Patience,
    listener: &mut impl Listener,
) -> Result<Vec<Missing>, String> {
    let mut asker = Asker {
        archive,
        patience,
        span,
        listener,
        missing: Vec::new(),
        outages: 0,
        samples: 0,
        sources: sources.len(),
        over: 0,
        several: BTreeSet::new(),
    };
    for (source, wanted) in sources {
        asker.source(source, wanted).await?;
        asker.over += 1;
    }
    Ok(asker.missing)
}

struct Asker<'a, L> {
    archive: &'a Archive,
    patience: Patience,
    span: (Moment, Moment),
    listener: &'a mut L,
    missing: Vec<Missing>,
    /// Pieces in a row that failed because of the server.
    outages: u32,
    samples: u64,
    sources: usize,
    /// Sources that are over.
    over: usize,
    /// Signals whose query gave more than a number.
    several: BTreeSet<String>,
}

/// One thing to ask of a piece of time.
enum Question {
    /// Stored samples of a selector.
    Stored(String),
    /// Values of a signal's query.
    Answers { signal: String, promql: String },
}

impl<L: Listener> Asker<'_, L> {
    async fn source(&mut self, source: &str, wanted: &Wanted) -> Result<(), String> {
        let (questions, every) = match wanted {
            Wanted::Page { selectors, target } => {
                match self.page(source, selectors, target.as_deref()).await {
                    Ok(Some(questions)) => (questions, None),
                    Ok(None) => return Ok(()),
                    Err(Unknown::Targets(which)) => return Err(which),
                    Err(Unknown::Server(why)) => {
                        self.miss(source, self.span, why);
                        return Ok(());
                    }
                }
            }
            Wanted::Answers { queries, every } => {
                let questions = queries.iter().map(|(signal, promql)| Question::Answers {
                    signal: signal.clone(),
                    promql: promql.clone(),
                });
                (questions.collect(), Some(*every))
            }
        };
        self.pieces(source, &questions, every).await
    }

    /// The selectors of a page's series and of its health, those of one target.
    async fn page(
        &mut self,
        source: &str,
        selectors: &[String],
        target: Option<&str>,
    ) -> Result<Option<Vec<Question>>, Unknown> {
        let asked: Vec<String> = match target {
            Some(target) => vec![matched("up", target)],
            None => selectors.to_vec(),
        };
        let span = self.span;
        let labels = self.patiently(async |archive| archive.series(&asked, span).await);
        let labels = labels
            .await
            .map_err(|refused| Unknown::Server(refused.why))?;
        let found: BTreeSet<(&str, &str)> = labels
            .iter()
            .map(|series| (series.label("job"), series.label("instance")))
            .collect();
        let target = match (target, found.len()) {
            (Some(target), 0) => {
                self.listener.remark(format!(
                    "the server has no `up{{{target}}}`: when `{source}` was scraped is told by its series alone"
                ));
                target.to_owned()
            }
            (Some(target), _) => target.to_owned(),
            (None, 0) => {
                self.listener.remark(format!(
                    "the server has none of the series that `{source}` is read for in this time"
                ));
                return Ok(None);
            }
            (None, 1) => found.iter().map(|target| named(*target)).collect(),
            (None, _) => return Err(Unknown::Targets(several(source, &found))),
        };
        let up = (!found.is_empty()).then(|| "up".to_owned());
        // A bare name selects all that the same name with labels does.
        let selectors = selectors.iter().filter(|selector| {
            let name = selector.split('{').next().unwrap_or_default();
            name == selector.as_str() || !selectors.iter().any(|other| other == name)
        });
        let asked = up
            .iter()
            .chain(selectors)
            .map(|selector| matched(selector, &target));
        Ok(Some(asked.map(Question::Stored).collect()))
    }

    async fn pieces(
        &mut self,
        source: &str,
        questions: &[Question],
        every: Option<Duration>,
    ) -> Result<(), String> {
        let longest = every.map_or(LONGEST_PIECE, |every| every * MOST_STEPS);
        let mut piece = FIRST_PIECE.min(longest);
        let (mut at, end) = self.span;
        while at < end {
            self.tell_progress(source, at);
            // A piece ends on a step, so that the next goes on with the next one.
            let whole = every.map_or(piece, |every| every * steps(piece, every));
            let to = (at + whole).min(end);
            match self.piece(questions, every, (at, to)).await {
                Ok(kept) => {
                    self.outages = 0;
                    let came: usize = kept.iter().map(|kept| kept.samples.len()).sum();
                    self.samples += came as u64;
                    check_targets(source, &kept)?;
                    for kept in &kept {
                        self.listener.kept(source, kept);
                    }
                    at = to;
                    if came < AIM / 2 {
                        piece = (piece * 2).min(longest);
                    } else if came > AIM {
                        piece = (piece / 2).max(SHORTEST_PIECE);
                    }
                }
                Err(Refused {
                    kind: Refusal::TooMuch,
                    ..
                }) if piece > SHORTEST_PIECE => {
                    piece = (piece.min(to.since(at)) / 2).max(SHORTEST_PIECE);
                }
                Err(Refused {
                    kind: Refusal::Query,
                    why,
                    ..
                }) => {
                    self.miss(source, (at, end), why);
                    break;
                }
                Err(Refused { why, .. }) => {
                    self.outages += 1;
                    if self.outages >= OUTAGES {
                        self.miss(source, (at, end), why);
                        break;
                    }
                    self.miss(source, (at, to), why);
                    at = to;
                }
            }
        }
        self.tell_progress(source, end);
        Ok(())
    }

    /// All of a piece, or nothing.
    async fn piece(
        &mut self,
        questions: &[Question],
        every: Option<Duration>,
        span: (Moment, Moment),
    ) -> Result<Vec<Kept>, Refused> {
        let mut all = Vec::new();
        for question in questions {
            match question {
                Question::Stored(selector) => {
                    let kept = self.patiently(async |archive| archive.stored(selector, span).await);
                    // Selectors may have series in common.
                    for one in kept.await? {
                        if !all.iter().any(|known: &Kept| known.series == one.series) {
                            all.push(one);
                        }
                    }
                }
                Question::Answers { signal, promql } => {
                    let every = every.unwrap_or(FIRST_PIECE);
                    let kept = self
                        .patiently(async |archive| archive.answers(promql, span, every).await)
                        .await?;
                    match <[Kept; 1]>::try_from(kept) {
                        Ok([one]) => all.push(Kept {
                            series: asked_as(signal),
                            samples: one.samples,
                        }),
                        Err(none) if none.is_empty() => {}
                        Err(several) => {
                            if self.several.insert(signal.clone()) {
                                self.listener.remark(format!(
                                    "the query of `{signal}` gives several series, such as {} and {}: it has no reading then",
                                    several[0].series, several[1].series
                                ));
                            }
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    /// Asks until the server answers, or is out.
    async fn patiently<T>(
        &self,
        asked: impl AsyncFn(&Archive) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let tries = if self.outages > 0 {
            1
        } else {
            self.patience.tries
        };
        let mut wait = self.patience.wait;
        let mut tried = 0;
        loop {
            tried += 1;
            match asked(self.archive).await {
                Err(refused) if refused.kind == Refusal::Server && tried < tries => {
                    let asked = refused.wait.unwrap_or_default().min(MOST_ASKED_WAIT);
                    sleep(asked.max(wait)).await;
                    wait *= 2;
                }
                answer => return answer,
            }
        }
    }

    /// Times that follow each other are one.
    fn miss(&mut self, source: &str, span: (Moment, Moment), why: Gap) {
        let (from, to) = span;
        match self.missing.last_mut() {
            Some(last) if last.source == source && last.to == from => last.to = to,
            _ => self.missing.push(Missing {
                source: source.to_owned(),
                from,
                to,
                why,
            }),
        }
    }

    fn tell_progress(&mut self, source: &str, at: Moment) {
        let (from, to) = self.span;
        let own = at.since(from).as_secs_f64() / to.since(from).as_secs_f64().max(1e-3);
        self.listener.progress(Progress {
            source,
            share: (self.over as f64 + own) / self.sources.max(1) as f64,
            samples: self.samples,
        });
    }
}

fn steps(piece: Duration, every: Duration) -> u32 {
    let steps = piece.as_millis() / every.as_millis().max(1);
    u32::try_from(steps).unwrap_or(MOST_STEPS).max(1)
}

/// Why a page cannot be asked for.
enum Unknown {
    /// It could be several.
    Targets(String),
    Server(Gap),
}

/// A selector that also matches these labels.
fn matched(selector: &str, labels: &str) -> String {
    if labels.is_empty() {
        return selector.to_owned();
    }
    let Some((before, _)) = selector.rsplit_once('}') else {
        return format!("{selector}{{{labels}}}");
    };
    let before = before.trim_end().trim_end_matches(',');
    let comma = if before.ends_with('{') { "" } else { "," };
    format!("{before}{comma}{labels}}}")
}

/// `job="checkout",instance="host:9464"`; a label that a target lacks is left
/// out.
fn named((job, instance): (&str, &str)) -> String {
    let labels = [("job", job), ("instance", instance)];
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    let labels: Vec<_> = labels
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    labels.join(",")
}

fn several(source: &str, found: &BTreeSet<(&str, &str)>) -> String {
    /// More are not named.
    const NAMED: usize = 5;
    let names: Vec<_> = found
        .iter()
        .take(NAMED)
        .map(|target| named(*target))
        .collect();
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!(
        "the server knows {} targets that `{source}` could be: {}{more}",
        found.len(),
        names.join("; ")
    )
}

/// Targets may follow each other, but not be there at the same time: the agent
/// would have seen one of them.
fn check_targets(source: &str, kept: &[Kept]) -> Result<(), String> {
    let mut targets: Vec<_> = kept
        .iter()
        .filter(|kept| kept.series.name() == "up")
        .filter_map(|kept| Some((kept.samples.first()?.0, kept.samples.last()?.0, kept)))
        .collect();
    targets.sort_by_key(|(first, ..)| *first);
    let target = |kept: &Kept| {
        (
            kept.series.label("job").to_owned(),
            kept.series.label("instance").to_owned(),
        )
    };
    for pair in targets.windows(2) {
        let [(_, last, one), (first, _, other)] = pair else {
            continue;
        };
        if first < last {
            let (one, other) = (target(one), target(other));
            let found = [(&*one.0, &*one.1), (&*other.0, &*other.1)];
            return Err(several(source, &found.into_iter().collect()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_matched_by_any_selector() {
        for (selector, asked) in [
            ("up", r#"up{job="a"}"#),
            ("req{}", r#"req{job="a"}"#),
            (r#"req{code=~"5.."}"#, r#"req{code=~"5..",job="a"}"#),
            (r#"req{code="}", }"#, r#"req{code="}",job="a"}"#),
            (r#"{"a.b"}"#, r#"{"a.b",job="a"}"#),
        ] {
            assert_eq!(matched(selector, r#"job="a""#), asked);
            assert_eq!(matched(selector, ""), selector);
        }
        assert_eq!(named(("a\"b", "")), r#"job="a\"b""#);
    }
}
