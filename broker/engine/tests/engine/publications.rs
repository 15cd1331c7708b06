//! What publishers gave an id is taken in once, however often it is sent.

use std::sync::Arc;

use engine::Options;
use model::event::Event;
use model::name::{PublicationId, QueueName};
use model::qos::Qos;
use model::queue::{Overflow, QueueArguments, QueueOptions};
use model::refusal::Refusal;
use model::request::{Operation, Publish, Request, Submit, Target, Ticket};

use crate::client::{Client, crash, publish, start, start_limited, texts};

#[tokio::test]
async fn a_message_sent_again_under_its_id_is_acknowledged_and_not_routed() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let mut one = Client::connect(&broker).await;
    assert_eq!(one.submit(vec![once("first", "id")]).await, Ok(true));
    assert_eq!(one.submit(vec![once("again", "id")]).await, Ok(true));
    assert_eq!(one.submit(vec![once("other", "another id")]).await, Ok(true));
    // The publisher lost its connection, not its name.
    let mut two = Client::connect(&broker).await;
    assert_eq!(two.submit(vec![once("again", "id")]).await, Ok(true));
    assert_eq!(texts(&sub.wait().await), ["first", "other"]);
    assert_eq!(texts(&sub.take()), [""; 0]);
}

#[tokio::test]
async fn the_second_is_acknowledged_behind_the_first_also_on_another_connection() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 3600).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let (mut one, mut two) = (Client::connect(&broker).await, Client::connect(&broker).await);
    for number in 0..200 {
        let id = number.to_string();
        begin(&mut one, once("first", &id));
        begin(&mut two, once("second", &id));
        assert!(matches!(two.event().await, Event::Submitted { result: Ok(_), .. }));
        // What was acknowledged to the second is there: it was the first one's message.
        assert_eq!(texts(&sub.take()), ["first"], "{number}");
        assert!(matches!(one.event().await, Event::Submitted { result: Ok(_), .. }));
    }
}

#[tokio::test]
async fn ids_are_remembered_when_the_broker_is_killed_and_no_longer_than_the_window() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut one = Client::connect(&broker).await;
    // Nobody gets it: what was acknowledged is remembered all the same.
    assert_eq!(one.submit(vec![once("nobody", "id")]).await, Ok(false));
    let after = crash(directory.path());

    let (broker, store) = start(after.path());
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let mut one = Client::connect(&broker).await;
    assert_eq!(one.submit(vec![once("again", "id")]).await, Ok(true));
    assert_eq!(one.submit(vec![once("new", "another id")]).await, Ok(true));
    assert_eq!(texts(&sub.wait().await), ["new"]);
    drop((one, sub, broker));
    store.close();
    drop(store);

    let limits = Options { publications_window: std::time::Duration::ZERO, ..Options::default() };
    let (broker, _store) = start_limited(storage::Options::new(after.path()), limits);
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let mut one = Client::connect(&broker).await;
    assert_eq!(one.submit(vec![once("makes room", "a third id")]).await, Ok(true));
    assert_eq!(one.submit(vec![once("long after", "id")]).await, Ok(true));
    assert_eq!(texts(&sub.wait().await), ["makes room", "long after"]);
}

#[tokio::test]
async fn in_a_transaction_what_came_before_is_left_out_and_the_rest_takes_effect() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let mut one = Client::connect(&broker).await;
    assert_eq!(one.submit(vec![once("before", "1")]).await, Ok(true));
    let operations = || vec![once("before", "1"), once("two", "2"), once("twice", "2"), once("three", "3")];
    assert_eq!(one.submit(operations()).await, Ok(true));
    assert_eq!(one.submit(operations()).await, Ok(true));
    assert_eq!(texts(&sub.wait().await), ["before", "two", "three"]);
    assert_eq!(texts(&sub.take()), [""; 0]);
}

#[tokio::test]
async fn what_was_refused_is_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::connect(&broker).await;
    let small = QueueOptions {
        name: QueueName::new("small"),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: Some(1),
        ready_bytes_max: None,
        arguments: Some(Box::new(QueueArguments {
            overflow: Some(Overflow::RejectPublish),
            ..QueueArguments::default()
        })),
    };
    let to_small = |text: &str, id: &str| {
        let Operation::Publish(publish) = once(text, id) else { panic!("a publish") };
        let exchange = model::name::ExchangeName::DEFAULT;
        Operation::Publish(Publish {
            exchange,
            key: model::key::RoutingKey::from("small"),
            declare: Some(Arc::new(small.clone().into())),
            ..publish
        })
    };
    let mut one = Client::connect(&broker).await;
    assert_eq!(one.submit(vec![to_small("first", "1")]).await, Ok(true));
    let full = |result| matches!(result, Err(Refusal::LimitReached(_)));
    assert!(full(one.submit(vec![to_small("second", "2")]).await));
    assert!(full(one.submit(vec![to_small("third", "3"), to_small("fourth", "4")]).await));
    // A known one is answered whether there is room or not.
    assert_eq!(one.submit(vec![to_small("first", "1")]).await, Ok(true));
    sub.consume(1, Target::Existing(small.name.clone())).await.unwrap();
    assert_eq!(texts(&sub.wait().await), ["first"]);
    assert_eq!(one.submit(vec![to_small("second", "2")]).await, Ok(true));
    assert_eq!(texts(&sub.wait().await), ["second"]);
    assert_eq!(one.submit(vec![to_small("third", "3")]).await, Ok(true));
    assert_eq!(texts(&sub.wait().await), ["third"]);
}

#[tokio::test]
async fn where_no_more_ids_can_be_remembered_a_new_one_is_refused_and_a_known_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Options { publications_max: 1, ..Options::default() };
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), limits);
    let mut one = Client::connect(&broker).await;
    assert_eq!(one.submit(vec![once("first", "1")]).await, Ok(false));
    assert!(matches!(one.submit(vec![once("second", "2")]).await, Err(Refusal::LimitReached(_))));
    assert_eq!(one.submit(vec![once("first", "1")]).await, Ok(true));
    assert_eq!(one.publish("a", "without an id", Qos::AtLeastOnce, None).await, Ok(false));
}

#[tokio::test]
async fn a_packet_id_of_qos_2_is_remembered_beside_the_publishers_own_id() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let mut one = Client::open(&broker, "pub", true, 3600).await;
    let with = |packet: u16| {
        let Operation::Publish(publish) = once("text", "id") else { panic!("a publish") };
        Operation::Publish(Publish { qos: Qos::ExactlyOnce, remember: Some(packet), ..publish })
    };
    assert_eq!(one.submit(vec![with(7)]).await, Ok(true));
    assert_eq!(one.release(7).await, Some(true));
    assert_eq!(one.submit(vec![with(8)]).await, Ok(true));
    let after = crash(directory.path());
    let (broker, _store) = start(after.path());
    let again = Client::open(&broker, "pub", false, 3600).await;
    assert_eq!(again.opened.unreleased, [8]);
    assert_eq!(texts(&sub.wait().await), ["text"]);
    assert_eq!(texts(&sub.take()), [""; 0]);
}

fn begin(client: &mut Client, operation: Operation) {
    let operations = [operation].into_iter().collect();
    client.ask(Request::Submit(Submit { ticket: Ticket(2), answer: true, operations }));
}

fn once(text: &str, id: &str) -> Operation {
    let publication = PublicationId::parse(id);
    Operation::Publish(Publish { publication, ..publish("a", text, Qos::AtLeastOnce, None) })
}
