//! More retained messages than the queue of a new subscription may hold.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::{Broker, Options};
use model::delivery::{Delivery, Outcome};
use model::grant::Grant;
use model::key::{KeyPattern, Level};
use model::name::{ConsumerId, ExchangeName};
use model::qos::Qos;
use model::queue::Overflow;
use model::request::{
    Consumer, Operation, Publish, Replay, Request, Source, Submit, Subscription, Target, Ticket, Unsubscribe,
    Unsubscription,
};

use crate::client::{Client, crash, publish, retained, start_limited, start_limited_without_store, texts};

#[tokio::test]
async fn all_that_is_retained_comes_once_however_little_the_queue_may_hold() {
    for max in [1, 2, 3, 4, 50, 10_000] {
        for expiry_s in [0, 3600] {
            let directory = tempfile::tempdir().unwrap();
            let (broker, _store) = limited(directory.path(), max);
            retain(&broker, 0..300).await;
            let mut sub = Client::open(&broker, "sub", true, expiry_s).await;
            sub.subscribe("lamp/#", Qos::ExactlyOnce).await;
            let got = drain(&mut sub, 300).await;
            assert!(got.iter().all(|one| one.retain), "at most {max}");
            assert_eq!(counts(&got), once(0..300), "at most {max}, {expiry_s} s");
            tokio::time::sleep(Duration::from_millis(50)).await;
            sub.poll().await;
            assert_eq!(texts(&sub.take()), [""; 0]);
        }
    }
}

#[tokio::test]
async fn all_comes_once_and_in_order_where_nothing_lasts() {
    for max in [1, 20, 10_000] {
        let limits = Options { session_queue_messages_max: max, ..Options::default() };
        let broker = start_limited_without_store(limits);
        retain(&broker, 0..300).await;
        let mut publisher = Client::open(&broker, "publisher", true, 0).await;
        let mut sub = Client::open(&broker, "sub", true, 3600).await;
        sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
        let mut got = drain(&mut sub, 10).await;
        publisher.publish("lamp/00299", "live", Qos::AtLeastOnce, None).await.unwrap();
        got.extend(drain(&mut sub, 291).await);
        let at = |text: &str| texts(&got).iter().position(|one| one == text);
        // With room for one message alone there is none for both.
        assert!(at("old 299") < at("live") || max == 1, "at most {max}");
        let mut counted = counts(&got);
        counted.remove("live");
        assert_eq!(counted, once(0..300), "at most {max}");
    }
}

#[tokio::test]
async fn a_subscription_without_a_session_gets_all_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = limited(directory.path(), 10);
    retain(&broker, 0..300).await;
    for (acknowledges, prefetch) in [(false, None), (true, None), (true, Some(1))] {
        let mut sub = Client::connect(&broker).await;
        let consumer = Some(Consumer { id: ConsumerId(7), acknowledges, prefetch, start: None });
        let (source, queue) = (Some(source(Qos::AtLeastOnce, None)), Target::Private);
        let subscription = Subscription { source, queue, consumer, retained: Replay::IfNew };
        sub.subscribe_to(subscription).await.unwrap();
        assert_eq!(counts(&drain(&mut sub, 300).await), once(0..300), "{acknowledges}, {prefetch:?}");
    }
}

#[tokio::test]
async fn a_session_that_went_away_in_the_middle_gets_the_rest_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = limited(directory.path(), 20);
    retain(&broker, 0..300).await;
    let mut sub = Client::open(&broker, "sub", true, 3600).await;
    sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
    let mut got = drain(&mut sub, 100).await;
    drop(sub);
    let mut sub = Client::open(&broker, "sub", false, 3600).await;
    assert!(sub.opened.session_present);
    got.extend(drain(&mut sub, 200).await);
    // Nobody takes what has QoS 0 and was under way when the connection went.
    let missing = once(0..300).into_keys().filter(|text| !counts(&got).contains_key(text)).count();
    assert!(missing <= 20 && counts(&got).values().all(|count| *count <= 2), "{missing} missing");

    // What is in the queue outlives the broker, what was still to come does not (docs/decisions/0011).
    drop(sub);
    let mut sub = Client::open(&broker, "late", true, 3600).await;
    sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
    while texts(&sub.wait().await).is_empty() {}
    drop(sub);
    let mut other = Client::open(&broker, "other", true, 3600).await;
    other.publish("on/disk", "", Qos::AtLeastOnce, None).await.unwrap();
    let copy = crash(directory.path());
    drop((other, broker, store));
    let (broker, _store) = limited(copy.path(), 20);
    let mut sub = Client::open(&broker, "late", false, 3600).await;
    let rest = drain(&mut sub, 21).await;
    assert!((1..=20).contains(&rest.len()), "{}", rest.len());
    sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
    assert_eq!(counts(&drain(&mut sub, 300).await), once(0..300));
}

