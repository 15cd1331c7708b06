//! All doors of a gateway, as strangers and friends find them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Broker;
use gateway::{Gateway, Kind, ListenerOptions, Options, Protocol, SockJsOptions, Web};
use model::access::{AccessControl, Admission};
use model::principal::{Credentials, Handshake, Permissions, Principal};
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
async fn a_client_that_polls_is_served_like_any_other() {
    let house = House::open(100);
    for door in [WEB, AUTO] {
        let mut client = house.dial(door).await;
        assert_eq!(poll(&mut client).await, "o\n");
        assert!(send(&mut client, STOMP_CONNECT).await.starts_with("HTTP/1.1 204"));
        assert!(poll(&mut client).await.starts_with("a[\"CONNECTED\\n"));
        let subscribe = "SUBSCRIBE\\nid:1\\nreceipt:r\\ndestination:/topic/a\\n\\n\\u0000";
        send(&mut client, subscribe).await;
        assert!(poll(&mut client).await.starts_with("a[\"RECEIPT\\n"));
        send(&mut client, "SEND\\ndestination:/topic/a\\n\\n안녕\\u0000").await;
        let message = poll(&mut client).await;
        assert!(
            message.starts_with("a[\"MESSAGE\\n") && message.ends_with("안녕\\u0000\\n\"]\n"),
            "{message}"
        );
        // The RECEIPT of DISCONNECT comes before the end, though both have to be fetched.
        send(&mut client, "DISCONNECT\\nreceipt:bye\\n\\n\\u0000").await;
        let receipt = poll(&mut client).await;
        assert!(receipt.contains("receipt-id:bye"), "{receipt}");
        assert_eq!(poll(&mut client).await, "c[3000,\"Go away!\"]\n");
    }
}

#[tokio::test]
async fn mqtt_travels_through_sockjs_as_base64_cut_anywhere() {
    let house = House::open(100);
    let mut client = house.dial(WEB).await;
    let ask = |what: &str, body: &str| {
        let path = format!("/mqtt-sockjs/000/first/{what} ");
        let length = format!("Length: {}", body.len());
        POLL.replace("/stomp/000/first/xhr ", &path).replace("Length: 0", &length) + body
    };
    client.write_all(ask("xhr", "").as_bytes()).await.expect("sent");
    assert_eq!(body(&mut client).await, "o\n");
    // CONNECT (version 3.1.1, client id `a`) in two messages.
    client.write_all(ask("xhr_send", "[\"EA0ABE1R\",\"VFQEAgA8AAFh\"]").as_bytes()).await.expect("sent");
    assert!(head(&mut client).await.starts_with("HTTP/1.1 204"));
    client.write_all(ask("xhr", "").as_bytes()).await.expect("sent");
    // CONNACK: 20 02 00 00.
    assert_eq!(body(&mut client).await, "a[\"IAIAAA==\"]\n");
}

#[tokio::test]
async fn one_session_too_many_is_refused_and_a_place_is_given_back() {
    let house = House::open(2);
    let mut client = house.dial(WEB).await;
    assert_eq!(poll(&mut client).await, "o\n");
    let request = POLL.replace("/first/", "/second/");
    client.write_all(request.as_bytes()).await.expect("sent");
    let refusal = head(&mut client).await;
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
}

