//! What many waiting messages cost, and how fast they are taken:
//! `cargo run --release -p engine --example backlog -- --messages 10000000 --size 256`, with `--recover` for a restart between, and
//! with `--resident` for comparison: then the queue holds all of them in memory (about 700 bytes each).
//!
//! It needs about 330 bytes of disk a message of 256, in a directory of its own below the system's temporary one (`TMPDIR`), which
//! goes at the end. Processor time is that of all threads, until the journal has what was settled.
#![allow(clippy::unwrap_used, reason = "a measurement that meets anything else has failed")]

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Arrival, Broker, Link, Options, Resident};
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
    let argument = |name: &str, usual: usize| {
        let mut arguments = std::env::args().skip_while(|one| one != name);
        arguments.nth(1).map_or(usual, |text| text.parse().unwrap())
    };
    let (messages, size) = (argument("--messages", 1_000_000), argument("--size", 256));
    let base = megabytes();
    if let Some(folder) = std::env::args().skip_while(|one| one != AGAIN).nth(1) {
        let (broker, store, took) = start(Path::new(&folder));
        report(&format!("{messages} recovered in {:.2} s", took.as_secs_f64()), messages, base);
        return empty(broker, &store, messages).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (broker, store, _) = start(folder.path());
    let base = megabytes();
    println!("nothing: {base:.0} MB");
    let begin = Instant::now();
    publish(&broker, messages, size).await;
    let filled = messages as f64 / begin.elapsed().as_secs_f64();
    report(&format!("{messages} waiting, filled at {filled:.0}/s"), messages, base);
    if std::env::args().any(|argument| argument == "--recover") {
        drop(broker);
        store.close();
        drop(store);
        // In a process of its own, whose memory is its own.
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.arg(AGAIN).arg(folder.path()).args(["--messages", &messages.to_string()]);
        assert!(again.status().unwrap().success());
        return;
    }
    empty(broker, &store, messages).await;
}

/// Takes all and settles it.
async fn empty(broker: Broker, store: &Store, messages: usize) {
    let (begin, before) = (Instant::now(), processor_seconds());
    drain(&broker, messages).await;
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    let each = (processor_seconds() - before) * 1e6 / messages as f64;
    println!("taken and settled at {rate:.0}/s, {each:.2} µs of processor time each");
    println!("nothing waits: {:.0} MB", megabytes());
    drop(broker);
    store.close();
}

fn report(what: &str, messages: usize, base: f64) {
    let now = megabytes();
    println!("{what}: {now:.0} MB, {:.1} bytes a message", (now - base) * 1e6 / messages as f64);
}

fn start(folder: &Path) -> (Broker, Arc<Store>, Duration) {
    let begin = Instant::now();
    let on_failure = Box::new(|error: &_| panic!("{error}"));
    let (store, recovered) = Store::open(storage::Options::new(folder), on_failure).unwrap();
    let store = Arc::new(store);
    let mut options =
        Options { queue_messages_max: u64::MAX, queue_bytes_max: u64::MAX, ..Options::default() };
    if std::env::args().any(|argument| argument == "--resident") {
        options.resident = Resident::ALL;
    }
    let parts = Some((Arc::clone(&store), recovered));
    let broker = Broker::start(options, parts, Arc::new(Everyone), Arc::new(Metrics::default())).unwrap();
    (broker, store, begin.elapsed())
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
    ask(&mut link, Request::Open(Box::new(open)), 1).await;
    link
}

/// Asks, and waits for so many answers.
async fn ask(link: &mut Link, request: Request, answers: usize) {
    let mut events = Vec::new();
    link.ask(&mut vec![request], &mut events);
    wait(link, &mut events, answers).await;
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
        name: QueueName::new("backlog"),
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
    ask(link, Request::Subscribe(Box::new(Subscribe { ticket: Ticket(1), subscriptions })), 1).await;
}

/// Returns when all of them are on the disk.
async fn publish(broker: &Broker, messages: usize, size: usize) {
    let mut link = connect(broker).await;
    consume(&mut link).await;
    drop(link);
    let mut link = connect(broker).await;
    let (mut events, mut under_way) = (Vec::new(), 0);
    for _ in 0..messages {
        // As from a socket: each has its own.
        let operations = [Operation::Publish(one(Bytes::from(vec![7; size])))].into_iter().collect();
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

/// Takes so many and settles each, as fast as one client can; returns when the journal has it.
async fn drain(broker: &Broker, messages: usize) {
    let mut link = connect(broker).await;
    consume(&mut link).await;
    let (mut taken, mut deliveries, mut events) = (0, Vec::new(), Vec::new());
    while taken < messages {
        link.take(TAKEN, &mut deliveries);
        taken += deliveries.len();
        if deliveries.is_empty() {
            poll_fn(|cx| link.poll(cx, &mut events)).await;
            continue;
        }
        let settle = |delivery: Delivery| {
            let Delivery { consumer, tag, .. } = delivery;
            Operation::Settle(Settle { consumer, tag, outcome: Outcome::Accepted })
        };
        let operations = deliveries.drain(..).map(settle).collect();
        link.ask(
            &mut vec![Request::Submit(Submit { ticket: Ticket(3), answer: taken == messages, operations })],
            &mut events,
        );
        tokio::task::yield_now().await;
    }
    wait(&mut link, &mut events, 1).await;
}

fn one(payload: Bytes) -> Publish {
    Publish {
        exchange: ExchangeName::DEFAULT,
        key: RoutingKey::from("backlog"),
        payload,
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: true,
        expiry_ms: None,
        properties: None,
        delay_ms: 0,
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

/// What all threads of the process have used of the processors until now.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = text.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    // A tick is a hundredth of a second in what Linux tells programs.
    ticks.sum::<f64>() / 100.0
}

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Ok((Principal { user: None }, Permissions::everything())) })
    }
}

/// The process that starts again gets the folder after this.
const AGAIN: &str = "--again";
/// As many a publisher leaves unanswered.
const UNDER_WAY: usize = 4096;
const TAKEN: usize = 1000;
