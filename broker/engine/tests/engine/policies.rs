//! Policies: what holds for queues and exchanges by their names, from the moment it is said, and after a crash.

use std::time::Duration;

use engine::{Broker, CheckedPolicy, ConfiguredPolicy, Options, Placed, QueueView, Resident};
use model::durability::Durability;
use model::key::KeyPattern;
use model::name::{ExchangeName, PolicyName, QueueName};
use model::policy::{AppliesTo, Policy, PolicyDefinition};
use model::qos::Qos;
use model::queue::{BindingOptions, DeadLetter, Destination, ExchangeKind, ExchangeOptions, QueueOptions};
use model::refusal::Refusal;
use model::request::{Operation, Publish, Target};

use crate::client::{Client, crash, publish, start, start_limited, texts};

#[tokio::test]
async fn a_limit_holds_for_what_waits_and_for_what_comes_and_goes_with_its_policy() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), little());
    broker.commands().declare_queue(queue("q")).await.unwrap();
    broker.commands().declare_queue(queue("other")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    send_all(&mut client, "q", 0..100).await;
    send_all(&mut client, "other", 0..20).await;
    let length = |ready_max| PolicyDefinition { ready_max: Some(ready_max), ..silent() };
    assert!(put(&broker, "short", "^q", 0, length(10)).await);
    assert!(!put(&broker, "short", "^q", 0, length(10)).await, "it holds already");
    until(&broker, "q", |q| q.ready == 10).await;
    let seen = look(&broker, "q");
    assert_eq!((seen.policy.as_deref(), seen.max_length), (Some("short"), Some(1_000_000)));
    assert_eq!(seen.effective.unwrap().max_length, Some(10));
    assert_eq!((look(&broker, "other").ready, look(&broker, "other").policy), (20, None));
    // And for one that comes later, as for what comes later.
    broker.commands().declare_queue(queue("q2")).await.unwrap();
    for name in ["q", "q2"] {
        send_all(&mut client, name, 100..115).await;
        assert_eq!(look(&broker, name).ready, 10, "{name}");
    }
    let copy = crash(directory.path());
    let (again, _again_store) = start_limited(storage::Options::new(copy.path()), little());
    let mut there = Client::connect(&again).await;
    send_all(&mut there, "q", 115..120).await;
    assert_eq!(taken(&mut there, "q", 10).await, numbers(110..120));

    assert_eq!(broker.commands().delete_policy(&PolicyName::new("short")).await, Ok(true));
    assert_eq!(broker.commands().delete_policy(&PolicyName::new("short")).await, Ok(false));
    send_all(&mut client, "q", 115..200).await;
    let seen = look(&broker, "q");
    assert_eq!((seen.ready, seen.policy, seen.effective), (95, None, None), "the old limit holds again");
    let copy = crash(directory.path());
    let (again, _again_store) = start_limited(storage::Options::new(copy.path()), little());
    assert_eq!((look(&again, "q").ready, look(&again, "q").policy), (95, None));
}

#[tokio::test]
async fn of_what_was_declared_and_what_the_policy_says_the_smaller_limit_holds() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let own = QueueOptions { ready_max: Some(5), ..queue("q") };
    broker.commands().declare_queue(own).await.unwrap();
    let mut client = Client::connect(&broker).await;
    for (ready_max, holds) in [(3, 3), (7, 5), (4, 4)] {
        put(&broker, "p", "q", 0, PolicyDefinition { ready_max: Some(ready_max), ..silent() }).await;
        send_all(&mut client, "q", 0..9).await;
        until(&broker, "q", |q| q.ready == holds).await;
    }
    // One that holds before the other takes its place as a whole.
    put(&broker, "first", "^q$", 5, PolicyDefinition { message_ttl_ms: Some(60_000), ..silent() }).await;
    let seen = look(&broker, "q");
    let effective = seen.effective.unwrap();
    assert_eq!((seen.policy.as_deref(), effective.max_length), (Some("first"), Some(5)));
    assert_eq!(effective.message_ttl, Some(60_000));
    broker.commands().delete_policy(&PolicyName::new("first")).await.unwrap();
    assert_eq!(look(&broker, "q").policy.as_deref(), Some("p"));
}

#[tokio::test]
async fn a_publisher_is_refused_by_a_policy_that_says_so_and_nothing_that_waits_goes() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    broker.commands().declare_queue(queue("q")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    send_all(&mut client, "q", 0..20).await;
    let overflow = Some(model::queue::Overflow::RejectPublish);
    put(&broker, "p", "q", 0, PolicyDefinition { ready_bytes_max: Some(12), overflow, ..silent() }).await;
    assert!(matches!(send(&mut client, "q", "20").await, Err(Refusal::LimitReached(_))));
    assert_eq!(taken(&mut client, "q", 20).await, numbers(0..20));
}

