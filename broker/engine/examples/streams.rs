//! What a stream costs: to write with one reader and with ten, to read from ten places at once and from a moment, and to keep short:
//! `cargo run --release -p engine --example streams -- --messages 1000000 --size 256`.
//!
//! It needs about 330 bytes of disk a message of 256, in a directory of its own below the system's temporary one (`TMPDIR`), which
//! goes at the end. The cost of writing is the processor time of all threads but those on which readers run. Each reader looks at
//! every offset that it gets: they must go up one by one.
#![allow(clippy::unwrap_used, reason = "a measurement that meets anything else has failed")]

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Arrival, Broker, Link, Options};
use model::access::{AccessControl, Admission};
use model::event::Event;
use model::key::RoutingKey;
use model::name::{ConsumerId, ExchangeName, QueueName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::queue::{QueueArguments, QueueDeclaration, QueueOptions};
use model::request::{
    Consumer, Identity, Open, Operation, Publish, Replay, Request, Submit, Subscribe, Subscription, Target,
    Ticket,
};
use model::stream::Start;
use model::time::WallMs;
use storage::Store;
use telemetry::Metrics;

#[tokio::main]
async fn main() {
    let argument = |name: &str, usual: u64| {
        let mut arguments = std::env::args().skip_while(|one| one != name);
        arguments.nth(1).map_or(usual, |text| text.parse().unwrap())
    };
    let (messages, size) = (argument("--messages", 1_000_000), argument("--size", 256) as usize);
    let folder = tempfile::tempdir().unwrap();
    let on_failure = Box::new(|error: &_| panic!("{error}"));
    let (store, recovered) = Store::open(storage::Options::new(folder.path()), on_failure).unwrap();
    let store = Arc::new(store);
    let parts = Some((Arc::clone(&store), recovered));
    let options = Options { queue_bytes_max: u64::MAX, ..Options::default() };
    let broker = Broker::start(options, parts, Arc::new(Everyone), Arc::new(Metrics::default())).unwrap();
    let base = megabytes();
    // Until the machine runs at its speed.
    write(&broker, "warm", messages / 10, size, 1).await;
    let mut costs = Vec::new();
    // In turn: what else the machine does hits both.
    for round in 0..ROUNDS {
        for readers in [1, 10] {
            let name = format!("written-{round}-{readers}");
            costs.push((readers, write(&broker, &name, messages / 5, size, readers).await));
            delete(&broker, &name).await;
        }
    }
    let of = |wanted: usize| {
        let mut all: Vec<f64> =
            costs.iter().filter(|(readers, _)| *readers == wanted).map(|(_, cost)| *cost).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (one, ten) = (of(1), of(10));
    println!("written with 1 reader:   {one:.2} µs of processor time a message");
    println!(
        "written with 10 readers: {ten:.2} µs of processor time a message, {:+.0} %",
        (ten / one - 1.0) * 100.0
    );
    read_all(&broker, messages, size, base).await;
    keep_short(&broker, messages, size).await;
    drop(broker);
    store.close();
}

/// Writes so many, each on disk, while so many read what comes; what one costs, in microseconds of processor time.
async fn write(broker: &Broker, name: &str, messages: u64, size: usize, readers: usize) -> f64 {
    declare(broker, name, None).await;
    let mut reading = Vec::new();
    for _ in 0..readers {
        let link = subscribe(broker, name, Start::Next).await;
        reading.push(tokio::spawn(read(link, 1, messages)));
    }
    let before = writing_seconds();
    publish(broker, name, messages, size).await;
    let cost = (writing_seconds() - before) * 1e6 / messages as f64;
    for one in reading {
        one.await.unwrap();
    }
    cost
}

/// Ten read at once, each from another place; and one from the moment at which the middle came in.
async fn read_all(broker: &Broker, messages: u64, size: usize, base: f64) {
    declare(broker, "long", None).await;
    let begin = Instant::now();
    publish(broker, "long", messages / 2, size).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let middle = WallMs(u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    tokio::time::sleep(Duration::from_millis(20)).await;
    publish(broker, "long", messages - messages / 2, size).await;
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    let each = (megabytes() - base) * 1e6 / messages as f64;
    println!("{messages} in one stream, filled at {rate:.0}/s: {each:.1} bytes of memory a message");
    let (begin, before) = (Instant::now(), processor_seconds());
    let mut reading = Vec::new();
    let mut count = 0;
    for part in 0..10 {
        let first = messages / 10 * part + 1;
        count += messages + 1 - first;
        let link = subscribe(broker, "long", Start::Offset(first)).await;
        reading.push(tokio::spawn(read(link, first, messages)));
    }
    for one in reading {
        one.await.unwrap();
    }
    let rate = count as f64 / begin.elapsed().as_secs_f64();
    let each = (processor_seconds() - before) * 1e6 / count as f64;
    println!(
        "ten readers from ten offsets: {count} read at {rate:.0}/s, {each:.2} µs of processor time each"
    );
    println!("memory then: {:.0} MB", megabytes());
    let begin = Instant::now();
    let mut link = subscribe(broker, "long", Start::At(middle)).await;
    let first = next(&mut link, &mut Vec::new()).await;
    assert_eq!(first, messages / 2 + 1, "from the moment at which the middle came in");
    println!("from a moment: offset {first} after {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
}

/// A tenth of it stays.
async fn keep_short(broker: &Broker, messages: u64, size: usize) {
    declare(broker, "short", Some(messages / 10)).await;
    let before = processor_seconds();
    publish(broker, "short", messages, size).await;
    let each = (processor_seconds() - before) * 1e6 / messages as f64;
    let mut link = subscribe(broker, "short", Start::First).await;
    let first = next(&mut link, &mut Vec::new()).await;
    assert_eq!(first, messages - messages / 10 + 1, "a tenth stays");
    println!("kept to a tenth: {each:.2} µs of processor time a message, the oldest is {first}");
}

async fn declare(broker: &Broker, name: &str, most: Option<u64>) {
    let options = QueueOptions {
        name: QueueName::new(name),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: most,
        ready_bytes_max: Some(u64::MAX),
        arguments: Some(Box::new(QueueArguments { stream: true, ..QueueArguments::default() })),
    };
    let mut link = connect(broker).await;
    let queue = Target::Declare(Box::new(QueueDeclaration::from(options)));
    consume(&mut link, queue, None).await;
}

async fn delete(broker: &Broker, name: &str) {
    broker.commands().delete_queue(&QueueName::new(name), engine::DeleteQueueIf::default()).await.unwrap();
}

async fn subscribe(broker: &Broker, name: &str, start: Start) -> Link {
    let mut link = connect(broker).await;
    consume(&mut link, Target::Existing(QueueName::new(name)), Some(start)).await;
    link
}

async fn consume(link: &mut Link, queue: Target, start: Option<Start>) {
    let consumer = Some(Consumer { id: ConsumerId(1), acknowledges: false, prefetch: None, start });
    let subscriptions = vec![Subscription { source: None, queue, consumer, retained: Replay::Never }];
    ask(link, Request::Subscribe(Box::new(Subscribe { ticket: Ticket(1), subscriptions })), 1).await;
}

/// Reads from there to the last one, which must come one by one.
async fn read(mut link: Link, first: u64, last: u64) {
    let (mut wanted, mut deliveries, mut events) = (first, Vec::new(), Vec::new());
    while wanted <= last {
        link.take(TAKEN, &mut deliveries);
        if deliveries.is_empty() {
            poll_fn(|cx| link.poll(cx, &mut events)).await;
            continue;
        }
        for delivery in deliveries.drain(..) {
            assert_eq!(delivery.offset, Some(wanted), "one by one");
            wanted += 1;
        }
        tokio::task::yield_now().await;
    }
}

async fn next(link: &mut Link, events: &mut Vec<Event>) -> u64 {
    let mut deliveries = Vec::new();
    loop {
        link.take(1, &mut deliveries);
        match deliveries.first() {
            Some(delivery) => return delivery.offset.unwrap(),
            None => poll_fn(|cx| link.poll(cx, events)).await,
        }
    }
}

/// Returns when all of them are on the disk.
async fn publish(broker: &Broker, name: &str, messages: u64, size: usize) {
    let mut link = connect(broker).await;
    let (mut events, mut under_way) = (Vec::new(), 0);
    for _ in 0..messages {
        // As from a socket: each has its own.
        let operations = [Operation::Publish(one(name, Bytes::from(vec![7; size])))].into_iter().collect();
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

fn one(name: &str, payload: Bytes) -> Publish {
    Publish {
        exchange: ExchangeName::DEFAULT,
        key: RoutingKey::from(name),
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

/// What the process has in memory now.
fn megabytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0 / 1e6
}

/// What all threads of the process have used of the processors until now.
fn processor_seconds() -> f64 {
    seconds(&std::fs::read_to_string("/proc/self/stat").unwrap())
}

/// The same of all threads that are there, but those on which readers run.
fn writing_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
    stats.filter(|stat| !stat.contains("(tokio-")).map(|stat| seconds(&stat)).sum()
}

fn seconds(stat: &str) -> f64 {
    let (_, fields) = stat.rsplit_once(')').unwrap();
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

/// As many a publisher leaves unanswered.
const UNDER_WAY: usize = 4096;
const TAKEN: usize = 1000;
const ROUNDS: usize = 5;
