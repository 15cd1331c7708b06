//! The client's end of a WebSocket, against the server's.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use transport::carrier::Carrier;
use transport::http::origins::Origins;
use transport::http::subprotocol::Protocol;
use transport::http::upgrade::Routes;
use transport::peer::Visitor;
use transport::tcp;
use transport::web::{Site, serve_http};
use transport::ws_client::WebSocketClient;

#[tokio::test]
async fn bytes_pass_both_ways_and_the_end_is_seen() {
    for (path, subprotocols, is_text) in [("/mqtt", &["mqtt"][..], false), ("/ws", &["v12.stomp"], true)] {
        let (server, stream, address) = echo().await;
        let url = format!("ws://{address}{path}");
        let mut client =
            WebSocketClient::connect(stream.into(), &url, subprotocols, is_text).await.expect("upgraded");
        for part in ["one", "안녕", "\0"] {
            let mut out = BytesMut::from(part);
            client.write(&mut out).await.expect("written");
            assert!(out.is_empty());
            let mut back = BytesMut::new();
            while back.len() < part.len() {
                assert!(client.read(&mut back).await.expect("read") > 0);
            }
            assert_eq!(back, part);
        }
        client.close().await;
        assert_eq!(client.read(&mut BytesMut::new()).await.expect("the end"), 0);
        // The server hangs up when we do.
        drop(client);
        server.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_place_without_a_websocket_is_told_in_words() {
    let (server, stream, address) = echo().await;
    let url = format!("ws://{address}/elsewhere");
    let error = WebSocketClient::connect(stream.into(), &url, &[], false).await.expect_err("no such path");
    assert!(error.contains(&url) && error.contains("404"), "{error}");
    server.await.expect("no panic");
}

async fn echo() -> (JoinHandle<()>, TcpStream, SocketAddr) {
    let listener = tcp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let client = TcpStream::connect(address).await.expect("connected");
    let server = tokio::spawn(async move {
        let (stream, address) = tcp::accept(&listener).await.expect("accepted");
        let from = Visitor::new(address);
        let upgrades = vec![("/ws".to_owned(), Protocol::Stomp), ("/mqtt".to_owned(), Protocol::Mqtt)];
        let routes = Routes { upgrades, origins: Origins::default() };
        let site = Site { routes, sockjs: Vec::new() };
        let Ok(Some(upgraded)) = serve_http(stream.into(), &from, &site, std::future::pending()).await else {
            return;
        };
        let mut carrier = Carrier::websocket(upgraded, &from, 1000).await;
        let mut buf = BytesMut::with_capacity(1000);
        while poll_fn(|cx| carrier.poll_read(cx, &mut buf)).await.expect("read") > 0 {
            let part = buf.split();
            let count = poll_fn(|cx| carrier.poll_write(cx, &[IoSlice::new(&part)])).await.expect("written");
            assert_eq!(count, part.len());
            poll_fn(|cx| carrier.poll_flush(cx)).await.expect("flushed");
        }
        poll_fn(|cx| carrier.poll_close(cx)).await.expect("closed");
    });
    (server, client, address)
}