#[tokio::test]
async fn what_waits_expires_by_a_policy_that_came_later_whether_or_not_it_is_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), little());
    broker.commands().declare_queue(queue("q")).await.unwrap();
    broker.commands().declare_queue(queue("stays")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    send_all(&mut client, "q", 0..5000).await;
    send_all(&mut client, "stays", 0..10).await;
    let lives = |ms| PolicyDefinition { message_ttl_ms: Some(ms), ..silent() };
    put(&broker, "long", "^q", 0, lives(3_600_000)).await;
    assert_eq!(look(&broker, "q").ready, 5000);
    put(&broker, "short", "^q", 1, lives(1)).await;
    // Nobody takes anything from it.
    until(&broker, "q", |q| q.ready == 0).await;
    assert_eq!(look(&broker, "stays").ready, 10);
}

#[tokio::test]
async fn what_a_message_says_of_its_own_end_holds_before_during_and_after_a_policy() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), little());
    broker.commands().declare_queue(queue("q")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    for number in 0..200 {
        let expiry_ms = (number % 2 == 0).then_some(2_000);
        let message = Publish { expiry_ms, ..to("q", &number.to_string()) };
        assert_eq!(client.submit(vec![Operation::Publish(message)]).await, Ok(true));
    }
    put(&broker, "p", "^q", 0, PolicyDefinition { message_ttl_ms: Some(3_600_000), ..silent() }).await;
    broker.commands().delete_policy(&PolicyName::new("p")).await.unwrap();
    until(&broker, "q", |q| q.ready == 100).await;
    let odd: Vec<String> = (0..100).map(|number| (2 * number + 1).to_string()).collect();
    assert_eq!(taken(&mut client, "q", 100).await, odd);
}

#[tokio::test]
async fn what_is_too_much_by_a_policy_goes_where_it_says_also_what_is_not_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), little());
    for name in ["q", "dead"] {
        broker.commands().declare_queue(queue(name)).await.unwrap();
    }
    let mut client = Client::connect(&broker).await;
    send_all(&mut client, "q", 0..300).await;
    let definition = PolicyDefinition {
        ready_max: Some(20),
        dead_letter_exchange: Some(ExchangeName::DEFAULT),
        dead_letter_key: Some("dead".into()),
        ..silent()
    };
    put(&broker, "p", "^q$", 0, definition).await;
    until(&broker, "q", |q| q.ready == 20).await;
    until(&broker, "dead", |dead| dead.ready == 280).await;
    assert_eq!(taken(&mut client, "dead", 280).await, numbers(0..280));
    assert_eq!(taken(&mut client, "q", 20).await, numbers(280..300));
}

#[tokio::test]
async fn a_stream_keeps_as_much_as_a_policy_says_and_of_the_rest_nothing_is_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), little());
    let stream = queue("s").with(|arguments| arguments.stream = true);
    broker.commands().declare_queue(stream).await.unwrap();
    let mut client = Client::connect(&broker).await;
    send_all(&mut client, "s", 0..6000).await;
    let definition = PolicyDefinition {
        ready_max: Some(50),
        message_ttl_ms: Some(1),
        expires_ms: Some(1),
        dead_letter_exchange: Some(ExchangeName::DEFAULT),
        overflow: Some(model::queue::Overflow::RejectPublish),
        ..silent()
    };
    put(&broker, "p", "^s$", 0, definition).await;
    until(&broker, "s", |s| s.ready == 50).await;
    send_all(&mut client, "s", 6000..6010).await;
    let seen = look(&broker, "s");
    assert_eq!((seen.ready, seen.first_offset, seen.last_offset), (50, Some(5961), Some(6010)));
    let effective = seen.effective.unwrap();
    assert_eq!((effective.overflow, effective.message_ttl), (Some("drop-head"), None));
    broker.commands().delete_policy(&PolicyName::new("p")).await.unwrap();
    send_all(&mut client, "s", 6010..6100).await;
    assert_eq!(look(&broker, "s").ready, 140);
}

