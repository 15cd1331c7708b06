//! A connection that begins with HTTP: requests, SockJS, and the frames of the WebSocket that it may become. Whatever comes, it
//! ends, and hands on no more than came.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use transport::carrier::Carrier;
use transport::http::origins::Origins;
use transport::http::subprotocol::Protocol;
use transport::http::upgrade::Routes;
use transport::peer::Visitor;
use transport::sockjs::SockJs;
use transport::sockjs::budget::Budget;
use transport::sockjs::options::Options;
use transport::web::{Site, serve_http};

thread_local! {
    static STAGE: (Runtime, TcpListener) = {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("an address");
        (runtime, listener)
    };
}

/// All of it is what a client says, and then it says nothing more.
pub fn run(data: &[u8]) {
    STAGE.with(|(runtime, listener)| {
        runtime.block_on(async {
            let visited = tokio::time::timeout(PATIENCE, visit(listener, data)).await;
            let handed_on = visited.expect("it ends");
            assert!(handed_on <= data.len(), "{handed_on} bytes of {}", data.len());
        });
    });
}

async fn visit(listener: &TcpListener, data: &[u8]) -> usize {
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).await.expect("a connection");
    let (stream, peer) = listener.accept().await.expect("a connection");
    let (mut from, mut to) = client.into_split();
    let (bytes, mut answer) = (data.to_vec(), Vec::new());
    let serving = async {
        let site = site();
        let from = Visitor::new(peer);
        let Ok(Some(upgraded)) = serve_http(stream.into(), &from, &site, pending()).await else { return 0 };
        let mut carrier = Carrier::websocket(upgraded, &from, MESSAGE_BYTES_MAX).await;
        let (mut handed_on, mut read) = (0, BytesMut::new());
        while let Ok(count @ 1..) = poll_fn(|cx| carrier.poll_read(cx, &mut read)).await {
            handed_on += count;
            read.clear();
        }
        handed_on
    };
    let saying = async {
        // It may be closed before all is written.
        let _ = to.write_all(&bytes).await;
        drop(to);
        let _ = from.read_to_end(&mut answer).await;
    };
    tokio::join!(serving, saying).0
}

fn site() -> Site {
    let upgrades = vec![("/ws".to_owned(), Protocol::Stomp), ("/mqtt".to_owned(), Protocol::Mqtt)];
    // A session that is opened is over at once.
    let sockjs = SockJs::new(Options::default(), Arc::new(Budget::new(1 << 20)), Box::new(|_| true));
    Site { routes: Routes { upgrades, origins: Origins::default() }, sockjs: vec![sockjs] }
}

const MESSAGE_BYTES_MAX: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(60);
