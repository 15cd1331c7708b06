//! What the engine promises, asked through its public door, against a real store.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets anything else has failed"
)]

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use engine::{Arrival, Broker, Link, Options};
use model::access::{AccessControl, Admission};
use model::delivery::{Delivery, Outcome};
use model::event::{Event, Farewell, Opened};
use model::grant::Grant;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ClientId, ConsumerId, ExchangeName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{
    Close, Identity, Open, Operation, Publish, Release, Replay, Request, Settle, Source, Submit, Subscribe,
    Subscription, Target, Ticket, Will,
};
use telemetry::Metrics;

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let mut ann = Client::open(&broker, "ann", true, 3600).await;
    ann.subscribe("room/#", Qos::ExactlyOnce).await;
    drop(ann);
    let mut bob = Client::open(&broker, "bob", true, 0).await;
    for text in ["one", "two"] {
        assert_eq!(bob.publish("room/5", text, Qos::AtLeastOnce, None).await, Ok(true));
    }
    drop(bob);
    drop(broker);
    store.close();
    drop(store);

    let (broker, _store) = start(directory.path());
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    assert!(ann.opened.session_present);
    let deliveries = ann.take();
    assert_eq!(texts(&deliveries), ["one", "two"]);
    ann.settle(&deliveries[0], Outcome::Accepted);
    drop(ann);
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    let again = ann.take();
    assert_eq!(texts(&again), ["two"]);
    assert!(again[0].attempts > 0);
}

#[tokio::test]
async fn a_qos_2_id_is_not_routed_again_until_it_is_released() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("a", Qos::ExactlyOnce).await;
    let mut old = Client::open(&broker, "pub", true, 3600).await;
    assert_eq!(old.publish("a", "first", Qos::ExactlyOnce, Some(7)).await, Ok(true));
    // Another connection of the same client, which never saw PUBREC.
    let mut new = Client::open(&broker, "pub", false, 3600).await;
    assert_eq!(new.opened.unreleased, [7]);
    assert!(matches!(old.event().await, Event::Closing(Farewell::TakenOver)));
    assert_eq!(new.publish("a", "first", Qos::ExactlyOnce, Some(7)).await, Ok(true));
    assert_eq!(new.release(7).await, Some(true));
    assert_eq!(new.release(7).await, Some(false));
    assert_eq!(new.publish("a", "second", Qos::ExactlyOnce, Some(7)).await, Ok(true));
    assert_eq!(texts(&sub.take()), ["first", "second"]);
}

#[tokio::test]
async fn a_transaction_takes_effect_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 3600).await;
    sub.subscribe("a", Qos::AtLeastOnce).await;
    let mut client = Client::open(&broker, "pub", true, 0).await;
    let good = || Operation::Publish(publish("a", "x", Qos::AtLeastOnce, None));
    let bad = Operation::Publish(Publish {
        exchange: ExchangeName::known("nowhere"),
        ..publish("a", "x", Qos::AtLeastOnce, None)
    });
    assert_eq!(
        client.submit(vec![good(), bad]).await,
        Err(Refusal::NoExchange(ExchangeName::known("nowhere")))
    );
    assert_eq!(texts(&sub.take()), [""; 0]);
    assert_eq!(client.submit(vec![good(), good()]).await, Ok(true));
    assert_eq!(texts(&sub.take()), ["x", "x"]);
}

#[tokio::test]
async fn a_will_is_published_when_the_client_is_lost_and_not_when_it_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", true, 3600).await;
    sub.subscribe("gone/+", Qos::AtLeastOnce).await;
    let will = |key: &str| {
        Some(Box::new(Will { publish: publish(key, "will", Qos::AtLeastOnce, None), delay_s: 0 }))
    };
    drop(Client::open_with(&broker, "lost", true, 0, will("gone/lost")).await);
    let mut polite = Client::open_with(&broker, "polite", true, 0, will("gone/polite")).await;
    polite.ask(Request::Close(Close { discard_will: true, expiry_s: None }));
    drop(polite);
    assert_eq!(keys(&sub.wait().await), ["gone/lost"]);
    // And when the broker dies before the client does.
    let cut_off = Client::open_with(&broker, "cut-off", true, 0, will("gone/cut-off")).await;
    store.close();
    drop((cut_off, sub, broker, store));

    let (broker, _store) = start(directory.path());
    let mut sub = Client::open(&broker, "sub", false, 3600).await;
    let keys = keys(&sub.wait().await);
    assert!(keys.contains(&"gone/cut-off".to_owned()), "{keys:?}");
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_up() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    drop(Client::open(&broker, "brief", true, 1).await);
    assert!(Client::open(&broker, "brief", false, 1).await.opened.session_present);
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert!(!Client::open(&broker, "brief", false, 1).await.opened.session_present);
}

#[tokio::test]
async fn retained_messages_meet_new_subscriptions() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut client = Client::open(&broker, "pub", true, 0).await;
    let retained = |text: &str| {
        let publish = Publish { retain: true, ..publish("state/lamp", text, Qos::AtLeastOnce, None) };
        vec![Operation::Publish(publish)]
    };
    client.submit(retained("on")).await.unwrap();
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("state/#", Qos::AtLeastOnce).await;
    let deliveries = sub.take();
    assert_eq!(texts(&deliveries), ["on"]);
    assert!(deliveries[0].retain);
    // An empty one deletes it, and is passed on live.
    client.submit(retained("")).await.unwrap();
    assert_eq!(texts(&sub.take()), [""]);
    let mut late = Client::open(&broker, "late", true, 0).await;
    late.subscribe("state/#", Qos::AtLeastOnce).await;
    assert_eq!(texts(&late.take()), [""; 0]);
}

