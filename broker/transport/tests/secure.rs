//! TLS in whatever pieces it comes: records cut anywhere, many at once, ends in the middle, and sockets that are full.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use transport::stream::Stream;
use transport::tls::acceptor::{Acceptor, HandshakeError, Unshaken};
use transport::tls::{Options, Purpose, Tls};

#[tokio::test]
async fn how_records_are_cut_changes_nothing() {
    for (version, piece_bytes) in [(&TLS13, 1), (&TLS13, 7), (&TLS12, 3), (&TLS13, 5000), (&TLS12, 100_000)] {
        let (mut server, client) = meet(version, piece_bytes).await;
        let said: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
        let expected = said.clone();
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let talking = tokio::spawn(async move {
            for part in said.chunks(9_000) {
                to_server.write_all(part).await.expect("it goes on");
                to_server.flush().await.expect("it goes on");
            }
            let mut heard = Vec::new();
            from_server.read_to_end(&mut heard).await.expect("a good-bye");
            heard
        });
        let mut heard = vec![0; expected.len()];
        server.read_exact(&mut heard).await.expect("it goes on");
        assert!(heard == expected, "{version:?}, cut at {piece_bytes}");
        server.write_all(&heard).await.expect("it goes on");
        server.shutdown().await.expect("it goes on");
        assert!(talking.await.expect("no panic") == expected, "{version:?}, cut at {piece_bytes}");
    }
}

#[tokio::test]
async fn one_who_is_in_the_middle_of_a_record_is_spoken_to_all_the_same() {
    let (mut server, mut client, mut wire) = by_hand().await;
    client.write_all(b"later").await.expect("room");
    client.flush().await.expect("room");
    let record = wire.sent().await;
    let (begin, end) = record.split_at(9);
    wire.socket.write_all(begin).await.expect("it goes on");
    // It has read what there is of it, and waits for more.
    let waited = tokio::time::timeout(Duration::from_millis(200), server.read(&mut [0; 9])).await;
    assert!(waited.is_err(), "half a record says nothing");
    server.write_all(b"now").await.expect("it goes on");
    server.flush().await.expect("it goes on");
    let mut heard = [0; 3];
    tokio::select! {
        read = client.read_exact(&mut heard) => drop(read.expect("it goes on")),
        () = wire.pass_back() => {}
    }
    assert_eq!(&heard, b"now");
    wire.socket.write_all(end).await.expect("it goes on");
    let mut heard = [0; 5];
    server.read_exact(&mut heard).await.expect("it goes on");
    assert_eq!(&heard, b"later");
}

#[tokio::test]
async fn what_was_changed_on_its_way_ends_the_connection_and_the_client_hears_it() {
    let (mut server, mut client, mut wire) = by_hand().await;
    client.write_all(b"true").await.expect("room");
    client.flush().await.expect("room");
    let mut record = wire.sent().await;
    *record.last_mut().expect("a record") ^= 1;
    wire.socket.write_all(&record).await.expect("it goes on");
    let error = server.read(&mut [0; 9]).await.expect_err("it was changed");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    // And again, however often it is asked.
    assert!(server.read(&mut [0; 9]).await.is_err());
    assert!(server.write_all(b"x").await.is_err());
    server.shutdown().await.expect("the socket is still there");
    let mut byte = [0];
    let heard = tokio::select! {
        read = client.read(&mut byte) => read.expect_err("an alert").to_string(),
        () = wire.pass_back() => String::new(),
    };
    assert!(heard.contains("BadRecordMac"), "{heard}");
}

