//! Listening, and saying why not.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;

use bytes::BytesMut;
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transport::carrier::Carrier;
use transport::peer::Visitor;
use transport::tcp;

#[tokio::test]
async fn a_port_in_use_is_refused_with_its_holder() {
    let first = tcp::bind(any_port()).expect("a free port");
    let address = first.local_addr().expect("bound");
    let error = tcp::bind(address).expect_err("the port is taken");
    let text = error.to_string();
    let expected = format!("cannot listen on {address}: in use by pid {} (", std::process::id());
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.ends_with("); stop it or set bind"), "{text}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_refused_in_words() {
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let error = tcp::bind(elsewhere).expect_err("not our address");
    assert_eq!(error.to_string(), "cannot listen on 192.0.2.1:0: this machine has no such address; set bind");
}

#[tokio::test]
async fn bytes_pass_both_ways_and_the_end_is_seen() {
    let (mut carrier, mut client) = pair().await;
    client.write_all(b"ping").await.expect("written");
    let mut buf = BytesMut::with_capacity(64);
    assert_eq!(poll_fn(|cx| carrier.poll_read(cx, &mut buf)).await.expect("read"), 4);
    assert_eq!(&buf[..], b"ping");

    let slices = [IoSlice::new(b"po"), IoSlice::new(b"ng")];
    assert_eq!(poll_fn(|cx| carrier.poll_write(cx, &slices)).await.expect("written"), 4);
    let mut answer = [0; 4];
    client.read_exact(&mut answer).await.expect("read");
    assert_eq!(&answer, b"pong");

    client.shutdown().await.expect("shut down");
    assert_eq!(poll_fn(|cx| carrier.poll_read(cx, &mut buf)).await.expect("end"), 0);
}

#[tokio::test]
async fn an_idle_carrier_waits() {
    let (mut carrier, _client) = pair().await;
    let mut buf = BytesMut::with_capacity(64);
    let state = poll_fn(|cx| Poll::Ready(carrier.poll_read(cx, &mut buf).is_pending())).await;
    assert!(state);
    assert!(poll_fn(|cx| Poll::Ready(carrier.poll_flush(cx).is_ready())).await);
}

async fn pair() -> (Carrier, TcpStream) {
    let listener = tcp::bind(any_port()).expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
    let (stream, address) = tcp::accept(&listener).await.expect("accepted");
    assert!(stream.nodelay().expect("an option"));
    let carrier = Carrier::tcp(stream.into(), &Visitor::new(address));
    assert_eq!(carrier.peer().to_string(), format!("{address} (tcp)"));
    (carrier, client)
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
