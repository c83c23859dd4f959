//! The outbox: takes notices in at once, and carries them out at least once,
//! however long a notifier is away.
//!
//! Each notifier has a lane of its own, in order, with its own waits; a dead
//! one delays no other and no decision. A lane is bounded: when it is full, the
//! oldest regular update goes first, then the oldest notice, and that is
//! counted and said. A notice that its receiver refuses, or that has failed
//! five times, makes way for the next one and is tried again after it, so that
//! one that cannot be delivered does not block those that can.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::RandomState;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::backoff::{Pace, jitter};
use super::channel::{Channel, Failure, channel};
use super::lane::{Lane, lock};
use super::ledger::{Fate, Ledger};
use crate::guard::Notice;
use crate::model::{Moment, Notifier};
use crate::view::value;

pub use super::lane::Counts;
pub use super::ledger::OutboxError;

/// Tells the moment and how far the wall clock is ahead of it, in milliseconds.
/// The age of a notice is counted by the first, which nobody can set.
pub type Clock = Arc<dyn Fn() -> (Moment, i64) + Send + Sync>;

/// The durable queue of notices.
pub struct Outbox {
    lanes: BTreeMap<String, Lane>,
    ledger: Arc<Mutex<Ledger>>,
    pace: Pace,
    clock: Clock,
    seeds: RandomState,
    settled: Notify,
}

/// What became of a submitted notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Notifiers that will deliver it.
    pub queued: Vec<String>,
    /// Notifiers named that nothing is configured for.
    pub unknown: Vec<String>,
}

impl Outbox {
    /// Opens the outbox in the state directory, with what the agent before left
    /// undelivered. Reads and writes files: not for an async task that must not
    /// wait.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or a newer agent wrote it.
    pub fn open(
        directory: &Path,
        notifiers: &BTreeMap<String, Notifier>,
        pace: Pace,
        clock: Clock,
    ) -> Result<Self, OutboxError> {
        let channels = notifiers
            .iter()
            .map(|(name, notifier)| (name.clone(), channel(notifier)))
            .collect();
        Self::over(directory, channels, pace, clock)
    }

    fn over(
        directory: &Path,
        channels: BTreeMap<String, Box<dyn Channel>>,
        pace: Pace,
        clock: Clock,
    ) -> Result<Self, OutboxError> {
        let (ledger, damaged) = Ledger::open(directory)?;
        if damaged > 0 {
            tracing::error!(
                lines = damaged,
                "the outbox was damaged: notices may be lost; it is kept as outbox.jsonl.damaged"
            );
        }
        let left: Vec<_> = ledger
            .waiting()
            .map(|(notice, to)| (Arc::clone(notice), to.clone()))
            .collect();
        let outbox = Self {
            lanes: channels
                .into_iter()
                .map(|(name, channel)| (name.clone(), Lane::new(name, channel)))
                .collect(),
            ledger: Arc::new(Mutex::new(ledger)),
            pace,
            clock,
            seeds: RandomState::new(),
            settled: Notify::new(),
        };
        let mut ledger = lock(&outbox.ledger);
        for (notice, to) in left {
            for name in to {
                if let Some(lane) = outbox.lanes.get(&name) {
                    outbox.queue(&mut ledger, lane, &notice);
                } else {
                    tracing::error!(
                        notice = notice.id,
                        notifier = name,
                        "given up: this notifier is not configured any more"
                    );
                    settle(&mut ledger, &notice.id, &name, Fate::GivenUp);
                }
            }
        }
        drop(ledger);
        Ok(outbox)
    }

    /// Takes a notice in for the notifiers that it names, but for those that it
    /// was taken in for before, in this run or an earlier one. Returns when
    /// that is durable: one write to the disk, and never the network. Call it
    /// where waiting for the disk is allowed.
    ///
    /// # Errors
    ///
    /// [`OutboxError::NotDurable`]: it is queued all the same, and would be
    /// forgotten by a crash.
    pub fn submit(&self, notice: Notice) -> Result<Accepted, OutboxError> {
        let (known, unknown): (Vec<String>, Vec<String>) = notice
            .notify
            .iter()
            .cloned()
            .partition(|name| self.lanes.contains_key(name));
        if !unknown.is_empty() {
            tracing::error!(
                notice = notice.id,
                notifiers = unknown.join(", "),
                "not told: no such notifier is configured"
            );
        }
        let notice = Arc::new(notice);
        let mut ledger = lock(&self.ledger);
        let (new, durable) = ledger.accept(&notice, known);
        for name in &new {
            if let Some(lane) = self.lanes.get(name) {
                self.queue(&mut ledger, lane, &notice);
            }
        }
        drop(ledger);
        durable.map(|()| Accepted {
            queued: new.into_iter().collect(),
            unknown,
        })
    }

