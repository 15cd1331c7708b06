//! SockJS over WebSocket, framed and raw.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};
use transport::http::origins::Origins;
use transport::sockjs::options::Options;

use crate::http::{Client, ask, get, session, start, start_with, timely};

#[tokio::test]
async fn frames_travel_in_messages() {
    let at = start().await;
    let mut client = connect(at, &session("echo")).await;
    assert_eq!(next(&mut client).await, "o");
    client.send(Message::text("[\"a\",\"b\"]")).await.expect("sent");
    assert_eq!(next(&mut client).await, "a[\"a\"]");
    assert_eq!(next(&mut client).await, "a[\"b\"]");
    client.send(Message::text("\"one string\"")).await.expect("sent");
    assert_eq!(next(&mut client).await, "a[\"one string\"]");
    client.close(None).await.expect("closed");
    assert!(timely(client.next()).await.expect("an answer").expect("a frame").is_close());
}

#[tokio::test]
async fn empty_messages_are_ignored() {
    let at = start().await;
    let mut client = connect(at, &session("echo")).await;
    assert_eq!(next(&mut client).await, "o");
    for nothing in ["", "[]"] {
        client.send(Message::text(nothing)).await.expect("sent");
    }
    client.send(Message::text("[\"a\"]")).await.expect("sent");
    assert_eq!(next(&mut client).await, "a[\"a\"]");
}

#[tokio::test]
async fn broken_json_ends_the_connection_without_a_word() {
    let at = start().await;
    let mut client = connect(at, &session("echo")).await;
    assert_eq!(next(&mut client).await, "o");
    client.send(Message::text("[\"a")).await.expect("sent");
    let last = timely(client.next()).await;
    assert!(!matches!(last, Some(Ok(_))), "{last:?}");
}

#[tokio::test]
async fn a_session_that_is_closed_says_so_and_then_closes() {
    let at = start().await;
    let mut client = connect(at, &session("close")).await;
    assert_eq!(next(&mut client).await, "o");
    assert_eq!(next(&mut client).await, "c[3000,\"Go away!\"]");
    let Some(Ok(Message::Close(Some(frame)))) = timely(client.next()).await else { panic!("no close frame") };
    assert_eq!(frame.code, CloseCode::Normal);
}

#[tokio::test]
async fn names_may_be_used_twice() {
    let at = start().await;
    let path = session("echo");
    let (mut one, mut other) = (connect(at, &path).await, connect(at, &path).await);
    for client in [&mut one, &mut other] {
        assert_eq!(next(client).await, "o");
    }
    one.send(Message::text("[\"a\"]")).await.expect("sent");
    other.send(Message::text("[\"b\"]")).await.expect("sent");
    assert_eq!(next(&mut one).await, "a[\"a\"]");
    assert_eq!(next(&mut other).await, "a[\"b\"]");
}

#[tokio::test]
async fn a_connection_with_nothing_to_say_beats() {
    let origins = Origins::new(vec!["*".to_owned()]);
    let at =
        start_with(Options { origins, heart_beat: Duration::from_millis(300), ..Options::default() }).await;
    let mut client = connect(at, &session("echo")).await;
    assert_eq!(next(&mut client).await, "o");
    for _ in 0..2 {
        assert_eq!(next(&mut client).await, "h");
    }
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_refused() {
    let at = start().await;
    let path = format!("{}/websocket", session("echo"));
    assert_eq!(get(at, &path).await.status, 400);
    let half = [("Upgrade", "WebSocket"), ("Connection", "close")];
    assert_eq!(ask(at, "GET", &path, &half, "").await.status, 400);
    for headers in [&[("Upgrade", "WebSocket"), ("Connection", "Upgrade")][..], &[]] {
        let answer = ask(at, "POST", &path, headers, "").await;
        answer.is(405, "");
        assert_eq!((answer.header("content-type"), answer.header("allow")), (None, Some("GET")));
    }
}

#[tokio::test]
async fn the_upgrade_is_as_rfc_6455_has_it() {
    let at = start().await;
    let mut client = Client::dial(at).await;
    let headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw=="),
    ];
    client.ask("GET", &format!("{}/websocket", session("echo")), &headers, "").await;
    let head = client.head().await;
    assert_eq!(head.status, 101);
    assert_eq!(head.header("sec-websocket-accept"), Some("HSmrc0sMlYUkAGmm5OPpG2HaGWk="));
    assert_eq!(head.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(head.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
    assert_eq!(head.header("content-length"), None);
}

#[tokio::test]
async fn a_raw_websocket_has_no_frames_of_sockjs() {
    let at = start().await;
    let mut client = connect(at, "/echo").await;
    client.send(Message::text("Hello world!\u{ffff}")).await.expect("sent");
    assert_eq!(next(&mut client).await, "Hello world!\u{ffff}");
    let mut closed = connect(at, "/close").await;
    assert!(timely(closed.next()).await.expect("an answer").expect("a frame").is_close());
}

#[tokio::test]
async fn an_unmasked_or_endless_frame_ends_with_the_right_code() {
    let at = start().await;
    for (bytes, code) in
        [(&b"\x81\x02[]"[..], 1002_u16), (b"\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xff\0\0\0\0", 1009)]
    {
        let mut client = Client::dial(at).await;
        let headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw=="),
        ];
        client.ask("GET", &format!("{}/websocket", session("echo")), &headers, "").await;
        client.head().await;
        assert_eq!(client.bytes(3).await, b"\x81\x01o");
        client.write(bytes).await;
        let close = client.bytes(4).await;
        assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, code));
    }
}

async fn connect(at: SocketAddr, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(at).await.expect("connected");
    timely(client_async(format!("ws://localhost{path}/websocket"), stream)).await.expect("upgraded").0
}

async fn next(client: &mut WebSocketStream<TcpStream>) -> String {
    let message = timely(client.next()).await.expect("open").expect("a message");
    assert!(message.is_text(), "{message:?}");
    message.into_text().expect("text").to_string()
}
