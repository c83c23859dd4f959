//! What a ledger keeps over every kind of end.

use super::*;
use crate::tell::fixture::Scratch;
use crate::tell::template::full;

fn notice(n: u32) -> Arc<Notice> {
    let mut notice = full();
    notice.id = format!("checkout/12/{n}");
    Arc::new(notice)
}

fn accept(ledger: &mut Ledger, n: u32, to: &[&str]) -> Vec<String> {
    let (new, durable) = ledger.accept(&notice(n), to.iter().map(|&t| t.to_owned()));
    durable.unwrap();
    new.into_iter().collect()
}

fn waiting(ledger: &Ledger) -> Vec<String> {
    ledger
        .waiting()
        .flat_map(|(n, to)| to.iter().map(|to| format!("{} {to}", n.id)))
        .collect()
}

#[test]
fn what_was_accepted_and_not_settled_is_there_again() {
    let scratch = Scratch::new();
    let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
    accept(&mut ledger, 1, &["slack", "pager"]);
    accept(&mut ledger, 2, &["slack"]);
    ledger
        .settle("checkout/12/1", "slack", Fate::Delivered)
        .unwrap();
    drop(ledger);
    let (ledger, damaged) = Ledger::open(scratch.path()).unwrap();
    assert_eq!(damaged, 0);
    assert_eq!(
        waiting(&ledger),
        ["checkout/12/1 pager", "checkout/12/2 slack"]
    );
    assert_eq!(ledger.waiting().next().unwrap().0, &notice(1));
}

#[test]
fn nothing_is_accepted_twice_for_the_same_notifier_even_after_it_was_settled() {
    let scratch = Scratch::new();
    let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
    assert_eq!(accept(&mut ledger, 1, &["slack"]), ["slack"]);
    ledger
        .settle("checkout/12/1", "slack", Fate::Delivered)
        .unwrap();
    assert!(accept(&mut ledger, 1, &["slack"]).is_empty());
    drop(ledger);
    for _ in 0..2 {
        let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
        assert!(accept(&mut ledger, 1, &["slack"]).is_empty());
    }
    let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
    assert_eq!(accept(&mut ledger, 1, &["slack", "pager"]), ["pager"]);
}

/// Lengths at which a write can be cut, the last ones all: what was acknowledged before
/// is there, and nothing is half there.
#[test]
fn a_file_cut_anywhere_has_every_whole_line() {
    let scratch = Scratch::new();
    let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
    accept(&mut ledger, 1, &["slack"]);
    let kept = ledger.bytes;
    accept(&mut ledger, 2, &["slack"]);
    drop(ledger);
    let path = scratch.path().join(NAME);
    let bytes = std::fs::read(&path).unwrap();
    let kept = usize::try_from(kept).unwrap();
    let cuts = (kept..bytes.len()).step_by(13);
    for end in cuts.chain(bytes.len() - 2..=bytes.len()) {
        std::fs::write(&path, &bytes[..end]).unwrap();
        let (ledger, damaged) = Ledger::open(scratch.path()).unwrap();
        assert_eq!(damaged, 0);
        let expected = 1 + usize::from(end == bytes.len());
        assert_eq!(waiting(&ledger).len(), expected, "cut at {end}");
    }
}

#[test]
fn a_damaged_line_costs_itself_only_and_is_kept_aside() {
    let scratch = Scratch::new();
    let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
    accept(&mut ledger, 1, &["slack"]);
    let place = usize::try_from(ledger.bytes).unwrap();
    accept(&mut ledger, 2, &["slack"]);
    accept(&mut ledger, 3, &["slack"]);
    drop(ledger);
    let path = scratch.path().join(NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[place] = 0xff;
    std::fs::write(&path, &bytes).unwrap();
    let (ledger, damaged) = Ledger::open(scratch.path()).unwrap();
    assert_eq!(damaged, 1);
    assert_eq!(
        waiting(&ledger),
        ["checkout/12/1 slack", "checkout/12/3 slack"]
    );
    let aside = std::fs::read(scratch.path().join("outbox.jsonl.damaged")).unwrap();
    assert_eq!(aside, bytes);
}

#[test]
fn a_file_of_a_newer_agent_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join(NAME);
    std::fs::write(&path, "{\"outbox\":{\"version\":2}}\n").unwrap();
    assert!(matches!(
        Ledger::open(scratch.path()),
        Err(OutboxError::Newer { found: 2, .. })
    ));
    assert!(path.exists());
}

#[test]
fn after_a_failed_write_a_whole_new_file_takes_its_place() {
    let scratch = Scratch::new();
    let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
    accept(&mut ledger, 1, &["slack"]);
    ledger.file = Some(File::options().write(true).open("/dev/full").unwrap());
    let (new, durable) = ledger.accept(&notice(2), ["slack".to_owned()]);
    assert_eq!(new.len(), 1, "it is to be delivered all the same");
    assert!(matches!(durable, Err(OutboxError::NotDurable { .. })));
    accept(&mut ledger, 3, &["slack"]);
    drop(ledger);
    let (ledger, damaged) = Ledger::open(scratch.path()).unwrap();
    assert_eq!((waiting(&ledger).len(), damaged), (3, 0));
}

#[test]
fn the_file_and_what_is_remembered_stay_bounded() {
    let scratch = Scratch::new();
    let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
    let mut longest = 0;
    for n in 0..6000 {
        let line = Line::Accepted {
            notice: notice(n),
            to: BTreeSet::from(["slack".to_owned()]),
        };
        // Not synced, for the sake of the disk under the test.
        ledger.append(&line, false).unwrap();
        ledger.record.read(line);
        ledger
            .settle(&notice(n).id, "slack", Fate::Delivered)
            .unwrap();
        longest = longest.max(ledger.bytes);
    }
    assert!(longest < 600 * 1024, "{longest}");
    assert_eq!(ledger.record.known.len(), REMEMBERED);
    assert_eq!(ledger.record.known_in_order.len(), REMEMBERED);
    assert!(ledger.record.waiting.is_empty() && ledger.record.places.is_empty());
}

#[test]
fn a_thread_is_remembered_over_restarts_until_it_is_over() {
    let scratch = Scratch::new();
    let at = Moment::from_millis;
    let (mut ledger, _) = Ledger::open(scratch.path()).unwrap();
    ledger.remember("github", "a/1", at(1), Some("7")).unwrap();
    ledger.remember("github", "a/2", at(2), Some("8")).unwrap();
    ledger.remember("github", "a/1", at(3), None).unwrap();
    ledger.remember("am", "a/1", at(3), Some("x")).unwrap();
    for _ in 0..2 {
        let (ledger, damaged) = Ledger::open(scratch.path()).unwrap();
        assert_eq!(damaged, 0);
        let expected = BTreeMap::from([("a/2".to_owned(), (at(2), "8".to_owned()))]);
        assert_eq!(ledger.threads("github"), expected);
        assert_eq!(ledger.threads("am").len(), 1);
    }
}

#[test]
fn threads_that_never_end_are_bounded_and_the_oldest_go_first() {
    let mut record = Record::default();
    for n in 0..THREADS + 10 {
        record.read(Line::Thread {
            to: "github".into(),
            key: n.to_string(),
            at: Moment::from_millis(n as u64),
            memory: Some(String::new()),
        });
    }
    assert_eq!(record.threads.len(), THREADS);
    let has = |n: usize| {
        record
            .threads
            .contains_key(&("github".into(), n.to_string()))
    };
    assert!(!has(9) && has(10));
}

#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    drop(Ledger::open(scratch.path()).unwrap());
    let mode = std::fs::metadata(scratch.path().join(NAME))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
