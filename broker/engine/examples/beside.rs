//! What one publisher's load does to another one's messages: `cargo run --release -p engine --example beside`
//!
//! One client sends a message to another one every two milliseconds. Beside them there is nobody, then a client that floods a
//! third one, then one that sends to 10,000. There are two workers and no sockets: whoever gets messages is busy for as long as
//! a write takes. With `--at-once` links do all that they were asked in one turn, whatever that is.
#![allow(clippy::unwrap_used, reason = "a measurement that meets anything else has failed")]

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Arrival, Broker, Link, Options};
use model::access::{AccessControl, Admission};
use model::event::Event;
use model::grant::Grant;
use model::key::{KeyPattern, RoutingKey};
use model::name::{ClientId, ExchangeName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::request::{
    Identity, Open, Operation, Publish, Replay, Request, Source, Submit, Subscribe, Subscription, Target,
    Ticket,
};
use telemetry::Metrics;
use tokio::sync::mpsc;

fn main() {
    let at_once = std::env::args().any(|argument| argument == "--at-once");
    println!("{:<28} {:>8} {:>10} {:>10} {:>10} {:>10}", "", "messages", "p50", "p99", "p99.9", "max");
    for beside in [Beside::Nobody, Beside::Flood, Beside::FanOut] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(measure(beside, at_once));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nobody,
    /// 800 messages in one breath, again and again, to one client: as many as a read brings.
    Flood,
    /// Eight messages in one breath, five times a second, to 10,000 clients.
    FanOut,
}

async fn measure(beside: Beside, at_once: bool) {
    let options = Options { sys_interval: Duration::ZERO, ..Options::default() };
    let broker = Broker::start(options, None, Arc::new(Everyone), Arc::new(Metrics::default())).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let crowd = match beside {
        Beside::Nobody => 0,
        Beside::Flood => 1,
        Beside::FanOut => 10_000,
    };
    for number in 0..crowd {
        tokio::spawn(listen(open(&broker, &format!("crowd-{number}"), Some("loud")).await, None));
    }
    if beside != Beside::Nobody {
        let loud = open(&broker, "loud", None).await;
        tokio::spawn(shout(loud, beside, at_once, Arc::clone(&stop)));
    }
    let (times, mut timed) = mpsc::unbounded_channel();
    let begin = Instant::now();
    tokio::spawn(listen(open(&broker, "to", Some("quiet")).await, Some((begin, times))));
    let (moments, moment) = mpsc::unbounded_channel();
    tokio::spawn(say(open(&broker, "from", None).await, begin, moment));
    // A clock of its own, and a caller from outside of the workers, as the network is.
    let ticking = std::thread::spawn(move || {
        for _ in 0..MESSAGES {
            std::thread::sleep(Duration::from_millis(2));
            moments.send(Instant::now()).unwrap();
        }
    });
    let mut all = Vec::new();
    while all.len() < MESSAGES {
        all.push(timed.recv().await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    ticking.join().unwrap();
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    let [p50, p99, p999, max] = [at(0.5), at(0.99), at(0.999), at(1.0)];
    let what = match beside {
        Beside::Nobody => "alone",
        Beside::Flood => "beside a flood",
        Beside::FanOut => "beside a fan-out to 10,000",
    };
    println!("{what:<28} {:>8} {p50:>10.1?} {p99:>10.1?} {p999:>10.1?} {max:>10.1?}", all.len());
}

/// Publishes at the moments that it is told, and says when that was: in nanoseconds since we began.
async fn say(mut link: Link, begin: Instant, mut moment: mpsc::UnboundedReceiver<Instant>) {
    while let Some(at) = moment.recv().await {
        let due = at.duration_since(begin).as_nanos() as u64;
        link.ask(&mut vec![publish("quiet", Bytes::copy_from_slice(&due.to_be_bytes()))], &mut Vec::new());
    }
}

async fn shout(mut link: Link, beside: Beside, at_once: bool, stop: Arc<AtomicBool>) {
    let breath = if beside == Beside::Flood { 800 } else { 8 };
    while !stop.load(Ordering::Relaxed) {
        let said = (0..breath).map(|_| publish("loud", Bytes::from_static(&[b'x'; 64])));
        link.ask(&mut said.collect(), &mut Vec::new());
        poll_fn(|cx| {
            while link.is_unfinished() {
                let _ = link.poll(cx, &mut Vec::new());
                if !at_once {
                    break;
                }
            }
            if link.is_unfinished() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        match beside {
            Beside::FanOut => tokio::time::sleep(Duration::from_millis(200)).await,
            Beside::Flood | Beside::Nobody => tokio::task::yield_now().await,
        }
    }
}

/// Takes what comes, as long as a write takes each time.
async fn listen(mut link: Link, times: Option<(Instant, mpsc::UnboundedSender<Duration>)>) {
    let mut deliveries = Vec::new();
    poll_fn(|cx| -> Poll<()> {
        loop {
            link.take(128, &mut deliveries);
            if !deliveries.is_empty() {
                let begin = Instant::now();
                while begin.elapsed() < WRITE {
                    std::hint::spin_loop();
                }
            }
            for delivery in deliveries.drain(..) {
                if let (Some((begin, times)), Some(due)) = (&times, delivery.message.payload.first_chunk()) {
                    let due = *begin + Duration::from_nanos(u64::from_be_bytes(*due));
                    let _ = times.send(due.elapsed());
                }
            }
            if link.poll(cx, &mut Vec::new()).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

async fn open(broker: &Broker, name: &str, topic: Option<&'static str>) -> Link {
    let mut link = broker.connect(Arrival {
        address: None,
        protocol: "bench",
        listener: "bench".into(),
        handshake: None,
        certificate: None,
    });
    let identity = Identity::Session { client: Some(ClientId::new(name)), clean_start: true, expiry_s: 0 };
    let open =
        Open { credentials: Credentials::default(), version: "5.0", identity, vhost: None, will: None };
    let mut requests = vec![Request::Open(Box::new(open))];
    answer(&mut link, &mut requests).await;
    if let Some(topic) = topic {
        let source = Source {
            exchange: ExchangeName::TOPIC,
            pattern: KeyPattern::exact(&RoutingKey::from(topic)),
            arguments: Default::default(),
            share: None,
            grant: Grant { qos: Qos::AtMostOnce, ..Grant::default() },
        };
        let (queue, retained) = (Target::Session, Replay::Never);
        let subscription = Subscription { source: Some(source), queue, consumer: None, retained };
        let subscriptions = vec![subscription];
        requests.push(Request::Subscribe(Box::new(Subscribe { ticket: Ticket(1), subscriptions })));
        answer(&mut link, &mut requests).await;
    }
    link
}

async fn answer(link: &mut Link, requests: &mut Vec<Request>) {
    let mut events: Vec<Event> = Vec::new();
    link.ask(requests, &mut events);
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

fn publish(topic: &'static str, payload: Bytes) -> Request {
    let publish = Publish {
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from(topic),
        payload,
        qos: Qos::AtMostOnce,
        retain: false,
        persistent: false,
        expiry_ms: None,
        properties: None,
        delay_ms: 0,
        remember: None,
        publication: None,
        declare: None,
    };
    let operations = [Operation::Publish(publish)].into_iter().collect();
    Request::Submit(Submit { ticket: Ticket(2), answer: false, operations })
}

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Ok((Principal { user: None }, Permissions::everything())) })
    }
}

const MESSAGES: usize = 3_000;
/// What a write to a socket takes.
const WRITE: Duration = Duration::from_micros(5);
