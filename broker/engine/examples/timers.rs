//! How late what is due is done, with a hundred thousand of each kind waiting: `cargo run --release -p engine --example timers`.
//!
//! Clients that fall silent, wills at the end of their delay and at the end of their sessions, messages that expire in queues
//! and retained ones, all due at their own time within ten seconds, while a hundred thousand sessions without a connection,
//! a hundred thousand connections with their keep alive and a hundred thousand retained messages wait for a time that is an
//! hour away. At the end the retained messages that are left expire in one moment.
#![allow(clippy::unwrap_used, reason = "a measurement that meets anything else has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Arrival, Broker, Link, Options};
use model::access::{AccessControl, Admission};
use model::delivery::Delivery;
use model::event::Event;
use model::grant::Grant;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ClientId, ExchangeName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::request::{
    Identity, Open, Operation, Publish, Replay, Request, Source, Submit, Subscribe, Subscription, Target,
    Ticket, Will,
};
use telemetry::Metrics;

#[tokio::main]
async fn main() {
    let many = std::env::args().nth(1).map_or(100_000, |count| count.parse().unwrap());
    let metrics = Arc::new(Metrics::default());
    let options = Options { sys_interval: Duration::ZERO, retained_max: usize::MAX, ..Options::default() };
    let broker = Arc::new(Broker::start(options, None, Arc::new(Everyone), Arc::clone(&metrics)).unwrap());
    wait_in_vain(&broker, many).await;

    let mut heir = open(&broker, "heir", 0, None).await;
    subscribe(&mut heir, "due").await;
    let mut away = open(&broker, "away", 3600, None).await;
    subscribe(&mut away, "gone").await;
    drop(away);
    let mut publisher = open(&broker, "publisher", 0, None).await;

    let (queued, kept) = (Ends::default(), Ends::default());
    let begin = Instant::now();
    let ends = (Arc::clone(&queued), Arc::clone(&kept));
    let watching = tokio::spawn(watch(heir, begin, ends, (metrics.retained.value(), Arc::clone(&metrics))));
    for number in 0..EACH {
        tokio::time::sleep_until((begin + Duration::from_millis(number * 3)).into()).await;
        let end = begin.elapsed() + Duration::from_secs(4);
        for (kind, delay_s, expiry_s) in [("delay", 4, 60), ("session", 60, 4)] {
            drop(open(&broker, &format!("{kind}-{number}"), expiry_s, will(kind, end, delay_s)).await);
        }
        let silent = open(&broker, &format!("silent-{number}"), 0, will("silent", end, 0)).await;
        tokio::spawn(connection(silent, begin + end));
        let expiry_ms = 3_000 + number % 1_000;
        let end = Instant::now() + Duration::from_millis(expiry_ms);
        queued.lock().unwrap().insert((end, number));
        publish(&mut publisher, message("gone/soon", "", Some(expiry_ms)));
        publish(&mut publisher, retained(&format!("soon/{number}"), expiry_ms));
        kept.lock().unwrap().insert((end, number));
    }
    println!("{:<32} {:>7} {:>10} {:>10} {:>10} {:>7}", "late by", "count", "p50", "p99", "max", "missing");
    for (kind, mut all) in watching.await.unwrap() {
        all.sort_unstable();
        let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
        let missing = EACH as usize - all.len();
        println!(
            "{kind:<32} {:>7} {:>10.1?} {:>10.1?} {:>10.1?} {missing:>7}",
            all.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    expire_at_once(&mut publisher, &metrics, many).await;
}

/// Has that many of each kind wait for an hour.
async fn wait_in_vain(broker: &Arc<Broker>, many: u64) {
    let hour = Instant::now() + Duration::from_secs(3600);
    let (memory, start) = (resident_bytes(), Instant::now());
    for number in 0..many {
        drop(open(broker, &format!("waiting-{number}"), 3600, None).await);
    }
    tell("sessions made and left waiting", many, start, memory);
    let (memory, start) = (resident_bytes(), Instant::now());
    for number in 0..many {
        let link = open(broker, &format!("connected-{number}"), 0, None).await;
        tokio::spawn(connection(link, hour));
    }
    tell("connections made, each with its keep alive", many, start, memory);
    let (memory, start) = (resident_bytes(), Instant::now());
    let mut publisher = open(broker, "keeper", 0, None).await;
    for number in 0..many {
        publish(&mut publisher, retained(&format!("kept/{number}"), 3_600_000));
    }
    tell("retained messages that expire", many, start, memory);
}

fn tell(what: &str, many: u64, start: Instant, memory: u64) {
    let each = resident_bytes().saturating_sub(memory) / many.max(1);
    println!("{many} {what} in {:.2?}; {each} bytes of memory each", start.elapsed());
}

/// A connection whose client says nothing: it has a timer of its own, as each has in the gateway, and when its patience is
/// at its end it is gone.
async fn connection(mut link: Link, end: Instant) {
    let mut alarm = pin!(tokio::time::sleep_until(end.into()));
    let mut events = Vec::new();
    poll_fn(|cx| {
        let _ = link.poll(cx, &mut events);
        alarm.as_mut().poll(cx)
    })
    .await;
}

/// All that is retained expires in one moment: when is the last of it gone?
async fn expire_at_once(publisher: &mut Link, metrics: &Metrics, many: u64) {
    let end = Instant::now() + Duration::from_secs(5);
    for number in 0..many {
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        publish(publisher, retained(&format!("kept/{number}"), u64::try_from(left).unwrap()));
    }
    assert!(Instant::now() < end, "all in time");
    while metrics.retained.value() > 0 && end.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "{many} retained messages that expire in one moment: the last is gone {:.1?} later",
        end.elapsed()
    );
}

/// What is due, and when.
type Ends = Arc<Mutex<BTreeSet<(Instant, u64)>>>;

/// Notes how late everything comes, until all has come.
async fn watch(
    mut heir: Link,
    begin: Instant,
    (queued, kept): (Ends, Ends),
    (known, metrics): (u64, Arc<Metrics>),
) -> BTreeMap<&'static str, Vec<Duration>> {
    let mut late: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let (mut expired, mut wills, mut forgotten) = (0, 0, 0);
    let mut deliveries = Vec::new();
    while (wills < 3 * EACH || expired < EACH || forgotten < EACH)
        && begin.elapsed() < Duration::from_secs(30)
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
        // Of messages that expire there is only a count: each is held against the first end that is left.
        while expired < metrics.messages_expired.value() {
            expired += 1;
            let end = queued.lock().unwrap().pop_first().unwrap().0;
            late.entry("message in a queue").or_default().push(end.elapsed());
        }
        let asked = forgotten + kept.lock().unwrap().len() as u64;
        while forgotten < (known + asked).saturating_sub(metrics.retained.value()) {
            forgotten += 1;
            let end = kept.lock().unwrap().pop_first().unwrap().0;
            late.entry("retained message").or_default().push(end.elapsed());
        }
        take(&mut heir, &mut deliveries).await;
        for delivery in deliveries.drain(..) {
            wills += 1;
            let text = String::from_utf8_lossy(&delivery.message.payload).into_owned();
            let (kind, end_us) = text.split_once(' ').unwrap();
            let kind = match kind {
                "delay" => "will after its delay",
                "session" => "will at the end of its session",
                _ => "will of a client that is silent",
            };
            let end = Duration::from_micros(end_us.parse().unwrap());
            late.entry(kind).or_default().push(begin.elapsed().saturating_sub(end));
        }
    }
    late
}

