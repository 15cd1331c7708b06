//! What the engine promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use engine::{Definitions, Options};
use model::delivery::Outcome;
use model::event::{Event, Farewell};
use model::key::KeyPattern;
use model::name::{ExchangeName, QueueName};
use model::qos::Qos;
use model::queue::{Binding, Overflow, QueueArguments, QueueOptions};
use model::refusal::Refusal;
use model::request::{Close, Operation, Publish, Request, Submit, Target, Ticket, Will};

use crate::client::{
    Client, crash, keys, publish, retained, start, start_limited, start_with, start_without_store, texts,
};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let mut ann = Client::open(&broker, "ann", true, 3600).await;
    ann.subscribe("room/#", Qos::ExactlyOnce).await;
    drop(ann);
    let mut bob = Client::open(&broker, "bob", true, 0).await;
    for text in ["one", "two"] {
        assert_eq!(bob.publish("room/5", text, Qos::AtLeastOnce, None).await, Ok(true));
    }
    drop(bob);
    drop(broker);
    store.close();
    drop(store);

    let (broker, _store) = start(directory.path());
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    assert!(ann.opened.session_present);
    let deliveries = ann.wait().await;
    assert_eq!(texts(&deliveries), ["one", "two"]);
    ann.settle(&deliveries[0], Outcome::Accepted);
    drop(ann);
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    let again = ann.take();
    assert_eq!(texts(&again), ["two"]);
    assert!(again[0].attempts > 0);
}

/// The link remembers whom it told the mailbox to wake; a task that comes in place of another must not be forgotten for that.
#[tokio::test]
async fn the_task_that_waited_last_is_the_one_that_is_woken() {
    let broker = start_without_store(Arc::default());
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::AtMostOnce).await;
    let mut publisher = Client::open(&broker, "pub", true, 0).await;
    let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    for woken in [&first, &second, &second] {
        let waker = Waker::from(Arc::clone(woken));
        assert!(sub.link.poll(&mut Context::from_waker(&waker), &mut sub.events).is_pending());
    }
    assert_eq!(publisher.publish("a", "x", Qos::AtMostOnce, None).await, Ok(true));
    while !second.0.load(Ordering::Acquire) {
        tokio::task::yield_now().await;
    }
    assert!(!first.0.load(Ordering::Acquire));
    assert_eq!(texts(&sub.take()), ["x"]);
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[tokio::test]
async fn a_qos_2_id_is_not_routed_again_until_it_is_released() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let mut old = Client::open(&broker, "pub", true, 3600).await;
    assert_eq!(old.publish("a", "first", Qos::ExactlyOnce, Some(7)).await, Ok(true));
    // Another connection of the same client, which never saw PUBREC.
    let mut new = Client::open(&broker, "pub", false, 3600).await;
    assert_eq!(new.opened.unreleased, [7]);
    assert!(matches!(old.event().await, Event::Closing(Farewell::TakenOver)));
    assert_eq!(new.publish("a", "first", Qos::ExactlyOnce, Some(7)).await, Ok(true));
    assert_eq!(new.release(7).await, Some(true));
    assert_eq!(new.release(7).await, Some(false));
    assert_eq!(new.publish("a", "second", Qos::ExactlyOnce, Some(7)).await, Ok(true));
    assert_eq!(texts(&sub.take()), ["first", "second"]);
}

#[tokio::test]
async fn a_transaction_takes_effect_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 3600).await;
    sub.subscribe("a", Qos::AtLeastOnce).await;
    let mut client = Client::open(&broker, "pub", true, 0).await;
    let good = || Operation::Publish(publish("a", "x", Qos::AtLeastOnce, None));
    let bad = Operation::Publish(Publish {
        exchange: ExchangeName::new("nowhere"),
        ..publish("a", "x", Qos::AtLeastOnce, None)
    });
    assert_eq!(
        client.submit(vec![good(), bad]).await,
        Err(Refusal::NoExchange(ExchangeName::new("nowhere")))
    );
    assert_eq!(texts(&sub.take()), [""; 0]);
    assert_eq!(client.submit(vec![good(), good()]).await, Ok(true));
    assert_eq!(texts(&sub.take()), ["x", "x"]);
}

