//! How late messages are that wait for their time, and what they take meanwhile:
//! `cargo run --release -p engine --example delays -- --messages 100000 --seconds 600`, with `--size 256` for their bytes, and with
//! `--wait` to measure only what they take while they wait.
//!
//! All of them are durable, go to a durable queue, and are due at moments spread over that time, in an order that is not the one in
//! which they were published. How late one is counts until its consumer has it: with the commit that takes it from where it waited
//! to its queue. The store is in a directory of its own below the system's temporary one (`TMPDIR`), which goes at the end.
#![allow(clippy::unwrap_used, reason = "a measurement that meets anything else has failed")]

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Arrival, Broker, Link, Options};
use model::access::{AccessControl, Admission};
use model::delivery::{Delivery, Outcome};
use model::event::Event;
use model::key::RoutingKey;
use model::name::{ConsumerId, ExchangeName, QueueName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::queue::{QueueDeclaration, QueueOptions};
use model::request::{
    Consumer, Identity, Open, Operation, Publish, Replay, Request, Settle, Submit, Subscribe, Subscription,
    Target, Ticket,
};
use storage::Store;
use telemetry::Metrics;

#[tokio::main]
async fn main() {
    let argument = |name: &str, usual: u64| {
        let mut arguments = std::env::args().skip_while(|one| one != name);
        arguments.nth(1).map_or(usual, |text| text.parse().unwrap())
    };
    let (messages, seconds) = (argument("--messages", 100_000), argument("--seconds", 600));
    let size = usize::try_from(argument("--size", 64)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (broker, store) = start(folder.path());
    let mut worker = connect(&broker).await;
    consume(&mut worker).await;
    let base = megabytes();
    let start = Instant::now();
    // Time to publish them before the first is due.
    let lead = Duration::from_secs(2) + Duration::from_micros(messages * 20);
    let only_waits = std::env::args().any(|argument| argument == "--wait");
    let lead = if only_waits { Duration::from_secs(3600) } else { lead };
    let dues =
        Dues { start, lead, step: Duration::from_secs(seconds) / u32::try_from(messages).unwrap(), messages };
    publish(&broker, &dues, size).await;
    let took = start.elapsed();
    println!(
        "{messages} published in {:.1} s, {:.1} MB: {:.0} bytes each",
        took.as_secs_f64(),
        megabytes(),
        { (megabytes() - base) * 1e6 / messages as f64 }
    );
    if took > lead {
        println!("the first were due before all were published: those are late by that");
    }
    if !only_waits {
        let late = drain(&mut worker, &dues).await;
        report(late);
    }
    drop((worker, broker));
    store.close();
}

/// When each is due.
struct Dues {
    start: Instant,
    lead: Duration,
    step: Duration,
    messages: u64,
}

impl Dues {
    /// Of the message that is published as that one: scattered, and no two at once.
    fn of(&self, number: u64) -> Instant {
        // A prime that divides no number of messages that somebody would choose: each place is taken once.
        let place = number * 7_368_787 % self.messages;
        self.start + self.lead + self.step * u32::try_from(place).unwrap()
    }
}

fn report(mut late: Vec<Duration>) {
    late.sort_unstable();
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>10} {:>18}",
        "came", "p50", "p99", "p99.9", "max", "within 10 ms"
    );
    let within = late.iter().filter(|late| **late <= Duration::from_millis(10)).count();
    println!(
        "{:>9} {:>10.1?} {:>10.1?} {:>10.1?} {:>10.1?} {:>17.3}%",
        late.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        within as f64 * 100.0 / late.len() as f64
    );
}

fn start(folder: &Path) -> (Broker, Arc<Store>) {
    let on_failure = Box::new(|error: &_| panic!("{error}"));
    let (store, recovered) = Store::open(storage::Options::new(folder), on_failure).unwrap();
    let store = Arc::new(store);
    let options = Options {
        delayed_max: u64::MAX,
        delayed_bytes_max: u64::MAX,
        sys_interval: Duration::ZERO,
        ..Options::default()
    };
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
    let mut events = Vec::new();
    link.ask(&mut vec![request], &mut events);
    wait(link, &mut events, 1).await;
}

