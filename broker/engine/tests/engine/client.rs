//! A client of the engine, and a broker on a real store.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use engine::{Arrival, Broker, Link, Options};
use model::access::{AccessControl, Admission};
use model::delivery::{Delivery, Outcome};
use model::event::{Event, Opened};
use model::grant::Grant;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ClientId, ConsumerId, ExchangeName, UserName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{
    Consumer, Identity, Open, Operation, Publish, Release, Replay, Request, Settle, Source, Submit,
    Subscribe, Subscription, Target, Ticket, Unsubscribe, Unsubscription, Will,
};
use telemetry::Metrics;

/// A client with a session, as its protocol would speak for it.
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) opened: Opened,
    pub(crate) events: Vec<Event>,
}

impl Client {
    pub(crate) async fn open(broker: &Broker, name: &str, clean_start: bool, expiry_s: u32) -> Self {
        Self::open_with(broker, name, clean_start, expiry_s, None).await
    }

    pub(crate) async fn open_with(
        broker: &Broker,
        name: &str,
        clean_start: bool,
        expiry_s: u32,
        will: Option<Box<Will>>,
    ) -> Self {
        let identity = Identity::Session { client: Some(ClientId::new(name)), clean_start, expiry_s };
        Self::enter(broker, None, identity, will).await
    }

    /// A client of that user, with a session.
    pub(crate) async fn open_as(broker: &Broker, user: &str, name: &str, expiry_s: u32) -> Self {
        let identity = Identity::Session { client: Some(ClientId::new(name)), clean_start: false, expiry_s };
        Self::enter(broker, Some(user), identity, None).await
    }

    /// A client of that user, without a session.
    pub(crate) async fn connect_as(broker: &Broker, user: &str) -> Self {
        Self::enter(broker, Some(user), Identity::Connection, None).await
    }

    /// A client without a session, as STOMP's are.
    pub(crate) async fn connect(broker: &Broker) -> Self {
        Self::enter(broker, None, Identity::Connection, None).await
    }

    async fn enter(broker: &Broker, user: Option<&str>, identity: Identity, will: Option<Box<Will>>) -> Self {
        let mut client = Self::ask_in(broker, user, identity, will);
        match client.event().await {
            Event::Opened(opened) => client.opened = *opened,
            other => panic!("not let in: {other:?}"),
        }
        client
    }

    /// Asks to be let in, and does not wait for the answer.
    pub(crate) fn begin(broker: &Broker, name: &str, expiry_s: u32, will: Option<Box<Will>>) -> Self {
        let client = Some(ClientId::new(name));
        Self::ask_in(broker, None, Identity::Session { client, clean_start: false, expiry_s }, will)
    }

    /// Whether it was let in, or another connection of the same name was.
    pub(crate) async fn begin_and_wait(broker: &Broker, name: &str) -> Self {
        let mut client = Self::begin(broker, name, 0, None);
        client.event().await;
        client
    }

    fn ask_in(broker: &Broker, user: Option<&str>, identity: Identity, will: Option<Box<Will>>) -> Self {
        let mut client = Self::stranger(broker);
        let credentials = Credentials { user: user.map(Into::into), ..Credentials::default() };
        client.knock(credentials, identity, will);
        client
    }

    pub(crate) fn knock(&mut self, credentials: Credentials, identity: Identity, will: Option<Box<Will>>) {
        self.ask(Request::Open(Box::new(Open { credentials, version: "5.0", identity, vhost: None, will })));
    }

    /// A connection on which nothing was asked yet.
    pub(crate) fn stranger(broker: &Broker) -> Self {
        let about = Arrival {
            address: None,
            protocol: "test",
            listener: "test".into(),
            handshake: None,
            certificate: None,
        };
        let opened = Opened {
            client: None,
            session_present: false,
            unreleased: Vec::new(),
            connection: String::new(),
            user: None,
            proof: None,
        };
        Self { link: broker.connect(about), opened, events: Vec::new() }
    }

