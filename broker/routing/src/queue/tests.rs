//! A queue and its laws; `reference` compares it with a plain list, `threads` uses it from several.

mod reference;
mod threads;

use model::delivery::{Delivery, DeliveryTag, Outcome, Stage};
use model::message::Message;
use model::name::{ConsumerId, QueueId};
use model::qos::Qos;
use model::refusal::Refusal;

use super::*;
use crate::queue::consumers::{ConsumerKey, ConsumerOptions, Settles};
use crate::queue::report::Settled;
use crate::testing::{item, message, options, queue};

const NOW: WallMs = WallMs(1_000);

#[test]
fn a_consumer_that_keeps_up_is_marked_once() {
    let queue = queue(1, "q");
    let one = Taker::attach(&queue, Settles::Always, None);
    for key in ["a", "b", "c"] {
        queue.push(item(key), &mut Wakes::default()).unwrap();
    }
    assert_eq!(one.marks(), 1);
    assert_eq!(keys(&one.take(2)), ["a", "b"]);
    assert_eq!(keys(&one.take(2)), ["c"]);
    assert_eq!(one.marks(), 0);
    queue.push(item("d"), &mut Wakes::default()).unwrap();
    assert_eq!(one.marks(), 1, "it was idle again");
}

#[test]
fn what_becomes_durable_late_still_comes_in_order() {
    let queue = queue(1, "q");
    let first = queue.reserve(1).unwrap();
    let second = queue.reserve(1).unwrap();
    let one = Taker::attach(&queue, Settles::Always, None);
    queue.push(item("c"), &mut Wakes::default()).unwrap();
    queue.show(second, item("b"), Resident::ALL, &mut Wakes::default());
    queue.show(first, item("a"), Resident::ALL, &mut Wakes::default());
    let tags: Vec<_> = one.take(9).iter().map(|delivery| delivery.tag.0).collect();
    assert_eq!(tags, [1, 2, 3]);
}

#[test]
fn qos_0_is_settled_by_being_sent_where_the_consumer_speaks_mqtt() {
    let queue = queue(1, "q");
    let one = Taker::attach(&queue, Settles::ByQos, Some(1));
    let qos_0 = Item { qos: Qos::AtMostOnce, durable: true, ..item("a") };
    queue.push(qos_0, &mut Wakes::default()).unwrap();
    queue.push(item("b"), &mut Wakes::default()).unwrap();
    let mut taken = Taken::default();
    // The prefetch allows one at a time, whatever it turns out to be.
    assert!(queue.take(one.key, 9, NOW, &mut taken));
    assert!(!queue.take(one.key, 9, NOW, &mut taken));
    let tags: Vec<_> =
        taken.deliveries.iter().map(|delivery| (delivery.tag.0, delivery.qos.bits())).collect();
    assert_eq!(tags, [(0, 0), (2, 1)]);
    assert_eq!(taken.removed, [Place { queue: QueueId(1), sequence: 1 }]);
}

#[test]
fn a_requeued_delivery_returns_to_its_place() {
    let queue = filled(&["a", "b", "c"]);
    let one = Taker::attach(&queue, Settles::Always, None);
    one.take(2);
    assert!(matches!(one.settle(1, Outcome::Requeued), Settled::Requeued));
    assert!(matches!(one.settle(1, Outcome::Requeued), Settled::Unknown));
    let again = one.take(9);
    assert_eq!(keys(&again), ["a", "c"]);
    assert_eq!(again[0].attempts, 1);
}

