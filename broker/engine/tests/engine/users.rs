//! What is for a user reaches all of its sessions; what is for a session reaches that one; nobody else hears either.

use std::sync::Arc;

use engine::Broker;
use model::event::Event;
use model::name::{ClientId, ExchangeName, QueueName};
use model::principal::Credentials;
use model::properties::{Properties, ReplyTo};
use model::qos::Qos;
use model::queue::QueueOptions;
use model::refusal::Refusal;
use model::request::{Consumer, Identity, Operation, Publish, Replay, Source, Subscription, Target, Will};
use model::{key::KeyPattern, name::ConsumerId};
use telemetry::Metrics;

use crate::client::{Client, publish, start, start_without_store, texts};

const USER: ExchangeName = ExchangeName::USER;
const SESSION: ExchangeName = ExchangeName::SESSION;

#[tokio::test]
async fn every_session_of_a_user_hears_what_is_for_the_user_and_no_other_user_does() {
    let broker = start_without_store(Arc::default());
    let mut phone = Client::open_as(&broker, "kim", "phone", 0).await;
    let mut browser = Client::connect_as(&broker, "kim").await;
    let mut lee = Client::connect_as(&broker, "lee").await;
    let mut nobody = Client::connect(&broker).await;
    for client in [&mut phone, &mut browser, &mut lee, &mut nobody] {
        assert!(client.listen(USER, "#").await.is_ok());
    }
    let mut service = Client::connect(&broker).await;
    assert_eq!(service.tell(USER, "kim/queue/news", "for kim").await, Ok(true));
    assert_eq!(texts(&phone.take()), ["for kim"]);
    assert_eq!(texts(&browser.take()), ["for kim"]);
    assert!(lee.take().is_empty() && nobody.take().is_empty());
}

#[tokio::test]
async fn one_session_hears_what_is_for_it_and_the_users_other_sessions_do_not() {
    let broker = start_without_store(Arc::default());
    let mut one = Client::connect_as(&broker, "kim").await;
    let mut two = Client::open_as(&broker, "kim", "two", 0).await;
    for client in [&mut one, &mut two] {
        assert!(client.listen(SESSION, "queue/errors").await.is_ok());
    }
    let mut service = Client::connect(&broker).await;
    for (to, text) in [(&one, "one"), (&two, "two")] {
        let key = format!("{}/queue/errors", to.opened.connection);
        assert_eq!(service.tell(SESSION, &key, text).await, Ok(true));
    }
    // Without a name, it is the sender's own.
    assert_eq!(one.tell(SESSION, "queue/errors", "to myself").await, Ok(true));
    assert_eq!(texts(&one.take()), ["one", "to myself"]);
    assert_eq!(texts(&two.take()), ["two"]);
    assert_eq!(service.tell(SESSION, "queue/errors", "nobody listens").await, Ok(false));
}

#[tokio::test]
async fn what_is_for_an_anonymous_user_is_for_that_session() {
    let broker = start_without_store(Arc::default());
    let mut one = Client::connect(&broker).await;
    let mut two = Client::connect(&broker).await;
    for client in [&mut one, &mut two] {
        assert!(client.listen(USER, "queue/x").await.is_ok());
    }
    let mut service = Client::connect(&broker).await;
    let key = format!("{}/queue/x", one.opened.connection);
    assert_eq!(service.tell(USER, &key, "for one").await, Ok(true));
    assert_eq!(texts(&one.take()), ["for one"]);
    assert!(two.take().is_empty());
}

#[tokio::test]
async fn a_user_whose_name_looks_like_a_session_gets_nothing_that_is_for_the_session() {
    let broker = start_without_store(Arc::default());
    let mut anonymous = Client::connect(&broker).await;
    let name = anonymous.opened.connection.clone();
    let mut thief = Client::connect_as(&broker, &name).await;
    for client in [&mut anonymous, &mut thief] {
        assert!(client.listen(USER, "queue/x").await.is_ok());
    }
    let mut service = Client::connect(&broker).await;
    assert_eq!(service.tell(USER, &format!("{name}/queue/x"), "secret").await, Ok(true));
    assert!(thief.take().is_empty());
    assert_eq!(texts(&anonymous.take()), ["secret"]);
}

#[tokio::test]
async fn names_with_slashes_and_wildcards_are_one_level() {
    let broker = start_without_store(Arc::default());
    let mut slash = Client::connect_as(&broker, "team/kim").await;
    let mut many = Client::connect_as(&broker, "#").await;
    let mut team = Client::connect_as(&broker, "team").await;
    for client in [&mut slash, &mut many, &mut team] {
        assert!(client.listen(USER, "#").await.is_ok());
    }
    let mut service = Client::connect(&broker).await;
    assert_eq!(service.tell(USER, "team%2Fkim/x", "slash").await, Ok(true));
    assert_eq!(service.tell(USER, "%23/x", "many").await, Ok(true));
    assert_eq!(service.tell(USER, "team/kim/x", "team").await, Ok(true));
    assert_eq!(texts(&slash.take()), ["slash"]);
    assert_eq!(texts(&many.take()), ["many"]);
    assert_eq!(texts(&team.take()), ["team"]);
}

