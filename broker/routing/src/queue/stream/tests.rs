//! A stream and its laws; the last one compares it with plain lists.

use std::collections::BTreeMap;

use model::delivery::Delivery;
use model::qos::Qos;
use model::queue::{QueueArguments, QueueOptions};
use proptest::prelude::*;

use super::*;
use crate::queue::Queue;
use crate::queue::consumers::Settles;
use crate::queue::owner::Owner;
use crate::testing::{item, message, options};

mod age;

#[test]
fn everybody_reads_all_of_it_from_where_he_likes() {
    let stream = filled(1..=10);
    for (start, expected) in [
        (Start::First, 1..=10),
        (Start::Last(1), 10..=10),
        (Start::Last(3), 8..=10),
        (Start::Last(99), 1..=10),
        (Start::Offset(0), 1..=10),
        (Start::Offset(4), 4..=10),
        (Start::Offset(10), 10..=10),
        (Start::At(WallMs(0)), 1..=10),
        (Start::At(WallMs(69)), 7..=10),
        (Start::At(WallMs(70)), 7..=10),
        (Start::At(WallMs(71)), 8..=10),
    ] {
        let one = Taker::attach(&stream, start, Settles::Always, None);
        assert_eq!(one.marks(), 1);
        assert_eq!(one.take(99), expected.clone().collect::<Vec<_>>(), "{start}");
        assert_eq!(one.take(99), [0; 0]);
    }
}

#[test]
fn whoever_asks_for_what_is_not_there_yet_waits_for_it() {
    let stream = filled(1..=3);
    let next = Taker::attach(&stream, Start::Next, Settles::Always, None);
    let later = Taker::attach(&stream, Start::Offset(6), Settles::Always, None);
    let soon = Taker::attach(&stream, Start::At(WallMs(50)), Settles::Always, None);
    for one in [&next, &later, &soon] {
        assert_eq!(one.take(9), [0; 0]);
        one.marks();
    }
    for number in 4..=7 {
        push(&stream, number, true);
    }
    assert_eq!(next.take(9), [4, 5, 6, 7]);
    assert_eq!(later.take(9), [6, 7]);
    assert_eq!(soon.take(9), [5, 6, 7]);
}