#[tokio::test]
async fn a_will_is_published_when_the_client_is_lost_and_not_when_it_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 3600).await;
    sub.subscribe("gone/+", Qos::AtLeastOnce).await;
    let will = |key: &str| {
        Some(Box::new(Will { publish: publish(key, "will", Qos::AtLeastOnce, None), delay_s: 0 }))
    };
    drop(Client::open_with(&broker, "lost", true, 0, will("gone/lost")).await);
    let mut polite = Client::open_with(&broker, "polite", true, 0, will("gone/polite")).await;
    polite.ask(Request::Close(Close { discard_will: true, expiry_s: None }));
    drop(polite);
    assert_eq!(keys(&sub.wait().await), ["gone/lost"]);
    // And when the broker dies before the client does.
    let cut_off = Client::open_with(&broker, "cut-off", true, 0, will("gone/cut-off")).await;
    store.close();
    drop((cut_off, sub, broker, store));

    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", false, 3600).await;
    let keys = keys(&sub.wait().await);
    assert!(keys.contains(&"gone/cut-off".to_owned()), "{keys:?}");
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_up() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    drop(Client::open(&broker, "brief", true, 1).await);
    assert!(Client::open(&broker, "brief", false, 1).await.opened.session_present);
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert!(!Client::open(&broker, "brief", false, 1).await.opened.session_present);
}

#[tokio::test]
async fn retained_messages_meet_new_subscriptions() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut client = Client::open(&broker, "pub", true, 0).await;
    let retained = |text: &str| {
        let publish = Publish { retain: true, ..publish("state/lamp", text, Qos::AtLeastOnce, None) };
        vec![Operation::Publish(publish)]
    };
    client.submit(retained("on")).await.unwrap();
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("state/#", Qos::AtLeastOnce).await;
    let deliveries = sub.take();
    assert_eq!(texts(&deliveries), ["on"]);
    assert!(deliveries[0].retain);
    // An empty one deletes it, and is passed on live.
    client.submit(retained("")).await.unwrap();
    assert_eq!(texts(&sub.take()), [""]);
    let mut late = Client::open(&broker, "late", true, 0).await;
    late.subscribe("state/#", Qos::AtLeastOnce).await;
    assert_eq!(texts(&late.take()), [""; 0]);
}

#[tokio::test]
async fn a_message_that_is_refused_reaches_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let queue = |name: &str, ready_max| QueueOptions {
        name: QueueName::new(name),
        durable: false,
        exclusive: false,
        auto_delete: false,
        ready_max,
        ready_bytes_max: None,
        arguments: Some(Box::new(QueueArguments {
            overflow: Some(Overflow::RejectPublish),
            ..QueueArguments::default()
        })),
    };
    let bound = |name: &str| Binding {
        exchange: ExchangeName::FANOUT,
        pattern: KeyPattern::new(Vec::new()),
        arguments: Default::default(),
        queue: QueueName::new(name),
        share: None,
        grant: Default::default(),
    };
    let definitions = Definitions {
        exchanges: Vec::new(),
        queues: vec![queue("large", None), queue("small", Some(1))],
        bindings: vec![bound("large"), bound("small")],
        ..Definitions::default()
    };
    broker.declare(&definitions).unwrap();
    let mut client = Client::connect(&broker).await;
    let message =
        |text| Publish { exchange: ExchangeName::FANOUT, ..publish("k", text, Qos::AtLeastOnce, None) };
    assert_eq!(client.submit(vec![Operation::Publish(message("first"))]).await, Ok(true));
    let refused = client.submit(vec![Operation::Publish(message("second"))]).await;
    assert!(matches!(refused, Err(Refusal::LimitReached(_))));
    // Nor does it in a transaction, whatever the queue is.
    let refused =
        client.submit(vec![Operation::Publish(message("x")), Operation::Publish(message("y"))]).await;
    assert!(matches!(refused, Err(Refusal::LimitReached(_))));
    client.consume(1, Target::Existing(QueueName::new("large"))).await.unwrap();
    assert_eq!(texts(&client.take()), ["first"]);
}

