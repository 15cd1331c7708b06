//! What is due, in which order, and what is counted.

use bytes::Bytes;
use model::name::{ExchangeName, Incarnation, MessageId, NodeId};
use model::qos::Qos;
use model::wire_cache::WireCache;
use storage::RecoveredEntry;

use super::*;

const LATER: u64 = 3_600_000;

#[test]
fn nothing_overtakes_what_is_still_to_be_read() {
    let (all, start) = (all(9, 99), clock::now());
    put(&all, start, LATER, true);
    put(&all, start, LATER + 5, false);
    let due = start.plus(Duration::from_millis(LATER));
    assert!(matches!(all.step(start), Step::Wait(Some(at)) if at == before(due)));
    let Step::Read(_, turns) = all.step(before(due)) else { panic!("it is to be read") };
    // Even when both are due, and even if somebody asks again.
    let after = due.plus(Duration::from_secs(1));
    assert!(matches!(all.step(after), Step::Wait(None)));
    assert_eq!(all.fill(&turns, found(&turns)), 0);
    let Step::Publish(due) = all.step(after) else { panic!("they are due") };
    assert!(due.iter().map(|(turn, _)| turn.number).eq([1, 2]));
    all.gone(2, 2);
    assert_eq!(all.size(), (0, 0));
}

#[test]
fn what_the_journal_has_lost_does_not_hold_up_the_others() {
    let (all, start) = (all(9, 99), clock::now());
    put(&all, start, LATER, true);
    put(&all, start, LATER + 1, true);
    let due = start.plus(Duration::from_millis(LATER + 1));
    let Step::Read(_, turns) = all.step(due) else { panic!("they are to be read") };
    all.could_not_read();
    assert!(matches!(all.step(start), Step::Wait(_)), "not at once");
    let Step::Read(_, again) = all.step(due) else { panic!("they are to be read") };
    assert_eq!(again, turns);
    assert_eq!(all.fill(&turns, found(&turns[1..])), 1);
    assert!(matches!(all.step(due), Step::Publish(due) if due.len() == 1 && due[0].0 == turns[1]));
    assert_eq!(all.size(), (1, 1), "until it is gone");
}

#[test]
fn what_is_put_back_or_taken_away_is_counted_rightly() {
    let (all, start) = (all(9, 99), clock::now());
    for (delay_ms, lasts) in [(10, true), (20, false), (LATER, true)] {
        put(&all, start, delay_ms, lasts);
    }
    let now = start.plus(Duration::from_millis(15));
    let Step::Publish(mut due) = all.step(now) else { panic!("one is due") };
    let (turn, waiting) = due.remove(0);
    assert!(due.is_empty());
    assert!(all.delete(turn).is_none(), "it is under way");
    all.put_back(turn, waiting, now);
    let turns: Vec<Turn> = all.list(None, 9).into_iter().map(|(turn, _)| turn).collect();
    assert!(turns.iter().map(|turn| turn.number).eq([2, 1, 3]));
    assert_eq!(all.list(Some(turns[0]), 1)[0].0, turns[1]);
    assert_eq!(Turn::parse(&turns[1].to_string()), Some(turns[1]));
    for (turn, lasts) in [(turns[0], false), (turns[1], true), (turns[2], true)] {
        let change = all.delete(turn).expect("it waits");
        assert_eq!(matches!(change, Some(Change::Remove(_))), lasts);
    }
    assert!(all.size() == (0, 0) && all.delete(turns[0]).is_none());
    assert!(matches!(all.step(now.plus(FAR)), Step::Wait(None)));
    assert_eq!(all.lock().resident_bytes, 0);
}

#[test]
fn there_are_as_many_as_may_be_and_what_is_given_up_makes_room() {
    for all in [all(2, 99), all(99, 2)] {
        let reserve = || all.reserve((&Durable::new(None), &numbers()), message(clock::now()), None, true);
        let (one, other) = (reserve().ok().unwrap(), reserve().ok().unwrap());
        assert!(matches!(reserve(), Err(Refusal::LimitReached(_))));
        one.give_up();
        other.show();
        assert!(reserve().is_ok());
    }
}

fn all(count_max: u64, bytes_max: u64) -> Arc<Delayed> {
    let all = Delayed::new(count_max, bytes_max);
    all.open();
    all
}

fn numbers() -> Numbers {
    Numbers::new(NodeId(0), Incarnation(1))
}

fn put(all: &Arc<Delayed>, now: WallMs, delay_ms: u64, lasts: bool) {
    let message = message(now.plus(Duration::from_millis(delay_ms)));
    let reserved = all.reserve((&Durable::new(None), &numbers()), message, None, lasts);
    let Ok(reserved) = reserved else { panic!("there is room") };
    assert_eq!(reserved.change().is_some(), lasts);
    reserved.show();
}

fn found(turns: &[Turn]) -> Found {
    let entry = |turn: &Turn| RecoveredEntry {
        sequence: turn.number,
        message: message(turn.due),
        qos: Qos::AtLeastOnce,
        retain: false,
        subscription_ids: SmallVec::new(),
        author: None,
        received: false,
    };
    Found { entries: turns.iter().map(entry).collect(), damaged: Vec::new() }
}

/// One byte.
fn message(due: WallMs) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId::default(),
        exchange: ExchangeName::TOPIC,
        key: "".into(),
        payload: Bytes::from_static(b"x"),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: true,
        publisher: None,
        published_at: due,
        expires_at: None,
        properties: None,
        wire: WireCache::default(),
    })
}