    pub(crate) fn ask(&mut self, request: Request) {
        self.link.ask(&mut vec![request], &mut self.events);
    }

    pub(crate) async fn event(&mut self) -> Event {
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

    /// Events that are there already, and whatever has been handed to the broker's tasks.
    pub(crate) async fn poll(&mut self) -> Vec<Event> {
        std::future::poll_fn(|cx| {
            let _ = self.link.poll(cx, &mut self.events);
            Poll::Ready(())
        })
        .await;
        std::mem::take(&mut self.events)
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: Qos) {
        self.begin_to_subscribe(filter, qos);
        assert!(matches!(self.event().await, Event::Subscribed { results, .. } if results == [Ok(qos)]));
    }

    /// Subscribes, and does not wait for the answer.
    pub(crate) fn begin_to_subscribe(&mut self, filter: &str, qos: Qos) {
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
        let queue = Target::Session;
        self.ask_for(Subscription { source: Some(source), queue, consumer: None, retained: Replay::Always });
    }

    pub(crate) fn ask_for(&mut self, subscription: Subscription) {
        let subscriptions = vec![subscription];
        self.ask(Request::Subscribe(Box::new(Subscribe { ticket: Ticket(1), subscriptions })));
    }

    pub(crate) async fn subscribe_to(&mut self, subscription: Subscription) -> Result<Qos, Refusal> {
        self.ask_for(subscription);
        match self.event().await {
            Event::Subscribed { mut results, .. } => results.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// Consumes a queue as it is, or makes it.
    pub(crate) async fn consume(&mut self, id: u32, queue: Target) -> Result<Qos, Refusal> {
        let consumer = Consumer { id: ConsumerId(id), acknowledges: false, prefetch: None, start: None };
        let retained = Replay::Never;
        self.subscribe_to(Subscription { source: None, queue, consumer: Some(consumer), retained }).await
    }

    /// Ends a consumer, and deletes its queue.
    pub(crate) async fn delete(&mut self, id: u32) {
        let subscriptions = vec![Unsubscription::Consumer { id: ConsumerId(id), delete_queue: true }];
        self.ask(Request::Unsubscribe(Box::new(Unsubscribe { ticket: Ticket(1), subscriptions })));
        assert!(matches!(self.event().await, Event::Unsubscribed { .. }));
    }

    /// Subscribes to one's own, with a queue for it where there is no session.
    pub(crate) async fn listen(&mut self, exchange: ExchangeName, filter: &str) -> Result<Qos, Refusal> {
        let levels = filter.split('/').map(|level| match level {
            "+" => Level::One,
            "#" => Level::Many,
            text => Level::Literal(text.into()),
        });
        let source = Source {
            exchange,
            pattern: KeyPattern::new(levels.collect()),
            arguments: Default::default(),
            share: None,
            grant: Grant { qos: Qos::AtLeastOnce, ..Grant::default() },
        };
        let has_session = self.opened.client.is_some();
        let consumer = Consumer { id: ConsumerId(9), acknowledges: false, prefetch: None, start: None };
        self.subscribe_to(Subscription {
            source: Some(source),
            queue: if has_session { Target::Session } else { Target::Private },
            consumer: (!has_session).then_some(consumer),
            retained: Replay::Always,
        })
        .await
    }

    /// Publishes to a user or a session.
    pub(crate) async fn tell(
        &mut self,
        exchange: ExchangeName,
        key: &str,
        text: &str,
    ) -> Result<bool, Refusal> {
        let publish = Publish { exchange, ..publish(key, text, Qos::AtLeastOnce, None) };
        self.submit(vec![Operation::Publish(publish)]).await
    }

    pub(crate) async fn publish(
        &mut self,
        key: &str,
        text: &str,
        qos: Qos,
        id: Option<u16>,
    ) -> Result<bool, Refusal> {
        self.submit(vec![Operation::Publish(publish(key, text, qos, id))]).await
    }

    pub(crate) async fn submit(&mut self, operations: Vec<Operation>) -> Result<bool, Refusal> {
        self.ask(Request::Submit(Submit { ticket: Ticket(2), answer: true, operations: operations.into() }));
        match self.event().await {
            Event::Submitted { result, .. } => result.map(|submitted| submitted.is_routed()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn release(&mut self, id: u16) -> Option<bool> {
        self.ask(Request::Release(Release { ticket: Ticket(3), id }));
        match self.event().await {
            Event::Released { known, .. } => Some(known),
            _ => None,
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        self.link.take(100, &mut deliveries);
        deliveries
    }

    /// Waits for deliveries.
    pub(crate) async fn wait(&mut self) -> Vec<Delivery> {
        for _ in 0..500 {
            let deliveries = self.take();
            if !deliveries.is_empty() {
                return deliveries;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Vec::new()
    }

    pub(crate) fn settle(&mut self, delivery: &Delivery, outcome: Outcome) {
        let operations = [Self::settling(delivery, outcome)].into_iter().collect();
        self.ask(Request::Submit(Submit { ticket: Ticket(4), answer: false, operations }));
    }

    pub(crate) fn settling(delivery: &Delivery, outcome: Outcome) -> Operation {
        Operation::Settle(Settle { consumer: delivery.consumer, tag: delivery.tag, outcome })
    }
}

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        let user = credentials.user.as_ref().map(|user| UserName::new(user));
        Box::pin(async { Ok((Principal { user }, Permissions::everything())) })
    }
}

pub(crate) fn start(directory: &Path) -> (Broker, Arc<storage::Store>) {
    start_with(storage::Options::new(directory))
}

pub(crate) fn start_with(options: storage::Options) -> (Broker, Arc<storage::Store>) {
    start_limited(options, Options::default())
}

pub(crate) fn start_without_store(metrics: Arc<Metrics>) -> Broker {
    Broker::start(Options::default(), None, Arc::new(Everyone), metrics).unwrap()
}

pub(crate) fn start_limited_without_store(limits: Options) -> Broker {
    Broker::start(limits, None, Arc::new(Everyone), Arc::new(Metrics::default())).unwrap()
}

pub(crate) fn start_limited(options: storage::Options, limits: Options) -> (Broker, Arc<storage::Store>) {
    let (store, recovered) = storage::Store::open(options, Box::new(|error| panic!("{error}"))).unwrap();
    let store = Arc::new(store);
    let broker = Broker::start(
        limits,
        Some((Arc::clone(&store), recovered)),
        Arc::new(Everyone),
        Arc::new(Metrics::default()),
    );
    (broker.unwrap(), store)
}

/// What a process that was killed now would leave behind.
pub(crate) fn crash(directory: &Path) -> tempfile::TempDir {
    loop {
        let copy = tempfile::tempdir().unwrap();
        // Not sled: it may be in the middle of writing, and the journal alone is enough.
        std::fs::copy(directory.join("format"), copy.path().join("format")).unwrap();
        std::fs::create_dir(copy.path().join("journal")).unwrap();
        let copied = std::fs::read_dir(directory.join("journal")).unwrap().all(|entry| {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join("journal").join(entry.file_name())).is_ok()
        });
        // Otherwise a file was given up meanwhile, and what was alive in it is somewhere else.
        if copied {
            return copy;
        }
    }
}

pub(crate) fn publish(key: &str, text: &str, qos: Qos, remember: Option<u16>) -> Publish {
    Publish {
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from(key),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        qos,
        retain: false,
        persistent: qos > Qos::AtMostOnce,
        expiry_ms: None,
        properties: None,
        delay_ms: 0,
        remember,
        publication: None,
        declare: None,
    }
}

pub(crate) fn retained(key: &str, text: &str, qos: Qos) -> Vec<Operation> {
    vec![Operation::Publish(Publish { retain: true, ..publish(key, text, qos, None) })]
}

pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|one| String::from_utf8_lossy(&one.message.payload).into_owned()).collect()
}

pub(crate) fn keys(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|one| one.message.key.to_string()).collect()
}