    /// Delivers, for as long as it is polled; never returns. Dropping it leaves
    /// what is under way undelivered: it is tried again after a restart.
    pub async fn deliver(&self) -> Infallible {
        join_all(self.lanes.values().map(|lane| self.serve(lane))).await;
        std::future::pending().await
    }

    /// Waits until nothing waits any more. For a grace at the agent's end; set
    /// a limit to it.
    pub async fn idle(&self) {
        loop {
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable();
            if self.lanes.values().all(Lane::is_idle) {
                return;
            }
            settled.await;
        }
    }

    /// The numbers of each notifier.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.lanes
            .iter()
            .map(|(name, lane)| (name.clone(), lane.counts()))
            .collect()
    }

    /// Puts a notice into a lane, making room for it where there is none.
    fn queue(&self, ledger: &mut Ledger, lane: &Lane, notice: &Arc<Notice>) {
        for dropped in lane.push(notice, self.pace.capacity) {
            tracing::error!(
                notice = dropped,
                notifier = lane.name,
                capacity = self.pace.capacity,
                "dropped: too many notices wait for this notifier"
            );
            settle(ledger, &dropped, &lane.name, Fate::Dropped);
        }
        lane.arrived.notify_one();
    }

    async fn serve(&self, lane: &Lane) {
        loop {
            let Some(notice) = lane.next() else {
                lane.arrived.notified().await;
                continue;
            };
            let (moment, ahead) = (self.clock)();
            let unix = moment.unix_millis(ahead).div_euclid(1000);
            let attempt = AssertUnwindSafe(lane.channel.deliver(&notice, unix)).catch_unwind();
            let outcome = attempt
                .await
                .unwrap_or_else(|_| Err(Failure::new("the notifier panicked")));
            match outcome {
                Ok(()) => {
                    lane.delivered(&notice);
                    self.settle(lane, &notice, Fate::Delivered).await;
                }
                Err(failure) => self.failed(lane, &notice, failure).await,
            }
        }
    }

    /// Gives up or waits.
    async fn failed(&self, lane: &Lane, notice: &Notice, failure: Failure) {
        let age = (self.clock)().0.since(notice.at);
        let give_up = age >= self.pace.give_up;
        let asked = failure.retry_after;
        let failures = lane.failed(notice, &failure, give_up);
        let wait = self
            .pace
            .wait(failures, asked, jitter(&self.seeds, &lane.name, failures));
        if give_up {
            tracing::error!(
                notice = notice.id,
                notifier = lane.name,
                reason = failure.reason,
                "given up: it could not be delivered for {}",
                value::span(age)
            );
            self.settle(lane, notice, Fate::GivenUp).await;
        } else if failures == 1 {
            tracing::warn!(
                notice = notice.id,
                notifier = lane.name,
                reason = failure.reason,
                "not delivered, tried again in {}",
                value::span(wait)
            );
        } else {
            tracing::debug!(
                notice = notice.id,
                notifier = lane.name,
                reason = failure.reason,
                failures,
                "still not delivered, tried again in {}",
                value::span(wait)
            );
        }
        sleep(wait).await;
    }

    /// Writes down what became of a notice, away from the tasks that deliver:
    /// the disk may be slow.
    async fn settle(&self, lane: &Lane, notice: &Notice, fate: Fate) {
        let ledger = Arc::clone(&self.ledger);
        let (id, name) = (notice.id.clone(), lane.name.clone());
        let written =
            tokio::task::spawn_blocking(move || settle(&mut lock(&ledger), &id, &name, fate));
        if written.await.is_err() {
            tracing::error!(notice = notice.id, "the outbox's file could not be kept");
        }
        self.settled.notify_waiters();
    }
}

