//! The floor: a broker without a store, and connections without sockets, all in one thread.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use engine::{Arrival, Broker, Link, Options};
use model::access::{AccessControl, Admission};
use model::delivery::Delivery;
use model::event::Event;
use model::outbox::Outbox;
use model::principal::{Credentials, Permissions, Principal};
use model::session::Session;
use telemetry::Metrics;
use tokio::runtime::Runtime;

/// A broker, and the buffers that its connections share, as those of one worker do.
pub(crate) struct Floor {
    broker: Broker,
    mqtt: Arc<mqtt::Options>,
    stomp: Arc<stomp::options::Options>,
    bench: Bench,
    /// Never driven: what the broker does by itself now and then would not come at the same moment twice.
    runtime: Runtime,
}

/// As in the gateway.
#[derive(Default)]
struct Bench {
    read: BytesMut,
    out: Outbox,
    events: Vec<Event>,
    deliveries: Vec<Delivery>,
}

/// One client's connection.
pub(crate) struct Connection {
    session: Box<dyn Session>,
    link: Link,
    unread: BytesMut,
    /// What the client was sent and has not looked at, if it looks at all.
    pub(crate) heard: Vec<u8>,
    /// How many packets, or frames, it was sent.
    pub(crate) packets: u64,
    looks: bool,
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    Mqtt,
    Stomp,
}

impl Floor {
    /// With everybody let in, and all that can be set as it is by default.
    pub(crate) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let broker = {
            let _inside = runtime.enter();
            Broker::start(Options::default(), None, Arc::new(Everyone), Arc::new(Metrics::default()))
        };
        let broker = broker.ok().context("a broker without a store has nothing to fail with")?;
        Ok(Self { broker, mqtt: Arc::default(), stomp: Arc::default(), bench: Bench::default(), runtime })
    }

    /// A connection whose client has not said anything. `looks`: it wants to see what it is sent, not only to count it.
    pub(crate) fn connect(&self, protocol: Protocol, looks: bool) -> Connection {
        let now = Instant::now();
        let (name, session): (_, Box<dyn Session>) = match protocol {
            Protocol::Mqtt => ("mqtt", Box::new(mqtt::Session::new(Arc::clone(&self.mqtt), None, now))),
            Protocol::Stomp => {
                ("stomp", Box::new(stomp::session::Session::new(Arc::clone(&self.stomp), None, now)))
            }
        };
        let arrival = Arrival {
            address: None,
            protocol: name,
            listener: Arc::from("bench"),
            handshake: None,
            certificate: None,
        };
        let link = self.broker.connect(arrival);
        Connection { session, link, unread: BytesMut::new(), heard: Vec::new(), packets: 0, looks }
    }

    /// The client said this; the connection has its turns, in the order of the gateway's, until there is nothing to do.
    pub(crate) fn turn(&mut self, connection: &mut Connection, said: &[u8]) {
        let _inside = self.runtime.enter();
        connection.turns(&mut self.bench, said);
    }
}

impl Connection {
    fn turns(&mut self, bench: &mut Bench, said: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut said = Some(said).filter(|said| !said.is_empty());
        loop {
            let now = Instant::now();
            let is_read = said.take().map(|said| self.read(bench, said, now)).is_some();
            let is_delivered = self.deliver(bench, now);
            let is_written = self.write(bench);
            if bench.out.close.take().is_some() {
                return;
            }
            if !(is_read || is_delivered || is_written) {
                if self.link.poll(&mut cx, &mut bench.events).is_pending() {
                    return;
                }
                self.tell(bench, now);
                self.step(bench, now);
            }
        }
    }

    fn read(&mut self, bench: &mut Bench, said: &[u8], now: Instant) {
        if !bench.read.try_reclaim(READ_BYTES) && bench.read.capacity() < said.len() {
            bench.read = BytesMut::with_capacity(READ_BYTES);
        }
        if self.unread.is_empty() {
            bench.read.extend_from_slice(said);
            self.unread = bench.read.split();
        } else {
            self.unread.extend_from_slice(said);
        }
        self.step(bench, now);
    }

    fn step(&mut self, bench: &mut Bench, now: Instant) {
        loop {
            if !self.unread.is_empty() && bench.out.close.is_none() {
                self.session.receive(&mut self.unread, now, &mut bench.out);
            }
            if !bench.out.requests.is_empty() {
                self.link.ask(&mut bench.out.requests, &mut bench.events);
            }
            if bench.events.is_empty() || bench.out.close.is_some() {
                break;
            }
            self.tell(bench, now);
        }
        bench.out.received = 0;
        bench.events.clear();
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
    }

    fn tell(&mut self, bench: &mut Bench, now: Instant) {
        for event in bench.events.drain(..) {
            self.session.notify(event, now, &mut bench.out);
        }
    }

    fn deliver(&mut self, bench: &mut Bench, now: Instant) -> bool {
        let mut taken = 0;
        while bench.out.close.is_none() {
            let room = self.session.window().min(TAKE_AT_ONCE);
            if room == 0 {
                break;
            }
            self.link.take(room, &mut bench.deliveries);
            let count = bench.deliveries.len();
            if count > 0 {
                self.session.deliver(&mut bench.deliveries, now, &mut bench.out);
                bench.deliveries.clear();
                taken += count;
            }
            if count < room {
                break;
            }
        }
        if !bench.out.requests.is_empty() {
            self.step(bench, now);
        }
        taken > 0
    }

    fn write(&mut self, bench: &mut Bench) -> bool {
        let wire = &mut bench.out.wire;
        self.packets += wire.take_packets();
        let len = wire.len();
        if self.looks {
            let mut slices = [std::io::IoSlice::new(&[]); 16];
            let used = wire.peek(&mut slices);
            for slice in slices.iter().take(used) {
                self.heard.extend_from_slice(slice);
            }
        }
        wire.advance(len);
        len > 0
    }
}

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Ok((Principal { user: None }, Permissions::everything())) })
    }
}

/// As in the gateway: what a call of read brings at most, in bytes, and how many deliveries are encoded at once.
const READ_BYTES: usize = 64 * 1024;
const TAKE_AT_ONCE: usize = 128;