#[tokio::test]
async fn for_an_absent_user_a_message_is_unroutable_and_counted() {
    let metrics = Arc::new(Metrics::default());
    let broker = start_without_store(Arc::clone(&metrics));
    let mut kim = Client::connect_as(&broker, "kim").await;
    assert!(kim.listen(USER, "queue/x").await.is_ok());
    let mut service = Client::connect(&broker).await;
    assert_eq!(service.tell(USER, "kim/queue/x", "here").await, Ok(true));
    drop(kim);
    // Nothing is left behind: no binding, no queue.
    assert_eq!(service.tell(USER, "kim/queue/x", "gone").await, Ok(false));
    assert_eq!(metrics.messages_unroutable.value(), 1);
}

#[tokio::test]
async fn a_name_in_a_subscription_is_refused_and_never_another_users() {
    let broker = start_without_store(Arc::default());
    let mut kim = Client::connect_as(&broker, "kim").await;
    let session = kim.opened.connection.clone();
    let mut lee = Client::open_as(&broker, "lee", "lee", 0).await;
    for (exchange, filter) in
        [(USER, "kim/queue/x"), (USER, &format!("{session}/x")), (SESSION, &format!("{session}/queue/x"))]
    {
        assert!(matches!(lee.listen(exchange, filter).await, Err(Refusal::Denied { .. })), "{filter}");
    }
    // What does not look like a name is the asker's own all the same.
    for filter in ["kim/x", "#", "+/queue/x"] {
        assert!(lee.listen(USER, filter).await.is_ok(), "{filter}");
        assert!(lee.listen(SESSION, filter).await.is_ok(), "{filter}");
    }
    assert!(kim.listen(USER, "x").await.is_ok());
    assert_eq!(kim.tell(USER, "kim/x", "mine").await, Ok(true));
    assert!(lee.take().is_empty());
    // Nor by a queue that others may take from, or that stays behind.
    let source = Source {
        exchange: USER,
        pattern: KeyPattern::exact(&"queue/x".into()),
        arguments: Default::default(),
        share: None,
        grant: Default::default(),
    };
    let options = QueueOptions {
        name: QueueName::new("shared"),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    let subscription = Subscription {
        source: Some(source),
        queue: Target::Declare(Box::new(options.into())),
        consumer: Some(Consumer { id: ConsumerId(1), acknowledges: false, prefetch: None, start: None }),
        retained: Replay::Never,
    };
    assert!(matches!(kim.subscribe_to(subscription).await, Err(Refusal::Invalid(_))));
}

#[tokio::test]
async fn a_session_that_outlives_its_connection_gets_what_came_for_the_user_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let mut phone = Client::open_as(&broker, "kim", "phone", 3600).await;
    let name = phone.opened.connection.clone();
    assert!(phone.listen(USER, "queue/news").await.is_ok());
    assert!(phone.listen(SESSION, "queue/news").await.is_ok());
    drop(phone);
    let mut service = Client::connect(&broker).await;
    assert_eq!(service.tell(USER, "kim/queue/news", "user").await, Ok(true));
    drop((service, broker));
    store.close();
    drop(store);

    let (broker, _store) = start(directory.path());
    let mut service = Client::connect(&broker).await;
    assert_eq!(service.tell(SESSION, &format!("{name}/queue/news"), "session").await, Ok(true));
    let mut phone = Client::open_as(&broker, "kim", "phone", 3600).await;
    assert!(phone.opened.session_present);
    assert_eq!(phone.opened.connection, name, "a session keeps its name");
    assert_eq!(texts(&phone.wait().await), ["user", "session"]);
}

#[tokio::test]
async fn nobody_takes_over_the_session_in_which_messages_wait_for_another_user() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let mut phone = Client::open_as(&broker, "kim", "phone", 3600).await;
    assert!(phone.listen(USER, "queue/news").await.is_ok());
    drop(phone);
    let mut service = Client::connect(&broker).await;
    assert_eq!(service.tell(USER, "kim/queue/news", "secret").await, Ok(true));
    refused(&broker, Some("lee")).await;
    drop((service, broker));
    store.close();
    drop(store);

    // The same after a restart.
    let (broker, _store) = start(directory.path());
    refused(&broker, None).await;
    let mut phone = Client::open_as(&broker, "kim", "phone", 3600).await;
    assert_eq!(texts(&phone.wait().await), ["secret"]);
}

