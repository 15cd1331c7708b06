//! What no queue took is kept, the last of it, with the reason.

use bytes::Bytes;
use engine::{Broker, Options};
use model::name::ExchangeName;
use model::properties::Properties;
use model::qos::Qos;
use model::request::{Operation, Publish};

use crate::client::{Client, publish, start_limited_without_store};

#[tokio::test]
async fn the_last_ones_are_kept_with_the_reason_and_the_newest_comes_first() {
    let broker = with_keep(3);
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::AtLeastOnce).await;
    let mut kim = Client::connect_as(&broker, "kim").await;
    assert_eq!(kim.submit(vec![sent(ExchangeName::TOPIC, "a", "routed")]).await, Ok(true));
    assert!(broker.inspect().unroutable(None, 9, |_| true).items.is_empty());
    for (exchange, key) in [
        (ExchangeName::TOPIC, "first"),
        (ExchangeName::TOPIC, "b"),
        (ExchangeName::DIRECT, "c"),
        (ExchangeName::DEFAULT, "d"),
    ] {
        assert_eq!(kim.submit(vec![sent(exchange, key, "lost")]).await, Ok(false));
    }
    let all = broker.inspect().unroutable(None, 9, |_| true);
    let shown: Vec<_> =
        all.items.iter().map(|one| (&*one.exchange, &*one.key, one.cause, one.user.as_deref())).collect();
    let expected = [
        ("", "d", "there is no queue of that name", Some("kim")),
        ("amq.direct", "c", "nothing is bound to the exchange", Some("kim")),
        ("amq.topic", "b", "no binding of the exchange matches", Some("kim")),
    ];
    assert_eq!(shown, expected);
    // In pages, with what is wanted alone.
    let first = broker.inspect().unroutable(None, 1, |one| one.exchange != "amq.direct");
    assert_eq!((&*first.items[0].key, first.next.is_some()), ("d", true));
    let second = broker.inspect().unroutable(first.next.as_deref(), 1, |one| one.exchange != "amq.direct");
    assert_eq!((&*second.items[0].key, second.next), ("b", None));
}

#[tokio::test]
async fn of_a_long_one_the_beginning_is_kept_and_of_many_what_fits() {
    let broker = with_keep(100_000);
    let mut client = Client::connect(&broker).await;
    let mut long = message(ExchangeName::DIRECT, "k", "é".repeat(50_000).into());
    let header = |number: usize| (format!("h{number}").into(), "v".repeat(500).into());
    long.properties =
        Some(Box::new(Properties { headers: (0..100).map(header).collect(), ..Properties::default() }));
    assert_eq!(client.submit(vec![Operation::Publish(long)]).await, Ok(false));
    let one = broker.inspect().unroutable(None, 1, |_| true).items.remove(0);
    assert!(one.cut && one.payload_bytes == 100_000);
    assert_eq!(one.payload.as_deref().map(str::len), Some(4096));
    assert!((1..9).contains(&one.headers.len()), "{}", one.headers.len());
    let binary = message(ExchangeName::DIRECT, "k", Bytes::from_static(b"\xff\x00"));
    assert_eq!(client.submit(vec![Operation::Publish(binary)]).await, Ok(false));
    let one = broker.inspect().unroutable(None, 1, |_| true).items.remove(0);
    assert_eq!((one.payload, one.payload_base64.as_deref(), one.cut), (None, Some("/wA="), false));
    for _ in 0..6_000 {
        let large = message(ExchangeName::DIRECT, "k", vec![b'x'; 4096].into());
        assert_eq!(client.submit(vec![Operation::Publish(large)]).await, Ok(false));
    }
    let kept = broker.inspect().unroutable(None, usize::MAX, |_| true).items;
    assert!((3_000..4_096).contains(&kept.len()), "{}", kept.len());
}

#[tokio::test]
async fn with_none_to_keep_none_is_kept_and_all_are_counted() {
    let broker = with_keep(0);
    let mut client = Client::connect(&broker).await;
    assert_eq!(client.submit(vec![sent(ExchangeName::TOPIC, "a", "lost")]).await, Ok(false));
    assert!(broker.inspect().unroutable(None, 9, |_| true).items.is_empty());
}

fn with_keep(unroutable_keep: usize) -> Broker {
    start_limited_without_store(Options { unroutable_keep, ..Options::default() })
}

fn sent(exchange: ExchangeName, key: &str, text: &'static str) -> Operation {
    Operation::Publish(message(exchange, key, Bytes::from_static(text.as_bytes())))
}

fn message(exchange: ExchangeName, key: &str, payload: Bytes) -> Publish {
    Publish { exchange, payload, ..publish(key, "", Qos::AtLeastOnce, None) }
}

#[tokio::test]
async fn a_repetition_is_answered_as_the_first_one_was_until_it_is_released() {
    let broker = with_keep(9);
    let mut client = Client::open(&broker, "pub", true, 3600).await;
    assert_eq!(client.publish("a", "first", Qos::ExactlyOnce, Some(1)).await, Ok(false));
    drop(client);
    let mut client = Client::open(&broker, "pub", false, 3600).await;
    client.subscribe("a", Qos::ExactlyOnce).await;
    assert_eq!(client.publish("a", "again", Qos::ExactlyOnce, Some(1)).await, Ok(false));
    assert_eq!(client.release(1).await, Some(true));
    assert_eq!(client.publish("a", "new", Qos::ExactlyOnce, Some(1)).await, Ok(true));
    assert_eq!(broker.inspect().unroutable(None, 9, |_| true).items.len(), 1);
}