#[tokio::test]
async fn a_stream_keeps_its_entries_for_as_long_as_a_policy_says_also_those_that_are_on_disk_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), little());
    for (name, age_max_ms) in [("s", None), ("own", Some(3_000_000)), ("other", None)] {
        let stream = queue(name).with(|arguments| {
            arguments.stream = true;
            arguments.age_max_ms = age_max_ms;
        });
        broker.commands().declare_queue(stream).await.unwrap();
    }
    let mut client = Client::connect(&broker).await;
    for name in ["s", "own", "other"] {
        send_all(&mut client, name, 0..1000).await;
    }
    let stays = |ms| PolicyDefinition { age_max_ms: Some(ms), ..silent() };
    put(&broker, "long", "^(s|own)$", 0, stays(3_600_000)).await;
    let effective = |name| look(&broker, name).effective.unwrap().max_age;
    assert_eq!((look(&broker, "s").ready, effective("s").as_deref()), (1000, Some("1h")));
    assert_eq!(effective("own").as_deref(), Some("50m"), "the shorter one holds");
    put(&broker, "short", "^(s|own)$", 1, stays(1)).await;
    for name in ["s", "own"] {
        until(&broker, name, |stream| stream.ready == 0).await;
    }
    assert_eq!(look(&broker, "other").ready, 1000);
    // They are gone, and the policy holds, after a crash.
    let copy = crash(directory.path());
    let (again, _again_store) = start_limited(storage::Options::new(copy.path()), little());
    until(&again, "s", |stream| stream.ready == 0).await;
    for name in ["short", "long"] {
        broker.commands().delete_policy(&PolicyName::new(name)).await.unwrap();
    }
    send_all(&mut client, "s", 0..10).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((look(&broker, "s").ready, look(&broker, "s").effective), (10, None));
}

#[tokio::test]
async fn what_a_queue_was_declared_with_comes_before_the_word_of_a_policy() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let own = DeadLetter { exchange: ExchangeName::DEFAULT, key: None };
    let options = queue("q").with(|arguments| {
        arguments.dead_letter = Some(own);
        arguments.message_ttl_ms = Some(1);
    });
    for options in [options, queue("dead")] {
        broker.commands().declare_queue(options).await.unwrap();
    }
    let definition = PolicyDefinition {
        dead_letter_exchange: Some(ExchangeName::TOPIC),
        dead_letter_key: Some("dead".into()),
        ..silent()
    };
    put(&broker, "p", "^q$", 0, definition).await;
    let mut client = Client::connect(&broker).await;
    send_all(&mut client, "q", 0..3).await;
    until(&broker, "dead", |dead| dead.ready == 3).await;
}

#[tokio::test]
async fn a_queue_that_nobody_uses_goes_by_a_policy_and_a_sessions_own_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    broker.commands().declare_queue(queue("q")).await.unwrap();
    drop(Client::open(&broker, "ann", true, 3600).await);
    put(&broker, "p", ".*", 0, PolicyDefinition { expires_ms: Some(1), ..silent() }).await;
    for _ in 0..1000 {
        if broker.inspect().queue(&QueueName::new("q")).is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = broker.inspect().queues(None, 100).items;
    assert_eq!(left.iter().map(|queue| queue.session_of.as_deref()).collect::<Vec<_>>(), [Some("ann")]);
}

#[tokio::test]
async fn what_messages_outlive_is_as_low_as_a_policy_says_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    for name in ["q", "disk"] {
        broker.commands().declare_queue(queue(name)).await.unwrap();
    }
    let mut client = Client::connect(&broker).await;
    send_all(&mut client, "q", 0..5).await;
    let memory = PolicyDefinition { durability: Some(Durability::Memory), ..silent() };
    put(&broker, "p", "^q$", 0, memory).await;
    assert_eq!(look(&broker, "q").durability, "memory");
    send_all(&mut client, "q", 5..10).await;
    send_all(&mut client, "disk", 0..5).await;
    let copy = crash(directory.path());
    let (again, _again_store) = start(copy.path());
    assert_eq!((look(&again, "q").ready, look(&again, "disk").ready), (5, 5));
    assert_eq!(taken(&mut client, "q", 10).await, numbers(0..10));
}

#[tokio::test]
async fn what_no_binding_wants_goes_to_the_alternate_of_a_policy_while_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let commands = broker.commands();
    commands.declare_queue(queue("lost")).await.unwrap();
    commands.declare_exchange(fanout("lost")).await.unwrap();
    let to = Destination::Queue(QueueName::new("lost"));
    let (pattern, arguments) = (KeyPattern::from_words(""), Default::default());
    commands
        .bind(BindingOptions { exchange: ExchangeName::new("lost"), pattern, arguments, to })
        .await
        .unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(client.publish("nobody", "0", Qos::AtLeastOnce, None).await, Ok(false));
    let lost = PolicyDefinition { alternate: Some(ExchangeName::new("lost")), ..silent() };
    put(&broker, "p", "^(amq\\.topic|later)$", 0, lost).await;
    assert_eq!(client.publish("nobody", "1", Qos::AtLeastOnce, None).await, Ok(true));
    commands.declare_exchange(fanout("later")).await.unwrap();
    let later = Publish { exchange: ExchangeName::new("later"), ..publish("k", "2", Qos::AtLeastOnce, None) };
    assert_eq!(client.submit(vec![Operation::Publish(later)]).await, Ok(true));
    let seen = broker.inspect().exchange(&ExchangeName::TOPIC).unwrap();
    assert_eq!((seen.policy.as_deref(), seen.policy_alternate.as_deref()), (Some("p"), Some("lost")));
    assert_eq!(seen.alternate, None);
    let counts: Vec<_> = broker.inspect().policies().iter().map(|p| (p.queues, p.exchanges)).collect();
    assert_eq!(counts, [(0, 2)]);
    let copy = crash(directory.path());
    let (again, _again_store) = start(copy.path());
    let mut there = Client::connect(&again).await;
    assert_eq!(there.publish("nobody", "3", Qos::AtLeastOnce, None).await, Ok(true));

    commands.delete_policy(&PolicyName::new("p")).await.unwrap();
    assert_eq!(client.publish("nobody", "4", Qos::AtLeastOnce, None).await, Ok(false));
    assert_eq!(taken(&mut client, "lost", 2).await, numbers(1..3));
}

