//! What those who look after a broker change while it runs: what they are told, and what is left of it after a crash.

use engine::DeleteQueueIf;
use model::key::KeyPattern;
use model::name::{ExchangeName, QueueName};
use model::qos::Qos;
use model::queue::{BindingOptions, Destination, ExchangeKind, ExchangeOptions, QueueOptions};
use model::refusal::Refusal;
use model::request::{Operation, Publish, Target};

use crate::client::{Client, crash, publish, start, texts};

#[tokio::test]
async fn what_a_command_has_answered_is_there_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    let inner = ExchangeOptions { internal: true, alternate: Some(named("lost")), ..exchange("inner") };
    assert_eq!(commands.declare_exchange(exchange("outer")).await, Ok(true));
    assert_eq!(commands.declare_exchange(inner.clone()).await, Ok(true));
    assert_eq!(commands.declare_exchange(inner.clone()).await, Ok(false));
    assert_eq!(commands.declare_queue(queue("q")).await, Ok(true));
    assert_eq!(commands.declare_queue(queue("q")).await, Ok(false));
    let (to_inner, to_q) = (bound("outer", exchange_of("inner")), bound("inner", queue_of("q")));
    assert_eq!(commands.bind(to_inner.clone()).await, Ok(true));
    assert_eq!(commands.bind(to_inner).await, Ok(false));
    assert_eq!(commands.bind(to_q.clone()).await, Ok(true));

    let copy = crash(directory.path());
    let (again, _again_store) = start(copy.path());
    let seen = again.inspect().exchange(&named("inner")).unwrap();
    assert_eq!((seen.internal, seen.alternate.as_deref(), seen.bindings), (true, Some("lost"), 1));
    let mut client = Client::connect(&again).await;
    assert_eq!(send(&mut client, "outer", "x").await, Ok(true));
    assert_eq!(again.inspect().queue(&QueueName::new("q")).unwrap().ready, 1);

    let commands = broker.commands();
    assert_eq!(commands.unbind(to_q).await, Ok(()));
    assert_eq!(commands.delete_exchange(&named("outer"), false).await, Ok(()));
    let copy = crash(directory.path());
    let (again, _again_store) = start(copy.path());
    assert!(again.inspect().exchange(&named("outer")).is_none());
    assert!(again.inspect().exchange_bindings().is_empty());
    assert!(again.inspect().bindings_of(&QueueName::new("q")).is_empty());
}

#[tokio::test]
async fn a_queue_is_purged_for_good_but_not_of_what_consumers_have() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    commands.declare_queue(queue("q")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    for text in ["one", "two", "three"] {
        assert_eq!(send(&mut client, "", text).await, Ok(true));
    }
    assert_eq!(commands.purge_queue(&QueueName::new("q")).await, Ok(3));
    assert_eq!(commands.purge_queue(&QueueName::new("q")).await, Ok(0));
    let none = Err(Refusal::NoQueue(QueueName::new("none")));
    assert_eq!(commands.purge_queue(&QueueName::new("none")).await, none);
    send(&mut client, "", "four").await.unwrap();

    let copy = crash(directory.path());
    let (broker, _store) = start(copy.path());
    let mut client = Client::connect(&broker).await;
    client.consume(1, Target::Existing(QueueName::new("q"))).await.unwrap();
    assert_eq!(texts(&client.wait().await), ["four"]);
}

#[tokio::test]
async fn a_long_queue_is_purged_in_steps_to_its_last_message() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let commands = broker.commands();
    commands.declare_queue(queue("q")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    for _ in 0..40 {
        let one = || {
            Operation::Publish(Publish { exchange: named(""), ..publish("q", "x", Qos::AtLeastOnce, None) })
        };
        assert_eq!(client.submit((0..1000).map(|_| one()).collect()).await, Ok(true));
    }
    let (commits, name) = (store.statistics().commits.value(), QueueName::new("q"));
    assert_eq!(commands.purge_queue(&name).await, Ok(40_000));
    // Each step waits for what it has to say: that no list is as long as the queue, and no changeset.
    assert!(store.statistics().commits.value() - commits >= 10 + 3, "{commits}");
    assert_eq!(broker.inspect().queue(&name).map(|queue| queue.ready), Some(0));
    let copy = crash(directory.path());
    let (broker, _store) = start(copy.path());
    assert_eq!(broker.inspect().queue(&name).map(|queue| queue.ready), Some(0));
}

