//! Ends that are heard: whoever is told good-bye while it still speaks reads it to its last byte, and no reset.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use transport::carrier::Carrier;
use transport::http::origins::Origins;
use transport::http::subprotocol::Protocol;
use transport::http::upgrade::Routes;
use transport::linger::{Lent, Patience};
use transport::peer::Visitor;
use transport::tls::acceptor::Acceptor;
use transport::tls::{Options, Purpose, Tls};
use transport::tls_client::Trust;
use transport::web::{HttpError, Site, serve_http};

#[tokio::test]
async fn who_still_speaks_when_it_is_told_good_bye_hears_all_of_it() {
    let (server, mut client) = pair().await;
    let server = tokio::spawn(async move { part(Carrier::tcp(server.into(), &nobody())).await });
    said_in_pieces(&mut client, &mut Vec::new()).await;
    drop(client);
    server.await.expect("no panic").expect("told");
}

#[tokio::test]
async fn by_tls_as_well_and_what_comes_after_is_not_even_decrypted() {
    let house = House::new();
    let (server, client) = pair().await;
    let acceptor = house.acceptor();
    let server = tokio::spawn(async move {
        let shaken = acceptor.accept(server).await.map_err(|unshaken| unshaken.error).expect("a handshake");
        part(Carrier::tcp(shaken.stream, &nobody())).await
    });
    let mut client = house.trust().shake(client, "localhost", &[]).await.expect("a handshake");
    said_in_pieces(&mut client, &mut Vec::new()).await;
    drop(client);
    server.await.expect("no panic").expect("told");
}

#[tokio::test]
async fn whose_handshake_fails_hears_why() {
    let house = House::new();
    let (server, mut client) = pair().await;
    let acceptor = house.acceptor();
    let server = tokio::spawn(async move {
        let unshaken = acceptor.accept(server).await.expect_err("no handshake");
        let told = unshaken.told.expect("it was told");
        Patience::new(1).linger(told).await;
        unshaken.error.to_string()
    });
    // ServerHelloDone, from a client; and it goes on.
    let mut heard = Vec::new();
    client.write_all(b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00").await.expect("sent");
    go_on(&mut client).await;
    client.read_to_end(&mut heard).await.expect("an end, and no reset");
    // An alert that is fatal (RFC 8446, 6).
    assert_eq!(heard.get(..1), Some(&[21][..]), "{heard:02x?}");
    drop(client);
    assert!(server.await.expect("no panic").contains("handshake failed"));
}

#[tokio::test]
async fn over_a_websocket_the_last_message_and_the_close_frame_arrive() {
    let (server, mut client) = pair().await;
    let server = tokio::spawn(async move {
        let upgraded = serve_http(server.into(), &nobody(), &site(), std::future::pending()).await;
        let upgraded = upgraded.expect("HTTP").expect("upgraded");
        part(Carrier::websocket(upgraded, &nobody(), 1 << 20).await).await
    });
    client.write_all(UPGRADE).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("an answer"));
    }
    // Pieces of one frame that has no end.
    client.write_all(&[0x82, 0xff, 0, 0, 0, 0, 0, 0xf, 0, 0, 1, 2, 3, 4]).await.expect("sent");
    let mut heard = Vec::new();
    go_on(&mut client).await;
    client.read_to_end(&mut heard).await.expect("an end, and no reset");
    let message: Vec<u8> = heard.iter().copied().skip(4).take(GOOD_BYE.len()).collect();
    assert_eq!(message, GOOD_BYE);
    assert_eq!(heard.get(4 + GOOD_BYE.len()), Some(&0x88), "a close frame");
    drop(client);
    server.await.expect("no panic").expect("told");
}

#[tokio::test]
async fn whose_request_is_refused_reads_the_answer_also_if_it_sends_on() {
    let requests: [(&[u8], &str); 3] = [
        (b"\x10\x0c\x00\x04MQTT\r\n\r\n", "400"),
        (b"POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", "405"),
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", "404"),
    ];
    for (request, status) in requests {
        let (server, mut client) = pair().await;
        let server = tokio::spawn(async move {
            let (give_back, given_back) = oneshot::channel();
            let lent = Lent::new(server.into(), |stream| drop(give_back.send(stream)));
            let error = serve_http(lent, &nobody(), &site(), std::future::pending()).await;
            Patience::new(1).linger(given_back.await.expect("given back")).await;
            error.err()
        });
        client.write_all(request).await.expect("sent");
        go_on(&mut client).await;
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.expect("an end, and no reset");
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{heard}");
        drop(client);
        let error = server.await.expect("no panic").expect("refused");
        assert!(matches!(error, HttpError::Refused(_) | HttpError::Malformed(_)), "{error}");
    }
}