#[tokio::test]
async fn what_stands_in_the_configuration_holds_and_is_not_kept_beyond_it() {
    let directory = tempfile::tempdir().unwrap();
    let configured = |ready_max| Options {
        policies: vec![ConfiguredPolicy {
            vhost: None,
            policy: checked("p", "^q", 0, PolicyDefinition { ready_max: Some(ready_max), ..silent() }),
        }],
        ..Options::default()
    };
    let (broker, store) = start_limited(storage::Options::new(directory.path()), configured(3));
    broker.commands().declare_queue(queue("q")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    send_all(&mut client, "q", 0..9).await;
    assert_eq!(look(&broker, "q").ready, 3);
    let refused = broker.commands().delete_policy(&PolicyName::new("p")).await;
    assert!(matches!(refused, Err(Refusal::Denied { .. })));
    drop((client, broker));
    store.close();
    for (options, holds) in [(configured(2), Some(2)), (Options::default(), None)] {
        let (broker, store) = start_limited(storage::Options::new(directory.path()), options);
        let seen = look(&broker, "q");
        assert_eq!(seen.effective.and_then(|terms| terms.max_length), holds);
        drop(broker);
        store.close();
    }
}

async fn put(broker: &Broker, name: &str, pattern: &str, priority: i32, says: PolicyDefinition) -> bool {
    broker.commands().put_policy(checked(name, pattern, priority, says)).await.unwrap() != Placed::Same
}

fn checked(name: &str, pattern: &str, priority: i32, definition: PolicyDefinition) -> CheckedPolicy {
    let (name, pattern) = (PolicyName::new(name), pattern.into());
    let policy = Policy { name, pattern, applies_to: AppliesTo::All, priority, definition };
    CheckedPolicy::new(policy).unwrap()
}

fn silent() -> PolicyDefinition {
    PolicyDefinition::default()
}

/// Of each queue eight messages.
fn little() -> Options {
    Options { resident: Resident { messages_max: 8, bytes_max: 1 << 20 }, ..Options::default() }
}

fn look(broker: &Broker, name: &str) -> QueueView {
    broker.inspect().queue(&QueueName::new(name)).unwrap()
}

async fn until(broker: &Broker, name: &str, is_so: impl Fn(&QueueView) -> bool) {
    for _ in 0..3000 {
        if is_so(&look(broker, name)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", look(broker, name));
}

/// Sends so many, of which the broker has the last one when this returns.
async fn send_all(client: &mut Client, queue: &str, all: std::ops::Range<usize>) {
    let mut all = all.map(|number| Operation::Publish(to(queue, &number.to_string()))).peekable();
    while all.peek().is_some() {
        assert_eq!(client.submit(all.by_ref().take(100).collect()).await, Ok(true));
    }
}

async fn send(client: &mut Client, queue: &str, text: &str) -> Result<bool, Refusal> {
    client.submit(vec![Operation::Publish(to(queue, text))]).await
}

fn to(queue: &str, text: &str) -> Publish {
    Publish { exchange: ExchangeName::DEFAULT, ..publish(queue, text, Qos::AtLeastOnce, None) }
}

/// Consumes so many.
async fn taken(client: &mut Client, queue: &str, count: usize) -> Vec<String> {
    client.consume(queue.len() as u32, Target::Existing(QueueName::new(queue))).await.unwrap();
    let mut all = Vec::new();
    while all.len() < count {
        let some = client.wait().await;
        assert!(!some.is_empty(), "{} of {count} came", all.len());
        all.extend(some);
    }
    texts(&all)
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
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

fn fanout(name: &str) -> ExchangeOptions {
    ExchangeOptions {
        name: ExchangeName::new(name),
        kind: ExchangeKind::Fanout,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
    }
}