#[tokio::test]
async fn whoever_unsubscribes_in_the_middle_gets_no_more_than_is_in_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = limited(directory.path(), 20);
    retain(&broker, 0..300).await;
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
    let got = drain(&mut sub, 30).await.len();
    let Source { exchange, pattern, .. } = source(Qos::AtLeastOnce, None);
    let subscriptions = vec![Unsubscription::Binding { exchange, pattern, share: None }];
    sub.ask(Request::Unsubscribe(Box::new(Unsubscribe { ticket: Ticket(1), subscriptions })));
    sub.event().await;
    let rest = drain(&mut sub, 300).await.len();
    assert!(rest <= 20, "{got} and then {rest}");
}

#[tokio::test]
async fn whoever_subscribes_again_in_the_middle_gets_all_again_or_the_rest_as_it_asks() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = limited(directory.path(), 20);
    retain(&broker, 0..300).await;
    for (asked, least, most) in
        [(Replay::Always, 300, 330), (Replay::IfNew, 240, 270), (Replay::Never, 240, 270)]
    {
        let mut sub = Client::open(&broker, "sub", true, 0).await;
        sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
        let before = drain(&mut sub, 30).await.len();
        assert!((30..=60).contains(&before));
        let source = Some(source(Qos::AtLeastOnce, Some(9)));
        let again = Subscription { source, queue: Target::Session, consumer: None, retained: asked };
        sub.ask_for(again);
        sub.event().await;
        let got = drain(&mut sub, 330).await;
        assert!((least..=most).contains(&got.len()), "{asked:?}: {}", got.len());
        let named = got.iter().filter(|one| one.subscription_ids[..] == [9]).count();
        assert!(named >= got.len() - 20, "{asked:?}: {named}");
    }
}

#[tokio::test]
async fn what_is_published_meanwhile_has_room_and_comes_once() {
    for overflow in [Overflow::DropNew, Overflow::RejectPublish, Overflow::DropHead] {
        let directory = tempfile::tempdir().unwrap();
        let limits = Options {
            session_queue_messages_max: 40,
            session_queue_overflow: overflow,
            ..Options::default()
        };
        let (broker, _store) = start_limited(storage::Options::new(directory.path()), limits);
        retain(&broker, 0..300).await;
        let mut publisher = Client::open(&broker, "publisher", true, 0).await;
        let mut sub = Client::open(&broker, "sub", true, 3600).await;
        sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
        // Half of the queue is theirs: none of these is refused or dropped, though nothing was taken yet.
        for key in 280..300 {
            let new = retained(&format!("lamp/{key:05}"), &format!("new {key}"), Qos::AtLeastOnce);
            publisher.submit(new).await.unwrap();
        }
        let got = drain(&mut sub, 300).await;
        let mut expected = once(0..280);
        expected.extend((280..300).map(|key| (format!("new {key}"), 1)));
        assert_eq!(counts(&got), expected, "{overflow:?}");
        let live: Vec<_> = got.iter().filter(|one| !one.retain).collect();
        assert_eq!(live.len(), 20);
    }
}

#[tokio::test]
async fn what_is_published_meanwhile_does_not_overtake_what_is_retained_for_its_key() {
    // [MQTT-4.6.0-5], of whatever QoS; and what came before its turn does not come again.
    for (qos, expiry_s) in [
        (Qos::AtMostOnce, 0),
        (Qos::AtMostOnce, 3600),
        (Qos::AtLeastOnce, 0),
        (Qos::AtLeastOnce, 3600),
        (Qos::ExactlyOnce, 3600),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (broker, _store) = limited(directory.path(), 200);
        retain(&broker, 0..1000).await;
        let mut publisher = Client::open(&broker, "publisher", true, 0).await;
        let mut sub = Client::open(&broker, "sub", true, expiry_s).await;
        sub.begin_to_subscribe("lamp/#", Qos::ExactlyOnce);
        // Some of them at the front, which may be under way, others far behind.
        let live: Vec<_> = (0..1000).step_by(40).chain([960, 3]).collect();
        let live = live.iter().map(|key| publish(&format!("lamp/{key:05}"), "live", qos, None));
        for publish in live.clone() {
            let operations = [Operation::Publish(publish)].into_iter().collect();
            publisher.ask(Request::Submit(Submit { ticket: Ticket(5), answer: false, operations }));
        }
        let mut old = BTreeMap::new();
        let mut came = 0;
        for one in drain(&mut sub, 1000 + live.len()).await {
            let key = one.message.key.to_string();
            if one.retain {
                assert_eq!(old.insert(key.clone(), ()), None, "{key} twice, {qos:?}, {expiry_s} s");
            } else {
                assert!(old.contains_key(&key), "{key} was overtaken, {qos:?}, {expiry_s} s");
                came += 1;
            }
        }
        assert_eq!((old.len(), came), (1000, live.len()), "{qos:?}, {expiry_s} s");
    }
}

