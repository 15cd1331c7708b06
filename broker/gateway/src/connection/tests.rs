//! The loop, driven over real sockets by a session that speaks in lines.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use engine::{Arrival, Broker};
use model::access::{AccessControl, Admission};
use model::delivery::Delivery;
use model::event::Event;
use model::key::RoutingKey;
use model::name::{ConsumerId, ExchangeName, QueueName};
use model::outbox::Outbox;
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::queue::QueueOptions;
use model::request::{
    Close, Consumer, Identity as Named, Open, Operation, Publish, Replay, Request, Submit, Subscribe,
    Subscription, Target, Ticket,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use transport::linger::Patience;
use transport::peer::Visitor;
use transport::tcp;

use super::*;

mod precedence;

#[tokio::test]
async fn a_packet_may_come_in_pieces_and_several_in_one() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    for piece in ["sa", "y o", "ne\nsay two\nsay th", "ree\n"] {
        client.send(piece).await;
        tokio::task::yield_now().await;
    }
    for expected in ["one", "two", "three"] {
        assert_eq!(client.line().await, expected);
    }
}

#[tokio::test]
async fn a_packet_larger_than_any_buffer_is_put_together() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    let long = "x".repeat(3_000_000);
    client.send("open\n").await;
    assert_eq!(client.line().await, "opened");
    client.send(&format!("say {long}\nsay after\n")).await;
    assert!(client.line().await == long);
    assert_eq!(client.line().await, "after");
}

#[tokio::test]
async fn a_stranger_who_only_sends_is_not_read_for_ever() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    let piece = "x".repeat(100_000);
    let mut sent = 0;
    while let Ok(()) = tokio::time::timeout(STALLED, client.send(&piece)).await {
        sent += piece.len();
        assert!(sent < 100_000_000, "all is taken, nothing holds the client up");
    }
}

#[tokio::test]
async fn what_came_behind_the_login_is_taken_once_the_client_is_in() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    // Nothing more comes after this: only the answer can bring the session back to what it left.
    client.send("open\nsay pipelined\n").await;
    assert_eq!(client.line().await, "opened");
    assert_eq!(client.line().await, "pipelined");
}

#[tokio::test]
async fn what_one_publishes_another_gets_in_order() {
    let house = House::new();
    let (mut consumer, mut publisher) =
        (house.enter(Lined::default()).await, house.enter(Lined::default()).await);
    consumer.send("open\nconsume\n").await;
    assert_eq!(consumer.line().await, "opened");
    assert_eq!(consumer.line().await, "consuming");
    publisher.send("open\n").await;
    assert_eq!(publisher.line().await, "opened");
    // Small ones, and large ones that are chained and not copied.
    let messages: Vec<String> =
        (0..3000).map(|n| format!("{n}{}", "-".repeat(if n % 7 == 0 { 5000 } else { 5 }))).collect();
    for message in &messages {
        publisher.send(&format!("publish {message}\n")).await;
    }
    for message in &messages {
        assert!(consumer.line().await == *message);
    }
}

#[tokio::test]
async fn no_more_is_delivered_than_the_session_has_room_for() {
    let house = House::new();
    let mut client = house.enter(Lined { window: 2, ..Lined::default() }).await;
    client.send("open\nconsume\npublish a\npublish b\npublish c\nsay full\n").await;
    assert_eq!(client.line().await, "opened");
    let mut seen = [client.line().await, client.line().await, client.line().await, client.line().await];
    seen.sort();
    assert_eq!(seen, ["a", "b", "consuming", "full"]);
    client.send("room\n").await;
    assert_eq!(client.line().await, "c");
}

#[tokio::test]
async fn what_was_written_last_reaches_the_client_before_the_end() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    let long = "y".repeat(2_000_000);
    client.send(&format!("open\nsay {long}\nleave\nsay never\n")).await;
    assert_eq!(client.line().await, "opened");
    assert!(client.line().await == long);
    assert_eq!(client.rest().await, "left\n");
    client.gone().await;
    assert_eq!(house.metrics.connections.value(), 0);
}

#[tokio::test]
async fn a_client_that_vanishes_is_let_go() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    client.send("open\n").await;
    assert_eq!(client.line().await, "opened");
    assert_eq!(house.metrics.connections.value(), 1);
    client.vanish().await;
    assert_eq!(house.metrics.connections.value(), 0);
    assert_eq!(house.metrics.connections_closed.value(), 1);
}

#[tokio::test]
async fn a_client_need_not_stay_for_the_answers() {
    let house = House::new();
    let mut consumer = house.enter(Lined::default()).await;
    consumer.send("open\nconsume\n").await;
    assert_eq!(consumer.line().await, "opened");
    assert_eq!(consumer.line().await, "consuming");
    let mut publisher = house.enter(Lined::default()).await;
    publisher.send("open\npublish and gone\n").await;
    publisher.gone().await;
    assert_eq!(consumer.line().await, "and gone");
}

