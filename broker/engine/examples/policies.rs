//! What a policy does to a queue in which very many messages wait, and what publishers and consumers notice of it:
//! `cargo run --release -p engine --example policies -- --messages 1000000 --size 100`.
//!
//! Before, while and after it takes effect one client publishes to that queue and waits for each acknowledgement, and another one
//! consumes it, one message at a time. How long they wait is told for each of these times. It needs about 200 bytes of disk a
//! message of 100, in a directory of its own below the system's temporary one (`TMPDIR`), which goes at the end.
#![allow(clippy::unwrap_used, reason = "a measurement that meets anything else has failed")]

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Arrival, Broker, CheckedPolicy, Link, Options};
use model::access::{AccessControl, Admission};
use model::delivery::{Delivery, Outcome};
use model::event::Event;
use model::key::RoutingKey;
use model::name::{ConsumerId, ExchangeName, PolicyName, QueueName};
use model::policy::{AppliesTo, Policy, PolicyDefinition};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::queue::QueueOptions;
use model::request::{
    Consumer, Identity, Open, Operation, Publish, Replay, Request, Settle, Submit, Subscribe, Subscription,
    Target, Ticket,
};
use storage::Store;
use telemetry::Metrics;

#[tokio::main]
async fn main() {
    let argument = |name: &str, usual: usize| {
        let mut arguments = std::env::args().skip_while(|one| one != name);
        arguments.nth(1).map_or(usual, |text| text.parse().unwrap())
    };
    let (messages, size) = (argument("--messages", 1_000_000), argument("--size", 100));
    let kept = messages / 100;
    let length = PolicyDefinition { ready_max: Some(kept as u64), ..PolicyDefinition::default() };
    let letters = PolicyDefinition {
        dead_letter_exchange: Some(ExchangeName::DEFAULT),
        dead_letter_key: Some("letters".into()),
        ..length.clone()
    };
    let ttl = PolicyDefinition { message_ttl_ms: Some(1), ..PolicyDefinition::default() };
    for (what, says, left) in [
        (format!("max-length={kept}"), length, kept),
        (format!("max-length={kept}, dead-lettered"), letters, kept),
        ("message-ttl=1".to_owned(), ttl, 0),
    ] {
        println!("{messages} messages of {size} bytes; {what}");
        measure(messages, size, says, left).await;
    }
}

async fn measure(messages: usize, size: usize, says: PolicyDefinition, left: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (broker, store) = start(folder.path());
    for name in [QUEUE, "letters"] {
        broker.commands().declare_queue(queue(name)).await.unwrap();
    }
    fill(&broker, messages, size).await;
    let running = Arc::new(AtomicBool::new(true));
    let publisher = tokio::spawn(publish(broker.clone(), size, Arc::clone(&running)));
    let consumer = tokio::spawn(consume(broker.clone(), Arc::clone(&running)));
    tokio::time::sleep(CALM).await;
    let begun = Instant::now();
    let policy = Policy {
        name: PolicyName::new("bench"),
        pattern: "^backlog$".into(),
        applies_to: AppliesTo::Queues,
        priority: 0,
        definition: says,
    };
    broker.commands().put_policy(CheckedPolicy::new(policy).unwrap()).await.unwrap();
    let held = begun.elapsed();
    // What is published meanwhile counts as well.
    while ready(&broker) > left + left / 10 + 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let done = begun.elapsed();
    tokio::time::sleep(CALM).await;
    let cleared = Instant::now();
    assert!(broker.commands().delete_policy(&PolicyName::new("bench")).await.unwrap());
    running.store(false, Ordering::Relaxed);
    let (published, consumed) = (publisher.await.unwrap(), consumer.await.unwrap());
    println!(
        "  it held after {:.1} ms, and all of it was done after {:.2} s; cleared in {:.1} ms",
        millis(held),
        done.as_secs_f64(),
        millis(cleared.elapsed())
    );
    tell("acknowledged", &published, begun, done);
    tell("delivered", &consumed, begun, done);
    fill(&broker, left + 1000, size).await;
    assert!(ready(&broker) > left, "the old limit holds again");
    drop(broker);
    store.close();
}

/// When each wait began, and how long it was.
type Waits = Vec<(Instant, Duration)>;