#[tokio::test]
async fn a_queue_that_is_in_use_stays_if_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    let name = QueueName::new("q");
    commands.declare_queue(queue("q")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    send(&mut client, "", "x").await.unwrap();
    let empty = DeleteQueueIf { empty: true, unused: false };
    let refused = commands.delete_queue(&name, empty).await.unwrap_err().to_string();
    assert_eq!(refused, "queue \"q\" is in use: 1 messages, 0 consumers");
    commands.purge_queue(&name).await.unwrap();
    client.consume(1, Target::Existing(name.clone())).await.unwrap();
    let unused = DeleteQueueIf { empty: false, unused: true };
    let refused = commands.delete_queue(&name, unused).await.unwrap_err().to_string();
    assert_eq!(refused, "queue \"q\" is in use: 0 messages, 1 consumers");
    assert_eq!(commands.delete_queue(&name, empty).await, Ok(0));
    let told = client.event().await;
    assert!(matches!(told, model::event::Event::ConsumerCancelled(_)), "{told:?}");
    assert_eq!(commands.delete_queue(&name, empty).await, Err(Refusal::NoQueue(name.clone())));
    let copy = crash(directory.path());
    let (broker, _store) = start(copy.path());
    assert!(broker.inspect().queue(&name).is_none());
}

#[tokio::test]
async fn an_exchange_from_which_something_is_bound_stays_if_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    commands.declare_exchange(exchange("x")).await.unwrap();
    commands.declare_exchange(exchange("y")).await.unwrap();
    commands.bind(bound("x", exchange_of("y"))).await.unwrap();
    let refused = commands.delete_exchange(&named("x"), true).await.unwrap_err().to_string();
    assert_eq!(refused, "exchange \"x\" is in use: 1 bindings begin there");
    assert_eq!(commands.delete_exchange(&named("y"), true).await, Ok(()), "a binding to it does not count");
    assert_eq!(commands.delete_exchange(&named("x"), true).await, Ok(()));
    assert_eq!(commands.delete_exchange(&named("x"), false).await, Err(Refusal::NoExchange(named("x"))));
    let own = commands.delete_exchange(&ExchangeName::TOPIC, false).await;
    assert!(matches!(own, Err(Refusal::Denied { .. })), "{own:?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    commands.declare_queue(QueueOptions { ready_max: Some(5), ..queue("q") }).await.unwrap();
    let other = QueueOptions { ready_max: Some(6), ..queue("q") };
    assert!(matches!(commands.declare_queue(other).await, Err(Refusal::Inequivalent { .. })));
    let other = QueueOptions { durable: false, ..queue("q") };
    assert!(matches!(commands.declare_queue(other).await, Err(Refusal::Inequivalent { .. })));
    let own = QueueOptions { exclusive: true, ..queue("own") };
    assert!(matches!(commands.declare_queue(own).await, Err(Refusal::Invalid(_))));
    commands.declare_exchange(exchange("x")).await.unwrap();
    let direct = ExchangeOptions { kind: ExchangeKind::Direct, ..exchange("x") };
    assert!(matches!(commands.declare_exchange(direct).await, Err(Refusal::Inequivalent { .. })));
    for to in [queue_of("none"), exchange_of("none")] {
        assert!(commands.bind(bound("x", to.clone())).await.is_err());
        assert!(commands.unbind(bound("x", to)).await.is_err());
    }
    let refused = commands.unbind(bound("x", queue_of("q"))).await.unwrap_err().to_string();
    assert_eq!(refused, "no binding of exchange \"x\" to queue \"q\" by \"k\"");
    // What comes into a session's queue is the session's business alone.
    let ann = Client::open(&broker, "ann", true, 3600).await;
    let queues = broker.inspect().queues(None, 100).items;
    let session = queues.iter().find(|queue| queue.session_of.as_deref() == Some("ann")).unwrap();
    let name = QueueName::new(&session.name);
    let exclusive = Err(Refusal::Exclusive(name.clone()));
    assert_eq!(commands.bind(bound("x", Destination::Queue(name.clone()))).await, exclusive);
    let deleted = commands.delete_queue(&name, DeleteQueueIf::default()).await;
    assert_eq!(deleted, Err(Refusal::Exclusive(name)));
    drop(ann);
}

