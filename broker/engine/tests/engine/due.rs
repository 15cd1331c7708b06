//! What is due is done at its time: not before, and not at the next round of a sweep.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::qos::Qos;
use model::request::{Operation, Publish, Will};
use telemetry::{Counter, Metrics};

use crate::client::{Client, publish, start_without_store, texts};

#[tokio::test]
async fn what_nobody_takes_expires_at_its_time() {
    // MQTT 5.0, 3.3.2.3.3
    let metrics = Arc::new(Metrics::default());
    let broker = start_without_store(Arc::clone(&metrics));
    let mut sub = Client::open(&broker, "sub", true, 3600).await;
    sub.subscribe("#", Qos::AtLeastOnce).await;
    let mut client = Client::open(&broker, "pub", true, 0).await;
    drop(sub);
    let start = Instant::now();
    for (key, expiry_ms) in [("later", 900), ("first", 300), ("retained", 600), ("for ever", 0)] {
        let expiry_ms = (expiry_ms > 0).then_some(expiry_ms);
        let retain = key == "retained";
        let one = Publish { expiry_ms, retain, ..publish(key, key, Qos::AtLeastOnce, None) };
        client.submit(vec![Operation::Publish(one)]).await.unwrap();
    }
    // The retained one waits in the queue as well.
    for (count, not_before_ms) in [(1, 300), (2, 600), (3, 900)] {
        let retained = u64::from(not_before_ms == 300);
        until(|| reached(&metrics.messages_expired, count) && metrics.retained.value() == retained).await;
        assert!(start.elapsed() >= Duration::from_millis(not_before_ms));
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let mut sub = Client::open(&broker, "sub", false, 0).await;
    assert_eq!(texts(&sub.wait().await), ["for ever"]);
}

#[tokio::test]
async fn a_session_and_a_will_have_their_time() {
    // MQTT 5.0, 3.1.2.11.2 and 3.1.3.2.2
    let metrics = Arc::new(Metrics::default());
    let broker = start_without_store(Arc::clone(&metrics));
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("will/+", Qos::AtLeastOnce).await;
    let start = Instant::now();
    for (name, delay_s, expiry_s) in [("session ends", 9, 2), ("delay ends", 1, 9), ("comes back", 1, 9)] {
        let publish = publish(&format!("will/{name}"), name, Qos::AtLeastOnce, None);
        drop(
            Client::open_with(&broker, name, true, expiry_s, Some(Box::new(Will { publish, delay_s }))).await,
        );
    }
    let _back = Client::open(&broker, "comes back", false, 0).await;
    assert_eq!(texts(&sub.wait().await), ["delay ends"]);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(texts(&sub.wait().await), ["session ends"]);
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

/// Waits for something that comes to be.
async fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "it does not come to be");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn reached(counter: &Counter, count: u64) -> bool {
    counter.value() >= count
}
