//! All doors of a gateway, as strangers and friends find them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use engine::Broker;
use gateway::{Gateway, Kind, ListenerOptions, Options, Web};
use model::access::{AccessControl, Admission};
use model::principal::{Credentials, Permissions, Principal};
use telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[tokio::test]
async fn each_protocol_is_spoken_at_its_own_door_and_at_the_automatic_one() {
    let house = House::open(100);
    for door in [MQTT, AUTO] {
        let mut client = house.dial(door).await;
        client.write_all(MQTT_CONNECT).await.expect("sent");
        assert_eq!(read(&mut client, 4).await, b"\x20\x02\x00\x00");
    }
    for door in [STOMP, AUTO] {
        let mut client = house.dial(door).await;
        client.write_all(b"\nCONNECT\naccept-version:1.2\nhost:/\n\n\0").await.expect("sent");
        assert_eq!(read(&mut client, 10).await, b"CONNECTED\n");
    }
    for door in [WEB, AUTO] {
        let mut client = house.dial(door).await;
        client.write_all(UPGRADE).await.expect("sent");
        let head = head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let mut frame = vec![0x82, 0x80 | MQTT_CONNECT.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(MQTT_CONNECT);
        client.write_all(&frame).await.expect("sent");
        assert_eq!(read(&mut client, 6).await, b"\x82\x04\x20\x02\x00\x00");
    }
}

#[tokio::test]
async fn a_greeting_may_come_in_pieces() {
    let house = House::open(100);
    let mut client = house.dial(AUTO).await;
    client.write_all(b"CONN").await.expect("sent");
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.write_all(b"ECT\naccept-version:1.2\nhost:/\n\n\0").await.expect("sent");
    assert_eq!(read(&mut client, 10).await, b"CONNECTED\n");
}

#[tokio::test]
async fn whoever_is_at_the_wrong_door_is_told_so_where_he_can_read() {
    let house = House::open(100);
    check(&house, MQTT, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400").await;
    check(&house, STOMP, b"AMQP\x00\x00\x09\x01", "AMQP is not spoken here").await;
    check(&house, MQTT, b"CONNECT\naccept-version:1.2\n\n\0", "ERROR\n").await;
    check(&house, AUTO, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "").await;
    check(&house, AUTO, b"\x00\x01\x02\x03", "").await;
    check(&house, WEB, MQTT_CONNECT, "").await;
    check(&house, WEB, b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404").await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let house = House::open(2);
    let inside = [house.dial(MQTT).await, house.dial(MQTT).await];
    let mut outside = house.dial(MQTT).await;
    assert_eq!(rest(&mut outside).await, b"");
    // Whoever leaves makes room.
    drop(inside);
    let connected = async {
        loop {
            let mut client = house.dial(MQTT).await;
            let _ = client.write_all(MQTT_CONNECT).await;
            let mut answer = [0; 4];
            if client.read_exact(&mut answer).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), connected).await.expect("room again");
}

#[tokio::test]
async fn a_stop_closes_the_doors_and_says_good_bye() {
    let mut house = House::open(100);
    let mut client = house.dial(MQTT).await;
    client.write_all(MQTT5_CONNECT).await.expect("sent");
    assert_eq!(read(&mut client, 1).await, b"\x20");
    let _stranger = house.dial(MQTT).await;
    house.stop.take().expect("open").send(()).expect("running");
    let last = rest(&mut client).await;
    // DISCONNECT: server shutting down (MQTT 5.0, 3.14.2.1).
    assert!(last.windows(3).any(|bytes| bytes[0] == 0xe0 && bytes[2] == 0x8b), "{last:02x?}");
    drop(client);
    // A stranger does not hold it up.
    tokio::time::timeout(Duration::from_secs(4), &mut house.running)
        .await
        .expect("in time")
        .expect("no panic");
    assert!(TcpStream::connect(house.addresses[MQTT]).await.is_err());
}

#[tokio::test]
async fn all_doors_open_or_none() {
    let house = House::open(100);
    let (broker, metrics) = broker();
    let free = any_port();
    let listeners = vec![listener(Kind::Mqtt, free), listener(Kind::Stomp, house.addresses[STOMP])];
    let options = Options { listeners, ..Options::default() };
    let error = Gateway::bind(&options, broker, Arc::default(), Arc::default(), metrics)
        .err()
        .expect("one of the ports is taken");
    assert_eq!(error.address, house.addresses[STOMP]);
    assert!(error.to_string().contains("in use by pid"), "{error}");
}

/// A gateway with a listener of each kind.
struct House {
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl House {
    fn open(connections_max: usize) -> Self {
        let (broker, metrics) = broker();
        let kinds = [Kind::Mqtt, Kind::Stomp, Kind::Web(Web::default()), Kind::Auto(Web::default())];
        let listeners = kinds.map(|kind| listener(kind, any_port())).to_vec();
        let options = Options { listeners, connections_max };
        let gateway =
            Gateway::bind(&options, broker, Arc::default(), Arc::default(), metrics).expect("free ports");
        let addresses = gateway.local_addrs().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(gateway.run(async {
            let _ = stopped.await;
        }));
        Self { addresses, stop: Some(stop), running }
    }

    async fn dial(&self, door: usize) -> TcpStream {
        TcpStream::connect(self.addresses[door]).await.expect("connected")
    }
}

/// Says something and wants the connection to end with an answer that begins so.
async fn check(house: &House, door: usize, bytes: &[u8], answer: &str) {
    let mut client = house.dial(door).await;
    client.write_all(bytes).await.expect("sent");
    let said = rest(&mut client).await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with(answer) && said.is_empty() == answer.is_empty(), "{said}");
}

fn broker() -> (Broker, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let broker = Broker::start(engine::Options::default(), None, Arc::new(Everybody), Arc::clone(&metrics));
    (broker.expect("started"), metrics)
}

fn listener(kind: Kind, bind: SocketAddr) -> ListenerOptions {
    ListenerOptions { name: "test".to_owned(), kind, bind }
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

async fn read(client: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).await.expect("an answer");
    bytes
}

async fn head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

async fn rest(client: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("an orderly end");
    rest
}

struct Everybody;

impl AccessControl for Everybody {
    fn admit<'a>(&'a self, _credentials: &'a Credentials) -> Admission<'a> {
        Box::pin(std::future::ready(Ok((Principal { user: None }, Permissions::everything()))))
    }
}

const MQTT: usize = 0;
const STOMP: usize = 1;
const WEB: usize = 2;
const AUTO: usize = 3;

/// Version 3.1.1, clean session, keep alive 60, client id `a`.
const MQTT_CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";

/// Version 5.0, clean start, keep alive 60, no properties, client id `b`.
const MQTT5_CONNECT: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01b";

const UPGRADE: &[u8] =
    b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: mqtt\r\n\r\n";
