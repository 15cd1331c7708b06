//! What a client of bad will can do once it has shaken hands: new keys again and again, and coming back by a session it had.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use transport::stream::Stream;
use transport::tls::acceptor::Acceptor;
use transport::tls::{Options, Purpose, Tls};

#[tokio::test]
async fn who_asks_for_new_keys_again_and_again_and_says_nothing_is_cut_off() {
    // CVE-2026-39304 of ActiveMQ: each of them costs the server new keys, and its answer.
    let house = House::new();
    let (mut server, mut client) = house.meet().await;
    let reading = tokio::spawn(async move { server.read(&mut [0; 64]).await });
    let mut asked = 0;
    let error = loop {
        client.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
        if client.flush().await.is_err() || reading.is_finished() {
            break reading.await.expect("no panic").expect_err("it cannot go on");
        }
        asked += 1;
        assert!(asked < 10_000, "it goes on");
        tokio::task::yield_now().await;
    };
    assert!(error.to_string().contains("TooManyKeyUpdateRequests"), "{error}");
}

#[tokio::test]
async fn new_keys_between_what_is_said_change_nothing() {
    let house = House::new();
    let (mut server, mut client) = house.meet().await;
    let echo = tokio::spawn(async move {
        let mut byte = [0];
        while server.read(&mut byte).await.expect("it goes on") > 0 {
            server.write_all(&byte).await.expect("it goes on");
            server.flush().await.expect("it goes on");
        }
    });
    for round in 0..200_u8 {
        for _ in 0..8 {
            client.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
            client.flush().await.expect("it goes on");
        }
        client.write_all(&[round]).await.expect("it goes on");
        client.flush().await.expect("it goes on");
        assert_eq!(client.read_u8().await.expect("it goes on"), round);
    }
    drop(client);
    echo.await.expect("no panic");
}

/// What it costs to come, and to come back: `cargo test --release -p transport --test tls_floods -- --nocapture`.
#[tokio::test]
async fn who_comes_back_by_a_session_it_had_costs_no_signature() {
    let house = House::new();
    for (what, connector, kind) in [
        ("each for the first time", None, HandshakeKind::Full),
        ("coming back", Some(house.connector()), HandshakeKind::Resumed),
    ] {
        if let Some(connector) = &connector {
            // A first time has to be, and the ticket comes behind it.
            drop(house.meet_by(connector).await);
        }
        let (count, begun) = (100, Instant::now());
        for _ in 0..count {
            let connector = connector.clone().unwrap_or_else(|| house.connector());
            let (_server, client) = house.meet_by(&connector).await;
            assert_eq!(client.get_ref().1.handshake_kind(), Some(kind), "{what}");
        }
        println!("{what}: {:?} a handshake, both ends", begun.elapsed() / count);
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
        let write = |name: &str, text: String| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
            path
        };
        let (certificate, key) = (write("a.pem", cert.pem()), write("a.key", signing_key.serialize_pem()));
        let handshake_max = Duration::from_secs(60);
        let options = Options { name: "a".to_owned(), certificate, key, clients: None, handshake_max };
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("an option");
        let listener = TcpListener::from_std(listener).expect("within a runtime");
        Self { folder, tls: Arc::new(Tls::load(options).expect("files that can be used")), listener }
    }

    /// A client that remembers its sessions.
    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let path = self.folder.path().join("a.pem");
        let certificate = rustls::pki_types::CertificateDer::from_pem_file(path).expect("a certificate");
        roots.add(certificate).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    async fn meet(&self) -> (Stream, TlsStream<TcpStream>) {
        self.meet_by(&self.connector()).await
    }

    /// Both ends; the client has what the server sent behind the handshake.
    async fn meet_by(&self, connector: &TlsConnector) -> (Stream, TlsStream<TcpStream>) {
        let address = self.listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).await.expect("connected");
        let (server, _) = self.listener.accept().await.expect("accepted");
        for end in [&client, &server] {
            end.set_nodelay(true).expect("an option");
        }
        let acceptor = Acceptor::new(Arc::clone(&self.tls), Purpose::Mqtt);
        let accepting = tokio::spawn(async move { acceptor.accept(server).await });
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = connector.connect(name, client).await.expect("a handshake");
        let mut server = accepting.await.expect("no panic").expect("a handshake").stream;
        server.write_all(b"!").await.expect("it goes on");
        server.flush().await.expect("it goes on");
        assert_eq!(client.read_u8().await.expect("it goes on"), b'!');
        (server, client)
    }
}