async fn wait(link: &mut Link, events: &mut Vec<Event>, answers: usize) {
    poll_fn(|cx| {
        while events.len() < answers {
            if link.poll(cx, events).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
}

async fn consume(link: &mut Link) {
    let options = QueueOptions {
        name: QueueName::new("jobs"),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    let consumer = Some(Consumer { id: ConsumerId(1), acknowledges: true, prefetch: None, start: None });
    let queue = Target::Declare(Box::new(QueueDeclaration::from(options)));
    let subscriptions = vec![Subscription { source: None, queue, consumer, retained: Replay::Never }];
    ask(link, Request::Subscribe(Box::new(Subscribe { ticket: Ticket(1), subscriptions }))).await;
}

/// Returns when all of them are on the disk.
async fn publish(broker: &Broker, dues: &Dues, size: usize) {
    let mut link = connect(broker).await;
    let (mut events, mut under_way) = (Vec::new(), 0);
    for number in 0..dues.messages {
        let mut payload = vec![7; size.max(8)];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let delay = dues.of(number).saturating_duration_since(Instant::now());
        let delay_ms = u64::try_from(delay.as_millis()).unwrap();
        let operations = [Operation::Publish(one(payload.into(), delay_ms))].into_iter().collect();
        link.ask(
            &mut vec![Request::Submit(Submit { ticket: Ticket(2), answer: true, operations })],
            &mut events,
        );
        under_way += 1;
        under_way -= events.drain(..).len();
        while under_way >= UNDER_WAY {
            wait(&mut link, &mut events, 1).await;
            under_way -= events.drain(..).len();
        }
    }
    wait(&mut link, &mut events, under_way).await;
}

/// Takes all, and notes how late each is. None may be early, missing or there twice.
async fn drain(link: &mut Link, dues: &Dues) -> Vec<Duration> {
    let (mut late, mut deliveries, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = vec![false; usize::try_from(dues.messages).unwrap()];
    while late.len() < seen.len() {
        link.take(TAKEN, &mut deliveries);
        if deliveries.is_empty() {
            poll_fn(|cx| link.poll(cx, &mut events)).await;
            continue;
        }
        let now = Instant::now();
        for delivery in &deliveries {
            let number = u64::from_be_bytes(*delivery.message.payload.first_chunk().unwrap());
            // The delay was cut to whole milliseconds.
            let due = dues.of(number) - Duration::from_millis(1);
            late.push(now.checked_duration_since(due).expect("nothing is early"));
            assert!(!std::mem::replace(&mut seen[usize::try_from(number).unwrap()], true), "{number} twice");
        }
        let settle = |delivery: Delivery| {
            let Delivery { consumer, tag, .. } = delivery;
            Operation::Settle(Settle { consumer, tag, outcome: Outcome::Accepted })
        };
        let operations = deliveries.drain(..).map(settle).collect();
        let submit = Submit { ticket: Ticket(3), answer: false, operations };
        link.ask(&mut vec![Request::Submit(submit)], &mut events);
        events.clear();
    }
    late
}

fn one(payload: Bytes, delay_ms: u64) -> Publish {
    Publish {
        exchange: ExchangeName::DEFAULT,
        key: RoutingKey::from("jobs"),
        payload,
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: true,
        expiry_ms: None,
        delay_ms,
        properties: None,
        remember: None,
        publication: None,
        declare: None,
    }
}

/// What the process has in memory now.
fn megabytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0 / 1e6
}

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Ok((Principal { user: None }, Permissions::everything())) })
    }
}

/// As many a publisher leaves unanswered.
const UNDER_WAY: usize = 4096;
const TAKEN: usize = 1000;