#[tokio::test]
async fn the_wait_has_an_end_for_the_silent_for_the_talkative_and_for_the_loud() {
    let patience = Patience::new(3);
    let linger = async |speaks: &'static [u8], every: Duration| {
        let (server, client) = pair().await;
        let begun = Instant::now();
        let speaking = tokio::spawn(async move {
            let (_reading, mut writing) = client.into_split();
            while !speaks.is_empty() && writing.write_all(speaks).await.is_ok() {
                tokio::time::sleep(every).await;
            }
            // Silent, and still there.
            std::future::pending::<()>().await;
        });
        patience.linger(server.into()).await;
        speaking.abort();
        begun.elapsed()
    };
    static LOUD: [u8; 1 << 20] = [7; 1 << 20];
    let (silent, talkative, loud) = tokio::join!(
        linger(b"", Duration::ZERO),
        linger(b"x", Duration::from_millis(300)),
        linger(&LOUD, Duration::ZERO)
    );
    assert!(silent >= Duration::from_secs(2) && silent < Duration::from_secs(9), "{silent:?}");
    assert!(talkative >= Duration::from_secs(10), "{talkative:?}");
    assert!(loud < Duration::from_secs(9), "{loud:?}");
}

#[tokio::test]
async fn for_more_than_there_are_places_for_nobody_waits() {
    let patience = Patience::new(1);
    let (first, mut waited_for) = pair().await;
    let waiting = tokio::spawn({
        let patience = patience.clone();
        async move { patience.linger(first.into()).await }
    });
    // It was told that it is over, so it is waited for by now.
    assert_eq!(waited_for.read(&mut [0]).await.expect("an end"), 0);
    tokio::task::yield_now().await;
    let (second, _still_there) = pair().await;
    patience.linger(second.into()).await;
    assert!(!waiting.is_finished(), "the first is still waited for");
    drop(waited_for);
    waiting.await.expect("no panic");
    // Its place is free.
    let (third, mut client) = pair().await;
    let waiting = tokio::spawn(async move { patience.linger(third.into()).await });
    said_nothing_and_speaks(&mut client).await;
    drop(client);
    waiting.await.expect("no panic");
}

/// Says it, closes, and waits until it was heard.
async fn part(mut carrier: Carrier) -> io::Result<()> {
    // Something of it was read, most was not.
    let mut left = GOOD_BYE;
    while !left.is_empty() {
        let count = poll_fn(|cx| carrier.poll_write(cx, &[IoSlice::new(left)])).await?;
        left = &left[count..];
    }
    poll_fn(|cx| carrier.poll_flush(cx)).await?;
    // The peer does not answer a close frame.
    let _ = tokio::time::timeout(Duration::from_millis(100), poll_fn(|cx| carrier.poll_close(cx))).await;
    Patience::new(1).linger(carrier.into_stream().expect("a connection")).await;
    Ok(())
}

/// Goes on for a while after the good-bye has come, and reads it only then.
async fn said_in_pieces(client: &mut (impl AsyncRead + AsyncWrite + Unpin), heard: &mut Vec<u8>) {
    go_on(client).await;
    client.read_to_end(heard).await.expect("an end, and no reset");
    assert_eq!(heard, GOOD_BYE);
}

async fn said_nothing_and_speaks(client: &mut TcpStream) {
    go_on(client).await;
    assert_eq!(client.read(&mut [0]).await.expect("an end, and no reset"), 0);
}

/// A piece at a time, with pauses in which a reset would come.
async fn go_on(client: &mut (impl AsyncWrite + Unpin)) {
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.write_all(b"and another thing").await.expect("nobody hung up");
        client.flush().await.expect("nobody hung up");
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
    (listener.accept().await.expect("accepted").0, client)
}

fn nobody() -> Visitor {
    Visitor::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
}

fn site() -> Site {
    let upgrades = vec![("/ws".to_owned(), Protocol::Stomp)];
    Site { routes: Routes { upgrades, origins: Origins::default() }, sockjs: Vec::new() }
}

/// A certificate, and who believes it.
struct House {
    folder: TempDir,
    tls: Arc<Tls>,
}

impl House {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            only_ours(&path);
            path
        };
        let (certificate, key) = (write("a.pem", cert.pem()), write("a.key", signing_key.serialize_pem()));
        let handshake_max = Duration::from_secs(30);
        let options = Options { name: "a".to_owned(), certificate, key, clients: None, handshake_max };
        let tls = Arc::new(Tls::load(options).expect("files that can be used"));
        Self { folder, tls }
    }

    fn acceptor(&self) -> Acceptor {
        Acceptor::new(Arc::clone(&self.tls), Purpose::Mqtt)
    }

    fn trust(&self) -> Trust {
        Trust { authorities: Some(self.folder.path().join("a.pem")), identity: None }
    }
}

fn only_ours(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("ours");
}

const GOOD_BYE: &[u8] = &[b'y'; 400];

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: v12.stomp\r\n\r\n";