#[tokio::test]
async fn what_a_client_does_not_take_is_not_taken_from_us_and_comes_in_order_when_it_does() {
    let (mut server, mut client) = meet(&TLS13, 100_000).await;
    let said: Vec<u8> = (0..8_000_000_u32).map(|number| (number >> 4) as u8).collect();
    let expected = said.clone();
    let saying = tokio::spawn(async move {
        server.write_all(&said).await.expect("it goes on");
        server.shutdown().await.expect("it goes on");
        server
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!saying.is_finished(), "eight megabytes have no room on the way");
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.expect("a good-bye");
    assert!(heard == expected);
    saying.await.expect("no panic");
}

#[tokio::test]
async fn an_end_in_the_middle_is_an_end_and_one_within_the_handshake_an_error() {
    let (mut server, mut client, mut wire) = by_hand().await;
    client.write_all(b"cut off").await.expect("room");
    client.flush().await.expect("room");
    let record = wire.sent().await;
    wire.socket.write_all(&record[..record.len() - 1]).await.expect("it goes on");
    drop(wire);
    assert_eq!(server.read(&mut [0; 9]).await.expect("an end"), 0);
    let house = House::new();
    let (server, mut client) = house.dial().await;
    client.write_all(b"\x16\x03\x01\x02\x00\x01\x00").await.expect("it goes on");
    drop(client);
    let Unshaken { error, .. } = house.acceptor().accept(server).await.expect_err("no handshake");
    assert!(matches!(&error, HandshakeError::Failed(_)) && error.is_passing_by(), "{error}");
}

/// Both ends of a handshake, with a relay between them that passes on so many bytes at a time.
async fn meet(
    version: &'static SupportedProtocolVersion,
    piece_bytes: usize,
) -> (Stream, TlsStream<DuplexStream>) {
    let house = House::new();
    let (server, socket) = house.dial().await;
    let (near, far) = duplex(64 * 1024);
    let ((from_client, to_client), (from_server, to_server)) = (tokio::io::split(far), socket.into_split());
    tokio::spawn(relay(from_client, to_server, piece_bytes));
    tokio::spawn(relay(from_server, to_client, piece_bytes));
    let acceptor = house.acceptor();
    let accepting = tokio::spawn(async move { acceptor.accept(server).await });
    let client = house.connector(version).connect(name(), near).await.expect("a handshake");
    (accepting.await.expect("no panic").expect("a handshake").stream, client)
}

async fn relay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, piece_bytes: usize) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        for piece in bytes[..count].chunks(piece_bytes) {
            if to.write_all(piece).await.is_err() {
                return;
            }
            // Whoever reads has seen it by then, mostly.
            tokio::task::yield_now().await;
        }
    }
    let _ = to.shutdown().await;
}

/// A handshake that is done, and the way between both ends, on which nothing goes by itself any more.
async fn by_hand() -> (Stream, TlsStream<DuplexStream>, Wire) {
    let house = House::new();
    let (server, socket) = house.dial().await;
    let (near, far) = duplex(1 << 20);
    let mut wire = Wire { far, socket };
    let acceptor = house.acceptor();
    let accepting = tokio::spawn(async move { acceptor.accept(server).await });
    let connector = house.connector(&TLS13);
    let mut connecting = Box::pin(connector.connect(name(), near));
    let mut client = loop {
        tokio::select! {
            client = &mut connecting => break client.expect("a handshake"),
            () = wire.pass_any() => {}
        }
    };
    // The last word of the client may not be on its way yet.
    client.flush().await.expect("room");
    while !accepting.is_finished() {
        tokio::select! {
            () = wire.pass_any() => {}
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    let server = accepting.await.expect("no panic").expect("a handshake").stream;
    (server, client, wire)
}

/// Between a client and the socket of the broker.
struct Wire {
    far: DuplexStream,
    socket: TcpStream,
}

impl Wire {
    async fn pass_any(&mut self) {
        let (mut there, mut back) = ([0; 4096], [0; 4096]);
        tokio::select! {
            Ok(count @ 1..) = self.far.read(&mut there) => {
                self.socket.write_all(&there[..count]).await.expect("it goes on");
            }
            Ok(count @ 1..) = self.socket.read(&mut back) => {
                self.far.write_all(&back[..count]).await.expect("room");
            }
        }
    }

    /// What the client has sent.
    async fn sent(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let count = self.far.read(&mut bytes).await.expect("it goes on");
        bytes.truncate(count);
        bytes
    }

    /// All that the broker sends, to the client, as long as that is wanted.
    async fn pass_back(&mut self) {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = self.socket.read(&mut bytes).await {
            self.far.write_all(&bytes[..count]).await.expect("room");
        }
        std::future::pending().await
    }
}

/// A listener, and its certificate.
struct House {
    folder: TempDir,
    tls: Arc<Tls>,
    listener: TcpListener,
}

impl House {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let files = [("a.pem", cert.pem()), ("a.key", signing_key.serialize_pem())].map(|(name, text)| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
            path
        });
        let [certificate, key] = files;
        let handshake_max = Duration::from_secs(60);
        let options = Options { name: "a".to_owned(), certificate, key, clients: None, handshake_max };
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("an option");
        let listener = TcpListener::from_std(listener).expect("within a runtime");
        Self { folder, tls: Arc::new(Tls::load(options).expect("files that can be used")), listener }
    }

    fn acceptor(&self) -> Acceptor {
        Acceptor::new(Arc::clone(&self.tls), Purpose::Mqtt)
    }

    fn connector(&self, version: &'static SupportedProtocolVersion) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.folder.path().join("a.pem"));
        roots.add(certificate.expect("a certificate")).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    /// The broker's end of a connection, and the client's.
    async fn dial(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.listener.local_addr().expect("bound")).await.expect("connected");
        let (server, _) = self.listener.accept().await.expect("accepted");
        for end in [&client, &server] {
            end.set_nodelay(true).expect("an option");
        }
        (server, client)
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}