fn tell(what: &str, waits: &Waits, begun: Instant, done: Duration) {
    let end = begun + done;
    let mut parts = Vec::new();
    for (when, is_in) in [
        ("before", &(|at: Instant| at < begun) as &dyn Fn(Instant) -> bool),
        ("while", &|at| at >= begun && at < end),
        ("after", &|at| at >= end),
    ] {
        // One that began before and ended within belongs to both: it may have waited for that.
        let overlaps = |at: Instant, took: Duration| is_in(at) || is_in(at + took);
        let mut some: Vec<Duration> =
            waits.iter().filter(|(at, took)| overlaps(*at, *took)).map(|(_, took)| *took).collect();
        some.sort_unstable();
        let at = |part: f64| some.get((some.len() as f64 * part) as usize).copied().unwrap_or_default();
        let (half, most) = (millis(at(0.5)), millis(some.last().copied().unwrap_or_default()));
        let nearly = millis(at(0.99));
        parts.push(format!("{when} {} times, p50 {half:.2} p99 {nearly:.2} max {most:.2} ms", some.len()));
    }
    println!("  {what}: {}", parts.join("; "));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ready(broker: &Broker) -> usize {
    broker.inspect().queue(&QueueName::new(QUEUE)).unwrap().ready
}

/// One message after the other, each acknowledged before the next.
async fn publish(broker: Broker, size: usize, running: Arc<AtomicBool>) -> Waits {
    let mut link = connect(&broker).await;
    let mut waits = Waits::new();
    while running.load(Ordering::Relaxed) {
        let at = Instant::now();
        let operations = [Operation::Publish(one(Bytes::from(vec![7; size])))].into_iter().collect();
        ask(&mut link, Request::Submit(Submit { ticket: Ticket(2), answer: true, operations })).await;
        waits.push((at, at.elapsed()));
    }
    waits
}

/// One message after the other, each settled before the next.
async fn consume(broker: Broker, running: Arc<AtomicBool>) -> Waits {
    let mut link = connect(&broker).await;
    let consumer = Some(Consumer { id: ConsumerId(1), acknowledges: true, prefetch: Some(1), start: None });
    let queue = Target::Existing(QueueName::new(QUEUE));
    let subscriptions = vec![Subscription { source: None, queue, consumer, retained: Replay::Never }];
    ask(&mut link, Request::Subscribe(Box::new(Subscribe { ticket: Ticket(1), subscriptions }))).await;
    let (mut deliveries, mut events, mut waits): (Vec<Delivery>, _, _) =
        (Vec::new(), Vec::new(), Waits::new());
    while running.load(Ordering::Relaxed) {
        let at = Instant::now();
        while deliveries.is_empty() && running.load(Ordering::Relaxed) {
            link.take(1, &mut deliveries);
            if deliveries.is_empty() {
                let waited = poll_fn(|cx| link.poll(cx, &mut events));
                let _ = tokio::time::timeout(Duration::from_millis(50), waited).await;
            }
        }
        waits.push((at, at.elapsed()));
        for Delivery { consumer, tag, .. } in deliveries.drain(..) {
            let settle = Operation::Settle(Settle { consumer, tag, outcome: Outcome::Accepted });
            let operations = [settle].into_iter().collect();
            ask(&mut link, Request::Submit(Submit { ticket: Ticket(3), answer: true, operations })).await;
        }
    }
    waits
}

/// Returns when all of them are on the disk.
async fn fill(broker: &Broker, messages: usize, size: usize) {
    let mut link = connect(broker).await;
    let mut left = messages;
    while left > 0 {
        let some = left.min(1000);
        let all = std::iter::repeat_with(|| Operation::Publish(one(Bytes::from(vec![7; size]))));
        let operations = all.take(some).collect();
        ask(&mut link, Request::Submit(Submit { ticket: Ticket(2), answer: true, operations })).await;
        left -= some;
    }
}

fn start(folder: &Path) -> (Broker, Arc<Store>) {
    let on_failure = Box::new(|error: &_| panic!("{error}"));
    let (store, recovered) = Store::open(storage::Options::new(folder), on_failure).unwrap();
    let store = Arc::new(store);
    let options = Options { queue_messages_max: 1 << 40, queue_bytes_max: 1 << 50, ..Options::default() };
    let parts = Some((Arc::clone(&store), recovered));
    let broker = Broker::start(options, parts, Arc::new(Everyone), Arc::new(Metrics::default())).unwrap();
    (broker, store)
}

async fn connect(broker: &Broker) -> Link {
    let arrival = Arrival {
        address: None,
        protocol: "bench",
        listener: "bench".into(),
        handshake: None,
        certificate: None,
    };
    let mut link = broker.connect(arrival);
    let (identity, credentials) = (Identity::Connection, Credentials::default());
    let open = Open { credentials, version: "1.2", identity, vhost: None, will: None };
    ask(&mut link, Request::Open(Box::new(open))).await;
    link
}

/// Asks, and waits for the answer.
async fn ask(link: &mut Link, request: Request) {
    let mut events: Vec<Event> = Vec::new();
    link.ask(&mut vec![request], &mut events);
    poll_fn(|cx| {
        while events.is_empty() {
            if link.poll(cx, &mut events).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
}

fn one(payload: Bytes) -> Publish {
    Publish {
        exchange: ExchangeName::DEFAULT,
        key: RoutingKey::from(QUEUE),
        payload,
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: true,
        expiry_ms: None,
        delay_ms: 0,
        properties: None,
        remember: None,
        publication: None,
        declare: None,
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

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Ok((Principal { user: None }, Permissions::everything())) })
    }
}

const QUEUE: &str = "backlog";
/// How long publisher and consumer are watched before and after.
const CALM: Duration = Duration::from_secs(2);