#[test]
fn a_received_delivery_stays_on_loan_and_never_expires() {
    // MQTT 5.0, 4.3.3
    let queue = queue(1, "q");
    let expiring = Message { expires_at: Some(WallMs(NOW.0 + 500)), ..message("a") };
    let durable = Item { message: Arc::new(expiring), durable: true, qos: Qos::ExactlyOnce, ..item("a") };
    queue.push(durable, &mut Wakes::default()).unwrap();
    let one = Taker::attach(&queue, Settles::ByQos, None);
    assert_eq!(one.take(1)[0].expires_in_ms, Some(500));
    let place = Place { queue: QueueId(1), sequence: 1 };
    let received = one.settle(1, Outcome::Received);
    assert!(matches!(received, Settled::Received { durable: Some(at) } if at == place));
    assert_eq!(queue.detach(one.key, &mut Wakes::default()), 0);
    let two = Taker::attach(&queue, Settles::ByQos, None);
    let mut taken = Taken::default();
    queue.take(two.key, 9, WallMs(NOW.0 + 501), &mut taken);
    let delivery = &taken.deliveries[0];
    assert_eq!((delivery.stage, delivery.attempts, delivery.tag.0), (Stage::Received, 1, 1));
    let accepted = two.settle(1, Outcome::Accepted);
    assert!(matches!(accepted, Settled::Removed { durable: Some(at), .. } if at == place));
    assert_eq!(queue.stats(), QueueStats { consumers: 1, ..QueueStats::default() });
}