#[tokio::test]
async fn a_client_that_only_stopped_sending_is_answered() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    client.send("open\nsay all done\n").await;
    client.write.shutdown().await.expect("shut down");
    assert_eq!(client.rest().await, "opened\nall done\n");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either_and_loses_nothing() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    let line = format!("say {}\n", "z".repeat(9_995));
    let mut sent = 0;
    // Until the sockets' own buffers and ours are full.
    while let Ok(()) = tokio::time::timeout(STALLED, client.send(&line)).await {
        sent += 1;
        assert!(sent * line.len() < 100_000_000, "all is taken, nothing holds the client up");
    }
    // The last line may have left in part; how much of it did, the answers will not tell: so only whole ones count.
    for _ in 0..sent {
        assert_eq!(client.line().await.len(), 9_995);
    }
}

#[tokio::test]
async fn the_session_is_called_at_its_deadline() {
    let house = House::new();
    let patience = Some(Duration::from_millis(40));
    let mut client = house.enter(Lined { patience, ..Lined::default() }).await;
    let start = Instant::now();
    assert_eq!(client.rest().await, "late\n");
    assert!(start.elapsed() >= Duration::from_millis(35), "{:?}", start.elapsed());
    client.gone().await;
}

#[tokio::test]
async fn the_end_is_the_end_whichever_turn_it_comes_in() {
    let house = House::new();
    for naps in 0..2 * TURNS_MAX {
        let patience = Some(Duration::ZERO);
        let mut client = house.enter(Lined { patience, naps, ..Lined::default() }).await;
        assert_eq!(client.rest().await, "late\n", "after {naps} turns");
        client.gone().await;
    }
}

#[tokio::test]
async fn a_deadline_that_moves_away_does_not_ring_early() {
    let house = House::new();
    let patience = Some(Duration::from_millis(200));
    let mut client = house.enter(Lined { patience, ..Lined::default() }).await;
    let start = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(80)).await;
        client.send("say here\n").await;
        assert_eq!(client.line().await, "here");
    }
    assert_eq!(client.rest().await, "late\n");
    assert!(start.elapsed() >= Duration::from_millis(590), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_stop_of_the_broker_is_told_to_the_session() {
    let house = House::new();
    let mut client = house.enter(Lined::default()).await;
    client.send("open\n").await;
    assert_eq!(client.line().await, "opened");
    let broker = house.broker.clone();
    let stop = tokio::spawn(async move { broker.shutdown(Duration::from_secs(5)).await });
    assert_eq!(client.rest().await, "closing\n");
    stop.await.expect("no panic");
}

/// A broker without doors, and whoever wants in may.
struct House {
    broker: Broker,
    metrics: Arc<Metrics>,
}

impl House {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::default());
        let broker =
            Broker::start(engine::Options::default(), None, Arc::new(Everybody), Arc::clone(&metrics))
                .expect("started");
        Self { broker, metrics }
    }

    async fn enter(&self, session: Lined) -> Client {
        let listener = tcp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let task = self.seat(&listener, session).await;
        let (read, write) = stream.into_split();
        Client { lines: BufReader::new(read).lines(), write, task }
    }

    /// Lets in whoever waits at a listener.
    async fn seat(&self, listener: &TcpListener, session: Lined) -> JoinHandle<()> {
        let (accepted, address) = tcp::accept(listener).await.expect("accepted");
        let carrier = Carrier::tcp(accepted.into(), &Visitor::new(address));
        let listener: Arc<str> = "test".into();
        let about = Arrival {
            address: None,
            protocol: "lines",
            listener: Arc::clone(&listener),
            handshake: None,
            certificate: None,
        };
        let link = self.broker.connect(about);
        let identity = Identity::new(link.id(), "lines", listener, Arc::default());
        let connection = Connection::new(
            carrier,
            Box::new(session.awake()),
            link,
            identity,
            None,
            Arc::clone(&self.metrics),
            Patience::new(100),
        );
        let mut connection = Box::new(connection);
        tokio::spawn(async move {
            let hangup = poll_fn(|cx| connection.poll(cx)).await;
            connection.say_goodbye(hangup).await;
        })
    }
}

struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    task: JoinHandle<()>,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.write.write_all(text.as_bytes()).await.expect("sent");
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.expect("read").expect("another line")
    }

    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.lines.get_mut().read_to_string(&mut rest).await.expect("read");
        rest
    }

    async fn gone(self) {
        drop((self.lines, self.write));
        self.task.await.expect("no panic");
    }

    async fn vanish(self) {
        self.gone().await;
    }
}