#[tokio::test]
async fn a_client_publishes_to_no_internal_exchange() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    let internal = ExchangeOptions { internal: true, ..exchange("inner") };
    commands.declare_exchange(internal).await.unwrap();
    commands.declare_exchange(exchange("outer")).await.unwrap();
    commands.declare_queue(queue("q")).await.unwrap();
    commands.bind(bound("outer", exchange_of("inner"))).await.unwrap();
    commands.bind(bound("inner", queue_of("q"))).await.unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(send(&mut client, "inner", "x").await, Err(Refusal::Internal(named("inner"))));
    assert_eq!(send(&mut client, "outer", "x").await, Ok(true));
}

#[tokio::test]
async fn what_reached_a_session_through_other_exchanges_is_there_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    commands.declare_exchange(exchange("outer")).await.unwrap();
    commands.declare_queue(queue("q")).await.unwrap();
    commands.bind(bound("outer", exchange_of("amq.topic"))).await.unwrap();
    commands.bind(bound("outer", queue_of("q"))).await.unwrap();
    for name in ["ann", "bob"] {
        Client::open(&broker, name, true, 3600).await.subscribe("k", Qos::AtLeastOnce).await;
    }
    let mut client = Client::connect(&broker).await;
    assert_eq!(send(&mut client, "outer", "x").await, Ok(true));

    let copy = crash(directory.path());
    let (broker, _store) = start(copy.path());
    for name in ["ann", "bob"] {
        let mut client = Client::open(&broker, name, false, 3600).await;
        let came = client.wait().await;
        let seen: Vec<_> = came.iter().map(|one| one.message.exchange.as_str()).collect();
        assert_eq!((seen, texts(&came)), (vec!["amq.topic"], vec!["x".to_owned()]), "{name}");
    }
    let mut client = Client::connect(&broker).await;
    client.consume(1, Target::Existing(QueueName::new("q"))).await.unwrap();
    let came = client.wait().await;
    assert_eq!((came.len(), came[0].message.exchange.as_str()), (1, "outer"));
}

#[tokio::test]
async fn lists_are_in_order_and_come_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    for name in ["c", "a", "b"] {
        broker.commands().declare_queue(queue(name)).await.unwrap();
        broker.commands().declare_exchange(exchange(name)).await.unwrap();
    }
    let inspect = broker.inspect();
    let page = inspect.queues(None, 2);
    assert_eq!(page.items.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let rest = inspect.queues(page.next.as_deref(), 2);
    assert_eq!((rest.items[0].name.as_str(), rest.items.len(), rest.next), ("c", 1, None));
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = inspect.exchanges(after.as_deref(), 3);
        names.extend(page.items.into_iter().map(|exchange| exchange.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected =
        ["", "$session", "$user", "a", "amq.direct", "amq.fanout", "amq.headers", "amq.topic", "b", "c"];
    assert_eq!(names, expected);
}

async fn send(client: &mut Client, to: &str, text: &str) -> Result<bool, Refusal> {
    let key = if to.is_empty() { "q" } else { "k" };
    let into = Publish { exchange: named(to), ..publish(key, text, Qos::AtLeastOnce, None) };
    client.submit(vec![Operation::Publish(into)]).await
}

fn exchange(name: &str) -> ExchangeOptions {
    ExchangeOptions {
        name: named(name),
        kind: ExchangeKind::Topic,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
    }
}

fn queue(name: &str) -> QueueOptions {
    QueueOptions {
        name: QueueName::new(name),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    }
}

fn bound(from: &str, to: Destination) -> BindingOptions {
    let arguments = Default::default();
    BindingOptions { exchange: named(from), pattern: KeyPattern::from_words("k"), arguments, to }
}

fn queue_of(name: &str) -> Destination {
    Destination::Queue(QueueName::new(name))
}

fn exchange_of(name: &str) -> Destination {
    Destination::Exchange(named(name))
}

fn named(name: &str) -> ExchangeName {
    ExchangeName::new(name)
}
