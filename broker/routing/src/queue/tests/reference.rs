//! A queue against a sorted list, under random use.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// One step of a random life.
#[derive(Debug, Clone)]
enum Step {
    Push { qos: Qos, durable: bool, lives_ms: Option<u64> },
    Reserve,
    Show(Index),
    Unreserve(Index),
    Attach { settles: Settles, prefetch: Option<u32> },
    Detach(Index),
    Take { consumer: Index, max: usize },
    Settle { consumer: Index, tag: Index, outcome: Outcome },
    Wait(u64),
    Purge,
    Expire,
}

fn steps() -> impl Strategy<Value = Step> {
    let qos = prop::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
    let settles = prop::sample::select(vec![Settles::BySending, Settles::ByQos, Settles::Always]);
    let outcomes = vec![
        Outcome::Received,
        Outcome::Accepted,
        Outcome::Accepted,
        Outcome::Accepted,
        Outcome::Requeued,
        Outcome::Rejected,
    ];
    let outcome = prop::sample::select(outcomes);
    prop_oneof![
        8 => (qos, any::<bool>(), prop::option::weighted(0.2, 1..50_u64))
            .prop_map(|(qos, durable, lives_ms)| Step::Push { qos, durable, lives_ms }),
        4 => Just(Step::Reserve),
        4 => any::<Index>().prop_map(Step::Show),
        1 => any::<Index>().prop_map(Step::Unreserve),
        2 => (settles, prop::option::of(0..4_u32))
            .prop_map(|(settles, prefetch)| Step::Attach { settles, prefetch }),
        1 => any::<Index>().prop_map(Step::Detach),
        8 => (any::<Index>(), 0..6_usize).prop_map(|(consumer, max)| Step::Take { consumer, max }),
        8 => (any::<Index>(), any::<Index>(), outcome)
            .prop_map(|(consumer, tag, outcome)| Step::Settle { consumer, tag, outcome }),
        1 => (0..20_u64).prop_map(Step::Wait),
        1 => Just(Step::Purge),
        1 => Just(Step::Expire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_queue_does_what_a_sorted_list_does(steps in prop::collection::vec(steps(), 1..120)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
            pair.check();
        }
        pair.run_dry();
    }
}

/// The queue and what it should hold.
struct Pair {
    queue: Arc<Queue>,
    ready: BTreeMap<u64, Held>,
    reserved: Vec<u64>,
    consumers: Vec<Known>,
    last: u64,
    now: WallMs,
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    qos: Qos,
    durable: bool,
    expires_at: Option<WallMs>,
    attempts: u32,
    stage: Stage,
}

struct Known {
    taker: Taker,
    settles: Settles,
    prefetch: Option<u32>,
    lent: BTreeMap<u64, Held>,
    /// It was marked, and has not been told since that there is no more.
    called: bool,
}

impl Known {
    fn credit(&self) -> usize {
        self.prefetch.map_or(usize::MAX, |prefetch| prefetch as usize - self.lent.len())
    }
}

impl Pair {
    fn new() -> Self {
        let queue = queue(1, "q");
        Self { queue, ready: BTreeMap::new(), reserved: Vec::new(), consumers: Vec::new(), last: 0, now: NOW }
    }

    fn step(&mut self, step: &Step) {
        let mut wakes = Wakes::default();
        match step {
            Step::Push { qos, durable, lives_ms } => {
                let expires_at = lives_ms.map(|lives| WallMs(self.now.0 + lives));
                let held =
                    Held { qos: *qos, durable: *durable, expires_at, attempts: 0, stage: Stage::Published };
                self.last += 1;
                self.queue.push(made(&held, self.last), &mut wakes).unwrap();
                self.ready.insert(self.last, held);
            }
            Step::Reserve => {
                self.last += 1;
                let size = made(&late(), self.last).message.size_bytes();
                assert_eq!(self.queue.reserve(size), Ok(self.last));
                self.reserved.push(self.last);
            }
            Step::Show(at) if !self.reserved.is_empty() => {
                let sequence = self.reserved.swap_remove(at.index(self.reserved.len()));
                self.queue.show(sequence, made(&late(), sequence), &mut wakes);
                self.ready.insert(sequence, late());
            }
            Step::Unreserve(at) if !self.reserved.is_empty() => {
                let sequence = self.reserved.swap_remove(at.index(self.reserved.len()));
                self.queue.unreserve(made(&late(), sequence).message.size_bytes());
            }
            Step::Show(_) | Step::Unreserve(_) => {}
            Step::Attach { settles, prefetch } => {
                let taker = Taker::attach(&self.queue, *settles, *prefetch);
                let (settles, prefetch) = (*settles, *prefetch);
                self.consumers.push(Known { taker, settles, prefetch, lent: BTreeMap::new(), called: false });
            }
            Step::Detach(at) if !self.consumers.is_empty() => {
                let gone = self.consumers.swap_remove(at.index(self.consumers.len()));
                assert_eq!(self.queue.detach(gone.taker.key, &mut wakes), self.consumers.len());
                self.ready.extend(gone.lent.into_iter().map(again));
            }
            Step::Take { consumer, max } if !self.consumers.is_empty() => {
                self.take(consumer.index(self.consumers.len()), *max);
            }
            Step::Settle { consumer, tag, outcome } if !self.consumers.is_empty() => {
                self.settle(consumer.index(self.consumers.len()), *tag, *outcome);
            }
            Step::Detach(_) | Step::Take { .. } | Step::Settle { .. } => {}
            Step::Wait(ms) => self.now.0 += ms,
            Step::Purge => {
                let durable = self.ready.iter().filter(|(_, held)| held.durable).map(|(at, _)| *at);
                assert_eq!(sequences(&self.queue.purge()), durable.collect::<Vec<_>>());
                self.ready.clear();
            }
            Step::Expire => {
                let mut taken = Taken::default();
                self.queue.expire(self.now, &mut taken);
                let now = self.now;
                let gone: Vec<_> = self.ready.extract_if(.., |_, held| expired(held, now)).collect();
                assert_eq!(taken.expired, gone.len());
                let durable = gone.iter().filter(|(_, held)| held.durable).map(|(at, _)| *at);
                assert_eq!(sequences(&taken.removed), durable.collect::<Vec<_>>());
            }
        }
    }

    /// Takes, and checks that it got the oldest that may be delivered. How many depends on the others, unless it is
    /// alone.
    fn take(&mut self, at: usize, max: usize) -> usize {
        let alone = self.consumers.len() == 1;
        let consumer = &mut self.consumers[at];
        let credit = consumer.credit();
        let mut taken = Taken::default();
        let more = self.queue.take(consumer.taker.key, max, self.now, &mut taken);
        assert_eq!(consumer.taker.marks(), 0, "it is here");
        consumer.called = more;
        let count = taken.deliveries.len();
        assert!(count <= max.min(credit));
        let mut removed = Vec::new();
        let mut deliveries = taken.deliveries.iter();
        while deliveries.len() > 0 || removed.len() < taken.removed.len() || taken.expired > 0 {
            let (sequence, held) = self.ready.pop_first().expect("nothing is taken that is not there");
            if expired(&held, self.now) {
                removed.extend(held.durable.then_some(sequence));
                taken.expired -= 1;
                continue;
            }
            let delivery = deliveries.next().expect("the oldest is taken first");
            assert_eq!(delivery.message.key.as_str(), sequence.to_string());
            let same = (delivery.qos, delivery.attempts, delivery.stage);
            assert_eq!(same, (held.qos, held.attempts, held.stage));
            let left = held.expires_at.map(|end| end.0.saturating_sub(self.now.0));
            assert_eq!(delivery.expires_in_ms, left);
            if consumer.settles.waits(held.qos) {
                assert_eq!(delivery.tag.0, sequence);
                consumer.lent.insert(sequence, held);
            } else {
                assert_eq!(delivery.tag.0, 0);
                removed.extend(held.durable.then_some(sequence));
            }
        }
        assert_eq!(sequences(&taken.removed), removed);
        if alone {
            let credit = consumer.credit();
            assert!(self.ready.is_empty() || credit == 0 || count == max || count > 0);
            assert_eq!(more, !self.ready.is_empty() && credit > 0);
        }
        count
    }

    fn settle(&mut self, at: usize, tag: Index, outcome: Outcome) {
        let consumer = &mut self.consumers[at];
        let tags: Vec<_> = consumer.lent.keys().copied().collect();
        if tags.is_empty() {
            let unknown = DeliveryTag(tag.index(9) as u64);
            let settled = self.queue.settle(consumer.taker.key, unknown, outcome, &mut Wakes::default());
            assert!(matches!(settled, Settled::Unknown));
            return;
        }
        let tag = tags[tag.index(tags.len())];
        let settled = self.queue.settle(consumer.taker.key, DeliveryTag(tag), outcome, &mut Wakes::default());
        let held = consumer.lent.get_mut(&tag).unwrap();
        let expected = held.durable.then_some(Place { queue: QueueId(1), sequence: tag });
        match settled {
            Settled::Unknown => panic!("{tag} is on loan"),
            Settled::Received { durable } => {
                assert_eq!((outcome, durable), (Outcome::Received, expected));
                held.stage = Stage::Received;
                return;
            }
            Settled::Requeued => assert_eq!(outcome, Outcome::Requeued),
            Settled::Removed { durable, message } => {
                assert!(matches!(outcome, Outcome::Accepted | Outcome::Rejected));
                assert_eq!((durable, message.key.as_str()), (expected, tag.to_string().as_str()));
            }
        }
        let held = consumer.lent.remove(&tag).unwrap();
        if outcome == Outcome::Requeued {
            self.ready.extend([again((tag, held))]);
        }
    }

    fn check(&mut self) {
        for consumer in &mut self.consumers {
            let marks = consumer.taker.marks();
            assert!(marks <= usize::from(!consumer.called), "marked while it was on its way");
            consumer.called |= marks > 0;
        }
        let stats = self.queue.stats();
        assert_eq!(stats.ready, self.ready.len());
        assert_eq!(stats.unacked, self.consumers.iter().map(|consumer| consumer.lent.len()).sum::<usize>());
        assert_eq!(stats.consumers, self.consumers.len());
        let bytes: usize = self.ready.keys().map(|sequence| sequence.to_string().len()).sum();
        assert_eq!(stats.ready_bytes, bytes as u64);
        let able = self.consumers.iter().any(|consumer| consumer.credit() > 0);
        let coming = self.consumers.iter().any(|consumer| consumer.called);
        assert!(self.ready.is_empty() || !able || coming, "somebody could take and does not know it");
    }

    /// All that are called come; then nothing is left that anyone could take.
    fn run_dry(&mut self) {
        while let Some(at) = self.consumers.iter().position(|consumer| consumer.called) {
            self.take(at, 2);
            self.check();
        }
        let able = self.consumers.iter().any(|consumer| consumer.credit() > 0);
        assert!(self.ready.is_empty() || !able);
    }
}

fn again((sequence, held): (u64, Held)) -> (u64, Held) {
    (sequence, Held { attempts: held.attempts + 1, ..held })
}

fn expired(held: &Held, now: WallMs) -> bool {
    let has_begun = held.attempts > 0 && held.qos == Qos::ExactlyOnce;
    held.stage == Stage::Published && !has_begun && held.expires_at.is_some_and(|end| end <= now)
}

/// What a reserved entry turns out to be.
fn late() -> Held {
    Held { qos: Qos::AtLeastOnce, durable: true, expires_at: None, attempts: 0, stage: Stage::Published }
}

fn made(held: &Held, sequence: u64) -> Item {
    let key = sequence.to_string();
    let message = Arc::new(Message { expires_at: held.expires_at, ..message(&key) });
    Item { message, qos: held.qos, durable: held.durable, ..item(&key) }
}

fn sequences(places: &[Place]) -> Vec<u64> {
    places.iter().map(|place| place.sequence).collect()
}
