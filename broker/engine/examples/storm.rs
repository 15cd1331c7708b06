//! How many connects a second the sessions bear: `cargo run --release -p engine --example storm`, with `--store` on a disk.
//!
//! With a hundred thousand sessions there, clients come from two threads: back to a session, over to one that has a
//! connection, with a new one, and go again, a quarter of them with a will that is published. What a call takes has the wait for
//! the lock of all sessions in it; what one thread alone needs for it is at least as long as the lock is held.
#![allow(clippy::unwrap_used, reason = "a measurement that meets anything else has failed")]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Arrival, Broker, Link, Options};
use model::access::{AccessControl, Admission};
use model::event::Event;
use model::key::RoutingKey;
use model::name::{ClientId, ExchangeName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::request::{Identity, Open, Publish, Request, Will};
use storage::Store;
use telemetry::Metrics;

fn main() {
    let on_disk = std::env::args().any(|argument| argument == "--store");
    for threads in [1, 2] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        runtime.block_on(storm(threads, on_disk));
    }
}

async fn storm(threads: usize, on_disk: bool) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { sys_interval: Duration::ZERO, ..Options::default() };
    let store = on_disk.then(|| {
        let options = storage::Options::new(folder.path());
        let (store, recovered) = Store::open(options, Box::new(|error| panic!("{error}"))).unwrap();
        (Arc::new(store), recovered)
    });
    let broker = Broker::start(options, store, Arc::new(Everyone), Arc::new(Metrics::default())).unwrap();
    // On a disk many wait together; in memory nobody waits.
    let clients = if on_disk { 256 } else { threads as u64 };
    let next = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let making = (0..clients).map(|_| tokio::spawn(make(broker.clone(), Arc::clone(&next))));
    for one in making.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let took = begin.elapsed();
    let what = if on_disk { "on disk" } else { "in memory" };
    println!("{threads} threads, {what}: {SESSIONS} sessions made in {took:.2?}");

    let until = Instant::now() + Duration::from_secs(10);
    let coming = (0..clients).map(|number| tokio::spawn(come_and_go(broker.clone(), number, until)));
    let mut all: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for one in coming.collect::<Vec<_>>() {
        for (kind, mut some) in one.await.unwrap() {
            all.entry(kind).or_default().append(&mut some);
        }
    }
    println!("  {:<28} {:>9} {:>10} {:>10} {:>10}", "", "a second", "p50", "p99", "max");
    for (kind, mut all) in all {
        all.sort_unstable();
        let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
        let [p50, p99, max] = [at(0.5), at(0.99), at(1.0)];
        println!("  {kind:<28} {:>9} {p50:>10.1?} {p99:>10.1?} {max:>10.1?}", all.len() / 10);
    }
}

async fn make(broker: Broker, next: Arc<AtomicU64>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= SESSIONS {
            return;
        }
        drop(open(&broker, &format!("there-{number}"), 3600, false, &mut Times::new()).await);
    }
}

/// How long each kind of thing took, each time.
type Times = BTreeMap<&'static str, Vec<Duration>>;

async fn come_and_go(broker: Broker, client: u64, until: Instant) -> Times {
    let mut times = Times::new();
    let mut dice = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut turn = 0_u64;
    while Instant::now() < until {
        // xorshift: any order will do.
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        turn += 1;
        let there = format!("there-{}", dice % SESSIONS);
        match turn % 3 {
            0 => leave(open(&broker, &there, 3600, false, &mut times).await, &mut times),
            1 => {
                let first = open(&broker, &there, 3600, false, &mut times).await;
                let second = open(&broker, &there, 3600, false, &mut times).await;
                leave(first, &mut times);
                leave(second, &mut times);
            }
            _ => {
                let name = format!("new-{client}-{turn}");
                leave(open(&broker, &name, 0, true, &mut times).await, &mut times);
            }
        }
        tokio::task::yield_now().await;
    }
    times
}

async fn open(broker: &Broker, name: &str, expiry_s: u32, has_will: bool, times: &mut Times) -> Link {
    let mut link = broker.connect(Arrival {
        address: None,
        protocol: "bench",
        listener: "bench".into(),
        handshake: None,
        certificate: None,
    });
    let identity = Identity::Session { client: Some(ClientId::new(name)), clean_start: false, expiry_s };
    let will = has_will.then(|| Box::new(Will { publish: gone(), delay_s: 0 }));
    let open = Open { credentials: Credentials::default(), version: "5.0", identity, vhost: None, will };
    let mut requests = vec![Request::Open(Box::new(open))];
    let mut events = Vec::new();
    let begin = Instant::now();
    link.ask(&mut requests, &mut events);
    let _ = link.poll(&mut Context::from_waker(Waker::noop()), &mut events);
    times.entry("connect: the call").or_default().push(begin.elapsed());
    poll_fn(|cx| {
        let is_in = |events: &[Event]| events.iter().any(|event| matches!(event, Event::Opened(_)));
        while !is_in(&events) {
            if link.poll(cx, &mut events).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
    times.entry("connect: until CONNACK").or_default().push(begin.elapsed());
    link
}

fn leave(link: Link, times: &mut Times) {
    let begin = Instant::now();
    drop(link);
    times.entry("disconnect: the call").or_default().push(begin.elapsed());
}

fn gone() -> Publish {
    Publish {
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from("gone"),
        payload: Bytes::from_static(b"x"),
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

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Ok((Principal { user: None }, Permissions::everything())) })
    }
}

const SESSIONS: u64 = 100_000;