#[test]
fn an_entry_is_not_seen_before_those_that_come_before_it() {
    let stream = stream(|_| ());
    let one = Taker::attach(&stream, Start::First, Settles::Always, None);
    one.take(9);
    one.marks();
    let numbers: Vec<u64> = (0..5).map(|_| stream.reserve(1).unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let show = |number| stream.show(number, entry(number, true), Resident::ALL, &mut Wakes::default());
    show(2);
    show(4);
    assert_eq!((one.marks(), one.take(9)), (0, vec![]));
    assert_eq!(stream.waiting(), crate::queue::limits::Waiting { ready: 0, messages: 5, bytes: 5 });
    show(1);
    assert_eq!((one.marks(), one.take(9)), (1, vec![1, 2]));
    // Whoever comes now gets what is on its way as what comes next.
    let next = Taker::attach(&stream, Start::Next, Settles::Always, None);
    stream.unreserve(3, 1);
    assert_eq!(one.take(9), [4]);
    stream.push(entry(6, false), &mut Wakes::default()).unwrap();
    assert_eq!(one.take(9), [0; 0], "also what need not go to the disk");
    show(5);
    assert_eq!((one.take(9), next.take(9)), (vec![5, 6], vec![4, 5, 6]));
}

#[test]
fn what_is_settled_says_how_much_more_may_come_and_how_does_not_matter() {
    let stream = filled(1..=9);
    let one = Taker::attach(&stream, Start::First, Settles::Always, Some(3));
    one.marks();
    assert_eq!((one.take(99), one.take(99)), (vec![1, 2, 3], vec![]));
    assert_eq!(stream.stats().unacked, 3);
    for (tag, outcome) in [(2, Outcome::Accepted), (1, Outcome::Requeued), (3, Outcome::Rejected)] {
        assert!(matches!(one.settle(tag, outcome), Settled::Read));
        assert!(matches!(one.settle(tag, outcome), Settled::Unknown));
    }
    assert_eq!((one.marks(), one.take(2), one.take(9)), (1, vec![4, 5], vec![6]));
    assert!(matches!(one.settle(4, Outcome::Received), Settled::Received { durable: None }));
    assert!(matches!(one.settle(9, Outcome::Received), Settled::Unknown));
    // Nobody has it from another one, and nothing comes back.
    let other = Taker::attach(&stream, Start::First, Settles::BySending, None);
    stream.detach(one.key, &mut Wakes::default());
    assert_eq!(other.take(99).len(), 9);
    assert_eq!(stream.stats(), QueueStats { ready: 9, ready_bytes: 9, unacked: 0, consumers: 1 });
}

#[test]
fn what_is_oldest_goes_when_there_is_too_much() {
    for limit in [
        |options: &mut QueueOptions| options.ready_max = Some(100),
        |options: &mut QueueOptions| {
            options.ready_bytes_max = Some(100);
        },
    ] {
        let stream = stream(limit);
        let slow = Taker::attach(&stream, Start::First, Settles::Always, None);
        let mut gone = Vec::new();
        for number in 1..=1000 {
            push(&stream, number, true);
            let mut taken = Taken::default();
            stream.trim(usize::MAX, &mut taken);
            gone.extend(taken.removed.into_iter().map(|place| place.sequence));
        }
        assert_eq!(stream.stats().ready, 100);
        assert!(gone.len() > 800 && gone.iter().copied().eq(1..=gone.len() as u64), "{}", gone.len());
        assert_eq!(
            slow.take(9),
            (901..=909).collect::<Vec<_>>(),
            "whoever is too slow goes on with the oldest"
        );
        assert_eq!(stream.stream_ends().unwrap().ends.unwrap().map(|(number, _)| number), [901, 1000]);
    }
}

#[test]
fn what_was_there_long_enough_goes_by_itself() {
    let stream = stream(|options| {
        *options = options.clone().with(|arguments| arguments.age_max_ms = Some(1000));
    });
    // One for each ten milliseconds.
    for number in 1..=200 {
        push(&stream, number, true);
    }
    let first = stream.ask_expiry().unwrap();
    assert!((WallMs(1010)..=WallMs(1050)).contains(&first), "{first:?}");
    let mut taken = Taken::default();
    stream.expire(WallMs(2000), &mut taken);
    let gone = taken.removed.len();
    assert!((95..=100).contains(&gone), "{gone}");
    assert_eq!(stream.stats().ready, 200 - gone);
    stream.expire(WallMs(9999), &mut taken);
    assert_eq!((stream.stats().ready, taken.removed.len(), stream.ask_expiry()), (0, 200, None));
    push(&stream, 1000, true);
    assert!(stream.ask_expiry().is_some());
    let one = Taker::attach(&stream, Start::First, Settles::Always, None);
    assert_eq!(one.take(9), [201]);
}

#[test]
fn readers_near_each_other_have_what_is_brought_once() {
    let stream = small(20_000);
    let near: Vec<Taker> =
        (0..5).map(|at| Taker::attach(&stream, Start::Offset(100 + at), Settles::BySending, None)).collect();
    let mut brought = 0;
    for round in 0..200 {
        for one in &near {
            one.take(10);
        }
        brought += usize::from(bring(&stream));
        assert!(held(&stream) <= 1_200, "{round}: {}", held(&stream));
    }
    // 2,000 entries each, 100 to a page: each page once, and what comes next ahead of them.
    assert!((15..=25).contains(&brought), "{brought}");
}

#[test]
fn readers_far_from_each_other_each_come_to_the_end_however_little_is_held() {
    let stream = small(20_000);
    let far: Vec<Taker> =
        (0..20).map(|at| Taker::attach(&stream, Start::Offset(at * 997), Settles::BySending, None)).collect();
    let mut read = vec![0_u64; far.len()];
    for _ in 0..40_000 {
        let mut any = false;
        for (one, read) in far.iter().zip(&mut read) {
            for number in one.take(64) {
                assert!(*read == 0 || *read + 1 == number, "{read} then {number}");
                *read = number;
                any = true;
            }
        }
        if !bring(&stream) && !any {
            break;
        }
        assert!(held(&stream) <= 3_300, "{}", held(&stream));
    }
    assert_eq!(read, vec![20_000; far.len()]);
}

#[test]
fn what_the_journal_lost_is_passed_over_and_told() {
    let stream = small(2_000);
    let one = Taker::attach(&stream, Start::First, Settles::BySending, None);
    assert_eq!(one.take(9), [0; 0]);
    one.marks();
    let asked = stream.begin_fetch(0, 0).unwrap();
    assert!(stream.begin_fetch(0, 0).is_none(), "one at a time");
    let found = asked.iter().filter(|number| *number % 2 == 0).map(|number| (*number, entry(*number, true)));
    let lost = stream.fill(&asked, found.collect(), &mut Wakes::default());
    assert!(lost.iter().all(|number| number % 2 == 1) && lost.len() == asked.len() / 2);
    assert_eq!((one.marks(), one.take(3)), (1, vec![2, 4, 6]));
    assert_eq!(stream.stats().ready, 2_000 - lost.len());
    // One that failed is asked for again.
    let last = Taker::attach(&stream, Start::Offset(250), Settles::BySending, None);
    last.take(1);
    last.marks();
    while stream.begin_fetch(0, 0).is_some_and(|asked| !asked.contains(&250)) {
        stream.fetch_failed(&mut Wakes::default());
        last.take(1);
    }
    stream.fetch_failed(&mut Wakes::default());
    assert!(last.marks() > 0 && last.take(1).is_empty());
    assert!(bring(&stream));
    assert_eq!(last.take(1), [250]);
}

#[test]
fn a_stream_that_is_restored_goes_on_behind_what_it_was() {
    let stream = stream(|options| options.ready_max = Some(50));
    stream.keep(SMALL);
    let brief = |number: u64| crate::queue::absent::Brief {
        size_bytes: 1,
        expires_at: None,
        published_at: WallMs(number * 10),
        priority: 0,
        retain: false,
        was_sent: true,
    };
    for number in (1..=100).filter(|number| number % 10 != 0) {
        stream.restore_absent(number, brief(number));
    }
    stream.set_next_sequence(121);
    assert_eq!(stream.stats().ready, 50);
    let [all, some] = [Start::First, Start::At(WallMs(955))]
        .map(|start| Taker::attach(&stream, start, Settles::Always, None));
    push(&stream, 121, true);
    let (mut read, mut newest) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        read.extend(all.take(9));
        newest.extend(some.take(9));
        bring(&stream);
    }
    let there = (1..=100).filter(|number| number % 10 != 0).skip(41).chain([121]);
    assert_eq!(read, there.collect::<Vec<_>>());
    assert_eq!(newest, [96, 97, 98, 99, 121]);
    let closed = stream.close();
    assert_eq!(closed.len(), 2);
    push(&stream, 122, true);
    assert_eq!((stream.stats(), all.take(9)), (QueueStats::default(), vec![]));
    let consumer = options_of(Settles::Always, None);
    assert!(stream.attach(consumer, &Readiness::new(), &mut Wakes::default()).is_err());
}