#[tokio::test]
async fn a_stop_is_told_to_clients_that_poll() {
    let mut house = House::open(100);
    let mut client = house.dial(WEB).await;
    assert_eq!(poll(&mut client).await, "o\n");
    send(&mut client, STOMP_CONNECT).await;
    assert!(poll(&mut client).await.starts_with("a[\"CONNECTED\\n"));
    client.write_all(POLL.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.stop.take().expect("open").send(()).expect("running");
    let mut last = body(&mut client).await;
    while !last.starts_with("c[") {
        last = poll(&mut client).await;
    }
    assert_eq!(last, "c[3000,\"Go away!\"]\n");
    assert_eq!(rest(&mut client).await, b"");
    tokio::time::timeout(Duration::from_secs(4), &mut house.running)
        .await
        .expect("in time")
        .expect("no panic");
}

#[tokio::test]
async fn whoever_decides_sees_the_request_that_a_client_came_by() {
    let house = House::open(100);
    let mut client = house.dial(WEB).await;
    let more = "Origin: http://localhost:3000\r\nCookie: session=s3cret; x=y\r\n\r\n";
    let upgrade =
        String::from_utf8_lossy(UPGRADE).replace("/mqtt ", "/mqtt?token=t ").replace("\r\n\r\n", "\r\n");
    client.write_all(format!("{upgrade}{more}").as_bytes()).await.expect("sent");
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101"));
    let mut frame = vec![0x82, 0x80 | MQTT_CONNECT.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(MQTT_CONNECT);
    client.write_all(&frame).await.expect("sent");
    read(&mut client, 6).await;
    let mut client = house.dial(WEB).await;
    let request = POLL.replace("/xhr ", "/xhr?token=t ").replace("\r\n\r\n", "\r\n");
    client.write_all(format!("{request}{more}").as_bytes()).await.expect("sent");
    assert_eq!(body(&mut client).await, "o\n");
    send(&mut client, STOMP_CONNECT).await;
    poll(&mut client).await;
    let seen = house.seen.lock().expect("no panic").clone();
    let paths = ["/mqtt", "/stomp/000/first/xhr"];
    assert_eq!(seen.len(), paths.len());
    for (handshake, path) in seen.iter().zip(paths) {
        let handshake = handshake.as_ref().expect("a request");
        assert_eq!((&*handshake.path, handshake.query.as_deref()), (path, Some("token=t")));
        assert_eq!(handshake.origin(), Some("http://localhost:3000"));
        assert_eq!(handshake.cookie("session"), Some("s3cret"));
    }
    // Whoever comes by TCP made no request.
    let mut client = house.dial(MQTT).await;
    client.write_all(MQTT_CONNECT).await.expect("sent");
    read(&mut client, 4).await;
    assert_eq!(house.seen.lock().expect("no panic").last(), Some(&None));
}

#[tokio::test]
async fn all_doors_open_or_none() {
    let house = House::open(100);
    let (broker, metrics) = broker(&Seen::default());
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
    /// Of everybody who asked to come in.
    seen: Seen,
    running: JoinHandle<()>,
}

impl House {
    fn open(connections_max: usize) -> Self {
        let seen = Seen::default();
        let (broker, metrics) = broker(&seen);
        let mut web = Web::default();
        let mqtt =
            SockJsOptions { path: "/mqtt-sockjs".to_owned(), protocol: Protocol::Mqtt, ..Default::default() };
        web.sockjs.push(mqtt);
        let kinds = [Kind::Mqtt, Kind::Stomp, Kind::Web(web), Kind::Auto(Web::default())];
        let listeners = kinds.map(|kind| listener(kind, any_port())).to_vec();
        let options = Options { listeners, connections_max, ..Options::default() };
        let gateway =
            Gateway::bind(&options, broker, Arc::default(), Arc::default(), metrics).expect("free ports");
        let addresses = gateway.local_addrs().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(gateway.run(async {
            let _ = stopped.await;
        }));
        Self { addresses, stop: Some(stop), seen, running }
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

fn broker(seen: &Seen) -> (Broker, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let broker = Broker::start(
        engine::Options::default(),
        None,
        Arc::new(Everybody(Arc::clone(seen))),
        Arc::clone(&metrics),
    );
    (broker.expect("started"), metrics)
}

fn listener(kind: Kind, bind: SocketAddr) -> ListenerOptions {
    ListenerOptions { name: "test".to_owned(), kind, bind, tls: None, proxies: None, vhost: None }
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

/// What comes for the session `first`.
async fn poll(client: &mut TcpStream) -> String {
    client.write_all(POLL.as_bytes()).await.expect("sent");
    body(client).await
}

/// Sends a message of the session `first`, as it stands in JSON; returns the head of the answer.
async fn send(client: &mut TcpStream, message: &str) -> String {
    let body = format!("[\"{message}\"]");
    let request =
        POLL.replace("/xhr ", "/xhr_send ").replace("Length: 0", &format!("Length: {}", body.len()));
    client.write_all(format!("{request}{body}").as_bytes()).await.expect("sent");
    head(client).await
}

/// The body of an answer whose length is known.
async fn body(client: &mut TcpStream) -> String {
    let head = head(client).await.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    String::from_utf8(read(client, length.parse().expect("a number")).await).expect("text")
}

async fn rest(client: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("an orderly end");
    rest
}

/// Requests by which clients came.
type Seen = Arc<Mutex<Vec<Option<Arc<Handshake>>>>>;

struct Everybody(Seen);

impl AccessControl for Everybody {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        self.0.lock().expect("no panic").push(credentials.handshake.clone());
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

const POLL: &str = "POST /stomp/000/first/xhr HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";

/// As it stands in JSON.
const STOMP_CONNECT: &str = "CONNECT\\naccept-version:1.2\\nhost:/\\n\\n\\u0000";
