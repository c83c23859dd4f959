//! A recording as it is played: what each source said, in the order of time.
//!
//! A database exports one series after the other, the engine wants one scrape
//! after the other. Each series stays a column of its own, and a scrape is put
//! together only when its time has come: nothing of a recording is in memory
//! twice, and no order of the file's lines is better than another.
//!
//! A sample that the agent takes for a tick is stamped with the tick. Others
//! stamp the time at which they scraped, a little early or late, and half of
//! their scrapes would seem to be missing from a window that has room for four.
//! So scrapes that come nearly at the source's own pace are played at exactly
//! that pace.

use std::iter::Peekable;
use std::slice::Iter;
use std::sync::Arc;
use std::time::Duration;

use super::column::Play;
use super::recording::Recorded;
use crate::guard::Event;
use crate::model::{Gap, GapKind, Moment, Outcome, Sample, Series};

/// What a source said at a time, or what ran.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact<'a> {
    /// A source was sampled.
    Sampled(&'a str, Outcome),
    /// A release ran.
    Ran(&'a str),
    /// People or the agent did something.
    Happened(&'a Event),
}

/// The facts of a recording in the order of their time; at one time releases
/// come first, then what was done, then sources by name.
pub(crate) struct Facts<'a> {
    ran: Peekable<Iter<'a, (Moment, String)>>,
    happened: Peekable<Iter<'a, (Moment, Event)>>,
    reels: Vec<Reel<'a>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        sources: impl Iterator<Item = &'a Recorded>,
        ran: &'a [(Moment, String)],
        happened: &'a [(Moment, Event)],
    ) -> Self {
        Self {
            ran: ran.iter().peekable(),
            happened: happened.iter().peekable(),
            reels: sources.map(Reel::new).collect(),
        }
    }

    /// When the next fact is; `None` after the last.
    pub(super) fn at(&mut self) -> Option<Moment> {
        let ran = self.ran.peek().map(|(at, _)| *at);
        let said = self.reels.iter().filter_map(|reel| reel.next);
        let happened = self.happened.peek().map(|(at, _)| *at);
        let said = said.map(|next| next.played);
        said.chain(ran).chain(happened).min()
    }

    /// The next fact, if it is not later than this.
    pub(crate) fn next_by(&mut self, latest: Moment) -> Option<(Moment, Fact<'a>)> {
        let at = self.at().filter(|at| *at <= latest)?;
        if let Some((at, version)) = self.ran.next_if(|(ran, _)| *ran == at) {
            return Some((*at, Fact::Ran(version)));
        }
        if let Some((at, event)) = self.happened.next_if(|(when, _)| *when == at) {
            return Some((*at, Fact::Happened(event)));
        }
        let mut reels = self.reels.iter_mut();
        let (reel, next) = reels.find_map(|reel| {
            let next = reel.next.filter(|next| next.played == at)?;
            Some((reel, next))
        })?;
        let said = reel.scrape(next);
        Some((at, Fact::Sampled(reel.name, said)))
    }
}

/// What one source said, as it is played.
struct Reel<'a> {
    name: &'a str,
    probes: bool,
    /// It was scraped when `up` says so, and only then.
    by_up: bool,
    up: Play<'a>,
    success: Play<'a>,
    latency: Play<'a>,
    whys: Play<'a>,
    gaps: &'a [Gap],
    /// Series whose first sample is still to come, the next one last.
    waiting: Vec<(Moment, Strip<'a>)>,
    /// Series of now, in the file's order.
    playing: Vec<Strip<'a>>,
    /// The next time of those.
    soonest: Option<Moment>,
    /// How far apart its scrapes are, where they have a pace.
    cadence: Option<Duration>,
    /// When it was sampled next; `None` after the last time.
    next: Option<Next>,
}

/// When a source was sampled, and when that is played.
#[derive(Clone, Copy, Debug)]
struct Next {
    sampled: Moment,
    played: Moment,
}

/// One series of a reel.
struct Strip<'a> {
    /// Its place in the file.
    place: usize,
    series: &'a Arc<Series>,
    play: Play<'a>,
}