#[tokio::test]
async fn at_a_limit_what_is_there_may_still_be_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Options { subscriptions_max: 1, retained_max: 1, ..Options::default() };
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), limits);
    let mut client = Client::open(&broker, "c", true, 3600).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    client.subscribe("a", Qos::AtMostOnce).await;
    client.begin_to_subscribe("b", Qos::AtMostOnce);
    assert!(
        matches!(client.event().await, Event::Subscribed { results, .. } if matches!(results[..], [Err(_)]))
    );
    client.submit(retained("k", "1", Qos::AtLeastOnce)).await.unwrap();
    client.submit(retained("k", "2", Qos::AtLeastOnce)).await.unwrap();
    assert!(client.submit(retained("l", "1", Qos::AtLeastOnce)).await.is_err());
    assert_eq!(client.publish("b", "x", Qos::AtLeastOnce, None).await, Ok(false));
}

#[tokio::test]
async fn a_session_that_is_away_misses_what_is_sent_at_most_once() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 3600).await;
    sub.subscribe("a", Qos::AtLeastOnce).await;
    let mut client = Client::open(&broker, "pub", true, 0).await;
    let at_most_once = || vec![Operation::Publish(publish("a", "now or never", Qos::AtMostOnce, None))];
    assert_eq!(client.submit(at_most_once()).await, Ok(true));
    assert_eq!(texts(&sub.take()), ["now or never"]);
    drop(sub);
    assert_eq!(client.submit(at_most_once()).await, Ok(true));
    assert_eq!(client.publish("a", "kept", Qos::AtLeastOnce, None).await, Ok(true));
    assert_eq!(texts(&Client::open(&broker, "sub", false, 3600).await.take()), ["kept"]);
}

#[tokio::test]
async fn what_has_expired_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Options { session_queue_messages_max: 2, retained_max: 1, ..Options::default() };
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), limits);
    let mut away = Client::open(&broker, "away", true, 3600).await;
    away.subscribe("a", Qos::AtLeastOnce).await;
    drop(away);
    let mut client = Client::open(&broker, "c", true, 0).await;
    let brief = |key, retain| {
        Operation::Publish(Publish {
            expiry_ms: Some(1),
            retain,
            ..publish(key, "brief", Qos::AtLeastOnce, None)
        })
    };
    for (key, retain) in [("a", false), ("a", false), ("k", true)] {
        client.submit(vec![brief(key, retain)]).await.unwrap();
    }
    std::thread::sleep(Duration::from_millis(5));
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(6)).await;
    tokio::time::resume();
    client.publish("a", "stays", Qos::AtLeastOnce, None).await.unwrap();
    client.submit(retained("l", "1", Qos::AtLeastOnce)).await.unwrap();
    assert_eq!(texts(&Client::open(&broker, "away", false, 3600).await.take()), ["stays"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_settled_before_it_published_is_gone_when_that_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    // What nobody waits for stays where it is for as long as this test takes.
    let soon_write_wait_max = Duration::from_secs(3600);
    let options = storage::Options { soon_write_wait_max, ..storage::Options::new(directory.path()) };
    let (broker, _store) = start_with(options);
    let mut other = Client::open(&broker, "other", true, 3600).await;
    other.subscribe("answers", Qos::AtLeastOnce).await;
    let mut ann = Client::open(&broker, "ann", true, 3600).await;
    ann.subscribe("questions", Qos::AtLeastOnce).await;
    assert_eq!(other.publish("questions", "?", Qos::AtLeastOnce, None).await, Ok(true));
    let deliveries = ann.wait().await;
    let submit = |operation, answer| {
        let operations = [operation].into_iter().collect();
        Request::Submit(Submit { ticket: Ticket(9), answer, operations })
    };
    let settle = Client::settling(&deliveries[0], Outcome::Accepted);
    let answer = Operation::Publish(publish("answers", "!", Qos::AtLeastOnce, None));
    let mut turn = vec![submit(settle, false), submit(answer, true)];
    // The turn goes on for longer than the disk needs.
    let idle = || Operation::Publish(publish("nobody/listens", "-", Qos::AtMostOnce, None));
    turn.extend((0..50_000).map(|_| submit(idle(), false)));
    ann.link.ask(&mut turn, &mut ann.events);
    assert!(matches!(ann.event().await, Event::Submitted { result: Ok(_), .. }));

    let copy = crash(directory.path());
    let (broker, _store) = start(copy.path());
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    assert_eq!(texts(&ann.take()), [""; 0]);
    let mut other = Client::open(&broker, "other", false, 3600).await;
    assert_eq!(texts(&other.wait().await), ["!"]);
    // Whatever she asked for was read before that.
    assert_eq!(texts(&ann.take()), [""; 0]);
}