#[tokio::test]
async fn what_expires_or_is_deleted_before_its_turn_does_not_come() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = limited(directory.path(), 20);
    retain(&broker, 0..100).await;
    let mut publisher = Client::open(&broker, "publisher", true, 0).await;
    let expires = |key: usize| Publish {
        retain: true,
        expiry_ms: Some(300),
        ..publish(&format!("lamp/{key:05}"), "short", Qos::AtLeastOnce, None)
    };
    let operations = (100..200).map(|key| Operation::Publish(expires(key))).collect();
    publisher.submit(operations).await.unwrap();
    retain(&broker, 200..300).await;
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
    let before = drain(&mut sub, 1).await;
    for key in 250..300 {
        publisher.submit(retained(&format!("lamp/{key:05}"), "", Qos::AtMostOnce)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut got = before;
    got.extend(drain(&mut sub, 200).await);
    let mut expected = once(0..100);
    expected.extend(once(200..250));
    let mut counted = counts(&got);
    // These are the deletions, which are published like any other message; some have no room.
    assert!(counted.remove("").is_some_and(|count| count <= 50));
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn a_message_that_no_queue_of_that_size_could_hold_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Options { session_queue_bytes_max: 100, ..Options::default() };
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), limits);
    retain(&broker, 0..10).await;
    let mut publisher = Client::open(&broker, "publisher", true, 0).await;
    let large = retained("lamp/00005", &"x".repeat(200), Qos::AtLeastOnce);
    publisher.submit(large).await.unwrap();
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
    let mut expected = once(0..10);
    expected.remove("old 5");
    assert_eq!(counts(&drain(&mut sub, 9).await), expected);
}

#[tokio::test]
async fn a_match_behind_very_many_others_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = limited(directory.path(), 20);
    let mut publisher = Client::open(&broker, "publisher", true, 0).await;
    let others = (0..10_000).flat_map(|site| retained(&format!("{site}/other"), "x", Qos::AtMostOnce));
    publisher.submit(others.collect()).await.unwrap();
    publisher.submit(retained("last/wanted", "found", Qos::AtLeastOnce)).await.unwrap();
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("+/wanted", Qos::AtLeastOnce).await;
    // Not all of them at once: others have their turn.
    assert_eq!(texts(&sub.take()), [""; 0]);
    publisher.submit(retained("first/wanted", "later", Qos::AtMostOnce)).await.unwrap();
    assert_eq!(texts(&drain(&mut sub, 1).await), ["later"]);
    assert_eq!(texts(&drain(&mut sub, 1).await), ["found"]);
}

#[tokio::test]
async fn one_subscription_does_not_wait_for_another_with_very_many() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = limited(directory.path(), 20);
    retain(&broker, 0..1000).await;
    let mut publisher = Client::open(&broker, "publisher", true, 0).await;
    publisher.submit(retained("config", "mine", Qos::AtLeastOnce)).await.unwrap();
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("lamp/#", Qos::AtLeastOnce).await;
    sub.subscribe("config", Qos::AtLeastOnce).await;
    assert!(texts(&drain(&mut sub, 60).await).contains(&"mine".to_owned()));
}

fn limited(directory: &std::path::Path, max: u64) -> (Broker, std::sync::Arc<storage::Store>) {
    let limits = Options { session_queue_messages_max: max, ..Options::default() };
    start_limited(storage::Options::new(directory), limits)
}

/// Retains one message for each of these numbers, at QoS 0, 1 and 2 by turns.
async fn retain(broker: &Broker, numbers: std::ops::Range<usize>) {
    let mut publisher = Client::connect(broker).await;
    let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
    let one = |number: usize| {
        retained(&format!("lamp/{number:05}"), &format!("old {number}"), qos[number % qos.len()])
    };
    publisher.submit(numbers.flat_map(one).collect()).await.unwrap();
}

fn source(qos: Qos, id: Option<u32>) -> Source {
    Source {
        exchange: ExchangeName::TOPIC,
        pattern: KeyPattern::new(vec![Level::Literal("lamp".into()), Level::Many]),
        arguments: Default::default(),
        share: None,
        grant: Grant { qos, subscription_ids: id.into_iter().collect(), ..Grant::default() },
    }
}

/// Takes and settles until so many have come, or nothing has for a while.
async fn drain(client: &mut Client, count: usize) -> Vec<Delivery> {
    let (mut got, mut last) = (Vec::new(), Instant::now());
    while got.len() < count && last.elapsed() < Duration::from_millis(1_500) {
        client.poll().await;
        let taken = client.take();
        if taken.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        last = Instant::now();
        for one in taken {
            if one.tag.0 > 0 {
                client.settle(&one, Outcome::Accepted);
            }
            got.push(one);
        }
    }
    got
}

fn counts(deliveries: &[Delivery]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for text in texts(deliveries) {
        *counts.entry(text).or_default() += 1;
    }
    counts
}

fn once(numbers: std::ops::Range<usize>) -> BTreeMap<String, usize> {
    numbers.map(|number| (format!("old {number}"), 1)).collect()
}
