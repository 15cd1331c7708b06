//! Exchanges, queues and bindings, and what a restart makes of them.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use engine::Definitions;
use model::change::{Change, Changeset, QueueRecord};
use model::key::{KeyPattern, Level};
use model::name::{ExchangeName, QueueId, QueueName};
use model::qos::Qos;
use model::queue::{Binding, ExchangeBinding, ExchangeKind, ExchangeOptions, QueueOptions};
use model::refusal::Refusal;
use model::request::{Operation, Publish, Target};
use storage::Urgency;
use telemetry::Metrics;

use crate::client::{Client, crash, publish, start, start_with, start_without_store, texts};

fn queue(name: &str, durable: bool, auto_delete: bool) -> QueueOptions {
    let name = QueueName::new(name);
    QueueOptions {
        name,
        durable,
        exclusive: false,
        auto_delete,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    }
}

fn bound(exchange: ExchangeName, name: &str) -> Binding {
    let (pattern, queue) = (KeyPattern::new(vec![Level::Literal("k".into())]), QueueName::new(name));
    Binding {
        exchange,
        pattern,
        arguments: Default::default(),
        queue,
        share: None,
        grant: Default::default(),
    }
}

#[tokio::test]
async fn a_definition_is_the_same_the_second_time_where_nothing_lasts() {
    let broker = start_without_store(Arc::new(Metrics::default()));
    let stream = queue("s", true, false).with(|arguments| arguments.stream = true);
    let definitions = Definitions { queues: vec![queue("q", true, false), stream], ..Definitions::default() };
    for made in [2, 0] {
        assert_eq!(broker.commands().declare(&definitions).await.map(|made| made.queues), Ok(made));
        broker.declare(&definitions).unwrap();
    }
}

#[tokio::test]
async fn a_binding_that_was_refused_does_not_keep_the_broker_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let bindings = vec![bound(ExchangeName::DEFAULT, "q")];
    let definitions =
        Definitions { queues: vec![queue("q", true, false)], bindings, ..Definitions::default() };
    assert!(broker.declare(&definitions).is_err());
    drop(broker);
    store.close();
    drop(store);
    drop(start(directory.path()));
}

#[tokio::test]
async fn a_binding_to_an_exchange_that_does_not_last_does_not_keep_the_broker_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let name = ExchangeName::new("brief");
    let definitions = Definitions {
        exchanges: vec![exchange("brief", false)],
        queues: vec![queue("q", true, false)],
        bindings: vec![bound(name, "q")],
        ..Definitions::default()
    };
    for _ in 0..2 {
        let (broker, store) = start(directory.path());
        broker.declare(&definitions).unwrap();
        drop(broker);
        store.close();
    }
}

#[tokio::test]
async fn nobody_but_its_client_has_to_do_with_a_sessions_queue() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut thief = Client::connect(&broker).await;
    let name = QueueName::new("mqtt.ann");
    let declare = || Target::Declare(Box::new(queue("mqtt.ann", true, false).into()));
    // Neither before there is one,
    assert!(thief.consume(1, declare()).await.is_err());
    let mut ann = Client::open(&broker, "ann", true, 3600).await;
    // nor then.
    let refused = Err(Refusal::Exclusive(name.clone()));
    assert_eq!(thief.consume(1, declare()).await, refused);
    assert_eq!(thief.consume(1, Target::Existing(name.clone())).await, refused);
    let exchange = ExchangeName::DEFAULT;
    let into = Publish { exchange, ..publish("mqtt.ann", "x", Qos::AtLeastOnce, None) };
    assert_eq!(thief.submit(vec![Operation::Publish(into)]).await, Err(Refusal::Exclusive(name)));
    ann.subscribe("a", Qos::AtLeastOnce).await;
    thief.publish("a", "for ann", Qos::AtLeastOnce, None).await.unwrap();
    assert_eq!(texts(&ann.take()), ["for ann"]);
}

