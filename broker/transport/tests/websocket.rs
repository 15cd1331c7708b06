//! WebSockets as a well-behaved client and as a bad one see them.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};
use transport::carrier::Carrier;
use transport::http::origins::Origins;
use transport::http::subprotocol::Protocol;
use transport::http::upgrade::Routes;
use transport::peer::Visitor;
use transport::tcp;
use transport::web::{HttpError, Site, serve_http};

#[tokio::test]
async fn messages_are_a_byte_stream_wherever_they_are_cut() {
    let (server, mut client) = connect("mqtt", echo).await;
    for part in [&b"one"[..], b"", b" two th", b"ree"] {
        client.send(Message::binary(part.to_vec())).await.expect("sent");
    }
    assert_eq!(receive(&mut client, 13).await, b"one two three");
    client.close(None).await.expect("closed");
    while client.next().await.is_some() {}
    drop(client);
    assert_eq!(finish(server).await.expect("a clean end"), b"one two three");
}

#[tokio::test]
async fn a_fragmented_message_is_one_and_a_ping_within_is_answered() {
    let (server, mut raw) = connect_raw("mqtt", echo).await;
    raw.write_all(&frame(0x02, b"ab")).await.expect("first part");
    raw.write_all(&frame(0x89, b"hi")).await.expect("ping");
    raw.write_all(&frame(0x80, b"cd")).await.expect("last part");
    assert_eq!(read_frame(&mut raw).await, (0x8a, b"hi".to_vec()));
    assert_eq!(read_frame(&mut raw).await, (0x82, b"abcd".to_vec()));
    drop(raw);
    assert_eq!(finish(server).await.expect("the end of the stream"), b"abcd");
}

#[tokio::test]
async fn the_closing_handshake_is_answered_with_the_same_code() {
    let (server, mut raw) = connect_raw("mqtt", echo).await;
    raw.write_all(&frame(0x88, &1000_u16.to_be_bytes())).await.expect("close");
    assert_eq!(read_frame(&mut raw).await, (0x88, 1000_u16.to_be_bytes().to_vec()));
    drop(raw);
    assert_eq!(finish(server).await.expect("a clean end"), b"");
}

#[tokio::test]
async fn mqtt_in_a_text_message_ends_with_1003() {
    // [MQTT-6.0.0-1]
    violation("mqtt", &frame(0x81, b"text"), 1003).await;
}

#[tokio::test]
async fn an_unmasked_frame_ends_with_1002() {
    violation("mqtt", &[0x82, 2, b'a', b'b'], 1002).await;
}

#[tokio::test]
async fn reserved_bits_and_opcodes_end_with_1002() {
    violation("mqtt", &frame(0xc2, b"deflated?"), 1002).await;
    violation("mqtt", &frame(0x83, b""), 1002).await;
    violation("mqtt", &frame(0x80, b"continues nothing"), 1002).await;
}