#[test]
fn what_has_expired_is_removed_and_not_delivered() {
    let queue = queue(1, "q");
    let expired = Arc::new(Message { expires_at: Some(NOW), ..message("a") });
    for durable in [true, false, true] {
        let item = Item { message: Arc::clone(&expired), durable, ..item("a") };
        queue.push(item, &mut Wakes::default()).unwrap();
    }
    queue.push(item("b"), &mut Wakes::default()).unwrap();
    let mut taken = Taken::default();
    let one = Taker::attach(&queue, Settles::Always, None);
    queue.take(one.key, 1, NOW, &mut taken);
    assert_eq!(keys(&taken.deliveries), ["b"]);
    assert_eq!(taken.expired, 3);
    assert_eq!(taken.removed.iter().map(|place| place.sequence).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_queue_asks_once_for_what_expires_first() {
    let queue = queue(1, "q");
    let push = |ms| {
        let message = Arc::new(Message { expires_at: Some(WallMs(NOW.0 + ms)), ..message("a") });
        queue.push(Item { message, ..item("a") }, &mut Wakes::default()).unwrap();
        queue.ask_expiry().map(|end| end.0 - NOW.0)
    };
    queue.push(item("for ever"), &mut Wakes::default()).unwrap();
    assert_eq!(queue.ask_expiry(), None);
    assert_eq!([push(500), push(600), push(500), push(400)], [Some(500), None, None, Some(400)]);
    let one = Taker::attach(&queue, Settles::Always, None);
    assert_eq!(one.take(2).len(), 2);
    let expire = |ms| {
        let mut taken = Taken::default();
        queue.expire(WallMs(NOW.0 + ms), &mut taken);
        (taken.expired, queue.ask_expiry().map(|end| end.0 - NOW.0))
    };
    assert_eq!(expire(400), (1, Some(500)));
    // The first at 500 is on loan; it comes back too late to be delivered, and is to be looked after all the same.
    assert_eq!(expire(550), (1, Some(600)));
    one.settle(2, Outcome::Requeued);
    assert_eq!(queue.ask_expiry(), Some(WallMs(NOW.0 + 500)));
    assert_eq!(expire(601), (2, None));
}

#[test]
fn what_was_taken_in_time_leaves_no_end_behind() {
    let queue = queue(1, "q");
    let one = Taker::attach(&queue, Settles::BySending, None);
    for n in 0..10_000 {
        let message = Arc::new(Message { expires_at: Some(WallMs(NOW.0 + 1_000_000 + n)), ..message("a") });
        queue.push(Item { message, ..item("a") }, &mut Wakes::default()).unwrap();
        assert_eq!(one.take(1).len(), 1);
    }
    assert!(queue.lock().ready.ends_len() < 200);
}

#[test]
fn limits_count_what_waits_and_what_is_on_its_way_to_the_disk() {
    let mut limited = options("q");
    limited.ready_max = Some(3);
    limited.ready_bytes_max = Some(10);
    let queue = Queue::new(QueueId(1), limited, Owner::Nobody);
    let messages = Full { what: "messages", max: 3 };
    let bytes = Full { what: "bytes", max: 10 };
    assert_eq!(queue.reserve(11), Err(bytes));
    assert_eq!(queue.reserve(6), Ok(1));
    assert_eq!(queue.push(item("12345"), &mut Wakes::default()), Err(bytes));
    queue.push(item("1"), &mut Wakes::default()).unwrap();
    queue.push(item("1"), &mut Wakes::default()).unwrap();
    assert_eq!(queue.reserve(1), Err(messages));
    queue.unreserve(1, 6);
    queue.push(item("123456"), &mut Wakes::default()).unwrap();
    assert_eq!(queue.push(item("1"), &mut Wakes::default()), Err(messages));
    // On loan is not waiting.
    Taker::attach(&queue, Settles::Always, None).take(1);
    queue.push(item("1"), &mut Wakes::default()).unwrap();
}

#[test]
fn what_is_restored_comes_in_order_and_numbers_go_on_behind_it() {
    let mut limited = options("q");
    limited.ready_max = Some(1);
    let queue = Queue::new(QueueId(1), limited, Owner::Nobody);
    for (sequence, key) in [(7, "c"), (3, "a"), (5, "b")] {
        queue.restore(sequence, item(key));
    }
    queue.set_next_sequence(2);
    let one = Taker::attach(&queue, Settles::Always, None);
    assert_eq!(one.marks(), 1);
    let taken: Vec<_> = one.take(9).iter().map(|delivery| delivery.tag.0).collect();
    assert_eq!(taken, [3, 5, 7]);
    assert_eq!(queue.reserve(0), Ok(8));
    queue.set_next_sequence(20);
    queue.unreserve(8, 0);
    assert_eq!(queue.reserve(0), Ok(20));
}

#[test]
fn competing_consumers_share_evenly_however_late_they_come() {
    let queue = queue(1, "q");
    let takers = [(); 3].map(|()| Taker::attach(&queue, Settles::BySending, None));
    for _ in 0..30 {
        queue.push(item("a"), &mut Wakes::default()).unwrap();
    }
    assert_eq!(takers.each_ref().map(|taker| (taker.marks(), taker.take(99).len())), [(1, 10); 3]);
}

#[test]
fn a_consumer_that_does_not_come_holds_up_few() {
    let queue = queue(1, "q");
    let takers = [(); 2].map(|()| Taker::attach(&queue, Settles::BySending, None));
    for _ in 0..10_000 {
        queue.push(item("a"), &mut Wakes::default()).unwrap();
    }
    while !takers[0].take(1_000).is_empty() {}
    assert_eq!(queue.stats().ready, 256);
    queue.detach(takers[1].key, &mut Wakes::default());
    assert_eq!(takers[0].marks(), 2, "once at first, and again when the other has gone");
    assert_eq!(takers[0].take(1_000).len(), 256);
}

#[test]
fn prefetch_bounds_what_is_unsettled() {
    let queue = filled(&["a", "b", "c"]);
    let one = Taker::attach(&queue, Settles::Always, Some(2));
    let nothing = Taker::attach(&queue, Settles::Always, Some(0));
    assert_eq!(one.marks(), 1);
    assert_eq!(one.take(9).len(), 2);
    one.settle(2, Outcome::Rejected);
    assert_eq!(one.marks(), 1, "it has room again");
    assert_eq!(keys(&one.take(9)), ["c"]);
    assert_eq!((nothing.marks(), nothing.take(9).len()), (0, 0));
}

#[test]
fn where_one_takes_all_the_next_one_follows_in_order_when_it_leaves() {
    let options = options("q").with(|arguments| arguments.single_active = true);
    let queue = Queue::new(QueueId(1), options, Owner::Nobody);
    let [first, second, third] = [(); 3].map(|()| Taker::attach(&queue, Settles::Always, Some(2)));
    let push = |key| queue.push(item(key), &mut Wakes::default()).unwrap();
    ["a", "b", "c", "d", "e"].into_iter().for_each(push);
    assert_eq!([&first, &second, &third].map(Taker::marks), [1, 0, 0]);
    assert_eq!([&second, &third].map(|one| one.take(9).len()), [0, 0], "they wait, even if they ask");
    assert_eq!(keys(&first.take(9)), ["a", "b"]);
    // Its prefetch is all that there is under way.
    assert_eq!([&second, &third].map(Taker::marks), [0, 0]);
    first.settle(1, Outcome::Accepted);
    assert_eq!(keys(&first.take(9)), ["c"]);
    // One that waits may leave: nothing changes.
    let fourth = Taker::attach(&queue, Settles::Always, None);
    queue.detach(second.key, &mut Wakes::default());
    assert_eq!([&third, &fourth].map(|one| (one.marks(), one.take(9).len())), [(0, 0), (0, 0)]);
    // What it had not settled comes first, and the one that came earliest is next.
    queue.detach(first.key, &mut Wakes::default());
    assert_eq!([&third, &fourth].map(Taker::marks), [1, 0]);
    let taken = third.take(9);
    assert_eq!((keys(&taken), taken[0].attempts), (vec!["b", "c"], 1));
    assert_eq!(fourth.take(9).len(), 0);
    // One that comes back stands behind the others.
    let again = Taker::attach(&queue, Settles::Always, None);
    queue.detach(third.key, &mut Wakes::default());
    assert_eq!((keys(&fourth.take(9)), again.take(9).len()), (vec!["b", "c", "d", "e"], 0));
    queue.detach(fourth.key, &mut Wakes::default());
    assert_eq!(again.take(9).len(), 4);
    push("f");
    assert_eq!(keys(&again.take(9)), ["f"]);
}

#[test]
fn an_exclusive_queue_is_for_its_link_only() {
    let queue = Queue::new(QueueId(1), options("q"), Owner::Link(7));
    let mut consumer = consumer(Settles::Always, None);
    consumer.link = 8;
    let refused = queue.attach(consumer, &Readiness::new(), &mut Wakes::default());
    assert_eq!(refused, Err(Refusal::Exclusive(queue.options().name.clone())));
    consumer.link = 7;
    assert!(queue.attach(consumer, &Readiness::new(), &mut Wakes::default()).is_ok());
}

#[test]
fn a_deleted_queue_tells_its_consumers_and_holds_nothing() {
    let queue = filled(&["a", "b"]);
    let one = Taker::attach(&queue, Settles::Always, None);
    one.take(1);
    let told = queue.close();
    assert!(matches!(&told[..], [(readiness, ConsumerId(1))] if Arc::ptr_eq(readiness, &one.readiness)));
    let sequence = queue.reserve(1).unwrap();
    queue.show(sequence, item("c"), Resident::ALL, &mut Wakes::default());
    queue.push(item("d"), &mut Wakes::default()).unwrap();
    assert_eq!(queue.stats(), QueueStats::default());
    assert!(one.take(9).is_empty());
    assert!(matches!(one.settle(1, Outcome::Accepted), Settled::Unknown));
    assert!(!queue.has_consumers());
    let refused = queue.attach(consumer(Settles::Always, None), &one.readiness, &mut Wakes::default());
    assert!(matches!(refused, Err(Refusal::NoQueue(_))));
}

#[test]
fn a_purge_leaves_what_is_on_loan() {
    let queue = queue(1, "q");
    for durable in [true, true, false] {
        queue.push(Item { durable, ..item("a") }, &mut Wakes::default()).unwrap();
    }
    let one = Taker::attach(&queue, Settles::Always, None);
    one.take(1);
    assert_eq!(queue.purge(9), (2, vec![Place { queue: QueueId(1), sequence: 2 }]));
    assert_eq!(queue.stats(), QueueStats { unacked: 1, consumers: 1, ..QueueStats::default() });
}

#[test]
fn the_key_of_a_consumer_that_left_is_nobodys() {
    let queue = filled(&["a"]);
    let gone = Taker::attach(&queue, Settles::Always, None);
    queue.detach(gone.key, &mut Wakes::default());
    let one = Taker::attach(&queue, Settles::Always, None);
    assert!(gone.take(9).is_empty());
    assert_eq!(queue.detach(gone.key, &mut Wakes::default()), 1);
    assert_eq!(one.take(9).len(), 1);
}

#[test]
fn the_next_portion_is_asked_for_while_two_are_still_here() {
    let queue = queue(1, "q");
    let (resident, quiet) = (Resident { messages_max: 1, bytes_max: u64::MAX }, &mut Wakes::default());
    let durable = || Item { durable: true, ..item("a") };
    for _ in 0..40 {
        let sequence = queue.reserve(durable().message.size_bytes()).unwrap();
        queue.show(sequence, durable(), resident, quiet);
    }
    let one = Taker::attach(&queue, Settles::Always, None);
    let portion = || queue.begin_fetch(4, u64::MAX);
    let fill = |asked: &[u64]| {
        let found = asked.iter().map(|sequence| (*sequence, durable())).collect();
        assert!(queue.fill(asked, found, &mut Wakes::default()).is_empty());
    };
    fill(&portion().unwrap());
    assert_eq!(portion(), Some(vec![6, 7, 8, 9]), "five are here, and nobody waited for them");
    assert_eq!(portion(), None, "one at a time");
    fill(&[6, 7, 8, 9]);
    assert_eq!(portion(), None, "nine are here");
    assert_eq!(one.take(2).len(), 2);
    assert_eq!(portion(), Some(vec![10, 11, 12, 13]));
    fill(&[10, 11, 12, 13]);
    let tags: Vec<u64> = one.take(99).iter().map(|delivery| delivery.tag.0).collect();
    assert_eq!(tags, (3..=13).collect::<Vec<u64>>());
}

#[test]
fn what_all_queues_hold_together_counts_for_each() {
    let pool = Arc::new(Pool::new(64 << 10));
    let long = "x".repeat(1000);
    let show = |queue: &Arc<Queue>, count: usize| {
        for _ in 0..count {
            let item = Item { durable: true, ..item(&long) };
            let sequence = queue.reserve(item.message.size_bytes()).unwrap();
            queue.show(sequence, item, Resident::ALL, &mut Wakes::default());
        }
    };
    let queues = [queue(1, "a"), queue(2, "b")];
    queues.iter().for_each(|queue| queue.join(&pool));
    show(&queues[0], 100);
    let one = Taker::attach(&queues[0], Settles::Always, None);
    let here = one.take(200).len();
    assert!((64..=70).contains(&here), "{here} of 1000 bytes each are here");
    assert!(pool.bytes() < 8 << 10, "what is on loan does not wait: {}", pool.bytes());
    show(&queues[1], 200);
    assert!(pool.is_full());
    // One of each queue, so that there is something to take.
    let third = queue(3, "c");
    third.join(&pool);
    show(&third, 5);
    assert_eq!(Taker::attach(&third, Settles::Always, None).take(9).len(), 1);
    queues[1].close();
    assert!(pool.bytes() < 8 << 10, "{}", pool.bytes());
    assert_eq!(third.begin_fetch(9, u64::MAX), Some(vec![2, 3, 4, 5]));
}

/// A consumer with a link of its own.
struct Taker {
    queue: Arc<Queue>,
    key: ConsumerKey,
    readiness: Arc<Readiness>,
}

impl Taker {
    fn attach(queue: &Arc<Queue>, settles: Settles, prefetch: Option<u32>) -> Self {
        let readiness = Readiness::new();
        let key = queue.attach(consumer(settles, prefetch), &readiness, &mut Wakes::default()).unwrap();
        Self { queue: Arc::clone(queue), key, readiness }
    }

    fn take(&self, max: usize) -> Vec<Delivery> {
        let mut taken = Taken::default();
        self.queue.take(self.key, max, NOW, &mut taken);
        taken.deliveries
    }

    fn settle(&self, tag: u64, outcome: Outcome) -> Settled {
        self.queue.settle(self.key, DeliveryTag(tag), outcome, &mut Wakes::default())
    }

    /// How often it was marked since the last call.
    fn marks(&self) -> usize {
        let mut marked = Vec::new();
        self.readiness.drain(&mut marked);
        marked.len()
    }
}

fn consumer(settles: Settles, prefetch: Option<u32>) -> ConsumerOptions {
    ConsumerOptions { id: ConsumerId(1), settles, prefetch, link: 0 }
}

fn filled(keys: &[&str]) -> Arc<Queue> {
    let queue = queue(1, "q");
    for key in keys {
        queue.push(item(key), &mut Wakes::default()).unwrap();
    }
    queue
}

fn keys(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message.key.as_str()).collect()
}
