//! The services that the public SockJS protocol tests expect of a server: `/echo`, `/disabled_websocket_echo`,
//! `/cookie_needed_echo` and `/close`, at the address given, or 127.0.0.1:8081.
//!
//! Messages are echoed one by one, as they came; a carrier would make one stream of them.

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use transport::carrier::Carrier;
use transport::http::origins::Origins;
use transport::http::upgrade::Routes;
use transport::http::{Framing, Upgraded};
use transport::peer::Visitor;
use transport::sockjs::budget::Budget;
use transport::sockjs::framed::Framed;
use transport::sockjs::options::Options;
use transport::sockjs::polled::Polled;
use transport::sockjs::{Open, SockJs};
use transport::tcp;
use transport::web::{Site, serve_http};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8081").parse()?;
    let listener = tcp::bind(address)?;
    println!("http://{}/echo", listener.local_addr()?);
    let origins = Origins::new(vec!["*".to_owned()]);
    serve(listener, Arc::new(site(Options { origins, ..Options::default() }))).await;
    Ok(())
}

/// All four services; `options` holds for each of them, but for what makes it what it is.
pub fn site(options: Options) -> Site {
    let options = Options { stream_bytes: 4096, client_url: "/sockjs.min.js".to_owned(), ..options };
    let budget = Arc::new(Budget::new(1 << 26));
    let service = |path: &str, more: fn(Options) -> Options| {
        let open: Open = if path == "/close" {
            Box::new(|opened| close(opened.polled))
        } else {
            Box::new(|opened| echo(opened.polled))
        };
        let options = more(Options { path: path.to_owned(), ..options.clone() });
        SockJs::new(options, Arc::clone(&budget), open)
    };
    let sockjs = vec![
        service("/echo", |options| options),
        service("/close", |options| options),
        service("/disabled_websocket_echo", |options| Options { websocket: false, ..options }),
        service("/cookie_needed_echo", |options| Options { cookie: true, ..options }),
    ];
    Site { routes: Routes { upgrades: Vec::new(), origins: Origins::default() }, sockjs }
}

/// Serves whoever comes, for ever.
pub async fn serve(listener: TcpListener, site: Arc<Site>) {
    loop {
        let Ok((stream, address)) = tcp::accept(&listener).await else { continue };
        let from = Visitor::new(address);
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            match serve_http(stream.into(), &from, &site, pending()).await {
                // Whoever left, left.
                Ok(Some(upgraded)) => drop(talk(upgraded, &from).await),
                Ok(None) => {}
                Err(error) => eprintln!("{address}: {error}"),
            }
        });
    }
}

fn echo(mut polled: Polled) -> bool {
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| polled.poll_recv(cx)).await {
            if poll_fn(|cx| polled.poll_room(cx)).await.is_err() {
                return;
            }
            polled.send(&message);
        }
    });
    true
}

fn close(mut polled: Polled) -> bool {
    tokio::spawn(async move { poll_fn(|cx| polled.poll_close(cx)).await });
    true
}

async fn talk(upgraded: Upgraded, from: &Visitor) -> io::Result<()> {
    let is_close = upgraded.handshake.path.starts_with("/close/");
    let Framing::SockJs { heart_beat } = upgraded.framing else {
        return talk_plainly(Carrier::websocket(upgraded, from, MESSAGE_BYTES_MAX).await, is_close).await;
    };
    let mut framed = Framed::new(upgraded, heart_beat, MESSAGE_BYTES_MAX).await;
    if !is_close {
        while let Ok(Some(message)) = poll_fn(|cx| framed.poll_recv(cx)).await {
            poll_fn(|cx| framed.poll_room(cx)).await?;
            framed.send(&message)?;
            poll_fn(|cx| framed.poll_flush(cx)).await?;
        }
    }
    poll_fn(|cx| framed.poll_close(cx)).await
}

async fn talk_plainly(mut carrier: Carrier, is_close: bool) -> io::Result<()> {
    let mut buf = bytes::BytesMut::with_capacity(MESSAGE_BYTES_MAX);
    while !is_close && matches!(poll_fn(|cx| carrier.poll_read(cx, &mut buf)).await, Ok(1..)) {
        while !buf.is_empty() {
            let sent = poll_fn(|cx| carrier.poll_write(cx, &[io::IoSlice::new(&buf)])).await?;
            let _ = buf.split_to(sent);
        }
        poll_fn(|cx| carrier.poll_flush(cx)).await?;
    }
    poll_fn(|cx| carrier.poll_close(cx)).await
}

const MESSAGE_BYTES_MAX: usize = 1 << 20;
