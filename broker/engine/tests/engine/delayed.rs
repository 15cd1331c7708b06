//! Messages that wait for their time: each at its time, in its order, once.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use model::delivery::{Delivery, Outcome};
use model::name::ExchangeName;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Operation, Publish, Target};
use telemetry::Metrics;
use tokio::time::Instant;

use crate::client::{Client, crash, publish, start, start_without_store, texts};

/// A message whose text is when it is due, in milliseconds from `start` on.
fn delayed(key: &str, start: Instant, delay_ms: u64, qos: Qos) -> Operation {
    let due_us = start.elapsed().as_micros() + u128::from(delay_ms) * 1000;
    Operation::Publish(Publish { delay_ms, ..publish(key, &due_us.to_string(), qos, None) })
}

/// How late they came, each; none may be early.
fn late(deliveries: &[Delivery], start: Instant) -> Vec<Duration> {
    let now = start.elapsed();
    let due = |text: String| Duration::from_micros(text.parse().unwrap());
    texts(deliveries).into_iter().map(|text| now.checked_sub(due(text)).expect("nothing is early")).collect()
}

/// What comes next, as soon as it does.
async fn next(client: &mut Client) -> Vec<Delivery> {
    std::future::poll_fn(|cx| {
        let _ = client.link.poll(cx, &mut client.events);
        let deliveries = client.take();
        if deliveries.is_empty() { Poll::Pending } else { Poll::Ready(deliveries) }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_thousand_in_ten_minutes_each_comes_within_ten_milliseconds_of_its_time() {
    let broker = start_without_store(Arc::new(Metrics::default()));
    let mut listener = Client::open(&broker, "listener", true, 0).await;
    listener.subscribe("#", Qos::AtMostOnce).await;
    let mut client = Client::open(&broker, "client", true, 0).await;
    let start = Instant::now();
    // A generator that visits each of ten minutes' milliseconds in a scattered order, as far as it gets.
    let mut delay_ms = 1;
    for _ in 0..100_000 {
        delay_ms = (delay_ms + 371_137) % 600_000;
        client.submit(vec![delayed("a", start, delay_ms + 1, Qos::AtMostOnce)]).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "no time goes by meanwhile");
    let mut all = Vec::new();
    while all.len() < 100_000 {
        let deliveries = next(&mut listener).await;
        all.extend(late(&deliveries, start));
    }
    let most = all.iter().max().unwrap();
    assert!(*most <= Duration::from_millis(10), "{most:?} late");
    assert!(start.elapsed() <= Duration::from_millis(600_011), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_was_let_go_of_is_read_back_in_time_and_comes_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let mut listener = Client::open(&broker, "listener", true, 0).await;
    listener.subscribe("#", Qos::AtLeastOnce).await;
    let mut client = Client::open(&broker, "client", true, 0).await;
    let start = Instant::now();
    // Due later than what is kept in memory, in an order that is not that of the journal; some at the same time.
    let mut expected = Vec::new();
    for number in 0..500_u64 {
        let delay_ms = 5_000 + (number * 7919) % 50 * 40;
        expected.push((start.elapsed().as_millis() as u64 + delay_ms, number));
        let one = Publish { delay_ms, ..publish("a", &number.to_string(), Qos::AtLeastOnce, None) };
        assert_eq!(client.submit(vec![Operation::Publish(one)]).await, Ok(true));
    }
    assert!(start.elapsed() < Duration::from_secs(4), "too slow to say anything");
    let mut came = Vec::new();
    while came.len() < 500 {
        for delivery in next(&mut listener).await {
            let number: u64 = texts(std::slice::from_ref(&delivery))[0].parse().unwrap();
            let (due_ms, _) = expected[usize::try_from(number).unwrap()];
            assert!(start.elapsed().as_millis() as u64 >= due_ms, "{number} is early");
            came.push((due_ms, number));
            listener.settle(&delivery, Outcome::Accepted);
        }
    }
    // Of two that were published within a millisecond of each other, nobody can say here which is due first.
    assert!(came.windows(2).all(|pair| pair[0].0 <= pair[1].0 + 1), "not by time");
    let mut numbers: Vec<u64> = came.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..500), "each once");
    drop((broker, store));
}

#[tokio::test]
async fn what_is_due_is_in_its_queue_or_waits_wherever_the_broker_dies() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut away = Client::open(&broker, "away", true, 3600).await;
    away.subscribe("#", Qos::AtLeastOnce).await;
    drop(away);
    let mut client = Client::open(&broker, "client", true, 0).await;
    let start_at = Instant::now();
    for number in 0..200_u64 {
        let one = Publish {
            delay_ms: 300 + number * 5,
            ..publish("a", &number.to_string(), Qos::AtLeastOnce, None)
        };
        client.submit(vec![Operation::Publish(one)]).await.unwrap();
    }
    let mut copies = Vec::new();
    while start_at.elapsed() < Duration::from_millis(1_600) {
        copies.push(crash(directory.path()));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    for copy in copies {
        let (broker, _store) = start(copy.path());
        let mut away = Client::open(&broker, "away", false, 3600).await;
        let mut numbers = Vec::new();
        while numbers.len() < 200 {
            let deliveries = next(&mut away).await;
            for delivery in &deliveries {
                away.settle(delivery, Outcome::Accepted);
            }
            numbers.extend(texts(&deliveries).into_iter().map(|text| text.parse::<u64>().unwrap()));
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..200), "each once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_for_whoever_listens_when_it_is_due() {
    let broker = start_without_store(Arc::new(Metrics::default()));
    let mut client = Client::open(&broker, "client", true, 0).await;
    let mut early = Client::open(&broker, "early", true, 0).await;
    early.subscribe("a", Qos::AtLeastOnce).await;
    let one = Publish { delay_ms: 60_000, ..publish("a", "x", Qos::AtLeastOnce, None) };
    // Nobody knows yet whether somebody will want it.
    assert_eq!(client.submit(vec![Operation::Publish(one)]).await, Ok(true));
    drop(early);
    let mut late = Client::open(&broker, "late", true, 0).await;
    late.subscribe("a", Qos::AtLeastOnce).await;
    assert_eq!(texts(&next(&mut late).await), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_published_now_does_not_wait() {
    let metrics = Arc::new(Metrics::default());
    let broker = start_without_store(Arc::clone(&metrics));
    let mut client = Client::open(&broker, "client", true, 0).await;
    let exchange = ExchangeName::new("nowhere");
    let one = Publish { delay_ms: 1000, exchange, ..publish("a", "x", Qos::AtLeastOnce, None) };
    assert!(matches!(client.submit(vec![Operation::Publish(one)]).await, Err(Refusal::NoExchange(_))));
    let reserved = Publish { delay_ms: 1000, ..publish("$SYS/x", "x", Qos::AtLeastOnce, None) };
    assert!(matches!(client.submit(vec![Operation::Publish(reserved)]).await, Err(Refusal::Denied { .. })));
    // All of a transaction or nothing.
    let fits = Publish { delay_ms: 1000, ..publish("a", "x", Qos::AtLeastOnce, None) };
    let bad = Publish { exchange: ExchangeName::new("nowhere"), ..publish("a", "x", Qos::AtLeastOnce, None) };
    let both = vec![Operation::Publish(fits), Operation::Publish(bad)];
    assert!(client.submit(both).await.is_err());
    assert!(broker.inspect().delayed(None, 9, |_| true).items.is_empty());
    assert_eq!(broker.inspect().amounts(0).delayed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_dead_letters_what_is_too_much_does_so_once() {
    let broker = start_without_store(Arc::new(Metrics::default()));
    let queue = |name: &str| model::queue::QueueOptions {
        name: model::name::QueueName::new(name),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: (name == "small").then_some(1),
        ready_bytes_max: None,
        arguments: (name == "small").then(|| {
            Box::new(model::queue::QueueArguments {
                overflow: Some(model::queue::Overflow::RejectPublishDlx),
                dead_letter: Some(model::queue::DeadLetter {
                    exchange: ExchangeName::DEFAULT,
                    key: Some("dead".into()),
                }),
                ..Default::default()
            })
        }),
    };
    for name in ["small", "dead"] {
        broker.commands().declare_queue(queue(name)).await.unwrap();
    }
    let mut client = Client::connect(&broker).await;
    let to_small = |text: &'static str, delay_ms: u64| {
        let (exchange, payload) = (ExchangeName::DEFAULT, Bytes::from_static(text.as_bytes()));
        let one = Publish { exchange, payload, delay_ms, ..publish("small", "", Qos::AtLeastOnce, None) };
        vec![Operation::Publish(one)]
    };
    client.submit(to_small("fills it", 0)).await.unwrap();
    client.submit(to_small("too much", 1000)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    client.consume(1, Target::Existing(model::name::QueueName::new("dead"))).await.unwrap();
    assert_eq!(texts(&next(&mut client).await), ["too much"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(client.take().is_empty(), "once");
    assert_eq!(broker.inspect().amounts(0).delayed, 0);
}
