//! Several connections at once, and what a restart makes of it.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use engine::Broker;
use model::delivery::Outcome;
use model::event::Event;
use model::qos::Qos;
use model::request::{Close, Operation, Publish, Release, Request, Submit, Ticket, Will};
use telemetry::Metrics;

use crate::client::{Client, publish, start, start_without_store, texts};

const ROUNDS: usize = 30;
const AUDIENCE: usize = 1000;

/// Many clients whose first connection, that ends its session, is lost at the moment when their second one, with a session
/// that lasts, comes in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_opened_last_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    // A will that many get takes its time.
    let mut audience = Vec::new();
    for member in 0..AUDIENCE {
        let mut client = Client::open(&broker, &format!("a{member}"), true, 0).await;
        client.subscribe("gone", Qos::AtMostOnce).await;
        audience.push(client);
    }
    for round in 0..ROUNDS {
        let name = format!("c{round}");
        let will = Will { publish: publish("gone", "will", Qos::AtMostOnce, None), delay_s: 0 };
        let first = Client::open_with(&broker, &name, true, 0, Some(Box::new(will))).await;
        let gate = Arc::new(Barrier::new(2));
        let lost = {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || {
                gate.wait();
                drop(first);
            })
        };
        gate.wait();
        drop(Client::open(&broker, &name, false, 3600).await);
        lost.join().unwrap();
    }
    drop((audience, broker));
    store.close();
    drop(store);

    let (broker, _store) = start(directory.path());
    let mut missing = Vec::new();
    for round in 0..ROUNDS {
        if !Client::open(&broker, &format!("c{round}"), false, 3600).await.opened.session_present {
            missing.push(round);
        }
    }
    assert_eq!(missing, [0; 0]);
}

#[tokio::test]
async fn a_connection_that_was_taken_over_has_no_say_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let mut old = Client::open(&broker, "pub", true, 3600).await;
    old.subscribe("own", Qos::ExactlyOnce).await;
    sub.publish("own", "to old", Qos::ExactlyOnce, None).await.unwrap();
    let taken = old.take();
    let _new = Client::open(&broker, "pub", false, 3600).await;
    // What it had sent before it knew: the client says it again on its new connection, so a part of it that is done here
    // would come before what it sent first.
    assert!(matches!(old.event().await, Event::Closing(_)));
    for (text, id) in [("first", Some(1)), ("second", None)] {
        let qos = if id.is_some() { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
        let operations = [Operation::Publish(publish("a", text, qos, id))].into_iter().collect();
        old.ask(Request::Submit(Submit { ticket: Ticket(9), answer: true, operations }));
    }
    // PUBREC for what is delivered again on the other connection: no PUBREL from this one.
    let operations = [Client::settling(&taken[0], Outcome::Received)].into_iter().collect();
    old.ask(Request::Submit(Submit { ticket: Ticket(9), answer: true, operations }));
    sub.publish("a", "third", Qos::AtLeastOnce, None).await.unwrap();
    assert_eq!(texts(&sub.take()), ["third"]);
    assert!(old.events.is_empty(), "{:?}", old.events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fight_for_few_names_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (stored, _store) = start(directory.path());
    let metrics = Arc::new(Metrics::default());
    let alone = start_without_store(Arc::clone(&metrics));
    for broker in [stored, alone] {
        let fights: Vec<_> = (0..4).map(|seed| tokio::spawn(fight(broker.clone(), seed))).collect();
        let all = async {
            for fight in fights {
                fight.await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("they do not wait for each other");
    }
    assert_eq!((metrics.connections.value(), metrics.sessions.value()), (0, 0));
}

/// Connects, subscribes, publishes, is lost; again and again, under names that others use as well.
async fn fight(broker: Broker, seed: u64) {
    for round in 0..60 {
        let name = format!("n{}", (round + seed) % 3);
        let will = Will {
            publish: Publish {
                retain: round.is_multiple_of(2),
                ..publish("k/0", "will", Qos::AtLeastOnce, None)
            },
            delay_s: 0,
        };
        let expiry_s = [0, 3600][usize::from((round + seed).is_multiple_of(5) && round < 50)];
        let mut client = Client::begin(&broker, &name, expiry_s, Some(Box::new(will)));
        client.poll().await;
        client.begin_to_subscribe("k/#", Qos::ExactlyOnce);
        for number in 0..3_u16 {
            let message =
                Publish { retain: number == 1, ..publish("k/0", "x", Qos::ExactlyOnce, Some(number + 1)) };
            let operations = [Operation::Publish(message)].into_iter().collect();
            client.ask(Request::Submit(Submit { ticket: Ticket(9), answer: true, operations }));
            client.ask(Request::Release(Release { ticket: Ticket(10), id: number + 1 }));
            client.poll().await;
            for delivery in client.take() {
                client.settle(&delivery, Outcome::Received);
                client.settle(&delivery, Outcome::Accepted);
            }
        }
        if round.is_multiple_of(3) {
            client.ask(Request::Close(Close { discard_will: true, expiry_s: None }));
        }
        tokio::task::yield_now().await;
    }
    // Whatever session is left under these names ends.
    for name in 0..3 {
        drop(Client::begin_and_wait(&broker, &format!("n{name}")).await);
    }
}