#[tokio::test]
async fn a_queue_whose_session_did_not_reach_the_disk_is_gone_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    drop(broker);
    let options = QueueOptions { exclusive: true, ..queue("mqtt.ann", true, false) };
    let record = QueueRecord { id: QueueId(99), options, rested: None };
    let changes = [Change::DeclareQueue(Box::new(record))].into_iter().collect();
    store.commit(Changeset { changes }, Urgency::Now, None);
    store.close();
    drop(store);

    let (broker, store) = start(directory.path());
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    assert!(!ann.opened.session_present);
    ann.subscribe("a", Qos::AtLeastOnce).await;
    let mut bob = Client::connect(&broker).await;
    bob.publish("a", "x", Qos::AtLeastOnce, None).await.unwrap();
    drop((ann, bob, broker));
    store.close();
    drop(store);

    let options = storage::Options::new(directory.path());
    let (_store, recovered) = storage::Store::open(options, Box::new(|error| panic!("{error}"))).unwrap();
    let queues: Vec<_> =
        recovered.queues.iter().map(|queue| (queue.record.id != QueueId(99), queue.unread.len())).collect();
    assert_eq!(queues, [(true, 1)]);
}

#[tokio::test]
async fn a_queue_that_has_the_name_of_a_deleted_one_stays_when_the_consumers_of_that_go() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let declare = || Target::Declare(Box::new(queue("q", false, true).into()));
    let (mut first, mut second) = (Client::connect(&broker).await, Client::connect(&broker).await);
    first.consume(1, declare()).await.unwrap();
    second.consume(1, declare()).await.unwrap();
    second.delete(1).await;
    let mut third = Client::connect(&broker).await;
    third.consume(1, declare()).await.unwrap();
    drop(first);
    let exchange = ExchangeName::DEFAULT;
    let into = Publish { exchange, ..publish("q", "x", Qos::AtLeastOnce, None) };
    assert_eq!(second.submit(vec![Operation::Publish(into)]).await, Ok(true));
    assert_eq!(texts(&third.take()), ["x"]);
}

#[tokio::test]
async fn a_deleted_queue_stays_deleted_once_its_client_was_told() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut client = Client::connect(&broker).await;
    client.consume(1, Target::Declare(Box::new(queue("q", true, false).into()))).await.unwrap();
    client.delete(1).await;

    let copy = crash(directory.path());
    let (broker, _store) = start(copy.path());
    let mut client = Client::connect(&broker).await;
    let exchange = ExchangeName::DEFAULT;
    let into = Publish { exchange, ..publish("q", "x", Qos::AtLeastOnce, None) };
    assert_eq!(client.submit(vec![Operation::Publish(into)]).await, Ok(false));
}

#[tokio::test]
async fn a_queue_with_another_limit_than_asked_for_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut client = Client::connect(&broker).await;
    let limited = |ready_max| {
        Target::Declare(Box::new(QueueOptions { ready_max, ..queue("limited", true, false) }.into()))
    };
    client.consume(1, limited(Some(5))).await.unwrap();
    client.consume(2, limited(Some(5))).await.unwrap();
    client.consume(3, limited(None)).await.unwrap();
    assert_eq!(
        client.consume(4, limited(Some(6))).await,
        Err(Refusal::Inequivalent {
            what: "queue \"limited\"".into(),
            difference: "inequivalent arg 'x-max-length': received '6' but current is '5'".into()
        })
    );
}

#[tokio::test]
async fn of_definitions_that_were_cut_off_on_their_way_to_the_disk_nothing_is_there() {
    let directory = tempfile::tempdir().unwrap();
    // Small files: each is copied many times. And a group for each record: or several could be cut off together.
    let options = |path: &Path| storage::Options {
        segment_bytes: 1 << 16,
        group_records_max: 1,
        ..storage::Options::new(path)
    };
    let (broker, _store) = start_with(options(directory.path()));
    broker.commands().declare_queue(queue("before", true, false)).await.unwrap();
    let before = crash(directory.path());
    let names = ["one", "two", "three"];
    let to = |name: &str| bound(ExchangeName::FANOUT, name);
    let definitions = Definitions {
        exchanges: names.map(|name| exchange(name, true)).to_vec(),
        queues: names.map(|name| queue(name, true, false)).to_vec(),
        bindings: [&names[..], &["before"]].concat().into_iter().map(to).collect(),
        ..Definitions::default()
    };
    let made = broker.commands().declare(&definitions).await.unwrap();
    assert_eq!((made.exchanges, made.queues, made.bindings), (3, 3, 4));
    let after = crash(directory.path());

    let (file, old, new) = grown(before.path(), after.path());
    let differs = |at: &usize| old.get(*at).copied().unwrap_or_default() != new[*at];
    let written: Vec<usize> = (0..new.len()).filter(differs).collect();
    let (first, end) = (*written.first().unwrap(), written.last().unwrap() + 1);
    assert!(end - first > 100, "{first} to {end}");
    for cut in (first..end).step_by((end - first) / 8).chain([end - 1, end]) {
        let mut torn = new.clone();
        for (at, byte) in torn.iter_mut().enumerate().take(end).skip(cut) {
            *byte = old.get(at).copied().unwrap_or_default();
        }
        let copy = crash(after.path());
        std::fs::write(copy.path().join("journal").join(&file), &torn).unwrap();
        let (again, store) = start_with(options(copy.path()));
        let inspect = again.inspect();
        let exchanges =
            names.iter().filter(|name| inspect.exchange(&ExchangeName::new(name)).is_some()).count();
        let queues = inspect.queues(None, 100).items.len();
        let bindings: usize = [&names[..], &["before"]]
            .concat()
            .iter()
            .map(|name| {
                inspect
                    .bindings_of(&QueueName::new(name))
                    .iter()
                    .filter(|one| one.exchange == "amq.fanout")
                    .count()
            })
            .sum();
        let expected = if cut == end { (3, 4, 4) } else { (0, 1, 0) };
        assert_eq!((exchanges, queues, bindings), expected, "cut at {cut} of {first} to {end}");
        drop((inspect, again));
        store.close();
    }
}