impl<'a> Reel<'a> {
    fn new(recorded: &'a Recorded) -> Self {
        let mut waiting: Vec<_> = recorded
            .series
            .iter()
            .enumerate()
            .filter_map(|(place, (series, column))| {
                let play = column.play();
                let strip = Strip {
                    place,
                    series,
                    play,
                };
                Some((strip.play.at()?, strip))
            })
            .collect();
        waiting.sort_by_key(|(first, _)| std::cmp::Reverse(*first));
        let mut reel = Self {
            name: &recorded.name,
            probes: recorded.probes,
            by_up: recorded.by_up(),
            up: recorded.up.play(),
            success: recorded.success.play(),
            latency: recorded.latency.play(),
            whys: recorded.whys.play(),
            gaps: &recorded.gaps,
            waiting,
            playing: Vec::new(),
            soonest: None,
            cadence: recorded.cadence,
            next: None,
        };
        reel.next = reel.upcoming().map(|first| Next {
            sampled: first,
            played: first,
        });
        reel
    }

    /// When a sample is played that was taken after another.
    fn paced(&self, last: Next, sampled: Moment) -> Next {
        let in_time = self.cadence.map(|cadence| {
            let due = last.played + cadence;
            let off = due.since(sampled) + sampled.since(due);
            (due, off <= cadence / 5)
        });
        let played = match in_time {
            Some((due, true)) => due,
            _ => sampled.max(last.played + Duration::from_millis(1)),
        };
        Next { sampled, played }
    }

    /// When it was sampled next.
    fn upcoming(&self) -> Option<Moment> {
        if self.by_up {
            return self.up.at().into_iter().chain(self.whys.at()).min();
        }
        let probed = [&self.up, &self.success, &self.latency, &self.whys];
        let probed = probed.into_iter().filter_map(Play::at);
        let waiting = self.waiting.last().map(|(first, _)| *first);
        probed.chain(self.soonest).chain(waiting).min()
    }

    /// What it said at its next time.
    fn scrape(&mut self, next: Next) -> Outcome {
        let at = next.sampled;
        let up = self.up.last_at(at).map(|up| up != 0.0);
        let why = self.why(at);
        let said = if self.probes {
            self.probed(at, up, why)
        } else {
            let samples = self.samples(at);
            match (up, why) {
                (Some(false), why) => Outcome::Failed(why.unwrap_or_else(failed)),
                (None, Some(why)) => Outcome::Failed(why),
                (Some(true), _) | (None, None) => Outcome::Scraped(samples),
            }
        };
        self.next = self.upcoming().map(|then| self.paced(next, then));
        said
    }

    fn samples(&mut self, at: Moment) -> Vec<Sample> {
        while let Some((_, strip)) = self.waiting.pop_if(|(first, _)| *first <= at) {
            let place = self.playing.partition_point(|s| s.place < strip.place);
            self.playing.insert(place, strip);
        }
        let mut samples = Vec::with_capacity(self.playing.len());
        let (mut over, mut soonest) = (false, None::<Moment>);
        for strip in &mut self.playing {
            while let Some(value) = strip.play.next_at(at) {
                samples.push(Sample {
                    series: Arc::clone(strip.series),
                    value,
                });
            }
            match strip.play.at() {
                Some(next) => soonest = Some(soonest.map_or(next, |s| s.min(next))),
                None => over = true,
            }
        }
        self.soonest = soonest;
        if over {
            self.playing.retain(|strip| strip.play.at().is_some());
        }
        samples
    }

    /// Why it failed then, where that is known.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the place was put there as one"
    )]
    fn why(&mut self, at: Moment) -> Option<Gap> {
        let place = self.whys.last_at(at)? as usize;
        self.gaps.get(place).cloned()
    }

    fn probed(&mut self, at: Moment, up: Option<bool>, why: Option<Gap>) -> Outcome {
        let success = self.success.last_at(at).map(|success| success != 0.0);
        let success = success.or(up).unwrap_or(why.is_none());
        let failed = || why.unwrap_or_else(failed);
        let latency = self.latency.last_at(at);
        match latency.and_then(|s| Duration::try_from_secs_f64(s).ok()) {
            Some(latency) => Outcome::Probed {
                latency,
                fault: (!success).then(failed),
            },
            None if success => Outcome::Probed {
                latency: Duration::ZERO,
                fault: None,
            },
            None => Outcome::Failed(failed()),
        }
    }
}

fn failed() -> Gap {
    Gap::new(GapKind::Other, "recorded as failed")
}