fn settle(ledger: &mut Ledger, id: &str, to: &str, fate: Fate) {
    if let Err(error) = ledger.settle(id, to, fate) {
        tracing::warn!(
            notice = id,
            notifier = to,
            %error,
            "the outbox cannot be written: after a restart this notice may be told once more"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use futures_util::future::BoxFuture;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::guard::NoticeKind;
    use crate::tell::fixture::Scratch;
    use crate::tell::template::full;

    /// What a channel does with each attempt, and what it was given, when.
    #[derive(Clone, Default)]
    struct Script {
        answers: Arc<Mutex<VecDeque<Answer>>>,
        seen: Arc<Mutex<Vec<(String, Duration)>>>,
        begun: Option<Instant>,
    }

    #[derive(Clone)]
    enum Answer {
        Fails(Failure),
        Hangs,
        Panics,
    }

    impl Script {
        fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
            Self {
                answers: Arc::new(Mutex::new(answers.into_iter().collect())),
                seen: Arc::default(),
                begun: Some(Instant::now()),
            }
        }

        fn ids(&self) -> Vec<String> {
            lock(&self.seen).iter().map(|(id, _)| id.clone()).collect()
        }

        fn times(&self) -> Vec<u64> {
            lock(&self.seen).iter().map(|(_, t)| t.as_secs()).collect()
        }
    }

    impl Channel for Script {
        fn deliver<'a>(&'a self, notice: &'a Notice, _: i64) -> BoxFuture<'a, Result<(), Failure>> {
            Box::pin(async move {
                let at = self.begun.map_or(Duration::ZERO, |b| b.elapsed());
                lock(&self.seen).push((notice.id.clone(), at));
                let answer = lock(&self.answers).pop_front();
                match answer {
                    None => Ok(()),
                    Some(Answer::Fails(failure)) => Err(failure),
                    Some(Answer::Hangs) => std::future::pending().await,
                    Some(Answer::Panics) => panic!("on purpose"),
                }
            })
        }
    }

    fn fails() -> Answer {
        Answer::Fails(Failure::new("down"))
    }

    fn notice(n: usize, kind: NoticeKind, notify: &[&str]) -> Notice {
        let mut notice = full();
        notice.id = format!("n/{n}");
        notice.kind = kind;
        notice.notify = notify.iter().map(|&n| n.to_owned()).collect();
        notice
    }

    fn outbox(scratch: &Scratch, pace: Pace, channels: &[(&str, &Script)]) -> Outbox {
        let channels = channels
            .iter()
            .map(|&(name, script)| {
                let channel: Box<dyn Channel> = Box::new(script.clone());
                (name.to_owned(), channel)
            })
            .collect();
        let begun = Instant::now();
        let clock: Clock = Arc::new(move || {
            let passed = u64::try_from(begun.elapsed().as_millis()).unwrap();
            (Moment::from_millis(600_000 + passed), 1_795_249_800_000)
        });
        Outbox::over(scratch.path(), channels, pace, clock).unwrap()
    }

    async fn until_idle(outbox: &Outbox) {
        tokio::select! {
            never = outbox.deliver() => match never {},
            () = outbox.idle() => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_channel_delays_no_other() {
        let scratch = Scratch::new();
        let dead = Script::new([Answer::Hangs]);
        let alive = Script::new([]);
        let outbox = outbox(
            &scratch,
            Pace::default(),
            &[("dead", &dead), ("alive", &alive)],
        );
        for n in 0..3 {
            outbox
                .submit(notice(n, NoticeKind::Opened, &["dead", "alive"]))
                .unwrap();
        }
        let _ = timeout(Duration::from_secs(1), outbox.deliver()).await;
        assert_eq!(alive.ids(), ["n/0", "n/1", "n/2"]);
        assert_eq!(alive.times(), [0, 0, 0]);
        assert_eq!(outbox.counts()["dead"].queued, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_tried_again_in_order_with_growing_waits() {
        let scratch = Scratch::new();
        let script = Script::new([fails(), fails(), fails(), fails()]);
        let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        outbox
            .submit(notice(0, NoticeKind::Opened, &["slack"]))
            .unwrap();
        outbox
            .submit(notice(1, NoticeKind::Closed, &["slack"]))
            .unwrap();
        until_idle(&outbox).await;
        assert_eq!(script.ids(), ["n/0", "n/0", "n/0", "n/0", "n/0", "n/1"]);
        let took = script.times()[4];
        assert!((7..=15).contains(&took), "{took}");
        let counts = &outbox.counts()["slack"];
        assert_eq!((counts.delivered, counts.failed, counts.failing), (2, 4, 0));
        assert_eq!(counts.last_failure, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_notice_makes_way_and_is_tried_again_after_the_others() {
        let scratch = Scratch::new();
        let refused = Answer::Fails(Failure {
            refused: true,
            ..Failure::new("status 400")
        });
        let script = Script::new([refused]);
        let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        for n in 0..3 {
            outbox
                .submit(notice(n, NoticeKind::Opened, &["slack"]))
                .unwrap();
        }
        until_idle(&outbox).await;
        assert_eq!(script.ids(), ["n/0", "n/1", "n/2", "n/0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_a_day_is_given_up_and_said() {
        let scratch = Scratch::new();
        let script = Script::new(vec![fails(); 10_000]);
        let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        outbox
            .submit(notice(0, NoticeKind::Opened, &["slack"]))
            .unwrap();
        until_idle(&outbox).await;
        let last = *script.times().last().unwrap();
        assert!((86_400..86_400 + 300).contains(&last), "{last}");
        let counts = &outbox.counts()["slack"];
        assert_eq!((counts.given_up, counts.delivered), (1, 0));
        assert_eq!(counts.last_failure.as_deref(), Some("down"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_asks_for_time_gets_it() {
        let scratch = Scratch::new();
        let busy = Answer::Fails(Failure {
            retry_after: Some(Duration::from_secs(90)),
            ..Failure::new("status 429")
        });
        let script = Script::new([busy]);
        let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        outbox
            .submit(notice(0, NoticeKind::Opened, &["slack"]))
            .unwrap();
        until_idle(&outbox).await;
        assert_eq!(script.times(), [0, 90]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_drops_the_oldest_update_first_and_never_the_one_under_way() {
        let scratch = Scratch::new();
        let script = Script::new([fails()]);
        let pace = Pace {
            capacity: 3,
            ..Pace::default()
        };
        let outbox = outbox(&scratch, pace, &[("slack", &script)]);
        outbox
            .submit(notice(0, NoticeKind::Update, &["slack"]))
            .unwrap();
        // Under way: it has been handed to the channel.
        let lane = &outbox.lanes["slack"];
        lane.next().unwrap();
        outbox
            .submit(notice(1, NoticeKind::Opened, &["slack"]))
            .unwrap();
        outbox
            .submit(notice(2, NoticeKind::Update, &["slack"]))
            .unwrap();
        outbox
            .submit(notice(3, NoticeKind::Failed, &["slack"]))
            .unwrap();
        outbox
            .submit(notice(4, NoticeKind::Closed, &["slack"]))
            .unwrap();
        assert_eq!(outbox.counts()["slack"].dropped, 2);
        until_idle(&outbox).await;
        assert_eq!(script.ids(), ["n/0", "n/0", "n/3", "n/4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notifier_that_panics_takes_no_other_with_it() {
        let scratch = Scratch::new();
        let script = Script::new([Answer::Panics]);
        let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        outbox
            .submit(notice(0, NoticeKind::Opened, &["slack"]))
            .unwrap();
        until_idle(&outbox).await;
        assert_eq!(script.ids(), ["n/0", "n/0"]);
        assert_eq!(outbox.counts()["slack"].failed, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_acknowledged_is_lost_and_nothing_settled_comes_back_over_restarts() {
        let scratch = Scratch::new();
        let all: Vec<String> = (0..40).map(|n| format!("n/{n}")).collect();
        let mut delivered: Vec<String> = Vec::new();
        // Each life of the agent takes in eight notices, is handed the ones
        // before again, fails now and then, and ends in the middle of it all.
        for life in 0..5 {
            let script = Script::new((0..3).map(|_| fails()));
            let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
            for n in 0..(life + 1) * 8 {
                outbox
                    .submit(notice(n, NoticeKind::Opened, &["slack"]))
                    .unwrap();
            }
            let dropped_after = Duration::from_millis(700 * (life as u64 + 1));
            let _ = timeout(dropped_after, outbox.deliver()).await;
            let failed = outbox.counts()["slack"].failed;
            let seen = script.ids();
            delivered.extend(seen.into_iter().skip(usize::try_from(failed).unwrap()));
        }
        let script = Script::new([]);
        let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        until_idle(&outbox).await;
        delivered.extend(script.ids());
        assert_eq!(delivered, all);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_cut_off_by_the_agents_end_is_made_again() {
        let scratch = Scratch::new();
        let script = Script::new([Answer::Hangs]);
        let first = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        first
            .submit(notice(0, NoticeKind::Opened, &["slack"]))
            .unwrap();
        let _ = timeout(Duration::from_secs(1), first.deliver()).await;
        drop(first);
        let second = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        until_idle(&second).await;
        assert_eq!(script.ids(), ["n/0", "n/0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_notifier_is_named_and_a_removed_one_is_given_up() {
        let scratch = Scratch::new();
        let script = Script::new([]);
        let first = outbox(&scratch, Pace::default(), &[("pager", &script)]);
        let accepted = first
            .submit(notice(0, NoticeKind::Opened, &["pager", "pagr"]))
            .unwrap();
        assert_eq!(accepted.queued, ["pager"]);
        assert_eq!(accepted.unknown, ["pagr"]);
        drop(first);
        let second = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        until_idle(&second).await;
        drop(second);
        let third = outbox(&scratch, Pace::default(), &[("pager", &script)]);
        until_idle(&third).await;
        assert!(script.ids().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_notice_is_queued_once() {
        let scratch = Scratch::new();
        let script = Script::new([]);
        let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
        let one = || notice(0, NoticeKind::Opened, &["slack", "slack"]);
        assert_eq!(outbox.submit(one()).unwrap().queued, ["slack"]);
        assert_eq!(outbox.submit(one()).unwrap(), Accepted::default());
        until_idle(&outbox).await;
        assert_eq!(outbox.submit(one()).unwrap(), Accepted::default());
        assert_eq!(script.ids(), ["n/0"]);
    }
}