struct Everybody;

impl AccessControl for Everybody {
    fn admit<'a>(&'a self, _credentials: &'a Credentials) -> Admission<'a> {
        Box::pin(async {
            // Long enough for what came behind to be read before.
            tokio::task::yield_now().await;
            Ok((Principal { user: None }, Permissions::everything()))
        })
    }
}

/// A session that speaks in lines: a word and the rest.
struct Lined {
    window: usize,
    patience: Option<Duration>,
    deadline: Option<Instant>,
    asking: bool,
    is_in: bool,
    /// How often it lets its deadline pass.
    naps: usize,
}

impl Default for Lined {
    fn default() -> Self {
        Self { window: usize::MAX, patience: None, deadline: None, asking: false, is_in: false, naps: 0 }
    }
}

impl Lined {
    fn awake(mut self) -> Self {
        self.deadline = self.patience.map(|patience| Instant::now() + patience);
        self
    }

    fn obey(&mut self, line: &str, out: &mut Outbox) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "say" => say(out, rest),
            "open" => {
                self.asking = true;
                out.requests.push(Request::Open(Box::new(Open {
                    credentials: Credentials::default(),
                    version: "1",
                    identity: Named::Connection,
                    vhost: None,
                    will: None,
                })));
            }
            "consume" => out.requests.push(consume()),
            "publish" => out.requests.push(publish(rest)),
            "offer" => {
                out.requests.push(publish(rest));
                say(out, "taken");
            }
            "room" => self.window += 2,
            "leave" => {
                say(out, "left");
                out.requests.push(Request::Close(Close { discard_will: true, expiry_s: None }));
                out.hang_up(By::Client, "left");
            }
            _ => out.hang_up(By::Broker, "unknown word"),
        }
    }
}

impl Session for Lined {
    fn receive(&mut self, bytes: &mut BytesMut, now: Instant, out: &mut Outbox) {
        self.deadline = self.patience.map(|patience| now + patience);
        while !self.asking && out.close.is_none() {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
            let line = bytes.split_to(end);
            bytes.advance(1);
            self.obey(std::str::from_utf8(&line).expect("text"), out);
        }
    }

    fn notify(&mut self, event: Event, _now: Instant, out: &mut Outbox) {
        if let Event::Opened(_) = event {
            (self.asking, self.is_in) = (false, true);
            say(out, "opened");
        } else if let Event::Subscribed { .. } = event {
            say(out, "consuming");
        } else if let Event::Closing(_) = event {
            say(out, "closing");
            out.hang_up(By::Broker, "closing");
        } else {
            panic!("{event:?}");
        }
    }

    fn deliver(&mut self, deliveries: &mut Vec<Delivery>, _now: Instant, out: &mut Outbox) {
        for delivery in deliveries.drain(..) {
            self.window = self.window.checked_sub(1).expect("room");
            out.wire.put_shared(&delivery.message.payload);
            out.wire.buf().extend_from_slice(b"\n");
        }
    }

    fn window(&self) -> usize {
        if self.is_in { self.window } else { 0 }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn expire(&mut self, _now: Instant, out: &mut Outbox) {
        if self.naps > 0 {
            self.naps -= 1;
            return;
        }
        say(out, "late");
        out.hang_up(By::Broker, "late");
    }
}

fn say(out: &mut Outbox, line: &str) {
    out.wire.buf().extend_from_slice(line.as_bytes());
    out.wire.buf().extend_from_slice(b"\n");
    out.wire.count_packet();
}

fn consume() -> Request {
    let queue = Target::Declare(Box::new(lines().into()));
    let consumer = Consumer { id: ConsumerId(1), acknowledges: false, prefetch: None, start: None };
    let subscription =
        Subscription { source: None, queue, consumer: Some(consumer), retained: Replay::Never };
    Request::Subscribe(Box::new(Subscribe { ticket: Ticket(1), subscriptions: vec![subscription] }))
}

fn publish(text: &str) -> Request {
    let publish = Publish {
        exchange: ExchangeName::DEFAULT,
        key: RoutingKey::from("lines"),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: false,
        expiry_ms: None,
        properties: None,
        delay_ms: 0,
        remember: None,
        publication: None,
        declare: Some(Arc::new(lines().into())),
    };
    let operations = [Operation::Publish(publish)].into_iter().collect();
    Request::Submit(Submit { ticket: Ticket(2), answer: false, operations })
}

fn lines() -> QueueOptions {
    QueueOptions {
        name: QueueName::new("lines"),
        durable: false,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    }
}

const STALLED: Duration = Duration::from_millis(300);