/// How many of each kind are due.
const EACH: u64 = 2_000;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Ok((Principal { user: None }, Permissions::everything())) })
    }
}

async fn open(broker: &Broker, name: &str, expiry_s: u32, will: Option<Box<Will>>) -> Link {
    let mut link = broker.connect(Arrival {
        address: None,
        protocol: "bench",
        listener: "bench".into(),
        handshake: None,
        certificate: None,
    });
    let identity = Identity::Session { client: Some(ClientId::new(name)), clean_start: true, expiry_s };
    let open = Open { credentials: Credentials::default(), version: "5.0", identity, vhost: None, will };
    ask(&mut link, Request::Open(Box::new(open))).await;
    link
}

async fn subscribe(link: &mut Link, level: &str) {
    let source = Source {
        exchange: ExchangeName::TOPIC,
        pattern: KeyPattern::new(vec![Level::Literal(level.into()), Level::Many]),
        arguments: Default::default(),
        share: None,
        grant: Grant { qos: Qos::AtLeastOnce, ..Grant::default() },
    };
    let one = Subscription {
        source: Some(source),
        queue: Target::Session,
        consumer: None,
        retained: Replay::Never,
    };
    ask(link, Request::Subscribe(Box::new(Subscribe { ticket: Ticket(1), subscriptions: vec![one] }))).await;
}

fn publish(link: &mut Link, publish: Publish) {
    let operations = [Operation::Publish(publish)].into_iter().collect();
    let submit = Submit { ticket: Ticket(2), answer: false, operations };
    link.ask(&mut vec![Request::Submit(submit)], &mut Vec::new());
}

fn will(kind: &str, end: Duration, delay_s: u32) -> Option<Box<Will>> {
    let publish = message("due/now", &format!("{kind} {}", end.as_micros()), None);
    Some(Box::new(Will { publish, delay_s }))
}

fn retained(key: &str, expiry_ms: u64) -> Publish {
    Publish { retain: true, ..message(key, "x", Some(expiry_ms)) }
}

fn message(key: &str, text: &str, expiry_ms: Option<u64>) -> Publish {
    Publish {
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from(key),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: false,
        expiry_ms,
        properties: None,
        delay_ms: 0,
        remember: None,
        publication: None,
        declare: None,
    }
}

/// Asks, and waits for the answer.
async fn ask(link: &mut Link, request: Request) -> Event {
    let mut events = Vec::new();
    link.ask(&mut vec![request], &mut events);
    poll_fn(|cx: &mut Context<'_>| {
        while events.is_empty() {
            if link.poll(cx, &mut events).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(events.remove(0))
    })
    .await
}

/// Takes what is there and settles it.
async fn take(link: &mut Link, deliveries: &mut Vec<Delivery>) {
    let mut events = Vec::new();
    poll_fn(|cx| {
        let _ = link.poll(cx, &mut events);
        Poll::Ready(())
    })
    .await;
    link.take(10_000, deliveries);
}
