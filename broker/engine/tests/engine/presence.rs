//! Who leaves is told once, with by whom, however the end comes.

use std::sync::Arc;
use std::time::Duration;

use engine::Broker;
use model::name::ExchangeName;
use model::outbox::{By, Hangup};

use crate::client::{Client, start_without_store, texts};

#[tokio::test]
async fn an_end_is_told_as_whoever_saw_it_says_and_as_lost_if_nobody_does() {
    let broker = start_without_store(Arc::default());
    let mut watcher = watcher(&broker).await;
    for (hangup, told) in [
        (Some((By::Client, "good-bye")), "\"by\":\"client\",\"reason\":\"good-bye\""),
        (Some((By::Timeout, "silent")), "\"by\":\"timeout\",\"reason\":\"silent\""),
        (Some((By::Broker, "a rule")), "\"by\":\"broker\",\"reason\":\"a rule\""),
        (None, "\"by\":\"network\",\"reason\":\"connection lost\""),
    ] {
        let mut client = Client::connect_as(&broker, "kim").await;
        if let Some((by, reason)) = hangup {
            client.link.end(&Hangup { by, reason: reason.into() });
        }
        drop(client);
        let events = texts(&watcher.take());
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].contains(told) && events[0].contains("\"user\":\"kim\""), "{events:?}");
    }
}

#[tokio::test]
async fn whoever_was_never_in_is_never_told_of() {
    let broker = start_without_store(Arc::default());
    let mut watcher = watcher(&broker).await;
    drop(Client::stranger(&broker));
    assert!(watcher.take().is_empty());
}

#[tokio::test]
async fn the_end_of_the_broker_is_told_as_that() {
    let broker = start_without_store(Arc::default());
    let mut watcher = watcher(&broker).await;
    let mut client = Client::connect_as(&broker, "kim").await;
    broker.shutdown(Duration::ZERO).await;
    client.link.end(&Hangup { by: By::Broker, reason: "the broker is shutting down".into() });
    drop(client);
    let events = texts(&watcher.take());
    assert!(events.len() == 1 && events[0].contains("\"by\":\"shutdown\""), "{events:?}");
}

/// Hears of all ends but its own.
async fn watcher(broker: &Broker) -> Client {
    let mut watcher = Client::open(broker, "watcher", true, 0).await;
    let wanted = watcher.listen(ExchangeName::TOPIC, "$events/client/disconnected").await;
    assert!(wanted.is_ok(), "{wanted:?}");
    watcher
}