/// That user may not have the session `phone`.
async fn refused(broker: &Broker, user: Option<&str>) {
    let mut thief = Client::stranger(broker);
    let credentials = Credentials { user: user.map(Into::into), ..Credentials::default() };
    let client = Some(ClientId::new("phone"));
    thief.knock(credentials, Identity::Session { client, clean_start: false, expiry_s: 3600 }, None);
    let event = thief.event().await;
    assert!(matches!(&event, Event::Refused(Refusal::Denied { .. })), "{event:?}");
}

#[tokio::test]
async fn what_a_user_unsubscribes_from_does_not_come_any_more() {
    use model::request::{Request, Ticket, Unsubscribe, Unsubscription};
    let broker = start_without_store(Arc::default());
    let mut kim = Client::open_as(&broker, "kim", "kim", 0).await;
    assert!(kim.listen(USER, "queue/x").await.is_ok());
    let ending = Unsubscription::Binding {
        exchange: USER,
        pattern: KeyPattern::exact(&"queue/x".into()),
        share: None,
    };
    kim.ask(Request::Unsubscribe(Box::new(Unsubscribe { ticket: Ticket(7), subscriptions: vec![ending] })));
    let event = kim.event().await;
    assert!(matches!(&event, Event::Unsubscribed { existed, .. } if *existed == [true]));
    assert_eq!(kim.tell(USER, "kim/queue/x", "late").await, Ok(false));
}

#[tokio::test]
async fn the_brokers_own_keys_are_not_published_to() {
    let broker = start_without_store(Arc::default());
    let mut client = Client::open(&broker, "c", true, 0).await;
    let denied = client.publish("$events/client/connected", "lie", Qos::AtLeastOnce, None).await;
    assert!(matches!(denied, Err(Refusal::Denied { .. })), "{denied:?}");
    let operations =
        [publish("$SYS/x", "lie", Qos::AtMostOnce, None), publish("a", "x", Qos::AtMostOnce, None)];
    let denied = client.submit(operations.map(Operation::Publish).into_iter().collect()).await;
    assert!(matches!(denied, Err(Refusal::Denied { .. })), "{denied:?}");
    // Nor by a will.
    let will = |exchange: ExchangeName, key: &str| {
        let publish = Publish { exchange, ..publish(key, "will", Qos::AtLeastOnce, None) };
        Some(Box::new(Will { publish, delay_s: 0 }))
    };
    for (exchange, key) in [(ExchangeName::TOPIC, "$events/x"), (SESSION, "queue/x")] {
        let mut client = Client::begin(&broker, "w", 0, will(exchange, key));
        assert!(matches!(client.event().await, Event::Refused(_)), "{key}");
    }
}

#[tokio::test]
async fn what_is_for_a_session_is_not_retained_but_what_is_for_a_user_may_be() {
    let broker = start_without_store(Arc::default());
    let mut kim = Client::open_as(&broker, "kim", "kim", 0).await;
    let retained = |exchange, key: &str| {
        let publish = publish(key, "kept", Qos::AtLeastOnce, None);
        vec![Operation::Publish(Publish { exchange, retain: true, ..publish })]
    };
    let name = kim.opened.connection.clone();
    for (exchange, key) in [(SESSION, "queue/x".to_owned()), (USER, format!("{name}/queue/x"))] {
        let refused = kim.submit(retained(exchange, &key)).await;
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    }
    assert!(kim.submit(retained(USER, "kim/queue/x")).await.is_ok());
    assert!(kim.listen(USER, "queue/x").await.is_ok());
    assert_eq!(texts(&kim.take()), ["kept"]);
}

#[tokio::test]
async fn a_reply_to_ones_own_session_can_be_answered_by_anybody() {
    let broker = start_without_store(Arc::default());
    let mut service = Client::connect_as(&broker, "service").await;
    assert!(service.listen(USER, "queue/requests").await.is_ok());
    let mut kim = Client::connect_as(&broker, "kim").await;
    assert!(kim.listen(SESSION, "queue/answers").await.is_ok());
    let reply_to = ReplyTo::Address { exchange: SESSION, key: "queue/answers".into() };
    let properties = Properties { reply_to: Some(reply_to), ..Properties::default() };
    let request = Publish {
        exchange: USER,
        properties: Some(Box::new(properties)),
        ..publish("service/queue/requests", "?", Qos::AtLeastOnce, None)
    };
    assert!(kim.submit(vec![Operation::Publish(request)]).await.is_ok());
    let asked = service.take();
    let reply_to = asked[0].message.properties.as_ref().unwrap().reply_to.clone();
    let Some(ReplyTo::Address { exchange, key }) = reply_to else { panic!("{reply_to:?}") };
    assert_eq!(service.tell(exchange, key.as_str(), "!").await, Ok(true));
    assert_eq!(texts(&kim.take()), ["!"]);
}