#[tokio::test]
async fn where_one_definition_cannot_be_none_is_made_and_all_that_cannot_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    commands.declare_queue(QueueOptions { ready_max: Some(5), ..queue("there", true, false) }).await.unwrap();
    let _ann = Client::open(&broker, "ann", true, 3600).await;
    let session = broker.inspect().queues(None, 100).items.into_iter().find(|one| one.session_of.is_some());
    let session = session.unwrap().name;
    let addressed = ExchangeOptions { alternate: Some(ExchangeName::USER), ..exchange("addressed", true) };
    let definitions = Definitions {
        exchanges: vec![exchange("new", true), exchange("amq.mine", true), addressed],
        queues: vec![
            queue("new", true, false),
            QueueOptions { ready_max: Some(6), ..queue("there", true, false) },
            queue("new", true, false),
            QueueOptions { exclusive: true, ..queue("own", true, false) },
        ],
        bindings: vec![
            bound(ExchangeName::new("new"), "new"),
            bound(ExchangeName::DEFAULT, "new"),
            bound(ExchangeName::new("new"), &session),
            bound(ExchangeName::new("nowhere"), "new"),
        ],
        exchange_bindings: vec![ExchangeBinding {
            exchange: ExchangeName::new("new"),
            pattern: KeyPattern::from_words(""),
            arguments: Default::default(),
            to: ExchangeName::new("nothing"),
        }],
        policies: Vec::new(),
    };
    let objections = commands.declare(&definitions).await.unwrap_err();
    assert_eq!(commands.rehearse(&definitions), Err(objections.clone()));
    let named: Vec<(&str, &str)> = objections.iter().map(|one| (one.kind, &*one.name)).collect();
    let bound_to_session = format!("new -> {session}");
    let expected = [
        ("exchange", "amq.mine"),
        ("exchange", "addressed"),
        ("queue", "there"),
        ("queue", "new"),
        ("queue", "own"),
        ("binding", " -> new"),
        ("binding", &bound_to_session),
        ("binding", "nowhere -> new"),
        ("binding", "new -> nothing"),
    ];
    assert_eq!(named, expected, "{objections:?}");
    assert!(broker.inspect().exchange(&ExchangeName::new("new")).is_none());
    assert!(broker.inspect().queue(&QueueName::new("new")).is_none());
}

fn exchange(name: &str, durable: bool) -> ExchangeOptions {
    ExchangeOptions {
        name: ExchangeName::new(name),
        kind: ExchangeKind::Direct,
        durable,
        auto_delete: false,
        internal: false,
        alternate: None,
    }
}

/// The file of the journal that is different in the second directory, with what it was and is.
fn grown(before: &Path, after: &Path) -> (OsString, Vec<u8>, Vec<u8>) {
    let files = std::fs::read_dir(after.join("journal")).unwrap().map(|entry| entry.unwrap().file_name());
    let read = |directory: &Path, file: &OsString| std::fs::read(directory.join("journal").join(file));
    let both = |file: OsString| {
        let (old, new) = (read(before, &file).unwrap_or_default(), read(after, &file).unwrap());
        (file, old, new)
    };
    files.map(both).find(|(_, old, new)| old != new && new.iter().any(|byte| *byte != 0)).unwrap()
}