#[tokio::test]
async fn text_that_is_not_utf_8_ends_with_1007() {
    violation("v12.stomp", &frame(0x81, b"\xff"), 1007).await;
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_with_1009_before_it_came() {
    let mut announced = vec![0x82, 0x80 | 126];
    announced.extend_from_slice(&((MESSAGE_BYTES_MAX + 1) as u16).to_be_bytes());
    announced.extend_from_slice(&[0; 4]);
    violation("mqtt", &announced, 1009).await;
    let mut parts = frame(0x02, &vec![b'x'; MESSAGE_BYTES_MAX - 1]);
    parts.extend_from_slice(&frame(0x80, b"xx"));
    violation("mqtt", &parts, 1009).await;
}

#[tokio::test]
async fn a_message_as_long_as_may_be_passes_whole_and_in_parts() {
    for bytes in [MESSAGE_BYTES_MAX - 1, MESSAGE_BYTES_MAX] {
        let message = vec![b'x'; bytes];
        let (first, last) = message.split_at(bytes - 2);
        let parts = [frame(0x02, first), frame(0x80, last)].concat();
        let (server, mut raw) = connect_raw("mqtt", echo).await;
        for said in [frame(0x82, &message), parts] {
            raw.write_all(&said).await.expect("sent");
            let mut heard = Vec::new();
            while heard.len() < bytes {
                heard.extend(read_frame(&mut raw).await.1);
            }
            assert!(heard == message, "{bytes}");
        }
        drop(raw);
        assert_eq!(finish(server).await.expect("a clean end").len(), 2 * bytes);
    }
}

#[tokio::test]
async fn what_came_before_a_violation_is_read_first() {
    let (server, mut raw) = connect_raw("mqtt", echo).await;
    let mut bytes = frame(0x82, b"good");
    bytes.extend_from_slice(&frame(0x81, b"bad"));
    raw.write_all(&bytes).await.expect("sent");
    assert_eq!(read_frame(&mut raw).await, (0x82, b"good".to_vec()));
    assert_eq!(close_code(&mut raw).await, 1003);
    drop(raw);
    let error = finish(server).await.expect_err("a violation");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn stomp_is_sent_as_text_and_read_from_either() {
    let (_server, mut client) = connect("v11.stomp", echo).await;
    client.send(Message::binary(b"SEND".to_vec())).await.expect("sent");
    assert_eq!(client.next().await.expect("open").expect("a message"), Message::text("SEND"));
    client.send(Message::text("\u{e9}")).await.expect("sent");
    assert_eq!(client.next().await.expect("open").expect("a message"), Message::text("\u{e9}"));
    client.send(Message::binary(b"\xff".to_vec())).await.expect("sent");
    assert_eq!(client.next().await.expect("open").expect("a message"), Message::binary(b"\xff".to_vec()));
}

#[tokio::test]
async fn much_data_passes_a_client_that_reads_late() {
    let (server, mut client) = connect("mqtt", |mut carrier: Carrier| async move {
        let much: Vec<u8> = (0..MUCH).map(|n| n as u8).collect();
        write_all(&mut carrier, &much).await?;
        poll_fn(|cx| carrier.poll_close(cx)).await?;
        Ok(much)
    })
    .await;
    tokio::task::yield_now().await;
    let received = receive(&mut client, MUCH).await;
    while client.next().await.is_some() {}
    drop(client);
    assert!(finish(server).await.expect("a clean end") == received);
}

#[tokio::test]
async fn each_mqtt_packet_comes_in_a_message_of_its_own() {
    let sizes = [0, 3, 125, 126, 20_000, 0, 40_000, 40_000, 65_535, 65_536, 1, 200_000, 0, 5];
    let packets: Vec<Vec<u8>> = sizes.into_iter().map(packet).collect();
    let all = packets.concat();
    let sent = all.clone();
    let (server, mut client) = connect("mqtt", |mut carrier: Carrier| async move {
        write_all(&mut carrier, &sent).await?;
        poll_fn(|cx| carrier.poll_close(cx)).await?;
        Ok(sent)
    })
    .await;
    for packet in packets {
        let mut received = Vec::new();
        while received.len() < packet.len() {
            let message = client.next().await.expect("open").expect("a message");
            let whole = packet.len() <= 64 * 1024;
            assert!(!whole || message.len() == packet.len(), "{} of {}", message.len(), packet.len());
            received.extend_from_slice(&message.into_data());
        }
        assert!(received == packet, "{} instead of {}", received.len(), packet.len());
    }
    while client.next().await.is_some() {}
    drop(client);
    assert!(finish(server).await.expect("a clean end") == all);
}

#[tokio::test]
async fn a_turn_of_the_shortest_packets_fits() {
    let pings = [0xd0, 0].repeat(100_000);
    let sent = pings.clone();
    let (server, mut client) = connect("mqtt", |mut carrier: Carrier| async move {
        write_all(&mut carrier, &sent).await?;
        poll_fn(|cx| carrier.poll_close(cx)).await?;
        Ok(sent)
    })
    .await;
    let mut count = 0;
    while let Some(message) = client.next().await {
        let message = message.expect("a message");
        if message.is_close() {
            break;
        }
        assert_eq!(message.into_data()[..], [0xd0, 0], "message {count}");
        count += 1;
    }
    assert_eq!(count, 100_000);
    while client.next().await.is_some() {}
    drop(client);
    assert!(finish(server).await.expect("a clean end") == pings);
}

#[tokio::test]
async fn an_unknown_subprotocol_is_refused_with_what_is_spoken() {
    let request = UPGRADE.replace("PROTOCOLS", "amqp, wamp");
    refused(&request, "HTTP/1.1 400", "mqtt, mqttv3.1, v12.stomp, v11.stomp, v10.stomp").await;
}

#[tokio::test]
async fn a_foreign_origin_is_refused_by_name() {
    let request = UPGRADE.replace("PROTOCOLS", "mqtt\r\nOrigin: https://evil.example");
    refused(&request, "HTTP/1.1 403", "https://evil.example").await;
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_told_what_is_here() {
    let host = "HTTP/1.1\r\nHost: a\r\n\r\n";
    refused(&format!("GET /ws {host}"), "HTTP/1.1 426", "websocket").await;
    refused(&format!("GET / {host}"), "HTTP/1.1 404", "/ws, /mqtt").await;
    refused(&format!("POST /ws {host}"), "HTTP/1.1 405", "GET").await;
    let version = UPGRADE.replace("Version: 13", "Version: 8").replace("PROTOCOLS", "mqtt");
    refused(&version, "HTTP/1.1 426", "13").await;
    let key = UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short").replace("PROTOCOLS", "mqtt");
    refused(&key, "HTTP/1.1 400", "Sec-WebSocket-Key").await;
}

#[tokio::test]
async fn a_head_within_its_limits_is_read() {
    for head in [head_of(8191), head_of(8192), head_with(63), head_with(64)] {
        let (_server, mut raw) = dial(echo).await;
        raw.write_all(head.as_bytes()).await.expect("sent");
        let answer = read_head(&mut raw).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{} bytes: {answer}", head.len());
    }
}

#[tokio::test]
async fn a_head_beyond_its_limits_is_refused() {
    for request in [head_of(8193), head_with(65)] {
        let (server, mut raw) = dial(echo).await;
        raw.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        raw.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        drop(raw);
        let error = server.await.expect("no panic").expect_err("refused");
        assert!(matches!(error, HttpError::Malformed(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let (server, mut raw) = dial(echo).await;
    raw.write_all(b"GET /ws HTTP/1.1\r\n").await.expect("sent");
    let error = server.await.expect("no panic").expect_err("given up");
    assert!(matches!(error, HttpError::TimedOut), "{error}");
}

#[tokio::test]
async fn without_a_subprotocol_the_path_decides_and_the_answer_names_none() {
    let request = UPGRADE.replace("Sec-WebSocket-Protocol: PROTOCOLS\r\n", "").replace("/ws", "/mqtt");
    let (server, mut raw) = dial(echo).await;
    raw.write_all(request.as_bytes()).await.expect("sent");
    let head = read_head(&mut raw).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(!head.to_lowercase().contains("sec-websocket-protocol"), "{head}");
    // It is MQTT: text is refused.
    raw.write_all(&frame(0x81, b"text")).await.expect("sent");
    assert_eq!(close_code(&mut raw).await, 1003);
    drop(raw);
    server.await.expect("no panic").expect("upgraded").expect_err("a violation");
}

#[tokio::test]
async fn an_extension_is_declined() {
    let offer = "mqtt\r\nSec-WebSocket-Extensions: permessage-deflate";
    let (_server, mut raw) = dial(echo).await;
    raw.write_all(UPGRADE.replace("PROTOCOLS", offer).as_bytes()).await.expect("sent");
    let head = read_head(&mut raw).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(!head.to_lowercase().contains("extensions"), "{head}");
}

#[tokio::test]
async fn frames_sent_along_with_the_request_are_not_lost() {
    let (_server, mut raw) = dial(echo).await;
    let mut bytes = UPGRADE.replace("PROTOCOLS", "mqtt").into_bytes();
    bytes.extend_from_slice(&frame(0x82, b"early"));
    raw.write_all(&bytes).await.expect("sent");
    read_head(&mut raw).await;
    assert_eq!(read_frame(&mut raw).await, (0x82, b"early".to_vec()));
}

/// What became of the server's side: HTTP first, then what `serve` made of the carrier.
type Served = JoinHandle<Result<io::Result<Vec<u8>>, HttpError>>;

/// A request with a head of so many bytes.
fn head_of(bytes: usize) -> String {
    let request = |pad: usize| UPGRADE.replace("PROTOCOLS", &format!("mqtt\r\nX-Pad: {}", "x".repeat(pad)));
    request(bytes - request(0).len())
}

/// A request with so many headers.
fn head_with(headers: usize) -> String {
    let there = UPGRADE.matches("\r\n").count() - 2;
    UPGRADE.replace("PROTOCOLS", &format!("mqtt{}", "\r\nX: y".repeat(headers - there)))
}

/// Sends bad frames and wants the connection to end with `code`, on both sides.
async fn violation(subprotocol: &str, bytes: &[u8], code: u16) {
    let (server, mut raw) = connect_raw(subprotocol, echo).await;
    raw.write_all(bytes).await.expect("sent");
    assert_eq!(close_code(&mut raw).await, code, "{bytes:02x?}");
    drop(raw);
    let error = finish(server).await.expect_err("a violation");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

async fn refused(request: &str, status: &str, hint: &str) {
    let (server, mut raw) = dial(echo).await;
    raw.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(status), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert!(answer.contains(hint), "{answer}");
    let error = server.await.expect("no panic").expect_err("refused");
    assert!(matches!(error, HttpError::Refused(_)), "{error}");
    assert!(error.to_string().contains(hint) || status.ends_with("405"), "{error}");
}

/// Sends back all that comes; returns it when the client leaves.
async fn echo(mut carrier: Carrier) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buf = BytesMut::with_capacity(4096);
    let outcome = loop {
        match poll_fn(|cx| carrier.poll_read(cx, &mut buf)).await {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error),
        }
        write_all(&mut carrier, &buf).await?;
        all.extend_from_slice(&buf);
        buf.clear();
    };
    let closed = poll_fn(|cx| carrier.poll_close(cx)).await;
    outcome?;
    closed?;
    Ok(all)
}

async fn write_all(carrier: &mut Carrier, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|cx| carrier.poll_write(cx, &[IoSlice::new(bytes)])).await?;
        bytes = &bytes[count..];
    }
    poll_fn(|cx| carrier.poll_flush(cx)).await
}

async fn dial<F, S>(serve: S) -> (Served, TcpStream)
where
    S: FnOnce(Carrier) -> F + Send + 'static,
    F: Future<Output = io::Result<Vec<u8>>> + Send,
{
    let listener = tcp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
    let server = tokio::spawn(async move {
        let (stream, address) = tcp::accept(&listener).await.expect("accepted");
        let from = Visitor::new(address);
        let site = Site { routes: routes(), sockjs: Vec::new() };
        let upgraded =
            serve_http(stream.into(), &from, &site, std::future::pending()).await?.expect("upgraded");
        let carrier = Carrier::websocket(upgraded, &from, MESSAGE_BYTES_MAX).await;
        Ok(serve(carrier).await)
    });
    (server, client)
}

async fn connect<F, S>(subprotocol: &str, serve: S) -> (Served, WebSocketStream<TcpStream>)
where
    S: FnOnce(Carrier) -> F + Send + 'static,
    F: Future<Output = io::Result<Vec<u8>>> + Send,
{
    let (server, stream) = dial(serve).await;
    let mut request = "ws://localhost/ws".into_client_request().expect("a request");
    let offer = subprotocol.parse().expect("a header value");
    request.headers_mut().insert("sec-websocket-protocol", offer);
    let (client, response) = client_async(request, stream).await.expect("upgraded");
    let answer = response.headers().get("sec-websocket-protocol").expect("a subprotocol");
    assert_eq!(answer.as_bytes(), subprotocol.as_bytes());
    (server, client)
}

async fn connect_raw<F, S>(subprotocol: &str, serve: S) -> (Served, TcpStream)
where
    S: FnOnce(Carrier) -> F + Send + 'static,
    F: Future<Output = io::Result<Vec<u8>>> + Send,
{
    let (server, mut raw) = dial(serve).await;
    raw.write_all(UPGRADE.replace("PROTOCOLS", subprotocol).as_bytes()).await.expect("sent");
    let head = read_head(&mut raw).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    (server, raw)
}

async fn finish(server: Served) -> io::Result<Vec<u8>> {
    server.await.expect("no panic").expect("upgraded")
}

async fn receive(client: &mut WebSocketStream<TcpStream>, count: usize) -> Vec<u8> {
    let mut received = Vec::new();
    while received.len() < count {
        let message = client.next().await.expect("open").expect("a message");
        assert!(message.is_binary(), "{message:?}");
        received.extend_from_slice(&message.into_data());
    }
    received
}

async fn read_head(raw: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(raw.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

/// A PUBLISH, as far as its fixed header goes, with so many bytes behind that.
fn packet(bytes: usize) -> Vec<u8> {
    let (mut packet, mut length) = (vec![0x30], bytes);
    while length >= 0x80 {
        packet.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend((0..bytes).map(|n| n as u8));
    packet
}

/// A client's frame: masked with zeros, which changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The server's next frame: its first byte and its payload.
async fn read_frame(raw: &mut TcpStream) -> (u8, Vec<u8>) {
    let first = raw.read_u8().await.expect("a frame");
    let length = match raw.read_u8().await.expect("a length") {
        126 => raw.read_u16().await.expect("a longer length"),
        short => u16::from(short),
    };
    let mut payload = vec![0; usize::from(length)];
    raw.read_exact(&mut payload).await.expect("a payload");
    (first, payload)
}

async fn close_code(raw: &mut TcpStream) -> u16 {
    let (first, payload) = read_frame(raw).await;
    assert_eq!(first, 0x88);
    u16::from_be_bytes([payload[0], payload[1]])
}

fn routes() -> Routes {
    Routes {
        upgrades: vec![("/ws".to_owned(), Protocol::Stomp), ("/mqtt".to_owned(), Protocol::Mqtt)],
        origins: Origins::default(),
    }
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: PROTOCOLS\r\n\r\n";

const MESSAGE_BYTES_MAX: usize = 1000;

/// More than the socket buffers between the two hold.
const MUCH: usize = 16 << 20;