struct Client {
    link: Link,
    opened: Opened,
    events: Vec<Event>,
}

impl Client {
    async fn open(broker: &Broker, name: &str, clean_start: bool, expiry_s: u32) -> Self {
        Self::open_with(broker, name, clean_start, expiry_s, None).await
    }

    async fn open_with(
        broker: &Broker,
        name: &str,
        clean_start: bool,
        expiry_s: u32,
        will: Option<Box<Will>>,
    ) -> Self {
        let about = Arrival { address: None, protocol: "test", listener: "test".into() };
        let opened = Opened {
            client: None,
            session_present: false,
            unreleased: Vec::new(),
            connection: String::new(),
        };
        let mut client = Self { link: broker.connect(&about), opened, events: Vec::new() };
        let identity = Identity::Session { client: Some(ClientId::new(name)), clean_start, expiry_s };
        client.ask(Request::Open(Box::new(Open {
            credentials: Credentials::default(),
            identity,
            vhost: None,
            will,
        })));
        match client.event().await {
            Event::Opened(opened) => client.opened = *opened,
            other => panic!("not let in: {other:?}"),
        }
        client
    }

    fn ask(&mut self, request: Request) {
        self.link.ask(&mut vec![request], &mut self.events);
    }

    async fn event(&mut self) -> Event {
        let wait = std::future::poll_fn(|cx: &mut Context<'_>| {
            let polled = self.link.poll(cx, &mut self.events);
            if self.events.is_empty() && polled.is_ready() {
                // Deliveries: nothing to see here.
                cx.waker().wake_by_ref();
            }
            if self.events.is_empty() { Poll::Pending } else { Poll::Ready(self.events.remove(0)) }
        });
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("an event")
    }

    async fn subscribe(&mut self, filter: &str, qos: Qos) {
        let levels = filter.split('/').map(|level| match level {
            "+" => Level::One,
            "#" => Level::Many,
            text => Level::Literal(text.into()),
        });
        let source = Source {
            exchange: ExchangeName::TOPIC,
            pattern: KeyPattern::new(levels.collect()),
            arguments: Default::default(),
            share: None,
            grant: Grant { qos, ..Grant::default() },
        };
        self.ask(Request::Subscribe(Box::new(Subscribe {
            ticket: Ticket(1),
            subscriptions: vec![Subscription {
                source: Some(source),
                queue: Target::Session,
                consumer: None,
                retained: Replay::Always,
            }],
        })));
        assert!(matches!(self.event().await, Event::Subscribed { results, .. } if results == [Ok(qos)]));
    }

    async fn publish(&mut self, key: &str, text: &str, qos: Qos, id: Option<u16>) -> Result<bool, Refusal> {
        self.submit(vec![Operation::Publish(publish(key, text, qos, id))]).await
    }

    async fn submit(&mut self, operations: Vec<Operation>) -> Result<bool, Refusal> {
        self.ask(Request::Submit(Submit { ticket: Ticket(2), answer: true, operations: operations.into() }));
        match self.event().await {
            Event::Submitted { result, .. } => result.map(|submitted| submitted.routed),
            other => panic!("{other:?}"),
        }
    }

    async fn release(&mut self, id: u16) -> Option<bool> {
        self.ask(Request::Release(Release { ticket: Ticket(3), id }));
        match self.event().await {
            Event::Released { known, .. } => Some(known),
            _ => None,
        }
    }

    fn take(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        self.link.take(100, &mut deliveries);
        deliveries
    }

    /// Waits for deliveries.
    async fn wait(&mut self) -> Vec<Delivery> {
        for _ in 0..500 {
            let deliveries = self.take();
            if !deliveries.is_empty() {
                return deliveries;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Vec::new()
    }

    fn settle(&mut self, delivery: &Delivery, outcome: Outcome) {
        let settle = Settle { consumer: ConsumerId::SESSION, tag: delivery.tag, outcome };
        self.ask(Request::Submit(Submit {
            ticket: Ticket(4),
            answer: false,
            operations: [Operation::Settle(settle)].into_iter().collect(),
        }));
    }
}

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Ok((Principal { user: None }, Permissions::everything())) })
    }
}

fn start(directory: &std::path::Path) -> (Broker, Arc<storage::Store>) {
    let options = storage::Options::new(directory);
    let (store, recovered) = storage::Store::open(options, Box::new(|error| panic!("{error}"))).unwrap();
    let store = Arc::new(store);
    let broker = Broker::start(
        Options::default(),
        Some((Arc::clone(&store), recovered)),
        Arc::new(Everyone),
        Arc::new(Metrics::default()),
    );
    (broker.unwrap(), store)
}

fn publish(key: &str, text: &str, qos: Qos, remember: Option<u16>) -> Publish {
    Publish {
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from(key),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        qos,
        retain: false,
        persistent: qos > Qos::AtMostOnce,
        expiry_ms: None,
        properties: None,
        remember,
        declare: None,
    }
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|one| String::from_utf8_lossy(&one.message.payload).into_owned()).collect()
}

fn keys(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|one| one.message.key.to_string()).collect()
}