#[test]
fn what_has_expired_is_not_delivered() {
    let stream = stream(|_| ());
    for number in 1..=9 {
        let mut expiring = message("a");
        expiring.expires_at = (number % 3 == 0).then_some(WallMs(NOW.0 - 1));
        stream.push(Item { message: Arc::new(expiring), ..item("a") }, &mut Wakes::default()).unwrap();
    }
    assert_eq!(Taker::attach(&stream, Start::First, Settles::Always, None).take(99), [1, 2, 4, 5, 7, 8]);
}

#[derive(Debug, Clone)]
enum Step {
    Reserve,
    /// Of those under way, that one arrives, or does not.
    Arrive(usize, bool),
    Push,
    Attach(Start, Option<u32>),
    Leave(usize),
    Take(usize, usize),
    Settle(usize, usize),
    Bring,
    Fail,
    Purge(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let start = prop_oneof![
        Just(Start::First),
        Just(Start::Next),
        (1..40_u64).prop_map(Start::Last),
        (0..300_u64).prop_map(Start::Offset),
        (0..3000_u64).prop_map(|at| Start::At(WallMs(at))),
    ];
    let step = prop_oneof![
        4 => Just(Step::Reserve),
        4 => (0..8_usize, prop::bool::weighted(0.9)).prop_map(|(at, comes)| Step::Arrive(at, comes)),
        2 => Just(Step::Push),
        1 => (start, prop::option::of(1..9_u32)).prop_map(|(start, prefetch)| Step::Attach(start, prefetch)),
        1 => (0..9_usize).prop_map(Step::Leave),
        6 => (0..9_usize, 1..20_usize).prop_map(|(at, max)| Step::Take(at, max)),
        4 => (0..9_usize, 0..9_usize).prop_map(|(at, which)| Step::Settle(at, which)),
        4 => Just(Step::Bring),
        1 => Just(Step::Fail),
        1 => (0..9_usize).prop_map(Step::Purge),
    ];
    prop::collection::vec(step, 1..600)
}

/// The same, as lists.
#[derive(Default)]
struct Plain {
    last: u64,
    under_way: Vec<u64>,
    arrived: BTreeMap<u64, ()>,
    there: Vec<u64>,
}

impl Plain {
    fn see(&mut self) {
        let first = self.under_way.iter().copied().min().unwrap_or(u64::MAX);
        let behind = self.arrived.split_off(&first);
        self.there.extend(std::mem::replace(&mut self.arrived, behind).into_keys());
        self.there.drain(..self.there.len().saturating_sub(MOST));
    }

