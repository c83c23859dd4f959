//! An outbox before channels that do as they are told.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};

use super::*;
use crate::guard::NoticeKind;
use crate::model::Rate;
use crate::tell::channel::Channel;
use crate::tell::fixture::Scratch;
use crate::tell::template::full;

/// What a channel does with each attempt, and what it was given, when.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<(String, Duration)>>>,
    begun: Option<Instant>,
    rate: Option<Rate>,
    only: Vec<String>,
    /// It holds an alert per incident, and has to be told of it again so
    /// often.
    keep_alive: Option<Duration>,
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
            ..Self::default()
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
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>> {
        let notice = attempt.notice;
        Box::pin(async move {
            let at = self.begun.map_or(Duration::ZERO, |b| b.elapsed());
            lock(&self.seen).push((notice.id.clone(), at));
            let answer = lock(&self.answers).pop_front();
            match answer {
                None if self.is_threaded() => {
                    Ok(Delivered::default().keeping(format!("again {}", notice.id)))
                }
                None => Ok(Delivered::default()),
                Some(Answer::Fails(failure)) => Err(failure),
                Some(Answer::Hangs) => std::future::pending().await,
                Some(Answer::Panics) => panic!("on purpose"),
            }
        })
    }

    fn is_threaded(&self) -> bool {
        self.keep_alive.is_some()
    }

    fn keep_alive(&self) -> Option<Duration> {
        self.keep_alive
    }

    fn refresh<'a>(&'a self, memory: &'a str, _: i64) -> BoxFuture<'a, Result<(), Failure>> {
        let at = self.begun.map_or(Duration::ZERO, |b| b.elapsed());
        lock(&self.seen).push((memory.to_owned(), at));
        Box::pin(std::future::ready(Ok(())))
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
    let routes = channels.iter().map(|&(name, script)| {
        let route = Route {
            channel: Box::new(script.clone()),
            rate: script.rate,
            only: script.only.clone(),
            answers_as: None,
        };
        (name.to_owned(), route)
    });
    let begun = Instant::now();
    let clock: Clock = Arc::new(move || {
        let passed = u64::try_from(begun.elapsed().as_millis()).unwrap();
        (Moment::from_millis(600_000 + passed), 1_795_249_800_000)
    });
    Outbox::over(scratch.path(), routes.collect(), pace, clock).unwrap()
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
async fn what_comes_faster_than_the_rate_waits_in_order() {
    let scratch = Scratch::new();
    let script = Script {
        rate: Some(Rate {
            notices: 2,
            period: Duration::from_secs(60),
        }),
        ..Script::new([fails()])
    };
    let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
    for n in 0..5 {
        outbox
            .submit(notice(n, NoticeKind::Opened, &["slack"]))
            .unwrap();
    }
    until_idle(&outbox).await;
    // An attempt that failed was one for the receiver too.
    assert_eq!(script.ids(), ["n/0", "n/0", "n/1", "n/2", "n/3", "n/4"]);
    let times = script.times();
    assert!(times[1] <= 1, "{times:?}");
    assert_eq!(times[2..], [60, 60 + times[1], 120, 120 + times[1]]);
}

#[tokio::test(start_paused = true)]
async fn a_notifier_takes_only_the_kinds_that_it_is_for() {
    let scratch = Scratch::new();
    let script = Script {
        only: vec!["opened".into(), "closed".into()],
        ..Script::new([])
    };
    let outbox = outbox(&scratch, Pace::default(), &[("slack", &script)]);
    for (n, kind) in NoticeKind::ALL.into_iter().enumerate() {
        let accepted = outbox.submit(notice(n, kind, &["slack"])).unwrap();
        assert!(accepted.unknown.is_empty());
    }
    until_idle(&outbox).await;
    assert_eq!(script.ids(), ["n/0", "n/16"]);
}

/// A notifier that is told each minute of what is open.
fn alerts(answers: impl IntoIterator<Item = Answer>) -> Script {
    Script {
        keep_alive: Some(Duration::from_secs(60)),
        ..Script::new(answers)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_open_is_told_again_until_its_close_also_after_a_restart() {
    let scratch = Scratch::new();
    let script = alerts([]);
    let first = outbox(&scratch, Pace::default(), &[("am", &script)]);
    first
        .submit(notice(0, NoticeKind::Opened, &["am"]))
        .unwrap();
    let _ = timeout(Duration::from_secs(130), first.deliver()).await;
    assert_eq!(script.ids(), ["n/0", "again n/0", "again n/0"]);
    drop(first);

    let script = alerts([]);
    let second = outbox(&scratch, Pace::default(), &[("am", &script)]);
    let _ = timeout(Duration::from_secs(70), second.deliver()).await;
    assert_eq!(script.ids(), ["again n/0", "again n/0"]);
    assert_eq!(script.times(), [0, 60]);
    second
        .submit(notice(1, NoticeKind::Closed, &["am"]))
        .unwrap();
    let _ = timeout(Duration::from_secs(300), second.deliver()).await;
    assert_eq!(script.ids()[2..], ["again n/0", "n/1"]);
    drop(second);

    let script = alerts([]);
    let third = outbox(&scratch, Pace::default(), &[("am", &script)]);
    let _ = timeout(Duration::from_secs(300), third.deliver()).await;
    assert!(script.ids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_told_of_for_a_day_is_over() {
    let scratch = Scratch::new();
    let script = alerts([]);
    let outbox = outbox(&scratch, Pace::default(), &[("am", &script)]);
    outbox
        .submit(notice(0, NoticeKind::Opened, &["am"]))
        .unwrap();
    let _ = timeout(Duration::from_hours(30), outbox.deliver()).await;
    let last = *script.times().last().unwrap();
    assert!((86_300..=86_400).contains(&last), "{last}");
}

#[tokio::test(start_paused = true)]
async fn a_late_notice_opens_nothing_that_was_closed() {
    let scratch = Scratch::new();
    let refused = Answer::Fails(Failure {
        refused: true,
        ..Failure::new("status 400")
    });
    let script = alerts([refused]);
    let outbox = outbox(&scratch, Pace::default(), &[("pager", &script)]);
    let other = Notice {
        incident: Some(13),
        ..notice(2, NoticeKind::Opened, &["pager"])
    };
    for notice in [
        notice(0, NoticeKind::Opened, &["pager"]),
        notice(1, NoticeKind::Closed, &["pager"]),
        other,
    ] {
        outbox.submit(notice).unwrap();
    }
    until_idle(&outbox).await;
    let told: Vec<_> = script
        .ids()
        .into_iter()
        .filter(|id| !id.starts_with("again"))
        .collect();
    assert_eq!(told, ["n/0", "n/1", "n/2"]);
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