    fn start(&self, start: Start) -> (u64, u64) {
        let next = self.under_way.iter().chain(self.arrived.keys()).copied().min().unwrap_or(self.last + 1);
        match start {
            Start::First => (0, 0),
            Start::Next => (next, 0),
            Start::Last(count) => {
                let at = self.there.len().saturating_sub(count as usize);
                (self.there.get(at).copied().unwrap_or(next), 0)
            }
            Start::Offset(offset) => (offset, 0),
            Start::At(at) => (0, at.0.div_ceil(10)),
        }
    }
}

/// Where a reader of the lists is, what he has, and from when on.
struct Reading {
    taker: Taker,
    next: u64,
    since: u64,
    loans: Vec<u64>,
    prefetch: usize,
}

proptest! {
    #[test]
    fn a_stream_is_what_lists_say(steps in steps()) {
        let mut life = Life::new();
        for step in steps {
            life.step(step);
            life.check();
        }
        life.read_to_the_end();
    }
}

/// A stream and the lists that it is compared with.
struct Life {
    stream: Arc<Queue>,
    plain: Plain,
    readers: Vec<Reading>,
}

impl Life {
    fn new() -> Self {
        let stream = stream(|options| options.ready_max = Some(MOST as u64));
        stream.keep(Resident { messages_max: 32, bytes_max: u64::MAX });
        Self { stream, plain: Plain::default(), readers: Vec::new() }
    }

    fn step(&mut self, step: Step) {
        let Self { stream, plain, readers } = self;
        match step {
            Step::Reserve => {
                plain.last += 1;
                plain.under_way.push(plain.last);
                assert_eq!(stream.reserve(1).unwrap(), plain.last);
            }
            Step::Arrive(at, comes) if at < plain.under_way.len() => {
                let number = plain.under_way.remove(at);
                if comes {
                    plain.arrived.insert(number, ());
                    stream.show(number, entry(number, true), Resident::ALL, &mut Wakes::default());
                } else {
                    stream.unreserve(number, 1);
                }
            }
            Step::Push => {
                plain.last += 1;
                plain.arrived.insert(plain.last, ());
                stream.push(entry(plain.last, plain.last % 40 != 0), &mut Wakes::default()).unwrap();
            }
            Step::Attach(start, prefetch) if readers.len() < 9 => {
                let (next, since) = plain.start(start);
                let taker = Taker::attach(stream, start, Settles::Always, prefetch);
                let prefetch = prefetch.map_or(usize::MAX, |prefetch| prefetch as usize);
                readers.push(Reading { taker, next, since, loans: Vec::new(), prefetch });
            }
            Step::Leave(at) if at < readers.len() => {
                let gone = readers.remove(at);
                assert_eq!(stream.detach(gone.taker.key, &mut Wakes::default()), readers.len());
            }
            Step::Take(at, max) => self.take(at, max),
            Step::Settle(at, which) => {
                if let Some(reader) = readers.get_mut(at)
                    && which < reader.loans.len()
                {
                    let number = reader.loans.remove(which);
                    assert!(matches!(reader.taker.settle(number, Outcome::Accepted), Settled::Read));
                }
            }
            Step::Bring => drop(bring(stream)),
            Step::Fail => {
                if stream.begin_fetch(0, 0).is_some() {
                    stream.fetch_failed(&mut Wakes::default());
                }
            }
            Step::Purge(count) => {
                let count = count.min(plain.there.len());
                plain.there.drain(..count);
                assert_eq!(stream.purge(count).0, count);
            }
            Step::Arrive(..) | Step::Attach(..) | Step::Leave(_) => {}
        }
    }

    fn take(&mut self, at: usize, max: usize) {
        let Some(reader) = self.readers.get_mut(at) else { return };
        let room = reader.prefetch - reader.loans.len();
        let there = self.plain.there.iter().copied();
        let wanted = there.filter(|one| *one >= reader.next.max(reader.since));
        let wanted: Vec<u64> = wanted.take(max.min(room)).collect();
        let got = reader.taker.take(max);
        // Of what has to be brought first, less may come.
        assert!(wanted.starts_with(&got), "{got:?} of {wanted:?}");
        let waits = self.stream.stream.as_ref().unwrap().lock().waits_for_pages();
        assert!(got.len() == wanted.len() || waits, "{got:?} of {wanted:?}");
        reader.next = got.last().map_or(reader.next, |last| last + 1);
        reader.loans.extend(got);
    }

    fn check(&mut self) {
        let Self { stream, plain, .. } = self;
        plain.see();
        assert_eq!(stream.stats().ready, plain.there.len());
        let ends = stream.stream_ends().unwrap().ends.map(|ends| ends.map(|(number, _)| number));
        assert_eq!(ends, plain.there.first().zip(plain.there.last()).map(|(first, last)| [*first, *last]));
    }

    /// Whoever takes what is brought comes there.
    fn read_to_the_end(&mut self) {
        for reader in &mut self.readers {
            for number in reader.loans.drain(..) {
                reader.taker.settle(number, Outcome::Accepted);
            }
            for _ in 0..200 {
                for number in reader.taker.take(50) {
                    reader.next = number + 1;
                    reader.taker.settle(number, Outcome::Accepted);
                }
                bring(&self.stream);
            }
            let mut there = self.plain.there.iter();
            assert!(!there.any(|one| *one >= reader.next.max(reader.since)));
        }
    }
}

impl State {
    fn waits_for_pages(&self) -> bool {
        self.readers.iter().any(|reader| matches!(reader.waits, Waits::Page(_)))
    }
}

const MOST: usize = 150;
const NOW: WallMs = WallMs(1_000_000);
const SMALL: Resident = Resident { messages_max: 800, bytes_max: u64::MAX };

/// Somebody who reads, with a link of his own.
struct Taker {
    stream: Arc<Queue>,
    key: ConsumerKey,
    readiness: Arc<Readiness>,
}

impl Taker {
    fn attach(stream: &Arc<Queue>, start: Start, settles: Settles, prefetch: Option<u32>) -> Self {
        let readiness = Readiness::new();
        let consumer = options_of(settles, prefetch);
        let key = stream.attach_at(start, consumer, &readiness, &mut Wakes::default()).unwrap();
        Self { stream: Arc::clone(stream), key, readiness }
    }

    /// The offsets of what comes.
    fn take(&self, max: usize) -> Vec<u64> {
        let mut taken = Taken::default();
        self.stream.take(self.key, max, NOW, &mut taken);
        let offset = |delivery: &Delivery| delivery.offset.unwrap();
        taken.deliveries.iter().map(offset).collect()
    }

    fn settle(&self, tag: u64, outcome: Outcome) -> Settled {
        self.stream.settle(self.key, DeliveryTag(tag), outcome, &mut Wakes::default())
    }

    /// How often he was called since the last time.
    fn marks(&self) -> usize {
        let mut marked = Vec::new();
        self.readiness.drain(&mut marked);
        marked.len()
    }
}

fn options_of(settles: Settles, prefetch: Option<u32>) -> ConsumerOptions {
    ConsumerOptions { id: ConsumerId(1), settles, prefetch, link: 0 }
}

fn stream(change: impl FnOnce(&mut QueueOptions)) -> Arc<Queue> {
    let mut options = options("s");
    options.durable = true;
    options.arguments = Some(Box::new(QueueArguments { stream: true, ..QueueArguments::default() }));
    change(&mut options);
    Queue::new(QueueId(1), options, Owner::Nobody)
}

fn filled(numbers: std::ops::RangeInclusive<u64>) -> Arc<Queue> {
    let stream = stream(|_| ());
    numbers.for_each(|number| push(&stream, number, true));
    stream
}

/// So many, of which few are here.
fn small(count: u64) -> Arc<Queue> {
    let stream = stream(|_| ());
    stream.keep(SMALL);
    (1..=count).for_each(|number| push(&stream, number, true));
    assert!(held(&stream) <= 800, "{}", held(&stream));
    stream
}

/// The entry of that number came in ten milliseconds after the one before it, and has one byte.
fn entry(number: u64, durable: bool) -> Item {
    let message = model::message::Message { published_at: WallMs(number * 10), ..message("a") };
    Item { message: Arc::new(message), qos: Qos::AtLeastOnce, durable, ..item("a") }
}

fn push(stream: &Queue, number: u64, durable: bool) {
    stream.push(entry(number, durable), &mut Wakes::default()).unwrap();
}

/// Brings the next page, if one is wanted.
fn bring(stream: &Queue) -> bool {
    let Some(asked) = stream.begin_fetch(0, 0) else { return false };
    let found = asked.iter().map(|number| (*number, entry(*number, true))).collect();
    assert!(stream.fill(&asked, found, &mut Wakes::default()).is_empty());
    true
}

/// How many messages are held in memory: each has one byte.
fn held(stream: &Queue) -> u64 {
    stream.stream.as_ref().unwrap().lock().book.bytes_here()
}
